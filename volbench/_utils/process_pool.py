"""Parallel map over cases: in this process while that is faster, else in several."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from volbench._utils.heap import EVERY, give_back
from volbench.errors import StorageError

Task = TypeVar("Task")
Result = TypeVar("Result")

_end = os._exit
"""Taken before code of others runs, for which it is another: see ``process_end``."""

_CALLS = count()
"""Tasks that this worker has done."""

START_S = 5.0
"""Seconds until processes have started: each imports PyTorch first. It pays to save more."""


def each(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, jobs: int, ordered: bool = False
) -> Iterator[Result]:
    """Run ``function`` on every task and yield the results as they come.

    The first tasks run here and are timed; processes are started only if the rest is worth it. They
    are spawned, use one thread each and end with this one, however it ends. A script that gets
    here must therefore guard its start by ``if __name__ == "__main__":``.

    Args:
        function: Importable by name.
        tasks: Picklable.
        jobs: Processes at most; 1 keeps all in this one.
        ordered: Yield the results in the order of the tasks; one that is early waits in memory.

    Raises:
        StorageError: a process was killed, as the system does when memory runs out.
    """
    start = time.monotonic()
    for done, task in enumerate(tasks):
        # The first pays for imports, so it says little about the others.
        if done == 1:
            start = time.monotonic()
        elif done > 1 and jobs > 1:
            left = (time.monotonic() - start) / (done - 1) * (len(tasks) - done)
            if left - left / jobs > START_S:
                yield from _in_processes(function, tasks[done:], jobs, ordered=ordered)
                return
        yield function(task)
        if done % EVERY == EVERY - 1:
            give_back()


def _in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int, *, ordered: bool
) -> Iterator[Result]:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)[::-1]
    pool = ProcessPoolExecutor(
        min(jobs, len(tasks)), mp_context=context, initializer=_start, initargs=(theirs,)
    )
    try:
        futures = deque(pool.submit(_call, function, task) for task in tasks)
        for future in _in_order(futures) if ordered else as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise StorageError(
            "a worker process was ended from outside, most likely because memory ran "
            "out; what is done is kept, so start again with --jobs 1"
        ) from error
    finally:
        ours.close()
        pool.shutdown(wait=True, cancel_futures=True)
        theirs.close()


def _call(function: Callable[[Task], Result], task: Task) -> Result:
    """Do a task in a worker."""
    result = function(task)
    if next(_CALLS) % EVERY == EVERY - 1:
        give_back()
    return result


def _in_order(futures: deque[Future[Result]]) -> Iterator[Future[Result]]:
    """The first of those that are left; none is kept beyond its turn, nor is its result."""
    while futures:
        yield futures.popleft()


def _start(lifeline: Connection) -> None:
    """Set up a worker: one thread, quiet on Ctrl-C, gone when its parent is done or gone."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = "1"  # before any of these libraries is imported
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and decides
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()


def _end_with_parent(lifeline: Connection) -> None:
    """End when the parent closes its end, be it on purpose or because it was killed.

    Without this, the workers of a killed parent would wait for ever, and those of an interrupted
    one would first finish what they are at.
    """
    wait([lifeline])
    _end(0)
