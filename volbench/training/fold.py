"""Training of one fold: the only training loop."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from volbench._utils.seeds import derive_seed
from volbench.data.cache.features import StoredFeatures
from volbench.data.cache.packed_voxels import Prepared
from volbench.data.loading.loader import Batch, open_loader
from volbench.errors import PreemptedError
from volbench.evaluation.metrics import area_under_curve, balanced_log_loss
from volbench.experiment.experiment import Experiment
from volbench.experiment.splits import FoldPartition
from volbench.profiling.fold_timings import Timings, take_timings
from volbench.profiling.kernel_groups import add_up, watch_kernels
from volbench.profiling.section_timer import EVALUATE, Clock
from volbench.runs.history_file import VALIDATION_LOG_LOSS
from volbench.training.batches import TrainingBatches
from volbench.training.checkpoint import (
    CHECKPOINT_SECONDS,
    Best,
    Progress,
    State,
    optimizer_snapshot,
    put_back,
    read_checkpoint,
    snapshot,
    write_checkpoint,
)
from volbench.training.classifier import Classifier, count_parameters
from volbench.training.compile import try_compiler
from volbench.training.device_and_precision import Compute
from volbench.training.features import on_stored_tokens
from volbench.training.fold_reports import EpochReport, StepReport
from volbench.training.inference import Scores, predict, representative_items
from volbench.training.loss_terms import (
    LOSS_TERM,
    NotFiniteError,
    gentler,
    inactive,
    not_finite,
    take_terms,
)
from volbench.training.memory import LARGE_BATCH_PIXELS, keep_freed_memory, peak_memory_mb
from volbench.training.network import build_criterion, build_network
from volbench.training.optimizer import (
    build_optimizer,
    is_over,
    learning_rates,
    rate_fell,
    set_learning_rate,
)
from volbench.training.regularization import Regularizer, WeightAverage
from volbench.training.selection import selection_score
from volbench.training.step import TrainingStep
from volbench.training.tta import Views, build_views

if TYPE_CHECKING:
    from volbench.data.loading.subjects_loader import SubjectBatches

logger = logging.getLogger(__name__)

WATCHED_STEPS = 4
STEP_SECONDS = 1.0
"""Shortest time between two reports on steps within an epoch."""


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
    timings: Timings | None


class FoldTrainer:
    """Trains the experiment's network on one part of the data.

    Args:
        checkpoint: File that keeps the state between epochs; the fold continues from it.
        on_epoch: Called after every epoch.
        on_step: Called within epochs, once in `STEP_SECONDS` at most.
        checkpoint_seconds: Shortest time between two checkpoints; 0 writes one every epoch.
        profile: Whether to measure where the time goes.
        features: Tokens of the frozen encoder, which then has nothing to compute.
        should_stop: Asked after every epoch; once true, a checkpoint is kept and the fold stops.
    """

    def __init__(
        self,
        experiment: Experiment,
        prepared: Prepared,
        part: FoldPartition,
        fold: int,
        compute: Compute,
        *,
        checkpoint: Path,
        on_epoch: Callable[[EpochReport], None],
        on_step: Callable[[StepReport], None] = lambda report: None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        profile: bool = False,
        features: StoredFeatures | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.should_stop = should_stop
        self.experiment = experiment
        self.recipe = experiment.recipe
        self.images = prepared
        self.features = features
        if features is not None:
            prepared = features.as_prepared(prepared)
        self.prepared = prepared
        self.part = part
        self.fold = fold
        self.compute = compute
        self.checkpoint = checkpoint
        self.on_epoch = on_epoch
        self.on_step = on_step
        self.checkpoint_seconds = checkpoint_seconds
        self.device = compute.enter()
        self.loader = open_loader(prepared, self.device)
        if self.device.type == "cpu" and self._batch_pixels() >= LARGE_BATCH_PIXELS:
            keep_freed_memory()
        self.start_anew()
        self.views = build_views(self.recipe, experiment.seed)
        self.clock = Clock(self.device, on=profile)
        self.batches = TrainingBatches(
            prepared,
            self.loader,
            part.train,
            self.recipe,
            self.views.training,
            self._seed,
            self.clock,
            self._subjects(),
        )
        if compute.compiled and features is None:
            first = next(self.batches.augmented(self.batches.draw(1)[:1], 1))
            try_compiler(self.model, first, compute)
        self.optimizer = build_optimizer(self.recipe.optimizer, self.model, self.criterion)
        self.regularizer = Regularizer(self.recipe.regularization)
        self.step = TrainingStep(
            self.model,
            self.criterion,
            self.optimizer,
            compute,
            clip_norm=self.recipe.training.clip_norm,
            clock=self.clock,
            regularizer=self.regularizer,
        )
        decay = self.recipe.regularization.ema
        self.average = WeightAverage(self.model, decay) if decay else None
        self.rate: float | None = None
        self.trained_cases = 0

    def start_anew(self) -> None:
        """Build network and loss as they are before training: the same ones each time."""
        torch.manual_seed(self._seed("initialise"))
        self.whole = build_network(self.experiment, self.images, self.compute)
        self.model = self.whole if self.features is None else on_stored_tokens(self.whole)
        self.criterion = build_criterion(
            self.experiment, self.prepared, self.part.train, self.model
        )

    def run(self) -> Trained:
        """Train to the last epoch, then score the held-out cases with the selected weights.

        Raises:
            NotFiniteError: the loss is no longer a number.
            PreemptedError: it was to stop; its checkpoint is kept.
        """
        modules: dict[str, nn.Module] = {"model": self.model, "loss": self.criterion}
        if self.average is not None:
            modules["average"] = self.average.model
        stored = "" if self.features is None else f"/{self.features.folder.name}"
        identity = f"{self.experiment.id}/{self.fold}/{self.compute}{stored}"
        progress, best = read_checkpoint(self.checkpoint, identity, modules, self.optimizer)
        began = written = time.perf_counter()
        started = began - progress.seconds
        first = progress.epoch
        logger.info(
            "fold %d: %d training, %d validation and %d test cases; %s after epoch %d",
            self.fold,
            len(self.part.train),
            len(self.part.validation),
            len(self.part.test),
            "resuming" if first else "starting",
            first,
        )
        while not self._is_over(progress):
            best = self._epoch(progress, best)
            self.clock.settle()
            now = time.perf_counter()
            progress.seconds = now - started
            stops = self.should_stop() and not self._is_over(progress)
            if stops or now - written >= self.checkpoint_seconds:
                write_checkpoint(self.checkpoint, progress, modules, self.optimizer, best)
                logger.debug("fold %d: checkpoint of epoch %d", self.fold, progress.epoch)
                written = now
            if stops:
                raise PreemptedError(f"stopped after epoch {progress.epoch}; its state is kept")
        trained_seconds = progress.seconds
        self.scored.load_state_dict(best.weights)
        scores = self._predict(self.part.test, self.views)
        validation = None
        if self.part.validation:
            validation = self._predict(self.part.validation, self.views)
        if not np.isfinite(scores.probabilities).all():
            way_out = gentler(self.recipe.training.clip_norm)
            raise NotFiniteError(
                f"the held-out predictions are not finite; {way_out}", progress.epoch
            )
        return Trained(
            scores=scores,
            validation=validation,
            history=progress.history,
            model=save(self._with_encoder(best.weights)),
            selected_epoch=progress.best_epoch,
            seconds=time.perf_counter() - started + self._share_of_features(),
            samples_per_second=len(self.part.train)
            * progress.epoch
            / (trained_seconds + self._share_of_features()),
            peak_memory_mb=peak_memory_mb(self.device),
            parameters=count_parameters(self.model),
            timings=self._timings(time.perf_counter() - began, progress.epoch - first),
        )

    def _subjects(self) -> "SubjectBatches | None":
        """Start what applies TorchIO's transforms, if the recipe names any."""
        if self.views.subject is None:
            return None
        from volbench.data.loading.subjects_loader import SubjectBatches, worker_count

        workers = worker_count(self.compute.threads, self.device)
        return SubjectBatches(self.prepared, self.views.subject, self.device, workers=workers)

    @property
    def scored(self) -> Classifier:
        """The network that is validated and scored: the trained one, or its average over steps."""
        return self.model if self.average is None else self.average.model

    def _batch_pixels(self) -> float:
        plane = math.prod(self.prepared.voxels.shape[2:])
        return self.recipe.training.batch_size * float(np.mean(self.loader.slices)) * plane

    def _timings(self, elapsed: float, epochs: int) -> Timings | None:
        if not (self.clock.on and epochs):
            return None
        slices = round(float(np.mean(self.loader.slices[list(self.part.train)])))
        channels, *plane = self.prepared.voxels.shape[1:]
        volume = torch.zeros(()).expand(1, channels, slices, *plane)
        return take_timings(
            self.clock.seconds(),
            elapsed=elapsed,
            volumes=sum(map(len, self.batches.draw(1))) * epochs,
            peak_memory_mb=peak_memory_mb(self.device),
            model=self.model,
            volume=self.views.training.eval_view(volume),
            compute=self.compute,
            groups=self._kernel_groups(),
            batch_size=self.recipe.training.batch_size,
        )

    def _kernel_groups(self) -> dict[str, float]:
        """Watch a few more steps; the weights that are kept have been taken before."""
        if self.device.type != "cuda":
            return {}
        self.model.train()
        batch = next(self.batches.augmented(self.batches.draw(1)[:1], 1))
        for _ in range(WATCHED_STEPS):  # until they are recorded, as they were
            self._step(batch)
        kernels = watch_kernels(lambda: self._step(batch), steps=WATCHED_STEPS)
        return add_up(kernels, steps=WATCHED_STEPS)

    def _epoch(self, progress: Progress, best: Best) -> Best:
        """Train one epoch, validate, and return what is best so far."""
        reloads = self.recipe.schedule.reload_best
        if reloads and rate_fell(self.recipe, progress.losses):
            self.model.load_state_dict(best.weights)
            put_back(self.optimizer, best.optimizer)
        progress.epoch += 1
        began = time.perf_counter()
        loss = self._train_epoch(progress.epoch, progress.losses)
        seconds = time.perf_counter() - began
        row = {"epoch": progress.epoch, "train_loss": loss}
        terms = take_terms(self.criterion)
        if len(terms) > 1:
            row |= {f"{LOSS_TERM}{name}": value for name, value in terms.items()}
        if self.part.validation:
            scores = self._predict(self.part.validation, replace(self.views, passes=0))
            row[VALIDATION_LOG_LOSS] = balanced_log_loss(scores.labels, scores.probabilities)
            row["validation_auc"] = area_under_curve(scores.labels, scores.probabilities)
        progress.history.append(row)
        score = selection_score(self.recipe.selection, row)
        if not progress.best_score or score > progress.best_score:
            progress.best_score, progress.best_epoch = score, progress.epoch
            averages = optimizer_snapshot(self.optimizer) if reloads else State()
            best = Best(snapshot(self.scored), averages)
        epochs = self.recipe.training.epochs
        auc = row.get("validation_auc")
        refusal = self.whole.compile_refusal or self.step.refusal
        warning = refusal or inactive(terms, progress.history[:-1])
        report = EpochReport(
            self.fold,
            progress.epoch,
            epochs,
            loss,
            auc,
            warning,
            waiting=self.batches.waited / seconds,
            terms=terms,
            validation_loss=row.get(VALIDATION_LOG_LOSS),
            rate=self.rate,
            cases_per_second=self.trained_cases / seconds,
            memory_mb=peak_memory_mb(self.device),
        )
        logger.debug("fold %d: %s", self.fold, row)
        self.on_epoch(report)
        return best

    def _is_over(self, progress: Progress) -> bool:
        return is_over(self.recipe, progress.losses, progress.best_epoch)

    def _train_epoch(self, epoch: int, losses: list[float]) -> float:
        torch.manual_seed(self._seed("epoch", epoch))  # what a component draws by itself
        self.model.train()
        self.regularizer.start(self._seed("regularize", epoch))
        order = self.batches.draw(epoch)
        total = torch.zeros((), device=self.device)
        rates = learning_rates(self.recipe, len(order), losses)
        batches = self.batches.augmented(order, epoch)
        told = time.perf_counter()
        for step, (rate, batch) in enumerate(zip(rates, batches, strict=True)):
            set_learning_rate(self.optimizer, rate)
            total += self._step(batch)
            if self.average is not None:
                self.average.update(self.model, step + (epoch - 1) * len(order))
            if (now := time.perf_counter()) - told >= STEP_SECONDS:
                told = now
                epochs = self.recipe.training.epochs
                self.on_step(StepReport(self.fold, epoch, epochs, step + 1, len(order)))
        mean = float(total) / len(order)  # waits for the device once an epoch
        self.rate, self.trained_cases = rates[-1], sum(map(len, order))
        if not np.isfinite(mean):
            terms, clip_norm = take_terms(self.criterion), self.recipe.training.clip_norm
            raise NotFiniteError(not_finite(mean, epoch, terms, clip_norm), epoch)
        return mean

    def _step(self, batch: Batch) -> torch.Tensor:
        slices, labels = None, batch.labels
        if self.model.aggregator is None:
            slices, labels = representative_items(batch, self.prepared.cases)
        return self.step(batch, slices, labels)

    def _predict(self, indices: tuple[int, ...], views: Views) -> Scores:
        with self.clock.section(EVALUATE):
            if self.features is not None and views.passes:  # other images than those stored
                self.model.load_state_dict(self.scored.state_dict())  # shared with the whole
                images = open_loader(self.images, self.device)
                return predict(self.whole, images, self.images, indices, self.compute, views)
            return predict(self.scored, self.loader, self.prepared, indices, self.compute, views)

    def _with_encoder(self, state: State) -> State:
        """What predicts: weights of a head that was trained on stored tokens, and the encoder's."""
        if self.features is None:
            return state
        return {**snapshot(self.whole), **state}

    def _share_of_features(self) -> float:
        """Seconds of a fold that go to the account of stored tokens, which all folds share."""
        return 0.0 if self.features is None else self.features.seconds / self.experiment.folds

    def _seed(self, *path: object) -> int:
        which = ("all folds",) if self.recipe.training.one_seed else ("fold", self.fold)
        return derive_seed(self.experiment.seed, *which, *path)
