"""Tuning shared by processes that have nothing but a disk in common, or by an executor's tasks."""

import signal
import time
from collections import Counter

import optuna
import pytest
import timm
from click.testing import CliRunner
from optuna.trial import TrialState
from safetensors.torch import save_file

from tests.helpers.small import write_small
from tests.tune.pretend import Pretender, plan_for, pretended
from tests.tune.test_tuning import start, trials, wait_for
from volbench.cli.main import main
from volbench.executors.lease import acquire
from volbench.tune import Settings, tune
from volbench.tune.leased_trials import TrialLeases, open_journal
from volbench.tune.tables import read_trials


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small") / "data", cases=24).folder


def test_a_journal_gives_the_numbers_of_a_database(data, tmp_path):
    plan = plan_for(data, settings=Settings(trials=3, inner_folds=2))
    one = pretended(plan, tmp_path / "one")
    two = pretended(plan, tmp_path / "two", storage="journal")
    for fold in (0, 1):
        assert trials(two.path, fold) == trials(one.path, fold)
    assert two.winners == one.winners
    assert (two.path / "tuning.journal").is_file()
    assert not (two.path / "tuning.db").exists()
    ended = list(two.path.glob("tuning/*/leases/*/0001/ended.json"))
    assert len(ended) == 6
    again = pretended(plan, tmp_path / "two", idle := Pretender(), storage="journal")
    assert (idle.tasks, again.winners) == ([], two.winners)


def test_a_trial_whose_lease_ran_out_is_taken_over_once(tmp_path):
    with open_journal(tmp_path) as storage:
        study = optuna.create_study(storage=storage, study_name="a")
        study.ask()
        (frozen,) = study.get_trials(states=(TrialState.RUNNING,))
        lease = acquire(tmp_path / "leases", renewal_s=0.05)
        with TrialLeases(0.05) as ours:
            with ours.taking_over(frozen, tmp_path / "leases") as taken:
                assert not taken
            time.sleep(0.5)
            with ours.taking_over(frozen, tmp_path / "leases") as taken:
                assert taken
                assert not lease.is_held
                with ours.taking_over(frozen, tmp_path / "leases") as twice:
                    assert not twice


@pytest.mark.slow
def test_three_processes_share_a_journal_and_what_a_killed_one_had_is_done_by_the_others(
    data, tmp_path
):
    log = tmp_path / "log"
    first = start(data, tmp_path, seconds=1, log=log, storage="journal")
    wait_for(log, 1, first)
    others = [start(data, tmp_path, seconds=1, log=log, storage="journal") for _ in range(2)]
    wait_for(log, 5, others[0])
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert [process.wait(timeout=240) for process in others] == [0, 0]
    begun = Counter(log.read_text().splitlines())
    assert sum(n > 1 for n in begun.values()) <= 1, "only what the dead one had in hand"
    plan = plan_for(data)
    outcome = pretended(plan, tmp_path, idle := Pretender(), storage="journal")
    assert idle.tasks == []
    for fold in (0, 1):
        rows = read_trials(outcome.path / f"tuning/{fold:02d}")
        assert [row.state for row in rows] == ["complete"] * 5


def command(data, out, *more):
    options = ["--encoder", "r2d(width=2)", "--agg", "average", "--data", str(data)]
    options += ["--loss", "focal(gamma=uniform(low=0, high=5))", "--folds", "2", "--trials", "2"]
    options += ["--inner-folds", "2", "--set", "training.epochs=1", "--device", "cpu"]
    options += ["--sampler", "random", "--pruner", "none", "--out", str(out), "--name", "a"]
    done = CliRunner().invoke(main, ["tune", *options, *more])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.slow
def test_an_executors_tasks_share_the_search_with_the_numbers_of_one_process(data, tmp_path):
    code, _, said = command(data, tmp_path / "one", "--jobs", "1")
    assert code == 0, said
    code, _, said = command(data, tmp_path / "two", "--on", "local(jobs=2)")
    assert code == 0, said
    assert "best inner AUC" in said
    for name in ("tuning/00/trials.csv", "tuning/01/trials.csv"):
        rows = [
            [(row.trial, row.auc, row.values) for row in read_trials((path / name).parent)]
            for path in (tmp_path / "one/a", tmp_path / "two/a")
        ]
        assert rows[0] == rows[1]
    for fold in ("00", "01"):
        name = f"a/folds/{fold}/predictions.csv"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_local_copies_and_stored_tokens_serve_trials_and_winners(data, tmp_path, monkeypatch):
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "cache"))
    weights = tmp_path / "w.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    plan = plan_for(
        data,
        settings=Settings(trials=1, inner_folds=2, flat=True, pruner="none"),
        encoder=f"timm(name='test_resnet', weights={str(weights)!r}, freeze=true)",
        overrides=("training.epochs=1", "training.augmentation=none"),
    )
    options = {"device": "cpu", "jobs": 1, "out": tmp_path / "runs", "name": "a"}
    outcome = tune(plan, local_copy=tmp_path / "local", **options)
    assert not outcome.errors
    assert [path.name for path in (tmp_path / "local").iterdir() if path.name[0] != "."]
    used = sorted(
        str(p.parent.relative_to(outcome.path)) for p in outcome.path.rglob("features.json")
    )
    assert used == [".", "tuning/trials/000"]


def test_a_dry_run_shows_the_tasks_and_makes_nothing(data, tmp_path):
    pytest.importorskip("submitit")
    on = "slurm(gpus=1, partition='gpu')"
    code, told, said = command(data, tmp_path / "runs", "--on", on, "--dry-run", "--jobs", "5")
    assert code == 0, said
    assert "#SBATCH --array=0-4%" in told
    assert not (tmp_path / "runs").exists()
