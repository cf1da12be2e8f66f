"""Soft ordinal labels, SORD (Díaz and Marathe, CVPR 2019)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from volbench.interfaces import Loss, Problem
from volbench.losses.logits import class_logits
from volbench.losses.options import check_choice, class_weights, weigh_items
from volbench.losses.ordinal import check_ordered
from volbench.types import Labels, Output, Scalar


class SoftOrdinal(Loss):
    r"""Cross-entropy with a target that neighbouring grades share.

    $$L = -\sum_k q_k \log p_k, \quad
    q_k = \frac{\exp(-\alpha\, \phi(y, k))}{\sum_j \exp(-\alpha\, \phi(y, j))}$$

    Args:
        problem: Gives the number of classes, and whether they are ordered.
        alpha: How sharply the target falls off.
        distance: $\phi$: ``absolute`` is $|y - k|$, ``squared`` is $(y - k)^2$.
        class_weight: One weight per class, or ``"balanced"`` for $N / (K N_k)$ from the training
            cases.

    Raises:
        ValueError: an option is out of range, or the classes have no order.

    >>> from torch import tensor
    >>> from volbench.interfaces import Problem
    >>> from volbench.types import Output
    >>> loss = SoftOrdinal(Problem((30, 30, 30), num_features=1, ordered=True), alpha=2.0)
    >>> logits = tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    >>> output = Output(logits=logits, embedding=tensor([[0.0], [0.0]]))
    >>> round(loss(output, tensor([0, 1])).item(), 3)
    0.608
    """

    search_space: ClassVar[Mapping[str, str]] = {"alpha": "loguniform(low=0.5, high=8)"}
    targets: Tensor
    weight: Tensor | None

    def __init__(
        self,
        problem: Problem,
        *,
        alpha: float = 2.0,
        distance: str = "absolute",
        class_weight: str | tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        check_ordered(problem, "soft_ordinal")
        if not alpha > 0:
            raise ValueError(f"alpha must be more than 0, but got {alpha=}")
        check_choice("distance", distance, among=("absolute", "squared"))
        grade = torch.arange(problem.num_classes, dtype=torch.float32)
        apart = (grade[:, None] - grade).abs()
        targets = (-alpha * (apart if distance == "absolute" else apart.square())).softmax(dim=1)
        self.register_buffer("targets", targets, persistent=False)
        self.register_buffer("weight", class_weights(class_weight, problem), persistent=False)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, 1]`` or ``[item, class]`` logits; the embedding is not looked at."""
        logs = class_logits(output.logits).log_softmax(dim=1)
        values = -(self.targets.to(logs.dtype)[labels.long()] * logs).sum(dim=1)
        return weigh_items(values, labels, self.weight).mean()
