"""Contrastive loss (Hadsell et al., CVPR 2006, doi:10.1109/CVPR.2006.100)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import ContrastiveLoss
from volbench.interfaces import Problem
from volbench.spec import Spec

from volbench_metric_learning.checks import check_between
from volbench_metric_learning.mined import Mined


class Contrastive(Mined):
    r"""Hinges on distances: near within a class, far between classes.

    $[d_{ip} - m_+]_+$ and $[m_- - d_{in}]_+$. Distances are Euclidean between embeddings of unit
    length, from 0 to 2, and not squared as in the paper. Each of the two is averaged over the pairs
    whose hinge is open.

    Args:
        problem: Not needed; here for the common form of a loss.
        positive_margin: Cases of a class may be as far apart.
        negative_margin: Cases of two classes must be as far apart.
        miner: Picks the pairs that count; None takes all.

    Raises:
        ValueError: an option is out of range, or there is no such miner.
    """

    search_space: ClassVar[Mapping[str, str]] = {"negative_margin": "uniform(low=0.3, high=1.5)"}

    def __init__(
        self,
        problem: Problem,
        *,
        positive_margin: float = 0.0,
        negative_margin: float = 1.0,
        miner: Spec | str | None = None,
    ) -> None:
        check_between(0, 2, positive_margin=positive_margin, negative_margin=negative_margin)
        loss = ContrastiveLoss(pos_margin=positive_margin, neg_margin=negative_margin)
        super().__init__(loss, miner)
