"""Running suites: what is shared, what survives a cut, what a failure leaves, what is shown."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score
from torch import nn

from tests.helpers.small import write_small
from tests.helpers.worker_processes import workers_of
from tests.suite.suites import CANDIDATES, GRID, write_suite
from volbench.cli.main import main
from volbench.crossval import Workers, make_plan, run
from volbench.crossval import shared_inputs as shared
from volbench.errors import DataError, SpecError
from volbench.executors.local import Local
from volbench.executors.pool import ANY_DEVICE
from volbench.interfaces import Loss
from volbench.leaderboard import find_runs, load_run
from volbench.plugins.registry import losses
from volbench.suite import load_suite, plan_suite, run_suite, show_suite

FAILING = """
[[table]]
title = "Some fail"
level = "slice"
encoder = ["r2d(width=2)", "rmc9"]
loss = ["focal", "broken"]
"""


class Broken(nn.Module):
    """A loss that breaks."""

    def __init__(self, problem):
        super().__init__()

    def forward(self, output, labels):
        raise ZeroDivisionError("a bug in the plugin")


def suite_command(*arguments):
    done = CliRunner().invoke(main, ["suite", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A suite that ran to its end, with what was said."""
    folder = tmp_path_factory.mktemp("suite")
    path = write_suite(folder, GRID)
    code, said, progress = suite_command("run", path, "--out", folder / "runs", "--jobs", "1")
    assert code == 0, progress
    return path, folder / "runs", said, progress


def test_every_experiment_is_run_once_and_counted(finished):
    path, out, said, progress = finished
    assert len(find_runs([out])) == CANDIDATES
    assert all(len(load_run(place).predictions) == 2 for place in find_runs([out]))
    assert said.splitlines() == [
        "5 finished experiments",
        f"show with: volbench suite show {path} --out {out}",
    ]
    lines = progress.splitlines()
    assert lines[0] == f"Small: 5 experiments, 10 folds: {out}"
    counted = [line for line in lines if re.match(r"\d of 5: ", line)]
    assert counted == [
        "1 of 5: r2d-slice-focal",
        "2 of 5: rmc5-slice-focal",
        "3 of 5: rmc5-slice-focal+triplet",
        "4 of 5: rmc5-average-focal+triplet",
        "5 of 5: rmc5-max-focal+triplet",
    ]
    assert sum("suite about" in line for line in lines) >= 9


def test_the_same_command_again_trains_nothing(finished):
    path, out, *_ = finished
    before = {file: file.stat().st_mtime_ns for file in out.glob("*/folds/*/*")}
    code, _, progress = suite_command("run", path, "--out", out, "--jobs", "1")
    assert code == 0
    assert progress.splitlines()[0].endswith(f"10 folds, 10 finished already: {out}")
    assert progress.count("finished already: 2 folds") == CANDIDATES
    assert {file: file.stat().st_mtime_ns for file in out.glob("*/folds/*/*")} == before


def test_what_is_missing_is_trained_and_nothing_else(finished, tmp_path):
    path, done, *_ = finished
    out = shutil.copytree(done, tmp_path / "runs")
    first, second, *_ = find_runs([out])
    shutil.rmtree(first)
    shutil.rmtree(second / "folds" / "01")
    kept = {file: file.stat().st_mtime_ns for file in out.glob("*/folds/*/*")}
    code, said, progress = suite_command("run", path, "--out", out, "--jobs", "1")
    assert (code, said.splitlines()[0]) == (0, "5 finished experiments")
    assert progress.splitlines()[0].endswith(f"10 folds, 7 finished already: {out}")
    now = {file: file.stat().st_mtime_ns for file in out.glob("*/folds/*/*")}
    assert {file: now[file] for file in kept} == kept
    trained = ("predictions.csv", "model.safetensors")
    missing = [
        file.relative_to(done) for name in trained for file in done.glob(f"*/folds/*/{name}")
    ]
    assert len(missing) == 20
    for file in missing:
        assert (out / file).read_bytes() == (done / file).read_bytes()


