"""Warm start: from nothing to the first batch of a data set that is prepared already.

    python benchmarks/performance/warm_start.py                  567 cases of 24 x 256 x 256: 1.8 GB
    python benchmarks/performance/warm_start.py --data "phantom(patients=567, size=32)"

A fresh process each time: it opens the cache (sizes, the index, both ends of every case), builds
the loader and gathers a first batch of 16. Once with the cache's pages in memory, once after the
system was asked to forget them. Beside it stands `volbench run --dry-run` on the same data. The
first form writes a cache of spots and noise directly; the second prepares a data set as
`volbench run` does.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from processes import VOLBENCH, execute
from synthesised import pack_spots
from timing import Table, parser, report

from volbench.data.cache.packed_voxels import VOXELS
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing

FIRST_BATCH = """
import json, sys, time
from pathlib import Path
start = time.perf_counter()
import numpy, torch
from volbench.data.cache.packed_voxels import open_prepared
from volbench.data.loading.loader import Loader
torch.set_num_threads(int(sys.argv[3]))
marks = [time.perf_counter()]
prepared = open_prepared(Path(sys.argv[1]))
marks.append(time.perf_counter())
loader = Loader(prepared, torch.device(sys.argv[2]))
marks.append(time.perf_counter())
cases = numpy.linspace(0, len(prepared.cases) - 1, min(16, len(prepared.cases))).astype(int)
batch = next(loader.batches([cases]))
float(batch.volume.flatten()[-1])  # waits for a GPU
marks.append(time.perf_counter())
print(json.dumps([after - before for before, after in zip([start, *marks], marks)]))
"""
OURS = "volbench"
STEPS = ("imports", "open_prepared", "Loader", "first batch of 16")


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__, rounds=3)
    options.add_argument("--cases", type=int, default=567, metavar="N", help="[%(default)s]")
    options.add_argument("--slices", type=int, default=24, metavar="N", help="[%(default)s]")
    options.add_argument("--size", type=int, default=256, metavar="N", help="[%(default)s]")
    options.add_argument("--data", metavar="SPEC", help="instead: a data set to prepare, then time")
    arguments = options.parse_args(argv)
    if arguments.toy:
        arguments.cases, arguments.slices, arguments.size = 30, 4, 16
        arguments.rounds = min(arguments.rounds, 1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if arguments.data:
            cache = prepare(arguments.data, Preprocessing(), root=root / "caches").folder
        else:
            cache = root / "cache"
            pack_spots(cache, arguments.cases, arguments.slices, arguments.size)
        table = start(cache, arguments, root)
    report([table], arguments)
    return 0


def start(cache: Path, arguments: argparse.Namespace, root: Path) -> Table:
    """Time a start with and without the pages in memory, and a dry run, in turn."""
    rounds, device, threads = arguments.rounds, arguments.device, arguments.threads
    command = [sys.executable, "-c", FIRST_BATCH, str(cache), device, str(threads)]
    dry = [
        *VOLBENCH,
        "run",
        "--encoder",
        "rmc5",
        "--agg",
        "bilinear",
        "--loss",
        "focal",
        "--data",
        str(cache),
        "--out",
        str(root / "runs"),
        "--dry-run",
    ]
    names = (OURS, "volbench, pages forgotten", "volbench run --dry-run")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    parts: dict[str, list[list[float]]] = {name: [] for name in names[:2]}
    execute(command)
    for _ in range(rounds):
        for name, before in zip(names[:2], (None, forget), strict=True):
            if before:
                before(cache / VOXELS)
            started = execute(command)
            parts[name].append(json.loads(started.output))
            seconds[name].append(started.wall)
        seconds[names[2]].append(execute(dry).wall)
    extra = {
        f"{step} s": {
            name: sorted(each[place] for each in parts[name])[rounds // 2] for name in parts
        }
        for place, step in enumerate(STEPS)
    }
    size = (cache / VOXELS).stat().st_size
    title = f"first batch of a prepared data set of {size / 1e9:.2g} GB, whole process, wall"
    return Table(title=title, unit="s", reference=OURS, seconds=seconds, extra=extra)


def forget(file: Path) -> None:
    """Ask the system to drop a file's pages from memory, where it can."""
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
