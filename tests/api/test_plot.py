"""Figures in Python: axes with the numbers of the runs, drawn as the report draws them."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

import volbench
from tests.helpers.written_runs import write_run
from tests.report import made_runs
from volbench import plot
from volbench.errors import UsageError
from volbench.report.palette import LIGHT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plot")
    write_run(folder / "one")
    write_run(folder / "two", encoder="r2d(width=4)")
    write_run(folder / "elsewhere", digest="e" * 64)
    made_runs.write_run(folder, "validated", folds=3)
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    return volbench.load_runs(folder / "one", folder / "two")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def lines(axes, color):
    return [line for line in axes.lines if to_hex(line.get_color()) == color]


def test_the_leaderboard_has_means_intervals_and_every_fold(runs):
    axes = plot.leaderboard(runs)
    wanted = runs.leaderboard
    drawn = lines(axes, LIGHT.accent)
    intervals = [tuple(line.get_xdata()) for line in drawn if len(line.get_xdata()) == 2]
    means = [line.get_xdata()[0] for line in drawn if len(line.get_xdata()) == 1]
    assert means == list(wanted["auc"])
    assert intervals == list(zip(wanted["low"], wanted["high"], strict=True))
    dots = [line for line in lines(axes, LIGHT.muted) if line.get_marker() == "o"]
    areas = runs.folds.pivot(index="fold", columns="run", values="auc")[list(runs.summary["run"])]
    np.testing.assert_allclose([line.get_xdata() for line in dots], areas)
    texts = [text.get_text() for text in axes.texts]
    assert any(text.startswith("r2d(width=4)") for text in texts)


def test_roc_curves_have_the_area_of_the_table(runs):
    axes = plot.roc(runs)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    for row, label in zip(runs.summary.itertuples(), labels, strict=True):
        assert f"AUC {row.auc_mean:.3f}" in label
        (curve,) = [line for line in axes.lines if line.get_label() == label]
        area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
        assert area == pytest.approx(row.auc_mean, abs=0.01)


def test_one_curve_alone_has_a_band_and_several_have_none(runs, folder):
    assert len(plot.roc(folder / "one").collections) == 1
    assert not plot.roc(runs).collections


def test_calibration_has_the_observed_shares(folder):
    axes = plot.calibration(str(folder / "one"))
    (curve,) = [line for line in axes.lines if line.get_marker() == "o"]
    frame = volbench.load_runs(folder / "one").predictions
    first = frame[frame["prob_T3"].between(0, 0.1)]
    if len(first):
        assert curve.get_ydata()[0] == pytest.approx((first["label"] == "T3").mean())
    assert axes.get_ylabel() == "observed share"


def test_history_has_axes_for_each_kind_of_loss(folder):
    training, validation = plot.history(folder / "validated")
    frame = volbench.load_runs(folder / "validated").history
    bold = max(training.lines, key=lambda line: line.get_linewidth())
    np.testing.assert_allclose(bold.get_ydata(), frame.groupby("epoch")["train_loss"].mean())
    assert training.get_ylabel() == "training loss"
    assert validation.get_ylabel() == "validation log loss"


def test_figures_go_where_they_are_asked_to(runs, folder):
    _, (left, right) = plt.subplots(1, 2)
    assert plot.roc(runs, axes=left) is left
    assert plot.history(folder / "validated", axes=[left, right]) == (left, right)
    with pytest.raises(UsageError, match="history needs 2 axes, but got 1"):
        plot.history(folder / "validated", axes=[left])


def test_several_tables_are_refused_and_one_of_them_is_drawn(folder):
    with pytest.raises(UsageError, match=r"3 tables.*compare\(\)\[0\]"):
        plot.roc(folder)
    plot.roc(volbench.compare(folder)[0])


def test_history_is_of_one_candidate(runs):
    with pytest.raises(UsageError, match="one candidate, and these are 2"):
        plot.history(runs)


def test_a_model_of_columns_alone_has_no_history(tmp_path):
    tabular = {"columns": ["age"], "fused": False, "values": "v", "missing": [0]}
    made_runs.write_run(tmp_path, "columns", folds=3, tabular=tabular)
    with pytest.raises(UsageError, match="no history"):
        plot.history(tmp_path)


def test_a_run_without_a_finished_fold_is_refused(tmp_path):
    write_run(tmp_path / "none", finished=(), failed=(0, 1, 2))
    with pytest.raises(UsageError, match="no fold is finished"):
        plot.leaderboard(tmp_path / "none")


def test_names_are_text_and_no_formula(tmp_path):
    write_run(tmp_path / "one", encoder="r2d(width=4)")
    write_run(tmp_path / "$x$", encoder="r2d(width=4)")
    plot.roc(tmp_path).figure.canvas.draw()
