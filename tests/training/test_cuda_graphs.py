"""Recorded training steps: their numbers are those of steps that run, on a CPU by a stand-in."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.helpers.small import write_small
from tests.training.test_fold import make_experiment, make_trainer
from volbench.encoders.packed_slices import plan_rows
from volbench.encoders.resnet import ResNet
from volbench.errors import UsageError
from volbench.training import cuda_graphs
from volbench.training.cuda_graphs import HostReads, RecordedSteps, choose_graphs, copied, key_of
from volbench.training.device_and_precision import choose_compute
from volbench.training.optimizer import set_learning_rate
from volbench.training.step import TrainingStep

CPU = torch.device("cpu")
NETWORKS = {
    "rmc5": {"encoder": "rmc5(width=4)", "aggregator": "bilinear", "loss": "focal+triplet"},
    "r3d": {"encoder": "r3d(width=4)", "aggregator": "attention", "loss": "focal+center"},
    "slice level": {"encoder": "r2d(width=4)", "aggregator": None, "loss": "cross_entropy"},
    "timm": {"encoder": "timm(name='resnet10t')", "aggregator": "max", "loss": "focal"},
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small"), cases=24)


class Repeated:
    """Stands for a CUDA graph: does the step again on the tensors that it was recorded with."""

    def __init__(self, run):
        self.run = run
        self.loss = torch.zeros(())
        self.replays = 0

    def replay(self):
        self.replays += 1
        self.loss.copy_(self.run())


def record_repeated(run):
    repeated = Repeated(run)
    return repeated, repeated.loss


def trained(prepared, folder, *, record, device="cpu", epochs=3, **network):
    """Losses and weights after a few epochs, and the steps that were recorded."""
    experiment = make_experiment(prepared, overrides=("training.clip_norm=1",), **network)
    on_gpu = device != "cpu"
    compute = choose_compute(device, "bfloat16" if on_gpu else "float32", jobs=1)
    compute = replace(compute, graphs=on_gpu and record is not None)
    trainer = make_trainer(prepared, folder, experiment, compute=compute)
    if record is not None and not on_gpu:
        trainer.step = TrainingStep(
            trainer.model,
            trainer.criterion,
            trainer.optimizer,
            compute,
            clip_norm=1,
            clock=trainer.clock,
            record=record,
        )
    losses = []
    for epoch in range(1, epochs + 1):
        trainer.model.train()
        for batch in trainer.batches.augmented(trainer.batches.draw(epoch), epoch):
            set_learning_rate(trainer.optimizer, 1e-3 / epoch)
            losses.append(float(trainer._step(batch)))
    weights = copy.deepcopy(trainer.model.state_dict())
    return losses, weights, trainer.step.recorded


def assert_same(found, wanted):
    assert found[0] == wanted[0]
    assert found[1].keys() == wanted[1].keys()
    for name, value in found[1].items():
        assert torch.equal(value, wanted[1][name]), name


@pytest.fixture
def in_few_sizes(monkeypatch):
    """Pack as on a GPU, so that most batches have a size that came before."""
    monkeypatch.setattr(
        ResNet, "_plan", lambda self, volume, mask: plan_rows(volume, mask, spaced=self._has_3d)
    )


@pytest.mark.usefixtures("in_few_sizes")
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_recorded_steps_train_to_the_same_bits(prepared, tmp_path, network):
    wanted = trained(prepared, tmp_path / "plain", record=None, **network)
    found = trained(prepared, tmp_path / "recorded", record=record_repeated, **network)
    assert found[2].refusal is None
    assert len(found[2]) >= (1 if "width" in network["encoder"] else 0)
    assert_same(found, wanted)


@pytest.mark.gpu
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_cuda_graphs_train_to_the_same_bits(prepared, tmp_path, network, monkeypatch):
    monkeypatch.setattr("volbench.data.loading.loader._kept", {})
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    options = {"device": "cuda", "epochs": 6, **network}
    wanted = trained(prepared, tmp_path / "plain", record=None, **options)
    found = trained(prepared, tmp_path / "recorded", record=True, **options)
    assert found[2].refusal is None
    assert len(found[2]) >= (1 if "width" in network["encoder"] else 0)
    assert_same(found, wanted)


@pytest.mark.parametrize(
    ("device", "wanted", "compiled", "expected"),
    [
        ("cuda", "auto", False, True),
        ("cuda", "auto", True, False),
        ("cuda", "on", True, True),
        ("cuda:1", "off", False, False),
        ("cpu", "auto", False, False),
    ],
)
def test_steps_are_recorded_on_a_gpu(device, wanted, compiled, expected):
    assert choose_graphs(wanted, device, compiled=compiled) is expected


def test_graphs_on_a_cpu_are_refused():
    with pytest.raises(UsageError, match="--graphs on: cpu has no CUDA graphs"):
        choose_graphs("on", "cpu", compiled=False)


class Reading(nn.Module):
    def __init__(self, read):
        super().__init__()
        self.read = read

    def forward(self, x):
        return self.read(x)


@pytest.mark.parametrize(
    ("read", "operation"),
    [
        (lambda x: x * float(x.sum()), "local_scalar_dense"),
        (lambda x: x[x > 0], "index"),
        (lambda x: (x > 0).nonzero(), "nonzero"),
        (lambda x: x.to("meta"), "to_copy"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
    ],
)
def test_a_part_that_waits_for_the_device_is_named(read, operation):
    part = Reading(read)
    with HostReads({"loss 2:": part}, CPU) as reads:
        part(torch.randn(3))
    assert reads.found == ("loss 2: Reading", operation)
    assert not part._forward_hooks
    assert not part._forward_pre_hooks


@pytest.mark.parametrize(
    "harmless",
    [lambda x: x.where(x > 0, 0), lambda x: x.masked_fill(x > 0, 1), lambda x: x.double()],
)
def test_what_stays_on_the_device_is_no_reading(harmless):
    part = Reading(harmless)
    with HostReads({"loss": part}, CPU) as reads:
        part(torch.randn(3))
    assert reads.found is None


def steps_of(run, record=record_repeated):
    part = Reading(run)
    return RecordedSteps(part, record, {"loss": part}, CPU)


def test_steps_that_wait_run_as_they_are_and_say_why():
    steps = steps_of(lambda x: x * float(x.sum()))
    for _ in range(4):
        assert torch.equal(steps(torch.ones(2)), torch.full((2,), 2.0))
    assert len(steps) == 0
    assert steps.refusal == (
        "no CUDA graphs: loss Reading waits for values of the device (local_scalar_dense); "
        "training goes on without"
    )


def test_a_step_that_cannot_be_recorded_runs_as_it_is():
    def record(run):
        raise RuntimeError("operation not permitted when stream is capturing.\nmore")

    steps = steps_of(lambda x: x.sum(), record)
    assert [float(steps(torch.full((2,), float(n)))) for n in range(4)] == [0, 2, 4, 6]
    assert steps.refusal == (
        "no CUDA graphs: a step cannot be recorded "
        "(operation not permitted when stream is capturing)"
    )


def test_each_size_is_recorded_once_and_only_so_many(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "MOST_GRAPHS", 2)
    steps = steps_of(lambda x: x.sum())
    for _ in range(4):
        for size in (2, 3, 4):
            assert float(steps(torch.ones(size))) == size
    assert len(steps) == 2


def test_a_tensor_that_is_elsewhere_belongs_to_the_recording():
    gpu = torch.device("cuda")
    assert key_of(torch.tensor([True]), gpu) != key_of(torch.tensor([False]), gpu)
    assert key_of(torch.tensor([True]), CPU) == key_of(torch.tensor([False]), CPU)
    maps = torch.randn(2, 3, 4, 5)
    last = maps.contiguous(memory_format=torch.channels_last)
    assert key_of(maps, CPU) != key_of(last, CPU)
    assert copied(last).stride() == last.stride()


@pytest.mark.gpu
def test_a_loss_that_waits_trains_without_graphs_on_a_gpu(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("volbench.data.loading.loader._kept", {})
    experiment = make_experiment(prepared)
    compute = replace(choose_compute("cuda", "bfloat16", jobs=1), graphs=True)
    reports = []
    trainer = make_trainer(prepared, tmp_path, experiment, compute=compute, on_epoch=reports.append)
    loss = trainer.criterion.losses[0]
    forward = loss.forward
    loss.forward = lambda output, labels: forward(output, labels) * float(labels.sum() >= 0)
    trainer.run()
    assert "no CUDA graphs: loss 1: Focal waits" in reports[-1].warning
