"""Unequal lengths in one batch: each volume as if it were alone, statistics over all of them."""

import pytest
import torch
from batches import build, volumes
from torch import nn

from volbench_monai.layers import WRAPPERS, Averaged, Convolved, Normalised
from volbench_monai.real_slices import RealSlices

CONVOLUTIONAL = (
    "monai_resnet(layers=10, width=0.25)",
    "monai_resnet(layers=10, width=0.25, slice_stride=2)",
    "monai_densenet(growth_rate=4, init_features=8, slice_stride=4)",
    "monai_segresnet(blocks=(1, 1, 1), filters=4)",
)
APART = ("monai_swin_unetr(feature_size=12)", "nnunet_resenc(blocks=(1, 1), filters=(4, 8))")


@pytest.mark.parametrize("spec", [*CONVOLUTIONAL, *APART])
def test_whatever_padding_holds_nothing_comes_of_it(spec):
    encoder = build(spec).eval()
    expected = [encoder(volumes(9, 4, 1)[0][[n], :, :length]) for n, length in enumerate((9, 4, 1))]
    for junk in (0.0, -50.0, torch.inf, torch.nan):
        volume, mask = volumes(9, 4, 1, junk=junk)
        tokens = encoder(volume, mask)
        for case, alone in enumerate(expected):
            torch.testing.assert_close(
                tokens[[case], : alone.shape[1]], alone, rtol=1e-4, atol=1e-5
            )


def trained_on(spec, slices, junk):
    """Gradients and running statistics in double precision, of two volumes padded to ``slices``."""
    encoder = build(spec).double().train()
    volume, mask = volumes(2, 4)
    padding = slices - 4
    volume = nn.functional.pad(volume, (0, 0, 0, 0, 0, padding))
    mask = nn.functional.pad(mask, (0, padding))
    volume = volume.masked_fill(~mask[:, None, :, None, None], junk).double()
    tokens = encoder(volume, mask)
    short, long = (-(-length // encoder.slice_stride) for length in (2, 4))
    (tokens[0, :short].square().sum() + tokens[1, :long].square().sum()).backward()
    gradients = {name: parameter.grad for name, parameter in encoder.named_parameters()}
    return gradients | dict(encoder.named_buffers())


@pytest.mark.parametrize("spec", [*CONVOLUTIONAL, "monai_densenet(slice_stride=1)"])
def test_padding_changes_no_digit_of_training(spec):
    # In single precision, 121 layers deep, the order of a sum shows in the third digit.
    torch.testing.assert_close(
        trained_on(spec, 9, 1e3), trained_on(spec, 6, 0.0), rtol=1e-6, atol=1e-8
    )


def test_batchnorm_counts_every_real_voxel_of_the_batch_and_no_other():
    volume, mask = volumes(5, 2, 3, channels=4, junk=1e6)
    real, layer = RealSlices(), nn.BatchNorm3d(4)
    with real.of(mask, volume.device):
        normed = Normalised(layer, real)(volume)
    voxels = volume.double().movedim(1, -1)[mask].flatten(0, 2)
    expected = (voxels - voxels.mean(0)) / (voxels.var(0, unbiased=False) + layer.eps).sqrt()
    actual = normed.double().movedim(1, -1)[mask].flatten(0, 2)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.running_mean.double(), 0.1 * voxels.mean(0))
    assert (normed.movedim(1, -1)[~mask] == 0).all()


def test_one_value_per_channel_is_normalised_by_what_was_seen_before():
    layer = nn.BatchNorm3d(3)
    with torch.no_grad():
        layer.running_mean += 2
        layer.running_var *= 4
    normed = Normalised(layer, RealSlices())(torch.full((1, 3, 1, 1, 1), 6.0))
    torch.testing.assert_close(normed, torch.full_like(normed, 2.0))


def test_a_window_is_averaged_over_its_real_voxels():
    volume, mask = volumes(5, 3, size=(4, 5), junk=1e6)
    real = RealSlices()
    with real.of(mask, volume.device):
        averages = Averaged(nn.AvgPool3d(2, 2), real)(volume)
    assert averages.shape == (2, 1, 3, 2, 3)
    for case, length in ((0, 5), (1, 3)):
        for s in range(-(-length // 2)):
            for row in range(2):
                for column in range(3):
                    window = volume[
                        case, 0, 2 * s : min(2 * s + 2, length), 2 * row : 2 * row + 2,
                        2 * column : 2 * column + 2,
                    ]  # fmt: skip
                    torch.testing.assert_close(averages[case, 0, s, row, column], window.mean())


@pytest.mark.parametrize(
    ("size", "stride", "dtype", "tolerance"),
    [
        (7, 2, torch.float32, 1e-4),
        (3, 2, torch.float32, 1e-4),
        (3, 1, torch.float32, 1e-4),
        (3, 1, torch.bfloat16, 0.02),
    ],
)
def test_the_gradient_of_weights_is_right_for_few_slices(size, stride, dtype, tolerance):
    for slices in range(1, 10):
        torch.manual_seed(slices)
        layer = nn.Conv3d(16, 32, size, stride=stride, padding=size // 2, bias=False).to(dtype)
        exact = layer.weight.detach().double().requires_grad_()
        maps = torch.randn(2, 16, slices, 8, 8).to(dtype)
        convolved = nn.functional.conv3d(maps.double(), exact, stride=stride, padding=size // 2)
        wanted = torch.randn_like(convolved).to(dtype)
        convolved.backward(wanted.double())
        for _ in range(5):  # what is wrong is read from memory that happens to be there
            layer.zero_grad()
            Convolved(layer, RealSlices())(maps).backward(wanted)
            difference = (layer.weight.grad.double() - exact.grad).norm() / exact.grad.norm()
            assert difference < tolerance, slices


@pytest.mark.parametrize("spec", CONVOLUTIONAL)
def test_nothing_that_looks_beyond_a_slice_is_left_unwrapped(spec):
    encoder = build(spec)
    wrapped = {
        module.layer for module in encoder.modules() if isinstance(module, tuple(WRAPPERS.values()))
    }
    assert wrapped
    for module in encoder.modules():
        if module not in wrapped and not list(module.children()):
            assert isinstance(module, nn.ReLU | nn.Identity), module


def test_what_was_real_is_forgotten_after_a_pass():
    encoder = build(CONVOLUTIONAL[0])
    encoder(*volumes(4, 2))
    assert encoder.real.at(4) is None
    with pytest.raises(RuntimeError):
        encoder(volumes(4, 2, channels=3)[0], volumes(4, 2)[1])
    assert encoder.real.at(4) is None