def test_data_are_prepared_and_divided_once_for_each_preprocessing(tmp_path, monkeypatch):
    counts = Counter()

    def counting(name):
        real = getattr(shared, name)

        def call(*arguments, **options):
            counts[name] += 1
            return real(*arguments, **options)

        return call

    for name in ("prepare", "choose_split"):
        monkeypatch.setattr(shared, name, counting(name))
    table = 'title = "T"\nlevel = "slice"\nencoder = ["r2d(width=2)", "r3d(width=2)"]\n'
    text = f'[[table]]\n{table}loss = ["focal", "cross_entropy"]\n'
    path = tmp_path / "suite.toml"
    path.write_text(f'data = "phantom(patients=16, size=16, slices=3)"\nfolds = 2\n{text}')
    planned = plan_suite(load_suite(path), cache=tmp_path / "cache", jobs=1)
    assert len(planned) == 4
    assert counts == {"prepare": 1, "choose_split": 1}
    assert len({id(each.plan.prepared) for each in planned}) == 1

    counts.clear()
    other = f'{text}[[table]]\n{table}loss = "focal"\nset = "preprocessing.normalize=none"\n'
    path.write_text(f'data = "phantom(patients=16, size=16, slices=3)"\nfolds = 2\n{other}')
    assert len(plan_suite(load_suite(path), cache=tmp_path / "cache", jobs=1)) == 6
    assert counts == {"prepare": 2, "choose_split": 2}


def test_data_that_cannot_be_prepared_are_tried_once_and_end_the_suite(tmp_path, monkeypatch):
    tried = []

    def broken(*arguments, **options):
        tried.append(arguments)
        raise DataError("volume 3 is truncated; copy it again")

    monkeypatch.setattr(shared, "prepare", broken)
    with pytest.raises(DataError, match="volume 3 is truncated"):
        plan_suite(load_suite(write_suite(tmp_path, GRID)))
    assert len(tried) == 1


def test_a_mistake_that_all_share_is_the_suites_own(tmp_path):
    suite = load_suite(write_suite(tmp_path, GRID), overrides=("training.epoch=3",))
    with pytest.raises(SpecError, match=r"unknown key 'training\.epoch'"):
        plan_suite(suite)


def test_failures_are_rows_and_the_others_go_on(tmp_path):
    path = write_suite(tmp_path, FAILING)
    out = tmp_path / "runs"
    broken = type("Broken", (Broken, Loss), {})
    with losses.adding(broken=broken):
        code, said, progress = suite_command("run", path, "--out", out, "--jobs", "1")
    assert code == 1
    lines = said.splitlines()
    assert lines[0] == "1 finished experiment, 3 failed"
    assert lines[1].startswith("failed: r2d-slice-broken: 2 folds failed; fold 0: ZeroDivision")
    assert lines[2].startswith("failed: rmc9-slice-focal: Unknown encoder 'rmc9'. Did you mean")
    assert "cannot be run: rmc9-slice-focal: Unknown encoder" in progress
    assert "2 of 4: r2d-slice-broken" in progress

    code, shown, _ = suite_command("show", path, "--out", out)
    flat = " ".join(shown.split())
    assert code == 0
    assert "4 experiments: 1 finished, 3 failed." in flat
    assert len(re.findall(r"^ (?:r2d\(width=2\)|rmc9) .*failed", shown, re.MULTILINE)) == 3
    assert "fold 1: ZeroDivisionError: a bug in the plugin" in flat
    assert "Failed: rmc9-slice-focal: Unknown encoder 'rmc9'" in flat


def test_what_was_mended_runs_and_its_failure_is_forgotten(tmp_path):
    path = write_suite(tmp_path, FAILING.replace('"focal", "broken"', '"focal"'))
    out = tmp_path / "runs"
    suite = load_suite(path)
    results = run_suite(suite, out=out, jobs=1)
    assert [result.error is None for result in results] == [True, False]
    write_suite(tmp_path, FAILING.replace('"focal", "broken"', '"focal"').replace("rmc9", "rmc2"))
    path.write_text(path.read_text().replace('"rmc2"', '"rmc2(width=2)"'))
    again = run_suite(load_suite(path), out=out, jobs=1)
    assert [result.error for result in again] == [None, None]
    assert "2 experiments: 2 finished." in show_suite(load_suite(path), out=out)


