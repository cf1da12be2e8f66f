import pytest
from torch import nn

from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders
from volbench.profiling.conv_trace import convolutions_of
from volbench.profiling.roofline import Peak, least_seconds, measure_peak, training_flop
from volbench.training.device_and_precision import Compute

LAYERS = convolutions_of(nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 3)), (1, 1, 10, 10))
WORK = (2 * 800 * 1, 2 * 8 * 64 * 72)
NUMBERS = (100 + 8 + 800, 800 + 576 + 512)


def test_a_step_is_two_passes_of_the_first_convolution_and_three_of_the_others():
    assert training_flop(LAYERS) == 2 * WORK[0] + 3 * WORK[1]


def test_each_layer_takes_what_binds_it():
    # Two bytes a number: the first layer waits for memory, the second for arithmetic.
    peak = Peak(flop_per_s=1000, bytes_per_s=100, number_bytes=2)
    expected = 2 * max(WORK[0] / 1000, 2 * NUMBERS[0] / 100)
    expected += 3 * max(WORK[1] / 1000, 2 * NUMBERS[1] / 100)
    assert least_seconds(LAYERS, peak) == pytest.approx(expected)
    assert WORK[0] / 1000 < 2 * NUMBERS[0] / 100
    assert WORK[1] / 1000 > 2 * NUMBERS[1] / 100


@pytest.mark.parametrize(("name", "milliseconds"), [("r2d", 0.66), ("rmc5", 0.85), ("r3d", 1.29)])
def test_the_floor_on_an_h100_is_near_an_independent_estimate(name, milliseconds):
    peak = Peak(flop_per_s=790e12, bytes_per_s=3e12, number_bytes=2)
    layers = convolutions_of(encoders.build(name, Encoder, 1), (1, 1, 24, 256, 256))
    assert 1000 * least_seconds(layers, peak) == pytest.approx(milliseconds, rel=0.15)


@pytest.mark.parametrize(("precision", "number_bytes"), [("float32", 4), ("bfloat16", 2)])
def test_a_peak_is_measured_in_the_precision_of_the_fold(precision, number_bytes):
    peak = measure_peak(Compute("cpu", precision, 1))
    assert peak.number_bytes == number_bytes
    assert 1e8 < peak.flop_per_s < 1e14
    assert 1e7 < peak.bytes_per_s < 1e13
