"""Hours that the folds of a row were trained for, in GPU-hours or CPU-hours."""

from dataclasses import dataclass

from volbench.leaderboard.statistics.comparison import Candidate

GPU, CPU = "GPU-hours", "CPU-hours"


@dataclass(frozen=True)
class ComputeHours:
    """Seconds of the finished folds, added up; the machine says what they can be compared with."""

    hours: float
    unit: str
    machine: tuple[str, ...]


def hours_of(row: Candidate) -> ComputeHours | None:
    """Of all finished folds; None where none was timed, or on GPUs and CPUs alike.

    A fold counts one GPU, or as many cores as it had threads.
    """
    finished = [
        result
        for run in row.runs
        for result in run.results.values()
        if result.status == "finished" and result.seconds is not None
    ]
    units = {_unit(result.device) for result in finished}
    if len(units) != 1:
        return None
    (unit,) = units
    hours = sum(
        (result.seconds or 0) * ((result.threads or 1) if unit == CPU else 1) / 3600
        for result in finished
    )
    return ComputeHours(hours, unit, row.cost.machine)


def _unit(device: str | None) -> str:
    """Of a device, which is a GPU's name as its driver says it, or the processor's."""
    return CPU if device is None or "cpu" in device.lower() else GPU
