"""Tuning on an executor: its tasks are processes that share one search until it is over.

The next trial follows from the last, so trials are not handed out from here. Each task works as
`volbench tune` does that was started once more in the same folder; nothing of the search depends on
the process that submitted them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from volbench.crossval.fold_task import require_prepared, require_run
from volbench.crossval.settings import EXECUTOR
from volbench.crossval.tracking import build_trackers
from volbench.errors import PreemptedError, StateError
from volbench.executors.run_tasks import OnLine, error_of, run_tasks
from volbench.interfaces import Executor, ExecutorTask, TaskContext
from volbench.training.checkpoint import CHECKPOINT_SECONDS
from volbench.tune.leased_trials import JOURNAL
from volbench.tune.outcome import TuningOutcome
from volbench.tune.plan import TuningPlan, make_tuning_plan
from volbench.tune.run_tuning import HEARTBEAT_S, tune
from volbench.tune.settings import Settings
from volbench.tune.trial import ActiveTrial
from volbench.tune.worker import TuningCallback


def tuning_tasks(
    tuning: TuningPlan,
    path: Path,
    *,
    storage: str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    heartbeat_s: int = HEARTBEAT_S,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    track: Sequence[str] = (),
    local_copy: Path | None = None,
) -> list[ExecutorTask]:
    """Processes that share a search, as tasks.

    Args:
        tuning: What `make_tuning_plan` checked.
        path: The run folder.
        storage: URL of a database; by default a journal in the run folder.
        device: ``auto``, ``cpu`` or ``cuda``.
        jobs: How many; by default one for each study.
        heartbeat_s: Seconds between two signs of life of a trial.
        checkpoint_seconds: Shortest time between two checkpoints of a training.
        track: Specs of the trackers that each process sends the curves of its trainings to.
        local_copy: Folder on each machine's own disk that the prepared data are copied to.

    Raises:
        VolbenchError: a tracker cannot be built here, so that it cannot be there.
    """
    build_trackers(track)
    experiment = tuning.plan.experiment
    payload = {
        "plan": {
            **asdict(tuning.asked),
            "level": experiment.level,
            "data": str(tuning.plan.prepared.folder.resolve()),
            "recipe": _absolute(tuning.recipe),
            "folds": _absolute(tuning.folds),
            "seed": experiment.seed,
            "precision": experiment.precision,
        },
        "settings": asdict(tuning.settings),
        "experiment": experiment.id,
        "out": str(path.parent.resolve()),
        "name": path.name,
        "storage": storage or JOURNAL,
        "device": device,
        "heartbeat_s": heartbeat_s,
        "checkpoint_seconds": checkpoint_seconds,
        "track": list(track),
        "local_copy": None if local_copy is None else str(local_copy),
    }
    function = f"{__name__}:{take_part.__name__}"
    return [
        ExecutorTask(f"{path.name}/search{number}", function, payload)
        for number in range(jobs or len(tuning.inner))
    ]


def tune_on(
    executor: Executor,
    tuning: TuningPlan,
    path: Path,
    tasks: list[ExecutorTask],
    *,
    storage: str | None = None,
    on_line: OnLine = lambda line: None,
) -> TuningOutcome:
    """Run `tuning_tasks` until each has ended; then read what they found.

    A process that is lost takes no other along: its trials are taken over.

    Raises:
        ExecutorError: the executor cannot be reached, or lost every process.
        PreemptedError: the processes were asked to stop; tuning again goes on.
        TrainingError: every trial of every study failed.
    """
    outcome = _look(tuning, path, storage)
    if not outcome.stopped:  # all of it was done before
        return outcome
    ended = run_tasks(
        executor,
        tasks,
        path / EXECUTOR,
        on_progress=lambda value: on_line(str(value["line"])),
        on_line=on_line,
    )
    outcome = _look(tuning, path, storage)
    failed = [error for event in ended.values() if (error := error_of(event)) is not None]
    if outcome.stopped and failed:  # nobody is left who goes on
        raise failed[0]
    return outcome


def _look(tuning: TuningPlan, path: Path, storage: str | None) -> TuningOutcome:
    """Open the run folder and read how far the search is; nothing is trained."""
    return tune(
        tuning,
        out=path.parent,
        name=path.name,
        storage=storage or JOURNAL,
        device="cpu",
        jobs=1,
        stopped=lambda: True,
    )


def take_part(payload: Mapping[str, Any], context: TaskContext) -> dict[str, Any]:
    """Share a search until it is over: the function that the tasks name."""
    require_run(Path(payload["out"]) / payload["name"])
    require_prepared(Path(payload["plan"]["data"]))
    plan = {**payload["plan"], "overrides": tuple(payload["plan"]["overrides"])}
    tuning = make_tuning_plan(settings=Settings(**payload["settings"]), **plan)
    if tuning.plan.experiment.id != payload["experiment"]:
        raise StateError(
            f"this machine makes another experiment of {tuning.plan.experiment.name}; install the "
            "same volbench and plugins on all machines"
        )
    outcome = tune(
        tuning,
        out=Path(payload["out"]),
        name=payload["name"],
        storage=payload["storage"],
        device=payload["device"],
        jobs=1,
        heartbeat_s=payload["heartbeat_s"],
        checkpoint_seconds=payload["checkpoint_seconds"],
        local_copy=Path(there) if (there := payload.get("local_copy")) else None,
        callback=_Reporting(context),
        stopped=lambda: context.should_stop,
        preempted=lambda: context.should_stop,
        track=payload.get("track", ()),
    )
    if outcome.stopped:
        raise PreemptedError("stopped; the search goes on when the tuning does")
    return {"folds": outcome.folds}


class _Reporting(TuningCallback):
    def __init__(self, context: TaskContext) -> None:
        self._context = context

    def on_warning(self, text: str) -> None:
        """Report a warning."""
        self._context.report({"line": f"warning: {text}"})

    def on_told(self, trial: ActiveTrial, best: float | None) -> None:
        """Report an ended trial."""
        outer = "" if trial.tuning.settings.flat else f" of outer fold {trial.inner.outer}"
        found = "no score yet" if best is None else f"best inner AUC {best:.3f}"
        self._context.report({"line": f"trial {trial.place}{outer} ended; {found}"})


def _absolute(text: str) -> str:
    """A file by its whole path, as a task may run in another folder; other text as it is."""
    return str(Path(text).resolve()) if Path(text).is_file() else text
