"""Report section of one comparison."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from volbench._utils.text import command_line
from volbench.data.preprocessing.options import as_settings, from_values
from volbench.errors import SpecError
from volbench.experiment.experiment import data_argument
from volbench.leaderboard.statistics.comparison import Comparison
from volbench.report import candidate_figures as rows
from volbench.report import curves, tables
from volbench.report.clinical import (
    ClinicalFigures,
    clinical_figures,
    clinical_summaries,
    clinical_table,
)
from volbench.report.examples import Examples, examples
from volbench.report.learning_curve import patient_curves
from volbench.report.misclassified import MisclassifiedCases, misclassified_cases
from volbench.report.prepared_data import find_prepared
from volbench.report.provenance import RunProvenance, origins
from volbench.report.report_row import ReportRow, report_rows
from volbench.report.text import conclusion, protocol, question
from volbench.runs.load import read_history

CONTENTS = (
    ("question", "The question and the protocol"),
    ("leaderboard", "Leaderboard"),
    ("roc", "ROC curves"),
    ("calibration", "Calibration"),
    ("clinical", "Clinical use"),
    ("folds", "Fold by fold"),
    ("differences", "Differences"),
    ("confusion", "Confusion matrices"),
    ("strata", "Strata"),
    ("learning", "Learning curves"),
    ("cost", "Speed and size"),
    ("hard", "Cases that were hard for all"),
    ("explained", "What the networks looked at"),
    ("provenance", "Provenance"),
)
"""Names of the headings' anchors, and the headings."""


@dataclass(frozen=True)
class Panel:
    """A small figure and its title."""

    title: str
    figure: Markup


@dataclass(frozen=True)
class ReportSection:
    """One comparison; figures that cannot be drawn are None or missing."""

    anchor: str
    title: str
    question: str
    protocol: Sequence[str]
    conclusion: Sequence[str]
    comparison: Comparison
    rows: Sequence[ReportRow]
    leaderboard: tables.Table
    roc: Sequence[Panel]
    roc_together: Markup | None
    calibration: Sequence[Panel]
    bins: tables.Table
    clinical: Sequence[ClinicalFigures]
    clinical_table: tables.Table
    folds: Markup | None
    differences: Markup | None
    confusions: Sequence[tables.Confusion]
    strata: Sequence[tuple[tables.Stratum, Markup | None]]
    small_strata: Sequence[str]
    learning: Sequence[Panel]
    patient_curves: Sequence[Panel]
    cost: tables.Table
    wrong: MisclassifiedCases | None
    has_images: bool
    wants_images: bool
    examples: Examples | None
    origins: Sequence[RunProvenance]
    contents: Sequence[tuple[str, str]] = CONTENTS

    @property
    def look(self) -> str:
        """The command that shows the volumes as networks see them."""
        experiment = self.comparison.first_run.experiment
        words = ["volbench", "data", "show", data_argument(experiment["source"])]
        with suppress(SpecError):  # a key of another version
            options = from_values(experiment.get("recipe", {}).get("preprocessing", {}))
            words += [word for text in as_settings(options) for word in ("--set", text)]
        return command_line(*words)

    @property
    def against(self) -> str:
        """What the others are shown against."""
        place = self.comparison.against
        return "" if place is None else self.rows[place].title


def build_section(
    comparison: Comparison, number: int, folders: Sequence[Path], *, images: bool = True
) -> ReportSection:
    """Compute and draw everything.

    Args:
        comparison: What to show.
        number: Of the section on its page, for names that are unique there.
        folders: Prepared folders to look for images in.
        images: Whether slices of scans are shown, and so whether decisions are explained.
    """
    candidates = report_rows(comparison)
    run = comparison.first_run
    data, split = run.protocol
    prepared = find_prepared(run, folders) if images else None
    best = _best(comparison, [row for row in candidates if not row.candidate.runs[0].columns])
    explained = None
    if best is not None and images:
        there = find_prepared(best.candidate.runs[0], folders)
        explained = examples(best, there, threshold=comparison.threshold)
    elif best is not None:
        explained = Examples(best.title, reason="images were left out of this page")
    several = len(comparison.classes) > 2
    positive = comparison.classes[-1] if comparison.classes else ""
    x = "probability of the decision" if several else "predicted probability"
    y = "share that was right" if several else "observed share"
    found_strata = tables.strata(comparison, candidates)
    shown_strata = [stratum for stratum in found_strata if stratum.has_areas]
    name = f"s{number}"
    clinical = clinical_summaries(candidates)
    return ReportSection(
        anchor=name,
        title=f"{run.data}: {run.cases} cases, data {data[:8]}, split {split[:8]}",
        question=question(comparison, candidates),
        protocol=protocol(comparison, candidates),
        conclusion=conclusion(comparison, candidates),
        comparison=comparison,
        rows=candidates,
        leaderboard=tables.leaderboard(comparison, candidates),
        roc=_panels((row, curves.roc(row, name=f"{name}-roc{row.number}")) for row in candidates),
        roc_together=curves.roc_together(candidates, name=f"{name}-roc"),
        calibration=_panels(
            (row, curves.calibration(row, name=f"{name}-cal{row.number}", x=x, y=y))
            for row in candidates
        ),
        bins=_bins(candidates, positive),
        clinical=clinical_figures(clinical, name=name),
        clinical_table=clinical_table(clinical),
        folds=rows.folds(candidates, name=f"{name}-folds"),
        differences=rows.differences(comparison, candidates, name=f"{name}-differences"),
        confusions=tables.confusions(candidates),
        strata=[
            (each, rows.strata(each.groups, each.areas, candidates, name=f"{name}-strata{place}"))
            for place, each in enumerate(shown_strata)
        ],
        small_strata=[stratum.column for stratum in found_strata if not stratum.has_areas],
        learning=_panels(
            (
                row,
                curves.learning(
                    [
                        read_history(run, fold)
                        for run in row.candidate.runs
                        for fold in run.predictions
                        if not run.columns
                    ],
                    title=row.label,
                    name=f"{name}-learning{row.number}",
                ),
            )
            for row in candidates
        ),
        patient_curves=[
            Panel(*each) for each in patient_curves(comparison, name=f"{name}-patients")
        ],
        cost=tables.cost(comparison, candidates),
        wrong=misclassified_cases(comparison, candidates, prepared),
        has_images=prepared is not None,
        wants_images=images,
        examples=explained,
        origins=origins(candidates),
    )


def _best(comparison: Comparison, candidates: Sequence[ReportRow]) -> ReportRow | None:
    """The complete candidate with the largest AUC; else the first with any prediction."""
    able = [row for row in candidates if row.candidate.runs[0].predictions]
    complete = [row for row in able if row.candidate.status == "complete"]
    means = [row.candidate.score("auc").mean for row in complete]
    if means and not np.isnan(means).all():
        return complete[int(np.nanargmax(means))]
    return next(iter(able), None)


def _panels(found: Iterable[tuple[ReportRow, Markup | None]]) -> list[Panel]:
    return [Panel(row.title, drawn) for row, drawn in found if drawn is not None]


def _bins(candidates: Sequence[ReportRow], positive: str) -> tables.Table:
    body = [
        tables.ReportTableRow(
            row.title,
            (
                f"{each.low:.1f} to {each.high:.1f}",
                str(each.items),
                f"{each.probability:.3f}",
                f"{each.observed:.3f}",
            ),
        )
        for row in candidates
        if row.items
        for each in curves.bins_of(row.items)
    ]
    columns = ("candidate", "probability", "n", "mean probability", "observed share")
    return tables.Table("Points of the calibration curves", columns, tuple(body), texts=1)
