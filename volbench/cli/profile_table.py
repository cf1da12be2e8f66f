"""Table of `volbench run --profile`: training time by section."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from volbench._utils.text import plural
from volbench._utils.text_table import Column, output_width, paragraph
from volbench.cli.output import table_text

if TYPE_CHECKING:
    from volbench.crossval.open_run import Outcome
    from volbench.profiling.fold_timings import Timings


def show_profile(outcome: "Outcome") -> None:
    """Print the time by section over all profiled folds, and the share of the roofline."""
    from volbench.crossval.fold_files import read_timings
    from volbench.profiling.fold_timings import add

    folds = [timings for fold in outcome.results if (timings := read_timings(outcome.path, fold))]
    if not folds:
        click.echo("no profile: these folds were finished before; use --name for a new run")
        return
    click.echo(profile_text(add(folds), len(folds)), nl=False)


def profile_text(whole: "Timings", folds: int) -> str:
    """Sections, kernels where they were measured, and what the whole comes to."""
    tables = [_sections(whole, folds), *([_groups(whole)] if whole.groups else [])]
    width = output_width()
    told = [part for line in _figures(whole) for part in paragraph(line, width)]
    return "\n".join([*tables, *told]) + "\n"


def _sections(whole: "Timings", folds: int) -> str:
    total = sum(whole.seconds.values())
    rows = [
        (name, f"{seconds:.2f}", f"{seconds / total:.1%}", f"{1000 * seconds / whole.volumes:.2f}")
        for name, seconds in whole.seconds.items()
    ]
    ending = f"{1000 * total / whole.volumes:.2f}"
    rows.append((plural(folds, "fold"), f"{total:.2f}", "", ending))
    return _table(("section", "seconds", "share", "ms per volume"), rows)


def _groups(whole: "Timings") -> str:
    from volbench.profiling.kernel_groups import shown

    heads = ("kernels of a training step", "ms", "times its floor")
    return _table(heads, shown(whole.groups, whole.least_groups))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return table_text(
        [
            Column(head, cells, "number" if place else "text", lead=not place)
            for place, (head, *cells) in enumerate(zip(heads, *rows, strict=True))
        ]
    )


def _figures(whole: "Timings") -> tuple[str, ...]:
    return (
        f"{whole.volumes_per_second:.1f} volumes per second in each training process, "
        f"{whole.volumes} volumes trained on",
        f"forward and backward: {whole.gflop:.2f} GFLOP per volume of mean length, "
        f"{whole.share_of_roofline:.1%} of the roofline ({1000 * whole.least_seconds:.2f} ms at "
        f"the peaks measured here: {whole.tflop_per_s:.3g} TFLOP/s, {whole.gb_per_s:.0f} GB/s)",
        f"peak memory {whole.peak_memory_mb:.0f} MB",
    )
