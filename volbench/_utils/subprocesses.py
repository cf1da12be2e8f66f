"""Run third-party code in a subprocess with a timeout, so that a crash or hang stays there.

The child gets tasks as JSON and answers each with two lines of JSON, when it begins and when it has
ended, on a pipe that no print reaches.
"""

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

Answer = dict[str, Any]

START_S = 60.0
"""Seconds that a child has for imports of its own before its first task."""


@dataclass(frozen=True)
class Slow:
    """What is called of a task that takes long.

    Attributes:
        after_s: After so many seconds.
        say: Called with the number of the task.
    """

    after_s: float
    say: Callable[[int], None]


def run_in_subprocess(
    module: str,
    tasks: Sequence[Answer],
    *,
    limit_s: float,
    notice_s: float = math.inf,
    on_slow: Callable[[int], None] = lambda number: None,
) -> Iterator[tuple[int, Answer]]:
    """Have a child do tasks; whichever ends or hangs the child, the others are done by a new one.

    Args:
        module: Called as ``python -m module``; it calls ``serve``.
        tasks: What it is given, one after another.
        limit_s: Seconds a task may take.
        notice_s: Seconds after which ``on_slow`` is called.
        on_slow: Called once, in another thread, with the number of a task that takes long.

    Yields:
        A task's number and its answer; ``{"died": reason}`` where there is none.
    """
    at = 0
    while at < len(tasks):
        slow = Slow(notice_s, partial(_of_all, on_slow, at))
        for answer in _converse(module, tasks[at:], limit_s, slow):
            yield at, answer
            at += 1


def _of_all(on_slow: Callable[[int], None], first: int, number: int) -> None:
    on_slow(first + number)


def _converse(module: str, tasks: Sequence[Answer], limit_s: float, slow: Slow) -> Iterator[Answer]:
    """Answers of one child; the last one says how it died, if it did."""
    read, write = os.pipe()
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main({write})",
    ]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[write],
        text=True,
    )
    os.close(write)
    assert child.stdin is not None  # it is a pipe
    said: list[str] = []
    listener = threading.Thread(target=_drain, args=(child.stderr, said), daemon=True)
    listener.start()
    try:
        with os.fdopen(read, encoding="utf-8") as answers:
            with suppress(BrokenPipeError), child.stdin as stdin:
                stdin.write(json.dumps(list(tasks)))
            for number in range(len(tasks)):
                # A line when the task begins, before which the child imports what it needs itself.
                for wait_s, notice_s in ((START_S, math.inf), (limit_s, slow.after_s)):
                    say = partial(slow.say, number)
                    with _timer(notice_s, say), _timer(wait_s, child.kill) as timer:
                        line = answers.readline()
                        in_time = timer is None or timer.is_alive()
                    if not line.endswith("\n"):
                        code = child.wait()
                        listener.join()
                        yield {"died": _reason(code, said, wait_s if not in_time else None)}
                        return
                yield json.loads(line)
    finally:
        child.kill()
        child.wait()
        listener.join()


@contextmanager
def _timer(seconds: float, do: Callable[[], object]) -> Iterator[threading.Timer | None]:
    """Call a function after some time, unless the block has ended."""
    if math.isinf(seconds):
        yield None
        return
    timer = threading.Timer(seconds, do)
    timer.start()
    try:
        yield timer
    finally:
        timer.cancel()


def _drain(stream: Any, said: list[str]) -> None:
    with stream:
        for line in stream:
            said[:] = [*said[-20:], line]


def _reason(code: int, said: Sequence[str], late_after_s: float | None) -> str:
    if late_after_s is not None:
        return f"does not come to an end within {late_after_s:g} s"
    last = next((line.strip() for line in reversed(said) if line.strip()), "")
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"ends the whole process ({how}{f': {last[:120]}' if last else ''})"


def serve(pipe: int, work: Callable[[Answer], Answer]) -> None:
    """The child's side: answer every task that stands on standard input."""
    tasks = json.load(sys.stdin)
    os.set_inheritable(pipe, False)
    with os.fdopen(pipe, "w", encoding="utf-8") as answers:
        for task in tasks:
            answers.write("{}\n")  # begun
            answers.flush()
            answers.write(json.dumps(work(task)) + "\n")
            answers.flush()
