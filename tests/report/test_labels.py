"""What a figure or a table calls a candidate can be read as a whole, settings included."""

import re

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.helpers.written_runs import write_run
from volbench.leaderboard import compare_runs
from volbench.report.curves import GRID, overlaid
from volbench.report.drawings import draw_row_titles
from volbench.report.palette import PAGE
from volbench.report.report_row import report_rows
from volbench.report.tables import leaderboard

TITLES = [
    "1. r3d(width=4) · max · cross_entropy · augmentation affine · rate 0.001",
    "2. rmc5(width=16) · gated_attention · focal+triplet · augmentation flip · rate 0.001",
    "3. r2d · max",
]


@pytest.mark.parametrize("titles", [TITLES, ["word " * 60 + "end", "other"]])
def test_the_key_of_laid_over_curves_names_every_candidate_in_full(titles):
    """However long: it is text of the page, which wraps."""
    drawn = overlaid([(title, [GRID, GRID]) for title in titles], name="x", label="x")
    assert re.findall(r"<span>([^<]*)</span>", drawn) == titles


@pytest.mark.parametrize("findings", [(), ["−0.286 [−0.653, +0.082]: no difference shown"] * 3])
def test_titles_of_rows_use_the_width_there_is_and_never_run_into_the_finding(findings):
    with matplotlib.rc_context(PAGE.settings()):
        sheet = Figure(figsize=(640 / 72, 3))
        sheet.subplots_adjust(left=12 / 640, right=1 - 12 / 640)
        axes = sheet.add_subplot()
        draw_row_titles(axes, TITLES, findings)
        sheet.draw_without_rendering()
        texts = [text.get_text() for text in axes.texts]
        if not findings:
            assert texts == TITLES
        boxes = [text.get_window_extent() for text in axes.texts]
        width = axes.get_window_extent()
        assert all(box.x0 >= width.x0 - 1 and box.x1 <= width.x1 + 1 for box in boxes)
        for title, finding in zip(boxes[:3], boxes[3:], strict=False):
            assert title.x1 < finding.x0
    assert texts[2] == TITLES[2]


def test_rows_of_the_audit_fill_the_columns_that_say_what_a_candidate_is(tmp_path):
    """Their words stood in the encoder's column, which pushed the AUC's interval off the page."""
    runs = [
        write_run(tmp_path / "one", audit=True),
        write_run(tmp_path / "two", audit=True, overrides=("training.augmentation=flip",)),
    ]
    found = compare_runs(runs, resamples=100)
    table = leaderboard(found, report_rows(found))
    kinds = {row.kind for row in table.rows}
    assert "audit" in kinds
    for row in table.rows:
        assert 1 + row.span + len(row.cells) - 1 == len(table.columns)
        at = table.columns.index("AUC") - row.span
        assert re.fullmatch(r"[\d.]+ ± [\d.–]+", row.cells[at])
        assert row.kind != "audit" or 1 + row.span == table.columns.index("AUC")
    assert np.all([row.span == 1 for row in table.rows if row.kind != "audit"])
