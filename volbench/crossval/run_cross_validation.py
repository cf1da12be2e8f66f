"""Run the folds of experiments: skip finished ones, train the rest, report progress."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from volbench._utils.atomic_io import FolderInUseError
from volbench._utils.renamed_modules import renamed
from volbench.crossval.callback import Callback, listener_of
from volbench.crossval.dispatch import Done, Listener, do_tasks
from volbench.crossval.fold_task import task_key
from volbench.crossval.measured_jobs import MeasuredJobs
from volbench.crossval.open_run import (
    OpenedRun,
    Outcome,
    asked_folds,
    local_executor,
    open_here,
    open_run,
    share,
)
from volbench.crossval.plan import Plan
from volbench.crossval.settings import EXECUTOR, RunSettings, UseFeatures
from volbench.crossval.tracking import build_trackers, tracked_run, tracking
from volbench.errors import StorageError, VolbenchError
from volbench.executors.pool import Workers
from volbench.interfaces import Executor
from volbench.training.checkpoint import CHECKPOINT_SECONDS
from volbench.training.compile import Compile
from volbench.training.cuda_graphs import Graphs

__all__ = ["Callback", "Outcome", "run", "run_together"]

Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Member:
    """One of several experiments that are trained together.

    Attributes:
        path: Its run folder.
        callback: Called on progress of its folds.
        folds: Folds to do; None for all.
    """

    plan: Plan
    path: Path
    callback: Callback
    folds: Sequence[int] | None = None


def run(
    plan: Plan,
    *,
    out: Path = Path("runs"),
    name: str | None = None,
    folds: Sequence[int] | None = None,
    device: str = "auto",
    jobs: int | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    compiled: Compile = "auto",
    graphs: Graphs = "auto",
    profile: bool = False,
    features: UseFeatures = "auto",
    local_copy: Path | None = None,
    callback: Callback | None = None,
    workers: Workers | None = None,
    executor: Executor | None = None,
    track: Sequence[str] = (),
) -> Outcome:
    """Run the folds that are not finished; failed ones are tried again.

    Several processes may do this at once, on machines that share the folder: each fold is trained
    by one of them, and taken over by another if that one falls silent.

    Args:
        plan: What `make_plan` checked.
        out: Folder of runs.
        name: Folder of this run in ``out``; by default it names the components and the experiment.
        folds: Folds to do; all by default.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        jobs: Folds at a time; by default one per core on a CPU, and as many on each GPU as its
            memory and the cores allow and keep it busy: by an estimate, then by what the first
            folds take.
        checkpoint_seconds: Shortest time between two checkpoints of a fold.
        compiled: Whether encoders are compiled; ``auto`` does not, as it was never faster.
        graphs: Whether training steps are recorded as CUDA graphs; ``auto`` does it on a GPU.
        profile: Whether each fold keeps where its time went, in profile.json.
        features: ``auto`` computes the tokens of a frozen encoder once, where no augmentation
            changes its images, and trains on them; ``off`` encodes in every epoch. The predictions
            are the same.
        local_copy: Folder on each machine's own disk that the prepared data are copied to, once for
            all folds there; None reads them where they are.
        callback: Called on progress.
        workers: Processes that outlive this run; by default it starts its own and ends them.
        executor: Where the folds are trained; by default processes of this machine.
        track: Specs of the trackers that curves are sent to; they change no number, and one that
            fails becomes a warning.

    Raises:
        ExecutorError: the executor cannot be reached.
        PreemptedError: it was asked to stop; the same call resumes.
        StateError: the folder holds another experiment, or was damaged.
        StorageError: nothing can be written.
        UsageError: the device is not there, or has no compiler.
    """
    callback = callback or Callback()
    settings = RunSettings(
        device=device,
        jobs=jobs,
        checkpoint_seconds=checkpoint_seconds,
        compiled=compiled,
        graphs=graphs,
        profile=profile,
        features=features,
        local_copy=local_copy,
        track=tuple(track),
    )
    asked = asked_folds(plan, folds)
    path = out / (name or plan.experiment.name)
    with ExitStack() as stack:
        build_trackers(settings.track)  # what is not installed is said before a folder is made
        measured = None
        if executor is None:
            sharing = share(plan, settings)
            local = local_executor(sharing, workers)
            executor = stack.enter_context(local)
            measured = MeasuredJobs(sharing, local, callback.on_jobs)
            opened = open_here(plan, path, asked, settings, sharing, callback)
        else:
            opened = open_run(plan, path, asked, settings, executor, callback)
        listener = stack.enter_context(_listening(opened, settings))
        if measured is not None:
            listener = measured.listening(listener)
        with opened.auditing():
            done = do_tasks(opened.tasks, executor, path / EXECUTOR, listener)
        for error in done.errors.values():
            raise error
        return opened.close(done.results)


def run_together(
    members: Sequence[Member], executor: Executor, folder: Path, settings: RunSettings
) -> list[Outcome | VolbenchError]:
    """Run folds of several experiments as tasks of one executor.

    What goes wrong with one experiment does not end the others.

    Args:
        members: The experiments.
        executor: Where their folds are trained.
        folder: What the executor keeps, for logs and to attach again.
        settings: Of execution.

    Returns:
        How each ended, in order; its error where it could not be run.

    Raises:
        ExecutorError: the executor cannot be reached.
        PluginError: a tracker cannot be used, and other errors of `build_trackers`.
        PreemptedError: it was asked to stop; the same call resumes.
        StorageError: nothing can be written.
    """
    build_trackers(settings.track)
    opened: dict[Path, OpenedRun | VolbenchError] = {}
    for member in members:
        if member.path not in opened:  # else the same experiment, written otherwise
            opened[member.path] = _try_opening(member, executor, settings)
    runs = {path: each for path, each in opened.items() if isinstance(each, OpenedRun)}
    tasks = [task for each in runs.values() for task in each.tasks]
    with ExitStack() as stack:
        listeners = {
            path: stack.enter_context(_listening(each, settings)) for path, each in runs.items()
        }
        done = do_tasks(
            tasks,
            executor,
            folder,
            Listener(
                on_start=lambda task: listeners[task.run].on_start(task),
                on_epoch=lambda task, report: listeners[task.run].on_epoch(task, report),
                on_end=lambda task, result: listeners[task.run].on_end(task, result),
                on_wait=lambda task, reason: listeners[task.run].on_wait(task, reason),
                on_step=lambda task, report: listeners[task.run].on_step(task, report),
            ),
        )
    ended = {path: _try_closing(each, done) for path, each in opened.items()}
    return [ended[member.path] for member in members]


@contextmanager
def _listening(opened: OpenedRun, settings: RunSettings) -> Iterator[Listener]:
    """Hooks of a run, and its trackers for as long as it is trained."""
    listener = listener_of(opened.callback)
    if not settings.track or not opened.tasks:
        yield listener
        return
    run = tracked_run(opened.plan.experiment, opened.folder.path)
    with tracking(settings.track, run, opened.callback.on_warning) as told:
        yield told.listening(listener)


def _try_opening(
    member: Member, executor: Executor, settings: RunSettings
) -> OpenedRun | VolbenchError:
    asked = asked_folds(member.plan, member.folds)
    return _or_error(
        lambda: open_run(member.plan, member.path, asked, settings, executor, member.callback)
    )


def _try_closing(opened: OpenedRun | VolbenchError, done: Done) -> Outcome | VolbenchError:
    if isinstance(opened, VolbenchError):
        return opened
    for task in opened.tasks:
        if (error := done.errors.get(task_key(task))) is not None:
            return error
    return _or_error(lambda: opened.close(done.results))


def _or_error(do: Callable[[], Returned]) -> Returned | VolbenchError:
    """Do something; the error of one experiment is returned, a disk's that is full raised."""
    try:
        return do()
    except FolderInUseError as error:
        return error
    except StorageError:
        raise
    except VolbenchError as error:
        return error


__getattr__ = renamed(__name__, {"Watcher": "Callback"})
