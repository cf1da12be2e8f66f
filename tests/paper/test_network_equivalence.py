"""The network, its logits and all its gradients against plain float64 NumPy."""

import numpy as np
import pytest
import scipy.signal
import torch
from released_formulas import FOCAL, sigmoid_focal
from released_network import ReleasedNetwork, channels_between, convolve, normalise
from torch import nn

from volbench.encoders.packed_slices import plan_packing
from volbench.encoders.resnet import Convolution, Factorised, ResNet
from volbench.interfaces import Loss, Problem
from volbench.plugins.registry import losses
from volbench.spec import parse
from volbench.training.classifier import SliceIndex, build_classifier

LENGTHS = (3, 2)
SIZE = 17  # leaves 2 x 2 pixels to average in the last stage
NAMES = ["r2d", "rmc5", "r3d", "r2plus1d"]
REAL = np.arange(3) < np.array(LENGTHS)[:, None]


def draw_volumes(channels=1, size=SIZE, seed=1):
    random = np.random.default_rng(seed)
    return [random.normal(size=(channels, length, size, size)) for length in LENGTHS]


def padded(volumes):
    """One tensor of all volumes, with junk where there is no slice, and the mask."""
    batch = np.full((len(volumes), volumes[0].shape[0], max(LENGTHS), *volumes[0].shape[2:]), 1e3)
    for place, volume in zip(batch, volumes, strict=True):
        place[:, : volume.shape[1]] = volume
    return torch.from_numpy(batch).requires_grad_(), torch.from_numpy(REAL)


