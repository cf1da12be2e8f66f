"""SoftTriple loss (Qian et al., ICCV 2019, arXiv:1909.05235)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import SoftTripleLoss
from volbench.interfaces import Problem

from volbench_metric_learning.checks import check_between, check_positive
from volbench_metric_learning.mined import Mined


class SoftTriple(Mined):
    """Cross-entropy to classes of several learned centers each, for classes of several looks.

    Args:
        problem: Gives the number of classes and the length of the embedding.
        centers: Centers per class.
        scale: Lambda, what similarities are multiplied by.
        gamma: How evenly a case is shared among the centers of a class.
        margin: Taken from the similarity to the true class.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "centers": "integer(low=1, high=10)",
        "scale": "loguniform(low=4, high=40)",
    }

    def __init__(
        self,
        problem: Problem,
        *,
        centers: int = 10,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
    ) -> None:
        check_positive(centers=centers, scale=scale, gamma=gamma)
        check_between(0, 1, margin=margin)
        super().__init__(
            SoftTripleLoss(
                num_classes=problem.num_classes,
                embedding_size=problem.num_features,
                centers_per_class=centers,
                la=scale,
                gamma=gamma,
                margin=margin,
            )
        )
