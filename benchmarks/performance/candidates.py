"""Volbench's network and the same in plain nn.Conv3d: each layout, compiled, packed or padded."""

import copy
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from plain import as_plain
from torch import nn

from volbench.aggregators.bilinear import Bilinear
from volbench.encoders import resnet
from volbench.encoders.packed_slices import Packing
from volbench.training.classifier import Classifier

LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last_3d}
SLICE_LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
OURS = "volbench"
PLAIN = "plain Conv3d"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network with the batch it sees; a call runs it forward and backward.

    Attributes:
        model: Takes ``volume`` and, if there is one, ``mask``.
        packing: Layout that volbench's packed slices are forced into; None: its own choice.
    """

    model: nn.Module
    volume: torch.Tensor
    mask: torch.Tensor | None = None
    precision: str
    packing: torch.memory_format | None = None

    def __call__(self) -> None:
        """Run forward and backward."""
        for parameter in self.model.parameters():
            parameter.grad = None
        with precision(self.precision), packed_as(self.packing):
            self.logits().sum().backward()

    def logits(self) -> torch.Tensor:
        """Logits in float32 or wider."""
        kind = self.volume.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16"):
            arguments = (self.volume,) if self.mask is None else (self.volume, self.mask)
            output = self.model(*arguments)
        return getattr(output, "logits", output).float()

    def check(self) -> torch.Tensor:
        """Logits alone."""
        with torch.no_grad(), precision(self.precision), packed_as(self.packing):
            return self.logits()


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Forbid TensorFloat-32 unless it is what is measured; PyTorch allows it in convolutions."""
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


@contextmanager
def packed_as(layout: torch.memory_format | None) -> Iterator[None]:
    """Have volbench's encoders work in another layout than the one they choose."""
    own = Packing.pack
    if layout is None:
        yield
        return

    def pack(self: Packing, volume: torch.Tensor, **wishes: bool) -> torch.Tensor:
        slices = own(self, volume, **wishes)
        # A tensor of one channel counts as being in every layout, so converting it does nothing:
        # the layers would not know which was meant. Memory laid out anew tells them.
        return torch.empty_like(slices, memory_format=layout).copy_(slices)

    Packing.pack = pack
    try:
        yield
    finally:
        Packing.pack = own


def build(name: str, device: str) -> tuple[Classifier, Classifier]:
    """One network twice: volbench's, and the plain one with its weights; bilinear head on both."""
    torch.manual_seed(0)
    ours = Classifier(getattr(resnet, name)(1), Bilinear(256), 2)
    nn.init.normal_(ours.head.weight)
    plain = Classifier(as_plain(ours.encoder), Bilinear(256), 2)
    plain.head.load_state_dict(ours.head.state_dict())
    return ours.to(device).train(), plain.to(device).train()


def same_network(name: str, volume: torch.Tensor, precision: str) -> dict[str, Candidate]:
    """Volbench's network and the plain one, each in both layouts."""
    ours, plain = build(name, str(volume.device))
    found = {OURS: Candidate(model=ours, volume=volume, precision=precision)}
    for layout, packing in SLICE_LAYOUTS.items():
        found[f"{OURS}, {layout}"] = replace(found[OURS], packing=packing)
    for layout, memory_format in LAYOUTS.items():
        found[f"{PLAIN}, {layout}"] = laid_out(plain, memory_format, volume, precision)
    return found


def laid_out(
    model: nn.Module,
    memory_format: torch.memory_format,
    volume: torch.Tensor,
    precision: str,
    mask: torch.Tensor | None = None,
) -> Candidate:
    """A copy of a network in a layout, with its volumes in the same one."""
    return Candidate(
        model=copy.deepcopy(model).to(memory_format=memory_format),
        volume=volume.contiguous(memory_format=memory_format),
        precision=precision,
        mask=mask,
    )


