"""The network against one written with nn.Conv3d, run one volume at a time."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from volbench.encoders import packed_slices
from volbench.encoders.resnet import BasicBlock, Convolution, ResNet, split_kernel, split_pixels
from volbench.errors import SpecError
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders
from volbench.profiling.conv_trace import convolutions_of

# Table 2 of Lee et al., 2022: a linear head of one logit included.
TABLE_2 = {
    "r2d": 2796001,
    "r3d": 8291873,
    "r2plus1d": 8294563,
    "mc2": 2799137,
    "mc3": 2872865,
    "mc4": 3130913,
    "mc5": 4163105,
    "rmc2": 8288737,
    "rmc3": 8215009,
    "rmc4": 7956961,
    "rmc5": 6924769,
}
# Which layers are 3D, as the paper words it: MCx has 3D layers 1 to x-1, rMCx 2D layers 1 to x-1.
IS_3D = {
    "r2d": [False] * 5,
    "r3d": [True] * 5,
    "r2plus1d": [True] * 5,
    **{f"mc{x}": [layer < x for layer in range(1, 6)] for x in (2, 3, 4, 5)},
    **{f"rmc{x}": [layer >= x for layer in range(1, 6)] for x in (2, 3, 4, 5)},
}
WIDTH = 8
LENGTHS = (2, 4, 1)
SMALL, LARGE = (23, 34), (64, 65)
"""Slices that are stacked with their neighbours for a 3D layer, and such that are not."""


class Plain(nn.Module):
    """The same network in nn.Conv3d only; every layer takes and returns a list of volumes."""

    def __init__(self, channels: int, is_3d: list[bool], *, factorised: bool) -> None:
        super().__init__()
        self.factorised = factorised
        self.order: list[nn.Module] = []  # convolutions and norms in the order they are applied
        self.stem = self.conv(channels, WIDTH, 7, 2, is_3d[0])
        self.stages = []
        before = WIDTH
        for stage in range(4):
            after = WIDTH * 2**stage
            for block in range(2):
                stride = 2 if stage > 0 and block == 0 else 1
                first = self.conv(before, after, 3, stride, is_3d[stage + 1])
                second = self.conv(after, after, 3, 1, is_3d[stage + 1])
                shortcut = []
                if stride == 2:
                    shortcut = [nn.Conv3d(before, after, 1, (1, 2, 2), bias=False)]
                    shortcut.append(nn.BatchNorm3d(after))
                self.stages.append((first, second, shortcut))
                before = after

    def conv(self, i: int, o: int, k: int, stride: int, is_3d: bool) -> list[nn.Module]:
        pad, plane, depth = k // 2, (1, stride, stride), 3 if is_3d else 1
        if not self.factorised:
            padding = (depth // 2, pad, pad)
            return [
                nn.Conv3d(i, o, (depth, k, k), plane, padding, bias=False),
                nn.BatchNorm3d(o),
            ]
        m = math.floor(27 * i * o / (9 * i + 3 * o))
        return [
            nn.Conv3d(i, m, (1, k, k), plane, (0, pad, pad), bias=False),
            nn.BatchNorm3d(m),
            nn.ReLU(),
            nn.Conv3d(m, o, (3, 1, 1), 1, (1, 0, 0), bias=False),
            nn.BatchNorm3d(o),
        ]

    def run(self, layers: list[nn.Module], volumes: list[Tensor]) -> list[Tensor]:
        for layer in layers:
            if isinstance(layer, nn.BatchNorm3d):  # the real slices of all volumes are one sample
                joined = layer(torch.cat(volumes, dim=2))
                volumes = list(joined.split([v.shape[2] for v in volumes], dim=2))
            else:
                volumes = [layer(volume) for volume in volumes]
        return volumes

    def forward(self, volumes: list[Tensor]) -> list[Tensor]:
        volumes = [v.relu() for v in self.run(self.stem, volumes)]
        for first, second, shortcut in self.stages:
            inner = self.run(second, [v.relu() for v in self.run(first, volumes)])
            outer = self.run(shortcut, volumes)
            volumes = [(a + b).relu() for a, b in zip(inner, outer, strict=True)]
        return [v.mean(dim=(3, 4))[0].T for v in volumes]

    def layers(self) -> list[nn.Module]:
        flat = list(self.stem)
        for first, second, shortcut in self.stages:
            flat += [*first, *second, *shortcut]
        return flat


def both(name: str, channels: int) -> tuple[Encoder, Plain, list[tuple[Tensor, Tensor]]]:
    """Build the encoder and its plain twin with the same random weights, in double precision."""
    torch.manual_seed(0)
    encoder = encoders.build(f"{name}(width={WIDTH})", Encoder, channels).double()
    plain = Plain(channels, IS_3D[name], factorised=name == "r2plus1d")
    pairs: list[tuple[Tensor, Tensor]] = []
    ours = [m for m in encoder.modules() if next(m.parameters(recurse=False), None) is not None]
    theirs = [m.double() for m in plain.layers() if not isinstance(m, nn.ReLU)]
    assert len(ours) == len(theirs)
    # A norm has a bias, a convolution has not; within each kind the order is that of use.
    for is_norm in (True, False):
        mine = [m for m in ours if isinstance(m, nn.BatchNorm2d) == is_norm]
        other = [m for m in theirs if isinstance(m, nn.BatchNorm3d) == is_norm]
        for a, b in zip(mine, other, strict=True):
            for (_, p), (_, q) in zip(a.named_parameters(), b.named_parameters(), strict=True):
                with torch.no_grad():
                    if is_norm:
                        p.uniform_(0.5, 1.5)
                    q.copy_(p.view_as(q))
                pairs.append((p, q))
            if is_norm:
                for (key, p), (_, q) in zip(a.named_buffers(), b.named_buffers(), strict=True):
                    if key != "num_batches_tracked":
                        q.copy_(p.uniform_(0.5, 1.5))
                        pairs.append((p, q))
    return encoder, plain, pairs


def draw(channels: int, size: tuple[int, int] = SMALL) -> tuple[Tensor, Tensor]:
    """Three volumes of different lengths with junk for padding, and their mask."""
    mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    volume = torch.randn(3, channels, 5, *size, dtype=torch.float64)
    return volume.masked_fill(~mask[:, None, :, None, None], 1e3), mask


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(
    ("name", "size"),
    [(name, SMALL) for name in ("r2d", "r3d", "r2plus1d", "mc3", "mc5", "rmc2", "rmc4", "rmc5")]
    + [(name, LARGE) for name in ("r3d", "r2plus1d", "rmc5")],
)
def test_it_equals_plain_conv3d_one_volume_at_a_time(
    name: str, size: tuple[int, int], training: bool
) -> None:
    encoder, plain, pairs = both(name, channels=2)
    encoder.train(training)
    for layer in plain.layers():
        layer.train(training)
    volume, mask = draw(channels=2, size=size)

    tokens = encoder(volume, mask)
    expected = plain([volume[[b], :, :n] for b, n in enumerate(LENGTHS)])

    weights = torch.randn_like(tokens)
    for case, (length, wanted) in enumerate(zip(LENGTHS, expected, strict=True)):
        torch.testing.assert_close(tokens[case, :length], wanted)
    (tokens * weights * mask[..., None]).sum().backward()
    sum((e * weights[b, : len(e)]).sum() for b, e in enumerate(expected)).backward()
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.view_as(theirs), theirs)  # running statistics included
        if theirs.requires_grad:
            assert ours.grad is not None
            torch.testing.assert_close(ours.grad.view_as(theirs), theirs.grad)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_gap_between_real_slices_counts_as_zeros(size: tuple[int, int]) -> None:
    encoder, plain, _ = both("r3d", channels=1)
    encoder.eval()
    for layer in plain.layers():
        layer.eval()
    volume, mask = torch.randn(1, 1, 4, *size).double(), torch.tensor([[True, False, True, True]])
    tokens = encoder(volume, mask)
    apart = plain([volume[:, :, :1]])[0], plain([volume[:, :, 2:]])[0]
    # One convolution reaches no further than the gap, so it parts the volume in two.
    torch.testing.assert_close(tokens[0, mask[0]], torch.cat(apart))
    assert not tokens[0, 1].any()


def test_batch_norm_counts_real_slices_only() -> None:
    encoder = encoders.build("rmc5(width=4)", ResNet, 1).train()
    volume, mask = draw(channels=1)
    volume = volume.float()
    encoder(volume, mask)
    real = torch.cat([volume[b, :, :n].transpose(0, 1) for b, n in enumerate(LENGTHS)])
    filtered = nn.functional.conv2d(real, encoder.stem.weight, stride=2, padding=3)
    # A fresh BatchNorm moves a tenth of the way, towards the unbiased variance.
    values = filtered.transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(encoder.norm.running_mean.double(), 0.1 * values.mean(1))
    torch.testing.assert_close(encoder.norm.running_var.double(), 0.9 + 0.1 * values.var(1))


@pytest.mark.parametrize("name", TABLE_2)
def test_the_parameters_are_those_of_table_2(name: str) -> None:
    encoder = encoders.build(name, Encoder, 1)
    head = nn.Linear(encoder.num_features, 1)
    count = sum(p.numel() for part in (encoder, head) for p in part.parameters())
    assert count == TABLE_2[name]
    assert encoder.num_features == 256


@pytest.mark.parametrize("name", TABLE_2)
def test_a_token_sees_one_slice_more_each_way_per_3d_convolution(name: str) -> None:
    """One in the stem, four in a stage; verified by where the gradient is zero."""
    reach = sum(n for n, is_3d in zip((1, 4, 4, 4, 4), IS_3D[name], strict=True) if is_3d)
    torch.manual_seed(0)
    encoder = encoders.build(f"{name}(width=4)", Encoder, 1).double().eval()
    slices = 2 * reach + 3
    volume = torch.randn(1, 1, slices, 16, 16, dtype=torch.float64, requires_grad=True)
    encoder(volume)[0, reach + 1].sum().backward()
    assert volume.grad is not None
    seen = volume.grad.abs().sum(dim=(0, 1, 3, 4)).ne(0)
    assert seen.tolist() == [False] + [True] * (2 * reach + 1) + [False]


@pytest.mark.parametrize("name", ["r2d", "r3d", "r2plus1d", "rmc5"])
def test_convolutions_start_from_kaiming_normal_fan_out(name: str) -> None:
    torch.manual_seed(0)
    encoder = encoders.build(name, Encoder, 1)
    for key, weight in encoder.named_parameters():
        if weight.ndim < 4:
            assert (weight == (1 if key.endswith("weight") else 0)).all()
            continue
        fan_out = weight.shape[0] * math.prod(weight.shape[2:])
        tolerance = 5 / math.sqrt(2 * weight.numel())  # five standard errors of a deviation
        assert weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=tolerance)
        assert abs(weight.mean().item()) < 5 * math.sqrt(2 / fan_out / weight.numel())


@pytest.mark.parametrize("width", [0, -4])
def test_a_width_below_one_is_refused_by_name(width: int) -> None:
    with pytest.raises(SpecError) as caught:
        encoders.build(f"rmc5(width={width})", Encoder, 1)
    assert str(caught.value) == (
        f"encoder rmc5(width={width}): width must be a whole number of at least 1, but got {width}"
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu_and_with_itself() -> None:
    encoder, _, _ = both("rmc5", channels=1)
    volume, mask = draw(channels=1)
    expected = encoder.train()(volume, mask)
    encoder = encoder.cuda()
    tokens = [encoder(volume.cuda(), m) for m in (mask, mask.cuda())]
    torch.testing.assert_close(tokens[0].cpu(), expected)
    assert torch.equal(*tokens)


@pytest.mark.parametrize("name", ["r2d", "rmc5", "r2plus1d"])
def test_no_convolution_of_one_pixel_has_a_stride(name: str) -> None:
    # PyTorch 2.11 writes beyond its memory in the gradient of such a one, see ``Convolution``.
    layers = convolutions_of(encoders.build(f"{name}(width=2)", Encoder, 1), (1, 1, 3, 64, 64))
    strides = [layer.stride for layer in layers if layer.weight[2:] == (1, 1)]
    assert strides
    assert set(strides) == {(1, 1)}


@pytest.mark.parametrize(
    ("size", "layout"), [(64, torch.channels_last), (63, torch.contiguous_format)]
)
def test_large_slices_of_one_channel_are_really_laid_out_with_channels_last(
    size: int, layout: torch.memory_format
) -> None:
    seen = []
    encoder = encoders.build("r2d(width=4)", Encoder, 1)
    encoder.norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    encoder(torch.randn(1, 1, 2, size, size))
    assert seen[0].is_contiguous(memory_format=layout)
    assert not seen[0].is_contiguous(
        memory_format=torch.contiguous_format
        if layout == torch.channels_last
        else torch.channels_last
    )


def gradients_in_another_layout(name: str, lengths: tuple[int, int], device: str) -> list[str]:
    """Name the layers whose gradient is not with channels last, as what they make is."""
    encoder = encoders.build(f"{name}(width=16)", Encoder, 1).to(device)
    kept: dict[str, bool] = {}

    def watch(where: str, maps: Tensor) -> None:
        maps.register_hook(
            lambda grad: kept.update({where: grad.is_contiguous(memory_format=torch.channels_last)})
        )

    for where, part in encoder.named_modules():
        if isinstance(part, Convolution | BasicBlock):
            part.register_forward_hook(lambda _, given, maps, where=where: watch(where, maps))
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    volume = torch.randn(2, 1, 6, 64, 64, device=device)
    encoder(volume, mask).square().sum().backward()
    del kept["blocks.7"]  # every place of the mean has the same gradient
    assert len(kept) >= 20 + 7
    return [where for where, same in kept.items() if not same]


# Else every layer before the one that changed it is several times as slow.
@pytest.mark.parametrize("stacked", [False, True], ids=["in 3D", "stacked, as on a GPU"])
@pytest.mark.parametrize("lengths", [(6, 6), (5, 6)])
@pytest.mark.parametrize("name", ["r2d", "r3d", "rmc5", "r2plus1d"])
def test_gradients_come_back_in_the_layout_of_what_they_belong_to(
    name: str, lengths: tuple[int, int], stacked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stacked:
        monkeypatch.setattr(packed_slices, "plan_layout", lambda *_, **__: None)
    assert gradients_in_another_layout(name, lengths, "cpu") == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["r3d", "rmc5", "r2plus1d"])
def test_gradients_keep_their_layout_on_a_gpu(name: str) -> None:
    assert gradients_in_another_layout(name, (5, 6), "cuda") == []


@pytest.mark.parametrize("slices", [1, 2, 3])
@pytest.mark.parametrize("name", ["r3d", "r2plus1d"])
def test_large_volumes_of_few_slices_equal_plain_conv3d_and_have_room(
    name: str, slices: int
) -> None:
    encoder, plain, _ = both(name, channels=1)
    encoder.eval()
    for layer in plain.layers():
        layer.eval()
    volume = torch.randn(1, 1, slices, *LARGE).double()
    torch.testing.assert_close(encoder(volume)[0], plain([volume])[0])
    layers = convolutions_of(encoder, tuple(volume.shape))
    # oneDNN in bfloat16 spoils the gradient of the weights where there are two.
    assert {layer.input[2] for layer in layers if len(layer.input) == 5} == {3}


@pytest.mark.parametrize("way", ["stacked", "float32"])
@pytest.mark.parametrize("rows", [False, True], ids=["packed", "in rows as on a GPU"])
def test_a_layer_computed_in_another_way_gives_the_same(
    way: str, rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoders.build("r3d(width=4)", ResNet, 1).eval()
    volume, mask = draw(channels=1, size=LARGE)
    volume = volume.float()
    expected = encoder(volume, mask)
    if rows:
        monkeypatch.setattr(ResNet, "_plan", in_rows)
    for module in encoder.modules():
        if getattr(module, "way", None):
            module.way = way
    torch.testing.assert_close(encoder(volume, mask), expected, rtol=1e-4, atol=1e-5)


def in_rows(encoder: ResNet, volume: Tensor, mask: Tensor | None) -> packed_slices.Packing:
    """Pack as on a GPU."""
    return packed_slices.plan_rows(volume, mask, spaced=encoder._has_3d)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", ["r2d", "r3d", "r2plus1d", "rmc5"])
def test_rows_without_a_slice_change_neither_tokens_nor_gradients_nor_statistics(
    name: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, mask = draw(channels=2)
    results = []
    for plan in (ResNet._plan, in_rows):
        monkeypatch.setattr(ResNet, "_plan", plan)
        encoder, _, _ = both(name, channels=2)
        tokens = encoder.train(training)(volume, mask)
        tokens.square().sum().backward()
        gradients = {key: p.grad for key, p in encoder.named_parameters()}
        results.append((tokens, gradients, dict(encoder.named_buffers())))
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize(
    ("lengths", "spaced", "rows"),
    [((5, 4, 2), True, 16), ((5, 4, 2), False, 16), ((30, 70), True, 104)],
)
def test_rows_come_in_few_numbers(lengths: tuple[int, ...], spaced: bool, rows: int) -> None:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    volume = torch.randn(len(lengths), 1, max(lengths), 4, 4)
    packing = packed_slices.plan_rows(volume, mask, spaced=spaced)
    packed = packing.pack(volume)
    assert len(packed) == len(packing.real) == rows
    assert packing.real.sum() == sum(lengths)
    assert not packed[~packing.real].any()
    assert packing.real[lengths[0]].item() is not spaced
    back = packing.unpack(packed.flatten(1))
    expected = volume.movedim(1, 2).flatten(2).where(mask[..., None], 0)
    assert torch.equal(back, expected)


@pytest.mark.parametrize("plane", [(8, 12), (9, 11), (64, 33)])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_stem_on_squares_of_pixels_is_the_same_convolution(
    depth: int, plane: tuple[int, int]
) -> None:
    slices = torch.randn(5, 2, *plane, dtype=torch.float64)
    kernel = (7, 7) if depth == 1 else (3, 7, 7)
    weight = torch.randn(4, 2, *kernel, dtype=torch.float64, requires_grad=True)
    split, kernel_split = split_pixels(slices, 3), split_kernel(weight)
    if depth == 1:
        found = nn.functional.conv2d(split, kernel_split)
        wanted = nn.functional.conv2d(slices, weight, stride=2, padding=3)
    else:
        volume, squares = (each.transpose(0, 1)[None] for each in (slices, split))
        found = nn.functional.conv3d(squares, kernel_split, padding=(1, 0, 0))
        wanted = nn.functional.conv3d(volume, weight, stride=(1, 2, 2), padding=(1, 3, 3))
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad(each.square().sum(), weight)[0] for each in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_a_copy_of_a_compiled_network_computes_with_weights_of_its_own(monkeypatch):
    """What a compiler returns is a function, which a copy would share."""
    monkeypatch.setattr(torch, "compile", lambda call: lambda *given: call(*given))
    network, volume = (
        ResNet(1, depths=(1, 1, 1, 1, 3), width=2).eval(),
        torch.randn(2, 1, 4, 16, 16),
    )
    network.compile()
    before = network(volume)
    copied = copy.deepcopy(network)
    with torch.no_grad():
        copied.stem.weight.neg_()
    assert torch.equal(network(volume), before)
    assert not torch.equal(copied(volume), before)
