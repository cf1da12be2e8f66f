"""Whole runs: folders, resuming, failures, refusals."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from torch import nn

from tests.helpers.small import write_small
from tests.helpers.worker_processes import workers_of
from volbench.audit import read_audit
from volbench.cli.main import main
from volbench.crossval import make_plan, run
from volbench.crossval.run_cross_validation import Callback
from volbench.errors import SpecError, StateError, StorageError, UsageError
from volbench.leaderboard import load_run
from volbench.plugins.registry import losses
from volbench.runs.folder import RunFolder

FILES = ("experiment.json", "environment.json", "data.json", "splits.csv", "cases.csv")
OF_A_FOLD = (
    "predictions.csv",
    "validation.csv",
    "history.csv",
    "model.safetensors",
    "environment.json",
    "result.json",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small") / "data", cases=24).folder


def plan_for(data, *, overrides=(), **options):
    return make_plan(
        **{
            "encoder": "rmc5(width=2)",
            "aggregator": "bilinear",
            "loss": "focal+triplet",
            "data": str(data),
            "folds": "3",
            "overrides": ("training.epochs=2", *overrides),
            **options,
        }
    )


def fold_bytes(path, *names):
    return {
        file.relative_to(path): file.read_bytes()
        for name in names
        for file in sorted(path.glob(f"folds/*/{name}"))
    }


def test_a_run_leaves_the_folder_that_was_promised(data, tmp_path):
    outcome = run(plan_for(data), out=tmp_path, name="a", jobs=1)
    assert not outcome.failed
    assert all((outcome.path / name).is_file() for name in (*FILES, "audit.csv"))
    for fold in range(3):
        folder = outcome.path / "folds" / f"{fold:02d}"
        assert sorted(entry.name for entry in folder.iterdir()) == sorted(OF_A_FOLD)
    loaded = load_run(outcome.path)
    held_out = sorted(row.case for rows in loaded.predictions.values() for row in rows)
    assert held_out == [f"case{n:03d}" for n in range(24)]
    header = (outcome.path / "folds/00/predictions.csv").read_text().splitlines()[0]
    assert header == "case,patient,label,fold,prob_T2,prob_T3"
    inner = {row.case for row in loaded.validation[0]}
    assert inner
    assert not inner & {row.case for row in loaded.predictions[0]}
    data_json = json.loads((outcome.path / "data.json").read_text())
    assert (data_json["classes"], data_json["licence"]) == (["T2", "T3"], "none")


def test_the_audit_waits_for_the_last_fold_and_is_of_the_same_cases(data, tmp_path):
    path = run(plan_for(data), out=tmp_path, jobs=1, folds=[0, 1]).path
    assert not (path / "audit.csv").exists()
    run(plan_for(data), out=tmp_path, jobs=1)
    audited = read_audit(path / "audit.csv")
    folds = {row.case: row.fold for row in load_run(path).case_rows}
    for row in audited.rows:
        assert {p.case: str(p.fold) for p in row.predictions} == folds


def test_a_run_keeps_what_is_known_of_each_case(data, tmp_path):
    loaded = load_run(run(plan_for(data), out=tmp_path, jobs=1, folds=[0]).path)
    first = loaded.case_rows[0]
    assert (first.case, first.patient, first.label) == ("case000", "patient000", "T2")
    assert (first.shape, first.spacing_mm, first.roi_mm3) == ((3, 12, 12), (5.0, 1.0, 1.0), None)
    assert [row.strata["site"] for row in loaded.case_rows[:4]] == ["b", "a", "a", "b"]
    held_out = [row.case for row in loaded.case_rows if row.fold == "0"]
    assert sorted(held_out) == sorted(row.case for row in loaded.predictions[0])


def test_slice_level_predictions_name_their_slice(data, tmp_path):
    plan = plan_for(data, aggregator=None, level="slice", loss="focal")
    outcome = run(plan, out=tmp_path, jobs=1, folds=[1])
    lines = (outcome.path / "folds/01/predictions.csv").read_text().splitlines()
    assert lines[0] == "case,patient,label,fold,slice,prob_T2,prob_T3"
    assert {line.split(",")[4] for line in lines[1:]} == {"1", "2"}


def test_folds_side_by_side_give_the_same_bits_as_one_after_another(data, tmp_path):
    one = run(plan_for(data), out=tmp_path, name="one", jobs=1, device="cpu")
    two = run(plan_for(data), out=tmp_path, name="two", jobs=2, device="cpu")
    wanted = ("predictions.csv", "history.csv", "model.safetensors")
    assert json.loads((one.path / "environment.json").read_text())["threads"] == 1
    assert len(fold_bytes(one.path, *wanted)) == 9
    assert fold_bytes(one.path, *wanted) == fold_bytes(two.path, *wanted)


def test_finished_folds_are_not_trained_again(data, tmp_path):
    run(plan_for(data), out=tmp_path, name="a", jobs=1, folds=[0, 2])
    before = fold_bytes(tmp_path / "a", "result.json")
    times = {path: (tmp_path / "a" / path).stat().st_mtime_ns for path in before}
    outcome = run(plan_for(data), out=tmp_path, name="a", jobs=1)
    assert sorted(outcome.results) == [0, 1, 2]
    assert {path: (tmp_path / "a" / path).stat().st_mtime_ns for path in times} == times


def test_another_experiment_under_the_same_name_is_refused_with_the_keys(data, tmp_path):
    run(plan_for(data), out=tmp_path, name="a", jobs=1, folds=[0])
    other = plan_for(data, overrides=("optimizer.lr=0.5",), seed=3, loss="focal")
    with pytest.raises(StateError) as info:
        run(other, out=tmp_path, name="a", jobs=1)
    assert "differs in loss, recipe.optimizer.lr, seed" in str(info.value)


def test_a_folder_that_is_no_run_is_refused(data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(StateError, match="not empty and not a run"):
        run(plan_for(data), out=tmp_path, name="mine", jobs=1)


def test_a_newer_schema_is_refused(data, tmp_path):
    run(plan_for(data), out=tmp_path, name="a", jobs=1, folds=[0])
    path = tmp_path / "a" / "experiment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(StateError, match="has schema 99, this volbench reads 1"):
        run(plan_for(data), out=tmp_path, name="a", jobs=1)


@pytest.mark.parametrize("name", ["predictions.csv", "model.safetensors"])
def test_a_changed_file_is_noticed(data, tmp_path, name):
    run(plan_for(data), out=tmp_path, name="a", jobs=1, folds=[0])
    path = tmp_path / "a" / "folds" / "00" / name
    path.write_bytes(path.read_bytes()[:-1] + b"0")
    with pytest.raises(StateError, match=f"{name} is missing or was changed"):
        run(plan_for(data), out=tmp_path, name="a", jobs=1)


def test_two_processes_share_the_folds_of_one_run(data, tmp_path):
    command_here(data, tmp_path / "whole", "--jobs", "1")
    out = tmp_path / "shared"
    with Process(data, out, "--jobs", "1") as first, Process(data, out, "--jobs", "1") as second:
        first.end(0)
        second.end(0)
    wanted = ("predictions.csv", "history.csv", "model.safetensors")
    assert fold_bytes(out / "a", *wanted) == fold_bytes(tmp_path / "whole" / "a", *wanted)
    outcomes = [
        json.loads(path.read_text())["outcome"] for path in out.glob("a/attempts/*/*/ended.json")
    ]
    assert outcomes.count("published") == 2


def test_what_a_failed_fold_left_in_version_0_1_gives_way_to_its_success(data, tmp_path):
    path = run(plan_for(data), out=tmp_path, name="a", jobs=1, folds=[0]).path
    fold = path / "folds/00"
    shutil.rmtree(fold)
    fold.mkdir()
    old = {"schema": 1, "fold": 0, "status": "failed", "error": "out of luck"}
    (fold / "result.json").write_text(json.dumps(old))
    (fold / "traceback.txt").write_text("...")
    assert load_run(path).failed[0].error == "out of luck"
    again = run(plan_for(data), out=tmp_path, name="a", jobs=1, folds=[0])
    assert not again.failed
    assert sorted(entry.name for entry in fold.iterdir()) == sorted(OF_A_FOLD)


def test_each_fold_tells_the_machine_that_trained_it(data, tmp_path):
    path = run(plan_for(data), out=tmp_path, name="a", jobs=1, folds=[1]).path
    told = RunFolder(path).fold(1).environment()
    whole = json.loads((path / "environment.json").read_text())
    for key in ("python", "packages", "processor", "device", "precision", "threads"):
        assert told[key] == whole[key]


def test_a_fold_that_is_not_there_is_refused(data, tmp_path):
    with pytest.raises(UsageError, match="--fold 3: the folds are numbered 0 to 2"):
        run(plan_for(data), out=tmp_path, folds=[3], jobs=1)


class Breaking(nn.Module):
    """A loss that breaks."""

    broken = True

    def __init__(self, problem):
        super().__init__()

    def forward(self, output, labels):
        if Breaking.broken:
            raise ZeroDivisionError("a bug in the plugin")
        return output.logits.square().mean()


def test_a_failed_fold_is_kept_with_its_reason_and_tried_again(data, tmp_path, monkeypatch):
    from volbench.interfaces import Loss

    broken = type("Broken", (Breaking, Loss), {})
    with losses.adding(broken=broken):
        plan = plan_for(data, loss="broken")
        outcome = run(plan, out=tmp_path, name="a", jobs=1)
        assert [result.error for result in outcome.failed] == [
            "ZeroDivisionError: a bug in the plugin"
        ] * 3
        assert "a bug in the plugin" in (outcome.path / "folds/00/traceback.txt").read_text()
        assert len(load_run(outcome.path).failed) == 3
        monkeypatch.setattr(Breaking, "broken", False)
        again = run(plan, out=tmp_path, name="a", jobs=1)
    assert not again.failed
    assert not (again.path / "folds/00/traceback.txt").exists()


COMMAND = [sys.executable, "-c", "from volbench.cli.main import main; main()"]
WORDS = [
    "run",
    "--encoder",
    "rmc5(width=2)",
    "--agg",
    "bilinear",
    "--loss",
    "focal+triplet",
    "--folds",
    "2",
    "--set",
    "training.epochs=12",
    "--checkpoint-seconds",
    "0",
    "--name",
    "a",
    "--device",
    "cpu",
]


def words(data, out, *more):
    return [*WORDS, "--data", str(data), "--out", str(out), *more]


def command_here(data, out, *more):
    """The command in this process, where torch is imported already."""
    done = CliRunner().invoke(main, words(data, out, *more))
    assert done.exit_code == 0, done.output


class Process(subprocess.Popen):
    """A run in a process of its own; what it says goes into a file."""

    def __init__(self, data, out, *more, **settings):
        out.mkdir(exist_ok=True)
        self.log = out / "log.txt"
        command = [*COMMAND, *words(data, out, *more)]
        with self.log.open("w") as log:
            super().__init__(command, stdout=log, stderr=log, **settings)

    def end(self, code):
        assert self.wait(240) == code, self.log.read_text()

    def until(self, condition):
        deadline = time.monotonic() + 120
        while not condition():
            assert self.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_kill_9_and_the_same_command_give_the_same_bits(data, tmp_path, jobs):
    command_here(data, tmp_path / "whole", "--jobs", jobs)

    cut = tmp_path / "cut" / "a"
    with Process(data, tmp_path / "cut", "--jobs", jobs) as killed:
        killed.until(lambda: list(cut.glob("attempts/00/*/checkpoint.safetensors")))
        killed.kill()
    assert not (cut / "folds/00/result.json").exists()

    command_here(data, tmp_path / "cut", "--jobs", jobs)
    wanted = ("predictions.csv", "history.csv", "model.safetensors")
    expected = fold_bytes(tmp_path / "whole" / "a", *wanted)
    assert len(expected) == 6
    assert fold_bytes(cut, *wanted) == expected


def test_ctrl_c_ends_with_130_and_leaves_no_process(data, tmp_path):
    out = tmp_path / "runs"
    with Process(data, out, "--jobs", "2") as process:
        process.until(lambda: list(out.glob("a/attempts/*/*/checkpoint.safetensors")))
        children = workers_of(process.pid)
        process.send_signal(signal.SIGINT)
        process.end(130)
    said = process.log.read_text()
    assert "interrupted; rerun the same command to resume" in said
    assert "Traceback" not in said
    assert len(children) == 2
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_sigterm_to_all_processes_of_a_job_keeps_what_each_has_learned(data, tmp_path):
    out = tmp_path / "runs"
    more = ("--jobs", "2", "--set", "training.epochs=60", "--checkpoint-seconds", "1000")
    with Process(data, out, *more, start_new_session=True) as process:
        process.until(lambda: len(list(out.glob("a/attempts/*/*/progress.json"))) == 2)
        os.killpg(process.pid, signal.SIGTERM)
        process.end(143)
    assert len(list(out.glob("a/attempts/*/*/checkpoint.safetensors"))) == 2


class Killer(Callback):
    """Kills the process of fold 0 after an epoch, so many times."""

    def __init__(self, times):
        self.times = times
        self.waits = []

    def on_epoch(self, report):
        if self.times and report.fold == 0:
            self.times -= 1
            holder = json.loads(max(self.path.glob("attempts/00/*/lease.json")).read_text())
            os.kill(holder["process"]["pid"], signal.SIGKILL)

    def on_plan(self, plan, path, done, asked):
        self.path = path

    def on_wait(self, fold, reason):
        self.waits.append((fold, reason))


def test_a_process_that_was_killed_is_tried_again_alone(data, tmp_path):
    plan = plan_for(data, folds="2", overrides=("training.epochs=12",))
    killer = Killer(times=1)
    outcome = run(plan, out=tmp_path, name="cut", jobs=2, device="cpu", callback=killer)
    assert not outcome.failed
    assert killer.waits == [
        (0, "out of memory (the process training it ended with SIGKILL; was memory short?); "
            "it is tried again alone")
    ]  # fmt: skip
    whole = run(plan, out=tmp_path, name="whole", jobs=1, device="cpu")
    wanted = ("predictions.csv", "model.safetensors")
    assert fold_bytes(outcome.path, *wanted) == fold_bytes(whole.path, *wanted)


def test_a_worker_that_dies_again_fails_its_fold_only(data, tmp_path):
    plan = plan_for(data, folds="2", overrides=("training.epochs=12",))
    outcome = run(plan, out=tmp_path, jobs=2, device="cpu", callback=Killer(times=2))
    assert outcome.results[1].status == "finished"
    assert [result.error for result in load_run(outcome.path).failed] == [
        "out of memory, also when tried alone: the process training it ended with SIGKILL; "
        "was memory short?"
    ]


LONG = ("--jobs", "1", "--fold", "0", "--checkpoint-seconds", "1000", "--set", "training.epochs=60")


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    """The predictions and weights of a fold that nothing stopped."""
    out = tmp_path_factory.mktemp("whole")
    command_here(data, out, *LONG)
    return fold_bytes(out / "a", "predictions.csv", "model.safetensors")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_warning_keeps_a_checkpoint_and_the_same_command_resumes(
    data, tmp_path, uninterrupted, number
):
    with Process(data, tmp_path, *LONG) as process:
        process.until(lambda: list(tmp_path.glob("a/attempts/00/0001/progress.json")))
        process.send_signal(number)
        process.end(143)
    assert "rerun the same command to resume" in process.log.read_text()
    assert list(tmp_path.glob("a/attempts/00/0001/checkpoint.safetensors"))
    command_here(data, tmp_path, *LONG)
    assert fold_bytes(tmp_path / "a", "predictions.csv", "model.safetensors") == uninterrupted
    epochs = (tmp_path / "a/attempts/00/0002/log.txt").read_text()
    assert "resumed after epoch " in epochs


def test_a_full_disk_ends_with_one_line(data, tmp_path, monkeypatch):
    plan = plan_for(data)

    def full(path, content):
        raise StorageError(f"cannot write {path}: no space left on device; free some")

    monkeypatch.setattr("volbench.runs.folder.write_atomic", full)
    with pytest.raises(StorageError, match="no space left"):
        run(plan, out=tmp_path, name="a", jobs=1)


def test_results_need_the_folder_of_a_run(tmp_path):
    with pytest.raises(StateError, match=r"is not a run: it has no experiment\.json$"):
        RunFolder(tmp_path).results()
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "experiment.json").touch()
    with pytest.raises(StateError, match=f"; it holds {tmp_path}/a, {tmp_path}/b: name one$"):
        RunFolder(tmp_path).results()


def test_deleting_a_fold_trains_it_again_to_the_same_bits(data, tmp_path):
    outcome = run(plan_for(data), out=tmp_path, name="a", jobs=1, folds=[1])
    before = fold_bytes(outcome.path, "predictions.csv")
    shutil.rmtree(outcome.path / "folds/01")
    run(plan_for(data), out=tmp_path, name="a", jobs=1, folds=[1])
    assert fold_bytes(outcome.path, "predictions.csv") == before


def test_a_prepared_folder_is_trained_on_as_it_was_prepared(data):
    assert plan_for(data).experiment.recipe.preprocessing.crop == "none"
    with pytest.raises(SpecError, match=r"normalize is 'zscore' there, 'window' here"):
        plan_for(data, overrides=("preprocessing.normalize=window",))


def test_a_prepared_folder_needs_no_image_library(data, tmp_path):
    absent = ("SimpleITK", "torchio", "kornia", "optuna", "timm", "nibabel")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}));"  # importing None fails
        "from volbench.cli.main import main; main()"
    )
    options = ["run", "--encoder", "rmc5(width=2)", "--agg", "bilinear", "--loss", "focal+triplet"]
    options += ["--folds", "3", "--fold", "0", "--set", "training.epochs=1", "--jobs", "1"]
    where = ["--data", str(data), "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *options, *where], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*/folds/00/result.json"))
