"""What the speed benchmarks share: candidates timed in turn, tables of ratios, JSON, options.

A figure of one minute is worth little against a figure of the next one: clocks change, other
programs come and go. So the candidates take turns within each round, and ratios are taken within
rounds. On a machine with other work, the processor time of the process says more than the clock on
the wall; it does not see worker processes and GPUs, which only the wall clock does.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

Clock = Literal["wall", "processor"]
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}


def interleave(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 1,
    device: str | torch.device = "cpu",
    clock: Clock = "wall",
) -> dict[str, list[float]]:
    """Seconds of each call, the candidates taking turns within each round.

    Args:
        candidates: What to call, by name. In round r the r-th name begins, so that none always
            runs in the wake of the same neighbour.
        rounds: Timed calls of each candidate.
        warmup: Calls of each before the first round, not timed.
        device: On ``cuda``, calls are timed by CUDA events, whatever the clock.
        clock: On other devices, ``wall`` or the ``processor`` time of this process, all its threads
            together and without its child processes.

    Returns:
        One list of ``rounds`` figures for each candidate; figures at the same place are of the
        same round.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, but got {rounds=}.")
    measure = _stopwatch(torch.device(device), clock)
    for _ in range(warmup):
        for call in candidates.values():
            measure(call)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(measure(candidates[name]))
    return seconds


def _stopwatch(device: torch.device, clock: Clock) -> Callable[[Callable[[], object]], float]:
    if device.type == "cuda":
        return lambda call: _on_gpu(call, device)
    now = {"wall": time.perf_counter, "processor": time.process_time}[clock]

    def measure(call: Callable[[], object]) -> float:
        start = now()
        call()
        return now() - start

    return measure


def _on_gpu(call: Callable[[], object], device: torch.device) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start.record(torch.cuda.current_stream(device))
    call()
    end.record(torch.cuda.current_stream(device))
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1000


@dataclass(frozen=True, kw_only=True)
class Table:
    """Times of some candidates beside the one that they are compared with.

    The ratio of a candidate is its time over the reference's time of the same round: 2 means that
    it takes twice as long. Its figure is the median over rounds, with the least and the greatest.

    Attributes:
        title: What was done and on how much.
        unit: Of the printed times: ``s``, ``ms`` or ``us``.
        reference: Name of the candidate the others are divided by.
        seconds: For each candidate, one figure a round (as ``interleave`` returns them).
        extra: Further columns: heading, then candidate, then what to print. A candidate may lack.
        notes: Lines below the table: what was left out, what is not the same work.
    """

    title: str
    unit: str
    reference: str
    seconds: Mapping[str, Sequence[float]]
    extra: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, but got {self.unit!r}.")
        if self.reference not in self.seconds:
            raise ValueError(
                f"The reference {self.reference!r} was not timed; timed: {', '.join(self.seconds)}."
            )
        rounds = {name: len(each) for name, each in self.seconds.items()}
        if len(set(rounds.values())) != 1 or 0 in rounds.values():
            raise ValueError(f"Every candidate needs as many rounds as the others: {rounds}.")

    def ratios(self, name: str) -> list[float]:
        """Time of a candidate over the reference's, one figure a round."""
        pairs = zip(self.seconds[name], self.seconds[self.reference], strict=True)
        return [own / reference for own, reference in pairs]

    def as_dict(self) -> dict[str, Any]:
        """The table for a JSON file: every single time beside what is printed."""
        return {
            "title": self.title,
            "reference": self.reference,
            "candidates": {
                name: {
                    "seconds": list(each),
                    **_spread(each),
                    "ratio": _spread(self.ratios(name)),
                    **{
                        title: column[name]
                        for title, column in self.extra.items()
                        if name in column
                    },
                }
                for name, each in self.seconds.items()
            },
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The table as aligned lines."""
        scale = UNITS[self.unit]
        heading = ["", f"min {self.unit}", "median", "max", "ratio", "(min to max)", *self.extra]
        rows = [heading]
        for name, each in self.seconds.items():
            times, ratio = _spread(each), _spread(self.ratios(name))
            rows.append([
                name,
                *(_figure(scale * times[part]) for part in ("min", "median", "max")),
                f"{ratio['median']:.2f}",
                f"({ratio['min']:.2f} to {ratio['max']:.2f})",
                *(_cell(column.get(name, "")) for column in self.extra.values()),
            ])  # fmt: skip
        widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in rows
        ]
        count = len(next(iter(self.seconds.values())))
        title = f"{self.title} ({count} round{'s' * (count > 1)}; ratio to {self.reference})"
        return "\n".join([title, *lines, *(f"  {note}" for note in self.notes)])


def _spread(figures: Sequence[float]) -> dict[str, float]:
    return {"min": min(figures), "median": statistics.median(figures), "max": max(figures)}


def _figure(value: float) -> str:
    """Three digits that count, as plain decimals."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _cell(value: object) -> str:
    return _figure(value) if isinstance(value, float) and value >= 0 else str(value)


def machine(device: str | torch.device = "cpu") -> dict[str, Any]:
    """Where and when figures were taken, for a JSON file or a printed line."""
    from volbench.machine import available_cores

    try:
        from volbench.benchmark.environment import processor_name, source_commit

        commit, processor = source_commit(), processor_name()
    except ModuleNotFoundError:  # its package reads recipes, for which a GPU node may lack pydantic
        commit, processor = None, platform.processor()
    gpu = torch.device(device).type == "cuda"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["python", *sys.argv],
        "commit": commit,
        "platform": platform.platform(),
        "processor": processor,
        "cores": available_cores(),
        "load": list(os.getloadavg()),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if gpu else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if gpu else None,
        "cudnn": torch.backends.cudnn.version() if gpu else None,
    }


def write_json(path: str | Path, tables: Sequence[Table], settings: Mapping[str, object]) -> None:
    """Write tables with the machine, versions, date and command that they belong to.

    Args:
        path: File to write; its folder must exist.
        tables: What was printed.
        settings: The options as they were in force, ``vars(arguments)``; ``device`` among them
            says which device to describe.
    """
    document = {
        "machine": machine(str(settings.get("device", "cpu"))),
        "settings": dict(settings),
        "tables": [table.as_dict() for table in tables],
    }
    Path(path).write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")


def parser(description: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """Options that every script has.

    A script calls ``torch.set_num_threads(arguments.threads)`` before it measures.
    """
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="also write every figure here")
    options.add_argument("--rounds", type=int, default=rounds, metavar="N", help="[%(default)s]")
    options.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of PyTorch on the CPU [%(default)s]"
    )
    options.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="[%(default)s]"
    )
    options.add_argument(
        "--clock", choices=("wall", "processor"), default="wall",
        help="on the CPU: 'processor' is fairer on a machine with other work [%(default)s]",
    )  # fmt: skip
    options.add_argument("--toy", action="store_true", help="tiny sizes: whether it runs at all")
    return options
