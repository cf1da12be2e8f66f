"""Optimizer and learning rate schedule of a recipe."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from volbench.experiment.recipe import Optimizer, Recipe
from volbench.training.classifier import Classifier

SCALE = "lr_scale"
"""Key of a group of parameters: what the learning rate is multiplied by for them."""


def build_optimizer(
    recipe: Optimizer, model: nn.Module, criterion: nn.Module
) -> torch.optim.Optimizer:
    """Build the optimiser over the network's and the loss's parameters.

    AdamW does not decay vectors (biases, normalisation, centers); SGD decays everything, as
    Lee et al. (2022) do. Parameters with a rate of their own are groups of their own.
    """
    trained = _trained((*model.parameters(), *criterion.parameters()))
    on_gpu = any(parameter.is_cuda for parameter in trained)
    # On a GPU the rate is read there, so that a step can be recorded once and replayed.
    rate = torch.tensor(recipe.lr, device=trained[0].device) if on_gpu else recipe.lr
    scales = _rate_scales(recipe, model)
    of_loss = set(criterion.parameters())
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in trained:
        decayed = recipe.name == "sgd" or (parameter.ndim > 1 and parameter not in of_loss)
        groups.setdefault((scales.get(parameter, 1.0), decayed), []).append(parameter)
    options: list[dict[str, Any]] = [
        {
            "params": groups[scale, decayed],
            "weight_decay": recipe.weight_decay if decayed else 0.0,
            SCALE: scale,
        }
        for scale, decayed in sorted(groups, reverse=True)  # the head first, vectors last
    ]
    if isinstance(rate, torch.Tensor):
        for group in options:  # a rate of its own, as rates are set in place
            group["lr"] = rate.clone()
    if recipe.name == "sgd":
        return torch.optim.SGD(options, lr=rate, momentum=recipe.momentum, fused=True)
    optimizer = torch.optim.AdamW(
        options,
        lr=rate,
        betas=(recipe.momentum, 0.999),
        fused=True,
        capturable=on_gpu,
    )
    # It would warn of every step that is not recorded; the kernel is the same.
    optimizer._warned_capturable_if_run_uncaptured = True
    return optimizer


def _rate_scales(recipe: Optimizer, model: nn.Module) -> dict[nn.Parameter, float]:
    """What the rates of the encoder's parameters are multiplied by, those that differ from 1."""
    scale = 1.0 if recipe.encoder_lr_scale is None else recipe.encoder_lr_scale
    if scale == recipe.layer_decay == 1.0 or not isinstance(model, Classifier):
        return {}
    groups = model.encoder.layer_groups()
    scales = dict.fromkeys(model.encoder.parameters(), scale)
    for above, group in enumerate(reversed(groups), start=1):
        for parameter in group:
            scales[parameter] = scale * recipe.layer_decay**above
    return scales


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


def is_over(recipe: Recipe, losses: Sequence[float], best_epoch: int = 0) -> bool:
    """Whether training ends after the epochs with these training losses.

    Args:
        recipe: Says when.
        losses: One per epoch done.
        best_epoch: Counted from 1, by what chooses the checkpoint; 0 before any.
    """
    schedule, patience = recipe.schedule, recipe.selection.patience
    if patience and losses and len(losses) - best_epoch >= patience:
        return True
    if len(losses) >= recipe.training.epochs:
        return True
    if schedule.name == "plateau" and schedule.stop_rate:
        share = plateau_share(losses, factor=schedule.factor, patience=schedule.patience)
        if recipe.optimizer.lr * share < schedule.stop_rate:
            return True
    if not schedule.stop_patience or not losses:
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= schedule.stop_patience


def rate_fell(recipe: Recipe, losses: Sequence[float]) -> bool:
    """Whether the last of these losses made a ``plateau`` schedule multiply the rate."""
    schedule = recipe.schedule
    if schedule.name != "plateau" or not losses:
        return False
    now, before = (
        plateau_share(part, factor=schedule.factor, patience=schedule.patience)
        for part in (losses, losses[:-1])
    )
    return now < before


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
    """Set the learning rate of every group, scaled as the group says."""
    for group in optimizer.param_groups:
        rate = value * group[SCALE]
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]