def randomise(module):
    """Leave no BatchNorm at its start, where a wrong scale or a wrong average would not show."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.weight, part.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (part.bias, part.running_mean):
                nn.init.normal_(values, std=0.3)


def arrays(module):
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def build(name, *, training):
    torch.manual_seed(0)
    model = build_classifier(parse(name), None, in_channels=1, num_classes=2).double()
    randomise(model)
    nn.init.normal_(model.head.bias)
    return model.train(training)


def classify(model, volumes):
    """Every real slice of every volume, in order; the input comes along for its gradient."""
    batch, mask = padded(volumes)
    return batch, model(batch, mask, SliceIndex(*mask.nonzero().T))


def assert_close(ours, expected, what=""):
    __tracebackhide__ = True
    ours = ours.detach().numpy() if isinstance(ours, torch.Tensor) else ours
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-8 * scale, err_msg=what)


def assert_same_gradients(module, expected):
    named = dict(module.named_parameters())
    assert named.keys() == expected.keys()
    for name, parameter in named.items():
        assert expected[name].any(), f"{name}: a gradient of zero would show nothing"
        assert_close(parameter.grad, expected[name], name)


@pytest.mark.parametrize(
    ("name", "training"), [*((name, True) for name in NAMES), ("rmc5", False), ("r2plus1d", False)]
)
def test_tokens_logits_and_every_gradient_are_those_of_plain_numpy(name, training):
    model, volumes = build(name, training=training), draw_volumes()
    reference = ReleasedNetwork(name, arrays(model.encoder), training=training)
    random = np.random.default_rng(2)
    by_logit, by_token = random.normal(size=(5, 1)), random.normal(size=(5, 256))

    batch, output = classify(model, volumes)
    scalar = (output.logits * torch.from_numpy(by_logit)).sum()
    (scalar + (output.embedding * torch.from_numpy(by_token)).sum()).backward()

    tokens = np.concatenate(reference.forward(volumes))
    weight, bias = (p.detach().numpy() for p in (model.head.weight, model.head.bias))
    assert weight.shape == (1, 256)
    assert_close(output.embedding, tokens)
    assert_close(output.logits, tokens @ weight.T + bias)
    by_volume = reference.pull(np.split(by_logit @ weight + by_token, [LENGTHS[0]]))
    for case, (length, gradient) in enumerate(zip(LENGTHS, by_volume, strict=True)):
        assert_close(batch.grad[case, :, :length], gradient)
        assert not batch.grad[case, :, length:].any()
    assert_same_gradients(model.encoder, reference.gradients)
    assert_close(model.head.weight.grad, by_logit.T @ tokens)
    assert_close(model.head.bias.grad, by_logit.sum(axis=0))
    averages = {k: v for k, v in arrays(model.encoder).items() if "running" in k}
    for key, value in (reference.running if training else {}).items():
        assert_close(averages.pop(key), value, key)
    assert not (training and averages)


def test_one_step_of_table_2_is_that_of_plain_numpy():
    """A shared head on representative slices only, focal loss on its logit, summed."""
    model, volumes = build("rmc5", training=True), draw_volumes()
    nn.init.normal_(model.head.weight, std=0.1)  # logits that differ, as after some training
    focal = losses.build(FOCAL, Loss, Problem((1, 1), 256))
    volume, number = [0, 1, 1], [1, 0, 1]  # one slice of the first, two of the second
    labels = [1, 0, 0]
    batch, mask = padded(volumes)
    output = model(batch, mask, SliceIndex(torch.tensor(volume), torch.tensor(number)))
    value = focal(output, torch.tensor(labels))
    value.backward()

    reference = ReleasedNetwork("rmc5", arrays(model.encoder), training=True)
    tokens = reference.forward(volumes)
    weight, bias = (p.detach().numpy() for p in (model.head.weight, model.head.bias))
    chosen = np.stack([tokens[v][n] for v, n in zip(volume, number, strict=True)])
    expected, by_logit = sigmoid_focal(chosen @ weight[0] + bias, labels)
    by_tokens = [np.zeros_like(part) for part in tokens]
    for v, n, slope in zip(volume, number, by_logit, strict=True):
        by_tokens[v][n] += slope * weight[0]
    by_volume = reference.pull(by_tokens)
    assert expected > 0.1
    assert value.item() == pytest.approx(expected, abs=1e-9)
    assert_same_gradients(model.encoder, reference.gradients)
    assert_close(model.head.weight.grad[0], by_logit @ chosen)
    for case, (length, gradient) in enumerate(zip(LENGTHS, by_volume, strict=True)):
        assert_close(batch.grad[case, :, :length], gradient)


def stage_of(number, depths, *, factorised=False):
    torch.manual_seed(0)
    encoder = ResNet(1, depths=depths, factorised=factorised).double().train()
    randomise(encoder)
    return encoder, encoder.blocks[2 * number : 2 * number + 2]


@pytest.mark.parametrize(
    ("name", "depths"),
    [("r2d", (1, 1, 1, 1, 1)), ("r3d", (3, 3, 3, 3, 3)), ("r2plus1d", (3, 3, 3, 3, 3))],
)
@pytest.mark.parametrize("number", [0, 1], ids=["same width", "twice the width"])
def test_a_stage_is_two_basic_blocks_whose_shortcut_is_projected_where_the_shape_changes(
    name, depths, number
):
    encoder, blocks = stage_of(number, depths, factorised=name == "r2plus1d")
    volumes = draw_volumes(channels=32, size=6)
    batch, mask = padded(volumes)
    packing = plan_packing(batch, mask)
    maps = packing.pack(batch)
    for block in blocks:
        maps = block(maps, packing)
    upstream = np.random.default_rng(3).normal(size=maps.shape)
    (maps * torch.from_numpy(upstream)).sum().backward()

    reference = ReleasedNetwork(name, arrays(encoder), training=True)
    stride, after = ((1, 32), (2, 64))[number]
    first = f"blocks.{2 * number}", f"blocks.{2 * number + 1}"
    x, pull_first = reference.block(first[0], volumes, 32, after, stride, number)
    x, pull_second = reference.block(first[1], x, after, after, 1, number)
    assert_close(maps, np.concatenate(x, axis=1).swapaxes(0, 1))
    parts = np.split(upstream.swapaxes(0, 1), [LENGTHS[0]], axis=1)
    by_volume = pull_first(pull_second(parts))
    for case, (length, gradient) in enumerate(zip(LENGTHS, by_volume, strict=True)):
        assert_close(batch.grad[case, :, :length], gradient)
    trained = {k: p for k, p in encoder.named_parameters() if p.grad is not None}
    assert trained.keys() == reference.gradients.keys()
    assert any("projection." in key for key in trained) == (number == 1)
    for key, parameter in trained.items():
        assert_close(parameter.grad, reference.gradients[key], key)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (7, 2)])
def test_a_2_plus_1_d_convolution_has_its_own_number_of_channels_between(size, stride):
    torch.manual_seed(0)
    layer = Factorised(5, 7, size=size, stride=stride).double().train()
    randomise(layer)
    volumes = draw_volumes(channels=5, size=9)
    batch, mask = padded(volumes)
    packing = plan_packing(batch, mask)
    maps = layer(packing.pack(batch), packing)
    upstream = np.random.default_rng(3).normal(size=maps.shape)
    (maps * torch.from_numpy(upstream)).sum().backward()

    weights = arrays(layer)
    between = 27 * 5 * 7 // (9 * 5 + 3 * 7)
    assert between == channels_between(5, 7) == 14
    within = weights["within.weight"].reshape(between, 5, 1, size, size)
    x, pull_within = convolve(volumes, within, stride)
    x, pull_norm, _ = normalise(x, weights["norm.weight"], weights["norm.bias"])
    on = [part > 0 for part in x]
    across = weights["across.weight"].reshape(7, between, 3, 1, 1)
    x, pull_across = convolve([part * o for part, o in zip(x, on, strict=True)], across)
    assert_close(maps, np.concatenate(x, axis=1).swapaxes(0, 1))
    parts = np.split(upstream.swapaxes(0, 1), [LENGTHS[0]], axis=1)
    parts, by_across = pull_across(parts)
    parts, by_scale, by_shift = pull_norm([g * o for g, o in zip(parts, on, strict=True)])
    by_volume, by_within = pull_within(parts)
    assert_close(layer.across.weight.grad, by_across)
    assert_close(layer.norm.weight.grad, by_scale)
    assert_close(layer.norm.bias.grad, by_shift)
    assert_close(layer.within.weight.grad, by_within[:, :, 0])
    for case, (length, gradient) in enumerate(zip(LENGTHS, by_volume, strict=True)):
        assert_close(batch.grad[case, :, :length], gradient)


def test_the_channels_between_follow_from_each_convolution_and_not_from_the_block():
    encoder = build("r2plus1d", training=True).encoder
    found = [
        part.within.weight.shape[0] for part in encoder.modules() if isinstance(part, Factorised)
    ]
    # floor(27 i o / (9 i + 3 o)) for 1 to 32, 32 to 32, 32 to 64, 64 to 64 and so on, by hand.
    assert found == [8, *[72] * 4, 115, *[144] * 3, 230, *[288] * 3, 460, *[576] * 3]


def test_there_is_no_pooling_after_the_stem_and_no_stride_along_slices():
    model = build("r3d", training=True)
    strides = [part.stride for part in model.encoder.modules() if isinstance(part, Convolution)]
    assert strides.count(2) == 1 + 2 * 3  # the stem; a convolution and a shortcut in three stages
    volume = torch.zeros(1, 1, 3, 32, 64, dtype=torch.float64)
    assert model.encoder.feature_map(volume).shape == (3, 256, 32 // 16, 64 // 16)


def test_the_convolution_written_here_agrees_with_scipy():
    random = np.random.default_rng(0)
    volume, weight = random.normal(size=(2, 4, 9, 8)), random.normal(size=(3, 2, 3, 7, 7))
    for stride in (1, 2):
        (ours,), _ = convolve([volume], weight, stride)
        expected = [
            sum(
                scipy.signal.correlate(x, k, mode="same")
                for x, k in zip(volume, kernel, strict=True)
            )
            for kernel in weight
        ]
        np.testing.assert_allclose(ours, np.stack(expected)[:, :, ::stride, ::stride], atol=1e-10)


def test_the_gradients_written_here_agree_with_finite_differences():
    weights = arrays(build("rmc5", training=True).encoder)
    trained = [key for key in weights if key.endswith((".weight", ".bias"))]
    volumes = draw_volumes()
    random = np.random.default_rng(4)
    upstream = [random.normal(size=(length, 256)) for length in LENGTHS]
    # Small against the weights, so that hardly a ReLU turns within a step.
    towards = {k: 0.01 * random.normal(size=weights[k].shape) for k in trained}
    moved = [0.01 * random.normal(size=volume.shape) for volume in volumes]

    def scalar(step):
        there = weights | {key: weights[key] + step * towards[key] for key in trained}
        reference = ReleasedNetwork("rmc5", there, training=True)
        shifted = [v + step * m for v, m in zip(volumes, moved, strict=True)]
        tokens = reference.forward(shifted)
        return sum((t * u).sum() for t, u in zip(tokens, upstream, strict=True)), reference

    _, reference = scalar(0.0)
    by_volume = reference.pull(upstream)
    slope = sum((g * m).sum() for g, m in zip(by_volume, moved, strict=True))
    slope += sum((reference.gradients[key] * towards[key]).sum() for key in trained)
    step = 1e-6
    assert (scalar(step)[0] - scalar(-step)[0]) / (2 * step) == pytest.approx(slope, rel=1e-5)
