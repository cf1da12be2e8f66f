"""Memory of a GPU that a process no longer uses; a recorder stands in for CUDA."""

import gc
import weakref

import pytest
import torch

from tests.crossval.test_profile import plan_for
from tests.helpers.small import write_small
from volbench.crossval import fold_task, precision_check, run
from volbench.training.device_and_precision import Compute
from volbench.training.fold import FoldTrainer
from volbench.training.memory import give_back_to_gpu

GPU = torch.device("cuda")


@pytest.fixture
def calls(monkeypatch):
    """Names of what is called, in order; there is reserved memory."""
    found = []
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2**20)
    monkeypatch.setattr(gc, "collect", lambda: found.append("collect"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: found.append("empty_cache"))
    return found


def test_what_a_fold_used_is_freed_when_it_is_done(tmp_path, monkeypatch):
    plan = plan_for(write_small(tmp_path / "data", cases=24).folder)
    trainers, alive = [], []

    class Watched(FoldTrainer):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            trainers.append(weakref.ref(self))

    def give_back(device, *, cycles):
        gc.collect()
        alive.append([trainer() for trainer in trainers])

    monkeypatch.setattr(fold_task, "FoldTrainer", Watched)
    monkeypatch.setattr(fold_task, "give_back_to_gpu", give_back)
    run(plan, out=tmp_path / "runs", folds=[0, 1], jobs=1, device="cpu")
    assert alive == [[None], [None, None]]


def test_what_a_fold_that_fails_used_is_freed_as_well(tmp_path, monkeypatch):
    plan = plan_for(write_small(tmp_path / "data", cases=24).folder)
    trainers, alive = [], []

    class Failing(FoldTrainer):
        def run(self):
            trainers.append(weakref.ref(self))
            raise ZeroDivisionError("as it should")

    def give_back(device, *, cycles):
        gc.collect()
        alive.append([trainer() for trainer in trainers])

    monkeypatch.setattr(fold_task, "FoldTrainer", Failing)
    monkeypatch.setattr(fold_task, "give_back_to_gpu", give_back)
    done = run(plan, out=tmp_path / "runs", folds=[0], jobs=1, device="cpu")
    assert len(done.failed) == 1
    assert alive == [[None]]


def test_a_device_that_has_failed_hides_no_result(calls, monkeypatch):
    def fail():
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "empty_cache", fail)
    give_back_to_gpu(GPU, cycles=True)
    assert calls == ["collect"]


def test_memory_is_freed_when_what_refers_to_itself_has_gone(calls):
    give_back_to_gpu(GPU, cycles=True)
    assert calls == ["collect", "empty_cache"]


def test_a_process_that_has_used_nothing_looks_for_nothing(calls, monkeypatch):
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    give_back_to_gpu(GPU)
    give_back_to_gpu(torch.device("cpu"))
    assert calls == []


@pytest.mark.parametrize("error", [None, RuntimeError("CUDA error")])
def test_trying_bfloat16_leaves_no_memory_taken(tmp_path, calls, monkeypatch, error):
    plan = plan_for(write_small(tmp_path / "data", cases=12).folder)

    def fall_back(encoder, tried, compute):
        calls.append("tried")
        if error:
            raise error
        return compute, []

    monkeypatch.setattr(precision_check, "_layers", lambda *_: iter(()))
    monkeypatch.setattr(precision_check, "_fall_back", fall_back)
    compute = Compute("cuda", "bfloat16", 1)
    if error:
        with pytest.raises(RuntimeError):
            precision_check.check_bfloat16(plan.experiment, plan.prepared, compute)
    else:
        precision_check.check_bfloat16(plan.experiment, plan.prepared, compute)
    assert calls == ["tried", "empty_cache"]


@pytest.mark.gpu
def test_a_gpu_has_its_memory_back():
    before = torch.cuda.memory_reserved()
    kept = [torch.empty(2**26, device="cuda")]
    kept.append(kept)  # as a training and its recorded steps refer to each other
    del kept
    assert torch.cuda.memory_reserved() > before
    give_back_to_gpu(GPU, cycles=True)
    assert torch.cuda.memory_reserved() <= before
