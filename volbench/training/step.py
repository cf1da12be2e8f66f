"""One training step: forward, loss, backward, optimizer; eager or as a CUDA graph."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from volbench._utils.device import send
from volbench.data.loading.loader import Batch
from volbench.encoders.packed_slices import Packing
from volbench.interfaces import Loss
from volbench.losses.weighted_sum import WeightedSum
from volbench.profiling.section_timer import BACKWARD, FORWARD, OPTIMISER, STEP, Clock
from volbench.training.classifier import Classifier, SliceIndex
from volbench.training.cuda_graphs import RecordedSteps, Recording, record_cuda_graph
from volbench.training.device_and_precision import Compute
from volbench.training.frozen import encodes_each
from volbench.training.regularization import Mixing, Regularizer
from volbench.types import Labels, Output, Scalar, SliceMask, Tokens, Volume

LENGTH_STEP = 8
"""Padded batches on a GPU are as long as a multiple of this, so that they come in few sizes."""


@runtime_checkable
class PackingEncoder(Protocol):
    """An encoder whose reading of sizes on the host is apart from its computing on the device."""

    def pack(
        self, volume: Volume, mask: SliceMask | None = None
    ) -> tuple[Float[Tensor, "..."], Packing]:
        """Lay the slices of a batch out."""

    def encode(self, slices: Float[Tensor, "..."], packing: Packing) -> Tokens:
        """Encode what was laid out."""


@dataclass(frozen=True)
class StepInputs:
    """All that a step reads; two of them whose tensors are alike can share a recording.

    Attributes:
        volume: The batch, or its packed slices where there is a ``packing``.
        packing: How they are packed; None for encoders that take volumes.
        mask: On the device.
        host_mask: For encoders that take the mask from the host.
        slices: What is predicted at slice level.
        labels: Of each item.
        mixing: Which case each one is mixed with, if any is.
        mixed_labels: Of the case that each item's is mixed with.
    """

    volume: Float[Tensor, "..."]
    packing: Packing | None
    mask: SliceMask | None
    host_mask: SliceMask | None
    slices: SliceIndex | None
    labels: Labels
    mixing: Mixing | None = None
    mixed_labels: Labels | None = None


class TrainingStep:
    """Does the steps of a fold.

    Args:
        model: Trained in place.
        criterion: Its parameters are trained, too.
        optimizer: Over the parameters of both.
        compute: Where and how; says whether steps are recorded.
        clip_norm: Longest gradient; 0 clips none.
        clock: Told of forward, backward and optimiser, or of whole steps that are replayed.
        regularizer: Changes batches at random; what it draws differs from step to step, so that
            steps that it has a part in are not recorded.
        record: How steps are recorded; by default as CUDA graphs.
    """

    def __init__(
        self,
        model: Classifier,
        criterion: Loss,
        optimizer: torch.optim.Optimizer,
        compute: Compute,
        *,
        clip_norm: float,
        clock: Clock,
        regularizer: Regularizer | None = None,
        record: Callable[[Callable[[], Tensor]], tuple[Recording, Tensor]] | None = None,
    ) -> None:
        self.model = model
        self.criterion = criterion
        self.optimizer = optimizer
        self.compute = compute
        self.clip_norm = clip_norm
        self.clock = clock
        self.regularizer = regularizer if regularizer and regularizer.is_active else None
        self.recorded: RecordedSteps | None = None
        if record is None and compute.graphs and self.regularizer is None:
            record = record_cuda_graph(torch.cuda.graph_pool_handle())
        if record is not None:
            self.recorded = RecordedSteps(
                self._run, record, self._parts(), torch.device(compute.device)
            )

    @property
    def refusal(self) -> str | None:
        """Why steps that should be recorded are not."""
        return None if self.recorded is None else self.recorded.refusal

    def __call__(self, batch: Batch, slices: SliceIndex | None, labels: Labels) -> Scalar:
        """Train on a batch; the loss is valid until the next step."""
        inputs = self._inputs(batch, slices, labels)
        if self.recorded is None or self.recorded.refusal is not None:
            return self._run(inputs)
        with self.clock.section(STEP), self.clock.paused():
            return self.recorded(inputs)

    def _inputs(self, batch: Batch, slices: SliceIndex | None, labels: Labels) -> StepInputs:
        encoder = self.model.encoder
        volume, mask = batch.volume, batch.mask
        if mask is not None and volume.is_cuda:
            short = -volume.shape[2] % LENGTH_STEP
            volume, mask = F.pad(volume, (0, 0, 0, 0, 0, short)), F.pad(mask, (0, short))
        on_device = None if mask is None else send(mask, volume.device)
        mixing, mixed_labels = None, None
        if self.regularizer is not None and (mixing := self.regularizer.draw_mixing(batch)):
            volume = self.regularizer.mix_volume(volume, mixing)
            others = batch.labels[mixing.partner]
            mixed_labels = others if slices is None else others[slices.case]
        mixed = mixing, mixed_labels
        if isinstance(encoder, PackingEncoder) and not encodes_each(encoder, volume, mask):
            packed, packing = encoder.pack(volume, mask)
            return StepInputs(packed, packing, on_device, None, slices, labels, *mixed)
        host_mask = mask if encoder.mask_on_host else None
        return StepInputs(volume, None, on_device, host_mask, slices, labels, *mixed)

    def _run(self, inputs: StepInputs) -> Scalar:
        with self.clock.section(FORWARD):
            with self.compute.autocast():
                output = self._forward(inputs)
            output = Output(output.logits.float(), output.embedding.float())
            if inputs.mixing is not None and inputs.mixed_labels is not None:
                loss = self._loss(output, inputs.labels, inputs.mixing.share)
                loss = loss + self._loss(output, inputs.mixed_labels, 1 - inputs.mixing.share)
            else:
                loss = self._loss(output, inputs.labels)
        with self.clock.section(BACKWARD):
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        with self.clock.section(OPTIMISER):
            if self.clip_norm:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()
        return loss.detach()

    def _loss(self, output: Output, labels: Labels, share: float = 1.0) -> Tensor:
        """Score a batch that stands for a share of the step."""
        if isinstance(self.criterion, WeightedSum):
            self.criterion.share = share
        loss: Tensor = self.criterion(output, labels)
        return loss if share == 1.0 else share * loss

    def _forward(self, inputs: StepInputs) -> Output:
        encoder = self.model.encoder
        if inputs.packing is not None:
            assert isinstance(encoder, PackingEncoder)
            tokens = encoder.encode(inputs.volume, inputs.packing)
        else:
            host_mask = inputs.host_mask if encoder.mask_on_host else inputs.mask
            tokens = self.model.encode(inputs.volume, host_mask, inputs.mask)
        change = None
        if self.regularizer is not None and self.regularizer.changes_tokens:
            change = partial(self.regularizer.change_tokens, mixing=inputs.mixing)
        return self.model.classify(tokens, inputs.mask, inputs.slices, change)

    def _parts(self) -> dict[str, torch.nn.Module]:
        parts: dict[str, torch.nn.Module] = {"encoder": self.model.encoder}
        if self.model.aggregator is not None:
            parts["aggregator"] = self.model.aggregator
        losses = self.criterion
        listed = losses.losses if isinstance(losses, WeightedSum) else [losses]
        return parts | {f"loss {number}:": loss for number, loss in enumerate(listed, 1)}
