"""Processes that begin with their imports done: forked from one that did them once.

Importing PyTorch takes seconds, which each spawned process pays again. `multiprocessing`'s fork
server imports it once and forks; it never touches a device, so that CUDA works in what it forks.
"""

import multiprocessing
import os
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Final

PRELOADED = ("volbench.executors.forked", "volbench.crossval.fold_task")
"""Named, not imported here: this module is quick to import, and lies below both."""

METHOD: Final = "forkserver"


def start_context() -> ForkServerContext | SpawnContext:
    """How worker processes are started: forked from the fork server, where there can be one."""
    if METHOD not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context(METHOD)
    context.set_forkserver_preload(list(PRELOADED))
    return context


def begin_imports() -> None:
    """Start the fork server, which imports beside what this process does meanwhile."""
    if (os.cpu_count() or 1) > 1 and start_context().get_start_method() == METHOD:
        from multiprocessing.forkserver import ensure_running

        ensure_running()
