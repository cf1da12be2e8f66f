import os
import pty
import subprocess
import sys

import pytest

from volbench.cli.progress import counter as progress
from volbench.cli.progress.counter import counter


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def lines(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_a_thousand_quick_cases_are_two_lines(clock, capsys):
    with counter("preparing", "cases") as report:
        for done in range(1001):
            report(done, 1000)
            clock.now += 1e-4
    assert lines(capsys) == [
        "preparing: 0/1000 cases",
        "preparing: 1000/1000 cases, 10000 cases/s, 0 s left",
    ]


def test_slow_work_is_a_line_per_tenth(clock, capsys):
    with counter("preparing", "cases") as report:
        for done in range(201):
            report(done, 200)
            clock.now += 1
    shown = lines(capsys)
    assert len(shown) == 11
    assert shown[5] == "preparing: 100/200 cases, 1.0 cases/s, 1 min 40 s left"


def test_very_slow_work_is_a_line_a_minute(clock, capsys):
    with counter("preparing", "cases") as report:
        report(0, 1000)
        for done in range(1, 7):
            clock.now += 30
            report(done, 1000)
    assert lines(capsys) == [
        "preparing: 0/1000 cases",
        "preparing: 2/1000 cases, 30.0 s each, 8 h 19 min left",
        "preparing: 4/1000 cases, 30.0 s each, 8 h 18 min left",
        "preparing: 6/1000 cases, 30.0 s each, 8 h 17 min left",
    ]


def test_what_was_done_before_does_not_count_as_speed(clock, capsys):
    with counter("preparing", "cases") as report:
        report(80, 100)
        clock.now += 10
        report(90, 100)
    assert lines(capsys)[-1] == "preparing: 90/100 cases, 1.0 cases/s, 10 s left"


def test_the_end_is_always_said_and_said_once(clock, capsys):
    with counter("preparing", "cases") as report:
        report(1, 2)
        report(2, 2)
        report(2, 2)
    assert [line for line in lines(capsys) if "2/2" in line] == ["preparing: 2/2 cases"]


def test_work_that_was_done_already_shows_nothing(capsys):
    with counter("preparing", "cases"):
        pass
    assert lines(capsys) == []


PLAIN = """
import sys
from volbench.cli.progress.counter import counter
with counter("preparing", "cases") as report:
    report(1, 1)
assert not {name for name in sys.modules if name.split(".")[0] in ("rich", "torch", "numpy")}
"""


def test_plain_lines_import_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", PLAIN], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "preparing: 1/1 cases\n")


BAR = """
import sys, time
from volbench.cli.progress.counter import counter
with counter("preparing", "cases") as report:
    for done in range(4):
        report(done, 3)
        time.sleep(0.15)
    if len(sys.argv) > 1:
        raise SystemExit(1)
print("result")
"""


def on_a_terminal(*arguments):
    """Run the bar with its stderr on a pseudo-terminal; what it wrote there, and its stdout."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-c", BAR, *arguments]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        command, stderr=end, stdout=subprocess.PIPE, text=True, env=environment, timeout=60
    )
    os.close(end)
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(terminal)
    return shown.decode(), done.stdout


SHOW_CURSOR, CLEAR_LINE = "\x1b[?25h", "\x1b[2K"


def test_a_terminal_gets_a_bar_that_vanishes():
    shown, result = on_a_terminal()
    assert "preparing" in shown
    assert "2/3 cases" in shown
    assert "left" in shown
    assert shown.rfind(CLEAR_LINE) > shown.rfind("cases")
    assert shown.rfind(SHOW_CURSOR) > 0
    assert result == "result\n"


def test_the_cursor_comes_back_when_the_work_is_cut_off():
    shown, result = on_a_terminal("stop")
    assert shown.rfind(SHOW_CURSOR) > shown.rfind("\x1b[?25l")
    assert result == ""
