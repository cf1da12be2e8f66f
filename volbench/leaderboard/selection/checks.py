"""What a person asks of a comparison, checked against the runs before anything is computed."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from volbench.errors import StateError, UsageError
from volbench.evaluation.metrics import metrics_for
from volbench.runs.load import LoadedRun


def check_metrics(text: str, runs: Sequence[LoadedRun]) -> list[str]:
    """Read names of metrics, separated by commas.

    Raises:
        UsageError: none of the runs has such a metric.
    """
    known = dict.fromkeys(name for run in runs for name in metrics_for(run.classes))
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"--metrics: {name!r} is no metric here; {_hint(name, list(known))}")
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
        raise UsageError(f"--against {text!r} is not among the runs; {_hint(name, names)}")
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
        what = "data" if first.protocol[0] != second.protocol[0] else "folds"
        raise StateError(
            f"{first.name} and {second.name} were run on different {what}; their numbers cannot be "
            "compared. Name runs of the same data and folds, or the folder that holds them"
        )


def _hint(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
