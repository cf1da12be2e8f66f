"""Whether a device computes the network's convolutions in bfloat16 as in float32.

Not all do. cuDNN 9.10.2 returns wrong 3D convolutions for some shapes
(https://github.com/pytorch/pytorch/issues/163539); on CPUs with bfloat16 instructions oneDNN
leaves parts of some weight gradients unwritten, which become NaN now and then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from volbench._utils.subprocesses import Answer, run_in_subprocess, serve
from volbench.profiling.conv_trace import Convolution
from volbench.training.device_and_precision import Compute, Way

TOLERANCE = 0.02
"""Of the largest value; bfloat16 rounds to 0.4 %, and there is one rounding."""

CPU_ITEMS = 2
TRIES = 4
LIMIT_S = 120.0
"""Seconds after which a process that tries convolutions is given up."""

RESULTS = ("result", "gradient of the input", "gradient of the weights")


@dataclass(frozen=True)
class Fault:
    """A convolution whose ``part`` is off by ``error``, relative to its largest value."""

    convolution: Convolution
    part: str
    error: float

    def __str__(self) -> str:
        wrong = "not finite" if self.error == float("inf") else f"off by {self.error:.0%}"
        return f"the {self.part} of a {self.convolution} is {wrong}"


def tell_fault(convolutions: Sequence[Convolution], compute: Compute) -> str | None:
    """Say in words what is wrong; see ``find_fault``.

    3D convolutions on a CPU are tried in a process of their own, because some of oneDNN's end it.
    """
    if compute.device != "cpu" or all(len(each.weight) == 4 for each in convolutions):
        fault = find_fault(convolutions, compute)
        return None if fault is None else str(fault)
    tried = _to_try(convolutions, compute)
    tasks = [{"layer": asdict(each), "compute": asdict(compute)} for each in tried]
    for number, answer in run_in_subprocess(
        "volbench.training.precision_selftest", tasks, limit_s=LIMIT_S
    ):
        if "died" in answer:
            return f"a {tried[number]} {answer['died']}"
        if answer["fault"] is not None:
            return str(answer["fault"])
    return None


def find_fault(convolutions: Sequence[Convolution], compute: Compute) -> Fault | None:
    """Compare bfloat16 with float32, forward and backward; return the first fault.

    On a CPU two items of each 2D convolution are compared, to save time; 3D ones have one item.
    """
    return next(find_faults(convolutions, compute), None)


def find_faults(convolutions: Sequence[Convolution], compute: Compute) -> Iterator[Fault]:
    """Yield the first fault of each convolution that has one; see ``find_fault``."""
    for convolution in _to_try(convolutions, compute):
        for part, error in _errors(convolution, torch.device(compute.device)):
            if not error <= TOLERANCE:
                yield Fault(convolution, part, error)
                break


def choose_way(fault: Fault, compute: Compute) -> Way:
    """Choose how a convolution that goes wrong is computed instead.

    From slices stacked with their neighbours, where that is another convolution and goes right;
    else in float32.
    """
    layer = fault.convolution
    if len(layer.weight) == 5:
        stacked = replace(
            layer,
            input=(layer.input[0] * layer.input[2], 3 * layer.input[1], *layer.input[3:]),
            weight=(layer.weight[0], 3 * layer.weight[1], *layer.weight[3:]),
            stride=layer.stride[1:],
            padding=layer.padding[1:],
            dilation=layer.dilation[1:],
        )
        if find_fault([stacked], compute) is None:
            return "stacked"
    return "float32"


def main(pipe: int) -> None:
    """Serve ``tell_fault``."""
    serve(pipe, _try)


def _try(task: Answer) -> Answer:
    layer: Answer = {k: tuple(v) if isinstance(v, list) else v for k, v in task["layer"].items()}
    compute = Compute(**task["compute"])
    compute.enter()
    fault = find_fault([Convolution(**layer)], compute)
    return {"fault": None if fault is None else str(fault)}


def _to_try(convolutions: Sequence[Convolution], compute: Compute) -> list[Convolution]:
    """Each kind once, of few items on a CPU."""
    small = map(_limited, convolutions) if compute.device == "cpu" else convolutions
    return list(dict.fromkeys(small))


def _limited(convolution: Convolution) -> Convolution:
    items = CPU_ITEMS if len(convolution.weight) == 4 else 1
    return replace(convolution, input=(min(items, convolution.input[0]), *convolution.input[1:]))


def _errors(layer: Convolution, device: torch.device) -> Iterator[tuple[str, float]]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Float[Tensor, "..."]:
        # Rounded, so that both precisions start from the same numbers.
        drawn = torch.randn(shape, generator=generator).bfloat16().to(device)
        if device.type == "cpu":
            return drawn
        layouts = {4: torch.channels_last, 5: torch.channels_last_3d}  # as encoders convolve there
        return drawn.contiguous(memory_format=layouts[len(shape)])

    volume, weight, gradient = draw(*layer.input), draw(*layer.weight), draw(*layer.output)
    used = _used_parts(layer)
    expected = _results(layer, volume.float(), weight.float(), gradient.float())
    for _ in range(TRIES):
        _leave_dirt(volume, weight, gradient)
        found = _results(layer, volume, weight, gradient)
        for part, right, result in zip(RESULTS, expected, found, strict=True):
            if part not in used:
                continue
            if not bool(result.isfinite().all()):
                yield part, float("inf")
            yield part, float((result.float() - right).abs().max() / right.abs().max())


def _used_parts(layer: Convolution) -> tuple[str, ...]:
    """What training computes of a layer: no gradients of what is frozen up to there."""
    result, of_input, of_weights = RESULTS
    if not layer.trained:
        return (result,) if layer.first else (result, of_input)
    return (result, of_input, of_weights)


def _results(
    layer: Convolution,
    volume: Float[Tensor, "..."],
    weight: Float[Tensor, "..."],
    gradient: Float[Tensor, "..."],
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    settings = (list(layer.stride), list(layer.padding), list(layer.dilation), False)
    end = ([0] * len(layer.stride), layer.groups)
    result = torch.ops.aten.convolution(volume, weight, None, *settings, *end)
    of_input, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient, volume, weight, None, *settings, *end, [True, True, False]
    )
    return result, of_input, of_weight


def _leave_dirt(*like: Float[Tensor, "..."]) -> None:
    """Free memory full of NaN: a kernel that reads what nobody wrote is then found out."""
    dirt = [torch.full_like(tensor, float("nan")) for tensor in like for _ in range(4)]
    del dirt
