"""Supervised contrastive loss (Khosla et al., NeurIPS 2020, arXiv:2004.11362)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import SupConLoss
from volbench.interfaces import Problem
from volbench.spec import Spec

from volbench_metric_learning.checks import check_positive
from volbench_metric_learning.mined import Mined


class SupCon(Mined):
    r"""Pulls together the cases of a class, against all others.

    $-\frac{1}{|P_i|} \sum_{p \in P_i} \log \frac{e^{s_{ip} / \tau}}{\sum_{k \ne i} e^{s_{ik} /
    \tau}}$, where $s$ is the cosine and $P_i$ are the other cases of the class of $i$. The mean is
    over the anchors that have a positive; the library leaves out an anchor whose loss is 0.

    Args:
        problem: Not needed; here for the common form of a loss.
        temperature: Tau; low ones look at the nearest cases only.
        miner: Picks the pairs that count; None takes all.

    Raises:
        ValueError: an option is out of range, or there is no such miner.
    """

    search_space: ClassVar[Mapping[str, str]] = {"temperature": "loguniform(low=0.03, high=0.5)"}

    def __init__(
        self, problem: Problem, *, temperature: float = 0.1, miner: Spec | str | None = None
    ) -> None:
        check_positive(temperature=temperature)
        super().__init__(SupConLoss(temperature=temperature), miner)
