"""Options of `volbench run` reach the run, and a run with a failed fold ends with 1."""

import json

import pytest
from click.testing import CliRunner

from tests.helpers.small import write_small
from volbench.cli.main import main
from volbench.training.fold import FoldTrainer


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("data"), cases=12).folder


def start(data, out, *options):
    return CliRunner().invoke(
        main,
        [
            *("run", "--encoder", "r2d(width=2)", "--agg", "max", "--loss", "focal"),
            *("--data", str(data), "--folds", "3", "--jobs", "1", "--out", str(out)),
            *("--set", "training.epochs=1", "--name", "run", *map(str, options)),
        ],
    )


def test_failed_folds_end_with_1_and_the_others_are_kept(data, tmp_path, monkeypatch):
    run = FoldTrainer.run

    def fail(self):
        if self.fold == 1:
            raise ValueError("no luck")
        return run(self)

    monkeypatch.setattr(FoldTrainer, "run", fail)
    done = start(data, tmp_path)
    assert done.exit_code == 1
    assert "no luck" in done.stdout + done.stderr
    folds = tmp_path / "run" / "folds"
    assert [(folds / f"0{n}" / "result.json").exists() for n in range(3)] == [True, False, True]
    monkeypatch.setattr(FoldTrainer, "run", run)
    assert start(data, tmp_path).exit_code == 0


def test_what_is_asked_for_is_what_is_trained(data, tmp_path, monkeypatch):
    made = []
    keep = FoldTrainer.__init__

    def noted(self, *arguments, **options):
        keep(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(FoldTrainer, "__init__", noted)
    done = start(
        data, tmp_path, "--fold", "2", "--fold", "0", "--seed", "7", "--precision", "float32",
        "--checkpoint-seconds", "123", "--set", "optimizer.lr=0.0625",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert [trainer.fold for trainer in made] == [0, 2]
    assert {trainer.experiment.seed for trainer in made} == {7}
    assert {trainer.checkpoint_seconds for trainer in made} == {123.0}
    assert {trainer.recipe.optimizer.lr for trainer in made} == {0.0625}
    assert {trainer.experiment.precision for trainer in made} == {"float32"}
    stored = json.loads((tmp_path / "run" / "experiment.json").read_text())
    assert (stored["seed"], stored["precision"]) == (7, "float32")
    assert stored["recipe"]["training"]["epochs"] == 1
