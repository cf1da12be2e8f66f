import json

import pytest
import torch
from click.testing import CliRunner

from tests.helpers.small import write_small
from tests.suite.suites import GRID, write_suite
from tests.tune.pretend import EPOCHS, plan_for, pretended
from volbench import run
from volbench.cli.main import main
from volbench.crossval.tracking import Tracking, epoch_values
from volbench.errors import UnknownComponentError
from volbench.executors.local import Local
from volbench.interfaces import Tracker
from volbench.plugins.registry import trackers
from volbench.runs.folder import FoldResult
from volbench.suite import load_suite, run_suite
from volbench.training.fold_reports import EpochReport
from volbench.tune import Settings
from volbench.tune.on_executor import tune_on, tuning_tasks

SMALL = {
    "encoder": "r2d(width=2)",
    "aggregator": "average",
    "loss": "focal+0.5*triplet",
    "data": "phantom(patients=12, size=16, slices=3)",
    "folds": 2,
    "overrides": ("training.epochs=2", "training.batch_size=4"),
    "device": "cpu",
    "jobs": 1,
}


class Kept(Tracker):
    """Keeps what it is told. Source: a test."""

    told: list = []  # noqa: RUF012

    def start(self, run):
        self.told.append(("start", run.name, dict(run.settings)))

    def log(self, fold, epoch, values):
        self.told.append((fold, epoch, dict(values)))

    def finish(self, fold, values):
        self.told.append(("finish", fold, dict(values)))

    def close(self):
        self.told.append(("close",))


class Broken(Tracker):
    """Fails at its second epoch. Source: a test."""

    def __init__(self):
        self.calls = 0

    def log(self, fold, epoch, values):
        torch.rand(1) if self.calls < 0 else None
        self.calls += 1
        if self.calls == 2:
            raise SystemExit(3)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    Kept.told = []
    with trackers.adding(kept=Kept, broken=Broken):
        seen = run(**SMALL, out=out, name="tracked", track=("kept", "broken"))
    return seen, run(**SMALL, out=out, name="plain"), list(Kept.told)


