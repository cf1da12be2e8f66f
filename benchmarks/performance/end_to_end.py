"""Seconds per epoch of whole training pipelines: same network, data, order and number of epochs.

    python benchmarks/performance/end_to_end.py --threads 1 --clock processor

volbench    engine.fold.FoldTrainer on one fold
MONAI       its fast path: CacheDataset and ThreadDataLoader, dictionary transforms on the device
            with the slices as channels, AMP, channels last, compiled on a GPU
TorchIO     SubjectsDataset, random affine, elastic and flip, DataLoader with workers
authors'    DataLoader with workers, 2D transforms on the CPU, float32

All but volbench's train the network of plain.py, with the same first weights. Batches, optimiser,
learning rates and loss are the same for all. Scoring the held-out cases is not in the times. A peer
that takes longer than --limit to compile and train its first epoch is measured without compiling.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import peer_batches
import torch
from candidates import attempt
from timing import Table, absent, interleave, parser, report
from trainers import Ours, Peer, Trainer

from volbench._utils.cpu import available_cores
from volbench.crossval.plan import Plan, make_plan
from volbench.evaluation.metrics import area_under_curve
from volbench.evaluation.statistics.delong import delong_test
from volbench.training.device_and_precision import Compute, multiplies_bfloat16

PACKAGES = {
    "volbench": "volbench",
    "MONAI": "monai",
    "TorchIO": "torchio",
    "authors'": "torchvision",
}
PEERS = ("MONAI", "TorchIO", "authors'")
COMPILED = ("MONAI", "TorchIO")
"""Those that get every advantage that they can have; the authors' way is as they published it."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = read_options(argv)
    torch.set_num_threads(arguments.threads)
    plan = plan_of(arguments)
    trainers, notes = warmed_up(plan, arguments)
    seconds = interleave(
        {name: trainer.epoch for name, trainer in trainers.items()},
        rounds=arguments.epochs - 1,
        warmup=0,
        device=arguments.device,
        clock=arguments.clock,
    )
    part = plan.part(0)
    labels = np.array([plan.prepared.cases[index].label for index in part.test])
    scored = {name: trainer.probabilities() for name, trainer in trainers.items()}
    batches = {name: trainer.batch_seconds() for name, trainer in trainers.items()}
    columns = {**areas(labels, scored), "its batches s": batches}
    if arguments.device.startswith("cuda"):
        del columns["its batches s"]  # the host would time how fast it queues work
    preprocessing = plan.prepared.preprocessing
    title = (
        f"one epoch, {len(part.train)} cases of {preprocessing.size} x {preprocessing.size}, "
        f"{arguments.encoder} + bilinear + focal, {arguments.precision}"
    )
    if arguments.workers == 0:
        notes.append("no worker processes: batches are made in the process that trains")
    else:
        notes.append(f"TorchIO, authors': {arguments.workers} worker processes, of eight asked for")
    notes.append(f"AUC of {len(part.test)} held-out cases after {arguments.epochs} epochs")
    table = Table(
        title=title, unit="s", reference="volbench", seconds=seconds, extra=columns, notes=notes
    )
    report([table], arguments)
    return 0


def areas(labels: np.ndarray, scored: Mapping[str, np.ndarray]) -> dict[str, dict[str, str]]:
    """AUC of each, and how far it is from volbench's on the same cases, by DeLong's method.

    Args:
        labels: Class of each case.
        scored: Probabilities [case, class] by each.
    """
    columns = {"AUC": {name: f"{area_under_curve(labels, p):.3f}" for name, p in scored.items()}}
    if len(np.unique(labels)) == 2 and min(np.bincount(labels)) > 1:
        tests = {
            name: delong_test(labels, p[:, 1], scored["volbench"][:, 1])
            for name, p in scored.items()
            if name != "volbench"
        }
        columns["less volbench's (95 %)"] = {
            name: f"{test.difference:+.3f} ({test.low:+.3f} to {test.high:+.3f})"
            for name, test in tests.items()
        }
    return columns


def plan_of(arguments: argparse.Namespace) -> Plan:
    """One fold of the phantom or of a prepared folder; no part is kept back to pick an epoch."""
    data = arguments.data or (
        f"phantom(patients={arguments.patients}, size={arguments.size}, slices={arguments.slices})"
    )
    return make_plan(
        encoder=arguments.encoder,
        aggregator="bilinear",
        loss="focal",
        data=data,
        overrides=(
            f"training.epochs={arguments.epochs}",
            f"training.batch_size={arguments.batch}",
            f"training.augmentation={peer_batches.OURS}",
            'selection.checkpoint="last"',
        ),
        folds=str(arguments.folds),
    )


