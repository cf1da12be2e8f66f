"""The one display of progress, at every width and where nothing can be redrawn."""

import os
import pty
import re
import subprocess
import sys

import pytest

from volbench.cli.progress import line as lines
from volbench.cli.progress.line import MIN_BAR, ProgressLine, Row, lay_out, redraws
from volbench.cli.progress.trainings import TrainingsLine, fold_label
from volbench.training.fold_reports import EpochReport, StepReport


def rows():
    said = ("validation AUC 0.812", "loss 0.412", "waiting 31% for TorchIO", "rate 3.2e-04")
    return [
        Row("folds", 10, 3, "folds", lambda: ("mean AUC 0.801", "about 12 min left", "0:05:12")),
        Row("  fold  3", 30, 12, "epochs", lambda: said),
        Row("  fold  4", None, parts=lambda: ("starting",)),
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 300])
def test_a_row_fills_the_width_and_says_whole_parts_only(width):
    drawn = lay_out(rows(), width)
    lengths = [len(row.head) + row.bar + len(row.tail) for row in drawn]
    assert max(lengths) <= width
    assert max(lengths) >= width - 2, "bars take the room that is left"
    assert len({row.bar for row in drawn}) == 1
    assert drawn[0].bar >= MIN_BAR
    for row, each in zip(rows(), drawn, strict=True):
        shown = [part for part in each.tail.strip().split("  ")[1:] if part]
        assert shown == list(row.parts())[: len(shown)], "the least telling ones go first"
    assert drawn[1].filled == int(drawn[1].bar * 12 / 30 + 1e-9)


def test_much_room_shows_all_and_little_room_the_most_telling():
    assert lay_out(rows(), 160)[1].tail.endswith("rate 3.2e-04")
    assert lay_out(rows(), 80)[1].tail.endswith("validation AUC 0.812  loss 0.412")
    assert lay_out(rows(), 20)[1].bar == 0


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(lines, "time", clock)
    return clock


def test_steps_and_epochs_are_told_now_and_then_where_there_is_no_terminal(clock, capsys):
    line = TrainingsLine("folds", "folds")
    line.open(2, 0)
    line.step(0, fold_label(0), StepReport(0, 1, 4, 10, 20))
    clock.now += 31
    line.step(0, fold_label(0), StepReport(0, 1, 4, 15, 20))
    line.epoch(0, fold_label(0), EpochReport(0, 1, 4, 0.5, 0.75, rate=0.001))
    clock.now += 31
    line.epoch(0, fold_label(0), EpochReport(0, 2, 4, 0.4, 0.8, rate=0.001))
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"fold  0  epoch 1 of 4  step 15 of 20  \(about \d+ s left\)", first)
    assert second.startswith(
        "fold  0  epoch 2 of 4  validation AUC 0.800  loss 0.400  rate 1.0e-03  (about "
    )
    line.end(0)
    line.all.done += 1
    assert line.state == "1 of 2 folds, about 0 s left"


def test_what_is_under_way_moves_the_bar_of_all():
    line = TrainingsLine("trials", "trials")
    line.per_item = 2
    line.open(4, 1)
    assert line.all.share == 0.25
    line.step((1, 0), "trial  0", StepReport(0, 1, 2, 10, 10))
    assert line.all.share == pytest.approx((1 + 0.5 / 2) / 4)


def test_one_fold_is_a_fold():
    line = ProgressLine("folds", "folds", tuple)
    line.start(1)
    line.all.done = 1
    assert line.state == "1 of 1 fold"


SHOW = """
from volbench.cli.progress.trainings import TrainingsLine, fold_label
from volbench.training.fold_reports import EpochReport
import volbench.cli.progress.line as lines
lines.PLAIN_SECONDS = 0.0
with TrainingsLine("folds", "folds") as line:
    line.open(2, 0)
    line.epoch(0, fold_label(0), EpochReport(0, 1, 4, 0.5, 0.75))
    line.say("a line above")
    line.say("a warning that is wider than the terminal " + "of a hundred columns " * 4)
"""


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_terminal_that_cannot_redraw_gets_lines_with_the_time_left(term):
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": term, "NO_COLOR": "1", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", SHOW], stderr=end, env=environment, timeout=120)
    os.close(end)
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:
        pass
    os.close(terminal)
    text = shown.decode()
    assert "left" in text
    assert "a line above" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").splitlines()
    wide = [line.rstrip() for line in plain if "hundred columns" in line]
    assert len(wide) == 2, "no word is cut by the edge"
    assert all(line.endswith(("columns", "of", "a", "hundred")) for line in wide)
    assert ("\x1b" in text) == (term == "xterm")
    assert ("\u2501" in text) == (term == "xterm")


def test_a_pipe_is_not_redrawn():
    assert not redraws()
