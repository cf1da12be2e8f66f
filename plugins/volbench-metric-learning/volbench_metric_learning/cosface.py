"""CosFace (Wang et al., CVPR 2018, arXiv:1801.09414)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import CosFaceLoss
from volbench.interfaces import Problem

from volbench_metric_learning.checks import check_between, check_positive
from volbench_metric_learning.mined import Mined


class CosFace(Mined):
    r"""Cross-entropy of cosines to one learned vector per class, the true cosine lowered.

    The logits are $s (\cos \theta_y - m)$ and $s \cos \theta_k$.

    Args:
        problem: Gives the number of classes and the length of the embedding.
        margin: m, taken from the cosine of the true class.
        scale: s, what cosines are multiplied by.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "margin": "uniform(low=0.05, high=0.5)",
        "scale": "loguniform(low=4, high=64)",
    }

    def __init__(self, problem: Problem, *, margin: float = 0.35, scale: float = 64.0) -> None:
        check_positive(scale=scale)
        check_between(0, 1, margin=margin)
        super().__init__(
            CosFaceLoss(
                num_classes=problem.num_classes,
                embedding_size=problem.num_features,
                margin=margin,
                scale=scale,
            )
        )
