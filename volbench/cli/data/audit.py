"""`volbench data audit`: shortcut baselines that predict the label without the image."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench._utils.text import plural
from volbench.cli.options import chosen_preprocessing, preprocessing_options
from volbench.cli.output import chosen_format, emit, output_options

if TYPE_CHECKING:
    from volbench.audit import AuditScore

FORMATS = ("table", "csv", "json")


@click.command("audit")
@click.argument("data", metavar="SPEC|MANIFEST.CSV|FOLDER")
@click.option(
    "--folds",
    default="10",
    show_default=True,
    metavar="N|official|FILE",
    help="Folds as in volbench run: the same folds and seed give the same split.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Random seed of the folds and the random forests.",
)
@preprocessing_options()
@output_options(*FORMATS)
def command(
    data: str,
    folds: str,
    seed: int,
    recipe: str | None,
    settings: tuple[str, ...],
    style: str | None,
    output: Path | None,
) -> None:
    """Run shortcut baselines: predict the label without images.

    Logistic regression and a random forest predict the label on the same folds as the runs, from
    the geometry of the files, the mask volume, the intensity histogram, each column of the
    manifest, and all of them together. A network that does not beat these baselines has not shown
    that it uses the image content.

    \b
    volbench data audit manifest.csv
    volbench data audit prepared/ --folds official --format csv --output audit.csv
    """
    import sys

    from volbench.audit import audit, score_audit
    from volbench.audit.export import scores_csv, scores_json
    from volbench.cli.progress.counter import counter
    from volbench.data.preparation.prepare_data import prepare
    from volbench.experiment.experiment import short_source
    from volbench.experiment.split_designs import choose_split

    options = chosen_preprocessing(data, recipe, settings)
    with counter("preparing", "cases") as on_case:
        prepared = prepare(data, options, on_case=on_case)
    split = choose_split(folds, prepared.cases, seed, prepared.classes)
    with counter("reading", "cases") as on_case, counter("auditing", "fits") as on_fit:
        found = audit(prepared, split, seed=seed, on_case=on_case, on_fit=on_fit)
    scores = score_audit(found)
    about: dict[str, str | int] = {
        "data": short_source(prepared.source),
        "cases": len(prepared.cases),
        "patients": len({case.patient for case in prepared.cases}),
        "folds": len(split.folds),
        "seed": seed,
        "data_digest": prepared.digest,
        "split_digest": split.digest,
    }
    style = chosen_format(style, output, FORMATS)
    if style == "csv":
        text = scores_csv(scores)
    elif style == "json":
        text = scores_json(scores, about)
    else:
        text = _table(scores, about, color=output is None and sys.stdout.isatty())
    emit(text, output)


def _table(scores: "Sequence[AuditScore]", about: dict[str, str | int], *, color: bool) -> str:
    from volbench.audit import summarize
    from volbench.leaderboard.render.terminal import terminal

    findings = [f"{row.finding} ({row.note})" if row.note else row.finding for row in scores]
    cells = {
        "features": [row.features for row in scores],
        "model": [row.model for row in scores],
        "auc": [_auc(row) for row in scores],
        "95 %": [_interval(row) for row in scores],
        "n": [str(row.n) for row in scores],
        "finding": findings,
    }
    notes = [*summarize(scores), "", *_notes(scores, int(about["folds"]))]
    return terminal(_title(about), cells, notes, color=color)


def _title(about: dict[str, str | int]) -> str:
    data, split = str(about["data_digest"])[:8], str(about["split_digest"])[:8]
    return (
        f"{about['data']}: {about['cases']} cases of {about['patients']} patients, "
        f"{plural(int(about['folds']), 'fold')} (data {data}, split {split})"
    )


def _auc(row: "AuditScore") -> str:
    if math.isnan(row.auc):
        return "undefined"
    spread = "" if math.isnan(row.auc_std) else f"±{row.auc_std:.3f}".replace("±0.", "±.")
    return f"{row.auc:.3f}{spread}"


def _interval(row: "AuditScore") -> str:
    return "" if math.isnan(row.low) else f"{row.low:.2f} to {row.high:.2f}"


def _notes(scores: "Sequence[AuditScore]", folds: int) -> list[str]:
    from volbench.audit.features import (
        EVERYTHING,
        GEOMETRY,
        INTENSITY,
        POSITION,
        ROI,
        STRATA,
        STRATUM,
    )

    there = {STRATUM if row.features.startswith(STRATUM) else row.features: row for row in scores}
    lines = [
        f"{'stratum ...' if name == STRATUM else name}: "
        f"{'that column of the manifest alone' if name == STRATUM else there[name].meaning}."
        for name in (GEOMETRY, POSITION, ROI, INTENSITY, STRATUM, STRATA, EVERYTHING)
        if name in there
    ]
    lines.append(
        "AUC: mean ± standard deviation over folds (ddof 1) of held-out cases; interval: bootstrap "
        f"over patients. Chance alone would not bring any of the {len(scores)} rows above "
        f"{scores[0].chance:.2f} (level 5 %)."
    )
    if scores[0].folds < folds:
        lines.append(f"Only {scores[0].folds} of {folds} folds hold out cases of every class.")
    return lines
