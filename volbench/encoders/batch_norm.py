"""Batch normalisation whose statistics are right with channels last (Ioffe & Szegedy, 2015).

On a CPU, PyTorch adds up the values of a channel one after the other in float32 where channels come
last. Of half a million values the mean is then off by 1e-5 of their spread and the layer's output
by 1e-4; after twenty layers, gradients are off by a percent. Here pieces of a few thousand rows are
added up by the same fast kernel, and the pieces in float64. Values are normalised by PyTorch's
kernel as before. arXiv:1502.03167; pieces: Chan, Golub & LeVeque, 1983.
"""

from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from volbench.encoders.packed_slices import Maps

Rows: TypeAlias = Float[Tensor, "1 filter pixel 1"]
PerChannel: TypeAlias = Float[Tensor, " filter"]

LAST = torch.channels_last
SUMS_ONLY = [False, True, True]
PIECE = 4096
"""Rows (pixels of all slices) that are added up in float32. Fewer are not faster, nor better."""


class BatchNorm(nn.BatchNorm2d):
    """``nn.BatchNorm2d``, exact to float32's rounding for channels last on a CPU.

    Parameters, buffers and their names are the same; so is the result, but for the rounding of
    PyTorch's own sums. Everywhere else (on a GPU, in bfloat16, outside training) PyTorch's layer
    runs.

    >>> norm = BatchNorm(8)
    >>> maps = torch.randn(4, 8, 64, 64).to(memory_format=torch.channels_last)
    >>> bool(norm(maps).mean((0, 2, 3)).abs().max() < 1e-6)
    True
    """

    def forward(self, maps: Maps) -> Maps:
        """Normalise; shapes ``[slice, channel, row, column]``."""
        if not (self.training and self.track_running_stats and _is_inexact(maps)):
            normalised: Maps = super().forward(maps)
            return normalised
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        mean, variance = statistics(maps.detach())
        rows = maps.numel() // maps.shape[1]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.float(), self.momentum)
            self.running_var.lerp_((variance * (rows / (rows - 1))).float(), self.momentum)
        found: Maps = _Normalise.apply(  # type: ignore[no-untyped-call]
            maps, self.weight, self.bias, mean.float(), variance.float(), self.eps
        )
        return found


def statistics(maps: Maps) -> tuple[PerChannel, PerChannel]:
    """Mean and biased variance of each channel in float64, of maps whose channels are last."""
    pieces = _pieces(maps)
    each = [torch.batch_norm_update_stats(piece, None, None, 0.0) for piece in pieces]
    means, variances = (torch.stack(part).double() for part in zip(*each, strict=True))
    counts = torch.tensor([[float(piece.shape[2])] for piece in pieces], dtype=torch.float64)
    share = counts / counts.sum()
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean).square())).sum(0)


class _Normalise(torch.autograd.Function):
    """PyTorch's normalisation by given statistics, with the gradient through the statistics."""

    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(maps, weight, mean, variance)
        ctx.eps = eps
        return torch.native_batch_norm(maps, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        r"""For normalised values n: $\frac{w}{\sigma}(g - \bar g - n\,\overline{g n})$."""
        maps, weight, mean, variance = ctx.saved_tensors
        (gradient,) = gradients
        gradient = gradient.contiguous(memory_format=LAST)
        inverse = (variance + ctx.eps).rsqrt()
        pairs = list(zip(_pieces(maps), _pieces(gradient), strict=True))
        sums = [
            torch.ops.aten.native_batch_norm_backward(
                up, down, weight, None, None, mean, inverse, True, ctx.eps, SUMS_ONLY
            )[1:]
            for down, up in pairs
        ]
        of_weight, of_bias = (torch.stack(part).double().sum(0) for part in zip(*sums, strict=True))
        if not ctx.needs_input_grad[0]:
            return None, of_weight.float(), of_bias.float(), None, None, None
        rows = maps.numel() // maps.shape[1]
        scale = weight.double() * inverse
        slope = -(scale * inverse * of_weight / rows)
        offset = -(scale * of_bias / rows) - slope * mean
        # A number per channel, repeated for each row of a piece: PyTorch's elementwise kernels are
        # slow where the innermost axis is as short as the channels, and a piece stays in the cache.
        like = pairs[0][0]
        scales, slopes, offsets = (
            part.float()[None, :, None, None].expand(like.shape).contiguous(memory_format=LAST)
            for part in (scale, slope, offset)
        )
        found = torch.empty_like(gradient)
        for (down, up), place in zip(pairs, _pieces(found), strict=True):
            n = down.shape[2]
            torch.addcmul(offsets[:, :, :n], down, slopes[:, :, :n], out=place)
            place.addcmul_(up, scales[:, :, :n])
        return found, of_weight.float(), of_bias.float(), None, None, None


def _is_inexact(maps: Maps) -> bool:
    return (
        maps.device.type == "cpu"
        and maps.dtype == torch.float32  # bfloat16 rounds each value by more than its sums are off
        and maps.numel() > PIECE * maps.shape[1]
        and maps.is_contiguous(memory_format=LAST)
        and not maps.is_contiguous()
    )


def _pieces(maps: Maps) -> list[Rows]:
    """Views of some thousand rows each; in memory, a row's channels are neighbours."""
    rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
    return [piece[None, :, None].permute(0, 3, 1, 2) for piece in rows.split(PIECE)]
