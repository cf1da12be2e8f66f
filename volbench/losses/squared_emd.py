"""Squared earth mover's distance (Hou, Yu and Samaras, 2016, arXiv:1611.05916)."""

import torch
from torch import Tensor

from volbench.interfaces import Loss, Problem
from volbench.losses.logits import class_logits
from volbench.losses.options import class_weights, weigh_items
from volbench.losses.ordinal import check_ordered, cumulative
from volbench.types import Labels, Output, Scalar


class SquaredEMD(Loss):
    r"""Squared distance of the cumulative probabilities from those of the true grade.

    $$L = \sum_{k=0}^{K-1} \bigl( P(y \le k) - [y_{\text{true}} \le k] \bigr)^2$$

    It is the ranked probability score: a proper score that asks more of a far miss.

    Args:
        problem: Gives the number of classes, and whether they are ordered.
        class_weight: One weight per class, or ``"balanced"`` for $N / (K N_k)$ from the training
            cases.

    Raises:
        ValueError: the classes have no order, or the weights do not fit them.

    >>> from torch import tensor
    >>> from volbench.interfaces import Problem
    >>> from volbench.types import Output
    >>> loss = SquaredEMD(Problem((30, 30, 30), num_features=1, ordered=True))
    >>> logits = tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    >>> output = Output(logits=logits, embedding=tensor([[0.0], [0.0]]))
    >>> round(loss(output, tensor([0, 2])).item(), 3)
    0.346
    """

    weight: Tensor | None

    def __init__(
        self, problem: Problem, *, class_weight: str | tuple[float, ...] | None = None
    ) -> None:
        super().__init__()
        check_ordered(problem, "squared_emd")
        self.register_buffer("weight", class_weights(class_weight, problem), persistent=False)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, 1]`` or ``[item, class]`` logits; the embedding is not looked at."""
        found = cumulative(class_logits(output.logits))
        grade = torch.arange(found.shape[1], device=labels.device)
        true = (labels[:, None] <= grade).to(found.dtype)
        return weigh_items((found - true).square().sum(dim=1), labels, self.weight).mean()
