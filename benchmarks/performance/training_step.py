"""Whole training steps: forward, loss, backward and optimiser, as they are and recorded.

    python benchmarks/performance/training_step.py

The network is rMC5 or R3D with a bilinear head, the loss focal and triplet, the optimiser AdamW, as
``volbench run`` trains them; the batch lies on the device. On a GPU a recorded step is one CUDA
graph; on a CPU there is none.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from candidates import attempt, build
from timing import Table, interleave, keep, parser

from volbench.data.loading.loader import Batch
from volbench.experiment.recipe import load_recipe
from volbench.interfaces import Problem
from volbench.losses.weighted_sum import build_loss
from volbench.profiling.section_timer import Clock
from volbench.spec import parse_sum
from volbench.training.device_and_precision import Compute
from volbench.training.optimizer import build_optimizer
from volbench.training.step import TrainingStep

SHAPES = {"small": (4, 24, 32), "medium": (8, 24, 128), "large": (8, 24, 256)}


def training_step(name: str, compute: Compute, batch: Batch) -> Callable[[], None]:
    """Build a step on a batch; each call trains once."""
    network, _ = build(name, compute.device)
    criterion = build_loss(parse_sum("focal+triplet"), Problem((4, 4), network.num_features))
    criterion = criterion.to(compute.device)
    recipe = load_recipe("standard", ())
    optimizer = build_optimizer(recipe.optimizer, network, criterion)
    clock = Clock(torch.device(compute.device), on=False)
    step = TrainingStep(network, criterion, optimizer, compute, clip_norm=1.0, clock=clock)

    def call() -> None:
        step(batch, None, batch.labels)
        if step.refusal:
            raise RuntimeError(step.refusal)

    return call


def measure(name: str, shape: tuple[int, int, int], arguments: argparse.Namespace) -> Table:
    batch_size, slices, size = (2, 3, 16) if arguments.toy else shape
    device = arguments.device
    volume = torch.randn(batch_size, 1, slices, size, size, device=device)
    labels = torch.arange(batch_size, device=device) % 2
    batch = Batch(np.arange(batch_size), volume, None, labels)
    on_gpu = device.startswith("cuda")
    compute = Compute(device, "bfloat16", arguments.threads)
    ways = {"as it is": compute, **({"recorded": replace(compute, graphs=True)} if on_gpu else {})}
    found, notes = {}, []
    for way, settings in ways.items():
        step = training_step(name, settings, batch)
        for _ in range(4):  # the third of one size is recorded
            reason = attempt(f"{name} {shape} {way}", step, arguments.limit)
        if reason is None:
            found[way] = step
        else:
            notes.append(reason)
    seconds = interleave(
        found, rounds=arguments.rounds, warmup=2, device=device, clock=arguments.clock
    )
    title = (
        f"a training step of {name}, bfloat16, {batch_size} x {slices} slices of {size} x {size}"
    )
    return Table(title=title, unit="ms", reference="as it is", seconds=seconds, notes=notes)


def main(given: Sequence[str] | None = None) -> int:
    options = parser(__doc__, rounds=10)
    options.add_argument("--encoders", nargs="+", default=["rmc5", "r3d"], help="[%(default)s]")
    options.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    options.add_argument("--limit", type=float, default=60.0, metavar="SECONDS", help="[60]")
    arguments = options.parse_args(given)
    torch.set_num_threads(arguments.threads)
    tables: list[Table] = []
    for shape in arguments.shapes[:1] if arguments.toy else arguments.shapes:
        for name in arguments.encoders:
            tables.append(measure(name, SHAPES[shape], arguments))
            print(tables[-1].text(), end="\n\n", flush=True)
            keep(tables, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
