"""CORN: conditional ordinal regression (Shi, Cao and Raschka, 2023, arXiv:2111.08851)."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from volbench.interfaces import Loss, Problem
from volbench.losses.logits import class_logits
from volbench.losses.options import class_weights, weigh_items
from volbench.losses.ordinal import check_ordered, to_conditional
from volbench.types import Labels, Output, Scalar


class Corn(Loss):
    r"""Binary cross-entropy of each threshold, over the cases that reach it.

    $$L = -\frac{1}{\sum_k |S_k|} \sum_{k=0}^{K-2} \sum_{i \in S_k} \bigl(
    [y_i > k] \log \sigma(a_{ik}) + [y_i = k] \log \sigma(-a_{ik}) \bigr), \quad
    S_k = \{ i : y_i \ge k \}$$

    The head then has one output $a_k$, the logit of $P(y > k \mid y \ge k)$, for each of the
    $K - 1$ thresholds, and the probabilities of the classes follow by the chain rule: they are
    rank-consistent by construction. With two classes it is binary cross-entropy.

    Args:
        problem: Gives the number of classes, and whether they are ordered.
        class_weight: One weight per class, or ``"balanced"`` for $N / (K N_k)$ from the training
            cases.

    Raises:
        ValueError: the classes have no order, or the weights do not fit them.

    >>> from torch import tensor
    >>> from volbench.interfaces import Problem
    >>> from volbench.types import Output
    >>> loss = Corn(Problem((30, 30, 30), num_features=1, ordered=True))
    >>> logits = tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    >>> output = Output(logits=logits, embedding=tensor([[0.0], [0.0]]))
    >>> round(loss(output, tensor([0, 2])).item(), 3)
    0.574
    """

    conditional_head: ClassVar[bool] = True

    weight: Tensor | None

    def __init__(
        self, problem: Problem, *, class_weight: str | tuple[float, ...] | None = None
    ) -> None:
        super().__init__()
        check_ordered(problem, "corn")
        self.register_buffer("weight", class_weights(class_weight, problem), persistent=False)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, 1]`` or ``[item, class]`` logits; the embedding is not looked at."""
        conditional = to_conditional(class_logits(output.logits))
        threshold = torch.arange(conditional.shape[1], device=labels.device)
        reached = labels[:, None] >= threshold
        passed = labels[:, None] > threshold
        values = F.logsigmoid(torch.where(passed, conditional, -conditional))
        values = weigh_items(values, labels, self.weight)
        return -values.where(reached, 0.0).sum() / reached.sum()
