"""Nothing in the training loop asks the device for a value, so that a GPU never runs dry."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.small import write_small
from tests.training.test_fold import make_experiment, make_trainer
from volbench.training.device_and_precision import choose_compute
from volbench.training.optimizer import set_learning_rate

CANDIDATES = {
    "the demo's": {
        "encoder": "rmc5(width=2)",
        "aggregator": "bilinear",
        "loss": "focal+triplet",
        "overrides": ("training.augmentation=rectal", "training.clip_norm=1"),
    },
    "another": {
        "encoder": "timm(name='resnet10t')",
        "aggregator": "attention",
        "loss": "cross_entropy+center",
        "overrides": ("training.augmentation=affine", "optimizer.name=sgd"),
    },
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small"), cases=24)


class Reads(TorchDispatchMode):
    """Collects the floating-point values that are read off a tensor."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        read = func is torch.ops.aten._local_scalar_dense.default
        if read and args[0].is_floating_point():
            self.seen.append(args[0])
        return func(*args, **(kwargs or {}))


def an_epoch(trainer):
    trainer.model.train()
    order = trainer.batches.draw(1)
    padded = 0
    for batch in trainer.batches.augmented(order, 1):
        padded += batch.mask is not None
        set_learning_rate(trainer.optimizer, 1e-3)
        trainer._step(batch)
    assert padded  # batches of unequal cases are what used to cost a wait


@pytest.mark.parametrize("candidate", CANDIDATES.values(), ids=CANDIDATES)
def test_no_value_is_read_in_an_epoch(prepared, tmp_path, candidate):
    trainer = make_trainer(prepared, tmp_path, make_experiment(prepared, **candidate))
    with Reads() as reads:
        an_epoch(trainer)
        assert not reads.seen
        float(torch.zeros(()))  # it would have been seen
    assert len(reads.seen) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("candidate", CANDIDATES.values(), ids=CANDIDATES)
def test_an_epoch_on_a_gpu_never_waits(
    prepared, tmp_path, candidate, resident, monkeypatch, no_waiting
):
    monkeypatch.setattr("volbench.data.loading.loader._kept", {})
    monkeypatch.setattr("volbench.data.loading.loader.RESIDENT_SHARE", 0.5 if resident else 0.0)
    experiment = make_experiment(prepared, **candidate)
    compute = choose_compute("cuda", "bfloat16", jobs=1)
    trainer = make_trainer(prepared, tmp_path, experiment, compute=compute)
    assert trainer.loader.resident is resident
    an_epoch(trainer)  # what is done once, such as choosing algorithms, may wait
    torch.cuda.synchronize()
    with no_waiting():
        an_epoch(trainer)
