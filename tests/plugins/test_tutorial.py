"""The tutorial on plugins is true: followed to the letter, it ends in a row of the table."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.child_environment import child_environment
from volbench.cli.main import main

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "how-to" / "write-a-plugin.md"
TEXT = GUIDE.read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def shown_commands():
    lines = "\n".join(blocks("console")).splitlines()
    return [shlex.split(line[2:]) for line in lines if line.startswith("$ ")]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The folder after the tutorial's first command, which prints what the tutorial shows."""
    monkeypatch.chdir(tmp_path)
    first, *_ = shown_commands()
    done = CliRunner().invoke(main, first[1:])
    assert done.exit_code == 0
    assert done.stdout.rstrip() == blocks("console")[0].partition("\n")[2].rstrip()
    return tmp_path / "volbench-lse"


def test_what_it_shows_is_what_is_written(written):
    (toml,) = blocks("toml")
    assert toml in (written / "pyproject.toml").read_text()
    assert blocks("python")[1] == (written / "tests" / "test_lse.py").read_text()
    assert (written / "volbench_lse" / "lse.py").is_file()


@pytest.mark.slow
def test_followed_to_the_letter_it_ends_in_a_row_of_the_table(written, tmp_path):
    (written / "volbench_lse" / "lse.py").write_text(blocks("python")[0])
    shutil.copytree(ROOT / "plugins" / "volbench-example", tmp_path / "plugins/volbench-example")
    site = tmp_path / "site"
    said = []
    for program, *arguments in shown_commands()[1:]:
        if program == "pip":  # as shown, but beside the environment of the tests
            assert arguments[:2] == ["install", "-e"]
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
            install += ["--no-build-isolation", "--target", str(site), f"./{arguments[2]}"]
            subprocess.run(install, check=True, cwd=tmp_path, timeout=280)
            continue
        if arguments[0] == "run":  # as shown, but for how long it trains
            arguments += ["--folds", "3", "--set", "training.epochs=1", "--jobs", "1"]
        code = "from volbench.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=child_environment(site),
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert "Log-sum-exp" in said[0] or "Smooth maximum over slices." in said[0]
    (table,) = [text for text in said if "lse(r=4)" in text and "average" in text]
    assert "AUC" in table
    assert said[-1].splitlines()[-1].startswith("curves: ")
    runs = list((tmp_path / "runs").glob("*/experiment.json"))
    assert len(runs) == 3
    assert all(json.loads(run.read_text()) for run in runs)
