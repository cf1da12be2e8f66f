"""What is drawn in the curves of a report: the numbers behind each line and area."""

import re

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve as sk_roc_curve

from tests.helpers.written_runs import write_rival
from volbench.evaluation.metrics import roc_curve
from volbench.leaderboard import compare_runs, load_run
from volbench.report import curves
from volbench.report.curves import overlaid
from volbench.report.drawings import GRID
from volbench.report.report_row import report_rows
from volbench.report.svg import ACCENT


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, as matplotlib has them."""
    sheets = []

    def draw(function, **options):
        sheet = Figure()
        function(sheet)
        sheets.append(sheet)
        return Markup("drawn")

    monkeypatch.setattr(curves, "figure", draw)
    return sheets


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    path = write_rival(tmp_path_factory.mktemp("runs"), "run", signal=1.0, folds=5)
    return report_rows(compare_runs([load_run(path)]))[0]


def by_hand(row):
    """Sensitivity of each fold on the grid, from scikit-learn's points."""
    found = []
    for items in row.by_fold:
        x, y, _ = sk_roc_curve(items.labels, items.probabilities[:, 1], drop_intermediate=False)
        upper = pd.Series(y).groupby(x).max()
        lower = pd.Series(y).groupby(x).min()
        places = np.repeat(upper.index.to_numpy(), 2)
        heights = np.stack([lower.to_numpy(), upper.to_numpy()], axis=1).ravel()
        exact = np.interp(curves.GRID, places, heights)
        for at, height in upper.items():
            exact[np.isclose(curves.GRID, at, atol=1e-12)] = height
        found.append(exact)
    return np.array(found)


def test_the_band_is_one_sample_deviation_about_the_mean_curve(row, drawn):
    curves.roc(row, name="x")
    (axes,) = drawn[0].axes
    found = by_hand(row)
    mean, std = found.mean(axis=0), found.std(axis=0, ddof=1)
    line = axes.lines[-1]
    assert line.get_color() == ACCENT
    np.testing.assert_allclose(line.get_ydata()[1:], mean, atol=1e-9)
    np.testing.assert_allclose(line.get_xdata()[1:], curves.GRID)
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    for at in (0.1, 0.4, 0.8):
        place = int(np.flatnonzero(np.isclose(curves.GRID, at))[0])
        heights = corners[np.isclose(corners[:, 0], at), 1]
        assert heights.min() == pytest.approx(max(0, mean[place] - std[place]))
        assert heights.max() == pytest.approx(min(1, mean[place] + std[place]))


def test_where_a_rate_has_several_sensitivities_the_largest_counts():
    curve = roc_curve(
        np.array([1, 1, 0, 0]), np.array([[0.1, 0.9], [0.4, 0.6], [0.5, 0.5], [0.9, 0.1]])
    )
    found = curves.sensitivities(curve, np.array([0.0, 0.25, 0.5, 1.0]))
    assert found.tolist() == [1.0, 1.0, 1.0, 1.0]
    curve = roc_curve(np.array([1, 0, 1]), np.array([[0.1, 0.9], [0.4, 0.6], [0.5, 0.5]]))
    assert curves.sensitivities(curve, np.array([0.0, 0.5, 1.0])).tolist() == [0.5, 0.5, 1.0]


def test_calibration_shows_what_was_predicted_below_what_came_true(row, drawn):
    curves.calibration(row, name="x", x="predicted", y="observed")
    above, below = drawn[0].axes
    labels = np.concatenate([items.labels for items in row.items])
    second = np.concatenate([items.probabilities[:, 1] for items in row.items])
    places = np.minimum((second * 10).astype(int), 9)
    known = np.unique(places)
    line = above.lines[-1]
    np.testing.assert_allclose(line.get_xdata(), [second[places == k].mean() for k in known])
    np.testing.assert_allclose(line.get_ydata(), [labels[places == k].mean() for k in known])
    assert [bar.get_height() for bar in below.patches] == [(places == k).sum() for k in known]


def test_learning_curves_are_bold_for_the_mean_and_thin_for_each_fold(drawn):
    histories = [
        pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [0.9, 0.5 + n, 0.1]}) for n in (0.0, 0.2)
    ]
    curves.learning(histories, title="run", name="x")
    (axes,) = drawn[0].axes
    thin, other, bold = axes.lines
    assert thin.get_ydata().tolist() == [0.9, 0.5, 0.1]
    assert other.get_ydata().tolist() == [0.9, 0.7, 0.1]
    assert bold.get_ydata().tolist() == pytest.approx([0.9, 0.6, 0.1])
    assert bold.get_linewidth() > 2 * thin.get_linewidth()


def test_the_key_of_many_curves_names_each_in_full_outside_the_drawing():
    """So that it wraps on a phone; the twelfth curve has the colour of the second, dotted."""
    names = [
        f"{number}. a long name of a candidate · attention · box mm 32" for number in range(12)
    ]
    drawn = overlaid([(name, [GRID]) for name in names], name="roc", label="Twelve curves.")
    key = drawn[drawn.index('<figcaption class="key">') :]
    assert re.findall("<span>(.*?)</span>", key) == names
    lines = re.findall('<i class="(.*?)">', key)
    assert lines[0] == "c-accent solid"
    assert lines[11] == "c-second dotted"
    assert len(set(lines)) == 12
    assert "attention" not in drawn[: drawn.index("<figcaption")]


def test_a_name_in_a_key_is_text_and_no_markup():
    drawn = overlaid([("<b>one", [GRID]), ("two", [GRID])], name="roc", label="Two curves.")
    assert "&lt;b&gt;one" in drawn
    assert "<b>one" not in drawn
