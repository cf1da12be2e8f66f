"""What the speed benchmarks share: candidates timed in turn, options, and figures kept as JSON.

A figure of one minute is worth little against a figure of the next one: clocks change, other
programs come and go. So the candidates take turns within each round, and ratios are taken within
rounds. On a machine with other work, the processor time of the process says more than the clock on
the wall; it does not see worker processes and GPUs, which only the wall clock does.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from ratio_table import Table

Clock = Literal["wall", "processor"]


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


def machine(device: str | torch.device = "cpu") -> dict[str, Any]:
    """Where and when figures were taken, for a JSON file or a printed line."""
    from volbench._utils.cpu import available_cores

    try:
        from volbench.crossval.environment import processor_name, source_commit

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


def keep(tables: Sequence[Table], arguments: argparse.Namespace, **found: object) -> None:
    """Write tables to the file that ``--json`` names; without it, do nothing.

    Args:
        tables: What was printed.
        arguments: What ``parser``'s options were read to.
        found: What was found beside the tables; stands among the settings.
    """
    if arguments.json:
        write_json(arguments.json, tables, {**vars(arguments), **found})


def report(tables: Sequence[Table], arguments: argparse.Namespace, **found: object) -> None:
    """Print tables, an empty line between two, and ``keep`` them."""
    print("\n\n".join(table.text() for table in tables), flush=True)
    keep(tables, arguments, **found)


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
        "--clock",
        choices=("wall", "processor"),
        default="wall",
        help="on the CPU: 'processor' is fairer on a machine with other work [%(default)s]",
    )
    options.add_argument("--toy", action="store_true", help="tiny sizes: whether it runs at all")
    return options


def absent(package: str, error: ModuleNotFoundError) -> str:
    """What is said of a peer that cannot be measured; a fault inside of it is not swallowed."""
    if error.name is None or error.name.split(".")[0] != package:
        raise error
    return f"{package} is not installed: left out"
