"""Send what a run reports to trackers, none of which may stop it or change it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from volbench._utils.text import printable
from volbench.crossval.dispatch import Listener
from volbench.crossval.fold_task import Task
from volbench.experiment.experiment import Experiment
from volbench.interfaces import TrackedRun, Tracker
from volbench.plugins.registry import trackers as registry
from volbench.runs.folder import FoldResult
from volbench.training.fold_reports import EpochReport


def build_trackers(specs: Sequence[str]) -> list[tuple[str, Tracker]]:
    """Build the trackers that specs name, before anything is trained.

    Raises:
        UnknownComponentError: no tracker has the name.
        SpecError: the options do not fit it.
        PluginError: it cannot be imported, or what it needs is not installed.
    """
    return [(spec, registry.build(spec, Tracker)) for spec in specs]


def how_to_view(specs: Sequence[str]) -> list[str]:
    """How to look at the curves that trackers keep, each way once; one that fails has none."""
    ways: list[str] = []
    for spec in specs:
        with suppress(Exception, SystemExit):
            ways.append(printable(" ".join(registry.build(spec, Tracker).how_to_view().split())))
    return list(dict.fromkeys(way for way in ways if way))


class Tracking:
    """Calls trackers; one that fails is told once and left alone from then on.

    Args:
        trackers: Spec and tracker.
        on_warning: Called with a line about a tracker that failed.
    """

    def __init__(
        self, trackers: Sequence[tuple[str, Tracker]], on_warning: Callable[[str], object]
    ) -> None:
        self._trackers = list(trackers)
        self._on_warning = on_warning

    def start(self, run: TrackedRun) -> None:
        """The run is about to start."""
        self._call(lambda tracker: tracker.start(run))

    def epoch(self, report: EpochReport) -> None:
        """An epoch ended."""
        values = epoch_values(report)
        self._call(lambda tracker: tracker.log(report.fold, report.epoch, values))

    def end(self, result: FoldResult) -> None:
        """A fold ended; one that failed has no result to tell."""
        if result.status == "finished":
            values = result_values(result)
            self._call(lambda tracker: tracker.finish(result.fold, values))

    def score(self, fold: int, auc: float) -> None:
        """An inner fold of a trial was scored."""
        self._call(lambda tracker: tracker.finish(fold, {"auc": auc}))

    def listening(self, listener: Listener) -> Listener:
        """The listener, and after each of its epochs and ends the trackers."""

        def on_epoch(task: Task, report: EpochReport) -> None:
            listener.on_epoch(task, report)
            self.epoch(report)

        def on_end(task: Task, result: FoldResult) -> None:
            listener.on_end(task, result)
            self.end(result)

        return replace(listener, on_epoch=on_epoch, on_end=on_end)

    def close(self) -> None:
        """The run ended, whatever the reason."""
        self._call(lambda tracker: tracker.close())

    def _call(self, use: Callable[[Tracker], object]) -> None:
        for spec, tracker in list(self._trackers):
            try:
                use(tracker)
            except (Exception, SystemExit) as error:
                self._trackers.remove((spec, tracker))
                reason = printable(" ".join(f"{type(error).__name__}: {error}".split()))
                self._on_warning(f"tracker {spec} failed and is left out from now on ({reason})")


@contextmanager
def tracking(
    specs: Sequence[str], run: TrackedRun, on_warning: Callable[[str], object]
) -> Iterator[Tracking]:
    """Trackers for the duration of a run, which they are told of.

    Args:
        specs: Of the trackers.
        run: What is tracked.
        on_warning: Called with a line about a tracker that failed.

    Raises:
        VolbenchError: as `build_trackers`.
    """
    told = Tracking(build_trackers(specs), on_warning)
    try:
        told.start(run)
        yield told
    finally:
        told.close()


def tracked_run(
    experiment: Experiment,
    path: Path,
    *,
    name: str | None = None,
    chosen: Mapping[str, object] | None = None,
) -> TrackedRun:
    """What trackers are told of a run.

    Args:
        experiment: What is trained.
        path: The run folder.
        name: Name of the run; by default that of its folder.
        chosen: Further settings, such as the hyperparameters of a trial.
    """
    known = {
        "encoder": experiment.encoder,
        "aggregator": experiment.aggregator,
        "loss": experiment.loss,
        "level": experiment.level,
        "source": experiment.source,
        "seed": experiment.seed,
        "folds": experiment.folds,
        "id": experiment.id,
        **{
            f"{section}.{key}": value
            for section, values in experiment.recipe.model_dump(mode="json").items()
            if isinstance(values, dict)
            for key, value in values.items()
        },
        **(chosen or {}),
    }
    settings = {key: str(value) for key, value in known.items() if value is not None}
    return TrackedRun(name or path.name, path, settings)


def epoch_values(report: EpochReport) -> dict[str, float]:
    """What an epoch told, by name; what is not known or not finite is left out.

    >>> epoch_values(EpochReport(0, 1, 5, 0.5, None, terms={"focal": 0.2, "triplet": 0.3}))
    {'train/loss': 0.5, 'train/loss_terms/focal': 0.2, 'train/loss_terms/triplet': 0.3}
    """
    known = {
        "train/loss": report.loss,
        **{f"train/loss_terms/{name}": value for name, value in report.terms.items()},
        "validation/auc": report.auc,
        "validation/log_loss": report.validation_loss,
        "train/learning_rate": report.rate,
        "speed/cases_per_second": report.cases_per_second,
        "speed/waiting": report.waiting or None,
        "memory/peak_mb": report.memory_mb,
    }
    return {
        name: value for name, value in known.items() if value is not None and math.isfinite(value)
    }


def result_values(result: FoldResult) -> dict[str, float]:
    """What a finished fold came to, by name."""
    known = {
        "auc": result.auc,
        "seconds": result.seconds,
        "selected_epoch": result.selected_epoch,
        "peak_memory_mb": result.peak_memory_mb,
    }
    return {name: float(value) for name, value in known.items() if value is not None}
