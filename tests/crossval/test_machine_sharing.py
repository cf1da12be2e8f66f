"""How folds share a machine, decided from shapes: no GPU is needed to ask."""

import pytest
import torch

from tests.crossval.test_profile import plan_for
from tests.helpers.small import write_small
from volbench.crossval import machine_sharing
from volbench.crossval.machine_sharing import (
    FoldLoad,
    Sharing,
    estimate_load,
    fold_mb,
    folds_per_gpu,
    share_machine,
)
from volbench.errors import UsageError
from volbench.training import device_and_precision
from volbench.training.device_and_precision import Compute, choose_compute, name_gpus

GPU = Compute("cuda", "bfloat16", 4)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return plan_for(write_small(tmp_path_factory.mktemp("small") / "data", cases=24).folder)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * 2**30, 80 * 2**30))
    monkeypatch.setattr(machine_sharing, "available_cores", lambda: 16)


def test_small_batches_share_a_gpu_until_cores_run_out(plan, monkeypatch):
    monkeypatch.setattr(machine_sharing, "available_cores", lambda: 24)
    load = estimate_load(plan, GPU)
    assert folds_per_gpu(load, free_mb=80_000, gpus=1) == 8
    assert folds_per_gpu(load, free_mb=80_000, gpus=2) == 4
    assert folds_per_gpu(load, free_mb=2_000, gpus=1) == 2
    assert folds_per_gpu(load, free_mb=100, gpus=1) == 1


def test_large_batches_keep_a_gpu_busy_alone(plan, monkeypatch):
    monkeypatch.setattr(machine_sharing, "available_cores", lambda: 64)
    monkeypatch.setattr(machine_sharing, "_batch_pixels", lambda plan: 8 * 24 * 256 * 256)
    load = estimate_load(plan, GPU)
    assert load.busy == pytest.approx(0.68, abs=0.01)
    assert folds_per_gpu(load, free_mb=140_000, gpus=1) == 1
    # What is measured counts as what was estimated.
    assert folds_per_gpu(FoldLoad(load.memory_mb, busy=0.3), free_mb=140_000, gpus=1) == 3


def test_memory_is_that_of_the_maps_kept_for_backward(plan):
    # 16 channels at most on 12 x 12: little beside what a process takes.
    assert machine_sharing.CONTEXT_MB < fold_mb(plan, GPU) < machine_sharing.CONTEXT_MB + 5


@pytest.mark.usefixtures("two_gpus")
def test_cuda_is_every_gpu_and_folds_are_dealt_out(plan):
    chosen = share_machine(plan, device="cuda")
    assert chosen.gpus == (0, 1)
    assert chosen.jobs == 3  # folds
    assert [chosen.device(number) for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert chosen.compute.graphs
    assert share_machine(plan, device="cuda:1").gpus == (1,)
    assert share_machine(plan, device="cuda:1,0").device(0) == "cuda:1"
    assert share_machine(plan, device="cuda", jobs=1).jobs == 1


@pytest.mark.usefixtures("two_gpus")
def test_what_others_use_of_a_gpu_changes_folds_at_a_time_but_no_threads(plan, monkeypatch):
    monkeypatch.setattr(device_and_precision, "available_cores", lambda: 16)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    alone = share_machine(plan, device="cuda:0")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 80 * 2**30))
    beside = share_machine(plan, device="cuda:0")
    assert (alone.jobs, beside.jobs) == (3, 1)
    assert alone.compute.threads == 5
    assert beside.compute == alone.compute  # which a checkpoint must fit


@pytest.mark.usefixtures("two_gpus")
def test_folds_at_a_time_may_grow_where_cores_allow_and_nobody_said_how_many(plan, monkeypatch):
    monkeypatch.setattr(machine_sharing, "_batch_pixels", lambda plan: 8 * 24 * 256 * 256)
    chosen = share_machine(plan, device="cuda:0")
    assert (chosen.jobs, chosen.most, chosen.may_grow) == (1, 3, True)
    assert not share_machine(plan, device="cuda:0", jobs=1).may_grow
    assert not share_machine(plan, device="cpu").may_grow
    monkeypatch.setattr(machine_sharing, "_transforms_on_cores", lambda plan: True)
    assert not share_machine(plan, device="cuda:0").may_grow


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:0,0", "names a GPU twice; name each once"),
        ("cuda:0,2", "this machine has no GPU 2; it has 2"),
        ("cuda:0,x", "is not a device; try cpu, cuda, cuda:1 or cuda:0,2"),
    ],
)
def test_a_gpu_that_is_not_there_is_named(device, message):
    with pytest.raises(UsageError, match=message):
        name_gpus(device)
    with pytest.raises(UsageError):
        choose_compute(device, "auto", jobs=1)


def test_a_cpu_has_a_fold_per_core_and_no_graphs(plan, monkeypatch):
    monkeypatch.setattr(machine_sharing, "available_cores", lambda: 2)
    chosen = share_machine(plan, device="cpu")
    assert (chosen.jobs, chosen.gpus, chosen.compute.graphs) == (2, (), False)
    assert chosen.device(5) == "cpu"


def test_a_single_gpu_keeps_its_name():
    assert Sharing(GPU, 4, (0,)).device(3) == "cuda"


def test_settings_survive_json():
    assert Compute("cuda", "bfloat16", 1, fallbacks=[[[4, 2], "stacked"]]).fallbacks == (
        ((4, 2), "stacked"),
    )
