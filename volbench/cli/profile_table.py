"""Table of `volbench run --profile`: training time by section."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from volbench._utils.text import plural

if TYPE_CHECKING:
    from volbench.crossval import Outcome
    from volbench.profiling.fold_timings import Timings


def show_profile(outcome: "Outcome") -> None:
    """Print the time by section over all profiled folds, and the share of the roofline."""
    from volbench.crossval.fold_task import read_timings
    from volbench.profiling.fold_timings import add

    console = Console(highlight=False)
    folds = [timings for fold in outcome.results if (timings := read_timings(outcome.path, fold))]
    if not folds:
        console.print("no profile: these folds were finished before; use --name for a new run")
        return
    whole = add(folds)
    console.print(_table(whole, len(folds)))
    if whole.groups:
        console.print(_groups(whole))
    for line in _figures(whole):
        console.print(line, markup=False, soft_wrap=True)


def _table(whole: "Timings", folds: int) -> Table:
    table = Table("section", box=None, pad_edge=False)
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    table.add_column("ms per volume", justify="right")
    total = sum(whole.seconds.values())
    for name, seconds in whole.seconds.items():
        each = f"{1000 * seconds / whole.volumes:.2f}"
        table.add_row(name, f"{seconds:.2f}", f"{seconds / total:.1%}", each)
    table.add_section()
    table.add_row(plural(folds, "fold"), f"{total:.2f}", "", f"{1000 * total / whole.volumes:.2f}")
    return table


def _groups(whole: "Timings") -> Table:
    from volbench.profiling.kernel_groups import shown

    table = Table("kernels of a training step", box=None, pad_edge=False)
    table.add_column("ms", justify="right")
    table.add_column("times its floor", justify="right")
    for row in shown(whole.groups, whole.least_groups):
        table.add_row(*row)
    return table


def _figures(whole: "Timings") -> tuple[str, ...]:
    return (
        f"{whole.volumes_per_second:.1f} volumes per second in each training process, "
        f"{whole.volumes} volumes trained on",
        f"forward and backward: {whole.gflop:.2f} GFLOP per volume of mean length, "
        f"{whole.share_of_roofline:.1%} of the roofline ({1000 * whole.least_seconds:.2f} ms at "
        f"the peaks measured here: {whole.tflop_per_s:.3g} TFLOP/s, {whole.gb_per_s:.0f} GB/s)",
        f"peak memory {whole.peak_memory_mb:.0f} MB",
    )
