"""Circle loss (Sun et al., CVPR 2020, arXiv:2002.10857)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import CircleLoss
from volbench.interfaces import Problem
from volbench.spec import Spec

from volbench_metric_learning.checks import check_between, check_positive
from volbench_metric_learning.mined import Mined


class Circle(Mined):
    """Each similarity moves at its own pace: the further from its optimum, the faster.

    Args:
        problem: Not needed; here for the common form of a loss.
        margin: m, how far from 1 and from 0 the cosines of positives and negatives may stay.
        gamma: Scale of the similarities.
        miner: Picks the pairs that count; None takes all.

    Raises:
        ValueError: an option is out of range, or there is no such miner.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "margin": "uniform(low=0.1, high=0.5)",
        "gamma": "loguniform(low=16, high=256)",
    }

    def __init__(
        self,
        problem: Problem,
        *,
        margin: float = 0.4,
        gamma: float = 80.0,
        miner: Spec | str | None = None,
    ) -> None:
        check_positive(gamma=gamma)
        check_between(0, 1, margin=margin)
        super().__init__(CircleLoss(m=margin, gamma=gamma), miner)
