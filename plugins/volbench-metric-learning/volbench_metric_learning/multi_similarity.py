"""Multi-similarity loss (Wang et al., CVPR 2019, arXiv:1904.06627)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import MultiSimilarityLoss
from volbench.interfaces import Problem
from volbench.spec import Spec

from volbench_metric_learning.checks import check_positive
from volbench_metric_learning.mined import Mined


class MultiSimilarity(Mined):
    r"""Weighs every pair by its own similarity and by that of its neighbours.

    $\frac{1}{\alpha} \log (1 + \sum_{p \in P_i} e^{-\alpha (s_{ip} - b)}) + \frac{1}{\beta} \log (1
    + \sum_{n \in N_i} e^{\beta (s_{in} - b)})$, averaged over the batch; $s$ is the cosine. The
    paper uses it with its miner: ``multi_similarity(miner="multi_similarity")``.

    Args:
        problem: Not needed; here for the common form of a loss.
        alpha: How strongly the least similar positives count.
        beta: How strongly the most similar negatives count.
        base: b, the cosine where pushing and pulling begin.
        miner: Picks the pairs that count; None takes all.

    Raises:
        ValueError: an option is out of range, or there is no such miner.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "alpha": "loguniform(low=0.5, high=10)",
        "beta": "loguniform(low=5, high=100)",
        "base": "uniform(low=0, high=1)",
    }

    def __init__(
        self,
        problem: Problem,
        *,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        miner: Spec | str | None = None,
    ) -> None:
        check_positive(alpha=alpha, beta=beta)
        super().__init__(MultiSimilarityLoss(alpha=alpha, beta=beta, base=base), miner)
