"""Triton kernels of BatchNorm + residual + ReLU on rows of channels-last maps, in few passes.

BatchNorm: Ioffe and Szegedy, 2015, arXiv:1502.03167. Forward reads the maps twice (statistics, then
all the rest at once) and backward twice as well, where separate operations read and write them five
and seven times. Moments of parts are merged as Chan et al., 1983, doi:10.2307/2683386, do, without
atomic operations: the same numbers each time. Arithmetic and statistics are in float32.

Maps are seen as a matrix [place, channel] of rows × height × width places. ``real`` says which rows
hold a slice: others enter no statistic and come out as zeros. All of it stays on the device, so a
CUDA graph can replay it.

This module imports Triton; ``fused_norm`` decides where it is used. With ``TRITON_INTERPRET=1`` in
the environment the kernels run on a CPU.
"""

from dataclasses import dataclass
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

Maps = Float[Tensor, "row channel height width"]
PerChannel = Float[Tensor, " channel"]

PARTS = 512
"""Programs that share a reduction; a GPU has 132 multiprocessors, and four fit on each."""

TILE = 4096
"""Numbers of one tile."""

AHEAD = 3
"""Tiles that a reduction has under way: it loads the next ones while it adds one up."""

FINISHED_CHANNELS = 8
"""Channels whose parts one program merges."""

SIZES = ["count", "per_row"]
"""Differ from layer to layer and batch to batch; a kernel compiled for each would be no faster."""


@dataclass(frozen=True)
class Running:
    """Buffers of an ``nn.BatchNorm2d`` to move towards a batch's statistics, in place.

    Attributes:
        momentum: Share of the way; None makes them the mean of all batches so far.
    """

    mean: PerChannel
    variance: PerChannel
    batches: Int[Tensor, ""]
    momentum: float | None


