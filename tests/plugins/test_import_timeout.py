"""An import that hangs: told after seconds, given up in the end, and nothing else is disturbed."""

import signal
import sys
import time
from importlib.metadata import EntryPoint

import pytest

from volbench._utils.subprocesses import run_in_subprocess
from volbench.errors import PluginError
from volbench.plugins import import_timeout as limits
from volbench.plugins.discovery import Origin
from volbench.plugins.import_timeout import ImportTimeoutError, import_limit
from volbench.plugins.registry import Registry

HANGS = """
import time
try:
    time.sleep(60)
except Exception:
    time.sleep(60)
Loss = print
"""

CHILD = """
import time
from volbench._utils.subprocesses import serve
def work(task):
    time.sleep(task["seconds"])
    return task
def main(pipe):
    serve(pipe, work)
"""


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(limits, "NOTICE_S", 0.2)
    monkeypatch.setattr(limits, "GIVE_UP_S", 0.6)


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "hangs_on_import.py").write_text(HANGS)
    (tmp_path / "a_child.py").write_text(CHILD)
    monkeypatch.syspath_prepend(tmp_path)


def test_an_import_that_hangs_is_told_and_given_up_in_one_line(short, module, capfd):
    before = signal.getsignal(signal.SIGALRM)
    entry = EntryPoint("stuck", "hangs_on_import:Loss", "volbench.losses")
    registry = Registry("loss", "volbench.losses")
    began = time.monotonic()
    with pytest.raises(
        PluginError,
        match=r"^the loss 'stuck' of volbench-lab 2\.1 cannot be imported \(ImportTimeoutError: it "
        r"did not come to an end within 0\.6 s\); update or uninstall it$",
    ):
        registry.load(Origin("volbench-lab", "2.1", entry))
    assert time.monotonic() - began < 20
    assert capfd.readouterr().err == (
        "volbench: still importing the loss 'stuck' of volbench-lab 2.1 after 0.2 s; it is given "
        "up after 0.6 s\n"
    )
    assert signal.getsignal(signal.SIGALRM) is before
    assert not registry.offences["stuck"]


def test_an_import_that_ends_in_time_is_not_spoken_of(short, capfd):
    with import_limit("a plugin"):
        pass
    time.sleep(0.8)
    assert capfd.readouterr().err == ""


def test_another_error_stays_what_it_is(short):
    with pytest.raises(KeyError), import_limit("a plugin"):
        raise KeyError("x")
    assert issubclass(ImportTimeoutError, BaseException)
    assert not issubclass(ImportTimeoutError, Exception)


def test_a_task_that_hangs_is_told_by_its_number_and_the_next_is_done(module):
    told = []
    tasks = [{"seconds": 0}, {"seconds": 60}, {"seconds": 0}]
    answers = dict(
        run_in_subprocess("a_child", tasks, limit_s=1.5, notice_s=0.5, on_slow=told.append)
    )
    assert told == [1]
    assert answers == {
        0: tasks[0],
        1: {"died": "does not come to an end within 1.5 s"},
        2: tasks[2],
    }
    assert "a_child" not in sys.modules
