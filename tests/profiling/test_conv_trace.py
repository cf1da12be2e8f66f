"""Convolutions as a network calls them; work and sizes worked out by hand."""

import pytest
import torch
from torch import nn

from volbench.encoders.building import build_encoder
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders
from volbench.profiling.conv_trace import convolutions_of


def test_shapes_work_and_numbers_are_those_worked_out_by_hand():
    network = nn.Sequential(nn.Conv3d(2, 4, 3, stride=(1, 2, 2), padding=1), nn.Conv3d(4, 6, 1))
    first, second = convolutions_of(network, (1, 2, 5, 8, 8))
    assert first.output == (1, 4, 5, 4, 4)
    assert first.flop == 2 * (4 * 5 * 4 * 4) * (2 * 27)
    assert first.numbers == 2 * 5 * 8 * 8 + 4 * 2 * 27 + 4 * 5 * 4 * 4
    assert second.input == first.output
    assert second.flop == 2 * (6 * 5 * 4 * 4) * 4
    assert (first.passes, second.passes) == (2, 3)
    assert str(first) == "3x3x3 convolution with stride 1x2x2, 2 to 4 channels, on 5x8x8"


def test_groups_and_dilation_count():
    (layer,) = convolutions_of(nn.Conv2d(8, 8, 3, groups=8, dilation=2), (1, 8, 9, 9))
    assert layer.output == (1, 8, 5, 5)
    assert layer.flop == 2 * (8 * 5 * 5) * 9
    assert "8 to 8 channels" in str(layer)


@pytest.mark.parametrize(("name", "gflop"), [("r2d", 321), ("rmc5", 474), ("r3d", 957)])
def test_training_on_a_volume_of_the_paper_takes_the_work_known_for_it(name, gflop):
    layers = convolutions_of(encoders.build(name, Encoder, 1), (1, 1, 24, 256, 256))
    assert sum(layer.passes * layer.flop for layer in layers) / 1e9 == pytest.approx(gflop, abs=0.6)


def test_a_network_that_refuses_the_meta_device_runs_on_the_cpu_and_stays_as_it_was():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 3)

        def forward(self, volume):
            if volume.sum().item() == 0:  # the meta device has no values
                return self.layer(volume)
            raise AssertionError

    network = Picky().train()
    before = network.layer.weight.clone()
    assert len(convolutions_of(network, (1, 1, 4, 4))) == 1
    assert network.training
    assert torch.equal(network.layer.weight, before)


def test_shapes_alone_tell_what_a_cpu_calls():
    encoder = encoders.build("rmc5(width=2)", Encoder, 1)
    for size in (16, 64):
        shape = (2, 1, 3, size, size)
        assert convolutions_of(encoder, shape) == convolutions_of(encoder, shape, device="cpu")


def test_layers_that_are_frozen_have_no_gradients_to_compute():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1))
    network[0].requires_grad_(False)
    network[3].requires_grad_(False)
    frozen, trained, after = convolutions_of(network, (1, 1, 8, 8))
    assert (frozen.first, frozen.trained, frozen.passes) == (True, False, 1)
    assert (trained.first, trained.trained, trained.passes) == (True, True, 2)
    assert (after.first, after.trained, after.passes) == (False, False, 2)


def test_an_adapted_layer_is_trained_though_its_own_weight_is_frozen():
    spec = "timm(name='test_resnet', adapt=lora(rank=2, conv=true))"
    layers = convolutions_of(build_encoder(spec, 1), (1, 1, 2, 32, 32))
    assert any(layer.trained for layer in layers)
