"""Training of one fold: the only training loop."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from volbench.data.cache import Prepared
from volbench.data.loader import Batch, open_loader
from volbench.data.sampler import epoch_batches
from volbench.engine.checkpoint import Progress, State, read_checkpoint, snapshot, write_checkpoint
from volbench.engine.compute import Compute, peak_memory_mb
from volbench.engine.optimisation import (
    build_optimizer,
    is_over,
    learning_rates,
    set_learning_rate,
)
from volbench.engine.scoring import Scores, predict, representative_items
from volbench.engine.views import Views, build_views
from volbench.errors import TrainingError
from volbench.experiment import Experiment
from volbench.interfaces import Loss, Problem
from volbench.losses.weighted_sum import build_loss
from volbench.metrics import area_under_curve, balanced_log_loss
from volbench.model import Classifier, build_classifier, count_parameters
from volbench.randomness import CaseGenerator
from volbench.seeds import derive_seed
from volbench.splits import Part
from volbench.types import Output

CHECKPOINT_SECONDS = 30.0
"""Shortest time between two checkpoints: writing one takes about as long as a short epoch."""


@dataclass(frozen=True)
class EpochReport:
    """What is told after every epoch; ``auc`` is that of the inner validation part, if any."""

    fold: int
    epoch: int
    epochs: int
    loss: float
    auc: float | None


@dataclass(frozen=True)
class Trained:
    """A finished fold: what it predicts, what it learned and what that took.

    ``scores`` are those of the held-out part, ``validation`` those of the inner part, if any.
    """

    scores: Scores
    validation: Scores | None
    history: list[dict[str, float]]
    model: bytes
    selected_epoch: int
    seconds: float
    samples_per_second: float
    peak_memory_mb: float
    parameters: int


class FoldTrainer:
    """Trains the experiment's network on one part of the data.

    Args:
        checkpoint: File that keeps the state between epochs; the fold continues from it.
        on_epoch: Called after every epoch.
        checkpoint_seconds: Shortest time between two checkpoints; 0 writes one every epoch.
    """

    def __init__(
        self,
        experiment: Experiment,
        prepared: Prepared,
        part: Part,
        fold: int,
        compute: Compute,
        *,
        checkpoint: Path,
        on_epoch: Callable[[EpochReport], None],
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        self.experiment = experiment
        self.recipe = experiment.recipe
        self.prepared = prepared
        self.part = part
        self.fold = fold
        self.compute = compute
        self.checkpoint = checkpoint
        self.on_epoch = on_epoch
        self.checkpoint_seconds = checkpoint_seconds
        self.device = compute.enter()
        self.loader = open_loader(prepared, self.device)
        self.train = np.asarray(part.train)
        torch.manual_seed(self._seed("initialise"))
        self.model = self._build_model().to(self.device)
        self.criterion = self._build_loss().to(self.device)
        self.views = build_views(self.recipe, experiment.seed)
        self.augmentation = self.views.training
        self.optimizer = build_optimizer(self.recipe.optimizer, self.model, self.criterion)

    def run(self) -> Trained:
        """Train to the last epoch, then score the held-out cases with the selected weights.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        modules = {"model": self.model, "loss": self.criterion}
        identity = f"{self.experiment.id}/{self.fold}/{self.compute}"
        progress, best = read_checkpoint(self.checkpoint, identity, modules, self.optimizer)
        started = time.perf_counter() - progress.seconds
        written = time.perf_counter()
        while not is_over(self.recipe, progress.losses):
            best = self._epoch(progress, best)
            now = time.perf_counter()
            progress.seconds = now - started
            if now - written >= self.checkpoint_seconds:
                write_checkpoint(self.checkpoint, progress, modules, self.optimizer, best)
                written = now
        trained_seconds = progress.seconds
        self.model.load_state_dict(best)
        scores = self._predict(self.part.test, self.views)
        validation = None
        if self.part.validation:
            validation = self._predict(self.part.validation, self.views)
        if not np.isfinite(scores.probabilities).all():
            raise TrainingError("the held-out predictions are not finite; lower optimizer.lr")
        return Trained(
            scores=scores,
            validation=validation,
            history=progress.history,
            model=save(best),
            selected_epoch=progress.best_epoch,
            seconds=time.perf_counter() - started,
            samples_per_second=len(self.train) * progress.epoch / trained_seconds,
            peak_memory_mb=peak_memory_mb(self.device),
            parameters=count_parameters(self.model),
        )

    def _epoch(self, progress: Progress, best: State) -> State:
        """Train one epoch, validate, and return the weights that are best so far."""
        progress.epoch += 1
        loss = self._train_epoch(progress.epoch, progress.losses)
        row = {"epoch": progress.epoch, "train_loss": loss}
        if self.part.validation:
            scores = self._predict(self.part.validation, replace(self.views, passes=0))
            row["validation_loss"] = balanced_log_loss(scores.labels, scores.probabilities)
            row["validation_auc"] = area_under_curve(scores.labels, scores.probabilities)
        progress.history.append(row)
        score = self._selection_score(row)
        if not progress.best_score or score > progress.best_score:
            progress.best_score, progress.best_epoch = score, progress.epoch
            best = snapshot(self.model)
        epochs = self.recipe.training.epochs
        auc = row.get("validation_auc")
        self.on_epoch(EpochReport(self.fold, progress.epoch, epochs, loss, auc))
        return best

    def _train_epoch(self, epoch: int, losses: list[float]) -> float:
        torch.manual_seed(self._seed("epoch", epoch))  # what a component draws by itself
        self.model.train()
        order = self._draw(epoch)
        total = torch.zeros((), device=self.device)
        rates = learning_rates(self.recipe, len(order), losses)
        for rate, batch in zip(rates, self._augmented(order, epoch), strict=True):
            set_learning_rate(self.optimizer, rate)
            total += self._step(batch)
        mean = float(total) / len(order)  # the epoch's only wait for the device
        if not np.isfinite(mean):
            raise TrainingError(
                f"the loss became {mean} in epoch {epoch}; lower optimizer.lr or raise "
                "training.clip_norm"
            )
        return mean

    def _step(self, batch: Batch) -> torch.Tensor:
        slices, labels = None, batch.labels
        if self.model.aggregator is None:
            slices, labels = representative_items(batch, self.prepared.cases)
        with self.compute.autocast():
            output = self.model(batch.volume, batch.mask, slices)
        loss: torch.Tensor = self.criterion(
            Output(output.logits.float(), output.embedding.float()), labels
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.training.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.training.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def _draw(self, epoch: int) -> list[np.ndarray]:
        batches = epoch_batches(
            self.recipe.training.sampler,
            self.loader.labels[self.train],
            self.loader.slices[self.train],
            batch_size=self.recipe.training.batch_size,
            seed=self._seed("batches", epoch),
        )
        return [self.train[batch] for batch in batches]

    def _augmented(self, order: list[np.ndarray], epoch: int) -> Iterator[Batch]:
        seen: Counter[int] = Counter()  # a case drawn again in an epoch is augmented anew
        for batch in self.loader.batches(order):
            seeds = []
            for index in map(int, batch.cases):
                name = self.prepared.cases[index].name
                seeds.append(self._seed("augment", epoch, name, seen[index]))
                seen[index] += 1
            generator = CaseGenerator(seeds, self.device)
            volume = self.augmentation(batch.volume, batch.full_mask(), generator)
            yield Batch(batch.cases, volume, batch.mask, batch.labels)

    def _predict(self, indices: tuple[int, ...], views: Views) -> Scores:
        return predict(self.model, self.loader, self.prepared, indices, self.compute, views)

    def _selection_score(self, row: dict[str, float]) -> tuple[float, ...]:
        match self.recipe.selection.checkpoint, self.recipe.selection.metric:
            case "validation", "auc":
                return row["validation_auc"], -row["validation_loss"]
            case "validation", _:
                return (-row["validation_loss"],)
            case "training_loss", _:
                return (-row["train_loss"],)
            case _:
                return (row["epoch"],)

    def _build_model(self) -> Classifier:
        return build_classifier(
            self.experiment.encoder,
            self.experiment.aggregator,
            in_channels=len(self.prepared.channels),
            num_classes=len(self.prepared.classes),
        )

    def _build_loss(self) -> Loss:
        counts = np.bincount(self.loader.labels[self.train], minlength=len(self.prepared.classes))
        problem = Problem(tuple(map(int, counts)), self.model.num_features)
        return build_loss(self.experiment.loss, problem)

    def _seed(self, *path: object) -> int:
        return derive_seed(self.experiment.seed, "fold", self.fold, *path)