def test_tracking_changes_no_number(tracked):
    seen, plain, _ = tracked
    assert not seen.failed
    for fold in (0, 1):
        files = [each.path / f"folds/{fold:02d}/predictions.csv" for each in (seen, plain)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_every_epoch_and_result_is_told_in_order(tracked):
    seen, _, told = tracked
    assert [each[:2] for each in told] == [
        *(("start", "tracked"), (0, 1), (0, 2), ("finish", 0), (1, 1), (1, 2), ("finish", 1)),
        ("close",),
    ]
    experiment = json.loads((seen.path / "experiment.json").read_text())
    assert told[0][2]["id"] == experiment["id"]
    assert told[3][2]["auc"] == seen.results[0].auc


def test_terms_of_the_loss_add_up_to_it(tracked):
    for _, _, values in tracked[2][1:3]:
        terms = values["train/loss_terms/focal"], values["train/loss_terms/triplet"]
        assert sum(terms) == pytest.approx(values["train/loss"], rel=1e-5)
        assert all(terms)
        assert values["train/learning_rate"] > 0
        assert values["speed/cases_per_second"] > 0
        assert values["memory/peak_mb"] > 0
        assert "validation/log_loss" in values


def test_a_tracker_that_fails_is_told_once_and_left_alone():
    said = []
    broken, kept = Broken(), Kept()
    Kept.told = []
    tracking = Tracking([("broken", broken), ("kept", kept)], said.append)
    for epoch in (1, 2, 3):
        tracking.epoch(EpochReport(0, epoch, 3, 0.5, None))
    tracking.close()
    assert said == ["tracker broken failed and is left out from now on (SystemExit: 3)"]
    assert broken.calls == 2
    assert len(Kept.told) == 4


def test_a_failed_fold_has_no_result_to_tell():
    Kept.told = []
    Tracking([("kept", Kept())], print).end(FoldResult(0, "failed", "no memory"))
    assert not Kept.told


def test_what_is_not_finite_or_not_known_is_left_out():
    assert epoch_values(EpochReport(0, 1, 2, float("nan"), float("nan"))) == {}


class Other(Kept):
    """Keeps what it is told by run. Source: a test."""

    runs: dict = {}  # noqa: RUF012

    def start(self, run):
        self.told = self.runs.setdefault(run.name, [])
        super().start(run)


@pytest.mark.parametrize("how", ["one by one", "together", "race"])
def test_each_experiment_of_a_suite_is_a_run_of_its_own(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    table = '[[table]]\ntitle = "Two"\nlevel = "slice"\nencoder = "r2d(width=2)"\n'
    suite = load_suite(write_suite(tmp_path, f'{table}loss = ["focal", "cross_entropy"]\n'))
    Other.runs = {}
    options = {"race": how == "race", "executor": Local(jobs=1) if how == "together" else None}
    with trackers.adding(other=Other):
        results = run_suite(suite, device="cpu", jobs=1, track=("other",), **options)
    assert Other.runs.keys() == {result.outcome.path.name for result in results}
    for told in Other.runs.values():
        names = [str(each[0]) for each in told]
        assert names.count("start") == names.count("close") == (2 if how == "race" else 1)
        assert names[0] == "start"
        assert names[-1] == "close"
        assert sorted(each for each in names if each in "01") == ["0", "1"]
        assert names.count("finish") == 2


@pytest.mark.parametrize(
    "command",
    [
        "run --encoder r2d --agg max --loss focal --dry-run",
        "suite run table.toml --dry-run",
        "tune --encoder r2d --agg max --loss focal",
    ],
)
def test_every_command_names_an_unknown_tracker_before_data_are_read(tmp_path, command):
    words = [*command.split(), "--data", "nowhere.csv", "--track", "lab"]
    (tmp_path / "table.toml").write_text(GRID)
    words = [str(tmp_path / word) if word == "table.toml" else word for word in words]
    done = CliRunner().invoke(main, words)
    assert done.exit_code != 0
    assert isinstance(done.exception, SystemExit)
    assert "Unknown tracker 'lab'" in done.stderr
    assert "nowhere.csv" not in done.stderr


def test_a_suite_names_an_unknown_tracker_before_it_makes_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suite = load_suite(write_suite(tmp_path, GRID))
    with pytest.raises(UnknownComponentError, match="wandbx"):
        run_suite(suite, device="cpu", jobs=1, track=("wandbx",))
    assert not suite.out.exists()


def test_each_trial_of_a_search_is_a_run_of_its_own(tmp_path):
    data = write_small(tmp_path / "data", cases=48).folder
    plan = plan_for(data, settings=Settings(trials=2, inner_folds=2))
    Other.runs = {}
    with trackers.adding(other=Other):
        outcome = pretended(plan, tmp_path / "out", track=("other",))
    tried = [name for name in Other.runs if name != "a"]
    assert len(tried) == 4  # trials of two outer folds
    for name in tried:
        told = Other.runs[name]
        assert "focal.gamma" in told[0][2]
        assert [each[0] for each in told if each[0] in ("finish", "close")] == [
            *("finish", "finish", "close")
        ]
        assert sum(each[0] in (0, 1) for each in told) == 2 * EPOCHS
    outer = Other.runs[outcome.path.name]
    assert outer[0][2]["loss"] == "focal(gamma=?)"
    assert [each[:2] for each in outer if each[0] == "finish"] == [("finish", 0), ("finish", 1)]
    assert outer[-1] == ("close",)


class Shown(Kept):
    """Says where its curves are. Source: a test."""

    def __init__(self, *, place="here"):
        self.place = place

    def how_to_view(self):
        if self.place == "broken":
            raise RuntimeError
        return f"show\n{self.place}"


def test_how_to_look_at_the_curves_is_printed_once_when_a_run_ends(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = '[[table]]\ntitle = "Two"\nlevel = "slice"\nencoder = "r2d(width=2)"\n'
    write_suite(tmp_path, f'{table}loss = ["focal", "cross_entropy"]\n')
    track = [
        word
        for spec in ("shown", "shown", "shown(place='broken')", "kept", "shown(place='there')")
        for word in ("--track", spec)
    ]
    data = "phantom(patients=24, size=16, slices=3)"
    small = [*("--data", data, "--folds", "2"), "--device", "cpu", "--jobs", "1"]
    overrides = ("training.epochs=1", "selection.checkpoint=last")
    small += [word for text in overrides for word in ("--set", text)]
    encoder = ["--encoder", "r2d(width=2)", "--agg", "max", "--loss", "focal"]
    with trackers.adding(shown=Shown, kept=Kept):
        for words in (
            ["run", *encoder, "--fold", "0", *small],
            ["suite", "run", "suite.toml", "--device", "cpu", "--jobs", "1"],
            ["tune", *encoder, "--trials", "1", "--inner-folds", "2", *small],
        ):
            done = CliRunner().invoke(main, [*words, *track])
            assert done.exit_code == 0, done.output
            curves = [line for line in done.stdout.splitlines() if line.startswith("curves: ")]
            assert curves == ["curves: show here", "curves: show there"]


@pytest.mark.slow
def test_a_search_on_an_executor_is_tracked_where_it_is_trained(tmp_path):
    plan = plan_for(
        write_small(tmp_path / "data", cases=48).folder,
        settings=Settings(trials=1, inner_folds=2),
        overrides=("training.epochs=1",),
    )
    spec = f'tensorboard(folder="{tmp_path / "curves"}")'
    tasks = tuning_tasks(plan, tmp_path / "out/a", jobs=1, device="cpu", track=(spec,))
    tune_on(Local(jobs=1), plan, tmp_path / "out/a", tasks)
    folders = {path.parent.parent.name for path in (tmp_path / "curves").rglob("events*")}
    assert folders == {"a", *(f"a-fold-{fold:02d}-trial-000" for fold in (0, 1))}
