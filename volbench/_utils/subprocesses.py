"""Run third-party code in a subprocess with a timeout, so that a crash or hang stays there.

The child gets tasks as JSON and answers each with a line of JSON, on a pipe that no print reaches.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

Answer = dict[str, Any]


def run_in_subprocess(
    module: str, tasks: Sequence[Answer], *, limit_s: float
) -> Iterator[tuple[int, Answer]]:
    """Have a child do tasks; whichever ends or hangs the child, the others are done by a new one.

    Args:
        module: Called as ``python -m module``; it calls ``serve``.
        tasks: What it is given, one after another.
        limit_s: Seconds a task may take. The first of a process has a minute more, for imports.

    Yields:
        A task's number and its answer; ``{"died": reason}`` where there is none.
    """
    at = 0
    while at < len(tasks):
        for answer in _converse(module, tasks[at:], limit_s):
            yield at, answer
            at += 1


def _converse(module: str, tasks: Sequence[Answer], limit_s: float) -> Iterator[Answer]:
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
    answered = 0
    try:
        with os.fdopen(read, encoding="utf-8") as answers:
            with suppress(BrokenPipeError), child.stdin as stdin:
                stdin.write(json.dumps(list(tasks)))
            for _ in tasks:
                wait_s = limit_s + (60 if answered == 0 else 0)
                timer = threading.Timer(wait_s, child.kill)
                timer.start()
                line = answers.readline()
                in_time = timer.is_alive()
                timer.cancel()
                if not line.endswith("\n"):
                    code = child.wait()
                    listener.join()
                    yield {"died": _reason(code, said, wait_s if not in_time else None)}
                    return
                yield json.loads(line)
                answered += 1
    finally:
        child.kill()
        child.wait()
        listener.join()


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
            answers.write(json.dumps(work(task)) + "\n")
            answers.flush()
