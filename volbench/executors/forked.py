"""What worker processes find done when they are forked: imports, and signals that wait for them.

The fork server imports this module once, before it forks (`volbench._utils.fork_server`).
"""

import atexit
import multiprocessing.forkserver
import os
import signal
import sys

import torch

from volbench.executors.worker import STOP_SIGNALS


def _prepare() -> None:
    # Sent to all processes of a job; were this one to end, so would those that train.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    # The first optimiser imports PyTorch's compiler, whether anything is compiled or not.
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    atexit.register(os._exit, 0)  # there is nothing to tidy up, and its parent has ended before


if getattr(sys.modules["__main__"], "main", None) is multiprocessing.forkserver.main:
    _prepare()
