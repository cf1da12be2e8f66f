"""Optimiser and learning rate, from the recipe."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from volbench.recipe import Optimizer, Schedule


def build_optimizer(
    recipe: Optimizer, model: nn.Module, criterion: nn.Module
) -> torch.optim.Optimizer:
    """Build the optimiser over the network's and the loss's parameters.

    AdamW does not decay vectors (biases, normalisation, centers); SGD decays everything, as
    Lee et al. (2022) do.
    """
    trained = _trained((*model.parameters(), *criterion.parameters()))
    if recipe.name == "sgd":
        return torch.optim.SGD(
            trained,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            foreach=True,
        )
    of_loss = set(criterion.parameters())
    decayed = [p for p in trained if p.ndim > 1 and p not in of_loss]
    kept = [p for p in trained if p.ndim <= 1 or p in of_loss]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=recipe.lr,
        betas=(recipe.momentum, 0.999),
        fused=True,
    )


def learning_rate(recipe: Schedule, base: float, step: int, steps: int) -> float:
    """Learning rate of step ``step`` of ``steps``: linear warm-up, then cosine to 0 or constant."""
    warmup = round(recipe.warmup_fraction * steps)
    if step < warmup:
        return base * (step + 1) / warmup
    if recipe.name == "constant":
        return base
    progress = (step - warmup) / max(1, steps - warmup)
    return base * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = value


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]
