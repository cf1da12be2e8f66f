"""No trial ever sees a case that will judge it: with real trainings, and the data set watched."""

import csv

import numpy as np
import pytest

from tests.helpers.small import CLASSES, SIZE, small_case, small_voxels, write_small
from volbench.data.cache.packed_voxels import open_prepared
from volbench.data.cache.writing import CacheDescription, write_prepared
from volbench.data.loading.loader import Loader
from volbench.data.preprocessing.options import Preprocessing
from volbench.interfaces import Card
from volbench.tune import Settings, TuningCallback, make_tuning_plan, pool, tune


def plan_for(data, *, settings, **options):
    return make_tuning_plan(
        **{
            "encoder": "r2d(width=2)",
            "aggregator": "average",
            "loss": "focal",
            "data": str(data),
            "folds": "2",
            "overrides": ("training.epochs=1",),
            "settings": settings,
            **options,
        }
    )


def first_study(path):
    """Trials of outer fold 0 but for how long they took."""
    with (path / "tuning/00/trials.csv").open() as stream:
        return [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(stream)
        ]


def predictions(path):
    found = sorted(path.glob("tuning/00/trials/*/folds/*/predictions.csv"))
    assert len(found) == 4
    return [file.read_text() for file in found]


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A tuning, and every case that was gathered, by the training that asked for it."""
    folder = tmp_path_factory.mktemp("watched")
    data = write_small(folder / "data", cases=24).folder
    plan = plan_for(data, settings=Settings(trials=2, inner_folds=2))
    gathered, current = [], []
    gather, do_task = Loader._gather, pool.do_task

    def watch_gather(self, cases):
        gathered.extend((current[-1], int(case)) for case in cases)
        return gather(self, cases)

    def watch_task(task, on_epoch, **settings):
        current.append(task)
        return do_task(task, on_epoch, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loader, "_gather", watch_gather)
        patch.setattr(pool, "do_task", watch_task)
        outcome = tune(plan, out=folder, name="a", jobs=1, device="cpu")
    return plan, outcome, gathered


def test_no_case_of_an_outer_test_fold_is_ever_gathered_by_a_trial(watched):
    plan, outcome, gathered = watched
    for outer in (0, 1):
        held_out = set(plan.plan.part(outer).test)
        study = outcome.path / f"tuning/{outer:02d}"
        by_trials = {case for task, case in gathered if study in task.run.parents}
        assert by_trials == set(range(24)) - held_out, "every other case, and none of these"
        by_winner = {
            case for task, case in gathered if task.run == outcome.path and task.fold == outer
        }
        assert held_out <= by_winner, "the watch sees what is gathered"


def test_other_voxels_in_the_outer_test_fold_change_no_bit_of_its_study(watched, tmp_path):
    plan, outcome, _ = watched
    held_out = {plan.plan.prepared.cases[index].name for index in plan.plan.part(0).test}

    def voxels(case):
        found = small_voxels(case)
        return np.float16(-7) * found + np.float16(3) if case.name in held_out else found

    cases = [small_case(n, slices=3 + n % 4) for n in range(24)]
    changed = _write(tmp_path / "data", cases, map(voxels, cases))
    other = plan_for(changed, settings=plan.settings)

    class UntilWinner(TuningCallback):
        seen = False

        def on_winner(self, fold, winner):
            self.seen = True

    callback = UntilWinner()
    again = tune(
        other,
        out=tmp_path,
        name="a",
        jobs=1,
        device="cpu",
        callback=callback,
        stopped=lambda: callback.seen,
    )
    assert first_study(again.path) == first_study(outcome.path)
    assert predictions(again.path) == predictions(outcome.path)
    theirs = (again.path / "folds/00/predictions.csv").read_text()
    assert theirs != (outcome.path / "folds/00/predictions.csv").read_text(), "they were changed"


@pytest.mark.slow
def test_with_shuffled_labels_the_outer_auc_is_chance_and_the_inner_one_looks_better(tmp_path):
    """Labels that have nothing to do with the voxels: whatever is found was not there.

    An outer fold holds 12 cases of each class, so that the AUC of a guess has the standard
    deviation sqrt(25 / (12 * 12 * 12)) = 0.120, and the mean of 4 folds 0.060. The best of 8
    candidates, each the mean of 2 inner folds of 36 (0.069), is expected 1.4 of that above.
    """
    random = np.random.default_rng(0)
    shuffled = random.permutation([n % 2 for n in range(96)])
    cases = [small_case(n, slices=3, label=int(shuffled[n])) for n in range(96)]
    data = _write(
        tmp_path / "data", cases, (small_voxels(small_case(n, slices=3)) for n in range(96))
    )
    plan = plan_for(
        data,
        folds="4",
        settings=Settings(trials=8, inner_folds=2, sampler="random"),
        overrides=("training.epochs=3", "optimizer.lr=loguniform(low=1e-4, high=0.1)"),
    )
    outcome = tune(plan, out=tmp_path, name="a", jobs=1, device="cpu")
    assert len(outcome.outer_auc) == 4
    assert abs(outcome.outer_mean - 0.5) < 2.5 * 0.060
    assert outcome.inner_mean > 0.5 + 0.069 / 2
    assert outcome.optimism > 0


def _write(folder, cases, voxels):
    description = CacheDescription(
        digest="d" * 64,
        preprocessing=Preprocessing(size=SIZE, crop="none"),
        source="small",
        classes=CLASSES,
        channels=("image",),
        card=Card(title="small", licence="none", citation="none"),
    )
    folder = write_prepared(folder, description, cases, iter(voxels)).folder
    open_prepared(folder)
    return folder
