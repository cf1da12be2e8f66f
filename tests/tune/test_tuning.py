"""A tuning as a whole, with pretended trainings: what is chosen, kept, continued and shared."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.helpers.child_environment import ROOT, child_environment
from tests.helpers.small import write_small
from tests.tune.pretend import Pretender, best_at_two, gamma_of, plan_for, pretended
from volbench.errors import DataError, StateError, TrainingError, UsageError
from volbench.leaderboard import load_run
from volbench.tune import Settings
from volbench.tune.page import write_page
from volbench.tune.plan import FLAT
from volbench.tune.summary import load_summary
from volbench.tune.tables import read_trials


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small") / "data", cases=48).folder


@pytest.fixture(scope="module")
def tuned(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned")
    return pretended(plan_for(data), out)


def trials(path, fold=0):
    with (path / f"tuning/{fold:02d}/trials.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_the_best_mean_over_inner_folds_wins_and_scores_its_outer_fold(tuned, data):
    assert tuned.errors == {}
    for fold in (0, 1):
        rows = trials(tuned.path, fold)
        assert len(rows) == 5
        assert {row["state"] for row in rows} == {"complete"}
        best = max(rows, key=lambda row: float(row["auc"]))
        assert tuned.winners[fold].values == {"focal.gamma": best["focal.gamma"]}
        assert tuned.winners[fold].inner_auc == float(best["auc"])


def test_the_run_folder_is_that_of_any_run(tuned):
    loaded = load_run(tuned.path)
    assert loaded.experiment["loss"] == "focal(gamma=?)"
    assert loaded.experiment["tuning"]["space"] == {"focal.gamma": "uniform(high=5, low=0)"}
    held_out = sorted(row.case for rows in loaded.predictions.values() for row in rows)
    assert held_out == [f"case{n:03d}" for n in range(48)]
    assert (tuned.path / "audit.csv").is_file()


def test_the_optimism_is_inner_minus_outer(tuned):
    said = json.loads((tuned.path / "tuning.json").read_text())
    assert said["mode"] == "nested"
    assert said["complete"] is True
    assert said["selected_on_these_data"] is False
    inner = sum(row["inner_auc"] for row in said["folds"]) / 2
    outer = sum(row["outer_auc"] for row in said["folds"]) / 2
    assert said["optimism"] == pytest.approx(inner - outer, abs=1e-12)


def test_the_line_to_paste_is_a_run_of_the_winner(tuned):
    line = json.loads((tuned.path / "tuning.json").read_text())["best"]["line"]
    best = max(tuned.winners.values(), key=lambda winner: winner.inner_auc)
    assert line.startswith("volbench run --encoder 'r2d(width=2)' --agg average --loss 'focal(")
    assert f"gamma={best.values['focal.gamma']}" in line
    assert line.endswith("--set training.epochs=4 --folds 2")


@pytest.mark.parametrize("sampler", [pytest.param("tpe", marks=pytest.mark.slow), "qmc"])
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not(sampler, data, tmp_path):
    settings = Settings(trials=4, inner_folds=2, sampler=sampler)
    plan = plan_for(data, settings=settings)
    whole = pretended(plan, tmp_path / "whole")
    first = Pretender()
    stopped = pretended(plan, tmp_path / "cut", first, stopped=lambda: len(first.tasks) >= 7)
    assert stopped.stopped
    assert len(first.tasks) == 7, "in the middle of a trial: it has two inner folds"
    second = Pretender()
    resumed = pretended(plan, tmp_path / "cut", second)
    assert not resumed.stopped
    assert len(first.tasks) + len(second.tasks) == 2 * (4 * 2 + 1), "nothing was trained twice"
    for fold in (0, 1):
        assert trials(resumed.path, fold) == trials(whole.path, fold)


def test_a_finished_tuning_trains_nothing_more(tuned, data):
    idle = Pretender()
    again = pretended(plan_for(data), tuned.path.parent, idle)
    assert idle.tasks == []
    assert again.winners == tuned.winners


def test_another_search_under_the_same_name_is_refused(tuned, data):
    other = plan_for(data, settings=Settings(trials=6, inner_folds=2))
    with pytest.raises(StateError, match=r"tuning\.settings\.trials"):
        pretended(other, tuned.path.parent)


@pytest.mark.slow
def test_tpe_comes_closer_to_the_optimum_than_its_first_draws(data, tmp_path):
    plan = plan_for(data, settings=Settings(trials=12, inner_folds=2))
    rows = trials(pretended(plan, tmp_path).path)
    distance = [abs(float(row["focal.gamma"]) - 2) for row in rows]
    assert sum(distance[8:]) / 4 < sum(distance[:4]) / 4


def test_a_failed_trial_is_kept_with_its_reason_and_stops_nothing(data, tmp_path):
    def score(task):
        if gamma_of(task) > 2.5:
            raise ZeroDivisionError("the loss became nan in epoch 1")
        return best_at_two(task)

    outcome = pretended(plan_for(data), tmp_path, Pretender(score))
    rows = [row for fold in (0, 1) for row in trials(outcome.path, fold)]
    failed = [row for row in rows if row["state"] == "failed"]
    assert {float(row["focal.gamma"]) > 2.5 for row in failed} == {True}
    assert 0 < len(failed) < len(rows) == 10
    assert all(
        row["reason"].endswith("the loss became nan in epoch 1") and "inner fold" in row["reason"]
        for row in failed
    )
    assert not outcome.errors


def test_a_value_that_a_component_refuses_fails_its_trial_only(data, tmp_path):
    plan = plan_for(data, loss="focal(gamma=uniform(low=-1, high=1))")
    outcome = pretended(plan, tmp_path, Pretender(lambda task: 0.7))
    rows = trials(outcome.path)
    assert {row["state"] for row in rows} <= {"complete", "failed"}
    assert not outcome.errors


def test_if_every_trial_fails_one_line_says_so(data, tmp_path):
    def score(task):
        raise ZeroDivisionError("no luck")

    with pytest.raises(TrainingError, match=r"all 5 trials of outer fold 0 failed.*no luck"):
        pretended(plan_for(data), tmp_path, Pretender(score))
    loaded = load_run(tmp_path / "a")
    assert [result.fold for result in loaded.failed] == [0, 1]


def test_flat_selects_on_all_cases_and_says_so(data, tmp_path):
    pretender = Pretender()
    plan = plan_for(data, settings=Settings(trials=5, inner_folds=3, flat=True))
    assert list(plan.inner) == [FLAT]
    outcome = pretended(plan, tmp_path, pretender)
    assert len(pretender.tasks) == 5 * 3 + 2
    said = json.loads((outcome.path / "tuning.json").read_text())
    assert said["mode"] == "flat"
    assert said["selected_on_these_data"] is True
    assert outcome.winners[0].values == outcome.winners[1].values
    assert load_summary(outcome.path).studies[0].title == "all cases"


def test_the_wilcoxon_pruner_ends_trials_and_the_winner_has_all_its_folds(data, tmp_path):
    settings = Settings(trials=10, inner_folds=5)
    assert settings.can_prune
    pretender = Pretender(lambda task: 0.9 - 0.2 * abs(gamma_of(task) - 2))
    outcome = pretended(plan_for(data, settings=settings), tmp_path, pretender)
    for fold in (0, 1):
        rows = read_trials(outcome.path / f"tuning/{fold:02d}")
        pruned = [row for row in rows if row.state == "pruned"]
        # Four differences of one sign have p = 1/16, three have 1/8: never before the fourth.
        assert {row.folds for row in pruned} == {4}
        assert rows[outcome.winners[fold].trial].folds == 5
        assert all(row.folds == 5 for row in rows if row.state == "complete")
    assert any(len(set(order)) == 5 for order in _orders(pretender))
    assert len({tuple(order[:4]) for order in _orders(pretender)}) > 3, "folds in random order"


def _orders(pretender):
    orders = {}
    for task in pretender.tasks:
        if task.run.parent.name == "trials":
            orders.setdefault(task.run, []).append(task.fold)
    return list(orders.values())


@pytest.mark.parametrize(
    ("folds", "below", "can"), [(3, 0.1, False), (4, 0.1, False), (5, 0.1, True), (3, 0.3, True)]
)
def test_what_the_wilcoxon_pruner_can_reach_is_said_beforehand(folds, below, can):
    """The smallest p of n signed ranks is 1 / 2^n, and the last fold cannot be spared."""
    settings = Settings(inner_folds=folds, prune_below=below)
    assert settings.can_prune is can
    assert bool(settings.notice()) is not can


@pytest.mark.slow
def test_the_median_pruner_ends_a_training_between_two_epochs(data, tmp_path):
    settings = Settings(trials=10, inner_folds=2, pruner="median")
    outcome = pretended(plan_for(data, settings=settings), tmp_path)
    rows = read_trials(outcome.path / "tuning/00")
    pruned = [row for row in rows if row.state == "pruned"]
    assert pruned
    assert all(row.folds < 2 for row in pruned)
    assert rows[outcome.winners[0].trial].folds == 2


def test_the_median_pruner_needs_a_validation_part(data):
    with pytest.raises(UsageError, match=r"selection\.checkpoint=last"):
        plan_for(
            data,
            settings=Settings(pruner="median"),
            overrides=("selection.checkpoint=last",),
        )


def test_inner_folds_are_disjoint_in_patients_stratified_and_without_the_outer_fold(tmp_path):
    folder = write_small(tmp_path / "data", cases=48).folder
    plan = plan_for(folder, folds="3", settings=Settings(trials=1, inner_folds=3))
    cases = plan.plan.prepared.cases
    for outer, inner in plan.inner.items():
        held_out = set(plan.plan.part(outer).test)
        assert held_out
        tested = []
        for fold in inner.split.folds:
            part = inner.part(fold, plan.plan.experiment)
            seen = [*part.train, *part.validation, *part.test]
            assert len(seen) == len(set(seen))
            assert not set(seen) & held_out
            assert set(seen) | held_out == set(range(len(cases)))
            counts = Counter(cases[index].label for index in part.test)
            assert abs(counts[0] - counts[1]) <= 1
            tested += part.test
        assert sorted(tested) == sorted(set(range(len(cases))) - held_out)


def test_too_many_inner_folds_are_refused_with_the_option(data):
    with pytest.raises(DataError, match=r"--inner-folds 20.*use --inner-folds 12"):
        plan_for(data, settings=Settings(inner_folds=20))


def test_the_page_shows_each_study_and_carries_no_script(tuned):
    text = write_page(tuned.path).read_text()
    assert text.count("<h2>") == 2
    assert "Slice: focal.gamma" in text
    assert "<script" not in text
    assert "http://" not in text.replace("http://www.w3.org/", "")


def start(data, out, *, seconds, log, storage=None):
    command = [sys.executable, "-m", "tests.tune.pretend", *map(str, (data, out, seconds, log))]
    command += [] if storage is None else [storage]
    return subprocess.Popen(command, cwd=ROOT, env=child_environment())


def wait_for(log, lines, process):
    for _ in range(1200):
        if log.exists() and len(log.read_text().splitlines()) >= lines:
            return
        assert process.poll() is None
        time.sleep(0.1)
    raise AssertionError("nothing was begun")


def test_after_kill_9_the_search_goes_on_as_if_it_had_not_been(tuned, data, tmp_path):
    log = tmp_path / "log"
    process = start(data, tmp_path, seconds=0.4, log=log)
    wait_for(log, 4, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = pretended(plan_for(data), tmp_path)
    for fold in (0, 1):
        assert trials(resumed.path, fold) == trials(tuned.path, fold)
    done = (resumed.path / "folds/00/predictions.csv").read_bytes()
    assert done == (tuned.path / "folds/00/predictions.csv").read_bytes()


@pytest.mark.slow
def test_two_processes_share_a_study_and_one_outlives_the_other(data, tmp_path):
    log = tmp_path / "log"
    first = start(data, tmp_path, seconds=1, log=log)
    wait_for(log, 1, first)
    second = start(data, tmp_path, seconds=1, log=log)
    wait_for(log, 6, second)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait(timeout=240) == 0
    begun = Counter(log.read_text().splitlines())
    trained = {line: n for line, n in begun.items() if n > 1}
    assert len(trained) <= 1, "only what the dead one had in hand was trained again"
    outcome = pretended(plan_for(data), tmp_path, idle := Pretender())
    assert idle.tasks == []
    for fold in (0, 1):
        rows = trials(outcome.path, fold)
        assert [row["trial"] for row in rows] == list("01234")
        assert {row["state"] for row in rows} == {"complete"}
        assert len({row["focal.gamma"] for row in rows}) == 5, "no candidate twice"
