"""An external evaluation as tables."""

import math

from volbench.evaluation.metrics import metrics_for
from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.render.layout import interval, p_text
from volbench.predict.external import ExternalEvaluation, Span


def external_tables(found: ExternalEvaluation) -> list[TextTable]:
    """Runs, metrics at the frozen threshold, pairs, groups."""
    parts = [_runs(found), _metrics(found)]
    if found.pairs:
        parts.append(_pairs(found))
    parts += [_strata(found, column) for column in found.runs[0].strata]
    return parts


def _runs(found: ExternalEvaluation) -> TextTable:
    cells = {
        "run": [run.name for run in found.runs],
        "AUC": [f"{run.auc[0]:.3f}" for run in found.runs],
        "95 %": [interval(*run.auc[1:]) for run in found.runs],
        "internal": [f"{run.internal:.3f}" for run in found.runs],
        "change": [f"{run.drop[0]:+z.3f}" for run in found.runs],
        "95 % ": [interval(*run.drop[1:], signed=True) for run in found.runs],
        "single\nfolds": [f"{run.by_fold.min():.2f} to {run.by_fold.max():.2f}"
                          for run in found.runs],
    }  # fmt: skip
    patients = len(set(found.patients))
    sizes = ", ".join(
        f"{int((found.labels == index).sum())} {name}" for index, name in enumerate(found.classes)
    )
    title = f"{found.source}: {len(found.labels)} cases of {patients} patients ({sizes})"
    notes = [
        "External: no run was trained on these patients. AUC of the ensemble of all folds, "
        "interval by patient (DeLong). internal: the run's own cross-validation, mean over folds "
        "of single networks; change: external less internal, other patients, so both variances add "
        "up. single folds: AUC of each network alone."
    ]
    return TextTable(title, cells, notes)


def _metrics(found: ExternalEvaluation) -> TextTable:
    known = metrics_for(found.classes)
    cells = {"run": [run.name for run in found.runs]}
    if len(found.classes) == 2:
        cells["threshold"] = [f"{run.threshold:.3g}" for run in found.runs]
    for name, metric in known.items():
        if metric.headline and name != "auc":
            cells[metric.column] = [_text(run.metrics[name], 100 if metric.percent else 1)
                                    for run in found.runs]  # fmt: skip
    notes = [
        "Threshold as chosen on the runs' inner validation parts, mean over folds; intervals over "
        "patients (bootstrap)."
    ]
    if all(run.calibration for run in found.runs):
        lines = [run.calibration for run in found.runs if run.calibration]
        cells["calibr.\nintercept"] = [f"{line.intercept:+z.2f}" for line in lines]
        cells["slope"] = [f"{line.slope:.2f}" for line in lines]
        cells["Brier"] = [f"{run.metrics['brier'][0]:.3f}" for run in found.runs]
        if not all(math.isnan(run.recalibrated_brier) for run in found.runs):
            briers = [run.recalibrated_brier for run in found.runs]
            cells["recali-\nbrated"] = ["" if math.isnan(b) else f"{b:.3f}" for b in briers]
            notes.append(
                "Calibration: 0 and 1 are perfect. recalibrated: Brier score by a line fitted on "
                "the inner validation parts, not on these cases."
            )
    return TextTable("At the frozen threshold", cells, notes)


def _pairs(found: ExternalEvaluation) -> TextTable:
    pairs = found.pairs
    cells: dict[str, list[str]] = {
        "run": [pair.first for pair in pairs],
        "against": [pair.second for pair in pairs],
        "diff.": [f"{pair.difference[0]:+z.3f}" for pair in pairs],
        "95 %": [interval(*pair.difference[1:], signed=True) for pair in pairs],
        "p\n(Holm)": [p_text(pair.p_holm) for pair in pairs],
        "verdict": [pair.verdict for pair in pairs],
    }
    notes = [
        "DeLong's test by patient, paired, Holm over all pairs: about these trained ensembles on "
        "such patients, not about training them again."
    ]
    return TextTable("Pairs", cells, notes)


def _strata(found: ExternalEvaluation, column: str) -> TextTable:
    cells: dict[str, list[str]] = {"run": [run.name for run in found.runs]}
    for group, (cases, _) in found.runs[0].strata[column].items():
        spans = [run.strata[column][group][1] for run in found.runs]
        cells[f"{group}\n{cases} cases"] = [
            "few" if math.isnan(span[0]) else _text(span, 1) for span in spans
        ]
    return TextTable(f"AUC by {column}", cells, ["few: fewer than five of a class."])


def _text(span: Span, unit: float) -> str:
    digits = 1 if unit == 100 else 3
    value, low, high = (f"{end * unit:.{digits}f}" for end in span)
    return f"{value}\n{low} to {high}"
