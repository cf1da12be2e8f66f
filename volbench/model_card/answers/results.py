"""Checklist answers about results: metrics, uncertainty, subgroups, errors, limitations."""

import math
from collections.abc import Sequence

from volbench.evaluation.metrics import metrics_for
from volbench.leaderboard.text import NAMES, p_value
from volbench.model_card.answers.answer import Answer
from volbench.model_card.answers.data import PLACE
from volbench.model_card.markdown import counted, estimate, number, safe, span
from volbench.model_card.run_facts import RunFacts

NOT_YET = "no fold is finished, so there is nothing to report yet"
WRONG = 5
"""Items with a wrong decision that a checklist names."""


def measures(facts: RunFacts) -> Answer:
    """Every metric by name, and the unit."""
    named = ", ".join(safe(metric.heading) for metric in metrics_for(facts.classes).values())
    return Answer(
        f"Per {facts.unit}, mean over folds: {named}. Pooled over folds: calibration in bins, "
        "metrics by subgroup. Formulas and sources: docs/reference/metrics.md of volbench.",
        "which of them is the primary one, and why",
    )


def uncertainty(facts: RunFacts) -> Answer:
    """Bootstrap and standard deviation."""
    found = facts.comparison
    spread = f"standard deviation over folds (ddof {found.ddof})"
    if not facts.complete:
        return Answer(
            f"{spread[0].upper()}{spread[1:]}.",
            "intervals: they are given once all folds are finished",
        )
    return Answer(
        f"95 % intervals from a bootstrap of patients within folds ({found.resamples} draws, seed "
        f"{found.seed}); {spread}. One candidate is shown, so nothing is tested."
    )


def performance(facts: RunFacts) -> Answer:
    """AUC, Brier score and calibration error."""
    if facts.items is None:
        return Answer(left=NOT_YET)
    row, metrics = facts.row, metrics_for(facts.classes)
    shown = [
        f"{safe(metrics[name].heading)} {estimate(row.score(name), percent=metrics[name].percent)}"
        for name in ("auc", "accuracy", "brier", "ece")
    ]
    known = f"{_scope(facts)}: {'; '.join(shown)}. All metrics: Quantitative analyses."
    return Answer(known, _unfinished(facts))


def accuracy_estimates(facts: RunFacts) -> Answer:
    """Recall of each class at the threshold."""
    if facts.items is None:
        return Answer(left=NOT_YET)
    words = {}
    if len(facts.classes) == 2:
        words = {facts.classes[1]: "sensitivity, ", facts.classes[0]: "specificity, "}
    shown = [
        f"{words.get(name, '')}recall {safe(name)} "
        f"{estimate(facts.row.score(f'recall_{name}'), percent=True)}"
        for name in facts.classes
    ]
    return Answer(f"{_scope(facts)}, {decision(facts)}: {'; '.join(shown)}.", _unfinished(facts))


def decision(facts: RunFacts) -> str:
    """How an item is called one class or another, in a clause."""
    if len(facts.classes) > 2:
        return "the most probable class is taken"
    if facts.threshold in ("0.5", ".5"):
        return "threshold 0.5, fixed"
    return f"threshold {safe(facts.threshold)}"


def output(facts: RunFacts) -> Answer:
    """Probabilities and the threshold."""
    chosen = "" if len(facts.classes) > 2 else _cuts(facts)
    return Answer(
        f"A probability per class; for decisions {decision(facts)}{chosen}.",
        "why this threshold" if len(facts.classes) == 2 else "why decisions are taken so",
    )


def _cuts(facts: RunFacts) -> str:
    if facts.items is None or facts.threshold in ("0.5", ".5"):
        return ""
    cuts = sorted({float(cut) for cut in facts.items.thresholds})
    return f" (set on the inner validation part of each fold: {cuts[0]:.3f} to {cuts[-1]:.3f})"


def internal(facts: RunFacts) -> Answer:
    """Held-out folds of the same data."""
    if facts.items is None:
        return Answer(left=NOT_YET)
    known = (
        f"{counted(len(facts.run.predictions), 'held-out fold')} of the same data set: AUC "
        f"{estimate(facts.row.score('auc'))}, n = {facts.row.n} {facts.unit}s."
    )
    return Answer(known, _unfinished(facts))


def external(facts: RunFacts) -> Answer:
    """None in a run."""
    return Answer(
        "None in this run: every scored case belongs to the data set that was trained on.",
        "testing on external data, or that there was none",
    )


def same_data(facts: RunFacts) -> Answer:
    """Training and held-out cases come from one data set."""
    return Answer(
        "Training and held-out cases are parts of one data set, prepared in the same way.",
        "differences, if the parts were not drawn at random",
    )


