"""What a person waits for before anything happens: help, the list, a table, the first step.

    python benchmarks/performance/startup.py --clock processor

Every candidate is a process of its own; ``--clock processor`` counts all of its threads. The first
step is that of ``volbench run``, in a new folder, from data that are prepared already.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from processes import (
    NEEDED_TO_COMPARE,
    NEEDED_TO_TRAIN,
    VOLBENCH,
    Finished,
    execute,
    missing,
)
from timing import Table, parser, report

GOAL = 0.4
QUICK = {"--help": ["--help"], "list": ["list"], "compare --help": ["compare", "--help"]}


def candidates(arguments: argparse.Namespace, scratch: Path) -> dict[str, Callable[[], Finished]]:
    """What is timed; the last two need what training needs, and a table more than that."""
    found: dict[str, Callable[[], Finished]] = {
        "python -c pass": lambda: execute([sys.executable, "-c", "pass"]),
        "import torch": lambda: execute([sys.executable, "-c", "import torch"]),
    }
    for name, words in QUICK.items():
        found[f"volbench {name}"] = lambda words=words: execute([*VOLBENCH, *words])
    if missing(NEEDED_TO_TRAIN) or (arguments.data is None and missing(["SimpleITK"])):
        return found
    cache = {"VOLBENCH_CACHE": str(scratch / "cache"), "OMP_NUM_THREADS": str(arguments.threads)}
    options = ["--data", arguments.data or "phantom(patients=16)", "--encoder", arguments.encoder]
    options += ["--agg", "average", "--loss", "focal", "--folds", "2", "--jobs", "1"]
    options += ["--set", "training.epochs=1", "--device", arguments.device]
    execute([*VOLBENCH, "run", *options, "--out", str(scratch / "runs")], **cache)
    script = str(Path(__file__).with_name("traced_run.py"))

    def first_step() -> Finished:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            trace = {"TRACE": f"{folder}/events.jsonl", "TRACE_STOP": "1"}
            return execute([sys.executable, script, *options, "--out", folder], **cache, **trace)

    if not missing(NEEDED_TO_COMPARE):
        found["volbench compare"] = lambda: execute(
            [*VOLBENCH, "compare", str(scratch / "runs")], **cache
        )
    found["volbench run, to its first step"] = first_step
    return found


def measure(arguments: argparse.Namespace) -> Table:
    with tempfile.TemporaryDirectory() as scratch:
        commands = candidates(arguments, Path(scratch))
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        unmeasured = 0 if arguments.toy else 1  # fills the file cache
        for turn in range(unmeasured + arguments.rounds):
            for name, command in commands.items():
                finished = command()
                if turn >= unmeasured:
                    seconds[name].append(finished.seconds(arguments.clock))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    goals = {
        f"volbench {name}": "met" if medians[f"volbench {name}"] < GOAL else "missed"
        for name in QUICK
    }
    return Table(
        title=f"Start-up: {arguments.clock} seconds of a process",
        unit="s",
        reference="import torch",
        seconds=seconds,
        extra={f"goal < {GOAL} s": goals},
        notes=_left_out(arguments),
    )


def _left_out(arguments: argparse.Namespace) -> list[str]:
    without_data = [] if arguments.data else ["SimpleITK"]
    what = "compare and the first step"
    lacking = missing([*NEEDED_TO_TRAIN, *without_data])
    if not lacking:
        what, lacking = "compare", missing(NEEDED_TO_COMPARE)
    if not lacking:
        return []
    return [f"{what}: cannot run here, {', '.join(lacking)} not installed"]


def main(given: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--data", metavar="FOLDER", help="prepared data for the first step")
    options.add_argument("--encoder", default="rmc5", help="of the first step [%(default)s]")
    arguments = options.parse_args(given)
    if arguments.toy:
        arguments.rounds, arguments.encoder = 1, "r2d(width=8)"
    report([measure(arguments)], arguments)


if __name__ == "__main__":
    main()
