"""Any loss of pytorch-metric-learning by its name (Musgrave et al., 2020, arXiv:2008.09164)."""

from volbench.interfaces import Problem
from volbench.spec import Spec

from volbench_metric_learning.library import build_loss
from volbench_metric_learning.mined import Mined


class MetricLearning(Mined):
    """Any loss of pytorch-metric-learning, and one of its miners before it if wanted.

    Both are names or, to set options, specs: ``metric_learning(loss="triplet_margin")``,
    ``metric_learning(loss=triplet_margin(margin=0.1), miner=batch_hard())``. Names and options are
    those of https://kevinmusgrave.github.io/pytorch-metric-learning.

    Args:
        problem: Gives the number of classes and of features to a loss with weights of its own.
        loss: Which.
        miner: Picks the pairs or triplets that count; None takes all.

    Raises:
        ValueError: no such loss or miner, one that cannot be used, or an option it does not take.
    """

    def __init__(
        self, problem: Problem, *, loss: Spec | str = "supcon", miner: Spec | str | None = None
    ) -> None:
        super().__init__(build_loss(loss, problem), miner)
