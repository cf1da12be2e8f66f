"""Run a tuning: studies per outer fold, then the winners on the outer folds."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from volbench._utils.atomic_io import FolderLock
from volbench._utils.cache_location import cache_root
from volbench._utils.cpu import available_cores
from volbench.crossval.environment import describe_data, describe_environment
from volbench.crossval.machine_sharing import Sharing
from volbench.crossval.open_run import OPENING_S, share
from volbench.crossval.settings import RunSettings
from volbench.crossval.tracking import build_trackers
from volbench.errors import TrainingError
from volbench.executors.pool import ANY_DEVICE, Workers, dealt_out
from volbench.runs.folder import AUDIT, RunFolder
from volbench.training.checkpoint import CHECKPOINT_SECONDS
from volbench.training.device_and_precision import Compute
from volbench.tune.execution import Execution
from volbench.tune.leased_trials import JOURNAL, TrialLeases, open_journal
from volbench.tune.outcome import TuningOutcome, find_outcome, write_outcome
from volbench.tune.plan import FLAT, TuningPlan
from volbench.tune.pool import train
from volbench.tune.search import Search
from volbench.tune.shared_lock import SharedLock
from volbench.tune.storage import Heartbeat, open_storage
from volbench.tune.tracking import TrackedTuning
from volbench.tune.worker import TuningCallback, TuningWorker

STORAGE = "tuning.db"
HEARTBEAT_S = 15
POLL_S = 1.0
"""Seconds between two looks at what other processes have done."""


def tune(
    tuning: TuningPlan,
    *,
    out: Path = Path("runs"),
    name: str | None = None,
    storage: str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    heartbeat_s: int = HEARTBEAT_S,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    local_copy: Path | None = None,
    callback: TuningCallback | None = None,
    workers: Workers | None = None,
    stopped: Callable[[], bool] = lambda: False,
    preempted: Callable[[], bool] = lambda: False,
    track: Sequence[str] = (),
) -> TuningOutcome:
    """Search, train the winners, score them on the outer folds; what is done is kept.

    Several processes may do this at once, in one folder or on one storage.

    Args:
        tuning: What `make_tuning_plan` checked.
        out: Folder of runs.
        name: Folder of this one in ``out``.
        storage: URL of a database; ``journal``: a file in the run folder that needs no locks of
            the file system, for machines that share nothing but a disk; by default a SQLite file
            there.
        device: ``auto``, ``cpu``, ``cuda`` for every GPU, ``cuda:1`` or ``cuda:0,2``.
        jobs: Trainings at a time; by default one per core on a CPU, and as many on each GPU as
            memory, cores and work promise to allow.
        heartbeat_s: Seconds between two signs of life of a trial.
        checkpoint_seconds: Shortest time between two checkpoints of a training.
        local_copy: Folder on each machine's own disk that the prepared data are copied to, once for
            all trainings there; None reads them where they are.
        callback: Called on progress.
        workers: Processes that outlive this; by default it starts its own and ends them.
        stopped: Asked before anything is begun; once true, only what runs is finished.
        preempted: Asked after each epoch, with one job; once true, its training keeps its state.
        track: Specs of the trackers that the curves of every training in this process are sent to.

    Raises:
        PluginError: a tracker cannot be used, and other errors of `build_trackers`.
        StateError: the folder holds another experiment, or was damaged.
        StorageError: nothing can be written, or the database cannot be reached.
        TrainingError: every trial of every study failed.
    """
    build_trackers(track)  # what is not installed is said before a folder is made
    callback = callback or TuningCallback()
    experiment = tuning.plan.experiment
    settings = RunSettings(device=device, jobs=jobs)
    sharing = share(tuning.plan, settings, tasks=available_cores())
    compute, devices = _places(sharing)
    environment = _without_password(describe_environment(compute, jobs=len(devices)))
    folder = RunFolder(out / (name or experiment.name))
    with ExitStack() as stack:
        if track:
            callback = stack.enter_context(TrackedTuning(track, tuning, folder.path, callback))
        describe = describe_data(tuning.plan.prepared, tuning.plan.duplicates)
        database: optuna.storages.BaseStorage
        heart: Heartbeat
        lock: SharedLock | None = None
        if storage == JOURNAL:
            with FolderLock(folder.path, wait_s=OPENING_S, required=False):
                folder.open(experiment, tuning.plan.split, describe, environment)
            database = stack.enter_context(open_journal(folder.path))
            heart = TrialLeases(heartbeat_s)
        else:
            lock = stack.enter_context(SharedLock(folder.path))
            folder.open(experiment, tuning.plan.split, describe, environment)
            url = storage or f"sqlite:///{(folder.path / STORAGE).resolve()}"
            database = served = stack.enter_context(open_storage(url, heartbeat_s=heartbeat_s))
            heart = Heartbeat(served.record_heartbeat, heartbeat_s)
        room = "" if lock is None else lock.name
        searches = [
            Search(tuning, inner, database, _folder(folder, inner.outer), room)
            for inner in tuning.inner.values()
        ]
        if lock is not None:
            for search in searches:
                search.recover_stale(exclusive=lock.exclusive, file=storage is None)
            lock.downgrade()
        callback.on_plan(tuning, folder.path, *_progress(searches))
        with heart:
            work = TuningWorker(
                tuning,
                folder,
                searches,
                execution=Execution(compute, checkpoint_seconds, local_copy),
                environment=environment,
                heart=heart,
                callback=callback,
                stopped=stopped,
            )
            try:
                _do(work, devices, callback, workers, stopped, preempted)
            finally:
                work.release()
        for search in searches:
            search.write_tables()
        outcome = find_outcome(tuning, folder, searches, stopped=not work.is_over)
        write_outcome(outcome, tuning)
        if len(outcome.outer_auc) == outcome.folds:
            _audit(tuning, folder, callback)
    if all(search.is_over and search.winner() is None for search in searches):
        raise TrainingError(
            f"{searches[0].why_no_winner()}; the trials are in {searches[0].folder}"
        )
    return outcome


def _places(sharing: Sharing) -> tuple[Compute, list[str]]:
    """How trainings compute, and a process for each; a single one is trained in this process."""
    if sharing.jobs == 1:
        return replace(sharing.compute, device=sharing.device(0)), [ANY_DEVICE]
    return sharing.compute, dealt_out(sharing.jobs, sharing.pinned)


def _do(
    work: TuningWorker,
    devices: Sequence[str],
    callback: TuningCallback,
    workers: Workers | None,
    stopped: Callable[[], bool],
    preempted: Callable[[], bool],
) -> None:
    waiting = False
    while True:
        for task, result in train(
            work.next_task,
            devices=devices,
            on_epoch=work.on_epoch,
            on_step=work.on_step,
            on_retry=work.on_retry,
            workers=workers,
            should_stop=preempted,
        ):
            waiting = False
            work.on_result(task, result)
        if work.is_over or stopped():
            return
        if not waiting:
            callback.on_wait()
            waiting = True
        time.sleep(POLL_S)


def _folder(folder: RunFolder, outer: int) -> Path:
    """Folder of a study: beside the folds, as a fold is published by renaming its whole folder."""
    if outer == FLAT:
        return folder.path / "tuning"
    place = folder.path / "tuning" / f"{outer:02d}"
    before = folder.fold(outer).path / "tuning"  # where version 0.1 kept it
    if before.is_dir() and not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process was quicker
            before.rename(place)
    return place


def _progress(searches: list[Search]) -> tuple[int, int]:
    trials = [trial for search in searches for trial in search.trials]
    done = sum(trial.state.is_finished() for trial in trials)
    return done, sum(search.tuning.settings.trials for search in searches)


def _audit(tuning: TuningPlan, folder: RunFolder, callback: TuningCallback) -> None:
    """Keep beside the run what its labels give away without the image, as any run does."""
    if folder.keeps(AUDIT):
        return
    callback.on_audit()
    from volbench.audit import audit_cached  # scikit-learn

    found = audit_cached(tuning.plan.prepared, tuning.plan.split, cache=cache_root())
    folder.add(AUDIT, found.to_csv())


def _without_password(environment: dict[str, Any]) -> dict[str, Any]:
    """Leave out what may not be kept: the command may hold the URL of a database."""
    command = [re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", word) for word in environment["command"]]
    return {**environment, "command": command}
