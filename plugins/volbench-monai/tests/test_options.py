"""Slices per token, and what is refused."""

import pytest
import torch
from batches import build, volumes
from torch import nn
from volbench.errors import SpecError

RESNET = "monai_resnet(layers=10, width=0.125, slice_stride={})"
DENSENET = "monai_densenet(growth_rate=2, init_features=4, slice_stride={})"


@pytest.mark.parametrize("spec", [RESNET, DENSENET])
@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16, 32])
def test_slices_per_token_are_what_one_asks_for(spec, stride):
    encoder = build(spec.format(stride)).eval()
    assert encoder.slice_stride == stride
    for slices in (1, 5, 33):
        assert encoder(volumes(slices)[0]).shape[1] == -(-slices // stride)


@pytest.mark.parametrize("spec", [RESNET, DENSENET])
def test_the_stride_changes_no_weight_and_none_is_the_largest(spec):
    whole, kept, largest = (build(spec.format(stride)) for stride in (None, 1, 32))
    assert whole.slice_stride == 32
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, kept.state_dict()[name])
    volume, _ = volumes(40)
    assert torch.equal(whole.eval()(volume), largest.eval()(volume))


@pytest.mark.parametrize("spec", [RESNET, DENSENET])
def test_the_plane_is_reduced_first(spec):
    encoder = build(spec.format(4))
    strides = [
        (stride, stride) if isinstance(stride, int) else (stride[0], stride[1])
        for module in encoder.modules()
        if isinstance(module, nn.Conv3d | nn.MaxPool3d | nn.AvgPool3d)
        for stride in [module.stride]
    ]
    along = [depth for depth, plane in strides if plane == 2]
    assert along == sorted(along)
    assert along[0] == 1
    assert along[-1] == 2
    assert all(depth == 1 for depth, plane in strides if plane == 1)


@pytest.mark.parametrize(
    ("spec", "stride", "features"),
    [
        ("monai_swin_unetr(feature_size=12)", 32, 192),
        ("monai_swin_unetr(feature_size=12, patch=(1, 2, 2))", 16, 192),
        ("monai_swin_unetr(feature_size=12, patch=(1, 4, 4), depths=(1,))", 2, 24),
    ],
)
def test_a_transformers_patch_and_stages_say_how_many_slices_are_a_token(spec, stride, features):
    encoder = build(spec).eval()
    assert (encoder.slice_stride, encoder.num_features) == (stride, features)
    for slices in (1, 5, 33):
        assert encoder(volumes(slices)[0]).shape[1] == -(-slices // stride)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("monai_resnet(layers=19)", "layers must be one of 10, 18, 34, 50, 101, 152, 200, but got"),
        ("monai_resnet(stem_kernel=(2, 7, 7))", "stem_kernel must be of odd numbers, but got"),
        ("monai_resnet(stem_kernel=7)", "stem_kernel must be (a whole number, a whole number"),
        ("monai_resnet(stem_stride=4)", "stem_stride must be 1 or 2, but got stem_stride=4"),
        ("monai_resnet(width=0)", "width must leave one filter of 64 or more, but got width=0"),
        ("monai_resnet(slice_stride=3)", "slice_stride must be one of 1, 2, 4, 8, 16, 32, but got"),
        ("monai_resnet(max_pool=False, slice_stride=32)", "must be one of 1, 2, 4, 8, 16, but"),
        ("monai_densenet(layers=122)", "layers must be one of (121, 169, 201, 264), but got"),
        ("monai_densenet(growth_rate=0)", "growth_rate must be at least 2, but got growth_rate=0"),
        ("monai_swin_unetr(feature_size=20)", "feature_size must be a multiple of 12, but got"),
        ("monai_swin_unetr(window=(0, 7, 7))", "window must hold numbers from 1, but got"),
        ("monai_swin_unetr(depths=())", "depths must hold numbers from 1, but got depths=()"),
        ("monai_swin_unetr(depths=(2, 2, 2, 2, 2))", "depths must name at most 4 stages, but got"),
    ],
)
def test_a_wrong_option_is_one_line(spec, message):
    with pytest.raises(SpecError) as error:
        build(spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
