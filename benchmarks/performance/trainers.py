"""Training loops that are timed epoch by epoch: volbench's own, and one as peers write it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Queue
from typing import NamedTuple, Protocol

import numpy as np
import torch
from plain import as_plain
from timing import Clock
from torch.nn import functional as F

from volbench._utils.seeds import derive_seed
from volbench.crossval.plan import Plan
from volbench.data.loading.sampler import epoch_batches, evaluation_batches
from volbench.interfaces import Problem
from volbench.losses.weighted_sum import build_loss
from volbench.training.classifier import Classifier, build_classifier, probabilities
from volbench.training.device_and_precision import Compute
from volbench.training.fold import FoldTrainer, Trained
from volbench.training.fold_reports import EpochReport
from volbench.training.optimizer import build_optimizer, learning_rates, set_learning_rate
from volbench.types import Output

FOLD = 0
EVALUATION_BATCH = 4


class Trainer(Protocol):
    """What is timed."""

    def epoch(self) -> None:
        """Train one epoch."""

    def probabilities(self) -> np.ndarray:
        """Score the held-out cases, after the last epoch; [case, class] in the fold's order."""

    def batch_seconds(self) -> float:
        """What reading and augmenting an epoch's cases take if nothing else goes on."""


class Stopwatch:
    """Measures by one clock."""

    def __init__(self, clock: Clock) -> None:
        self._now = {"wall": time.perf_counter, "processor": time.process_time}[clock]

    def drain(self, items: Iterable[object]) -> float:
        """Seconds to go through all items."""
        start = self._now()
        for _ in items:
            pass
        return self._now() - start


class Ours:
    """``FoldTrainer`` in a thread of its own that stops after every epoch until it is asked on.

    So its epochs take turns with those of others, and nothing but its public interface is used.

    Attributes:
        history: Figures of each epoch, once ``probabilities`` was called.
    """

    history: list[dict[str, float]]

    def __init__(self, plan: Plan, compute: Compute, clock: Clock) -> None:
        self._plan, self._compute = plan, compute
        self._watch = Stopwatch(clock)
        self._go: Queue[None] = Queue()
        self._done: Queue[None] = Queue()
        self._result: Future[Trained] = Future()
        # A daemon: if something else fails, nobody will ask it on, and the script must end.
        threading.Thread(target=self._work, daemon=True).start()
        self._wait()

    def batch_seconds(self) -> float:
        """Going through one epoch's batches and training on none."""
        batches = self._trainer.batches
        return self._watch.drain(batches.augmented(batches.draw(1), 1))

    def epoch(self) -> None:
        """Train one epoch."""
        torch.use_deterministic_algorithms(self._deterministic)
        self._go.put(None)
        self._wait()
        torch.use_deterministic_algorithms(
            False
        )  # a setting of the process: peers need not bear it

    def probabilities(self) -> np.ndarray:
        """Score the held-out cases, after the last epoch; [case, class] in the fold's order."""
        self._go.put(None)
        trained = self._result.result()
        self.history = trained.history
        return trained.scores.probabilities

    def _wait(self) -> None:
        self._done.get()
        if self._result.done():
            self._result.result()  # raises what stopped it

    def _work(self) -> None:
        try:
            self._result.set_result(self._train())
        except BaseException as error:  # raised where it is waited for
            self._result.set_exception(error)
        self._done.put(None)

    def _train(self) -> Trained:
        trainer = self._trainer = FoldTrainer(
            self._plan.experiment,
            self._plan.prepared,
            self._plan.part(FOLD),
            FOLD,
            self._compute,
            checkpoint=Path("never-written"),
            checkpoint_seconds=float("inf"),
            on_epoch=self._pause,
        )
        self._deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)
        self._pause(None)
        return trainer.run()

    def _pause(self, report: EpochReport | None) -> None:
        self._done.put(None)
        self._go.get()


class PeerBatch(NamedTuple):
    """A padded batch on the device; ``mask`` is True where a slice is real."""

    volume: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor


