"""Run a suite: plan all experiments, then run them in shared processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from volbench._utils.atomic_io import FolderInUseError
from volbench.crossval.open_run import Outcome, describe_tasks
from volbench.crossval.plan import Plan, make_plan
from volbench.crossval.run_cross_validation import Callback, Member, run, run_together
from volbench.crossval.settings import EXECUTOR, RunSettings
from volbench.crossval.shared_inputs import Shared
from volbench.crossval.tracking import build_trackers
from volbench.crossval.variants import MAIN, Variant
from volbench.errors import PreemptedError, StorageError, UsageError, VolbenchError
from volbench.executors.pool import Workers
from volbench.experiment.experiment import Precision
from volbench.interfaces import Executor, ExecutorTask
from volbench.leaderboard.statistics.race import Stop
from volbench.suite.expand import Suite, SuiteCandidate
from volbench.suite.index import Entry, write_entries
from volbench.suite.race import RoundCallback
from volbench.suite.race import race as run_race
from volbench.training.device_and_precision import choose_compute


@dataclass(frozen=True)
class Planned:
    """A candidate with its plan, or with the reason why there is none.

    Attributes:
        variant: Which of several runs of the candidate; the suite's tables show the main one.
    """

    candidate: SuiteCandidate
    plan: Plan | None
    error: VolbenchError | None = None
    variant: Variant = MAIN


@dataclass(frozen=True)
class Result:
    """How one experiment of a suite ended.

    Attributes:
        outcome: Its folds; None if it could not be planned or run.
        error: Why, in one line; of failed folds, the first one's reason.
        stop: Why a race stopped it.
    """

    candidate: SuiteCandidate
    outcome: Outcome | None
    error: str | None
    stop: Stop | None = None


class SuiteCallback(RoundCallback):
    """Callbacks of a suite, its runs' folds and epochs included; override those of interest."""

    def on_suite(self, planned: Sequence[Planned], out: Path) -> None:
        """Everything is planned; training is about to start."""

    def on_experiment(self, number: int, planned: Planned) -> None:
        """Experiment ``number``, counted from 1, is about to start, or cannot."""

    def on_result(self, number: int, result: Result) -> None:
        """An experiment ended, or failed."""

    def of_experiment(self, number: int, planned: Planned) -> Callback:
        """Callbacks of one experiment, where the folds of all are trained together."""
        return self


