"""One real forward and backward pass of every component on a few cases, before any training.

What a component breaks is told in a line that names it, who provides it, and where in its file.
"""

import logging
import math
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from volbench._utils.device import send
from volbench.data.loading.loader import Batch
from volbench.errors import PluginError, VolbenchError
from volbench.losses.weighted_sum import WeightedSum
from volbench.plugins.registry import REGISTRIES, source_of
from volbench.spec import Spec, parse_sum
from volbench.training.classifier import Classifier, shrink_mask
from volbench.training.fold import FoldTrainer
from volbench.training.inference import representative_items
from volbench.training.memory import peak_memory_mb
from volbench.types import Output

logger = logging.getLogger(__name__)

PER_CLASS = 2
"""Cases of each class in the batch."""


@dataclass(frozen=True)
class TrialCost:
    """What a step took: forward and backward, once to warm up and once measured.

    Attributes:
        cases: In the batch.
        seconds: Of the second step.
        memory_mb: Peak of the process, its libraries included; of the GPU where there is one.
        before_mb: The same before the first step.
    """

    cases: int
    seconds: float
    memory_mb: float
    before_mb: float


@dataclass(frozen=True)
class _Named:
    """A component with its name in messages."""

    kinds: str
    spec: Spec

    def refuse(self, problem: str, place: str = "") -> PluginError:
        return PluginError(f"{self.of}: {problem}{f' ({place})' if place else ''}")

    @property
    def of(self) -> str:
        """What it is and who provides it."""
        registry = REGISTRIES[self.kinds]
        return f"{registry.kind} {self.spec} of {registry.provider(self.spec.name)}"

    @property
    def is_built_in(self) -> bool:
        """Whether it is volbench's own."""
        return REGISTRIES[self.kinds].is_built_in(self.spec.name)

    @property
    def place(self) -> str:
        """File and line of its class or function."""
        try:
            return source_of(REGISTRIES[self.kinds][self.spec.name])
        except VolbenchError:  # a bridge to TorchIO
            return ""

    @contextmanager
    def running(self, doing: str) -> Iterator[None]:
        """Turn what it raises into one line that says where."""
        try:
            yield
        except VolbenchError:
            raise
        except (Exception, SystemExit) as error:
            said = " ".join(str(error).split())
            what = f"{type(error).__name__}{f': {said}' if said else ''}"
            raise self.refuse(f"{doing} fails ({what})", self._where(error)) from error

    def _where(self, error: BaseException) -> str:
        """The deepest frame in the component's own file, else its definition."""
        own = self.place.rpartition(":")[0]
        folder = str(Path(own).parent)
        frames = traceback.extract_tb(error.__traceback__)
        for frame in reversed(frames):
            if own and (frame.filename == own or frame.filename.startswith(f"{folder}/")):
                return f"{frame.filename}:{frame.lineno}"
        return self.place


def try_components(trainer: FoldTrainer) -> TrialCost:
    """Take a batch of each class through augmentation, network and loss, forward and back.

    Raises:
        PluginError: a component fails, or returns what it must not.
    """
    named = _components(trainer)
    cases = _cases(trainer)
    before = peak_memory_mb(trainer.device)
    trainer.model.train()
    with named["augmentation"].running("a batch"):
        batch = next(trainer.batches.augmented([cases], 0))
    _check_volume(named["augmentation"], batch, trainer)
    for _ in range(2):  # the first one also sets up what later ones use again
        began = time.perf_counter()
        _step(trainer, batch, named)
        seconds = time.perf_counter() - began
    return TrialCost(len(cases), seconds, peak_memory_mb(trainer.device), before)


def component_at_fault(trainer: FoldTrainer, epoch: int) -> str | None:
    """Name the component that gives NaN or infinity before anything was trained; None if none.

    Takes the batches of an epoch through network and loss as they were at the start, which no rate
    of learning can have spoilt. The trainer cannot be used afterwards.

    Args:
        trainer: Of a fold that has failed.
        epoch: Whose batches, counted from 1.
    """
    named = _components(trainer)
    try:
        trainer.start_anew()
        trainer.model.train()
        for batch in trainer.batches.augmented(trainer.batches.draw(epoch), epoch):
            _check_numbers(named["augmentation"], batch.volume, "volumes")
            _step(trainer, batch, named)
    except PluginError as error:
        return str(error)
    except Exception as error:  # it has failed already, and for another reason
        logger.debug("cannot look for the component at fault: %s", error)
    return None


def third_party(trainer: FoldTrainer) -> list[str]:
    """Components that volbench does not provide itself, with their distributions."""
    named = [*_components(trainer).values(), *(name for _, name, _ in _losses(trainer))]
    return [name.of for name in named if not name.is_built_in]


def _components(trainer: FoldTrainer) -> dict[str, _Named]:
    experiment = trainer.experiment
    augmentation = parse_sum(trainer.recipe.training.augmentation).terms[-1].spec
    found = {
        "augmentation": _Named("augmentations", augmentation),
        "encoder": _Named("encoders", experiment.encoder),
    }
    if experiment.aggregator is not None:
        found["aggregator"] = _Named("aggregators", experiment.aggregator)
    return found


