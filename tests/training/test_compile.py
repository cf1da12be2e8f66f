"""When the encoder is compiled, and that one compilation serves every fold."""

import copy
import shutil

import jaxtyping
import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tests.helpers.small import write_small
from tests.training.test_fold import make_trainer
from volbench.errors import UsageError
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders
from volbench.training import compile as compiling
from volbench.training.compile import choose_compile
from volbench.training.device_and_precision import choose_compute


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_nothing_is_compiled_unless_it_is_asked_for(device, monkeypatch):
    monkeypatch.setattr(compiling, "_missing", lambda kind: None)
    assert choose_compile("auto", device) is False


@pytest.mark.parametrize(("wanted", "expected"), [("on", True), ("off", False)])
def test_what_is_asked_for_is_done(wanted, expected):
    assert choose_compile(wanted, "cpu") is expected


def test_without_a_compiler_nothing_is_compiled_and_asking_is_refused(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r"--compile on: no C\+\+ compiler is found"):
        choose_compile("on", "cpu")
    monkeypatch.setattr(compiling, "_missing", lambda kind: "Triton is not installed")
    assert choose_compile("auto", "cuda") is False


@pytest.fixture(autouse=True)
def _for_the_compiler():
    """Forget what was compiled; it cannot look through the checks of shapes that tests run with."""
    torch._dynamo.reset()
    checked = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", checked)
    torch._dynamo.reset()


def batches(size=16):
    """Batches of different numbers of slices, padded and not."""
    generator = torch.Generator().manual_seed(0)
    for lengths in ((3, 5), (4, 4), (2, 6)):
        volume = torch.randn(2, 1, max(lengths), size, size, generator=generator)
        mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
        yield volume, None if bool(mask.all()) else mask


@pytest.mark.parametrize(
    ("name", "size", "graphs"),
    [
        ("rmc5(width=2)", 16, 1),
        pytest.param("r3d(width=2)", 64, 2, id="in 3D, one for volumes as they lie"),
        ("timm(name='resnet18')", 16, 1),
    ],
)
def test_a_compiled_encoder_gives_the_same_tokens_and_compiles_once(name, size, graphs):
    counter = CompileCounter()
    plain = encoders.build(name, Encoder, 1).eval()
    compiled = copy.deepcopy(plain)
    compiled.compile(backend=counter)
    for volume, mask in batches(size):
        torch.testing.assert_close(compiled(volume, mask), plain(volume, mask))
    assert counter.frame_count == graphs


def test_a_copy_of_a_compiled_encoder_has_weights_of_its_own():
    encoder = encoders.build("rmc5(width=2)", Encoder, 1).eval()
    encoder.compile(backend="eager")
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    volume, mask = next(batches())
    assert not twin(volume, mask).any()
    assert encoder(volume, mask).any()


def test_a_network_is_compiled_for_the_first_fold_only(tmp_path, monkeypatch):
    prepared = write_small(tmp_path / "cache", cases=24)
    counter = CompileCounter()  # compiles nothing, so that numbers stay the same to the last digit
    monkeypatch.setattr(compiling, "BACKEND", counter)
    monkeypatch.setattr(compiling, "_kept", {})
    after_each, networks = [], []
    for fold in (0, 1):
        expected = make_trainer(prepared, tmp_path / "plain", fold=fold).run()
        compute = choose_compute("cpu", "float32", jobs=1, compiled=True)
        trainer = make_trainer(prepared, tmp_path / "compiled", fold=fold, compute=compute)
        trained = trainer.run()
        np.testing.assert_array_equal(trained.scores.probabilities, expected.scores.probabilities)
        assert trained.history == expected.history
        after_each.append(counter.frame_count)
        networks.append(trainer.model)
    assert networks[0] is networks[1]
    # One graph for training and one for evaluation, of each up to two: oneDNN takes 15 slices or
    # fewer for another case.
    assert after_each[0] == after_each[1] <= 4


def test_what_the_compiler_refuses_trains_as_it_is_and_says_so(tmp_path, monkeypatch):
    def refuse(graph, inputs):
        raise NotImplementedError("no such operation\nand much more")

    prepared = write_small(tmp_path / "cache", cases=24)
    monkeypatch.setattr(compiling, "BACKEND", refuse)
    monkeypatch.setattr(compiling, "_kept", {})
    expected = make_trainer(prepared, tmp_path / "plain").run()
    compute = choose_compute("cpu", "float32", jobs=1, compiled=True)
    heard = []
    trainer = make_trainer(prepared, tmp_path / "compiled", compute=compute, on_epoch=heard.append)
    trained = trainer.run()
    np.testing.assert_array_equal(trained.scores.probabilities, expected.scores.probabilities)
    warning = heard[0].warning
    assert warning.startswith("not compiled: BackendCompilerFailed: ")
    assert "no such operation" in warning
    assert warning.endswith("; training without")
    assert "\n" not in warning
