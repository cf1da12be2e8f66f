"""Prose on stderr: folded for a terminal, one line in a pipe."""

import io
from pathlib import Path

import pytest

from volbench.cli.output import chosen_format, echo_note

LINE = "volbench: manifest.csv: line 31: the case is on line 30 too; keep one of them"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("columns", "lines"), [("50", 2), ("200", 1), ("8", 1)])
def test_a_terminal_gets_lines_that_end_between_words(monkeypatch, columns, lines):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stderr", screen := Terminal())
    echo_note(LINE)
    shown = screen.getvalue().splitlines()
    assert len(shown) == lines
    assert " ".join(shown) == LINE


def test_a_pipe_gets_one_line(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "50")
    echo_note(LINE)
    assert capsys.readouterr().err == f"{LINE}\n"


def test_a_format_that_the_name_of_its_file_contradicts_is_noted(capsys):
    formats = ("table", "csv", "latex")
    assert chosen_format("latex", Path("x.csv"), formats) == "latex"
    assert capsys.readouterr().err == "note: x.csv will hold latex, as --format says, not csv\n"
    for style, name in (("csv", "x.csv"), ("csv", "x.txt"), ("latex", "x"), (None, "x.csv")):
        chosen_format(style, Path(name), formats)
    assert capsys.readouterr().err == ""
