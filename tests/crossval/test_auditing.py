"""The audit is made while a GPU trains the folds; with its numbers, wherever it is made."""

import dataclasses

import pytest

import volbench.audit
from tests.helpers.small import write_small
from volbench.audit import audit_cached
from volbench.crossval import make_plan
from volbench.crossval.callback import Callback
from volbench.crossval.open_run import open_here, share
from volbench.crossval.settings import RunSettings
from volbench.errors import StorageError


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "cache"))
    plan = make_plan(
        encoder="rmc5(width=2)",
        aggregator="max",
        loss="focal",
        data=str(write_small(tmp_path / "data", cases=12).folder),
        folds="2",
    )
    settings = RunSettings(jobs=2, device="cpu")
    sharing = share(plan, settings)
    return open_here(plan, tmp_path / "run", (0, 1), settings, sharing, Callback())


def on_gpu(opened, **changed):
    compute = dataclasses.replace(opened.compute, device="cuda")
    return dataclasses.replace(opened, compute=compute, **changed)


def audits(tmp_path):
    return sorted((tmp_path / "cache").glob("audits/*"))


def test_while_folds_are_trained_on_a_gpu(tmp_path, opened):
    with on_gpu(opened).auditing():
        pass
    (made,) = audits(tmp_path)
    before = made.read_bytes()
    made.unlink()
    audit_cached(opened.plan.prepared, opened.plan.split, cache=tmp_path / "cache")
    assert made.read_bytes() == before


@pytest.mark.parametrize("changed", [{"jobs": 1}, {"tasks": ()}, "one fold is left out", "cpu"])
def test_not_where_it_would_take_time_or_is_not_wanted_yet(tmp_path, opened, changed):
    if changed == "cpu":
        run = opened
    elif isinstance(changed, str):
        run = on_gpu(opened, tasks=opened.tasks[:1])
    else:
        run = on_gpu(opened, **changed)
    with run.auditing():
        pass
    assert audits(tmp_path) == []


def test_what_goes_wrong_is_told_at_the_end(opened, monkeypatch):
    def full(*_, **__):
        raise StorageError("the disk is full")

    monkeypatch.setattr(volbench.audit, "audit_cached", full)
    with on_gpu(opened).auditing():
        pass
    with pytest.raises(StorageError, match="the disk is full"):
        opened._audit(opened.folder)


def test_an_interruption_does_not_wait_for_it(opened, monkeypatch):
    import threading

    hangs = threading.Event()
    monkeypatch.setattr(volbench.audit, "audit_cached", lambda *_, **__: hangs.wait(60))
    with pytest.raises(KeyboardInterrupt), on_gpu(opened).auditing():
        raise KeyboardInterrupt
    hangs.set()
