"""An external evaluation drawn, for a page of its own or as a part of a report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from volbench.errors import DataError
from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.render.terminal import kind_of
from volbench.predict.external import ExternalEvaluation, ExternalRun
from volbench.report.curves import bins, calibration_of, mean_curve, overlaid
from volbench.report.drawings import GRID
from volbench.report.external_tables import external_tables
from volbench.report.section import Panel
from volbench.report.tables import ReportTableRow, Table
from volbench.runs.load import LoadedRun


@dataclass(frozen=True)
class ExternalTable:
    """A table and the notes below it."""

    table: Table
    notes: Sequence[str]


@dataclass(frozen=True)
class ExternalSection:
    """One external evaluation, drawn.

    Attributes:
        anchor: Its name on the page.
        title: Its heading.
        tables: Runs first, then metrics, pairs, groups.
        roc: Curves of all runs over one another.
        calibration: A figure of each run.
        warnings: Of the runs.
    """

    anchor: str
    title: str
    tables: Sequence[ExternalTable]
    roc: Markup
    calibration: Sequence[Panel]
    warnings: Sequence[str]


def evaluations_of(
    runs: Iterable[LoadedRun], found: Sequence[ExternalEvaluation]
) -> list[ExternalEvaluation]:
    """The evaluations that a report on these runs shows.

    Raises:
        DataError: one of them is of none of these runs.
    """
    ids = {str(run.experiment["id"]) for run in runs}
    for each in found:
        if not any(run.experiment_id in ids for run in each.runs):
            raise DataError(
                f"the evaluation on {each.source} is of none of the runs of this report: "
                f"{', '.join(run.name for run in each.runs)}; evaluate those, or report these"
            )
    return list(found)


def external_section(found: ExternalEvaluation, number: int) -> ExternalSection:
    """Draw an evaluation; ``number`` tells it from the others of its page."""
    anchor = f"external{number}"
    return ExternalSection(
        anchor=anchor,
        title=f"External evaluation on {found.source}",
        tables=[_table(each) for each in external_tables(found)],
        roc=_roc(found, name=f"{anchor}-roc"),
        calibration=[
            Panel(run.name, _calibration(found, run, name=f"{anchor}-calibration{place}"))
            for place, run in enumerate(found.runs)
        ],
        warnings=[f"{run.name}: {warning}" for run in found.runs for warning in run.warnings],
    )


def _table(found: TextTable) -> ExternalTable:
    _, *others = (kind_of(name) for name in found.cells)
    texts = next((n for n, kind in enumerate(others) if kind == "number"), len(others))
    columns = tuple(name.strip() for name in found.cells)
    rows = tuple(
        ReportTableRow(head, tuple(cells))
        for head, *cells in zip(*found.cells.values(), strict=True)
    )
    return ExternalTable(Table(found.title, columns, rows, texts=texts), found.notes)


def _roc(found: ExternalEvaluation, *, name: str) -> Markup:
    curves = []
    for run in found.runs:
        curve = mean_curve(found.labels, run.probabilities, GRID)
        assert curve is not None  # each class has a case: `evaluate` refuses others
        curves.append((f"{run.name}: AUC {run.auc[0]:.3f}", [curve]))
    said = "; ".join(
        f"{run.name}: AUC {run.auc[0]:.3f}, 95 % interval {run.auc[1]:.3f} to {run.auc[2]:.3f}"
        for run in found.runs
    )
    return overlaid(curves, name=name, label=f"ROC curves on external cases. {said}.")


def _calibration(found: ExternalEvaluation, run: ExternalRun, *, name: str) -> Markup:
    points = bins(found.labels, run.probabilities)
    of = f"{run.name} on external cases"
    if len(found.classes) > 2:
        x, y = "probability of the decision", "share that was right"
    else:
        x, y = f"predicted probability of {found.classes[1]}", f"share of {found.classes[1]}"
    return calibration_of(points, of=of, name=name, x=x, y=y)
