"""Names of candidates that differ in settings are long; a figure keeps its size and shows them."""

import warnings

import pytest

from tests.helpers.written_runs import write_rival
from volbench import plot

ENCODER = "rmc5(blocks=(2, 2, 2, 2), width=8)"


@pytest.mark.parametrize("draw", [plot.roc, plot.calibration])
def test_a_long_key_neither_collapses_the_axes_nor_leaves_the_figure(tmp_path, draw):
    for number, loss in enumerate(("focal", "focal(gamma=1.5)+0.5*triplet(margin=0.25)")):
        write_rival(tmp_path, f"r{number}", encoder=ENCODER, loss=loss, noise=number)
    axes = draw(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes.figure.draw_without_rendering()
    whole, key = axes.figure.bbox, axes.get_legend().get_window_extent()
    assert axes.get_window_extent().width > 0.6 * whole.width
    assert key.x0 >= 0
    assert key.x1 <= whole.width