def warmed_up(plan: Plan, arguments: argparse.Namespace) -> tuple[dict[str, Trainer], list[str]]:
    """Every pipeline that was asked for after its first epoch, and why others are left out.

    The first epoch holds all that is done once. One that does not end in time is tried again
    without compiling, which is what takes long.
    """
    found: dict[str, Trainer] = {}
    notes = []
    for name in ("volbench", *arguments.pipelines):
        package = PACKAGES[name]
        for compiles in dict.fromkeys([arguments.compile and name in COMPILED, False]):
            try:
                trainer = build(name, plan, arguments, compiles=compiles)
            except ModuleNotFoundError as error:
                notes.append(absent(package, error))
                break
            label = f"{name}, compiled" if compiles else name
            reason = attempt(label, trainer.epoch, arguments.limit)
            if reason is None:
                found[name] = trainer
                break
            notes.append(reason)
    if "volbench" not in found:
        raise SystemExit(f"end_to_end.py: {notes[0]}")
    return found, notes


def build(name: str, plan: Plan, arguments: argparse.Namespace, *, compiles: bool) -> Trainer:
    """Make one of the pipelines.

    Raises:
        ModuleNotFoundError: its package is not installed.
    """
    device, workers, clock = arguments.device, arguments.workers, arguments.clock
    compute = Compute(device, arguments.precision, arguments.threads, compiled=compiles)
    if name == "volbench":  # on a GPU it records its steps, which is faster than compiling
        return Ours(plan, replace(compute, graphs=device.startswith("cuda")), clock)
    if name == "authors'":
        compute = replace(compute, precision="float32")
    batches = {
        "MONAI": lambda: peer_batches.monai(plan, device),
        "TorchIO": lambda: peer_batches.torchio(plan, device, workers=workers),
        "authors'": lambda: peer_batches.authors(plan, device, workers=workers),
    }[name]()
    return Peer(plan, compute, clock, batches, channels_last=name in COMPILED)


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--data", metavar="FOLDER", help="prepared data [the phantom]")
    options.add_argument("--encoder", default="rmc5", help="[%(default)s]")
    options.add_argument("--size", type=int, default=256, help="of the phantom [%(default)s]")
    options.add_argument("--slices", type=int, default=24, help="of the phantom [%(default)s]")
    options.add_argument("--patients", type=int, default=8, help="of the phantom [%(default)s]")
    options.add_argument("--folds", type=int, default=2, help="one is held out [%(default)s]")
    options.add_argument("--epochs", type=int, help="the first is not timed [--rounds plus one]")
    options.add_argument("--batch", type=int, default=4, help="cases per step [%(default)s]")
    options.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        help="of all but the authors' [bfloat16 where the processor has it]",
    )
    options.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=torch.cuda.is_available(),
        help="MONAI's and TorchIO's networks; volbench's steps are recorded on a GPU "
        "[on a GPU: yes]",
    )
    options.add_argument(
        "--limit",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="a first epoch that takes longer is tried without compiling, or left out [60]",
    )
    options.add_argument(
        "--workers",
        type=int,
        help="processes of TorchIO's and the authors' way [eight or as many as there are cores; "
        "0 with --clock processor, which does not see them]",
    )
    options.add_argument(
        "--pipelines", nargs="*", choices=PEERS, default=PEERS, help="beside volbench's [all]"
    )
    arguments = options.parse_args(argv)
    on_gpu = arguments.device.startswith("cuda")
    if arguments.epochs is None:
        arguments.epochs = arguments.rounds + 1
    if arguments.epochs < 2:
        options.error(f"--epochs {arguments.epochs}: at least 2, since the first is not timed")
    if arguments.precision is None:
        arguments.precision = "bfloat16" if on_gpu or multiplies_bfloat16() else "float32"
    if arguments.workers is None:
        unseen = arguments.clock == "processor" and not on_gpu
        arguments.workers = 0 if unseen else min(8, available_cores())
    if arguments.toy:
        arguments.size, arguments.slices, arguments.patients = 32, 3, 12
        arguments.epochs, arguments.batch = 2, 4
    return arguments


if __name__ == "__main__":
    sys.exit(main())
