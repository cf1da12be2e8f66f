"""BatchNorm, then a residual, then ReLU, on packed slices: by a kernel on a GPU, else by PyTorch.

Ioffe and Szegedy, 2015, arXiv:1502.03167. Rows without a slice (``Packing.real``) enter no
statistic and come out as zeros, as a 3D convolution after it needs them.
"""

import importlib.util
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from volbench.encoders.packed_slices import Maps, blank

Real: TypeAlias = Bool[Tensor, " item"] | None
PerChannel: TypeAlias = Float[Tensor, " filter"]


def norm_relu(
    norm: nn.BatchNorm2d,
    maps: Maps,
    real: Real = None,
    *,
    residual: Maps | None = None,
    relu: bool = True,
) -> Maps:
    """Normalise maps, add the residual, cut off at zero.

    Args:
        norm: Its statistics, momentum and mode are those of PyTorch.
        maps: What a convolution made; overwritten where that saves memory.
        real: Rows that hold a slice; None where all do.
        residual: Added after normalising.
        relu: Whether anything is cut off.
    """
    if _has_kernel(norm, maps, residual):
        return by_kernel(norm, maps, real, residual=residual, relu=relu)
    if real is None:
        result: Maps = norm(maps)
    else:
        result = masked_norm(norm, maps, real)
    if residual is not None:
        result = result.add_(residual)
    return F.relu(result, inplace=True) if relu else result


def masked_norm(norm: nn.BatchNorm2d, maps: Maps, real: Bool[Tensor, " item"]) -> Maps:
    """Normalise by PyTorch's operations: what the kernel is compared with, and the fallback."""
    if not _by_batch(norm):
        return blank(norm(maps), real)
    wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
    rows = real.view(-1, 1, 1, 1)
    count = real.sum() * (maps.shape[2] * maps.shape[3])
    mean = wide.where(rows, 0).sum((0, 2, 3)) / count
    away = wide - mean.view(-1, 1, 1)
    spread = away.square().where(rows, 0).sum((0, 2, 3))
    if norm.track_running_stats:
        _track(norm, mean.detach(), (spread / (count - 1).clamp(min=1)).detach())
    scale = (spread / count + norm.eps).rsqrt() * norm.weight
    result = away * scale.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
    return result.where(rows, 0).to(maps.dtype)


def by_kernel(
    norm: nn.BatchNorm2d,
    maps: Maps,
    real: Real = None,
    *,
    residual: Maps | None = None,
    relu: bool = True,
) -> Maps:
    """Do as ``norm_relu`` says by the kernels of ``norm_kernels``, wherever the maps are.

    Raises:
        ValueError: a single value per channel has no statistics.
    """
    from volbench.encoders import norm_kernels

    maps = maps.contiguous(memory_format=torch.channels_last)
    if residual is not None:
        residual = residual.contiguous(memory_format=torch.channels_last)
    if not _by_batch(norm):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        deviation = (norm.running_var + norm.eps).rsqrt()
        statistics = torch.stack([norm.running_mean, deviation])
        return norm_kernels.normalise(
            maps, residual, real, statistics, norm.weight, norm.bias, relu=relu
        )
    if maps.numel() == maps.shape[1]:
        raise ValueError(
            f"expected more than one value per channel to train on, but got {tuple(maps.shape)}"
        )
    running = None
    if norm.track_running_stats:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        running = norm_kernels.Running(
            norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.momentum
        )
    result: Maps = _Fused.apply(  # type: ignore[no-untyped-call]
        maps, norm.weight, norm.bias, residual, real, running, norm.eps, relu
    )
    return result


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        maps: Maps,
        weight: PerChannel,
        bias: PerChannel,
        residual: Maps | None,
        real: Real,
        running: Any,
        epsilon: float,
        relu: bool,
    ) -> Maps:
        from volbench.encoders import norm_kernels

        statistics = norm_kernels.batch_moments(maps, real, running, epsilon=epsilon)
        result = norm_kernels.normalise(maps, residual, real, statistics, weight, bias, relu=relu)
        # Where ReLU let something through follows from the maps, but not with a residual.
        output = result if residual is not None and relu else None
        ctx.save_for_backward(maps, weight, bias, output, real, statistics)
        ctx.epsilon, ctx.relu, ctx.has_residual = epsilon, relu, residual is not None
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Maps) -> tuple[Tensor | None, ...]:
        from volbench.encoders import norm_kernels

        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            return _differentiable(ctx, gradient)
        maps, weight, bias, output, real, statistics = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_maps, of_residual, of_weight, of_bias = norm_kernels.gradients(
            gradient, maps, output, real, statistics, weight, bias, relu=ctx.relu
        )
        if ctx.has_residual and not ctx.relu:
            of_residual = blank(gradient.clone(), real)
        return of_maps, of_weight, of_bias, of_residual, None, None, None, None


def _differentiable(ctx: Any, gradient: Maps) -> tuple[Tensor | None, ...]:
    """Gradients by PyTorch's own operations, so that they have gradients themselves."""
    maps, weight, bias, output, real, _ = ctx.saved_tensors
    norm = nn.BatchNorm2d(len(weight), eps=ctx.epsilon, affine=False, track_running_stats=False)
    norm.weight, norm.bias = weight, bias
    real = maps.new_ones(len(maps), dtype=torch.bool) if real is None else real
    result = masked_norm(norm, maps, real)
    if ctx.relu:
        passed = (result if output is None else output).detach() > 0
        gradient = gradient.where(passed, 0)
    gradient = gradient.where(real.view(-1, 1, 1, 1), 0)
    found = torch.autograd.grad(result, (maps, weight, bias), gradient, create_graph=True)
    residual = gradient if ctx.has_residual else None
    return (*found, residual, None, None, None, None)


def _track(norm: nn.BatchNorm2d, mean: PerChannel, variance: PerChannel) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    share: float | Tensor | None = norm.momentum
    if share is None:
        share = 1 / norm.num_batches_tracked
    for running, found in ((norm.running_mean, mean), (norm.running_var, variance)):
        running.add_((found.to(running.dtype) - running) * share)


def _by_batch(norm: nn.BatchNorm2d) -> bool:
    """Whether statistics are the batch's: in training, or where none are kept."""
    return norm.training or norm.running_mean is None


def _has_kernel(norm: nn.BatchNorm2d, maps: Maps, residual: Maps | None) -> bool:
    """Whether the kernel computes this: on a GPU, in a precision it knows, with weights."""
    if not maps.is_cuda or torch.compiler.is_compiling() or not kernels_work():
        return False
    if maps.dtype not in (torch.bfloat16, torch.float16, torch.float32):
        return False
    if not norm.affine or (residual is not None and residual.dtype != maps.dtype):
        return False
    # With fixed statistics it has no gradient; nor is one often asked for.
    return _by_batch(norm) or not torch.is_grad_enabled()


@lru_cache(maxsize=1)
def kernels_work() -> bool:
    """Whether Triton is installed and knows this machine's GPU."""
    if importlib.util.find_spec("triton") is None:
        return False
    from torch.utils._triton import has_triton

    return bool(has_triton())
