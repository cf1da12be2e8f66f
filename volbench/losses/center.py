"""Center loss (Wen et al., ECCV 2016): every class pulls its embeddings to a learned center."""

import torch
from torch import nn

from volbench.interfaces import Loss, Problem
from volbench.losses.options import check_choice, reduce
from volbench.types import Labels, Output, Scalar


class Center(Loss):
    r"""Squared distance to the center of the true class: $\frac{1}{2} \lVert x - c_y \rVert_2^2$.

    The centers start at zero and are trained by the optimiser with everything else, instead of by
    the original's separate moving average. The original's lambda is the weight in the sum, as in
    ``focal+0.003*center``.

    Args:
        problem: Gives the number of classes and the length of the embedding.
        reduction: ``"mean"`` over the batch, so that the batch size does not set the strength;
            ``"sum"`` as the paper prints it.

    Raises:
        ValueError: an option is out of range.

    >>> from torch import tensor
    >>> from volbench.interfaces import Problem
    >>> from volbench.types import Output
    >>> loss = Center(Problem((60, 30), num_features=2))
    >>> output = Output(logits=tensor([[0.0]]), embedding=tensor([[3.0, 4.0]]))
    >>> round(loss(output, tensor([1])).item(), 3)
    12.5
    """

    def __init__(self, problem: Problem, *, reduction: str = "mean") -> None:
        super().__init__()
        check_choice("reduction", reduction, among=("mean", "sum"))
        self.reduction = reduction
        self.centers = nn.Parameter(torch.zeros(problem.num_classes, problem.num_features))

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, feature]`` embeddings; the logits are not looked at."""
        # Subtracting float32 centers promotes embeddings that autocast left in bfloat16.
        difference = output.embedding - self.centers[labels.long()]
        return reduce(difference.square().sum(dim=1) / 2, self.reduction)
