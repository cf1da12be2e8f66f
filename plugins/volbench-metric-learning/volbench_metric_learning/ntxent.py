"""Normalised-temperature cross-entropy over pairs (Chen et al., SimCLR, 2020, arXiv:2002.05709)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import NTXentLoss
from volbench.interfaces import Problem
from volbench.spec import Spec

from volbench_metric_learning.checks import check_positive
from volbench_metric_learning.mined import Mined


class NTXent(Mined):
    r"""Each positive pair against the negatives of its anchor.

    $-\log \frac{e^{s_{ip} / \tau}}{e^{s_{ip} / \tau} + \sum_{n \in N_i} e^{s_{in} / \tau}}$,
    averaged over pairs; $s$ is the cosine. Unlike ``supcon``, other positives do not stand in the
    denominator.

    Args:
        problem: Not needed; here for the common form of a loss.
        temperature: Tau, what the cosine is divided by.
        miner: Picks the pairs that count; None takes all.

    Raises:
        ValueError: an option is out of range, or there is no such miner.
    """

    search_space: ClassVar[Mapping[str, str]] = {"temperature": "loguniform(low=0.03, high=0.5)"}

    def __init__(
        self, problem: Problem, *, temperature: float = 0.07, miner: Spec | str | None = None
    ) -> None:
        check_positive(temperature=temperature)
        super().__init__(NTXentLoss(temperature=temperature), miner)
