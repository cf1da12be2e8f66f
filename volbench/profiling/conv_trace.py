"""Trace of the convolutions of a network: shapes, FLOPs, bytes."""

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

Sizes = tuple[int, ...]
Watching = TypeVar("Watching", bound=AbstractContextManager[Any])


@dataclass(frozen=True)
class Convolution:
    """One call; two that are alike are equal.

    Attributes:
        input: Items, channels, then two or three axes in space.
        weight: Channels out, channels in per group, kernel.
        first: Whether nothing before it is trained, so that its input needs no gradient.
        trained: Whether its weight gets a gradient; that of a frozen layer does not.
    """

    input: Sizes
    weight: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int
    first: bool
    trained: bool = True

    @property
    def output(self) -> Sizes:
        """Items, channels, then the axes in space."""
        spaces = zip(
            self.input[2:], self.weight[2:], self.stride, self.padding, self.dilation, strict=True
        )
        places = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in spaces)
        return (self.input[0], self.weight[0], *places)

    @property
    def flop(self) -> int:
        """Of the forward pass; a multiply-add counts as two."""
        return 2 * math.prod(self.output) * math.prod(self.weight[1:])

    @property
    def passes(self) -> int:
        """Convolutions of a training step: forward, gradient of the weights, and of the input."""
        return 1 + self.trained + (not self.first)

    @property
    def numbers(self) -> int:
        """What one of them reads and writes at least: input, weights and output, once each."""
        return math.prod(self.input) + math.prod(self.weight) + math.prod(self.output)

    def __str__(self) -> str:
        kernel, stride, plane = (
            "x".join(map(str, sizes)) for sizes in (self.weight[2:], self.stride, self.input[2:])
        )
        channels = f"{self.weight[1] * self.groups} to {self.weight[0]} channels"
        return f"{kernel} convolution with stride {stride}, {channels}, on {plane}"


def convolutions_of(network: nn.Module, shape: Sizes, *, device: str = "meta") -> list[Convolution]:
    """Name the convolutions of one forward pass on a volume of that shape, in order."""
    return watch_pass(network, shape, _Watch, device=device).calls


def watch_pass(
    network: nn.Module, shape: Sizes, watch: Callable[[], Watching], *, device: str = "meta"
) -> Watching:
    """Run a copy of a network on zeros, in evaluation, under what watches it, and return that.

    Args:
        network: Left as it was.
        shape: Of the volume: batch, channel, slice, height, width.
        watch: Makes a context manager that sees every operation.
        device: Where it runs; ``meta`` computes shapes only, as a CPU would. A network that refuses
            runs on the CPU instead.
    """
    try:
        return _watch_on(device, network, shape, watch())
    except (RuntimeError, TypeError, ValueError):
        return _watch_on("cpu", network, shape, watch())


def _watch_on(device: str, network: nn.Module, shape: Sizes, watching: Watching) -> Watching:
    network = copy.deepcopy(network).eval().to(device)
    # With gradients, so that what watches sees what is trained; nothing is kept for a way back.
    nothing = torch.autograd.graph.saved_tensors_hooks(lambda tensor: None, lambda kept: kept)
    with torch.enable_grad(), nothing, watching:
        network(torch.zeros(shape, device=device))
    return watching


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Convolution] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten.convolution.default:
            given, weight, _, stride, padding, dilation, transposed, _, groups = args
            if not transposed:
                axes = len(weight.shape) - 2
                self.calls.append(
                    Convolution(
                        tuple(given.shape),
                        tuple(weight.shape),
                        _per_axis(stride, axes),
                        _per_axis(padding, axes),
                        _per_axis(dilation, axes),
                        groups,
                        first=not given.requires_grad,
                        trained=weight.requires_grad,
                    )
                )
        return func(*args, **(kwargs or {}))


def _per_axis(sizes: list[int], axes: int) -> Sizes:
    return tuple(sizes) if len(sizes) == axes else tuple(sizes) * axes
