"""Where the folds of a run were trained: hardware and versions, which may differ by fold."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from volbench._utils.text import plural
from volbench.runs.folder import RunFolder
from volbench.runs.load import LoadedRun

Folds: TypeAlias = dict[str, list[int]]
"""Folds by what was the same for them, in order."""


def environments_of(run: LoadedRun) -> dict[int, Mapping[str, Any]]:
    """Environment of each finished fold.

    Each fold keeps its own; one of version 0.1 was trained where its run was started.
    """
    folder = RunFolder(run.path)
    return {
        fold: folder.fold(fold).environment() or run.environment
        for fold, result in sorted(run.results.items())
        if result.status == "finished"
    }


def hardware_of(run: LoadedRun) -> Folds:
    """Folds of a run by the device that trained them, with its precision."""
    return _grouped(
        environments_of(run),
        lambda fold, each: f"{each.get('device')} ({run.results[fold].precision})",
    )


def devices_of(run: LoadedRun) -> Folds:
    """Folds of a run by device, precision and threads; where it was started if none is finished."""
    return _grouped(_known(run), lambda fold, each: ", ".join(_device(run, fold, each)))


def machines_of(run: LoadedRun) -> Folds:
    """Folds of a run by everything that is known of their machine, as `devices_of`."""

    def describe(fold: int, each: Mapping[str, Any]) -> str:
        more = [f"{each.get('cores')} cores", str(each.get("platform"))]
        return ", ".join([*_device(run, fold, each), *more])

    return _grouped(_known(run), describe)


def versions_of(run: LoadedRun) -> Folds:
    """Folds of a run by the versions of Python and the packages that trained them."""
    return _grouped(_known(run), lambda fold, each: _versions(each))


def environment_notes(run: LoadedRun) -> list[str]:
    """What to know where folds of a run come from different hardware or versions."""
    notes = []
    if len(used := hardware_of(run)) > 1:
        notes.append(
            f"The folds of {run.name} come from different hardware: {by_fold(used)}. Last digits "
            "differ between devices, and more between precisions."
        )
    if len(used := _differing_versions(run)) > 1:
        notes.append(
            f"The folds of {run.name} were trained with different versions: {by_fold(used)}. "
            "Numbers may differ between versions."
        )
    return notes


def by_fold(groups: Folds) -> str:
    """List groups with their folds; the folds are left out where there is one group only.

    >>> by_fold({"cpu": [0, 2], "gpu": [1]}), by_fold({"cpu": [0, 1]})
    ('cpu: 0, 2; gpu: 1', 'cpu')
    """
    if len(groups) == 1:
        return next(iter(groups))
    return "; ".join(f"{name}: {', '.join(map(str, folds))}" for name, folds in groups.items())


def _differing_versions(run: LoadedRun) -> Folds:
    """Folds by the versions of those packages only that are not the same for all."""
    environments = environments_of(run)
    known = {fold: _packages(each) for fold, each in environments.items()}
    names = sorted({name for each in known.values() for name in each})
    differing = [name for name in names if len({each.get(name) for each in known.values()}) > 1]
    return _grouped(
        environments,
        lambda fold, each: ", ".join(f"{name} {known[fold].get(name)}" for name in differing),
    )


def _known(run: LoadedRun) -> dict[int, Mapping[str, Any]]:
    return environments_of(run) or {0: run.environment}


def _device(run: LoadedRun, fold: int, environment: Mapping[str, Any]) -> list[str]:
    result = run.results.get(fold)
    precision = (result and result.precision) or environment.get("precision")
    threads = (result and result.threads) or environment.get("threads")
    said = [str(precision)] if precision else []
    said += [f"{plural(int(threads), 'thread')} per fold"] if threads else []
    return [str(environment.get("device")), *said]


def _packages(environment: Mapping[str, Any]) -> dict[str, str]:
    packages = dict(environment.get("packages") or {})
    return {"Python": str(environment.get("python")), **packages}


def _versions(environment: Mapping[str, Any]) -> str:
    python, *others = _packages(environment).items()
    listed = [python, *sorted(others)]
    return ", ".join(f"{name} {version}" for name, version in listed if version)


def _grouped(
    environments: Mapping[int, Mapping[str, Any]], name: Callable[[int, Mapping[str, Any]], str]
) -> Folds:
    found: Folds = {}
    for fold, environment in environments.items():
        found.setdefault(name(fold, environment), []).append(fold)
    return found
