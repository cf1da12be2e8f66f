"""Tables of a model card: metrics, calibration, subgroups, shortcut baselines, errors."""

import math

import pandas as pd

from volbench.errors import DataError
from volbench.evaluation.metrics import metrics_for, reliability_bins
from volbench.evaluation.statistics import bootstrap_interval
from volbench.model_card.answers.results import NOT_YET, decision
from volbench.model_card.markdown import counted, number, safe, table
from volbench.model_card.run_facts import RunFacts

WRONG = 10


def quantitative(facts: RunFacts) -> str:
    """All tables, each with what it holds."""
    if facts.items is None:
        return f"No table: {NOT_YET}."
    parts = [_metrics(facts), _other_units(facts), _calibration(facts), _strata(facts)]
    parts += [_audit(facts), _wrong(facts)]
    return "\n\n".join(part for part in parts if part)


def _metrics(facts: RunFacts) -> str:
    found = facts.comparison
    rows = []
    for name, metric in metrics_for(facts.classes).items():
        score, scale, digits = facts.row.score(name), *((100, 1) if metric.percent else (1, 3))
        unit = " %" if metric.percent else ""
        low, high = (number(end * scale, digits) for end in (score.low, score.high))
        rows.append(
            (
                safe(metric.heading) + unit,
                number(score.mean * scale, digits),
                "–" if math.isnan(score.low) else f"{low} to {high}",
                number(score.std * scale, digits),
            )
        )
    folds = counted(len(facts.run.predictions), "finished fold")
    said = (
        f"Held-out {facts.unit}s of {folds}, n = {facts.row.n}; {decision(facts)}. Mean over "
        f"folds, 95 % interval from a bootstrap of patients within folds ({found.resamples} draws; "
        f"a dash where there is none), standard deviation over folds (ddof {found.ddof})."
    )
    return f"{said}\n\n{table(['metric', 'mean', '95 % interval', 'std'], rows)}"


def _other_units(facts: RunFacts) -> str:
    shown = [
        f"per {unit} {number(score.mean)} (standard deviation over folds {number(score.std)})"
        for unit, score in facts.row.other_units.items()
    ]
    return f"AUC of the same predictions put together: {', '.join(shown)}." if shown else ""


def _calibration(facts: RunFacts) -> str:
    items = facts.items
    assert items is not None
    two = len(items.classes) == 2
    bins = reliability_bins(items.labels, items.probabilities, of=1 if two else None)
    rows = [
        (
            f"{one.low:.1f} to {one.high:.1f}",
            str(one.items),
            number(one.probability),
            number(one.observed),
        )
        for one in bins
    ]
    meant = safe(items.classes[1]) if two else "the most probable class"
    share = f"share that is {safe(items.classes[1])}" if two else "share right"
    header = ["probability", f"{facts.unit}s", "mean probability", share]
    return (
        f"Calibration, all finished folds together. Probability of {meant} in bins, and how often "
        "it came true.\n\n"
        f"{table(header, rows)}"
    )


def _strata(facts: RunFacts) -> str:
    frame = facts.strata
    if not len(frame):
        return ""
    rows = [
        (
            safe(row["stratum"]),
            safe(row["group"]),
            str(row["n"]),
            str(row["patients"]),
            *(str(row[f"n_{name}"]) for name in facts.classes),
            number(row["auc"]),
            _interval(facts, str(row["stratum"]), str(row["group"]), float(row["auc"])),
            *(number(100 * row[f"recall_{name}"], 1) for name in facts.classes),
        )
        for _, row in frame.iterrows()
    ]
    classes = [safe(name) for name in facts.classes]
    header = ["column", "group", f"{facts.unit}s", "patients", *classes, "AUC", "95 % interval"]
    header += [f"recall {name} %" for name in classes]
    return (
        "Subgroups, all finished folds together (so the AUC is not the mean of those of folds); "
        f"95 % interval from a bootstrap of patients ({facts.comparison.resamples} draws). A dash: "
        f"fewer than 5 {facts.unit}s of a class. Groups are not tested against one another.\n\n"
        f"{table(header, rows, text=2)}"
    )


def _interval(facts: RunFacts, stratum: str, group: str, area: float) -> str:
    if math.isnan(area):
        return "–"
    inside = facts.members(stratum, group)
    try:
        found = bootstrap_interval(
            inside.labels,
            inside.probabilities,
            clusters=pd.Series(inside.patients).to_numpy(),
            resamples=facts.comparison.resamples,
        )
    except DataError:  # too few patients to draw from
        return "–"
    return f"{found.low:.3f} to {found.high:.3f}"


def _audit(facts: RunFacts) -> str:
    shortcuts = facts.comparison.shortcuts
    if not shortcuts:
        return ""
    rows = [
        (
            safe(one.features),
            one.model,
            "nearly the label" if one.label else safe(one.note or "–"),
            number(one.auc.mean),
            number(one.auc.std),
        )
        for one in shortcuts
    ]
    header = ["features", "model", "note", "AUC", "std"]
    return (
        "Shortcut audit: what simple models reach on the same folds without the image (mean and "
        f"standard deviation over folds).\n\n{table(header, rows, text=3)}"
    )


def _wrong(facts: RunFacts) -> str:
    rows = [
        (safe(name), safe(true), safe(called), number(probability))
        for name, true, called, probability in facts.wrong(WRONG)
    ]
    if not rows:
        return "No decision is wrong."
    header = [facts.unit, "is", "called", "probability of what it is"]
    return f"Surest mistakes, at most {WRONG}.\n\n{table(header, rows, text=3)}"
