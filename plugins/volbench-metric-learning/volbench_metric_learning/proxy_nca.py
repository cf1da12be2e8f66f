"""Proxy-NCA (Movshovitz-Attias et al., ICCV 2017, arXiv:1703.07464)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import ProxyNCALoss
from volbench.interfaces import Problem

from volbench_metric_learning.checks import check_positive
from volbench_metric_learning.mined import Mined


class ProxyNCA(Mined):
    r"""Softmax over squared distances to one learned proxy per class.

    $-\log \frac{e^{-\sigma d_y}}{\sum_k e^{-\sigma d_k}}$. The sum is over all classes as in the
    library, not over the other ones as in the paper.

    Args:
        problem: Gives the number of classes and the length of the embedding.
        scale: Sigma, what distances between vectors of unit length are multiplied by.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {"scale": "loguniform(low=1, high=32)"}

    def __init__(self, problem: Problem, *, scale: float = 1.0) -> None:
        check_positive(scale=scale)
        super().__init__(
            ProxyNCALoss(
                num_classes=problem.num_classes,
                embedding_size=problem.num_features,
                softmax_scale=scale,
            )
        )