class Peer:
    """A usual training loop over a plain nn.Conv3d network.

    Weights, order of cases, learning rates, loss and optimiser are those that ``Ours`` begins with
    and uses.

    Args:
        batches: Makes an epoch's batches from the sampler, which names the cases of each.
        channels_last: Layout of the network and its volumes.

    Attributes:
        losses: Mean training loss of each epoch so far.
    """

    def __init__(
        self,
        plan: Plan,
        compute: Compute,
        clock: Clock,
        batches: Callable[["EpochSampler"], Iterable[PeerBatch]],
        *,
        channels_last: bool,
    ) -> None:
        self._plan, self._compute = plan, compute
        self._recipe = plan.experiment.recipe
        self._watch = Stopwatch(clock)
        self._part = plan.part(FOLD)
        self._sampler = EpochSampler(plan)
        self._batches = batches(self._sampler)
        self._layout = torch.channels_last_3d if channels_last else torch.contiguous_format
        self._device = torch.device(compute.device)
        own = first_network(plan)
        self._model = Classifier(as_plain(own.encoder), own.aggregator, len(plan.prepared.classes))
        self._model.head = own.head
        self._model.to(self._device, memory_format=self._layout)
        labels = np.array([plan.prepared.cases[n].label for n in self._part.train])
        counts = tuple(map(int, np.bincount(labels, minlength=len(plan.prepared.classes))))
        problem = Problem(counts, self._model.num_features)
        self._criterion = build_loss(plan.experiment.loss, problem).to(self._device)
        self._optimizer = build_optimizer(self._recipe.optimizer, self._model, self._criterion)
        self._forward = torch.compile(self._model) if compute.compiled else self._model
        self.losses: list[float] = []

    def batch_seconds(self) -> float:
        """Going through one epoch's batches and training on none."""
        self._sampler.epoch += 1
        return self._watch.drain(self._batches)

    def epoch(self) -> None:
        """Train one epoch."""
        self._model.train()
        self._sampler.epoch += 1
        rates = learning_rates(self._recipe, len(self._sampler), self.losses)
        total = torch.zeros((), device=self._device)
        for rate, batch in zip(rates, self._batches, strict=True):
            set_learning_rate(self._optimizer, rate)
            with self._compute.autocast():
                volume = batch.volume.to(memory_format=self._layout)
                output = self._forward(volume, batch.mask)
            full = Output(output.logits.float(), output.embedding.float())
            loss = self._criterion(full, batch.labels)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self._recipe.training.clip_norm:
                torch.nn.utils.clip_grad_norm_(
                    self._model.parameters(), self._recipe.training.clip_norm
                )
            self._optimizer.step()
            total += loss.detach()
        self.losses.append(float(total) / len(self._sampler))

    @torch.inference_mode()
    def probabilities(self) -> np.ndarray:
        """Score the held-out cases, as they are; [case, class] in the fold's order."""
        self._model.eval()
        held_out = np.array(self._part.test)
        cases = self._plan.prepared.cases
        slices = np.array([cases[index].slices for index in held_out])
        found = np.empty((len(held_out), len(self._plan.prepared.classes)))
        for batch in evaluation_batches(slices, EVALUATION_BATCH):
            given = collate([read(self._plan, index) for index in held_out[batch]], self._device)
            with self._compute.autocast():
                volume = given.volume.to(memory_format=self._layout)
                found[batch] = probabilities(self._model(volume, given.mask)).double().cpu()
        return found


class EpochSampler:
    """The batches that volbench draws, as lists of cases; a PyTorch ``batch_sampler``."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        cases = plan.prepared.cases
        self._train = np.asarray(plan.part(FOLD).train)
        self._labels = np.array([cases[index].label for index in self._train])
        self._slices = np.array([cases[index].slices for index in self._train])
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._drawn(max(1, self.epoch)))

    def __len__(self) -> int:
        return len(self._drawn(1))

    def _drawn(self, epoch: int) -> list[list[int]]:
        training, seed = self._plan.experiment.recipe.training, self._plan.experiment.seed
        batches = epoch_batches(
            training.sampler,
            self._labels,
            self._slices,
            batch_size=training.batch_size,
            seed=derive_seed(seed, "fold", FOLD, "batches", epoch),
        )
        return [self._train[batch].tolist() for batch in batches]


def first_network(plan: Plan) -> Classifier:
    """The network with the weights that ``FoldTrainer`` begins with."""
    torch.manual_seed(derive_seed(plan.experiment.seed, "fold", FOLD, "initialise"))
    return build_classifier(
        plan.experiment.encoder,
        plan.experiment.aggregator,
        in_channels=len(plan.prepared.channels),
        num_classes=len(plan.prepared.classes),
    )


def read(plan: Plan, index: int) -> tuple[torch.Tensor, int]:
    """One prepared case: [channel, slice, height, width] in float32, and its label."""
    voxels = torch.from_numpy(np.asarray(plan.prepared.volume(int(index)), dtype=np.float32))
    return voxels.transpose(0, 1).contiguous(), plan.prepared.cases[int(index)].label


def collate(
    cases: Sequence[tuple[torch.Tensor, int]], device: torch.device | str = "cpu"
) -> PeerBatch:
    """Pad cases with empty slices to the longest."""
    slices = torch.tensor([volume.shape[1] for volume, _ in cases])
    longest = int(slices.max())
    padded = [F.pad(volume, (0, 0, 0, 0, 0, longest - volume.shape[1])) for volume, _ in cases]
    mask = torch.arange(longest)[None] < slices[:, None]
    labels = torch.tensor([label for _, label in cases])
    volume = torch.stack(padded)
    return PeerBatch(*(part.to(device, non_blocking=True) for part in (volume, mask, labels)))
