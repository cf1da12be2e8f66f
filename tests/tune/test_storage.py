"""Where trials are kept: refusals in one line, no password shown, a real PostgreSQL."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.small import write_small
from tests.tune.pretend import Pretender, plan_for, pretended
from volbench.errors import StorageError, UsageError
from volbench.tune.storage import hidden, open_storage


def test_a_url_that_is_none_is_refused():
    with pytest.raises(UsageError, match="is not a URL such as"):
        open_storage("my trials", heartbeat_s=1).__enter__()


def test_a_folder_that_is_missing_is_said(tmp_path):
    with pytest.raises(StorageError, match="unable to open database file") as caught:
        open_storage(f"sqlite:///{tmp_path}/nowhere/trials.db", heartbeat_s=1).__enter__()
    assert "\n" not in str(caught.value)


def test_a_missing_driver_is_said_with_how_to_install_it():
    with pytest.raises(UsageError, match="pip install pymysql"):
        open_storage("mysql+pymysql://anna:secret@localhost/none", heartbeat_s=1).__enter__()


def test_a_password_is_never_shown(tmp_path):
    assert "secret" not in hidden("postgresql+psycopg://anna:secret@host/name")
    with pytest.raises((StorageError, UsageError)) as caught:
        open_storage("postgresql+psycopg://anna:secret@localhost:1/none", heartbeat_s=1).__enter__()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def program(name):
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name) or next(
        (str(place / name) for place in places if (place / name).is_file()), None
    )


@pytest.fixture
def server(tmp_path):
    """A PostgreSQL of its own, reached through a socket; it refuses to be root's."""
    pytest.importorskip("psycopg")
    initdb, control = program("initdb"), program("pg_ctl")
    if initdb is None or control is None:
        pytest.skip("needs PostgreSQL's server")
    home = Path(os.path.realpath(f"/tmp/volbench-postgres-{os.getpid()}"))
    home.mkdir(mode=0o777)
    as_user = []
    if getpass.getuser() == "root":
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(home, "postgres")
    try:
        quiet = {"check": True, "capture_output": True, "cwd": home}
        subprocess.run(
            [*as_user, initdb, "-D", home / "data", "-U", "anna", "-A", "trust"], **quiet
        )
        options = f"-k {home} -c listen_addresses="
        start = [*as_user, control, "-D", home / "data", "-o", options, "-w", "start"]
        subprocess.run([*start, "-l", home / "log"], **{**quiet, "capture_output": False})
        yield f"postgresql+psycopg://anna@/postgres?host={home}"
        stop = [*as_user, control, "-D", home / "data", "-m", "immediate", "stop"]
        subprocess.run(stop, **quiet)
    finally:
        shutil.rmtree(home)


@pytest.mark.slow
def test_trials_on_a_postgresql_are_those_of_a_file(server, tmp_path):
    data = write_small(tmp_path / "data", cases=48).folder
    plan = plan_for(data)
    here = pretended(plan, tmp_path / "file")
    there = pretended(plan, tmp_path / "server", storage=server)
    assert not (there.path / "tuning.db").exists()
    trials = "tuning/00/trials.csv"
    assert (there.path / trials).read_text() == (here.path / trials).read_text()
    elsewhere = pretended(plan, tmp_path / "elsewhere", idle := Pretender(), storage=server)
    assert [task.run for task in idle.tasks] == [elsewhere.path] * 2, "only the winners are trained"
    assert elsewhere.winners == here.winners
