"""Proxy-anchor loss (Kim et al., CVPR 2020, arXiv:2003.13911)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import ProxyAnchorLoss
from volbench.interfaces import Problem

from volbench_metric_learning.checks import check_between, check_positive
from volbench_metric_learning.mined import Mined


class ProxyAnchor(Mined):
    r"""One learned proxy per class is the anchor of all cases.

    $\log (1 + \sum_{x \in X_p^+} e^{-\alpha (s_{xp} - m)})$, averaged over the classes in the
    batch, plus $\log (1 + \sum_{x \in X_p^-} e^{\alpha (s_{xp} + m)})$, averaged over all classes.

    Args:
        problem: Gives the number of classes and the length of the embedding.
        margin: m, in units of the cosine.
        alpha: What cosines are multiplied by.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "margin": "uniform(low=0, high=0.5)",
        "alpha": "loguniform(low=4, high=64)",
    }

    def __init__(self, problem: Problem, *, margin: float = 0.1, alpha: float = 32.0) -> None:
        check_positive(alpha=alpha)
        check_between(0, 1, margin=margin)
        super().__init__(
            ProxyAnchorLoss(
                num_classes=problem.num_classes,
                embedding_size=problem.num_features,
                margin=margin,
                alpha=alpha,
            )
        )