def groups(facts: RunFacts) -> Answer:
    """Range of the AUC over the groups of each column."""
    return _ranges(facts, list(dict.fromkeys(facts.strata["stratum"])))


def clusters(facts: RunFacts) -> Answer:
    """The same for columns that say where a case is from."""
    return _ranges(
        facts, [name for name in dict.fromkeys(facts.strata["stratum"]) if PLACE.search(name)]
    )


def _ranges(facts: RunFacts, columns: Sequence[str]) -> Answer:
    known = []
    for name in columns:
        part = facts.strata[facts.strata["stratum"] == name]
        areas = [float(area) for area in part["auc"] if not math.isnan(area)]
        if len(areas) > 1:
            known.append(
                f"{safe(name)}: AUC {min(areas):.3f} to {max(areas):.3f} in {len(areas)} groups "
                f"of {span(part['n'])} {facts.unit}s"
            )
    said = f"Pooled over folds, not tested: {'; '.join(known)}. Table: Quantitative analyses."
    return Answer(
        said if known else "",
        "groups that matter for this question, and which differences were expected",
    )


def robustness(facts: RunFacts) -> Answer:
    """Subgroups and the audit, where they are there."""
    known = [groups(facts).known] if groups(facts).known else []
    bar = facts.comparison.bar
    if bar is not None:
        known.append(f"Shortcut audit on the same folds: {shortcut(facts)}")
    return Answer(" ".join(known), "other analyses of robustness: seeds, settings, image quality")


def shortcut(facts: RunFacts) -> str:
    """The best row of the audit and whether the model beats it; a sentence."""
    bar, against = facts.comparison.bar, facts.row.bar
    assert bar is not None
    said = f"without the image, {safe(bar.features)} ({bar.model}) has AUC {number(bar.auc.mean)}"
    if against is None:
        return f"{said}; not compared."
    verdict = "is shown to be better" if against.beaten else "is NOT shown to be better"
    interval = f"95 % interval {against.low:+z.3f} to {against.high:+z.3f}"
    return (
        f"{said}; the model {verdict} (difference {against.difference:+z.3f}, {interval}, "
        f"{NAMES[against.test]}, {p_value(against.p)})."
    )


def failures(facts: RunFacts) -> Answer:
    """How many decisions are wrong, and the surest of them."""
    items = facts.items
    if items is None:
        return Answer(left=NOT_YET)
    many = int((items.predicted != items.labels).sum())
    surest = "; ".join(
        f"{safe(name)} (is {safe(true)}, called {safe(called)}, probability of {safe(true)} "
        f"{probability:.3f})"
        for name, true, called, probability in facts.wrong(WRONG)
    )
    known = f"{many} of {counted(len(items.labels), facts.unit)} called wrong"
    return Answer(
        f"{known}, the surest of them: {surest}." if surest else f"{known}.",
        "what these have in common, seen in the images",
    )


def limitations(facts: RunFacts) -> Answer:
    """What the files show to be a limit."""
    return Answer(" ".join(caveats(facts)), "other limits, and what they do to the results")


def caveats(facts: RunFacts) -> list[str]:
    """Limits that a run can tell of itself, a sentence each."""
    run = facts.run
    found = []
    if not facts.complete:
        done = len(run.predictions)
        found.append(f"Finished: {done} of {counted(facts.folds, 'fold')}; no intervals.")
    found.append("All cases are of one data set; nothing is known of other data.")
    if facts.split_across_folds:
        found.append(f"{counted(len(facts.split_across_folds), 'patient')} in more than one fold.")
    if facts.comparison.undefined:
        folds = ", ".join(map(str, facts.comparison.undefined))
        found.append(f"A class is missing in fold {folds}, where the AUC is not defined.")
    checkpoint = facts.recipe["selection"]["checkpoint"]
    if checkpoint != "validation":
        found.append("No inner validation part picked the epoch.")
    bar, against = facts.comparison.bar, facts.row.bar
    if bar is not None and against is not None and not against.beaten:
        found.append(f"Shortcut audit: {shortcut(facts)}")
    if bar is None:
        found.append("No shortcut audit stands beside these scores.")
    if not run.case_rows:
        found.append("Nothing is known of the cases beside their labels, so no subgroup is shown.")
    return found


def _scope(facts: RunFacts) -> str:
    folds = counted(len(facts.run.predictions), "finished fold")
    return f"Held-out {facts.unit}s of {folds}, n = {facts.row.n}"


def _unfinished(facts: RunFacts) -> str:
    if facts.complete:
        return ""
    missing = facts.folds - len(facts.run.predictions)
    return f"{counted(missing, 'fold')} of {facts.folds} missing: finish the run first"
