"""What version 0.1 wrote still opens, and the names it had still work for one release."""

import importlib
import sys
import warnings
from pathlib import Path

import pytest

import volbench
from volbench import audit, leaderboard
from volbench.crossval import run as crossval_run
from volbench.data.cache import open_prepared
from volbench.interfaces import Augmentation
from volbench.predict.trained_run import load_trained
from volbench.report.drawings import shown_histories
from volbench.runs.load import load_run, read_history

KEPT = Path(__file__).parent / "helpers" / "version_0_1"

OLD_MODULES = {
    "volbench.registry": "volbench.plugins.registry",
    "volbench.engine.fold": "volbench.training.fold",
    "volbench.leaderboard.runs": "volbench.runs.load",
    "volbench.leaderboard.findings": "volbench.leaderboard.statistics.comparison",
    "volbench.metrics.named": "volbench.evaluation.metrics.named",
    "volbench.statistics.groups": "volbench.evaluation.statistics.multiple_comparisons",
    "volbench.randomness": "volbench._utils.case_generator",
    "volbench.benchmark.executor": "volbench.crossval.workers",
    "volbench.api": "volbench._api",
    "volbench.data.read": "volbench.data.reading",
    "volbench.data.prepare": "volbench.data.preparation.prepare_data",
    "volbench.data.loader": "volbench.data.loading.loader",
}


def test_a_run_of_version_0_1_opens_with_its_scores_and_its_networks():
    run = load_run(KEPT / "run")
    assert run.experiment["encoder"] == "r2d(width=2)"
    assert sorted(run.predictions) == [0, 1]
    (row,) = volbench.load_runs(KEPT / "run").summary.to_dict("records")
    assert row["auc_mean"] == pytest.approx(0.875)
    assert len(load_trained(KEPT / "run").networks) == 2
    history = read_history(run, 0)
    assert list(history) == ["epoch", "train_loss", "validation_log_loss", "validation_auc"]
    assert [key for key, *_ in shown_histories([history])] == ["train_loss", "validation_log_loss"]


def test_a_data_set_prepared_by_version_0_1_opens():
    prepared = open_prepared(KEPT / "prepared")
    assert len(prepared.cases) == 12
    assert prepared.cases[0].patient


@pytest.mark.parametrize(("old", "new"), OLD_MODULES.items())
def test_an_old_path_is_todays_module_and_says_so(old, new):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = _fresh_import(old)
    assert any(f"{old} is now {new};" in str(warning.message) for warning in said)
    assert found is importlib.import_module(new)


def test_a_module_that_never_was_is_missing_under_its_own_name():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(ModuleNotFoundError, match=r"'volbench\.engine\.never'"):
            importlib.import_module("volbench.engine.never")


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (audit, "weigh", "score_audit"),
        (audit, "verdict", "summarize"),
        (leaderboard, "Design", "PowerAnalysis"),
    ],
)
def test_an_old_name_is_todays_object_and_says_so(module, old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        assert getattr(module, old) is getattr(module, new)


def test_an_old_callback_is_found_where_runs_are_made():
    module = importlib.import_module("volbench.crossval.run_cross_validation")
    with pytest.warns(DeprecationWarning, match="Watcher is now Callback"):
        assert module.Watcher is module.Callback
    assert callable(crossval_run)


def test_an_augmentation_of_version_0_1_keeps_its_evaluation_view():
    with pytest.warns(DeprecationWarning, match=r"Old\.still is now called eval_view"):

        class Old(Augmentation):
            def __call__(self, volume, mask, generator):
                return volume

            def still(self, volume):
                return volume[..., 1:-1, 1:-1]

    import torch

    assert Old().eval_view(torch.zeros(1, 1, 2, 8, 8)).shape == (1, 1, 2, 6, 6)


def _fresh_import(name):
    """Import as a process would that has not asked for the old name yet."""
    sys.modules.pop(name, None)
    return importlib.import_module(name)
