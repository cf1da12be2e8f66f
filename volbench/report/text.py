"""Protocol and findings of a report as generated text."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from volbench._utils.text import plural
from volbench.audit.features import EVERYTHING, STRATUM
from volbench.evaluation.statistics import LARGEST_DIFFERENCE
from volbench.leaderboard.statistics.comparison import Comparison, Pair
from volbench.leaderboard.text import copies_notes, p_value
from volbench.report.report_row import ReportRow, number, signed
from volbench.runs.load import LoadedRun

SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

MOST_NAMED = 3
"""Candidates other than the best one that are said to be better than others, one by one."""


def question(comparison: Comparison, rows: Sequence[ReportRow]) -> str:
    """What the runs were made to find out."""
    classes = _listed(comparison.classes) if comparison.classes else "the classes"
    data = comparison.first_run.data
    if len(rows) == 1:
        return f"How well does {rows[0].label} tell {classes} apart on {data}?"
    return f"Which of {_count(len(rows))} candidates tells {classes} apart best on {data}?"


def protocol(comparison: Comparison, rows: Sequence[ReportRow]) -> list[str]:
    """How they were trained and scored, one sentence or two for each step."""
    run = comparison.first_run
    return [
        _data(run),
        _folds(run),
        *_each(rows, _choice),
        *_each(rows, _views),
        *_gaps(run for row in rows for run in row.candidate.runs),
        _unit(comparison),
        *_repeats(rows),
    ]


def conclusion(comparison: Comparison, rows: Sequence[ReportRow]) -> list[str]:
    """What may be said, and what may not; the first sentence is the most important one."""
    complete = [row for row in rows if row.candidate.status == "complete"]
    if not complete:
        return ["No candidate has finished all of its folds, so nothing can be concluded yet."]
    found = _verdicts(comparison, rows) if comparison.pairs else _alone(complete)
    copies = copies_notes([row.candidate for row in rows])
    return [*found, *copies, *_bar(comparison, complete), *_unfinished(rows)]


def _data(run: LoadedRun) -> str:
    labels = {row.case: row.label for rows in run.predictions.values() for row in rows}
    labels |= {row.case: row.label for row in run.case_rows}
    counted = Counter(labels.values())
    classes = _listed([f"{counted[name]} {name}" for name in run.classes or sorted(counted)])
    named = f" ({classes})" if labels else ""
    patients = plural(run.patients, "patient")
    return f"The data are {run.data}: {run.cases} cases of {patients}{named}."


def _folds(run: LoadedRun) -> str:
    folds = int(run.experiment["folds"])
    if folds == 1:
        return (
            "One part of the patients was held out. One model was trained for each candidate on "
            "the others, and scored on patients it had never seen."
        )
    models = _count(folds)
    if run.repeated:
        return (
            f"{models.capitalize()} times, patients of each class were drawn at random and held "
            "out, so that a patient may have been held out several times or never. As many models "
            "were trained for each candidate: each one was scored on patients it had never seen."
        )
    return (
        f"The patients were divided into {models} parts, called folds; no patient is in two of "
        f"them. {models.capitalize()} models were trained for each candidate: each one was scored "
        "on the fold that was held out, on patients it had never seen."
    )


def _choice(run: LoadedRun) -> str:
    if not run.uses_images:
        return (
            f"It uses no image: a logistic regression on {_listed(run.columns)}, fitted on all "
            "patients that were not held out, every class weighing the same."
        )
    if run.columns:
        return (
            f"{_network_choice(run)} The network's score was then put together with "
            f"{_listed(run.columns)} (late fusion): a logistic regression on these columns was "
            "fitted on the patients that the network was trained on, and a second one weighs both "
            "scores; it was fitted on the patients set aside, which neither had been fitted on."
        )
    return _network_choice(run)


def _network_choice(run: LoadedRun) -> str:
    selection = run.experiment["recipe"]["selection"]
    if selection["checkpoint"] == "validation":
        best = "highest AUC" if selection["metric"] == "auc" else "lowest loss"
        return (
            f"Of the patients to train on, {100 * selection['validation_fraction']:.0f} % were set "
            f"aside; the epoch with the {best} on them was scored. The held-out fold had no part "
            "in that choice."
        )
    if selection["checkpoint"] == "training_loss":
        return (
            "The epoch with the lowest training loss was scored; no patient was set aside for it."
        )
    return "The last epoch was scored; nothing was chosen."


def _views(run: LoadedRun) -> str:
    if not run.uses_images:
        return "Each case was scored once, by its columns."
    passes = int(run.experiment["recipe"].get("tta", {}).get("passes", 0))
    if not passes:
        return "Each case was scored as it is, without test-time augmentation."
    return (
        f"Each case was scored in {passes} randomly changed views, and their probabilities were "
        "averaged (test-time augmentation)."
    )


def _gaps(runs: Iterable[LoadedRun]) -> list[str]:
    """Say what became of missing values of clinical columns."""
    missing = {name: count for run in runs for name, count in run.missing_values.items() if count}
    if not missing:
        return []
    listed = _listed([f"{name} of {plural(count, 'case')}" for name, count in missing.items()])
    return [
        f"Missing values: {listed}. The median of the training patients stands in for a number, "
        "beside a mark that it was missing; a missing word is a level of its own."
    ]


def _unit(comparison: Comparison) -> str:
    per = {
        "slice": "Every representative slice is scored on its own: a case counts once per slice",
        "case": "Every case is scored once",
        "patient": "The probabilities of a patient's cases are averaged; a patient counts once",
    }[comparison.unit]
    mixed = ", also where slices were predicted" if comparison.mixed else ""
    if len(comparison.classes) > 2:
        return f"{per}{mixed}. Of several classes the most probable one is the decision."
    positive = comparison.classes[-1] if comparison.classes else "the second class"
    rule = comparison.threshold
    fixed = rule.replace(".", "", 1).isdigit()
    said = rule if fixed else f"the one that {rule} gives on the validation part of each fold"
    return f"{per}{mixed}. It is called {positive} from a probability of {said} on."


def _repeats(rows: Sequence[ReportRow]) -> list[str]:
    seeds = sorted({seed for row in rows for seed in row.candidate.seeds})
    if any(len(row.candidate.runs) > 1 for row in rows):
        return [f"Training was repeated with the seeds {_listed(list(map(str, seeds)))}."]
    return [f"Random numbers follow from seed {_listed(list(map(str, seeds)))}."]


def _each(rows: Sequence[ReportRow], say: Callable[[LoadedRun], str]) -> list[str]:
    """One sentence if it holds for all candidates, else one for each kind of them."""
    said: dict[str, list[str]] = {}
    for row in rows:
        said.setdefault(say(row.candidate.runs[0]), []).append(str(row.number))
    if len(said) == 1:
        return list(said)
    return [f"Candidate {_listed(numbers)}: {text}" for text, numbers in said.items()]


def _alone(complete: Sequence[ReportRow]) -> list[str]:
    row = complete[0]
    auc = row.candidate.score("auc")
    interval = f" (95 % interval {number(auc.low)} to {number(auc.high)})"
    known = interval if auc.low == auc.low else ""
    first = f"{row.label} reaches a mean AUC of {number(auc.mean)}{known}."
    if len(complete) > 1:
        return ["No pair of candidates could be tested: no fold holds cases of every class."]
    return [first, "It is the only complete candidate, so it was compared with no other one."]


def _verdicts(comparison: Comparison, rows: Sequence[ReportRow]) -> list[str]:
    tested = sorted({place for pair in comparison.pairs for place in (pair.first, pair.second)})
    if len(tested) == 2:
        return [_pair(comparison.pairs[0], rows), *_power(comparison)]
    shown = [pair for pair in comparison.pairs if pair.verdict != "no difference shown"]
    if not shown:
        count = _count(len(tested))
        first = f"No difference between any two of the {count} candidates was shown."
        return [first, *_power(comparison)]
    best, others = comparison.against, comparison.shown_pairs()
    assert best is not None
    worse = [str(rows[pair.first].number) for pair in others if pair.verdict == "worse"]
    alike = [str(rows[pair.first].number) for pair in others if pair.verdict != "worse"]
    first = f"Candidate {_named(rows[best])} has the highest mean AUC"
    found = []
    if worse:
        found.append(f"{first}; it is better than {_candidates(worse)}.")
    if alike:
        start = "No" if worse else f"{first}, but no"
        found.append(f"{start} difference between it and {_candidates(alike)} was shown.")
    rest = [pair for pair in shown if best not in (pair.first, pair.second)]
    return [*found, *_other_pairs(rest, rows), *_power(comparison)]


def _other_pairs(pairs: Sequence[Pair], rows: Sequence[ReportRow]) -> list[str]:
    """Who is better than whom, where the best one is neither; only how often, if by many."""
    beaten: dict[int, list[str]] = {}
    for pair in pairs:
        seen = pair.turned() if pair.verdict == "worse" else pair
        beaten.setdefault(seen.first, []).append(str(rows[seen.second].number))
    if len(beaten) > MOST_NAMED:
        return [f"{_count(len(pairs)).capitalize()} other pairs differ too."]
    return [
        f"Candidate {rows[first].number} is better than {_candidates(others)}, too."
        for first, others in sorted(beaten.items())
    ]


def _pair(pair: Pair, rows: Sequence[ReportRow]) -> str:
    seen = pair.turned() if pair.verdict == "worse" else pair
    better, other = rows[seen.first], rows[seen.second]
    if pair.verdict == "no difference shown":
        return f"No difference between candidates {_named(better)} and {_named(other)} was shown."
    return (
        f"Candidate {_named(better)} is better than candidate {_named(other)}: by "
        f"{signed(seen.difference)} in AUC (95 % interval {signed(seen.low)} to "
        f"{signed(seen.high)}, {p_value(pair.p_holm)})."
    )


def _candidates(numbers: Sequence[str]) -> str:
    return f"candidate{'s' if len(numbers) > 1 else ''} {_listed(numbers)}"


def _power(comparison: Comparison) -> list[str]:
    design = comparison.design
    if design is None:
        return ["No difference shown does not mean that there is none."]
    single = len(comparison.pairs) == 1
    size = design.detectable if single else design.detectable_holm
    adjusted = "" if single else ", after the adjustment for the number of pairs"
    if size >= LARGEST_DIFFERENCE:
        return [
            "With so few cases and folds this design cannot show any difference in AUC with a "
            f"chance of 80 %{adjusted}, not even that between chance and a perfect AUC. Where none "
            "is shown, that says nothing."
        ]
    return [
        f"This design could have detected a true difference of {number(size, 2)} in AUC (found "
        f"with a chance of 80 %{adjusted}). A smaller one may be there without having been seen."
    ]


def _bar(comparison: Comparison, complete: Sequence[ReportRow]) -> list[str]:
    bar = comparison.bar
    below = [row for row in complete if row.candidate.bar and not row.candidate.bar.beaten]
    if bar is None or not below:
        return []
    who = (
        "No candidate was"
        if len(below) == len(complete)
        else (
            f"Candidate {_listed([str(row.number) for row in below])} "
            f"{'were' if len(below) > 1 else 'was'} not"
        )
    )
    return [
        f"{who} shown to beat the audit: from {_known(bar.features)}, a simple model reaches an "
        f"AUC of {number(bar.auc.mean)}."
    ]


def _known(features: str) -> str:
    if features == EVERYTHING:
        return "all that the audit knows"
    if features.startswith(STRATUM):
        return f"the column {features.removeprefix(STRATUM)} alone"
    return f"{features} alone"


def _named(row: ReportRow) -> str:
    return f"{row.number} ({row.label})"


def _unfinished(rows: Sequence[ReportRow]) -> list[str]:
    found = []
    for row in rows:
        one = row.candidate
        if one.stop is not None:
            found.append(
                f"Candidate {_named(row)} was {one.stop.text}. Its means are over those folds "
                "only, and it is not ranked among the others."
            )
        elif one.status != "complete":
            failed = f", {one.failed} failed" if one.failed else ""
            found.append(
                f"Candidate {_named(row)} is not complete "
                f"({one.folds} of {one.folds_total} folds{failed}): its means are over those "
                "only, and it was not compared."
            )
    return found


def _count(value: int) -> str:
    return SMALL[value] if value < len(SMALL) else str(value)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
