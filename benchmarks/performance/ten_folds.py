"""The whole ten-fold run by the command line: from an empty cache, then from a prepared one.

    python benchmarks/performance/ten_folds.py

Each round runs ``volbench run`` twice into new folders: cold, with an empty cache, and warm, with
the cache that the cold run left. The columns say where the time of the median run went.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from processes import NEEDED_TO_TRAIN, Finished, execute, missing
from timing import Table, parser, report

PHASES = ("start-up", "prepare", "plan", "first step", "training", "audit", "end")
TOY = ["--folds", "2", "--set", "training.epochs=1"]


def run(data: str, cache: Path, out: Path, options: Sequence[str]) -> tuple[Finished, dict]:
    """One run, and the seconds of its phases by the clock on the wall."""
    trace = out.with_suffix(".jsonl")
    script = str(Path(__file__).with_name("traced_run.py"))
    finished = execute(
        [sys.executable, script, "--data", data, "--out", str(out), *options],
        VOLBENCH_CACHE=str(cache),
        TRACE=str(trace),
    )
    events = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    return finished, phases(finished, events)


def phases(finished: Finished, events: Sequence[Mapping]) -> dict[str, float]:
    """Seconds from each event to the next; together they are all of the run.

    ``first step`` lasts until the first worker made one, so it holds the workers' start; ``audit``
    begins with the last fold's end.
    """
    first, last = {}, {}
    for event in sorted(events, key=lambda each: each["at"]):
        first.setdefault(event["event"], event["at"])
        last[event["event"]] = event["at"]
    bounds = [
        finished.started,
        first["prepare"],
        first["prepared"],
        first["planned"],
        first["first step"],
        last["fold"],
        first["done"],
        finished.started + finished.wall,
    ]
    lengths = [after - before for before, after in pairwise(bounds)]
    return dict(zip(PHASES, lengths, strict=True))


def measure(arguments: argparse.Namespace) -> Table:
    options = ["--encoder", arguments.encoder, "--agg", "bilinear", "--loss", "focal+triplet"]
    options += ["--device", arguments.device, *(TOY if arguments.toy else [])]
    options += [] if arguments.jobs is None else ["--jobs", str(arguments.jobs)]
    data = "phantom(patients=16)" if arguments.toy else arguments.data
    seconds: dict[str, list[float]] = {"cold": [], "warm": []}
    runs: dict[str, list[tuple[Finished, dict]]] = {"cold": [], "warm": []}
    for turn in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            for name in seconds:
                found = run(data, Path(scratch) / "cache", Path(scratch) / name, options)
                seconds[name].append(found[0].seconds(arguments.clock))
                runs[name].append(found)
                print(f"round {turn}: {name} {found[0].wall:.1f} s", file=sys.stderr)
    typical = {
        name: sorted(each, key=lambda one: one[0].wall)[(len(each) - 1) // 2]
        for name, each in runs.items()
    }
    extra: dict[str, dict[str, object]] = {
        phase: {name: each[1][phase] for name, each in typical.items()} for phase in PHASES
    }
    extra["wall s"] = {name: each[0].wall for name, each in typical.items()}
    extra["processor s"] = {name: each[0].processor for name, each in typical.items()}
    return Table(
        title=f"volbench run {' '.join(options)}, {data}: {arguments.clock} seconds",
        unit="s",
        reference="cold",
        seconds=seconds,
        extra=extra,
        notes=["phases: wall seconds of the median run; processor s: worker processes included"],
    )


def main(given: Sequence[str] | None = None) -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--data", default="phantom", help="[%(default)s]")
    options.add_argument("--encoder", default="rmc5", help="[%(default)s]")
    options.add_argument("--jobs", type=int, metavar="N", help="folds at a time [one per core]")
    arguments = options.parse_args(given)
    prepared = Path(arguments.data).is_dir() and not arguments.toy
    if lacking := missing([*NEEDED_TO_TRAIN, *([] if prepared else ["SimpleITK"])]):
        print(f"ten_folds.py: cannot run here: {', '.join(lacking)} not installed")
        return
    report([measure(arguments)], arguments)


if __name__ == "__main__":
    main()
