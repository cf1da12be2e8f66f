"""Import check of plugins: success, duration, side effects on the process."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from volbench._utils.subprocesses import Answer, run_in_subprocess, serve
from volbench.errors import PluginError
from volbench.plugins.discovery import Origin
from volbench.plugins.import_timeout import GIVE_UP_S, NOTICE_S, say_slow
from volbench.plugins.registry import REGISTRIES

SLOW_S = 15.0
"""Seconds above which an import is called slow, PyTorch's and volbench's own left aside."""


@dataclass(frozen=True)
class Trial:
    """What came of importing one component in a process of its own.

    Attributes:
        error: Why it cannot be used; None if it can.
        offences: What its import does to the process, in words.
        seconds: How long it took.
    """

    error: str | None
    offences: tuple[str, ...] = ()
    seconds: float = 0.0


def try_imports(origins: Sequence[Origin], *, limit_s: float = GIVE_UP_S + 10) -> list[Trial]:
    """Import components in a process of their own, one after another.

    Args:
        origins: Of the components.
        limit_s: Seconds after which the process is ended: later than the import gives up by
            itself, which code outside Python does not.
    """
    tasks = [
        {"group": o.entry.group, "name": o.entry.name, "value": o.entry.value} for o in origins
    ]

    def on_slow(number: int) -> None:
        origin = origins[number]
        say_slow(f"{origin.entry.name!r} of {origin}")

    answers = run_in_subprocess(
        "volbench.plugins.import_check",
        tasks,
        limit_s=limit_s,
        notice_s=NOTICE_S,
        on_slow=on_slow,
    )
    return [
        Trial(answer["died"], seconds=limit_s)
        if "died" in answer
        else Trial(answer["error"], tuple(answer["offences"]), answer["seconds"])
        for _, answer in answers
    ]


def main(pipe: int) -> None:
    """Serve ``try_imports``."""
    import_module("volbench.interfaces")  # PyTorch's own start is nobody's fault
    serve(pipe, _try_import)


def _waited() -> float:
    """Seconds this process waited for a processor (Linux only), for which no plugin is to blame."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _try_import(task: Answer) -> Answer:
    registry = next(r for r in REGISTRIES.values() if r.group == task["group"])
    origin = next(
        origin for origin in registry.origins[task["name"]] if origin.entry.value == task["value"]
    )
    error = None
    start = time.perf_counter() - _waited()
    try:
        registry.load(origin)
    except PluginError as failure:
        error = str(failure)
    seconds = time.perf_counter() - _waited() - start
    return {"error": error, "offences": registry.offences[task["name"]], "seconds": seconds}
