"""Focal loss (Lin et al., ICCV 2017, arXiv:1708.02002)."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from volbench.interfaces import Loss, Problem
from volbench.losses.logits import class_logits, is_class
from volbench.losses.options import (
    check_choice,
    class_weights,
    reduce,
    weigh_items,
    weights_per_class,
)
from volbench.types import Labels, Output, Scalar


class Focal(Loss):
    r"""Cross-entropy with easy cases damped: $-\alpha_y (1 - p_y)^\gamma \log p_y$.

    Everything follows from the margin $m = z_y - \log \sum_{k \ne y} e^{z_k}$ of the true class:
    $\log p_y = \log \sigma(m)$ and $\log (1 - p_y) = \log \sigma(-m)$. So the power is taken as an
    exponential, which keeps values and gradients right where $1 - p_y$ itself would round to 0.

    Args:
        problem: Gives the number of classes.
        gamma: How strongly easy cases are damped; 0 is cross-entropy.
        alpha: One weight per class; or, for two classes, the weight of class 1, class 0 then
            weighing ``1 - alpha``. None weighs all classes by one.
        class_weight: One weight per class, or ``"balanced"`` for $N / (K N_k)$ from the training
            cases; in place of ``alpha``.
        reduction: ``"mean"`` divides by the number of items; ``"sum"`` does not.

    Raises:
        ValueError: an option is out of range.

    >>> from torch import tensor
    >>> from volbench.interfaces import Problem
    >>> from volbench.types import Output
    >>> loss = Focal(Problem((60, 30), num_features=1), gamma=2.0)
    >>> output = Output(logits=tensor([[2.0], [-1.0]]), embedding=tensor([[0.0], [0.0]]))
    >>> round(loss(output, tensor([1, 1])).item(), 3)
    0.352
    """

    search_space: ClassVar[Mapping[str, str]] = {"gamma": "uniform(low=0, high=5)"}
    alpha: Tensor | None

    def __init__(
        self,
        problem: Problem,
        *,
        gamma: float = 2.0,
        alpha: float | tuple[float, ...] | None = None,
        reduction: str = "mean",
        class_weight: str | tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"gamma must not be negative, but got {gamma=}")
        check_choice("reduction", reduction, among=("mean", "sum"))
        self.gamma = gamma
        self.reduction = reduction
        if alpha is not None and class_weight is not None:
            raise ValueError(f"alpha={alpha} and class_weight both weigh the classes; give one")
        weights = class_weights(class_weight, problem)
        weights = _alpha_per_class(alpha, problem) if weights is None else weights
        self.register_buffer("alpha", weights, persistent=False)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, 1]`` or ``[item, class]`` logits; the embedding is not looked at."""
        logits = class_logits(output.logits)
        true = is_class(labels, num_classes=logits.shape[1])
        others = logits.masked_fill(true, -math.inf).logsumexp(dim=1)
        margin = logits.where(true, 0.0).sum(dim=1) - others
        damping = torch.exp(self.gamma * F.logsigmoid(-margin))
        values = -damping * F.logsigmoid(margin)
        return reduce(weigh_items(values, labels, self.alpha), self.reduction)


def _alpha_per_class(alpha: float | tuple[float, ...] | None, problem: Problem) -> Tensor | None:
    if alpha is None:
        return None
    if isinstance(alpha, tuple):
        return weights_per_class(alpha, problem, option="alpha")
    if problem.num_classes != 2:
        raise ValueError(
            f"alpha must hold one number for each of {problem.num_classes} classes, "
            f"but got {alpha=}, which suits two"
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be from 0 to 1, but got {alpha=}")
    return torch.tensor([1 - alpha, alpha])
