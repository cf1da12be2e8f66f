"""Every command whose result is a table fits the terminal, and its JSON says its schema."""

import json
import re

import pytest
from click.testing import CliRunner

from tests.report.made_runs import write_run
from volbench._utils.text_table import BREAK, cells
from volbench.cli.main import main

WIDTHS = (80, 100, 120, 160)
LONG = "timm(name='resnet18.a1_in1k', pretrained=False)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs with long specs, five classes for one, and a suite file."""
    out = tmp_path_factory.mktemp("widths")
    for place, name in enumerate(("a-run-with-a-name-that-somebody-chose", "another")):
        recipe = {"training": {"epochs": 5 + place, "augmentation": "rectal(box=True)"}}
        write_run(out / "runs", name, encoder=LONG, recipe=recipe, loss="focal(gamma=2)+triplet")
    write_run(out / "many", "several", classes=("NOR", "DCM", "HCM", "MINF", "RV"), cases=100)
    (out / "suite.toml").write_text(
        f'title = "Two"\n[[table]]\ntitle = "A"\nencoder = ["r2d", "{LONG}"]\n'
        'aggregator = "average"\nloss = ["focal", "cross_entropy"]\n',
        encoding="utf-8",
    )
    return out


COMMANDS = {
    "compare": ("compare", "runs"),
    "compare several classes": ("compare", "many"),
    "status": ("status", "runs"),
    "list": ("list",),
    "list plugins": ("list", "plugins"),
    "info": ("info", "bilinear"),
    "clinical": ("clinical", "runs/another"),
    "describe": ("data", "describe", "phantom(patients=8, size=16)"),
    "audit": ("data", "audit", "phantom(patients=20, size=16)", "--folds", "2"),
}


def run(folder, monkeypatch, *arguments):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_is_wider_than_the_terminal(folder, monkeypatch, name):
    widths = WIDTHS[:1] if COMMANDS[name][0] == "data" else WIDTHS  # seconds each
    for width in widths:
        monkeypatch.setenv("COLUMNS", str(width))
        shown = run(folder, monkeypatch, *COMMANDS[name])
        wide = [line for line in shown.splitlines() if cells(line) > width]
        assert not wide, (width, wide)


LEFT_OUT = re.compile(r"Left out[^:]*: .*?\.$", re.DOTALL | re.MULTILINE)
"""Columns there is no room for: said at the widths where some are missing only."""


def pieces(text):
    """Words of an output, those parts of them behind which a line may end, without box drawing."""
    words = [word for line in text.splitlines() for word in line.split()]
    return {piece.strip("─│┌┐└┘├┤┬┴┼…") for word in words for piece in BREAK.split(word)}


@pytest.mark.parametrize("name", [name for name, words in COMMANDS.items() if words[0] != "data"])
def test_no_word_is_cut_at_any_width(folder, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "500")
    whole = pieces(run(folder, monkeypatch, *COMMANDS[name]))
    whole.add("line")  # heads the numbers of rows where a table is in two parts
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        shown = run(folder, monkeypatch, *COMMANDS[name])
        told = LEFT_OUT.sub("", shown)
        assert pieces(told) <= whole, (width, pieces(told) - whole)


@pytest.mark.parametrize("name", COMMANDS)
def test_json_says_its_schema(folder, monkeypatch, tmp_path, name):
    shown = run(folder, monkeypatch, *COMMANDS[name], "--format", "json")
    document = json.loads(shown)
    assert isinstance(document["schema"], int)
    file = tmp_path / "found.json"
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, [*COMMANDS[name], "--output", str(file)])
    assert done.exit_code == 0, done.output
    assert json.loads(file.read_text(encoding="utf-8")).keys() == document.keys()
    assert done.stdout == ""
    assert f"wrote {file}" in done.stderr


def test_a_suffix_that_a_command_does_not_write_is_refused(folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, ["status", "runs", "--output", "found.html"])
    assert done.exit_code == 2
    assert "this command writes table, json, not html" in done.stderr
    assert not (folder / "found.html").exists()
