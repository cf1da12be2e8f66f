"""The end of the process, kept from code of others: for them it is an exception.

What ends by `os._exit` looks like success to whoever started it, and skips every ``finally``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

ABORTED = 134
"""Exit code of a process that has aborted, as a shell tells it."""


class HardExit(SystemExit):
    """Somebody asked for the end of the whole process, past every ``finally``.

    >>> str(HardExit(3, "os._exit(3)"))
    'os._exit(3) ends the whole process'
    """

    def __init__(self, code: int, call: str) -> None:
        super().__init__(code)
        self._call = call

    def __str__(self) -> str:
        return f"{self._call} ends the whole process"


@contextmanager
def hard_exits_raise() -> Iterator[None]:
    """Let ``os._exit`` and ``os.abort`` raise `HardExit` for the length of a ``with`` block.

    Children that are forked meanwhile end as they like.

    Raises:
        HardExit: one of them was called.
    """
    ours, end, abort = os.getpid(), os._exit, os.abort

    def refuse(status: int) -> NoReturn:
        if os.getpid() != ours:
            end(status)
        raise HardExit(status, f"os._exit({status})")

    def refuse_abort() -> NoReturn:
        if os.getpid() != ours:
            abort()
        raise HardExit(ABORTED, "os.abort()")

    os._exit, os.abort = refuse, refuse_abort
    try:
        yield
    finally:
        os._exit, os.abort = end, abort
