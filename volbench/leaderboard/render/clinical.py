"""The clinical summary of a run as tables and as JSON values."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from volbench.evaluation.clinical.summary import ClinicalSummary, Span
from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.render.json import plain
from volbench.leaderboard.render.layout import p_text

COVERAGES = (0.5, 0.7, 0.8, 0.9, 1.0)


def clinical_tables(found: ClinicalSummary) -> list[TextTable]:
    """Lay out everything that is there."""
    parts = [
        _decisions(found), _curve(found), _calibration(found),
        _selective(found), _conformal(found), _gaps(found),
    ]  # fmt: skip
    return [part for part in parts if part is not None]


def clinical_json(found: ClinicalSummary) -> dict[str, Any]:
    """The same numbers, all of them, as plain values; NaN is None."""
    items = found.items
    before, after = found.calibration or (None, None)
    values = {
        "schema": 1,
        "run": found.run.name,
        "unit": items.unit,
        "n": len(items.labels),
        "classes": list(items.classes),
        "sensitivity": _ends(found.sensitivity),
        "specificity": _ends(found.specificity),
        "at_prevalence": [
            {
                "prevalence": at.prevalence,
                **{name: _ends(getattr(at, name)) for name in ("ppv", "npv", "cost")},
            }
            for at in found.at
        ],
        "decision_curve": [
            {
                "threshold": point.threshold,
                "net_benefit": _ends(point.model),
                "treat_all": point.treat_all,
                "gain": _ends(point.gain),
            }
            for point in found.curve
        ],
        "calibration": before and asdict(before),
        "recalibrated": after and asdict(after),
        "folds_not_recalibrated": list(found.unfitted),
        "aurc": found.selective.area,
        "best_aurc": found.selective.best_area,
        "risk_by_coverage": [_risk_at(found, share) for share in COVERAGES],
        "coverages": list(COVERAGES),
        "conformal": found.conformal and asdict(found.conformal),
        "subgroups": {column: asdict(gap) for column, gap in found.gaps.items()},
    }
    return {name: plain(value) for name, value in values.items()}


def _decisions(found: ClinicalSummary) -> TextTable | None:
    if not found.at:
        return None
    assert found.sensitivity is not None
    assert found.specificity is not None
    classes = found.items.classes
    cells = {
        f"prevalence\nof {classes[1]}": [f"{at.prevalence:.1%}" for at in found.at],
        "PPV": [_text(at.ppv) for at in found.at],
        "NPV": [_text(at.npv) for at in found.at],
        "expected\ncost": [_text(at.cost) for at in found.at],
    }
    notes = [
        f"Sensitivity {_text(found.sensitivity)}, specificity {_text(found.specificity)}, one "
        f"decision per {found.items.unit}; the first row is the prevalence of these data. Another "
        "one changes the predictive values, not sensitivity and specificity, if the patients are "
        "otherwise alike. Cost: of a patient, in false alarms.",
        "95 % intervals over patients (bootstrap), the trained networks given.",
    ]
    return TextTable(f"{found.run.name}: decisions", cells, notes)


def _curve(found: ClinicalSummary) -> TextTable | None:
    if not found.curve:
        return None
    cells = {
        "threshold": [f"{point.threshold:g}" for point in found.curve],
        "net benefit": [_text(point.model) for point in found.curve],
        "treat all": [f"{point.treat_all:.3f}" for point in found.curve],
        "gain": [_text(point.gain) for point in found.curve],
    }
    notes = [
        "Net benefit: true positives per patient, less false positives at the exchange rate that "
        "the threshold stands for (0.2: one missed patient is as bad as four false alarms). gain: "
        "beyond the better of treating all and treating nobody. Below 0 the model does harm there."
    ]
    return TextTable("Decision curve", cells, notes)


def _calibration(found: ClinicalSummary) -> TextTable | None:
    if found.calibration is None:
        return None
    before, after = found.calibration
    rows = [("as it is", before), *([("recalibrated", after)] if after else [])]
    cells = {
        "run": [name for name, _ in rows],
        "intercept": [f"{each.line.intercept:+z.2f}" for _, each in rows],
        "slope": [f"{each.line.slope:.2f}" for _, each in rows],
        "Brier": [f"{each.brier:.3f}" for _, each in rows],
        "log loss": [f"{each.log_loss:.3f}" for _, each in rows],
    }
    perfect = "0 and 1 are perfect; a slope below 1: too sure."
    return TextTable("Calibration", cells, [f"{perfect} {_recalibration(found)}"])


def _recalibration(found: ClinicalSummary) -> str:
    """On what was recalibrated; or why not, or not in all folds."""
    assert found.calibration is not None
    recalibrated = found.calibration[1] is not None
    said = "Recalibrated on the inner validation part of each fold, judged on the held-out cases."
    if not found.unfitted and not recalibrated:
        return (
            "Without an inner validation part of both classes in every fold there is nothing to "
            "recalibrate on."
        )
    if not found.unfitted:
        return said
    separated = "completely separated, which no line fits"
    if not recalibrated:
        return f"Not recalibrated: the classes of every inner validation part are {separated}."
    folds = "Fold" if len(found.unfitted) == 1 else "Folds"
    listed = ", ".join(map(str, found.unfitted))
    return (
        f"{said} {folds} {listed}: left as they are, as the classes of the inner part are "
        f"{separated}."
    )


def _selective(found: ClinicalSummary) -> TextTable:
    cells = {
        "decided": [f"{share:.0%}" for share in COVERAGES],
        "errors": [f"{_risk_at(found, share):.1%}" for share in COVERAGES],
    }
    notes = [
        "Errors if only the surest share is decided and the rest goes to a person. AURC "
        f"{found.selective.area:.3f}; {found.selective.best_area:.3f} if every wrong decision were "
        "less sure than every right one."
    ]
    return TextTable("Selective prediction", cells, notes)


def _conformal(found: ClinicalSummary) -> TextTable | None:
    sets = found.conformal
    if sets is None:
        return None
    cells = {
        "class": list(found.items.classes),
        "covered": [f"{share:.1%}" for share in sets.coverage],
    }
    notes = [
        f"Sets that should hold the true class in {1 - sets.alpha:.0%} of the cases of each class, "
        f"calibrated on the inner validation part of each fold. {sets.single:.0%} of the sets name "
        f"one class, {sets.empty:.0%} none. The inner part picked the checkpoint too, so coverage "
        "may fall a little short."
    ]
    return TextTable("Conformal prediction sets, by class", cells, notes)


def _gaps(found: ClinicalSummary) -> TextTable | None:
    if not found.gaps:
        return None
    gaps = found.gaps
    cells = {
        "column": list(gaps),
        "largest AUC": [f"{gap.best} {gap.areas[gap.best]:.3f}" for gap in gaps.values()],
        "smallest": [f"{gap.worst} {gap.areas[gap.worst]:.3f}" for gap in gaps.values()],
        "gap": [f"{gap.gap:.3f}" for gap in gaps.values()],
        "p": [p_text(gap.p) for gap in gaps.values()],
    }
    notes = [
        "p: share of 1,000 random divisions of the patients of each class into groups of these "
        "sizes with a gap as large between any two of them."
    ]
    return TextTable("Subgroups", cells, notes)


def _risk_at(found: ClinicalSummary, share: float) -> float:
    place = max(0, math.ceil(share * len(found.selective.risk) - 1e-9) - 1)
    return float(found.selective.risk[place])


def _text(span: Span) -> str:
    value, low, high = span
    if math.isnan(low):
        return f"{value:z.3f}"
    return f"{value:z.3f} ({low:z.3f} to {high:z.3f})"


def _ends(span: Sequence[float] | None) -> dict[str, float] | None:
    return None if span is None else dict(zip(("value", "low", "high"), span, strict=True))
