"""Run a suite: plan all experiments, then run them in shared processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from volbench._utils.atomic_io import FolderInUseError, FolderLock
from volbench.crossval import Outcome, Plan, Shared, Workers, make_plan, run
from volbench.crossval.run import Callback
from volbench.errors import PreemptedError, StorageError, UsageError, VolbenchError
from volbench.experiment.experiment import Precision
from volbench.suite.expand import Suite, SuiteCandidate
from volbench.suite.index import Entry, read_index, write_index
from volbench.training.compute import choose_compute


@dataclass(frozen=True)
class Planned:
    """A candidate with its plan, or with the reason why there is none."""

    candidate: SuiteCandidate
    plan: Plan | None
    error: VolbenchError | None = None


@dataclass(frozen=True)
class Result:
    """How one experiment of a suite ended.

    Attributes:
        outcome: Its folds; None if it could not be planned or run.
        error: Why, in one line; of failed folds, the first one's reason.
    """

    candidate: SuiteCandidate
    outcome: Outcome | None
    error: str | None


class SuiteCallback(Callback):
    """Callbacks of a suite, its runs' folds and epochs included; override those of interest."""

    def on_suite(self, planned: Sequence[Planned], out: Path) -> None:
        """Everything is planned; training is about to start."""

    def on_experiment(self, number: int, planned: Planned) -> None:
        """Experiment ``number``, counted from 1, is about to start, or cannot."""

    def on_result(self, number: int, result: Result) -> None:
        """An experiment ended, or failed."""


def plan_suite(
    suite: Suite,
    *,
    precision: Precision = "auto",
    cache: Path | None = None,
    jobs: int | None = None,
    on_case: Callable[[int, int], None] | None = None,
) -> list[Planned]:
    """Plan every experiment; data are prepared and divided once for all that share them.

    What cannot be planned is kept with its reason.

    Raises:
        UsageError: nothing says which data to use.
        VolbenchError: no experiment can be planned, all for the same reason.
        StorageError: the disk is full or cannot be written.
    """
    if suite.data is None:
        scales = " or ".join(f"--scale {name}" for name in suite.scales)
        raise UsageError(
            f"suite {suite.path} names no data by itself; add {scales}, or give --data"
        )
    shared, found = Shared(), []
    for candidate in suite.candidates:
        try:
            plan = make_plan(
                encoder=candidate.encoder,
                aggregator=candidate.aggregator,
                loss=candidate.loss,
                level=candidate.level,
                data=suite.data,
                recipe=suite.recipe or candidate.recipe,
                overrides=(*candidate.overrides, *suite.overrides),
                folds=suite.folds,
                seed=suite.seed,
                precision=precision,
                cache=cache,
                jobs=jobs,
                on_case=on_case,
                shared=shared,
            )
        except StorageError:
            raise
        except VolbenchError as error:
            found.append(Planned(candidate, None, error))
        else:
            found.append(Planned(candidate, plan))
    errors = {str(planned.error): planned.error for planned in found}
    if len(errors) == 1 and (only := next(iter(errors.values()))) is not None:
        raise only
    return found


def run_suite(
    suite: Suite,
    *,
    planned: Sequence[Planned] | None = None,
    out: Path | None = None,
    device: str = "auto",
    jobs: int | None = None,
    callback: SuiteCallback | None = None,
) -> list[Result]:
    """Run what is missing; finished folds are kept, failed ones are tried again.

    Args:
        suite: From `load_suite`.
        planned: What `plan_suite` made of it; planned here if left out.
        out: Folder of its runs; ``suite.out`` by default.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        jobs: Folds at a time; by default one per core on a CPU, one on a GPU.
        callback: Called on progress.

    Returns:
        One result per experiment, in the suite's order, failed ones included.

    Raises:
        VolbenchError: as `plan_suite`; or the device is not there.
        StorageError: nothing can be written, or another process runs the suite.
    """
    callback = callback or SuiteCallback()
    out = out or suite.out
    choose_compute(device, "auto", jobs=1)  # a device that is not there fails all of them
    planned = plan_suite(suite, jobs=jobs) if planned is None else planned
    with FolderLock(out), Workers() as workers:
        entries = {**read_index(out), **{each.candidate: _entry(each) for each in planned}}
        write_index(out, suite, entries)
        callback.on_suite(planned, out)
        results = []
        for number, each in enumerate(planned, start=1):
            callback.on_experiment(number, each)
            result = _run(each, out, device, jobs, callback, workers)
            if result.outcome is None and each.plan is not None:
                entries[each.candidate] = Entry(each.plan.experiment.name, result.error)
                write_index(out, suite, entries)
            results.append(result)
            callback.on_result(number, result)
    return results


def _run(
    planned: Planned,
    out: Path,
    device: str,
    jobs: int | None,
    callback: Callback,
    workers: Workers,
) -> Result:
    if planned.plan is None:
        return Result(planned.candidate, None, str(planned.error))
    try:
        outcome = run(
            planned.plan, out=out, device=device, jobs=jobs, callback=callback, workers=workers
        )
    except PreemptedError:  # the suite stops, not this experiment
        raise
    except StorageError as error:
        if not isinstance(error, FolderInUseError):
            raise
        return Result(planned.candidate, None, str(error))
    except VolbenchError as error:
        return Result(planned.candidate, None, str(error))
    if not outcome.failed:
        return Result(planned.candidate, outcome, None)
    first, number = outcome.failed[0], len(outcome.failed)
    folds = "1 fold" if number == 1 else f"{number} folds"
    reason = f"{folds} failed; fold {first.fold}: {first.error}"
    return Result(planned.candidate, outcome, reason)


def _entry(planned: Planned) -> Entry:
    if planned.plan is None:
        return Entry(None, str(planned.error))
    return Entry(planned.plan.experiment.name, None)
