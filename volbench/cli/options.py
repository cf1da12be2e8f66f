"""Options shared by the commands, in the order of the help page."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from volbench._utils.text import printable
from volbench.cli.output import echo_note

if TYPE_CHECKING:
    from volbench.data.preprocessing.options import Preprocessing

Function = TypeVar("Function", bound=Callable[..., Any])


LONGEST_NAME = 200
"""Bytes of the name of a run; file systems end names at 255, and ours add endings."""


class FiniteRange(click.FloatRange):
    """A range of numbers without NaN and infinity, which pass any comparison or none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Device: auto, cpu, cuda (every GPU), cuda:N, or several: cuda:0,2.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Training precision; auto: bfloat16 where the hardware supports it, else float32.",
)


class Jobs(click.ParamType[int | None]):
    """A number of folds, or ``auto``, which is None."""

    name = "integer|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Read what was typed."""
        if value == "auto":
            return None
        number: int = click.IntRange(1).convert(value, param, ctx)
        return number


jobs_option = click.option(
    "--jobs",
    type=Jobs(),
    metavar="N|auto",
    help="Parallel folds; auto, the default: one per core on a CPU, what fits and pays on GPUs.",
)
duplicates_option = click.option(
    "--allow-duplicates",
    is_flag=True,
    help="Accept equal volumes in training and held-out parts; the run records them.",
)
inference_precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Inference precision; auto: that of the run.",
)
preprocessing_jobs_option = click.option(
    "--jobs", type=click.IntRange(1), help="Preprocessing processes; default: one per core."
)
prepared_option = click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="FOLDER",
    help="Prepared folder with the images, besides the cache; repeatable.",
)


def preprocessing_options(example: str = "preprocessing.size=64") -> Callable[[Function], Function]:
    """Add ``--recipe`` and ``--set`` (as ``settings``) to a command that prepares volumes."""

    def add(function: Function) -> Function:
        return _added(
            function,
            (
                click.option(
                    "--recipe",
                    metavar="NAME|FILE",
                    help="Recipe whose preprocessing is used, as in volbench run.",
                ),
                click.option(
                    "settings",
                    "--set",
                    multiple=True,
                    metavar="KEY=VALUE",
                    help=f"Override a preprocessing option, e.g. {example}; repeatable.",
                ),
            ),
        )

    return add


def chosen_preprocessing(data: str, recipe: str | None, settings: Sequence[str]) -> "Preprocessing":
    """The preprocessing of `preprocessing_options`; of a prepared folder, what was done there."""
    from volbench.data.preparation import default_options
    from volbench.data.preprocessing.options import with_settings
    from volbench.experiment.ineffective_settings import ineffective_options
    from volbench.experiment.recipe import load_recipe, own_keys

    options = default_options(data)
    given = list(settings)
    if recipe is not None:
        given = [*own_keys(recipe), *settings]
        options = load_recipe(recipe, preprocessing=options).preprocessing
    options = with_settings(options, settings)
    for note in ineffective_options(given, options):
        echo_note(f"warning: {note}")
    return options


dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    help="Check all inputs and print the plan without training.",
)

EXPERIMENT: Sequence[Callable[[Any], Any]] = (
    click.option(
        "--encoder", required=True, metavar="SPEC", help="Encoder: volume to one token per slice."
    ),
    click.option(
        "--agg", "aggregator", metavar="SPEC", help="Aggregator: tokens to one vector per case."
    ),
    click.option(
        "--loss",
        required=True,
        metavar="SUM",
        help="Loss or weighted sum, e.g. focal(gamma=2)+0.5*triplet.",
    ),
    click.option(
        "--data",
        default="phantom",
        show_default=True,
        metavar="DATA",
        help="Data set: a spec, a manifest.csv or a prepared folder.",
    ),
    click.option(
        "--level",
        type=click.Choice(["volume", "slice"]),
        default="volume",
        show_default=True,
        help="Unit of prediction: a case, or a representative slice.",
    ),
    click.option(
        "--recipe",
        default="standard",
        show_default=True,
        metavar="NAME|FILE",
        help="Training recipe: a built-in name or a TOML file.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a recipe key, e.g. training.epochs=30; repeatable.",
    ),
    click.option(
        "--folds",
        default="10",
        show_default=True,
        metavar="N|official|FILE|COLUMN|random(...)|time(...)",
        help="Number of folds; the data set's official split; a CSV (case,fold); a column whose "
        "values are left out one at a time (site); random(splits=15, test=0.1): random splits; or "
        "time(column='year', test=0.2).",
    ),
    click.option(
        "--seed",
        default=0,
        show_default=True,
        type=click.IntRange(0),
        help="Random seed of the folds, the initial weights and the training.",
    ),
    duplicates_option,
)
"""Options that define the experiment: components, data, folds, seed."""

on_option = click.option(
    "--on",
    metavar="SPEC",
    default="local",
    show_default=True,
    help="Executor: local, slurm or ray, e.g. 'slurm(gpus=1, time_min=240)'.",
)

local_copy_option = click.option(
    "--local-copy",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder on each machine's own disk, e.g. /tmp: the prepared data are copied there once "
    "and read from there.",
)


def _known_trackers(
    context: click.Context, parameter: click.Parameter, specs: tuple[str, ...]
) -> tuple[str, ...]:
    """Refuse what cannot be built before any volume is prepared, in a dry run, too."""
    if specs:
        from volbench.crossval.tracking import build_trackers

        build_trackers(specs)
    return specs


track_option = click.option(
    "--track",
    "track",
    multiple=True,
    callback=_known_trackers,
    metavar="SPEC",
    help="Send curves to a tracker, e.g. tensorboard or 'tensorboard(folder=\"tb\")'; repeatable.",
)

EXECUTION: Sequence[Callable[[Any], Any]] = (
    device_option,
    precision_option,
    jobs_option,
    click.option(
        "--name", metavar="NAME", help="Run name, a folder in --out; default: from the experiment."
    ),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("runs"),
        show_default=True,
        help="Output folder of all runs.",
    ),
    click.option(
        "--checkpoint-seconds",
        type=FiniteRange(0),
        default=30.0,
        show_default=True,
        help="Minimum interval between checkpoints of a fold.",
    ),
    dry_run_option,
)
"""Options of execution: device, precision, parallelism, output."""


def experiment_options(function: Function) -> Function:
    """Add the options that define the experiment."""
    return _added(function, EXPERIMENT)


def execution_options(function: Function) -> Function:
    """Add the options of execution."""
    return _added(function, EXECUTION)


def inference_options(function: Function) -> Function:
    """Add the options of scoring new volumes with trained networks, ``--anyway`` last."""
    anyway = click.option(
        "--anyway",
        is_flag=True,
        help="Accept volumes outside the range of training spacings, with a warning.",
    )
    return _added(
        function, (device_option, inference_precision_option, preprocessing_jobs_option, anyway)
    )


def check_name(name: str | None) -> None:
    """Refuse a run name that is not a valid folder name."""
    if name is not None and (not name or "/" in name or name in (".", "..")):
        raise click.UsageError(f"--name {name!r} is not a folder name; use --out for the folder")
    if name is not None and name != printable(name):
        raise click.UsageError(f"--name '{printable(name)}' holds a control character")
    if name is not None and (size := len(os.fsencode(name))) > LONGEST_NAME:
        raise click.UsageError(
            f"--name {name[:20]}... has {size} bytes; at most {LONGEST_NAME} leave room for "
            "what is added to it"
        )


def _added(function: Function, options: Sequence[Callable[[Any], Any]]) -> Function:
    for option in reversed(options):
        function = option(function)
    return function
