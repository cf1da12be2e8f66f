import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from volbench.encoders.building import build_encoder
from volbench.encoders.lora import add_lora, merge_lora
from volbench.encoders.packed_slices import plan_packing
from volbench.encoders.pretrained_input import stack_neighbours
from volbench.errors import SpecError

VOLUME = torch.randn(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def _train(encoder: nn.Module, steps: int = 3) -> None:
    encoder.train()
    trained = [one for one in encoder.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        encoder(VOLUME).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", ["r3d(width=4", "timm(name='test_resnet'", "timm(name='test_vit'"])
def test_what_is_frozen_is_bitwise_unchanged_after_training(name: str) -> None:
    encoder = build_encoder(f"{name}, freeze='stem+2')", 1)
    frozen = {id(one) for group in encoder.layer_groups()[:3] for one in group}
    before = copy.deepcopy(encoder.state_dict())
    names = {name for name, one in encoder.named_parameters() if id(one) in frozen}
    _train(encoder)
    changed = {name for name, one in encoder.state_dict().items() if not one.equal(before[name])}
    assert names
    assert changed
    assert not names & changed
    assert {name for name, one in encoder.named_parameters() if id(one) not in frozen} & changed


@pytest.mark.parametrize("name", ["r2d(width=4", "timm(name='test_resnet'"])
def test_normalisation_of_a_frozen_encoder_stays_in_evaluation(name: str) -> None:
    encoder = build_encoder(f"{name}, freeze=true)", 1)
    before = copy.deepcopy(encoder.state_dict())
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    encoder(VOLUME)
    assert all(one.equal(before[name]) for name, one in encoder.state_dict().items())
    partly = build_encoder(f"{name}, freeze='stem')", 1).train()
    modes = [m.training for m in partly.modules() if isinstance(m, nn.BatchNorm2d)]
    assert modes[0] is False
    assert modes[-1] is True


def test_every_parameter_is_in_one_layer_group() -> None:
    for name in ("r2plus1d(width=4)", "timm(name='test_vit')", "timm(name='resnet18')"):
        encoder = build_encoder(name, 1)
        grouped = [id(one) for group in encoder.layer_groups() for one in group]
        assert sorted(grouped) == sorted(map(id, encoder.parameters()))
    assert len(encoder.layer_groups()) == 5


def test_lora_trains_as_many_parameters_as_its_formula_says() -> None:
    plain = build_encoder("timm(name='test_vit')", 1)
    linear = [m for m in plain.modules() if isinstance(m, nn.Linear)]
    adapted = build_encoder("timm(name='test_vit', adapt=lora(rank=4))", 1)
    trained = sum(one.numel() for one in adapted.parameters() if one.requires_grad)
    assert trained == sum(4 * (m.in_features + m.out_features) for m in linear) > 0


def test_lora_of_convolutions_trains_as_many_parameters_as_its_formula_says() -> None:
    plain = build_encoder("timm(name='test_resnet')", 1)
    layers = [m for m in plain.modules() if isinstance(m, nn.Conv2d)]
    adapted = build_encoder("timm(name='test_resnet', adapt=lora(rank=4))", 1)
    trained = sum(one.numel() for one in adapted.parameters() if one.requires_grad)
    pixels = [m.kernel_size[0] * m.kernel_size[1] for m in layers]
    expected = sum(
        4 * (m.in_channels * size + m.out_channels) for m, size in zip(layers, pixels, strict=True)
    )
    assert trained == expected > 0


def test_lora_leaves_depthwise_convolutions_as_they_are() -> None:
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1))
    assert add_lora(model, rank=2) == 2 * (8 + 16)
    assert {name for name, one in model.named_parameters() if one.requires_grad} == {
        "2.parametrizations.weight.0.down",
        "2.parametrizations.weight.0.up",
    }


def test_lora_adapts_convolutions_beside_linear_layers_only_when_asked_to() -> None:
    counts = []
    for conv in (None, False, True):
        model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5, 7))
        counts.append(add_lora(model, rank=1, conv=conv))
    assert counts == [5 + 7, 5 + 7, (5 + 7) + (27 + 5)]


def test_a_convolution_of_low_rank_is_one_after_another() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, padding=1, bias=False)
    plain = copy.deepcopy(layer)
    add_lora(layer, rank=2, alpha=3.0)
    adapter = layer.parametrizations.weight[0]
    nn.init.normal_(adapter.up)
    maps = torch.randn(2, 4, 5, 5)
    down = F.conv2d(maps, adapter.down.view(2, 4, 3, 3), padding=1)
    wanted = plain(maps) + 3.0 / 2 * F.conv2d(down, adapter.up.view(6, 2, 1, 1))
    torch.testing.assert_close(layer(maps), wanted, rtol=1e-5, atol=1e-5)


