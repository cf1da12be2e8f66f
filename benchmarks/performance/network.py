"""Forward and backward of one network: volbench's own against the same in plain nn.Conv3d.

    python benchmarks/performance/network.py --threads 1 --clock processor --part same

Both hold the same weights, and their logits are compared before anything is timed: the script ends
with status 1 if they differ. MONAI's and torchvision's networks are there for context: their first
two layers, widths and strides differ, so they do other work.
"""

import argparse
import copy
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from candidates import (
    OURS,
    PLAIN,
    Candidate,
    build,
    compiled,
    laid_out,
    recorded,
    same_network,
    unequal,
)
from timing import Table, absent, interleave, keep, parser
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from volbench.training.memory import keep_freed_memory

ENCODERS = (
    "r2d",
    "r3d",
    "r2plus1d",
    "mc2",
    "mc3",
    "mc4",
    "mc5",
    "rmc2",
    "rmc3",
    "rmc4",
    "rmc5",
)
TOLERANCE = {"float32": 1e-5, "tf32": 1e-2, "bfloat16": 1e-2}
"""Largest difference of a logit; the heads' weights are drawn so that logits are of order one."""

TOY_FACTOR = 5
"""Times that at toy size, where a mean over a batch is one over few numbers."""


def context(
    name: str, volume: torch.Tensor, precision: str
) -> tuple[dict[str, Candidate], list[str]]:
    """Networks of others, channels last, which suits them."""
    built: dict[str, tuple[nn.Module, torch.Tensor]] = {}
    missing = []
    try:
        from monai.networks.nets import resnet18

        network = resnet18(spatial_dims=3, n_input_channels=1, num_classes=1, feed_forward=True)
        built["MONAI resnet18"] = network, volume
    except ModuleNotFoundError as error:
        missing.append(absent("monai", error))
    try:
        from torchvision.models.video import mc3_18, r3d_18

        colours = volume.expand(-1, 3, -1, -1, -1)  # as published they take RGB
        built["torchvision r3d_18"] = r3d_18(num_classes=1), colours
        built["torchvision mc3_18"] = mc3_18(num_classes=1), colours
    except ModuleNotFoundError as error:
        missing.append(absent("torchvision", error))
    ours, _ = build(name, str(volume.device))
    found = {OURS: Candidate(model=ours, volume=volume, precision=precision)}
    for label, (network, seen) in built.items():
        network = network.to(volume.device).train()
        found[label] = laid_out(network, torch.channels_last_3d, seen, precision)
    return found, missing


def gigaflop(candidate: Candidate) -> float:
    """Products and sums of one call, in thousand millions, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        candidate()
    return counter.get_total_flops() / 1e9


def peak_mb(candidate: Candidate) -> float:
    """Most GPU memory during one call, the network and its batch included."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    candidate()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 2**20


def measure(
    title: str,
    candidates: dict[str, Candidate],
    arguments: argparse.Namespace,
    *,
    differences: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
) -> Table:
    """Count and time candidates, and print their table."""
    on_gpu = arguments.device.startswith("cuda")
    work = {name: gigaflop(candidate) for name, candidate in candidates.items()}
    if on_gpu:
        replayed, failures = recorded(candidates, limit_s=arguments.limit)
        candidates, notes = {**candidates, **replayed}, (*notes, *failures)
        work |= {name: work[name.rpartition(", ")[0]] for name in replayed}
    if arguments.compile != "none":
        graphs, failures = compiled(
            candidates, limit_s=arguments.limit, ours=arguments.compile == "all"
        )
        work |= {name: work[name.rpartition(", ")[0]] for name in graphs}
        candidates, notes = {**candidates, **graphs}, (*notes, *failures)
    seconds = interleave(
        candidates,
        rounds=arguments.rounds,
        warmup=3 if on_gpu else 1,
        device=arguments.device,
        clock=arguments.clock,
    )
    speed = {name: work[name] / statistics.median(seconds[name]) for name in candidates}
    columns: dict[str, Mapping[str, object]] = {"GFLOP": work, "GFLOP/s": speed}
    if on_gpu:
        columns["peak MiB"] = {name: peak_mb(each) for name, each in candidates.items()}
    if differences:
        columns["logits differ by"] = {name: f"{each:.1g}" for name, each in differences.items()}
    table = Table(
        title=title, unit="ms", reference=OURS, seconds=seconds, extra=columns, notes=notes
    )
    print(table.text(), end="\n\n", flush=True)
    return table


def differences(candidates: Mapping[str, Candidate]) -> dict[str, float]:
    """Largest difference of a logit from volbench's, for each of the others."""
    own = candidates[OURS].check()
    return {
        name: float((candidate.check() - own).abs().max())
        for name, candidate in candidates.items()
        if name != OURS
    }


