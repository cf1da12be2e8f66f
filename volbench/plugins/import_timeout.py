"""Limit on how long a plugin's import may take: said after seconds, given up after minutes."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NOTICE_S = 3.0
"""Seconds after which a person is told what is being imported."""

GIVE_UP_S = 60.0
"""Seconds after which an import is given up."""


class ImportTimeoutError(BaseException):
    """Ends an import that hangs; no `Exception`, or the plugin might catch it."""


def say_slow(what: str) -> None:
    """Tell on stderr what is being waited for."""
    print(
        f"volbench: still importing {what} after {NOTICE_S:g} s; "
        f"it is given up after {GIVE_UP_S:g} s",
        file=sys.stderr,
        flush=True,
    )


@contextmanager
def import_limit(what: str) -> Iterator[None]:
    """Say what hangs, and end it where that can be done: in the main thread, on POSIX.

    Args:
        what: Is imported within the block.

    Raises:
        ImportTimeoutError: it did not come to an end.
    """
    timers = [threading.Timer(NOTICE_S, say_slow, [what])]
    is_main = threading.current_thread() is threading.main_thread()
    with _alarm() if is_main and hasattr(signal, "pthread_kill") else _nothing() as ring:
        if ring is not None:
            timers.append(threading.Timer(GIVE_UP_S, ring))
        for timer in timers:
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            for timer in timers:
                timer.cancel()


@contextmanager
def _alarm() -> Iterator[Callable[[], None] | None]:
    """A function that raises in this thread, called by another one."""
    over = False
    thread = threading.get_ident()

    def raise_in_time(*_: object) -> None:
        if not over:
            raise ImportTimeoutError(f"it did not come to an end within {GIVE_UP_S:g} s")

    def ring() -> None:
        if not over:
            signal.pthread_kill(thread, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, raise_in_time)
    try:
        yield ring
    finally:
        over = True
        # None: installed by C code, and not to be had back.
        signal.signal(signal.SIGALRM, signal.SIG_IGN if before is None else before)


@contextmanager
def _nothing() -> Iterator[Callable[[], None] | None]:
    yield None