def test_lora_changes_nothing_at_first_and_only_its_own_parameters_later() -> None:
    torch.manual_seed(0)
    adapted = build_encoder("timm(name='test_vit', adapt=lora(rank=2))", 1)
    before = copy.deepcopy(adapted.state_dict())
    plain = copy.deepcopy(adapted)
    merge_lora(plain)
    assert torch.equal(plain(VOLUME), adapted(VOLUME))
    _train(adapted)
    changed = {name for name, one in adapted.state_dict().items() if not one.equal(before[name])}
    assert changed
    assert all(name.endswith((".up", ".down")) for name in changed)


@pytest.mark.parametrize(
    "name",
    [
        "timm(name='test_vit'",
        "timm(name='test_resnet'",
        "timm(name='test_efficientnet'",
        "r2plus1d(width=4",
    ],
)
def test_merged_lora_is_the_same_network_of_plain_layers(name: str) -> None:
    adapted = build_encoder(f"{name}, adapt=lora(rank=2, alpha=4))", 1)
    _train(adapted)
    wanted = adapted.eval()(VOLUME)
    merge_lora(adapted)
    torch.testing.assert_close(adapted(VOLUME), wanted, rtol=1e-5, atol=1e-5)
    plain = build_encoder(f"{name})", 1)
    assert list(adapted.state_dict()) == list(plain.state_dict())
    assert list(map(type, adapted.modules())) == list(map(type, plain.modules()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("adapt=lora(conv=false)", "needs linear layers, and the encoder has none; adapt its conv"),
        ("adapt=lora(conv=1)", "adapt=lora.rank=8, alpha=16, conv=false., but got"),
        ("freeze='stem+5'", "the encoder has a stem and 4 stages"),
        ("freeze='head'", "freeze must be True, False, 'stem' or 'stem\\+N'"),
        ("adapt=lora(rank=0)", "rank must be at least 1"),
        ("adapt=prompt(rank=1)", "adapt must be lora"),
        ("adapt=lora(rank=2), freeze='stem'", "leave freeze= out"),
        ("inflate=3", "give weights= too"),
        ("freeze=3", "freeze must be True or False or a quoted string, but got freeze=3"),
    ],
)
def test_what_cannot_be_is_refused(options: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_encoder(f"r2d(width=2, {options})", 1)


def test_neighbours_are_those_of_the_same_volume_and_the_ends_are_repeated() -> None:
    volume = torch.arange(1.0, 9.0).view(2, 1, 4, 1, 1)
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    packing = plan_packing(volume, mask)
    stacked = stack_neighbours(packing.pack(volume), packing, 2).flatten(1)
    assert stacked.tolist() == [
        [1, 1, 1, 2, 3], [1, 1, 2, 3, 3], [1, 2, 3, 3, 3],
        [5, 5, 5, 6, 7], [5, 5, 6, 7, 8], [5, 6, 7, 8, 8], [6, 7, 8, 8, 8],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tap", "features"), [("cls", 64), ("mean", 64), ("cls+mean", 128), ("last4", 256)]
)
def test_a_transformer_is_tapped_where_one_says(tap: str, features: int) -> None:
    encoder = build_encoder(f"timm(name='test_vit', tap={tap!r})", 1).eval()
    assert encoder(VOLUME).shape[2] == features == encoder.num_features
    slices = VOLUME[:, 0, :1]
    inside = encoder.backbone.forward_features(slices)
    token = encoder(VOLUME)[:, 0]
    expected = {
        "cls": inside[:, 0], "mean": inside[:, 1:].mean(1), "last4": inside[:, 0],
        "cls+mean": torch.cat([inside[:, 0], inside[:, 1:].mean(1)], 1),
    }[tap]  # fmt: skip
    torch.testing.assert_close(token[:, -expected.shape[1] :], expected)


def test_a_network_without_a_class_token_says_so() -> None:
    with pytest.raises(SpecError, match="the model has none; use tap='mean'"):
        build_encoder("timm(name='test_resnet', tap='cls')", 1)
