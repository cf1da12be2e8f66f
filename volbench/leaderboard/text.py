"""Notes above and below a comparison, as text."""

import math
from collections.abc import Mapping, Sequence

from volbench._utils.text import plural
from volbench.evaluation.statistics import LARGEST_DIFFERENCE
from volbench.leaderboard.inputs import input_names, input_note
from volbench.leaderboard.statistics.comparison import Candidate, Comparison, Decides, PowerAnalysis
from volbench.leaderboard.statistics.next_design import recommendation
from volbench.leaderboard.statistics.per_class import DEFINITION
from volbench.leaderboard.statistics.seed_variance import seed_notes
from volbench.leaderboard.statistics.sites import over_sites, site_column
from volbench.runs.environments import environment_notes

NAMES: Mapping[Decides, str] = {
    "combined": "cross-validated z-test",
    "corrected_t": "corrected t-test on folds",
    "delong": "DeLong's test",
    "bootstrap": "bootstrap of patients",
}
CHANCE = 0.5
DAGGER, DOUBLE_DAGGER = "†", "‡"


def title(found: Comparison) -> str:
    """Name the data, how much of it, and the folds."""
    run = found.first_run
    folds = int(run.experiment["folds"])
    names = " / ".join(dict.fromkeys(input_names(found.runs)))
    data = " / ".join(dict.fromkeys(each.protocol[0][:8] for each in found.runs))
    cases = " / ".join(map(str, dict.fromkeys(each.cases for each in found.runs)))
    split = ", ".join(digest[:8] for digest in found.splits)
    repeated = f" x {found.repeats} repeats" if found.repeats > 1 else ""
    return (
        f"{names}: {cases} cases of {run.patients} patients, "
        f"{plural(folds, 'random split' if run.repeated else 'fold')}{repeated} "
        f"(data {data}, split {split})"
    )


def is_one_part(found: Comparison) -> bool:
    """Whether each row is one training and one held-out part, so that nothing is averaged."""
    folds = int(found.first_run.experiment["folds"])
    return folds == 1 and all(len(row.runs) <= 1 for row in found.rows)


def averaged(found: Comparison) -> str:
    """What stands in a cell: a mean over folds with its spread, or the score of one part."""
    if is_one_part(found):
        return "One held-out part, so scores have no spread"
    return f"Mean ± standard deviation over folds (ddof {found.ddof})"


def headline_notes(found: Comparison, *, stacked: bool) -> list[str]:
    """How the numbers of the first table are to be read."""
    where = "beneath the AUC: its 95 % interval" if stacked else "95 %: interval of the AUC"
    notes = [
        f"{averaged(found)}, one score per {found.unit}{_threshold(found)}; {where} over patients, "
        f"the trained networks given ({found.resamples} bootstrap draws"
        f"{'' if is_one_part(found) else ', AUC within folds'}). M par: million parameters"
        + ("; GB: peak memory." if found.one_machine else ".")
    ]
    if len(found.classes) > 2:
        notes.append(f"{DEFINITION}; --per-class shows each.")
    if found.mixed:
        notes.append(
            "Some runs predict slices, some volumes: all are compared per case here, the mean over "
            "its slices."
        )
    notes += _groups(found)
    if found.undefined:
        numbers = ", ".join(map(str, found.undefined))
        notes.append(
            f"AUC is undefined in fold {numbers}, where a class is missing, and so is any mean "
            "over all folds; pairs are tested on the other folds."
        )
    notes += input_note(found.runs)
    notes += site_notes(found)
    notes += patient_notes(found)
    notes += permuted_notes(found)
    notes += seed_notes(found.rows)
    notes += daggers(found)
    notes += _searches(found)
    notes += copies_notes(found.rows)
    if not found.one_machine:
        notes.append(
            "Seconds and memory are left out: the rows were not run on one machine, with one "
            "device, precision and number of threads."
        )
    notes += [note for row in found.rows for run in row.runs for note in environment_notes(run)]
    return [*notes, *unfinished_learning(found.rows), *incomplete_notes(found.rows)]


