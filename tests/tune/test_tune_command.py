"""`volbench tune` as a person uses it, with pretended trainings: plan, result, refusals, Ctrl-C."""

import os
import signal
from unittest import mock

import pytest
from click.testing import CliRunner

from tests.helpers.small import write_small
from tests.tune.pretend import Pretender
from volbench.cli.main import main
from volbench.tune import pool

USAGE, DATA, SPEC, STATE, STORAGE, INTERRUPTED = 2, 3, 4, 5, 6, 130


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small") / "data", cases=48).folder


def tune(data, out, *more, loss="focal(gamma=uniform(low=0, high=5))", pretender=None):
    words = ["tune", "--encoder", "r2d(width=2)", "--agg", "average", "--loss", loss]
    words += ["--data", str(data), "--folds", "2", "--device", "cpu", "--jobs", "1"]
    words += ["--trials", "3", "--inner-folds", "2", "--out", str(out), "--name", "a", *more]
    with mock.patch.object(pool, "do_task", pretender or Pretender()):
        return CliRunner().invoke(main, words)


def test_a_dry_run_says_what_would_be_searched_and_writes_nothing(data, tmp_path):
    done = tune(data, tmp_path / "runs", "--dry-run", loss="focal+triplet")
    assert done.exit_code == 0, done.output
    assert "loss       focal(gamma=?)+?*triplet(margin=?)" in done.output
    assert "search     triplet.margin in uniform(high=1, low=0.05)" in done.output
    assert "trainings  14 at most" in done.output  # 2 outer x 3 trials x 2 inner, and 2 winners
    assert "no trial ends early" in done.output
    assert not (tmp_path / "runs").exists()


def test_it_ends_with_winners_optimism_and_a_line_to_paste_and_shows_them_again(data, tmp_path):
    done = tune(data, tmp_path)
    assert done.exit_code == 0, done.output
    assert ": optimism " in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("volbench run"))
    assert "focal(gamma=" in line
    assert "fold 1 trial  2  inner AUC" in done.stderr
    assert (tmp_path / "a" / "tuning.html").is_file()
    shown = CliRunner().invoke(main, ["tune", "--show", str(tmp_path / "a")])
    assert shown.exit_code == 0, shown.output
    assert shown.output in done.stdout
    compared = CliRunner().invoke(main, ["compare", str(tmp_path / "a")])
    assert compared.exit_code == 0, compared.output


def test_ctrl_c_ends_after_the_training_that_runs_and_the_command_continues(data, tmp_path):
    pretender = Pretender()

    def interrupt(task, on_epoch, **options):
        if len(pretender.tasks) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return pretender(task, on_epoch)

    done = tune(data, tmp_path, pretender=interrupt)
    assert done.exit_code == INTERRUPTED, done.output
    assert "stopping after the running trainings" in done.stderr
    assert done.stderr.rstrip().endswith("interrupted; rerun the same command to resume")
    assert len(pretender.tasks) == 5, "the one that ran was finished"
    again = Pretender()
    assert tune(data, tmp_path, pretender=again).exit_code == 0
    assert len(again.tasks) == 2 * (3 * 2 + 1) - 5


def test_flat_is_marked_as_selected_on_these_data(data, tmp_path):
    done = tune(data, tmp_path, "--flat")
    assert done.exit_code == 0, done.output
    assert "SELECTED ON THESE DATA" in done.stdout


@pytest.mark.parametrize(
    ("more", "loss", "code", "words"),
    [
        ((), "focal(gamma=2)", USAGE, "nothing to tune"),
        (("--trials", "0"), "focal", USAGE, "--trials"),
        (("--inner-folds", "1"), "focal", USAGE, "--inner-folds"),
        (("--inner-folds", "30"), "focal", DATA, "use --inner-folds"),
        (("--sampler", "cmaes"), "focal", USAGE, "tpe"),
        (("--name", "a/b"), "focal", USAGE, "not a folder name"),
        (("--storage", "my trials"), "focal", USAGE, "is not a URL"),
        (("--storage", "sqlite:////nowhere/at/all.db"), "focal", STORAGE, "unable to open"),
        ((), "focal(gamma=uniform(low=3, high=1))", SPEC, "low must be below high"),
        ((), "focal(gamma=unifrom(low=0, high=1))", SPEC, "Did you mean 'uniform'?"),
        ((), "twice(n=2)*focal", USAGE, "a weight is a number or a search space"),
        (("--set", "optimizer.lr=uniform(low=0)"), "focal", SPEC, "missing"),
        (("--set", "optimizer.rate=uniform(low=0, high=1)"), "focal", SPEC, "optimizer.rate"),
    ],
)
def test_what_a_person_can_get_wrong_is_one_line(more, loss, code, words, data, tmp_path):
    done = tune(data, tmp_path / "runs", *more, loss=loss)
    assert done.exit_code == code, done.output
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "runs").glob("*/folds"))


def test_show_refuses_what_is_no_tuned_run(tmp_path):
    done = CliRunner().invoke(main, ["tune", "--show", str(tmp_path)])
    assert done.exit_code == STATE
    assert "no tuned run" in done.stderr


def test_run_names_the_command_that_takes_a_search_space(tmp_path):
    words = ["run", "--encoder", "r2d", "--agg", "average", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, [*words, "--loss", "focal(gamma=uniform(low=0, high=5))"])
    assert done.exit_code == SPEC
    assert "volbench tune" in done.stderr