def one_by_one(candidates: Mapping[str, Candidate], lengths: Sequence[int]) -> float:
    """Largest difference between a packed batch and the plain network on each volume alone.

    With fixed statistics: those of a batch are not those of a volume.
    """
    ours, plain = (
        replace(candidates[name], model=copy.deepcopy(candidates[name].model).eval())
        for name in (OURS, f"{PLAIN}, padded, contiguous")
    )
    alone = [
        replace(plain, volume=plain.volume[number : number + 1, :, :length], mask=None).check()
        for number, length in enumerate(lengths)
    ]
    return float((ours.check() - torch.cat(alone)).abs().max())


def main(argv: Sequence[str] | None = None) -> int:
    arguments = read_options(argv)
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as volbench does with large slices; everyone gains by it
    if arguments.device.startswith("cuda"):
        torch.backends.cudnn.benchmark = True  # everyone gets the fastest algorithm there is
    torch.manual_seed(1)
    size = arguments.size
    volume = torch.randn(arguments.batch, 1, arguments.slices, size, size, device=arguments.device)
    tables: list[Table] = []
    worst = []

    def made(table: Table) -> None:
        tables.append(table)
        keep(tables, arguments)  # whatever comes after: this one is there

    for precision in arguments.precision:
        name = f"forward + backward, {arguments.encoder}, {precision}, "
        name += f"{arguments.batch} x {arguments.slices} slices of {size} x {size}"
        if "same" in arguments.part:
            candidates = same_network(arguments.encoder, volume, precision)
            found = differences(candidates)
            worst += [(precision, label, each) for label, each in found.items()]
            made(measure(name, candidates, arguments, differences=found))
        if "lengths" in arguments.part:
            lengths = arguments.lengths
            ragged = torch.randn(len(lengths), 1, max(lengths), size, size, device=arguments.device)
            candidates = unequal(arguments.encoder, ragged, lengths, precision)
            found = one_by_one(candidates, lengths)
            worst.append((precision, "volumes one by one", found))
            title = f"the same, {'+'.join(map(str, lengths))} slices in one batch"
            note = (
                f"plain: {max(lengths)} slices each. Volumes one by one, fixed statistics: its "
                f"logits differ from the packed batch's by {found:.1g}"
            )
            made(measure(title, candidates, arguments, notes=[note]))
        if "context" in arguments.part:
            candidates, missing = context(arguments.encoder, volume, precision)
            note = "other networks, other work: compare GFLOP/s, not ms"
            made(measure(name, candidates, arguments, notes=[note, *missing]))
    loose = TOY_FACTOR if arguments.toy else 1
    tolerance = {precision: loose * most for precision, most in TOLERANCE.items()}
    wrong = [each for each in worst if not each[2] <= tolerance[each[0]]]
    for precision, label, difference in wrong:
        print(
            f"{label}: logits in {precision} differ by {difference:.1e}, more than "
            f"{tolerance[precision]:.0e}",
            file=sys.stderr,
        )
    return 1 if wrong else 0


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--encoder", choices=ENCODERS, default="rmc5", help="[%(default)s]")
    options.add_argument("--slices", type=int, default=24, help="[%(default)s]")
    options.add_argument("--size", type=int, default=256, help="rows and columns [%(default)s]")
    options.add_argument("--batch", type=int, default=1, help="volumes [%(default)s]")
    options.add_argument(
        "--lengths",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[16, 24, 32],
        help="slices of the volumes of an unequal batch [16,24,32]",
    )
    options.add_argument(
        "--precision", nargs="+", choices=tuple(TOLERANCE), help="[float32 bfloat16; GPU: all]"
    )
    options.add_argument(
        "--part",
        nargs="+",
        choices=("same", "lengths", "context"),
        default=["same", "lengths", "context"],
        help="tables to make [all]",
    )
    options.add_argument(
        "--compile",
        choices=("all", "plain", "none"),
        nargs="?",
        const="all",
        default="all" if torch.cuda.is_available() else "none",
        help="which networks are also measured compiled [on a GPU: all]",
    )
    options.add_argument(
        "--no-compile", dest="compile", action="store_const", const="none", help="none of them"
    )
    options.add_argument(
        "--limit",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="a candidate that takes longer to compile or record is left out [%(default)s]",
    )
    arguments = options.parse_args(argv)
    on_gpu = arguments.device.startswith("cuda")
    if arguments.precision is None:
        arguments.precision = ["float32", "tf32", "bfloat16"] if on_gpu else ["float32", "bfloat16"]
    if "tf32" in arguments.precision and not on_gpu:
        options.error("--precision tf32 needs --device cuda: a CPU has no such format")
    if arguments.toy:
        arguments.batch = min(arguments.batch, 2)
        arguments.slices, arguments.size, arguments.lengths, arguments.rounds = 3, 32, [2, 3], 1
    return arguments


if __name__ == "__main__":
    sys.exit(main())
