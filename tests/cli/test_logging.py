"""Logs: silent by default, on stderr with -v, in worker processes too."""

import logging
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from volbench._utils import logs
from volbench.cli.main import main

RUN = ["run", "--encoder", "r2d(width=2)", "--agg", "max", "--loss", "focal", "--folds", "2"]
SMALL = ["--data", "phantom(patients=16)", "--set", "training.epochs=1"]


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    """Leave the logger and the environment as they were."""
    logger = logging.getLogger("volbench")
    handlers, level = list(logger.handlers), logger.level
    monkeypatch.setenv(logs.VARIABLE, "")  # so that it is as before afterwards
    monkeypatch.delenv(logs.VARIABLE)
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def volbench(*words, folder):
    done = subprocess.run(
        [sys.executable, "-m", "volbench", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


def test_a_library_is_silent_unless_asked(capsys):
    logs.start_logging()
    logging.getLogger("volbench.data").warning("unheard")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("verbosity", "heard"), [(0, []), (1, ["seen"]), (2, ["seen", "detail"])])
def test_each_v_shows_one_level_more_on_stderr(verbosity, heard, capsys):
    logs.show_logs(verbosity)
    logging.getLogger("volbench.data").info("seen")
    logging.getLogger("volbench.data").debug("detail")
    out, err = capsys.readouterr()
    assert out == ""
    lines = [
        re.fullmatch(r"\d\d:\d\d:\d\d (\w+) +volbench.data: (\w+)", line)
        for line in err.split("\n")[:-1]
    ]
    assert [line[2] for line in lines] == heard


def test_asking_twice_shows_each_line_once(capsys):
    logs.show_logs(1)
    logs.show_logs(1)
    logging.getLogger("volbench").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_a_level_that_is_none_is_ignored(monkeypatch, capsys):
    monkeypatch.setenv(logs.VARIABLE, "loud")
    logs.start_logging()
    logging.getLogger("volbench").error("unheard")
    assert capsys.readouterr().err == ""


def test_a_run_tells_what_its_workers_do_and_only_on_stderr(tmp_path, monkeypatch):
    out, err = volbench(*RUN, *SMALL, "--jobs", "2", "--name", "b", "-vv", folder=tmp_path)
    monkeypatch.chdir(tmp_path)
    quiet = CliRunner().invoke(main, [*RUN, *SMALL, "--jobs", "1", "--name", "a"])
    assert out == quiet.stdout.replace("runs/a", "runs/b")
    assert " volbench." not in quiet.stderr
    assert re.search(r"INFO +volbench.crossval.plan: experiment \w{8}: 16 cases, 2 folds", err)
    for fold in (0, 1):  # each in a process of its own
        assert re.search(rf"INFO +volbench.training.fold: fold {fold}: \d+ training, ", err)
        assert re.search(rf"DEBUG +volbench.training.fold: fold {fold}: {{'epoch': 1", err)
    again = CliRunner().invoke(main, [*RUN, *SMALL, "--jobs", "2", "--name", "b", "-v"])
    assert "2 of 2 folds finished" in again.stderr
    assert "DEBUG" not in again.stderr
