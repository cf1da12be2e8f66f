"""Optimiser and learning rate, from the recipe."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from volbench.experiment.recipe import Optimizer, Recipe


def build_optimizer(
    recipe: Optimizer, model: nn.Module, criterion: nn.Module
) -> torch.optim.Optimizer:
    """Build the optimiser over the network's and the loss's parameters.

    AdamW does not decay vectors (biases, normalisation, centers); SGD decays everything, as
    Lee et al. (2022) do.
    """
    trained = _trained((*model.parameters(), *criterion.parameters()))
    on_gpu = any(parameter.is_cuda for parameter in trained)
    # On a GPU the rate is read there, so that a step can be recorded once and replayed.
    rate = torch.tensor(recipe.lr, device=trained[0].device) if on_gpu else recipe.lr
    if recipe.name == "sgd":
        return torch.optim.SGD(
            trained,
            lr=rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    of_loss = set(criterion.parameters())
    decayed = [p for p in trained if p.ndim > 1 and p not in of_loss]
    kept = [p for p in trained if p.ndim <= 1 or p in of_loss]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=rate,
        betas=(recipe.momentum, 0.999),
        fused=True,
        capturable=on_gpu,
    )
    # It would warn of every step that is not recorded; the kernel is the same.
    optimizer._warned_capturable_if_run_uncaptured = True
    return optimizer


def learning_rates(recipe: Recipe, steps: int, losses: Sequence[float]) -> list[float]:
    """Learning rate of each of the ``steps`` of the epoch that follows those with ``losses``."""
    schedule, base = recipe.schedule, recipe.optimizer.lr
    total = steps * recipe.training.epochs
    warmup = round(schedule.warmup_fraction * total)
    first = steps * len(losses)
    share = 1.0
    if schedule.name == "plateau":
        share = plateau_share(losses, factor=schedule.factor, patience=schedule.patience)

    def rate(step: int) -> float:
        if step < warmup:
            return base * (step + 1) / warmup
        if schedule.name == "cosine":
            progress = (step - warmup) / max(1, total - warmup)
            return base * 0.5 * (1 + math.cos(math.pi * progress))
        return base * share

    return [rate(step) for step in range(first, first + steps)]


def is_over(recipe: Recipe, losses: Sequence[float]) -> bool:
    """Whether training ends after the epochs with these training losses."""
    schedule = recipe.schedule
    if len(losses) >= recipe.training.epochs:
        return True
    if schedule.name == "plateau" and schedule.stop_rate:
        share = plateau_share(losses, factor=schedule.factor, patience=schedule.patience)
        if recipe.optimizer.lr * share < schedule.stop_rate:
            return True
    if not schedule.stop_patience or not losses:
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= schedule.stop_patience


def plateau_share(losses: Sequence[float], *, factor: float, patience: int) -> float:
    """What PyTorch's ``ReduceLROnPlateau`` leaves of the rate after these losses.

    It is replayed from the history, so that a fold that goes on needs no state of it.
    """
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, factor=factor, patience=patience, eps=0.0)
    for loss in losses:
        scheduler.step(loss)
    return float(optimizer.param_groups[0]["lr"])


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]
