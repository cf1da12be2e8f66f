"""Toy tasks for testing executors; imports nothing but volbench."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from volbench.errors import PreemptedError
from volbench.interfaces import TaskContext

Payload = Mapping[str, Any]


def echo(payload: Payload, context: TaskContext) -> Payload:
    """Return what it is given."""
    return payload


def count(payload: Payload, context: TaskContext) -> Payload:
    """Report 1, 2, 3 and so on up to ``to``."""
    for number in range(1, int(payload["to"]) + 1):
        context.report({"number": number})
    return {}


def environment(payload: Payload, context: TaskContext) -> Payload:
    """Return the value of the environment variable ``name``, of the process that does the task."""
    time.sleep(float(payload.get("seconds", 0)))
    return {"value": os.environ.get(payload["name"]), "pid": os.getpid()}


def fail(payload: Payload, context: TaskContext) -> Payload:
    """Raise an error."""
    raise ZeroDivisionError("as it should")


def exhaust(payload: Payload, context: TaskContext) -> Payload:
    """Say that there is no memory left."""
    raise MemoryError("none left")


def die(payload: Payload, context: TaskContext) -> Payload:
    """End the process at once, without a word."""
    os._exit(3)


def wait_to_stop(payload: Payload, context: TaskContext) -> Payload:
    """Wait until asked to stop, as a training does between two epochs; done when run again."""
    kept = Path(payload["kept"])
    if kept.exists():
        return {"again": True}
    context.report({"number": 0})
    deadline = time.monotonic() + float(payload.get("seconds", 60))
    while time.monotonic() < deadline:
        if context.should_stop:
            kept.write_text("state")
            raise PreemptedError("stopped; what was done is kept")
        time.sleep(0.02)
    return {"again": False}