def site_notes(found: Comparison) -> list[str]:
    """Where folds are sites: intervals over sites, and for one more site."""
    complete = [row for row in found.rows if row.status == "complete" and len(row.runs) == 1]
    sites = site_column(complete[0].runs[0]) if complete else None
    if sites is None:
        return []
    column, values = sites
    over = {row.name: over_sites(row.scored[0].by_fold["auc"].to_numpy()) for row in complete}
    parts = [
        f"{name} {each.low:.2f} to {each.high:.2f}, one more {each.low_new:.2f} to "
        f"{each.high_new:.2f}"
        for name, each in over.items()
        if each is not None
    ]
    named = ", ".join(values.values())
    if not parts:
        return [f"Folds are values of {column} ({named}): too few for an interval over them."]
    return [
        f"Folds are values of {column} ({named}), each left out once. 95 % of the mean AUC over "
        f"more such values, and of one more: {'; '.join(parts)}. The {len(values)} values count "
        "as a sample (Student's t); the interval in the table is over patients of these only."
    ]


def patient_notes(found: Comparison) -> list[str]:
    """What stands for patients in the intervals, where the data set names none."""
    said = found.first_run.about_patients
    return [f"Patients: {said}."] if said else []


def permuted_notes(found: Comparison) -> list[str]:
    """What is right where labels were exchanged between patients; and which rows are not."""
    if not found.first_run.experiment.get("permuted"):
        return []
    above = [row.name for row in found.rows if row.score("auc").low > CHANCE]
    note = (
        "Permuted labels: they were exchanged between patients, so this is a check of data and "
        "code and no result; an AUC near 0.5 is right."
    )
    if not above:
        return [note]
    return [
        f"{note} The interval of {', '.join(above)} lies above it: look for patients or copies on "
        "both sides of a fold, and for what was fitted on held-out cases."
    ]


def unfinished_learning(rows: Sequence[Candidate]) -> list[str]:
    """Name runs most of whose folds were best in their last epoch: they might have gone on.

    Of a single epoch, which is first and last, this says nothing.
    """
    names = []
    runs = [run for row in rows for run in row.runs]
    for run in runs:
        recipe = run.experiment.get("recipe", {})
        if recipe.get("selection", {}).get("checkpoint") != "validation":
            continue
        last = recipe.get("training", {}).get("epochs")
        epochs = [one.selected_epoch for one in run.results.values() if one.status == "finished"]
        if epochs and last != 1 and sum(epoch == last for epoch in epochs) > len(epochs) / 2:
            names.append(run.name)
    if not names:
        return []
    whose = "every run" if len(names) == len(runs) > 1 else ", ".join(names)
    folds = {int(run.experiment["folds"]) for run in runs}
    which = "the only fold" if folds == {1} else "most folds"
    were = "was best in its" if folds == {1} else "were best in their"
    return [
        f"Still improving: {which} of {whose} {were} last epoch; more training.epochs may raise "
        "the AUC."
    ]


def incomplete_notes(rows: Sequence[Candidate]) -> list[str]:
    """One note for each run that lacks folds, one for each fold that failed."""
    notes = []
    for row, run in ((each, run) for each in rows for run in each.runs):
        done, total = len(run.predictions), run.experiment["folds"]
        if row.stop is not None:
            notes.append(
                f"Stopped: {run.name} was {row.stop.text}. It is not tested again and has no group."
            )
        elif done < total:
            failed = f", {len(run.failed)} failed" if run.failed else ""
            notes.append(
                f"Incomplete: {run.name} has {done} of {total} folds{failed}; its means are over "
                "those only, and it is not tested."
            )
        notes += [f"Failed: {run.name} fold {each.fold}: {each.error}" for each in run.failed]
    return notes


def copies_notes(rows: Sequence[Candidate]) -> list[str]:
    """One note for each run that was trained on copies of what it was tested on."""
    return [
        f"Duplicates: {run.name} was allowed {plural(len(run.duplicates), 'pair')} of equal "
        "volumes in training and held-out parts, so its AUC may be too high: "
        + ", ".join(f"{one} = {other}" for one, other in run.duplicates[:3])
        + (f" and {len(run.duplicates) - 3} more." if len(run.duplicates) > 3 else ".")
        for row in rows
        for run in row.runs
        if run.duplicates
    ]


def daggers(found: Comparison) -> list[str]:
    """Explain the dagger, where a row has one."""
    if found.bar is None or not any(row.bar and not row.bar.beaten for row in found.rows):
        return []
    tested = sum(row.bar is not None for row in found.rows)
    return [
        f"{DAGGER} not shown to beat {found.bar.features} alone, {found.bar.auc.mean:.2f}: "
        f"{test_name(found)}, Holm over {plural(tested, 'run')}."
    ]


