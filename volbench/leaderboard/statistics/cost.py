"""Cost of a run: parameters, time, memory, and the machine it was measured on."""

from collections.abc import Sequence
from statistics import fmean

from volbench.leaderboard.statistics.comparison import Cost
from volbench.runs.environments import environments_of
from volbench.runs.load import LoadedRun

ENVIRONMENT = ("processor", "cores", "device", "precision", "threads")
PER_FOLD = ("device", "precision", "threads")


def cost_of(runs: Sequence[LoadedRun]) -> Cost:
    """Means over the finished folds of all runs."""
    finished = [
        result for run in runs for result in run.results.values() if result.status == "finished"
    ]

    def mean(quantity: str) -> float | None:
        values = [getattr(result, quantity) for result in finished]
        known = [value for value in values if value is not None]
        return fmean(known) if known else None

    return Cost(
        parameters=next((result.parameters for result in finished), None),
        seconds=mean("seconds"),
        samples_per_second=mean("samples_per_second"),
        peak_memory_mb=mean("peak_memory_mb"),
        machine=machine_of(runs),
    )


def machine_of(runs: Sequence[LoadedRun]) -> tuple[str, ...]:
    """Every machine, device, precision and number of threads that the folds were run with.

    Each fold keeps its own; one of version 0.1 was trained where its run was started.
    """
    used = set()
    for run in runs:
        for fold, environment in environments_of(run).items():
            result = run.results[fold]
            facts = [
                *(f"{key} {environment.get(key)}" for key in ENVIRONMENT),
                *(f"{key} {getattr(result, key)}" for key in PER_FOLD),
            ]
            used.add(", ".join(facts))
    return tuple(sorted(used))
