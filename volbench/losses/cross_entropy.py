"""Cross-entropy: binary for one logit, softmax for one logit per class.

Source: Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.
"""

import torch.nn.functional as F
from torch import Tensor

from volbench.interfaces import Loss, Problem
from volbench.losses.logits import class_logits
from volbench.losses.options import class_weights
from volbench.types import Labels, Output, Scalar


class CrossEntropy(Loss):
    r"""Mean over the batch of $-w_y \log p_y$.

    Args:
        problem: Gives the number of classes and their cases.
        label_smoothing: Share of the target spread evenly over all classes, from 0 to below 1.
        class_weight: One weight per class, or ``"balanced"`` for
            $w_k = N / (K N_k)$ from the training cases, which average to one over them. The sum is
            divided by the number of items, not by their weights, so a weight counts for as much
            in a batch of one class as in any other.

    Raises:
        ValueError: an option is out of range, or a class to balance has no training case.

    >>> from torch import tensor
    >>> from volbench.interfaces import Problem
    >>> from volbench.types import Output
    >>> loss = CrossEntropy(Problem((60, 30), num_features=1))
    >>> output = Output(logits=tensor([[0.0], [0.0]]), embedding=tensor([[0.0], [0.0]]))
    >>> round(loss(output, tensor([1, 0])).item(), 3)
    0.693
    """

    weight: Tensor | None

    def __init__(
        self,
        problem: Problem,
        *,
        label_smoothing: float = 0.0,
        class_weight: str | tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must be from 0 to below 1, but got {label_smoothing=}"
            )
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", class_weights(class_weight, problem), persistent=False)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, 1]`` or ``[item, class]`` logits; the embedding is not looked at."""
        logits = class_logits(output.logits)
        return F.cross_entropy(
            logits,
            labels.long(),
            weight=None if self.weight is None else self.weight.to(logits.dtype),
            label_smoothing=self.label_smoothing,
            reduction="none",
        ).mean()