def _searches(found: Comparison) -> list[str]:
    """What to think of rows whose hyperparameters were searched for."""
    notes = []
    if not all(math.isnan(row.optimism) for row in found.rows):
        notes.append(
            "optimism: AUC on the folds that the search saw less the held-out AUC, of rows tuned "
            "by volbench tune."
        )
    if any(row.selected_on_these_data for row in found.rows):
        notes.append(
            f"{DOUBLE_DAGGER} selected on these data: the cases that judge this row also chose its "
            "hyperparameters, so its AUC is too high by an unknown amount."
        )
    return notes


def pair_notes(found: Comparison) -> list[str]:
    """How the table of pairs is to be read."""
    if found.test == "cases":
        return [
            "Difference: AUC of the row less that of the reference; interval and p by "
            f"{test_name(found)}, p "
            f"adjusted by Holm over {plural(len(found.pairs), 'pair')}. With one fold, this is "
            "about these trained networks, not about training them again."
        ]
    delong = (
        "DeLong (within folds, by patient) is about these trained networks, not about training "
        "again. "
        if any(pair.p_delong == pair.p_delong for pair in found.pairs)
        else ""
    )
    return [
        "Difference: mean over folds, the row's AUC less that of the reference, with its own 95 % "
        f"interval ({test_name(found)}). The last column follows p, adjusted by Holm over "
        f"{plural(len(found.pairs), 'pair')}. {delong}P(same): probability that both are within "
        f"{found.margin:g} AUC (Bayesian correlated t-test)."
    ]


def shortcut_notes(found: Comparison) -> list[str]:
    """What the rows of the audit are."""
    unit = "case" if found.unit == "slice" else found.unit
    where, spread = "on the same folds", "mean ± standard deviation over folds, "
    if is_one_part(found):
        where, spread = "on the same held-out part", ""
    notes = [
        f"Simple models {where} that do not see the image (volbench data audit); {spread}one "
        f"score per {unit}."
    ]
    notes += [
        f"{shortcut.features}: nearly the label itself, so no bar for a model. Was it part of how "
        "the label was made?"
        for shortcut in found.shortcuts
        if shortcut.label
    ]
    return notes


def _threshold(found: Comparison) -> str:
    if found.threshold == "0.5" or len(found.classes) != 2:
        return ""
    if found.threshold.replace(".", "").isdigit():
        return f" at threshold {found.threshold}"
    return f", threshold by {found.threshold} on the inner validation part of each fold"


def _groups(found: Comparison) -> list[str]:
    if not found.pairs:
        return []
    pairs = plural(len(found.pairs), "pair")
    notes = [
        f"group: rows that share a letter cannot be told apart by AUC ({test_name(found)}, Holm "
        f"over {pairs}, level {found.alpha:g}). Sharing one does not mean equal."
    ]
    if found.design:
        notes.append(_power(found.design, len(found.pairs)))
        notes += filter(None, [recommendation(found)])
    return notes


def _power(design: PowerAnalysis, pairs: int) -> str:
    """Say which difference would be found, of those that two candidates can have."""
    spread = f"What could be seen: paired fold differences spread by {design.std:.3f} (median), so "
    alone = f"a true difference of {design.detectable:.3f}"
    none = (
        "these folds cannot show any difference with a chance of 80 %, not even that between "
        f"chance and a perfect AUC, {LARGEST_DIFFERENCE:g}"
    )
    if design.detectable >= LARGEST_DIFFERENCE:
        return f"{spread}{none}; use more cases or more folds."
    if design.detectable_holm >= LARGEST_DIFFERENCE:
        return (
            f"{spread}{none}, after the adjustment for {plural(pairs, 'pair')} ({alone} AUC if "
            "there were one pair only); compare fewer runs, or use more cases."
        )
    only = f" ({design.detectable:.3f} if there were one pair only)" if pairs > 1 else ""
    return (
        f"{spread}a true difference of {design.detectable_holm:.3f} AUC{only} is found with a "
        "chance of 80 %; smaller ones mostly stay hidden."
    )


def test_name(found: Comparison) -> str:
    """What the test that decides is called."""
    return NAMES[found.decided_by or "delong"]


def p_value(p: float) -> str:
    """A p value with its sign; a digit more where three would round it up to the level.

    >>> p_value(0.0312), p_value(0.0497), p_value(0.00002)
    ('p = 0.031', 'p = 0.0497', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.{digits_of_p(p)}f}"


def digits_of_p(p: float) -> int:
    """Decimal places that leave a p value on its side of the level."""
    return 4 if 0.0495 <= p < 0.05 else 3
