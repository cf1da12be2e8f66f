"""AUC margin loss (Yuan et al., ICCV 2021, arXiv:2012.03173), in closed form."""

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from volbench.interfaces import Loss, Problem
from volbench.losses.logits import class_logits, is_class
from volbench.types import Labels, Output, Scalar


class AUCMargin(Loss):
    r"""Scores of a class spread little, and stay a margin above those of the others.

    With $h$ the probability of a class, over the cases of the class (+) and all others (−),

    $$L = \operatorname{Var}_+ h + \operatorname{Var}_- h
    + \bigl[ m + \operatorname{E}_- h - \operatorname{E}_+ h \bigr]_+^2$$

    is the paper's min-max objective, divided by the constant $\pi (1 - \pi)$, at its solution: the
    minimum over $a$ and $b$ is at the means, and the maximum over $\alpha \ge 0$ at the open part
    of the margin. Solving it in the batch needs no optimiser of its own. The frequency $\pi$
    cancels, so the loss is blind to imbalance. Of more than two classes each is taken against the
    rest, and the mean is minimised. A batch that lacks one side gives nothing for that class.

    Args:
        problem: Gives the number of classes.
        margin: m, in units of probability.

    Raises:
        ValueError: ``margin`` is not more than 0.

    >>> from torch import tensor
    >>> from volbench.interfaces import Problem
    >>> from volbench.types import Output
    >>> loss = AUCMargin(Problem((60, 30), num_features=1))
    >>> output = Output(logits=tensor([[0.0], [0.0]]), embedding=tensor([[0.0], [0.0]]))
    >>> round(loss(output, tensor([1, 0])).item(), 3)
    1.0
    """

    search_space: ClassVar[Mapping[str, str]] = {"margin": "uniform(low=0.1, high=1)"}

    def __init__(self, problem: Problem, *, margin: float = 1.0) -> None:
        super().__init__()
        if not margin > 0:
            raise ValueError(f"margin must be more than 0, but got {margin=}")
        self.margin = margin
        self.positive = slice(1, 2) if problem.num_classes == 2 else slice(None)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, 1]`` or ``[item, class]`` logits; the embedding is not looked at."""
        score = class_logits(output.logits).softmax(dim=1)
        own = is_class(labels, num_classes=score.shape[1])
        score, own = score[:, self.positive], own[:, self.positive]
        mean_own, spread_own = _moments(score, own)
        mean_rest, spread_rest = _moments(score, ~own)
        open_margin = (self.margin + mean_rest - mean_own).relu()
        values = spread_own + spread_rest + open_margin.square()
        return values.where(own.any(dim=0) & ~own.all(dim=0), 0.0).mean()


def _moments(
    score: Float[Tensor, "item class"], chosen: Bool[Tensor, "item class"]
) -> tuple[Float[Tensor, " class"], Float[Tensor, " class"]]:
    """Mean and variance of the chosen items; zero where there are none."""
    count = chosen.sum(dim=0).clamp(min=1)
    mean = score.where(chosen, 0.0).sum(dim=0) / count
    spread = (score - mean).square().where(chosen, 0.0).sum(dim=0) / count
    return mean, spread
