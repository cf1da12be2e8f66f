"""Selection of the runs and columns of a leaderboard: filters, sort keys, checks."""

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from volbench._utils.text import suggestion
from volbench.errors import SpecError, StateError, UsageError
from volbench.evaluation.metrics import metrics_for
from volbench.experiment.recipe import names_by_summary
from volbench.leaderboard.statistics.comparison import ScoredRow
from volbench.runs.load import LoadedRun
from volbench.spec import parse, parse_sum

KEYS = ("encoder", "aggregator", "loss", "level", "recipe", "data", "run", "seed")
SHORT = {"agg": "aggregator"}


def where(runs: Sequence[LoadedRun], conditions: Sequence[str]) -> list[LoadedRun]:
    """Keep the runs that meet the conditions.

    A condition is a key, ``=`` and a pattern (``*``, ``?``, ``[ab]``). A component is met by its
    whole spec or by its name alone. Of several conditions with one key, one has to be met; of
    different keys, all.

    Raises:
        UsageError: a condition is not of this form, or leaves no run.
    """
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        key, equals, pattern = condition.partition("=")
        key = SHORT.get(key.strip(), key.strip())
        if not equals and key in KEYS:
            raise UsageError(f"--where {condition!r} has no pattern; write {condition}=PATTERN")
        if not equals or key not in KEYS:
            hint = suggestion(key, [*KEYS, *SHORT], otherwise=f"keys are {', '.join(KEYS)}")
            raise UsageError(f"--where {condition!r} is not KEY=PATTERN with a known key; {hint}")
        wanted.setdefault(key, []).append(pattern.strip())
    kept = list(runs)
    for key, patterns in wanted.items():
        there = sorted({text for run in kept for text in texts_of(run, key)})
        kept = [
            run
            for run in kept
            if any(
                fnmatchcase(text, pattern) for text in texts_of(run, key) for pattern in patterns
            )
        ]
        if not kept:
            hint = suggestion(patterns[0], there)
            raise UsageError(f"--where {key}={patterns[0]} leaves no run; {hint}")
    return kept


def texts_of(run: LoadedRun, key: str) -> tuple[str, ...]:
    """What a pattern may match: the text in full, and the names alone."""
    if key == "run":
        return (run.name,)
    if key == "data":
        return run.data, str(run.experiment["source"])
    if key == "recipe":
        summary = str(run.experiment.get("summary", ""))
        return (*names_by_summary(summary), summary)
    value = run.experiment[key]
    if value is None:
        return ("(slices)",)
    if key in ("level", "seed"):
        return (str(value),)
    text = str(value)
    try:
        if key == "loss":
            return text, "+".join(term.spec.name for term in parse_sum(text).terms)
        return text, parse(text).name
    except SpecError:  # written by another version
        return (text,)


TEXTS = ("run", "encoder", "aggregator", "loss", "level", "status")
COSTS = ("parameters", "seconds", "samples_per_second", "peak_memory_mb")
COUNTS = ("folds", "n")


def sort_keys(classes: Sequence[str]) -> list[str]:
    """Every metric of these classes, and the other columns."""
    return [*metrics_for(classes), *COSTS, *COUNTS, *TEXTS]


def sort_values(rows: Sequence[ScoredRow], by: str) -> list[ScoredRow]:
    """Sort rows, best first; texts from a to z.

    By a number, incomplete rows come after complete ones, as they are means over other folds;
    what is undefined comes last.

    Raises:
        UsageError: there is no such metric or column.
    """
    classes = next((row.runs[0].classes for row in rows if row.runs[0].classes), ())
    metrics = metrics_for(classes)
    known = sort_keys(classes)
    if by not in known:
        raise UsageError(f"--sort {by!r} is not a column; {suggestion(by, known)}")
    if by in TEXTS:
        return sorted(rows, key=lambda row: str(row.name if by == "run" else getattr(row, by)))

    def key(row: ScoredRow) -> tuple[bool, bool, float]:
        if by in metrics:
            value = row.score(by).mean
        else:
            found = getattr(row.cost if by in COSTS else row, by)
            value = math.nan if found is None else float(found)
        smallest_first = by in ("parameters", "seconds", "peak_memory_mb") or (
            by in metrics and not metrics[by].higher_is_better
        )
        signed = value if smallest_first else -value
        return row.status != "complete", math.isnan(value), signed

    return sorted(rows, key=key)


def check_metrics(text: str, runs: Sequence[LoadedRun]) -> list[str]:
    """Read names of metrics, separated by commas.

    Raises:
        UsageError: none of the runs has such a metric.
    """
    known = dict.fromkeys(name for run in runs for name in metrics_for(run.classes))
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"--metrics: {name!r} is no metric here; {suggestion(name, known)}")
    if not names:
        raise UsageError(f"--metrics names no metric; there is {', '.join(known)}")
    return names


def check_against(text: str, runs: Sequence[LoadedRun]) -> str:
    """Find the run that the others are shown against, by its name or its folder.

    Raises:
        UsageError: there is no such run, or it is not complete.
    """
    name = Path(text).name
    found = [run for run in runs if run.name == name]
    if not found:
        names = [run.name for run in runs]
        raise UsageError(f"--against {text!r} is not among the runs; {suggestion(name, names)}")
    run = found[0]
    done, total = len(run.predictions), run.experiment["folds"]
    if done < total:
        raise UsageError(
            f"--against {text!r} has {done} of {total} folds and is not tested; name a complete run"
        )
    return name


def check_named_together(tables: Sequence[Sequence[LoadedRun]]) -> None:
    """Refuse runs that were named one by one and cannot be compared.

    Raises:
        StateError: they have several tables.
    """
    if len(tables) > 1:
        first, second = tables[0][0], tables[1][0]
        way_out = "Name runs of the same patients and folds, or the folder that holds them"
        if first.protocol[0] == second.protocol[0]:
            what = "folds"
        elif first.division == second.division:
            what = "data"
            way_out = "volbench compare pairs their patients; or name the folder that holds them"
        elif first.protocol[1] == second.protocol[1]:
            what = "patients or labels"
        else:
            what = "data and other patients, labels or folds"
        raise StateError(
            f"{first.name} and {second.name} were run on different {what}; their numbers cannot be "
            f"compared here. {way_out}"
        )
