"""Options that every command which trains has in common, in the order in which help shows them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

EXPERIMENT: Sequence[Callable[[Any], Any]] = (
    click.option("--encoder", required=True, metavar="SPEC", help="Volume to one token per slice."),
    click.option("--agg", "aggregator", metavar="SPEC", help="Tokens to one vector per case."),
    click.option(
        "--loss", required=True, metavar="SUM", help="Such as focal(gamma=2)+0.5*triplet."
    ),
    click.option(
        "--data",
        default="phantom",
        show_default=True,
        metavar="DATA",
        help="A data set's spec, a manifest.csv or a prepared folder.",
    ),
    click.option(
        "--level",
        type=click.Choice(["volume", "slice"]),
        default="volume",
        show_default=True,
        help="One prediction per case, or per representative slice.",
    ),
    click.option(
        "--recipe",
        default="standard",
        show_default=True,
        metavar="NAME|FILE",
        help="How to train; volbench list recipes.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a key of the recipe, as in training.epochs=30; repeatable.",
    ),
    click.option(
        "--folds",
        default="10",
        show_default=True,
        metavar="N|official|FILE",
        help="Number of folds, the data's own split, or a CSV with case,fold.",
    ),
    click.option(
        "--seed",
        default=0,
        show_default=True,
        type=click.IntRange(0),
        help="Every random number follows from it, the folds too.",
    ),
)
"""What is trained, on what, in which folds."""

EXECUTION: Sequence[Callable[[Any], Any]] = (
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default="auto",
        show_default=True,
        help="auto: bfloat16 on CUDA and on CPUs with instructions for it, else float32.",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(1),
        help="Folds at a time; by default one per core on a CPU, one on a GPU.",
    ),
    click.option("--name", help="Folder in --out; by default named after the experiment."),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("runs"),
        show_default=True,
        help="Folder of runs.",
    ),
    click.option(
        "--checkpoint-seconds",
        type=click.FloatRange(0),
        default=30.0,
        show_default=True,
        help="Shortest time between two checkpoints of a fold.",
    ),
    click.option("--dry-run", is_flag=True, help="Check everything, show the plan, train nothing."),
)
"""How it is carried out and where it is kept."""


def experiment_options(function: Function) -> Function:
    """Add the options that say what is trained."""
    return _added(function, EXPERIMENT)


def execution_options(function: Function) -> Function:
    """Add the options that say how and where."""
    return _added(function, EXECUTION)


def check_name(name: str | None) -> None:
    """Refuse a name that is no folder's."""
    if name is not None and (not name or "/" in name or name in (".", "..")):
        raise click.UsageError(f"--name {name!r} is not a folder name; use --out for the folder")


def _added(function: Function, options: Sequence[Callable[[Any], Any]]) -> Function:
    for option in reversed(options):
        function = option(function)
    return function
