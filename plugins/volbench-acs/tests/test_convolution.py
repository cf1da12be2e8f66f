import pytest
import torch
from three_d import conv_3d
from torch import nn
from torch.testing import assert_close
from volbench.encoders.packed_slices import plan_packing

from volbench_acs.convolution import ACSConvolution, thirds
from volbench_acs.neighbours import Neighbours

LENGTHS = (4, 1, 6)


def both(flat, plane=(9, 12)):
    """What it makes of a padded batch, real slice after real slice, and what Conv3d makes of each
    volume alone."""
    flat = flat.double()
    volume = torch.randn(3, flat.in_channels, max(LENGTHS), *plane, dtype=torch.float64)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    neighbours, packing = Neighbours(), plan_packing(volume, mask)
    convolution = ACSConvolution(flat, neighbours)
    with neighbours.of(packing):
        found = convolution(packing.pack(volume))
    deep = conv_3d(flat).double()
    alone = [deep(volume[[n], :, :length])[0] for n, length in enumerate(LENGTHS)]
    return found, torch.cat(alone, dim=1).transpose(0, 1)


@pytest.mark.parametrize("channels", [(3, 9), (2, 7), (4, 8), (1, 2), (2, 1)])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (7, 2), (5, 3)])
def test_it_is_the_3d_convolution_with_the_expanded_kernels(channels, size, stride):
    flat = nn.Conv2d(*channels, size, stride=stride, padding=size // 2, bias=False)
    assert_close(*both(flat))


@pytest.mark.parametrize("options", [{"dilation": 2, "padding": 2}, {"padding": "same"}])
def test_dilation_and_bias_are_taken_over(options):
    assert_close(*both(nn.Conv2d(3, 7, 3, **options)))


@pytest.mark.parametrize(("channels", "groups"), [((6, 6), 6), ((8, 12), 4), ((4, 6), 2)])
def test_whole_groups_are_split(channels, groups):
    assert_close(*both(nn.Conv2d(*channels, 3, padding=1, stride=2, groups=groups)))


def test_gradients_are_those_of_finite_differences():
    flat = nn.Conv2d(2, 5, 3, padding=1).double()
    neighbours = Neighbours()
    convolution = ACSConvolution(flat, neighbours)
    volume = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, True, True]])

    def convolved(volume, weight):
        packing = plan_packing(volume, mask)
        with neighbours.of(packing):
            return torch.func.functional_call(convolution, {"weight": weight}, packing.pack(volume))

    assert torch.autograd.gradcheck(convolved, (volume, flat.weight))


@pytest.mark.parametrize("count", range(1, 12))
def test_thirds_differ_by_one_at_most_and_the_first_are_the_larger(count):
    axial, coronal, sagittal = thirds(count)
    assert axial + coronal + sagittal == count
    assert axial >= coronal >= sagittal >= axial - 1


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        (nn.Conv2d(1, 3, 4, padding=2), "has a kernel of 4×4, which has no slice in its middle"),
        (nn.Conv2d(1, 3, (3, 5), padding=(1, 2)), "has a kernel of 3×5, which is not square"),
        (nn.Conv2d(1, 3, 3), r"pads by \(0, 0\), not by half a kernel \(1\)"),
        (
            nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect"),
            "pads with reflect, not with zeros",
        ),
        (
            nn.Conv2d(1, 3, 3, padding=(1, 2), dilation=(1, 2)),
            r"has dilation \(1, 2\), which differs between rows and columns",
        ),
    ],
)
def test_what_has_no_3d_counterpart_is_refused(flat, message):
    with pytest.raises(ValueError, match=message):
        ACSConvolution(flat, Neighbours())
