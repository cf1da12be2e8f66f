"""Cost of an encoder: parameters, FLOPs per slice, receptive field; all measured."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from volbench.interfaces import Encoder
from volbench.profiling.conv_trace import watch_pass

Extent: TypeAlias = int | str
PLANE = 256
SLICES = 8  # of the volume whose FLOPs are counted; encoders may reduce the through-plane axis
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Profile:
    """One encoder's figures.

    Attributes:
        parameters: Trained parameters of the encoder alone.
        parameters_with_head: With a linear head of one logit.
        frozen_parameters: What it has beside them, which training leaves as they are.
        num_features: Length of a token.
        plane: In-plane size, in pixels, at which FLOPs are counted.
        gflops_per_slice: Of a forward pass, in 10⁹; a multiply-add counts as two.
        receptive_pixels: In-plane extent one place of the last feature map sees; as text, "whole
            image (up to ...)" where no size tried exceeds it, "unknown" where none is measured.
        receptive_slices: The same across slices, for one token.
    """

    parameters: int
    parameters_with_head: int
    frozen_parameters: int
    num_features: int
    plane: int
    gflops_per_slice: float
    receptive_pixels: Extent
    receptive_slices: Extent


def profile_encoder(encoder: Encoder, in_channels: int = 1) -> Profile:
    """Measure an encoder; it is left as it was.

    Args:
        encoder: On the CPU. Its in-plane field is measured on what its ``feature_map(volume)``
            returns, if it has one: the maps [item, feature, height, width] it pools into tokens.
            An ``image_size`` that is not None says that it takes square planes of that size only.
        in_channels: Channels it was built for.
    """
    parameters = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    fixed: int | None = getattr(encoder, "image_size", None)
    plane = fixed or PLANE
    shape = (1, in_channels, SLICES, plane, plane)
    flops = watch_pass(encoder, shape, partial(FlopCounterMode, display=False))
    responsive = _make_responsive(encoder)
    return Profile(
        parameters=parameters,
        parameters_with_head=parameters + encoder.num_features + 1,
        frozen_parameters=sum(p.numel() for p in encoder.parameters()) - parameters,
        num_features=encoder.num_features,
        plane=plane,
        gflops_per_slice=int(flops.get_total_flops()) / SLICES / 1e9,
        receptive_pixels=_receptive_pixels(responsive, in_channels, fixed),
        receptive_slices=_receptive_slices(responsive, in_channels, fixed),
    )


def _make_responsive(encoder: Encoder) -> Encoder:
    """Copy the encoder so that a gradient is zero only where there is no path.

    Norms and layer scales that start at zero would hide a residual branch, and a ReLU whose sum is
    negative the edge of a field, by chance; double precision keeps the edge of a wide field, many
    orders below its centre, from vanishing.
    """
    encoder = copy.deepcopy(encoder).eval().double()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in encoder.parameters():
            if parameter.ndim < 2:
                nn.init.uniform_(parameter, 0.5, 1.5)
            elif not parameter.any():
                nn.init.normal_(parameter, std=0.02)
            elif parameter.ndim > 3:  # of a convolution
                parameter.abs_()
    return encoder


def _receptive_slices(encoder: Encoder, in_channels: int, fixed: int | None) -> Extent:
    def token(volume: Float[Tensor, "b c s h w"]) -> Float[Tensor, "b f"]:
        tokens: Tensor = encoder(volume)
        return tokens[:, tokens.shape[1] // 2]

    def seen(plane: int, slices: int) -> Bool[Tensor, " slice"]:
        return _reached(token, (in_channels, slices, plane, plane), axis=2)

    # The smallest plane that the encoder takes: what it sees across slices is the same in all.
    for plane in (fixed,) if fixed else (16, 64, 224):
        extent = _grow(partial(seen, plane), (9, 17, 33, 65), "whole volume (up to 65 slices)")
        if extent != UNKNOWN:
            return extent
    return UNKNOWN


def _receptive_pixels(encoder: Encoder, in_channels: int, fixed: int | None) -> Extent:
    feature_map: Callable[[Tensor], Tensor] | None = getattr(encoder, "feature_map", None)
    if feature_map is None:
        return UNKNOWN

    def seen(height: int) -> Bool[Tensor, " row"]:
        def centre(volume: Float[Tensor, "b c s h w"]) -> Float[Tensor, "b f"]:
            maps = feature_map(volume)
            return maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]

        # A strip: rows beyond the field are what is looked for, and columns cost time only.
        return _reached(centre, (in_channels, 1, height, fixed or 32), axis=3)

    sizes = (fixed,) if fixed else (64, 128, 256, 512, 1024)
    return _grow(seen, sizes, f"whole image (up to {sizes[-1]} pixels)")


def _grow(seen: Callable[[int], Tensor], sizes: Iterable[int], whole: str) -> Extent:
    """Enlarge the input until the field ends before it does."""
    try:
        for size in sizes:
            places = seen(size).nonzero().flatten().tolist()
            if not places:
                return UNKNOWN
            if places[0] > 0 and places[-1] < size - 1:
                return int(places[-1] - places[0] + 1)
    except Exception:  # an encoder may refuse a size, a precision or a second look in its own way
        return UNKNOWN
    return whole


def _reached(
    output: Callable[[Tensor], Tensor], shape: tuple[int, ...], *, axis: int
) -> Bool[Tensor, " place"]:
    """Find the places along one axis of the input that ``output`` depends on."""
    generator = torch.Generator().manual_seed(0)
    volume = torch.randn(2, *shape, generator=generator, dtype=torch.float64, requires_grad=True)
    value = output(volume)
    weights = torch.randn(value.shape, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((value * weights).sum(), volume)
    if not gradient.isfinite().all():
        raise FloatingPointError("the gradient overflows")
    return gradient.movedim(axis, 0).flatten(1).ne(0).any(dim=1)
