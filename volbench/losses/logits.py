"""Conversion between one logit for two classes and one logit per class."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from volbench.types import Labels, Logits


def class_logits(logits: Logits) -> Float[Tensor, "item class"]:
    """Return one logit per class, at least in float32.

    A single logit z is that of class 1 against class 0: softmax over (0, z) is the sigmoid of z,
    and cross-entropy over (0, z) is binary cross-entropy.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if logits.shape[1] == 1:
        return torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits


def is_class(labels: Labels, *, num_classes: int) -> Bool[Tensor, "item class"]:
    """Mark the true class of each item, without asking the host how many there are."""
    return labels[:, None] == torch.arange(num_classes, device=labels.device)