@triton.jit
@no_type_check
def _real_places(real, places, count, per_row, HAS_REAL: tl.constexpr):
    keep = places < count
    if HAS_REAL:
        keep = keep & (tl.load(real + places // per_row, mask=keep, other=0) != 0)
    return keep


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def _moments(
    x, real, parts, count, per_row, channels,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr, HAS_REAL: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    part, number = tl.program_id(0), tl.num_programs(0)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < channels
    # Values are taken less the first tile's mean, so that their squares keep their digits.
    places = part * BLOCK + tl.arange(0, BLOCK)
    keep = _real_places(real, places, count, per_row, HAS_REAL)
    at = places.to(tl.int64)[:, None] * channels + channel[None, :]
    values = tl.load(x + at, mask=keep[:, None] & inside[None, :], other=0.0).to(tl.float32)
    shift = tl.sum(values, 0) / tl.maximum(tl.sum(keep.to(tl.float32), 0), 1.0)
    total = tl.zeros([BLOCK, CHANNELS], tl.float32)
    square = tl.zeros([BLOCK, CHANNELS], tl.float32)
    kept = tl.zeros([BLOCK], tl.float32)
    for start in tl.range(part * BLOCK, count, number * BLOCK, num_stages=AHEAD):
        places = start + tl.arange(0, BLOCK)
        at = places.to(tl.int64)[:, None] * channels + channel[None, :]
        there = (places < count)[:, None] & inside[None, :]
        values = tl.load(x + at, mask=there, other=0.0).to(tl.float32)
        keep = _real_places(real, places, count, per_row, HAS_REAL)
        values = tl.where(keep[:, None] & inside[None, :], values - shift[None, :], 0.0)
        total += values
        square += values * values
        kept += keep.to(tl.float32)
    items = tl.sum(kept, 0)
    sums = tl.sum(total, 0)
    offset = sums / tl.maximum(items, 1.0)
    spread = tl.maximum(tl.sum(square, 0) - sums * offset, 0.0)
    to = parts + part * channels + channel
    tl.store(to, tl.zeros([CHANNELS], tl.float32) + items, mask=inside)
    tl.store(to + number * channels, shift + offset, mask=inside)
    tl.store(to + 2 * number * channels, spread, mask=inside)


@triton.jit(do_not_specialize=["number"])
@no_type_check
def _finish_moments(
    parts, statistics, running_mean, running_variance, batches,
    number, channels, epsilon, momentum,
    PARTS: tl.constexpr, CHANNELS: tl.constexpr,
    TRACKED: tl.constexpr, CUMULATIVE: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    part = tl.arange(0, PARTS)
    inside = channel < channels
    mask = (part < number)[:, None] & inside[None, :]
    at = parts + part[:, None] * channels + channel[None, :]
    items = tl.load(at, mask=mask, other=0.0)
    means = tl.load(at + number * channels, mask=mask, other=0.0)
    spreads = tl.load(at + 2 * number * channels, mask=mask, other=0.0)
    total = tl.sum(items, 0)
    mean = tl.sum(items * means, 0) / tl.maximum(total, 1.0)
    away = means - mean[None, :]
    spread = tl.sum(spreads + items * away * away, 0)
    variance = spread / tl.maximum(total, 1.0)
    tl.store(statistics + channel, mean, mask=inside)
    tl.store(statistics + channels + channel, 1.0 / tl.sqrt(variance + epsilon), mask=inside)
    tl.store(statistics + 2 * channels + channel, total, mask=inside)
    if TRACKED:
        share = momentum
        if CUMULATIVE:
            share = 1.0 / tl.load(batches).to(tl.float32)
        unbiased = spread / tl.maximum(total - 1.0, 1.0)
        old = tl.load(running_mean + channel, mask=inside, other=0.0)
        tl.store(running_mean + channel, old + share * (mean - old), mask=inside)
        old = tl.load(running_variance + channel, mask=inside, other=0.0)
        tl.store(running_variance + channel, old + share * (unbiased - old), mask=inside)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def _normalise(
    x, residual, y, real, statistics, weight, bias, count, per_row, channels,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
    HAS_REAL: tl.constexpr, HAS_RESIDUAL: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < channels
    mean = tl.load(statistics + channel, mask=inside, other=0.0)
    scale = tl.load(statistics + channels + channel, mask=inside, other=0.0)
    scale *= tl.load(weight + channel, mask=inside, other=0.0)
    offset = tl.load(bias + channel, mask=inside, other=0.0)
    at = places.to(tl.int64)[:, None] * channels + channel[None, :]
    there = (places < count)[:, None] & inside[None, :]
    values = tl.load(x + at, mask=there, other=0.0).to(tl.float32)
    values = (values - mean[None, :]) * scale[None, :] + offset[None, :]
    if HAS_RESIDUAL:
        values += tl.load(residual + at, mask=there, other=0.0).to(tl.float32)
    if RELU:
        # Not maximum, which would make a number of NaN.
        values = tl.where(values <= 0.0, 0.0, values)
    keep = _real_places(real, places, count, per_row, HAS_REAL)
    values = tl.where(keep[:, None] & inside[None, :], values, 0.0)
    tl.store(y + at, values.to(y.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def _gradient_sums(
    gradient, x, y, through, real, statistics, weight, bias, parts, count, per_row, channels,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
    HAS_REAL: tl.constexpr, RELU: tl.constexpr, FROM_OUTPUT: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    part, number = tl.program_id(0), tl.num_programs(0)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < channels
    mean = tl.load(statistics + channel, mask=inside, other=0.0)
    scale = tl.load(statistics + channels + channel, mask=inside, other=0.0)
    scale *= tl.load(weight + channel, mask=inside, other=0.0)
    offset = tl.load(bias + channel, mask=inside, other=0.0)
    total = tl.zeros([BLOCK, CHANNELS], tl.float32)
    product = tl.zeros([BLOCK, CHANNELS], tl.float32)
    for start in tl.range(part * BLOCK, count, number * BLOCK, num_stages=AHEAD):
        places = start + tl.arange(0, BLOCK)
        at = places.to(tl.int64)[:, None] * channels + channel[None, :]
        there = (places < count)[:, None] & inside[None, :]
        values = tl.load(x + at, mask=there, other=0.0).to(tl.float32) - mean[None, :]
        grad = tl.load(gradient + at, mask=there, other=0.0).to(tl.float32)
        if RELU:
            if FROM_OUTPUT:
                passed = tl.load(y + at, mask=there, other=0.0).to(tl.float32) > 0.0
            else:
                passed = values * scale[None, :] + offset[None, :] > 0.0
            grad = tl.where(passed, grad, 0.0)
        mask = _real_places(real, places, count, per_row, HAS_REAL)[:, None] & inside[None, :]
        grad = tl.where(mask, grad, 0.0)
        if FROM_OUTPUT:
            tl.store(through + at, grad.to(through.dtype.element_ty), mask=there)
        total += grad
        product += tl.where(mask, grad * values, 0.0)
    to = parts + part * channels + channel
    tl.store(to, tl.sum(total, 0), mask=inside)
    tl.store(to + number * channels, tl.sum(product, 0), mask=inside)


@triton.jit(do_not_specialize=["number"])
@no_type_check
def _finish_gradients(
    parts, statistics, sums, number, channels, PARTS: tl.constexpr, CHANNELS: tl.constexpr
):
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    part = tl.arange(0, PARTS)
    inside = channel < channels
    mask = (part < number)[:, None] & inside[None, :]
    at = parts + part[:, None] * channels + channel[None, :]
    total = tl.sum(tl.load(at, mask=mask, other=0.0), 0)
    product = tl.sum(tl.load(at + number * channels, mask=mask, other=0.0), 0)
    scale = tl.load(statistics + channels + channel, mask=inside, other=0.0)
    tl.store(sums + channel, product * scale, mask=inside)
    tl.store(sums + channels + channel, total, mask=inside)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def _input_gradient(
    gradient, x, result, real, statistics, sums, weight, bias, count, per_row, channels,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
    HAS_REAL: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < channels
    mean = tl.load(statistics + channel, mask=inside, other=0.0)
    deviation = tl.load(statistics + channels + channel, mask=inside, other=0.0)
    items = tl.maximum(tl.load(statistics + 2 * channels + channel, mask=inside, other=1.0), 1.0)
    scale = deviation * tl.load(weight + channel, mask=inside, other=0.0)
    slope = tl.load(sums + channel, mask=inside, other=0.0) * deviation / items
    constant = tl.load(sums + channels + channel, mask=inside, other=0.0) / items
    at = places.to(tl.int64)[:, None] * channels + channel[None, :]
    there = (places < count)[:, None] & inside[None, :]
    values = tl.load(x + at, mask=there, other=0.0).to(tl.float32) - mean[None, :]
    grad = tl.load(gradient + at, mask=there, other=0.0).to(tl.float32)
    if RELU:
        offset = tl.load(bias + channel, mask=inside, other=0.0)
        grad = tl.where(values * scale[None, :] + offset[None, :] > 0.0, grad, 0.0)
    grad = (grad - constant[None, :] - values * slope[None, :]) * scale[None, :]
    keep = _real_places(real, places, count, per_row, HAS_REAL)
    grad = tl.where(keep[:, None] & inside[None, :], grad, 0.0)
    tl.store(result + at, grad.to(result.dtype.element_ty), mask=there)


def batch_moments(
    x: Maps, real: Bool[Tensor, " row"] | None, running: Running | None, *, epsilon: float
) -> Float[Tensor, "3 channel"]:
    """Mean, 1 / sqrt(variance + epsilon) and number of values of each channel, over real rows."""
    sizes, real = _Sizes.of(x, real), _as_bytes(real)
    statistics = x.new_empty(3, sizes.channels, dtype=torch.float32)
    parts = x.new_empty(3, sizes.parts, sizes.channels, dtype=torch.float32)
    _moments[sizes.shared](x, real, parts, *sizes.numbers, **sizes.tile, AHEAD=AHEAD)
    if running is not None and running.momentum is None:
        running.batches.add_(1)
    _finish_moments[sizes.finished](
        parts,
        statistics,
        running and running.mean,
        running and running.variance,
        running and running.batches,
        sizes.parts,
        sizes.channels,
        epsilon,
        (running and running.momentum) or 0.0,
        PARTS=PARTS,
        CHANNELS=FINISHED_CHANNELS,
        TRACKED=running is not None,
        CUMULATIVE=running is not None and running.momentum is None,
    )
    if running is not None and running.momentum is not None:
        running.batches.add_(1)
    return statistics


def normalise(
    x: Maps,
    residual: Maps | None,
    real: Bool[Tensor, " row"] | None,
    statistics: Float[Tensor, "_ channel"],
    weight: PerChannel,
    bias: PerChannel,
    *,
    relu: bool,
) -> Maps:
    """Normalise, scale and shift; add the residual; cut off at zero."""
    sizes, real = _Sizes.of(x, real), _as_bytes(real)
    y = torch.empty_like(x)
    _normalise[sizes.tiles](
        x, residual, y, real, statistics, weight, bias, *sizes.numbers, **sizes.tile,
        HAS_RESIDUAL=residual is not None, RELU=relu,
    )  # fmt: skip
    return y


def gradients(
    gradient: Maps,
    x: Maps,
    y: Maps | None,
    real: Bool[Tensor, " row"] | None,
    statistics: Float[Tensor, "3 channel"],
    weight: PerChannel,
    bias: PerChannel,
    *,
    relu: bool,
) -> tuple[Maps, Maps | None, PerChannel, PerChannel]:
    """Gradients of the input, of the residual, of weight and of bias.

    Args:
        gradient: Of the result.
        x: What was normalised.
        y: The result where there was a residual, whose gradient is then returned; else None: where
            ReLU let something through follows from ``x``.
        real: As in the forward pass.
        statistics: As the forward pass found them.
        weight: Of the normalisation.
        bias: Of the normalisation.
        relu: As in the forward pass.
    """
    sizes, real = _Sizes.of(x, real), _as_bytes(real)
    result = torch.empty_like(x)
    through = None if y is None else torch.empty_like(x)
    parts = x.new_empty(2, sizes.parts, sizes.channels, dtype=torch.float32)
    sums = x.new_empty(2, sizes.channels, dtype=torch.float32)
    _gradient_sums[sizes.shared](
        gradient, x, y, through, real, statistics, weight, bias, parts,
        *sizes.numbers, **sizes.tile, RELU=relu, FROM_OUTPUT=y is not None, AHEAD=AHEAD,
    )  # fmt: skip
    _finish_gradients[sizes.finished](
        parts, statistics, sums, sizes.parts, sizes.channels,
        PARTS=PARTS, CHANNELS=FINISHED_CHANNELS,
    )  # fmt: skip
    _input_gradient[sizes.tiles](
        gradient if through is None else through, x, result, real, statistics, sums, weight, bias,
        *sizes.numbers, **sizes.tile, RELU=relu and through is None,
    )  # fmt: skip
    return result, through, sums[0], sums[1]


def _as_bytes(real: Bool[Tensor, " row"] | None) -> Tensor | None:
    return None if real is None else real.view(torch.uint8)


@dataclass(frozen=True)
class _Sizes:
    """How maps are cut into tiles.

    Attributes:
        places: Rows × height × width.
        per_row: Height × width.
        parts: Programs that share a reduction over places.
        tile: What all kernels are compiled for.
    """

    places: int
    per_row: int
    channels: int
    parts: int
    tile: dict[str, Any]

    @classmethod
    def of(cls, x: Maps, real: Tensor | None) -> "_Sizes":
        rows, channels, height, width = x.shape
        across = min(64, triton.next_power_of_2(channels))
        block = TILE // across
        places = rows * height * width
        return cls(
            places=places,
            per_row=height * width,
            channels=channels,
            parts=min(PARTS, triton.cdiv(places, block)),
            tile={"BLOCK": block, "CHANNELS": across, "HAS_REAL": real is not None},
        )

    @property
    def numbers(self) -> tuple[int, int, int]:
        return self.places, self.per_row, self.channels

    @property
    def shared(self) -> tuple[int, int]:
        return self.parts, triton.cdiv(self.channels, self.tile["CHANNELS"])

    @property
    def tiles(self) -> tuple[int, int]:
        return triton.cdiv(self.places, self.tile["BLOCK"]), self.shared[1]

    @property
    def finished(self) -> tuple[int]:
        return (triton.cdiv(self.channels, FINISHED_CHANNELS),)
