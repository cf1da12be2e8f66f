"""`volbench report --card`: to the terminal or into a file, of one run only."""

import pytest
from click.testing import CliRunner

from tests.helpers.written_runs import write_run
from volbench.cli.main import main
from volbench.errors import UsageError


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        write_run(folder / name, finished=())
    return folder


def report(*arguments):
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_the_card_goes_to_the_terminal(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = report(runs / "one", "--card")
    assert done.exit_code == 0
    assert done.stdout.startswith("# Model card: one\n")
    assert "## Checklist: TRIPOD+AI" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_card_goes_into_a_file(runs, tmp_path):
    there = tmp_path / "card.md"
    done = report(runs / "one", "--card", "--output", there)
    assert (done.exit_code, done.stdout) == (0, "")
    assert there.read_text() == report(runs / "one", "--card").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--card takes one run, but got 2; name one of them"),
        (
            ("--title", "x"),
            "--title, --data and --external apply to the HTML report; leave them out with --card",
        ),
    ],
)
def test_what_a_card_cannot_be_is_refused(runs, arguments, said, capsys):
    done = report(runs, "--card", *arguments)
    assert done.exit_code == UsageError.exit_code
    assert done.stderr == f"volbench: {said}\n"
