"""Logit adjustment against imbalance (Menon et al., ICLR 2021, arXiv:2007.07314)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from volbench.interfaces import Loss, Problem
from volbench.losses.logits import class_logits
from volbench.types import Labels, Output, Scalar


class LogitAdjusted(Loss):
    r"""Cross-entropy of logits that carry the class frequencies: $z_k + \tau \log \pi_k$.

    The network then learns what is left once the frequencies $\pi_k$ are accounted for, and its
    own logits, which predict, favour no class. With a sampler that balances the classes already
    (``training.sampler=balanced``) it corrects twice: use ``natural``.

    Args:
        problem: Gives the cases per class of the training part.
        tau: Strength; 1 is consistent for the balanced error, 0 is cross-entropy.

    Raises:
        ValueError: ``tau`` is negative, or a class has no training case.

    >>> from torch import tensor
    >>> from volbench.interfaces import Problem
    >>> from volbench.types import Output
    >>> loss = LogitAdjusted(Problem((60, 30), num_features=1))
    >>> output = Output(logits=tensor([[0.0]]), embedding=tensor([[0.0]]))
    >>> round(loss(output, tensor([1])).item(), 3)
    1.099
    """

    search_space: ClassVar[Mapping[str, str]] = {"tau": "uniform(low=0, high=2)"}
    adjustment: Tensor

    def __init__(self, problem: Problem, *, tau: float = 1.0) -> None:
        super().__init__()
        if tau < 0:
            raise ValueError(f"tau must not be negative, but got {tau=}")
        if 0 in problem.class_counts:
            raise ValueError(
                "logit_adjusted needs a training case of every class, "
                f"but class {problem.class_counts.index(0)} has none"
            )
        counts = torch.tensor(problem.class_counts, dtype=torch.float32)
        self.register_buffer("adjustment", tau * (counts / counts.sum()).log(), persistent=False)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, 1]`` or ``[item, class]`` logits; the embedding is not looked at."""
        logits = class_logits(output.logits)
        return F.cross_entropy(logits + self.adjustment.to(logits.dtype), labels.long())