def plan_suite(
    suite: Suite,
    *,
    precision: Precision = "auto",
    cache: Path | None = None,
    jobs: int | None = None,
    on_case: Callable[[int, int], None] | None = None,
    allow_duplicates: bool = False,
    variants: Sequence[Variant] = (MAIN,),
    permuted: bool = False,
) -> list[Planned]:
    """Plan every experiment; data are prepared and divided once for all that share them.

    What cannot be planned is kept with its reason. There are as many runs of each candidate as
    variants, whose seeds count from that of the suite; ``permuted`` exchanges labels between
    patients in all of them.

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
    for variant, candidate in product(variants, suite.candidates):
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
                seed=suite.seed + variant.seed,
                folds_seed=(
                    None if variant.folds_seed is None else suite.seed + variant.folds_seed
                ),
                permuted=permuted,
                train_share=variant.train_share,
                precision=precision,
                allow_duplicates=allow_duplicates,
                cache=cache,
                jobs=jobs,
                on_case=on_case,
                shared=shared,
            )
        except StorageError:
            raise
        except VolbenchError as error:
            found.append(Planned(candidate, None, error, variant))
        else:
            found.append(Planned(candidate, plan, variant=variant))
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
    local_copy: Path | None = None,
    callback: SuiteCallback | None = None,
    executor: Executor | None = None,
    race: bool = False,
    track: Sequence[str] = (),
) -> list[Result]:
    """Run what is missing; finished folds are kept, failed ones are tried again.

    Several processes may do this at once, on machines that share the folder.

    Args:
        suite: From `load_suite`.
        planned: What `plan_suite` made of it; planned here if left out.
        out: Folder of its runs; ``suite.out`` by default.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        jobs: Folds at a time; by default one per core on a CPU, one on a GPU.
        local_copy: Folder on each machine's own disk that prepared data are copied to.
        callback: Called on progress.
        executor: Where all folds of all experiments go as its tasks; by default the experiments
            are run one after another on this machine.
        race: Whether folds of all experiments are interleaved, and those that are shown to be
            worse after some of them are trained no further.
        track: Specs of the trackers that the curves of every experiment are sent to.

    Returns:
        One result per experiment, in the suite's order, failed ones included.

    Raises:
        VolbenchError: as `plan_suite`; or the device is not there.
        ExecutorError: the executor cannot be reached.
        StorageError: nothing can be written.
    """
    callback = callback or SuiteCallback()
    out = out or suite.out
    settings = RunSettings(device=device, jobs=jobs, local_copy=local_copy, track=tuple(track))
    build_trackers(settings.track)  # what is not installed would fail all of them
    if executor is None:
        choose_compute(device, "auto", jobs=1)  # a device that is not there fails all of them
    planned = plan_suite(suite, jobs=jobs) if planned is None else planned
    main = [each for each in planned if each.variant.main]
    write_entries(out, suite, {each.candidate: _entry(each) for each in main})
    callback.on_suite(planned, out)
    if race:
        return _race(suite, planned, out, settings, callback, executor)
    if executor is None:
        return _one_by_one(suite, planned, out, settings, callback)
    return _together(suite, planned, out, settings, callback, executor)


def describe_suite_tasks(
    planned: Sequence[Planned],
    out: Path,
    executor: Executor,
    *,
    device: str = "auto",
    jobs: int | None = None,
) -> list[ExecutorTask]:
    """The tasks that `run_suite` would submit; nothing is made."""
    settings = RunSettings(device=device, jobs=jobs)
    found: dict[str, ExecutorTask] = {}
    for plan in (each.plan for each in planned if each.plan is not None):
        path = out / plan.experiment.name
        for task in describe_tasks(plan, path, plan.split.folds, settings, executor):
            found[task.key] = task
    return list(found.values())


def _one_by_one(
    suite: Suite,
    planned: Sequence[Planned],
    out: Path,
    settings: RunSettings,
    callback: SuiteCallback,
) -> list[Result]:
    """Run the experiments in order, in processes of this machine that they share."""
    results = []
    with Workers() as workers:
        for number, each in enumerate(planned, start=1):
            callback.on_experiment(number, each)
            result = _run(each, out, settings, callback, workers)
            _note(suite, out, each, result)
            results.append(result)
            callback.on_result(number, result)
    return results


def _together(
    suite: Suite,
    planned: Sequence[Planned],
    out: Path,
    settings: RunSettings,
    callback: SuiteCallback,
    executor: Executor,
) -> list[Result]:
    """Submit all folds of all experiments as tasks of one executor."""
    runnable = [(number, each, each.plan) for number, each in enumerate(planned, 1) if each.plan]
    members = [
        Member(plan, out / plan.experiment.name, callback.of_experiment(number, each))
        for number, each, plan in runnable
    ]
    outcomes = run_together(members, executor, out / EXECUTOR, settings)
    ended = {
        number: _result(each.candidate, outcome)
        for (number, each, _), outcome in zip(runnable, outcomes, strict=True)
    }
    results = []
    for number, each in enumerate(planned, start=1):
        result = ended.get(number) or Result(each.candidate, None, str(each.error))
        _note(suite, out, each, result)
        callback.on_result(number, result)
        results.append(result)
    return results


def _race(
    suite: Suite,
    planned: Sequence[Planned],
    out: Path,
    settings: RunSettings,
    callback: SuiteCallback,
    executor: Executor | None,
) -> list[Result]:
    """Interleave the folds of the experiments; each experiment takes part once."""
    if any(not each.variant.main for each in planned):
        raise UsageError(
            "--race compares candidates on one division into folds; leave it out, or --repeats, "
            "--seeds and --train-share"
        )
    if any(each.plan is not None and each.plan.split.repeated for each in planned):
        raise UsageError(
            "--race looks at each patient once, and random splits hold some out several times; use "
            "a number of folds"
        )
    plans = {each.plan.experiment.name: each.plan for each in planned if each.plan is not None}
    racers = dict(
        zip(plans, run_race(list(plans.values()), out, settings, callback, executor), strict=True)
    )
    results = []
    for number, each in enumerate(planned, start=1):
        if each.plan is None:
            result = Result(each.candidate, None, str(each.error))
        else:
            racer = racers[each.plan.experiment.name]
            ended = _result(each.candidate, racer.error or racer.outcome())
            result = replace(ended, stop=racer.stop)
        _note(suite, out, each, result)
        callback.on_result(number, result)
        results.append(result)
    return results


def _note(suite: Suite, out: Path, planned: Planned, result: Result) -> None:
    """Keep in the index why a planned experiment could not be run."""
    if result.outcome is None and planned.plan is not None and planned.variant.main:
        entry = Entry(planned.plan.experiment.name, result.error)
        write_entries(out, suite, {planned.candidate: entry})


def _run(
    planned: Planned,
    out: Path,
    settings: RunSettings,
    callback: Callback,
    workers: Workers,
) -> Result:
    if planned.plan is None:
        return Result(planned.candidate, None, str(planned.error))
    try:
        outcome = run(
            planned.plan,
            out=out,
            device=settings.device,
            jobs=settings.jobs,
            local_copy=settings.local_copy,
            track=settings.track,
            callback=callback,
            workers=workers,
        )
    except PreemptedError:  # the suite stops, not this experiment
        raise
    except StorageError as error:
        if not isinstance(error, FolderInUseError):
            raise
        return _result(planned.candidate, error)
    except VolbenchError as error:
        return _result(planned.candidate, error)
    return _result(planned.candidate, outcome)


def _result(candidate: SuiteCandidate, outcome: Outcome | VolbenchError) -> Result:
    if isinstance(outcome, VolbenchError):
        return Result(candidate, None, str(outcome))
    if not outcome.failed:
        return Result(candidate, outcome, None)
    first, number = outcome.failed[0], len(outcome.failed)
    folds = "1 fold" if number == 1 else f"{number} folds"
    reason = f"{folds} failed; fold {first.fold}: {first.error}"
    return Result(candidate, outcome, reason)


def _entry(planned: Planned) -> Entry:
    if planned.plan is None:
        return Entry(None, str(planned.error))
    return Entry(planned.plan.experiment.name, None)