class Process(subprocess.Popen):
    """A suite in a process of its own."""

    def __init__(self, path, out):
        self.log = out.parent / "log.txt"
        code = "from volbench.cli.main import main; main()"
        command = [sys.executable, "-c", code, "suite", "run", str(path), "--out", str(out)]
        command += ["--jobs", "2", "--device", "cpu"]
        with self.log.open("w") as log:
            super().__init__(command, stdout=log, stderr=log)

    def until(self, condition):
        deadline = time.monotonic() + 600
        while not condition():
            assert self.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)


LONGER = """
[[table]]
title = "T"
level = "slice"
encoder = ["r2d(width=2)", "rmc4(width=2)", "rmc5(width=2)"]
loss = "focal"
set = "training.epochs=8"
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("how", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="ctrl_c", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, id="kill_9", marks=pytest.mark.slow),
    ],
)
def test_a_suite_that_was_ended_goes_on_where_it_was(how, code, tmp_path):
    path, out = write_suite(tmp_path, LONGER), tmp_path / "runs"

    def finished():
        return {file: file.stat().st_mtime_ns for file in out.glob("*/folds/*/result.json")}

    with Process(path, out) as process:
        process.until(lambda: len(finished()) >= 1)
        early = workers_of(process.pid)
        process.until(lambda: len(finished()) >= 3)
        assert workers_of(process.pid) == early, (
            "the second experiment has the processes of the first"
        )
        process.send_signal(how)
        assert process.wait(600) == code
    said = process.log.read_text()
    assert ("interrupted; rerun the same command to resume" in said) == (how == signal.SIGINT)
    assert "Traceback" not in said
    assert len(early) == 2
    kept = finished()
    assert 3 <= len(kept) < 6
    ended, said, progress = suite_command("run", path, "--out", out, "--jobs", "1")
    assert (ended, said.splitlines()[0]) == (0, "3 finished experiments")
    assert f"{len(kept)} finished already" in progress
    assert len(finished()) == 6
    assert {file: finished()[file] for file in kept} == kept


def test_runs_share_processes_and_get_the_bits_that_they_get_alone(tmp_path):
    data = write_small(tmp_path / "data", cases=12).folder

    def plan(encoder):
        return make_plan(
            encoder=encoder,
            aggregator="average",
            loss="focal",
            data=str(data),
            folds="2",
            overrides=("training.epochs=1",),
        )

    plans = [plan("r2d(width=2)"), plan("r3d(width=2)")]
    alone = [run(each, out=tmp_path, name=f"a{n}", jobs=1) for n, each in enumerate(plans)]
    with Workers() as workers:
        first = run(plans[0], out=tmp_path, name="b0", jobs=2, device="cpu", workers=workers)
        held = workers.take([ANY_DEVICE] * 2)
        workers.give_back(held)
        before = [worker.process for worker in held]
        os.kill(before[0].pid, signal.SIGKILL)  # dies while there is nothing to do
        before[0].join()
        second = run(plans[1], out=tmp_path, name="b1", jobs=2, device="cpu", workers=workers)
        after = [worker.process for worker in held]
        assert after[0] is not before[0]
        assert after[1] is before[1], "the same process did folds of both runs"
        assert all(process.is_alive() for process in after)
    assert not any(process.is_alive() for process in after)
    assert not first.failed
    assert not second.failed
    for one, two in zip(alone, (first, second), strict=True):
        for fold in range(2):
            name = f"folds/{fold:02d}/predictions.csv"
            assert (one.path / name).read_bytes() == (two.path / name).read_bytes()


@pytest.mark.slow
def test_abandoned_workers_are_not_used_again(tmp_path):
    data = write_small(tmp_path / "data", cases=12).folder
    plan = make_plan(
        encoder="r2d(width=4)",
        aggregator="average",
        loss="focal",
        data=str(data),
        folds="2",
        overrides=("training.epochs=1000",),
    )

    class StopError(Exception):
        """What a watcher may raise."""

    def stop(report):
        raise StopError

    from volbench.crossval.run_cross_validation import Callback

    callback = Callback()
    callback.on_epoch = stop
    with Workers() as workers:
        with pytest.raises(StopError):
            run(plan, out=tmp_path, name="a", jobs=2, callback=callback, workers=workers)
        assert workers._idle == []
        Local(jobs=2).sharing(workers).submit([], tmp_path, print)


def test_the_tables_are_the_files_with_what_was_not_run(finished, tmp_path):
    _, out, *_ = finished
    more = GRID.replace('"rmc5(width=2)"]', '"rmc5(width=2)", "mc3(width=2)"]')
    suite = load_suite(write_suite(tmp_path, more))
    shown = show_suite(suite, out=out)
    assert max(map(len, shown.splitlines())) <= 100
    titles = [line for line in shown.splitlines() if line in ("Encoders", "Losses", "Pooling")]
    assert titles == ["Encoders", "Losses", "Pooling"]
    assert re.search(r"^ mc3\(width=2\) +not run", shown, re.MULTILINE)
    assert "6 experiments: 5 finished, 1 not run." in " ".join(shown.split())
    for unit in ("one score per slice", "one score per case"):
        assert unit in " ".join(shown.split())


def test_the_numbers_are_those_of_the_predictions(finished):
    path, out, *_ = finished
    aucs = []
    for file in sorted(out.glob("r2d-slice-focal-*/folds/*/predictions.csv")):
        rows = list(csv.DictReader(file.read_text().splitlines()))
        truth = [row["label"] == "T3" for row in rows]
        aucs.append(roc_auc_score(truth, [float(row["prob_T3"]) for row in rows]))
    assert len(aucs) == 2
    expected = f"{np.mean(aucs):.3f}±{np.std(aucs, ddof=1):.3f}".replace("±0.", "±.")
    assert expected in show_suite(load_suite(path), out=out)


def test_a_table_can_be_sorted_by_auc(finished, tmp_path):
    _, out, *_ = finished
    text = GRID.replace('title = "Encoders"', 'title = "Encoders"\nsort = "auc"')
    text = text.replace('["r2d(width=2)"', '["mc3(width=2)", "r2d(width=2)"')
    shown = show_suite(load_suite(write_suite(tmp_path, text)), out=out, style="md")
    table = shown.partition("**Encoders**")[2].partition("**Losses**")[0]
    rows = [line.split("|") for line in table.splitlines() if "width=2" in line]
    aucs = [float(row[3].partition("±")[0]) for row in rows[:-1]]
    assert aucs == sorted(aucs, reverse=True)
    assert rows[-1][1].strip() == "mc3(width=2)"


def test_markdown_goes_to_a_file(finished, tmp_path):
    path, out, *_ = finished
    code, shown, _ = suite_command(
        "show", path, "--out", out, "--format", "md", "--output", tmp_path / "t.md"
    )
    assert (code, shown) == (0, "")
    for table in (tmp_path / "t.md").read_text().split("**")[3::2]:
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path):
    path = write_suite(tmp_path, GRID)
    code, said, _ = suite_command("run", path, "--out", tmp_path / "runs", "--dry-run")
    assert code == 0
    assert not (tmp_path / "runs").exists()
    lines = said.splitlines()
    assert lines[3] == "to do      10 of 10 folds of 5 experiments"
    assert lines[5].split() == ["#", "encoder", "agg", "loss", "epochs", "folds", "parameters"]
    assert lines[7].split()[:6] == ["1", "r2d(width=2)", "(slices)", "focal", "1", "0/2"]


def test_three_lines_of_python_do_the_same(tmp_path):
    text = FAILING.replace('"r2d(width=2)", "rmc9"', '"r2d(width=2)"').replace(', "broken"', "")
    suite = load_suite(write_suite(tmp_path, text), overrides=("training.batch_size=4",))
    results = run_suite(suite, out=tmp_path / "runs", jobs=1)
    shown = show_suite(suite, out=tmp_path / "runs")
    assert [len(result.outcome.results) for result in results] == [2]
    assert "1 experiment: 1 finished." in shown
    stored = json.loads((results[0].outcome.path / "experiment.json").read_text())
    assert stored["recipe"]["training"]["batch_size"] == 4
