"""Every command whose result is a table fits the terminal, and its JSON says its schema."""

import json
import re
from unittest import mock

import pytest
from click.testing import CliRunner

from tests.helpers.small import write_small
from tests.report.made_runs import write_run
from tests.tune.pretend import Pretender, plan_for
from volbench._utils.text_table import BREAK, cells
from volbench.cli.main import main
from volbench.cli.profile_table import profile_text
from volbench.cli.tuning_tables import show_tuning
from volbench.crossval import dry_run
from volbench.crossval.dry_run import try_plan
from volbench.profiling.fold_timings import Timings
from volbench.suite import load_suite
from volbench.suite.index import Entry, write_entries
from volbench.tune import pool, tune

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
    write_suite_runs(out)
    write_small(out / "small", cases=24, source="a prepared folder with a name that is long")
    return out


def write_suite_runs(out):
    """Where `suite show` looks: two runs, one that could not be planned, one still to do."""
    suite = load_suite(out / "suite.toml")
    first, second, third, _ = suite.candidates
    for name, skill, candidate in (("one", 1.5, first), ("two", 0.5, second)):
        write_run(
            out / "tables",
            name,
            skill=skill,
            encoder=candidate.encoder,
            aggregator=candidate.aggregator,
            loss=candidate.loss,
        )
    known = {
        first: Entry("one", None),
        second: Entry("two", None),
        third: Entry(None, "Unknown encoder 'timm'. Install volbench[timm] to have it"),
    }
    write_entries(out / "tables", suite, known)


COMMANDS = {
    "compare": ("compare", "runs"),
    "compare several classes": ("compare", "many"),
    "status": ("status", "runs"),
    "list": ("list",),
    "list plugins": ("list", "plugins"),
    "info": ("info", "bilinear"),
    "clinical": ("clinical", "runs/another"),
    "suite show": ("suite", "show", "suite.toml", "--out", "tables"),
    "plan": ("plan", "phantom(patients=90, size=16)", "--candidates", "4", "--minutes", "20"),
    "info standard": ("info", "standard"),
    "describe": ("data", "describe", "phantom(patients=8, size=16)"),
    "audit": ("data", "audit", "phantom(patients=20, size=16)", "--folds", "2"),
}


CHOSEN = ("--encoder", "r2d(width=2)", "--loss", "focal(gamma=2)+0.5*triplet(margin=0.3)")
PLANS = {
    "run": ("run", *CHOSEN, "--agg", "average", "--data", "small", "--folds", "3", "--dry-run"),
    "suite run": ("suite", "run", "suite.toml", "--data", "small", "--folds", "3", "--dry-run"),
}
"""Tables that have no other format."""
SHOWN = {**COMMANDS, **PLANS}


def run(folder, monkeypatch, *arguments):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def at_width(folder):
    """What a command shows at a width; each is run once for all tests."""
    kept = {}
    tried = []

    def try_once(plan, **options):  # what it costs does not depend on the width
        if not tried:
            tried.append(try_plan(plan, **options))
        return tried[0]

    def shown(name, width):
        if (name, width) not in kept:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("COLUMNS", str(width))
                patch.setattr(dry_run, "try_plan", try_once)
                kept[name, width] = run(folder, patch, *SHOWN[name])
        return kept[name, width]

    return shown


@pytest.mark.parametrize("name", SHOWN)
def test_no_line_is_wider_than_the_terminal(at_width, name):
    widths = WIDTHS[:1] if SHOWN[name][0] == "data" else WIDTHS  # seconds each
    for width in widths:
        shown = at_width(name, width)
        wide = [line for line in shown.splitlines() if cells(line) > width]
        assert not wide, (width, wide)


LEFT_OUT = re.compile(r"Left out[^:]*: .*?\.$", re.DOTALL | re.MULTILINE)
"""Columns there is no room for: said at the widths where some are missing only."""


MEASURED = re.compile(r"about [\d.]+ (?:s|min|h|GB)\b")
"""Another figure each time that a dry run tries the components."""


def pieces(text):
    """Words of an output, those parts of them behind which a line may end, without box drawing."""
    text = MEASURED.sub("about some", " ".join(text.split()))
    words = [word for line in text.splitlines() for word in line.split()]
    return {piece.strip("─│┌┐└┘├┤┬┴┼…") for word in words for piece in BREAK.split(word)}


@pytest.mark.parametrize("name", [name for name, words in SHOWN.items() if words[0] != "data"])
def test_no_word_is_cut_at_any_width(at_width, name):
    whole = pieces(at_width(name, 500))
    # Heads the numbers of rows where a table is in parts.
    whole |= {"line", *map(str, range(1, 9))}
    for width in WIDTHS:
        told = LEFT_OUT.sub("", at_width(name, width))
        assert pieces(told) <= whole, (width, pieces(told) - whole)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A tuned run, its trainings pretended."""
    out = tmp_path_factory.mktemp("tuned")
    loss = "focal(gamma=uniform(low=0, high=5))+uniform(low=0, high=1)*triplet(margin=0.3)"
    plan = plan_for(write_small(out / "data", cases=24).folder, loss=loss)
    with mock.patch.object(pool, "do_task", Pretender()):
        tune(plan, out=out / "runs", name="a", device="cpu", jobs=1)
    return out / "runs" / "a"


TIMED = Timings(
    {"load": 1.25, "forward": 1234.5, "evaluate": 0.001},
    1000,
    *(1500.0, 0.001, 3.5, 0.25, 12.0),
    groups={"convolution": 0.5, "normalisation": 0.25},
    least_groups={"convolution": 0.125},
)


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_of_tuning_and_of_profiling_fit_too(tuned, monkeypatch, width):
    for show in (lambda: show_tuning(tuned), lambda: profile_text(TIMED, 3)):
        monkeypatch.setenv("COLUMNS", "500")
        whole = pieces(show())
        monkeypatch.setenv("COLUMNS", str(width))
        lines = [line for line in show().splitlines() if not line.startswith("volbench run ")]
        assert [line for line in lines if cells(line) > width] == []
        assert pieces("\n".join(lines)) <= whole


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
