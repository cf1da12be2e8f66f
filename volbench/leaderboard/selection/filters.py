"""Which runs a table is about: ``encoder=rmc5``, ``loss=focal*``."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from volbench.errors import SpecError, UsageError
from volbench.experiment.recipe import load_recipe, recipe_names
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
        if not equals or key not in KEYS:
            near = get_close_matches(key, [*KEYS, *SHORT], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"keys are {', '.join(KEYS)}"
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
            near = get_close_matches(patterns[0], there, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(there)}"
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
        names = [name for name in recipe_names() if load_recipe(name).summary == summary]
        return (*names, summary)
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
