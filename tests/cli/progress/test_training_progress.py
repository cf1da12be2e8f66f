"""What is said while folds are trained, where there is no terminal."""

import json
from pathlib import Path

import pytest

from tests.helpers.small import write_small
from volbench.cli.progress import line as training_progress
from volbench.cli.progress import trainings
from volbench.cli.progress.training import TrainingProgress
from volbench.crossval import make_plan, run


@pytest.fixture
def plan(tmp_path):
    return make_plan(
        encoder="r2d(width=2)",
        aggregator="average",
        loss="focal",
        data=str(write_small(tmp_path / "data").folder),
        folds="3",
        overrides=("training.epochs=2",),
    )


def follow(plan, out: Path, capsys, **options):
    with TrainingProgress() as progress:
        outcome = run(plan, out=out, name="a", jobs=1, callback=progress, **options)
    progress.summarise(outcome, compare="volbench compare HERE")
    said = capsys.readouterr()
    return said.out.splitlines(), said.err.splitlines()


def test_every_fold_leaves_one_line_with_its_auc(plan, tmp_path, capsys):
    out, err = follow(plan, tmp_path, capsys)
    assert err[0].startswith("r2d(width=2), average, focal on small: 3 folds")
    folds = [line for line in err[1:] if line.startswith("fold")]
    assert [line.split()[1] for line in folds] == ["0", "1", "2"]
    assert "(3 of 3 folds, mean AUC" in folds[-1]
    assert err[4:] == ["running shortcut baselines on the same folds"]
    assert out[0].startswith("mean AUC")
    assert "3 finished folds" in out[0]
    assert out[1] == "compare with: volbench compare HERE"


def test_a_run_that_goes_on_says_what_is_there(plan, tmp_path, capsys):
    follow(plan, tmp_path, capsys, folds=[1])
    _, err = follow(plan, tmp_path, capsys)
    assert "finished already: 1 fold" in err
    assert [line.split()[1] for line in err[2:] if line.startswith("fold")] == ["0", "2"]


def test_a_long_fold_is_not_silent(plan, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training_progress, "PLAIN_SECONDS", 0.0)
    _, err = follow(plan, tmp_path, capsys, folds=[0])
    assert sum("epoch 1 of 2" in line for line in err) == 1
    assert any("validation AUC" in line and "left" in line for line in err)


def test_waiting_for_transforms_of_torchio_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training_progress, "PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(trainings, "WORTH_SAYING", 1e-6)
    monkeypatch.setenv("VOLBENCH_AUGMENTATION_WORKERS", "0")
    transformed = make_plan(
        encoder="r2d(width=2)",
        aggregator="average",
        loss="focal",
        data=str(write_small(tmp_path / "data").folder),
        folds="3",
        overrides=("training.epochs=1", "training.augmentation=torchio.RandomNoise"),
    )
    _, err = follow(transformed, tmp_path, capsys, folds=[0], profile=True)
    assert any("waiting " in line and "% for TorchIO" in line for line in err)
    profile = (tmp_path / "a" / "folds" / "00" / "profile.json").read_text()
    assert json.loads(profile)["seconds"]["wait for TorchIO"] > 0
