"""Training steps recorded once per size of batch and replayed: CUDA graphs.

A step of small volumes is a few hundred kernels that take longer to launch than to run; a graph
launches them all at once. The sizes of batches are few, because packed slices are rounded up
(``volbench.encoders.packed_slices.plan_rows``). What is replayed are the kernels that would have
run: the numbers are the same.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from volbench.errors import UsageError

Graphs: TypeAlias = Literal["auto", "on", "off"]
Inputs = TypeVar("Inputs")

MOST_GRAPHS = 32
"""Sizes of batches that are recorded; steps of further ones run as they are."""

WARM_UPS = 2
"""Steps of one size before it is recorded: the first ones choose algorithms and compile."""


def choose_graphs(wanted: Graphs, device: str, *, compiled: bool) -> bool:
    """Resolve ``auto``: on a GPU, unless the encoder is compiled.

    Measured on an H200: a step of rMC5 takes 2.2 instead of 31 ms at 4 x 24 slices of 32 x 32, and
    19.5 instead of 28.8 ms at 8 x 24 of 256 x 256.

    Args:
        wanted: What was asked for.
        device: Where the network runs.
        compiled: Whether the encoder is compiled.

    Raises:
        UsageError: ``on``, but the device is not a GPU.
    """
    on_gpu = torch.device(device).type == "cuda"
    if wanted == "on" and not on_gpu:
        raise UsageError(f"--graphs on: {device} has no CUDA graphs; use --graphs off or auto")
    return wanted == "on" or (wanted == "auto" and on_gpu and not compiled)


@runtime_checkable
class Recording(Protocol):
    """A step that can be repeated on other numbers in the same tensors."""

    def replay(self) -> None:
        """Repeat what was recorded."""


@dataclass(frozen=True)
class _Step:
    inputs: Any
    recording: Recording
    loss: Tensor


class RecordedSteps:
    """Runs steps; from the third of one size on, replays a recording of it.

    Args:
        run: Does a step on its inputs, a dataclass of tensors, dataclasses and plain values, and
            returns the loss; must neither read a tensor on the host nor keep state outside the
            device that differs from step to step.
        record: Runs a step in a way that can be replayed; see ``record_cuda_graph``.
        parts: What a step consists of, by role, to name what cannot be recorded.
        device: Where tensors are whose values must not be read.
    """

    def __init__(
        self,
        run: Callable[[Any], Tensor],
        record: Callable[[Callable[[], Tensor]], tuple[Recording, Tensor]],
        parts: Mapping[str, nn.Module],
        device: torch.device,
    ) -> None:
        self.run = run
        self.record = record
        self.parts = parts
        self.device = device
        self.refusal: str | None = None
        self._seen: Counter[object] = Counter()
        self._steps: dict[object, _Step] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def __call__(self, inputs: Inputs) -> Tensor:
        """Do a step; the loss is valid until the next one."""
        if self.refusal is not None:
            return self.run(inputs)
        key = key_of(inputs, self.device)
        step = self._steps.get(key)
        if step is None:
            return self._first_ones(inputs, key)
        copy_into(step.inputs, inputs)
        step.recording.replay()
        return step.loss

    def _first_ones(self, inputs: Inputs, key: object) -> Tensor:
        if not self._seen:
            self._seen[key] += 1
            return self._watched(inputs)
        if self._seen[key] < WARM_UPS or len(self._steps) >= MOST_GRAPHS:
            self._seen[key] += 1
            return self.run(inputs)
        kept = copied(inputs)
        try:
            recording, loss = self.record(lambda: self.run(kept))
        except RuntimeError as error:
            reason = str(error).splitlines()[0].rstrip(".")
            self.refusal = f"no CUDA graphs: a step cannot be recorded ({reason})"
            return self.run(inputs)
        self._steps[key] = _Step(kept, recording, loss)
        recording.replay()
        return loss

    def _watched(self, inputs: Inputs) -> Tensor:
        with HostReads(self.parts, self.device) as reads:
            loss = self.run(inputs)
        if reads.found is not None:
            part, operation = reads.found
            self.refusal = (
                f"no CUDA graphs: {part} waits for values of the device ({operation}); "
                "training goes on without"
            )
        return loss


class HostReads(TorchDispatchMode):
    """Finds the first operation that needs a value of a device on the host, and whose it is.

    Args:
        parts: Modules by role.
        device: Tensors elsewhere may be read.
    """

    def __init__(self, parts: Mapping[str, nn.Module], device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: tuple[str, str] | None = None
        self._device = device.type
        self._parts = parts
        self._inside: list[str] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> "HostReads":
        for role, module in self._parts.items():
            name = f"{role} {type(module).__name__}"
            self._hooks += [
                module.register_forward_pre_hook(lambda *_, name=name: self._inside.append(name)),
                module.register_forward_hook(lambda *_: self._left(), always_call=True),
            ]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()

    def _left(self) -> None:
        self._inside.pop()

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if self.found is None and self._reads(func, args, kwargs or {}):
            part = self._inside[-1] if self._inside else "the training step"
            self.found = part, str(func).removeprefix("aten.").partition(".")[0].lstrip("_")
        return func(*args, **(kwargs or {}))

    def _reads(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        name = str(func).partition(".")[2].partition(".")[0]
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is None or first.device.type != self._device:
            return False
        if name in ("_to_copy", "to"):
            target = kwargs.get("device")
            return target is not None and torch.device(target).type != self._device
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            return any(isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1])
        return name in READS


READS = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim",
    "unique_consecutive", "repeat_interleave", "bincount", "equal", "is_nonzero",
}  # fmt: skip
"""Operations whose result, or its size, the host must know."""


def record_cuda_graph(pool: object) -> Callable[[Callable[[], Tensor]], tuple[Recording, Tensor]]:
    """Record steps as CUDA graphs that share one pool of memory; recording computes nothing.

    Args:
        pool: As ``torch.cuda.graph_pool_handle()`` gives it.
    """

    def record(run: Callable[[], Tensor]) -> tuple[Recording, Tensor]:
        graph = torch.cuda.CUDAGraph()
        # Other threads may meanwhile prepare the next batch.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):  # type: ignore[arg-type]
            loss = run()
        return graph, loss

    return record


def key_of(inputs: object, device: torch.device) -> object:
    """All that must be the same for a recording to fit: shapes, kinds and plain values.

    A tensor that is not on the device counts by its values, which the recording contains.
    """
    if isinstance(inputs, Tensor):
        constant = inputs.device.type != device.type
        values = inputs.cpu().numpy().tobytes() if constant else b""
        return tuple(inputs.shape), inputs.dtype, inputs.stride(), values
    if is_dataclass(inputs):
        parts = (getattr(inputs, field.name) for field in fields(inputs))
        return type(inputs), *(key_of(part, device) for part in parts)
    return inputs


def copied(inputs: Inputs) -> Inputs:
    """Copy all tensors, in their layout."""
    if isinstance(inputs, Tensor):
        return inputs.clone()  # type: ignore[return-value]
    if is_dataclass(inputs) and not isinstance(inputs, type):
        parts = {field.name: copied(getattr(inputs, field.name)) for field in fields(inputs)}
        return replace(inputs, **parts)
    return inputs


def copy_into(kept: object, inputs: object) -> None:
    """Put the numbers of other inputs of the same key into what was kept."""
    if isinstance(kept, Tensor):
        assert isinstance(inputs, Tensor)
        kept.copy_(inputs, non_blocking=True)
    elif is_dataclass(kept):
        for field in fields(kept):
            copy_into(getattr(kept, field.name), getattr(inputs, field.name))
