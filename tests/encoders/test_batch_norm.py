"""The exact layer against PyTorch's own in float64."""

import statistics

import pytest
import torch
from torch import Tensor, nn

from volbench.encoders import batch_norm
from volbench.encoders.batch_norm import PIECE, BatchNorm
from volbench.encoders.resnet import r2d

CHANNELS = 16


def maps(rows: int, *, last: bool = True, seed: int = 0) -> Tensor:
    """Values far from mean 0, as a convolution's are; `rows` is a multiple of 64."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(rows // 64, CHANNELS, 8, 8, generator=random) * 2 + 3
    return values.contiguous(memory_format=torch.channels_last) if last else values


def upstream(rows: int) -> Tensor:
    """A gradient that goes along with the values a little, so that no sum of it is near zero."""
    return maps(rows, seed=1) - 2.5 + 0.2 * maps(rows)


def layer(kind: type[nn.BatchNorm2d], dtype: torch.dtype = torch.float32) -> nn.BatchNorm2d:
    found = kind(CHANNELS).to(dtype)
    with torch.no_grad():
        found.weight.copy_(torch.linspace(0.5, 1.5, CHANNELS))
        found.bias.copy_(torch.linspace(-1, 1, CHANNELS))
    return found


def passed(norm: nn.BatchNorm2d, values: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """What a step leaves behind: output, gradients and running statistics."""
    values = values.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    out = norm(values)
    back = torch.autograd.grad(out, [values, norm.weight, norm.bias], gradient)
    named = dict(zip(("values", "weight", "bias"), back, strict=True))
    return {
        "out": out.detach(),
        **named,
        "mean": norm.running_mean,
        "var": norm.running_var,
        "batches": norm.num_batches_tracked,
    }


def error(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).norm() / other.double().norm())


@pytest.mark.parametrize("rows", [4 * PIECE, 5 * PIECE + 64])
def test_output_gradients_and_running_statistics_are_those_of_float64(rows: int) -> None:
    values, gradient = maps(rows), upstream(rows)
    found = passed(layer(BatchNorm), values, gradient)
    wanted = passed(layer(nn.BatchNorm2d, torch.float64), values.double(), gradient.double())
    for name, value in found.items():
        assert error(value, wanted[name]) < 3e-6, name
    assert found["out"].is_contiguous(memory_format=torch.channels_last)
    assert found["values"].is_contiguous(memory_format=torch.channels_last)


def test_the_layer_it_replaces_is_not_as_exact() -> None:
    values, gradient = maps(64 * PIECE), upstream(64 * PIECE)
    wanted = passed(layer(nn.BatchNorm2d, torch.float64), values.double(), gradient.double())
    worst = {
        kind: max(
            error(value, wanted[name])
            for name, value in passed(layer(kind), values, gradient).items()
        )
        for kind in (BatchNorm, nn.BatchNorm2d)
    }
    assert worst[BatchNorm] < 5e-6
    assert worst[nn.BatchNorm2d] > 10 * worst[BatchNorm]


@pytest.mark.parametrize("reason", ["few rows", "channels first", "bfloat16", "evaluation"])
def test_everywhere_else_it_is_the_layer_of_pytorch(reason: str) -> None:
    values = maps(PIECE if reason == "few rows" else 4 * PIECE, last=reason != "channels first")
    if reason == "bfloat16":
        values = values.bfloat16()
    ours, theirs = layer(BatchNorm), layer(nn.BatchNorm2d)
    if reason == "evaluation":
        ours.eval()
        theirs.eval()
    gradient = torch.ones_like(values)
    wanted = passed(theirs, values, gradient)
    for name, value in passed(ours, values, gradient).items():
        assert torch.equal(value, wanted[name]), name


def test_input_that_needs_no_gradient_gets_none() -> None:
    norm, values = layer(BatchNorm), maps(2 * PIECE)
    norm(values).sum().backward()
    assert values.grad is None
    assert norm.bias.grad is not None
    assert norm.bias.grad[0] == 2 * PIECE


def test_weights_of_older_runs_fit() -> None:
    layer(BatchNorm).load_state_dict(layer(nn.BatchNorm2d).state_dict())
    assert list(BatchNorm(3).state_dict()) == list(nn.BatchNorm2d(3).state_dict())


def test_the_gradients_of_a_network_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients(seed: int, dtype: torch.dtype) -> list[Tensor]:
        torch.manual_seed(seed)
        network = r2d(1, width=16).to(dtype)
        random = torch.Generator().manual_seed(seed)
        tokens = network(torch.randn(4, 1, 12, 64, 64, generator=random).to(dtype))
        (tokens * torch.linspace(-1, 1, len(tokens[0, 0]), dtype=dtype)).sum().backward()
        return [weight.grad for weight in network.parameters() if weight.grad is not None]

    def least(seeds: tuple[int, ...] = (0, 1, 2)) -> float:
        """Where a value is next to a ReLU's zero, any rounding decides; not with every seed."""
        return min(
            statistics.median(map(error, gradients(seed, torch.float32), wanted[seed]))
            for seed in seeds
        )

    wanted = {seed: gradients(seed, torch.float64) for seed in (0, 1, 2)}
    assert least() < 5e-5
    monkeypatch.setattr(batch_norm, "_is_inexact", lambda maps: False)
    assert least() > 2e-4
