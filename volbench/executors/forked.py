"""What worker processes find done when they are forked: imports, and signals that wait for them.

The fork server imports this module once, before it forks (`volbench._utils.fork_server`).
"""

import atexit
import importlib.util
import multiprocessing.forkserver
import os
import signal
import sys

import torch

from volbench.executors.worker import STOP_SIGNALS

NVIDIA = "/dev/nvidiactl"
"""Stands where a GPU is. Asking CUDA would make it unusable in what is forked."""


def _prepare() -> None:
    # Sent to all processes of a job; were this one to end, so would those that train.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    # The first optimiser imports PyTorch's compiler, whether anything is compiled or not.
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    if os.path.exists(NVIDIA) and importlib.util.find_spec("triton"):
        _read_triton()
    atexit.register(os._exit, 0)  # there is nothing to tidy up, and its parent has ended before


def _read_triton() -> None:
    """Import the kernels, and have Triton hash itself, which it does before the first of them."""
    from triton.runtime.cache import triton_key

    import volbench.encoders.norm_kernels  # noqa: F401

    triton_key()


if getattr(sys.modules["__main__"], "main", None) is multiprocessing.forkserver.main:
    _prepare()
