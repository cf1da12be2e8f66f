"""The comparison of bfloat16 with float32, with faults planted as machines have them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from volbench.profiling.conv_trace import convolutions_of
from volbench.training import precision_selftest as selftest
from volbench.training.device_and_precision import Compute
from volbench.training.precision_selftest import (
    Fault,
    choose_way,
    find_fault,
    find_faults,
    tell_fault,
)

CPU = Compute("cpu", "bfloat16", 1)
LAYERS = convolutions_of(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1)), (6, 1, 8, 8))


def plant(monkeypatch, number, change):
    """Have one of the three results of every bfloat16 convolution changed."""
    right = selftest._results

    def wrong(layer, volume, weight, gradient):
        results = list(right(layer, volume, weight, gradient))
        if volume.dtype == torch.bfloat16:
            results[number] = change(results[number])
        return tuple(results)

    monkeypatch.setattr(selftest, "_results", wrong)


def test_convolutions_that_are_right_have_no_fault():
    assert find_fault(LAYERS, CPU) is None


@pytest.mark.parametrize(
    ("number", "part"),
    [(0, "result"), (1, "gradient of the input"), (2, "gradient of the weights")],
)
def test_a_wrong_result_or_gradient_is_found_and_named(monkeypatch, number, part):
    plant(monkeypatch, number, lambda values: values * 1.5)
    fault = find_fault(LAYERS, CPU)
    assert fault.part == part
    assert str(fault) == (
        f"the {part} of a 3x3 convolution with stride 1x1, 1 to 4 channels, on 8x8 is off by 50%"
    )


def test_a_value_that_is_not_finite_is_a_fault(monkeypatch):
    def spoil(values):
        values = values.clone()
        values.view(-1)[0] = float("nan")
        return values

    plant(monkeypatch, 2, spoil)
    assert str(find_fault(LAYERS, CPU)).endswith("on 8x8 is not finite")


def test_one_place_off_is_enough(monkeypatch):
    def shift(values):
        values = values.clone()
        values.view(-1)[-1] += 0.1 * values.abs().max()
        return values

    plant(monkeypatch, 0, shift)
    assert find_fault(LAYERS, CPU) is not None


def test_what_rounding_does_is_no_fault(monkeypatch):
    plant(monkeypatch, 0, lambda values: values * (1 + 2**-8))
    assert find_fault(LAYERS, CPU) is None


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3), nn.Conv3d(3, 2, 3, padding=1, dilation=2)],
)
def test_the_gradients_compared_are_those_of_autograd(layer):
    shape = (2, 3, *[7] * (layer.weight.ndim - 2))
    (convolution,) = convolutions_of(layer, shape)
    volume = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    layer.double().bias.data.zero_()
    expected = layer(volume)
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    found = selftest._results(convolution, volume.detach(), layer.weight.detach(), gradient)
    for value, right in zip(found, (expected, volume.grad, layer.weight.grad), strict=True):
        torch.testing.assert_close(value, right)


@pytest.mark.gpu
def test_a_gpu_computes_the_encoders_of_the_paper_as_it_should():
    from volbench.interfaces import Encoder
    from volbench.plugins.registry import encoders

    for name in ("rmc5", "r3d"):
        layers = convolutions_of(encoders.build(name, Encoder, 1), (8, 1, 24, 256, 256))
        assert find_fault(layers, Compute("cuda", "bfloat16", 1)) is None


def in_3d(*shape, kernel=3):
    return convolutions_of(nn.Conv3d(1, 2, kernel, padding=kernel // 2), shape)


def test_3d_convolutions_are_tried_in_another_process(monkeypatch):
    monkeypatch.setattr(selftest, "_results", lambda *arguments: pytest.fail("tried here"))
    assert tell_fault(in_3d(1, 1, 9, 8, 8), CPU) is None


def test_a_convolution_that_ends_its_process_is_a_fault(monkeypatch):
    died = iter([(0, {"fault": None}), (1, {"died": "ends the whole process (signal 11)"})])
    monkeypatch.setattr(selftest, "run_in_subprocess", lambda module, tasks, limit_s: died)
    layers = in_3d(1, 1, 9, 8, 8) + in_3d(1, 1, 5, 8, 8, kernel=7)
    assert tell_fault(layers, CPU) == (
        "a 7x7x7 convolution with stride 1x1x1, 1 to 2 channels, on 5x8x8 "
        "ends the whole process (signal 11)"
    )


def test_2d_convolutions_are_tried_here(monkeypatch):
    monkeypatch.setattr(selftest, "run_in_subprocess", lambda *_, **__: pytest.fail("asked"))
    plant(monkeypatch, 0, lambda values: values * 1.5)
    assert tell_fault(LAYERS, CPU) == str(find_fault(LAYERS, CPU))


def test_every_fault_is_found_and_a_layer_has_one(monkeypatch):
    plant(monkeypatch, 0, lambda values: values * 1.5)
    assert [fault.convolution for fault in find_faults(LAYERS, CPU)] == [
        replace(layer, input=(2, *layer.input[1:])) for layer in LAYERS
    ]


@pytest.mark.parametrize(("wrong_in_2d", "way"), [(False, "stacked"), (True, "float32")])
def test_a_3d_layer_is_stacked_where_that_goes_right(monkeypatch, wrong_in_2d, way):
    tried = []

    def find(layers, compute):
        tried.extend(layers)
        return Fault(layers[0], "result", 1.0) if wrong_in_2d else None

    monkeypatch.setattr(selftest, "find_fault", find)
    (layer,) = in_3d(2, 1, 9, 8, 8)
    assert choose_way(Fault(layer, "result", 1.0), CPU) == way
    (stacked,) = tried
    assert stacked.weight == (2, 3, 3, 3)
    assert stacked.input == (18, 3, 8, 8)
    assert stacked.output == (18, 2, 8, 8)


def test_a_2d_layer_goes_on_in_float32():
    assert choose_way(Fault(LAYERS[0], "result", 1.0), CPU) == "float32"


@pytest.mark.parametrize(("number", "found"), [(0, True), (1, False), (2, False)])
def test_of_a_frozen_encoder_only_results_are_tried(monkeypatch, number, found):
    frozen = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1)).requires_grad_(False)
    plant(monkeypatch, number, lambda values: values * 1.5)
    fault = find_fault(convolutions_of(frozen, (6, 1, 8, 8)), CPU)
    assert (fault is not None) == found
