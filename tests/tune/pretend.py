"""Trainings that are not done: predictions whose AUC is a known function of the candidate.

So a search can be tested for what it does with scores, in no time. As a program, it tunes with
such trainings in a process of its own, to be killed.
"""

import sys
import time
from pathlib import Path
from unittest import mock

from tests.helpers.small import CLASSES
from volbench.data.cache.packed_voxels import open_prepared
from volbench.runs.folder import FoldResult, RunFolder
from volbench.runs.predictions_file import Prediction
from volbench.training.fold_reports import EpochReport
from volbench.tune import Settings, make_tuning_plan, pool, tune

EPOCHS = 4


def plan_for(data, *, settings=None, **options):
    return make_tuning_plan(
        **{
            "encoder": "r2d(width=2)",
            "aggregator": "average",
            "loss": "focal(gamma=uniform(low=0, high=5))",
            "data": str(data),
            "folds": "2",
            "overrides": ("training.epochs=4",),
            "settings": settings or Settings(trials=5, inner_folds=2),
            **options,
        }
    )


def gamma_of(task):
    return float(task.experiment.loss.terms[0].spec.kwargs["gamma"])


def best_at_two(task):
    """A score that falls with the distance of gamma from 2, a little other in every fold."""
    return 0.95 - 0.15 * abs(gamma_of(task) - 2) - 0.02 * task.fold


class Pretender:
    """Stands in for `do_task`; remembers what was asked.

    Args:
        score: Wanted AUC of a task; an exception becomes a failure.
        seconds: How long each takes.
    """

    def __init__(self, score=best_at_two, *, seconds=0.0, log=None):
        self.score = score
        self.seconds = seconds
        self.tasks = []
        self.log = log

    def __call__(self, task, on_epoch, **options):
        self.tasks.append(task)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{task.run.parent.parent.name} {task.run.name} {task.fold}\n")
        folder = RunFolder(task.run).fold(task.fold)
        try:
            auc = self.score(task)
        except ZeroDivisionError as error:
            return folder.write_failure(str(error))
        for epoch in range(1, EPOCHS + 1):
            time.sleep(self.seconds / EPOCHS)
            on_epoch(EpochReport(task.fold, epoch, EPOCHS, 1.0, auc))
        prepared = open_prepared(task.prepared)
        rows = self._rows(task, prepared, auc)
        result = FoldResult(task.fold, "finished", seconds=1.0, parameters=1, selected_epoch=1)
        return folder.write_success(result, rows, CLASSES, [{"epoch": 1}], b"")

    def _rows(self, task, prepared, auc):
        """Predictions whose AUC is the share of negatives below all positives."""
        held_out = [prepared.cases[index] for index in task.part.test]
        negative = [case for case in held_out if case.label == 0]
        below = round(auc * len(negative))
        rows = []
        for case in held_out:
            p = 0.5 if case.label else (0.1 if negative.index(case) < below else 0.9)
            label = CLASSES[case.label]
            rows.append(
                Prediction(
                    case=case.name,
                    patient=case.patient,
                    label=label,
                    fold=task.fold,
                    slice=None,
                    probabilities=(1 - p, p),
                )
            )
        return rows


def pretended(plan, out, pretender=None, **options):
    """Tune with pretended trainings, in this process."""
    pretender = pretender or Pretender()
    with mock.patch.object(pool, "do_task", pretender):
        return tune(plan, **{"out": out, "name": "a", "jobs": 1, "device": "cpu", **options})


if __name__ == "__main__":
    data, out, seconds, log, *storage = sys.argv[1:]
    slow = Pretender(seconds=float(seconds), log=Path(log))
    more = {"storage": storage[0]} if storage else {}
    pretended(plan_for(data), Path(out), slow, heartbeat_s=1, **more)
