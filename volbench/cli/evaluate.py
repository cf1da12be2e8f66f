"""`volbench evaluate`: runs on labelled patients they never saw."""

from collections.abc import Sequence
from pathlib import Path

import click

from volbench.cli.options import inference_options
from volbench.cli.output import chosen_format, echo_note, emit, output_options
from volbench.cli.progress.counter import counter

FORMATS = ("table", "md", "json", "html")


@click.command("evaluate", short_help="Evaluate runs on external patients with labels.")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN|FOLDER..."
)
@click.option(
    "--data",
    "manifest",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="MANIFEST",
    help="CSV of labelled images with the columns image, label and patient.",
)
@click.option(
    "--threshold",
    default="0.5",
    show_default=True,
    metavar="T",
    help="A number; or youden, specificity=0.9, sensitivity=0.9, set on the runs' own inner "
    "validation parts.",
)
@click.option(
    "columns", "--by", multiple=True, metavar="COLUMN", help="Also AUC by this column; repeatable."
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Random seed of the bootstrap.",
)
@output_options(*FORMATS)
@inference_options
def command(
    paths: tuple[Path, ...],
    manifest: Path,
    threshold: str,
    columns: tuple[str, ...],
    seed: int,
    style: str | None,
    output: Path | None,
    device: str,
    precision: str,
    jobs: int | None,
    anyway: bool,
) -> None:
    """Evaluate runs on external patients.

    The ensemble of all folds of each RUN scores the images of MANIFEST, none of whose patients
    may have been in its data: AUC and metrics with intervals over patients, the change against its
    own cross-validation, calibration, and paired tests between runs. Thresholds and recalibration
    are those of the runs' inner validation parts. Research software; not for clinical use.

    \b
    volbench evaluate runs --data other-hospital/manifest.csv --threshold sensitivity=0.9
    volbench evaluate runs/a runs/b --data external.csv --by scanner --output external.html
    volbench evaluate runs --data external.csv --output external.json
    volbench report runs --external external.json
    """
    import json
    import sys
    from functools import partial

    from volbench._utils.cpu import available_cores
    from volbench.leaderboard.render.terminal import markdown, terminal
    from volbench.predict.external import evaluate
    from volbench.report.external_json import external_json
    from volbench.report.external_tables import external_tables

    runs = _with_networks(paths)
    with counter("evaluating", "runs") as on_run:
        found = evaluate(
            runs,
            manifest,
            threshold=threshold,
            columns=columns,
            device=device,
            precision=precision,
            anyway=anyway,
            jobs=jobs or available_cores(),
            seed=seed,
            on_run=on_run,
        )
    for run in found.runs:
        for warning in run.warnings:
            echo_note(f"warning: {run.name}: {warning}")
    tables = external_tables(found)
    style = chosen_format(style, output, FORMATS)
    if style == "json":
        text = json.dumps(external_json(found), indent=2, ensure_ascii=False) + "\n"
    elif style == "html":
        from volbench.report.external_page import external_page

        text = external_page(found)
    else:
        color = output is None and sys.stdout.isatty()
        draw = markdown if style == "md" else partial(terminal, color=color)
        text = "\n".join(draw(part.title, part.cells, part.notes) for part in tables)
    emit(text, output)


def _with_networks(paths: Sequence[Path]) -> list[Path]:
    """The runs to evaluate; of a folder, those of clinical columns are left out, and named."""
    from volbench.runs.folder import RunFolder
    from volbench.runs.load import find_runs

    runs = find_runs(paths)
    without = [
        run for run in runs if run not in paths and RunFolder(run).experiment().get("tabular")
    ]
    if without and len(without) < len(runs):
        names = ", ".join(run.name for run in without)
        echo_note(f"note: left out, as they predict from clinical columns: {names}")
        return [run for run in runs if run not in without]
    return runs
