"""`volbench clinical`: what a run's stored predictions say about its clinical use."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench.cli.options import FiniteRange
from volbench.cli.output import chosen_format, emit, output_options

if TYPE_CHECKING:
    from volbench.evaluation.items import Unit

FORMATS = ("table", "md", "json")


@click.command("clinical")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--threshold",
    default="0.5",
    show_default=True,
    metavar="T",
    help="A number; or youden, specificity=0.9, sensitivity=0.9, set on the inner validation part.",
)
@click.option(
    "--prevalence",
    "prevalences",
    multiple=True,
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    metavar="P",
    help="Also predictive values where this share of patients is positive; repeatable.",
)
@click.option(
    "--missed",
    default=1.0,
    show_default=True,
    type=FiniteRange(0),
    metavar="COST",
    help="Cost of a missed patient; a false alarm costs 1.",
)
@click.option(
    "columns",
    "--by",
    multiple=True,
    metavar="COLUMN",
    help="Test the largest gap in AUC between groups of this column; repeatable.",
)
@click.option(
    "--miss",
    "conformal_alpha",
    default=0.1,
    show_default=True,
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    help="Share of each class that conformal prediction sets may miss.",
)
@click.option("--unit", type=click.Choice(["case", "slice", "patient"]), help="What is scored.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Random seed of the bootstrap and the permutations.")  # fmt: skip
@output_options(*FORMATS)
def command(
    run: Path,
    threshold: str,
    prevalences: tuple[float, ...],
    missed: float,
    columns: tuple[str, ...],
    conformal_alpha: float,
    unit: "Unit | None",
    seed: int,
    style: str | None,
    output: Path | None,
) -> None:
    """Judge a run for clinical use.

    Everything follows from the held-out predictions in RUN, pooled over folds: decision curve,
    predictive values at a prevalence, expected cost, calibration and recalibration, errors if the
    surest cases only are decided, conformal prediction sets, gaps between subgroups. Nothing is
    trained. Research software; not for clinical use.

    \b
    volbench clinical runs/mine --threshold sensitivity=0.9 --prevalence 0.05
    volbench clinical runs/mine --by site --format json --output clinical.json
    """
    import json
    import sys
    from functools import partial

    from volbench.evaluation.clinical.summary import clinical_summary
    from volbench.leaderboard.render.clinical import clinical_json, clinical_tables
    from volbench.leaderboard.render.terminal import markdown, terminal
    from volbench.runs.load import load_run

    found = clinical_summary(
        load_run(run),
        unit=unit,
        threshold=threshold,
        prevalences=prevalences,
        missed=missed,
        columns=columns,
        conformal_alpha=conformal_alpha,
        seed=seed,
    )
    style = chosen_format(style, output, FORMATS)
    if style == "json":
        text = json.dumps(clinical_json(found), indent=2, ensure_ascii=False) + "\n"
    else:
        color = output is None and sys.stdout.isatty()
        draw = markdown if style == "md" else partial(terminal, color=color)
        text = "\n".join(
            draw(part.title, part.cells, part.notes) for part in clinical_tables(found)
        )
    emit(text, output)