def _cases(trainer: FoldTrainer) -> Int[np.ndarray, " case"]:
    train = np.asarray(trainer.part.train)
    labels = trainer.loader.labels[train]
    most = max(trainer.recipe.training.batch_size, len(set(labels)))
    chosen = [train[labels == label][:PER_CLASS] for label in sorted(set(labels))]
    return np.concatenate(chosen)[:most]


def _check_volume(augmentation: _Named, batch: Batch, trainer: FoldTrainer) -> None:
    volume = batch.volume
    channels = trainer.prepared.voxels.shape[1]
    expected = (len(batch.cases), channels, int(trainer.loader.slices[batch.cases].max()))
    if trainer.features is None and tuple(volume.shape[:3]) != expected:
        raise augmentation.refuse(
            f"gives volumes of shape {tuple(volume.shape)}; cases, channels and slices must stay "
            f"{expected}",
            augmentation.place,
        )
    _check_numbers(augmentation, volume, "volumes")


def _step(trainer: FoldTrainer, batch: Batch, named: dict[str, _Named]) -> None:
    model: Classifier = trainer.model
    model.zero_grad(set_to_none=True)
    mask = batch.mask
    on_device = None if mask is None else send(mask, batch.volume.device)
    encoder = named["encoder"]
    with trainer.compute.autocast(), encoder.running("its forward pass"):
        tokens = model.encode(batch.volume, mask, on_device)
    slices = batch.volume.shape[2]
    counted = math.ceil(slices / model.encoder.slice_stride)
    _check_shape(
        encoder, tokens, (len(batch.cases), counted, model.encoder.num_features), "tokens",
        "correct num_features, slice_stride or what forward returns",
    )  # fmt: skip
    _check_numbers(encoder, tokens, "tokens")
    items, labels = None, batch.labels
    if model.aggregator is None:
        items, labels = representative_items(batch, trainer.prepared.cases)
    last = named.get("aggregator", encoder)
    if model.aggregator is None:
        assert items is not None
        pooled = tokens[items.case, items.slice]
    else:
        shrunk = None if on_device is None else shrink_mask(on_device, model.encoder.slice_stride)
        with trainer.compute.autocast(), last.running("its forward pass"):
            pooled = model.aggregator(tokens, shrunk)
        _check_shape(
            last, pooled, (len(batch.cases), model.aggregator.num_features), "vectors",
            "correct num_features or what forward returns",
        )  # fmt: skip
    _check_numbers(last, pooled, "vectors")
    with trainer.compute.autocast():
        output = model.apply_head(pooled)
    output = Output(output.logits.float(), output.embedding.float())
    total = output.logits.new_zeros(())
    for weight, name, loss in _losses(trainer):
        with name.running("its forward pass"):
            value = loss(output, labels)
        _check_shape(name, value, (), "a value", "return one number, as by .mean()")
        _check_numbers(name, value, "a value")
        total = total + weight * value
    if not total.requires_grad:
        raise encoder.refuse("no gradient comes back from the loss; do not detach", encoder.place)
    with last.running("its backward pass"):
        total.backward()
    _check_gradients(model, named)


def _losses(trainer: FoldTrainer) -> Iterator[tuple[float, _Named, nn.Module]]:
    """The terms of the loss, which is always a weighted sum."""
    terms = trainer.experiment.loss.terms
    assert isinstance(trainer.criterion, WeightedSum)
    for term, loss in zip(terms, trainer.criterion.losses, strict=True):
        yield term.weight, _Named("losses", term.spec), loss


def _check_shape(
    named: _Named, value: object, expected: tuple[int, ...], what: str, way_out: str
) -> None:
    shape = tuple(value.shape) if isinstance(value, Tensor) else None
    if shape != expected:
        given = f"{what} of shape {shape}" if shape is not None else f"a {type(value).__name__}"
        raise named.refuse(f"gives {given}, not {expected}; {way_out}", named.place)


def _check_numbers(named: _Named, value: Tensor, what: str) -> None:
    if not bool(value.isfinite().all()):
        kind = "NaN" if bool(value.isnan().any()) else "infinity"
        raise named.refuse(f"gives {what} with {kind}", named.place)


def _check_gradients(model: nn.Module, named: dict[str, _Named]) -> None:
    """Whatever is trained and was reached has a gradient of numbers."""
    for key in ("encoder", "aggregator"):
        part: nn.Module | None = getattr(model, key)
        if part is None:
            continue
        gradients = [p.grad for p in part.parameters() if p.requires_grad and p.grad is not None]
        trained = any(parameter.requires_grad for parameter in part.parameters())
        if trained and not gradients:
            raise named[key].refuse(
                "none of its parameters has a gradient; do not detach", named[key].place
            )
        if any(not bool(torch.isfinite(gradient).all()) for gradient in gradients):
            raise named[key].refuse("its gradient holds NaN or infinity", named[key].place)
