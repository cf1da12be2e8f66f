"""Generalized cross-entropy (Zhang and Sabuncu, NeurIPS 2018, arXiv:1805.07836)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from volbench.interfaces import Loss, Problem
from volbench.types import Labels, Output, Scalar


class GeneralizedCrossEntropy(Loss):
    r"""$(1 - p_y^q) / q$: cross-entropy as q falls to 0, mean absolute error at q = 1.

    A case whose label is wrong pulls the less, the larger q is.

    Args:
        problem: Gives the number of classes.
        q: Above 0, at most 1. The paper takes 0.7.

    Raises:
        ValueError: q is out of range.

    >>> loss = GeneralizedCrossEntropy(Problem((60, 30), num_features=8), q=1.0)
    >>> output = Output(logits=torch.zeros(4, 1), embedding=torch.zeros(4, 8))
    >>> loss(output, torch.tensor([0, 1, 1, 0])).item()
    0.5
    """

    search_space: ClassVar[Mapping[str, str]] = {"q": "uniform(low=0.1, high=1)"}

    def __init__(self, problem: Problem, *, q: float = 0.7) -> None:
        super().__init__()
        if not 0 < q <= 1:
            raise ValueError(f"q must be above 0 and at most 1, but got {q=}")
        self.num_classes, self.q = problem.num_classes, q

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, 1]`` logits of two classes, or ``[item, class]`` of more."""
        logits = output.logits.float()
        if self.num_classes == 2:  # one logit: that of class 1 against class 0
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        log_p = -F.cross_entropy(logits, labels.long(), reduction="none")
        # p^q as an exponential: its gradient is finite where p itself rounds to 0.
        return (-torch.expm1(self.q * log_p) / self.q).mean()