def compiled(
    candidates: Mapping[str, Candidate], *, limit_s: float, ours: bool = True
) -> tuple[dict[str, Callable[[], None]], list[str]]:
    """Compiled versions of both networks, or of the plain one, and why others do not compile."""

    def made() -> Iterator[tuple[str, Candidate, Candidate]]:
        for name, eager in candidates.items():
            if (name == OURS and ours) or is_best_plain(name):
                model = copy.deepcopy(eager.model)
                model.encoder.compile()
                candidate = replace(eager, model=model)
                yield f"{name}, compiled", candidate, candidate

    return those_that_work(made(), limit_s)


def is_best_plain(name: str) -> bool:
    """Whether this is the plain network in the layout that suits it."""
    return name.startswith(PLAIN) and name.endswith("channels last")


def recorded(
    candidates: Mapping[str, Candidate], *, limit_s: float
) -> tuple[dict[str, Callable[[], None]], list[str]]:
    """Steps recorded once and replayed: volbench's, as it trains on a GPU, and the plain network's.

    With a mask the plain network is left as it is: it reads the mask from the host.
    """
    steps: dict[str, Callable[[], None]] = {f"{OURS}, recorded": packed_step(candidates[OURS])}
    steps |= {
        f"{name}, recorded": candidate
        for name, candidate in candidates.items()
        if is_best_plain(name) and candidate.mask is None
    }
    replays = ((name, Replayed(step)) for name, step in steps.items())
    return those_that_work(((name, each.record, each) for name, each in replays), limit_s)


class Replayed:
    """A step as a CUDA graph.

    Args:
        step: What is recorded; what it reads stays alive with it.
    """

    def __init__(self, step: Callable[[], None]) -> None:
        self.step = step
        self.graph = torch.cuda.CUDAGraph()

    def record(self) -> None:
        """Run it once as it is, which chooses algorithms, and record it."""
        self.step()
        with torch.cuda.graph(self.graph):
            self.step()

    def __call__(self) -> None:
        """Run it again."""
        self.graph.replay()


def packed_step(candidate: Candidate) -> Callable[[], None]:
    """Forward and backward of volbench's network, its batch packed before."""
    model = candidate.model
    packed = model.encoder.pack(candidate.volume, candidate.mask)
    mask = None if candidate.mask is None else candidate.mask.to(candidate.volume.device)

    def step() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        kind = candidate.precision == "bfloat16"
        with precision(candidate.precision), torch.autocast("cuda", torch.bfloat16, enabled=kind):
            output = model.classify(model.encoder.encode(*packed), mask)
        output.logits.float().sum().backward()

    return step


def those_that_work(
    made: Iterable[tuple[str, Callable[[], object], Callable[[], None]]], limit_s: float
) -> tuple[dict[str, Callable[[], None]], list[str]]:
    """Calls by name whose first call, the second of the three, succeeds; and why others do not."""
    found: dict[str, Callable[[], None]] = {}
    failures = []
    for name, first, call in made:
        if (reason := attempt(name, first, limit_s)) is None:
            found[name] = call
        else:
            failures.append(reason)
    return found, failures


def attempt(name: str, call: Callable[[], object], limit_s: float) -> str | None:
    """Call once; tell in a line why a candidate is left out that fails or takes too long."""

    def expired(*_: object) -> None:
        raise TimeoutError(f"it took more than {limit_s:.0f} s")

    print(f"{name} ...", file=sys.stderr, flush=True)
    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        call()
    except Exception as error:  # no compiler, or one that cannot: the others are still measured
        return f"{name}: left out, {type(error).__name__}: {str(error)[:80]!r}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return None


def unequal(
    name: str, volume: torch.Tensor, lengths: Sequence[int], precision: str
) -> dict[str, Candidate]:
    """A batch of unequal volumes: volbench packs it, the plain network works on the padding too."""
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    volume = volume * mask.to(volume.device)[:, None, :, None, None]
    ours, plain = build(name, str(volume.device))
    found = {OURS: Candidate(model=ours, volume=volume, mask=mask, precision=precision)}
    for layout, packing in SLICE_LAYOUTS.items():
        found[f"{OURS}, {layout}"] = replace(found[OURS], packing=packing)
    for layout, memory_format in LAYOUTS.items():
        found[f"{PLAIN}, padded, {layout}"] = laid_out(
            plain, memory_format, volume, precision, mask
        )
    return found
