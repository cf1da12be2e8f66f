"""Whether cost grows with the work alone: per volume, per slice, in memory, in padded slices.

    python benchmarks/performance/scaling.py --clock processor --data PREPARED

Each row is a process of its own that packs synthesised volumes, opens them and trains one epoch on
them with volbench's loader, network and loss. Then the share of slices that are padding, by how
batches are made. None of it needs a library that reads images.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import padded_slices
import torch
from processes import execute
from synthesised import pack_noise
from timing import Table, parser, report

from volbench.aggregators.bilinear import Bilinear
from volbench.data.cache.packed_voxels import Prepared, open_prepared
from volbench.data.loading.loader import Loader
from volbench.data.loading.sampler import epoch_batches
from volbench.encoders import resnet
from volbench.interfaces import Problem
from volbench.losses.focal import Focal
from volbench.training.classifier import Classifier
from volbench.training.device_and_precision import Compute
from volbench.training.memory import process_memory_mb
from volbench.types import Output

FACTORS = (1, 2, 4, 8, 16)
SLICES = (8, 16, 32, 64)
MIXED = (18, 21, 24, 27, 30)
"""Slices of the volumes where patients grow in number."""


def work(arguments: argparse.Namespace, slices: Sequence[int]) -> dict[str, float]:
    """Pack, open and train an epoch; seconds of each and megabytes at their most."""
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    with tempfile.TemporaryDirectory() as scratch:
        begin = clock()
        pack_noise(Path(scratch), slices, arguments.size)
        packed = clock()
        prepared = open_prepared(Path(scratch))
        opened = clock()
        step = Step(prepared, arguments)
        order = batches(prepared, epoch=0)
        step(order[:2])  # what is set up once
        start = clock()
        step(order)
        end = clock()
    found = {"pack": packed - begin, "open": opened - packed, "epoch": end - start}
    if step.device.type == "cuda":
        found["GPU MB"] = torch.cuda.max_memory_allocated(step.device) / 2**20
    return {**found, "own MB": step.most_mb, "peak MB": process_memory_mb("VmHWM")}


class Step:
    """Trains on batches and watches the memory that is this process's own.

    Pages of the mapped cache are in the peak, but the system may drop them at any time.
    """

    def __init__(self, prepared: Prepared, arguments: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.device = Compute(arguments.device, "float32", arguments.threads).enter()
        self.loader = Loader(prepared, self.device)
        encoder = getattr(resnet, arguments.encoder)(1, width=arguments.width)
        self.model = Classifier(encoder, Bilinear(encoder.num_features), 2).to(self.device)
        self.loss = Focal(Problem((1, 1), self.model.num_features)).to(self.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.most_mb = 0.0

    def __call__(self, order: Sequence[np.ndarray]) -> None:
        """Train on each batch once."""
        for batch in self.loader.batches(order):
            with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                output = self.model(batch.volume, batch.mask)
            found = Output(output.logits.float(), output.embedding.float())
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(found, batch.labels).backward()
            self.optimizer.step()
            self.most_mb = max(self.most_mb, process_memory_mb("RssAnon"))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def batches(prepared: Prepared, *, epoch: int) -> list[np.ndarray]:
    """One epoch of prepared data."""
    labels = np.array([case.label for case in prepared.cases])
    slices = np.array([case.slices for case in prepared.cases])
    return epoch_batches("balanced", labels, slices, batch_size=padded_slices.BATCH, seed=epoch)


def scaled(
    arguments: argparse.Namespace, rows: Mapping[str, Sequence[int]], *, per: str
) -> list[Table]:
    """Run every row in turn, each in a process of its own; times per volume or slice."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    for turn in range(arguments.rounds):
        for name, slices in rows.items():
            command = [sys.executable, __file__, "--one", json.dumps(list(slices))]
            for option in ("threads", "device", "clock", "size", "width", "encoder"):
                command += [f"--{option}", str(getattr(arguments, option))]
            finished = execute(command)
            found[name].append(json.loads(finished.output.splitlines()[-1]))
            print(f"round {turn}: {name} {finished.wall:.0f} s", file=sys.stderr)
    units = {name: len(slices) if per == "volume" else sum(slices) for name, slices in rows.items()}
    memory = [key for key in next(iter(found.values()))[0] if key.endswith("MB")]
    extra: dict[str, dict[str, object]] = {
        key: {name: round(max(one[key] for one in each)) for name, each in found.items()}
        for key in memory
    }
    return [
        Table(
            title=f"{part} per {per}: {arguments.encoder}, {arguments.size}×{arguments.size}, "
            f"{arguments.clock} seconds",
            unit="us" if part != "epoch" else "ms",
            reference=next(iter(rows)),
            seconds={
                name: [one[part] / units[name] for one in each] for name, each in found.items()
            },
            extra=extra if part == "epoch" else {},
            notes=["own MB: without the pages of the mapped cache, which peak MB counts"]
            if part == "epoch"
            else (),
        )
        for part in ("pack", "open", "epoch")
    ]


def main(given: Sequence[str] | None = None) -> None:
    options = parser(__doc__, rounds=3)
    options.add_argument(
        "--data",
        type=Path,
        nargs="*",
        default=[],
        metavar="FOLDER",
        help="prepared data whose padded slices are counted too",
    )
    options.add_argument(
        "--patients", type=int, default=16, metavar="N", help="of the row ×1 [%(default)s]"
    )
    options.add_argument("--size", type=int, default=32, metavar="PIXELS", help="[%(default)s]")
    options.add_argument("--encoder", default="rmc5", help="[%(default)s]")
    options.add_argument("--width", type=int, default=32, metavar="N", help="[%(default)s]")
    options.add_argument("--one", help=argparse.SUPPRESS)  # a row, in its own process
    arguments = options.parse_args(given)
    if arguments.one:
        print(json.dumps(work(arguments, json.loads(arguments.one))))
        return
    factors, depths = FACTORS, SLICES
    if arguments.toy:
        factors, depths = (1, 2), (2, 4)
        arguments.rounds, arguments.width, arguments.size = 1, 4, 16
        arguments.patients = 8
    wasted = padded_slices.of_data(arguments.data, 90 if not arguments.toy else 20)
    print(padded_slices.text(wasted), end="\n\n", flush=True)
    patients = {
        f"patients ×{factor}": [
            MIXED[number % len(MIXED)] for number in range(factor * arguments.patients)
        ]
        for factor in factors
    }
    slices = {f"{count} slices": [count] * arguments.patients for count in depths}
    tables = scaled(arguments, patients, per="volume") + scaled(arguments, slices, per="slice")
    report(tables, arguments, wasted_slices=wasted)


if __name__ == "__main__":
    main()
