"""ArcFace (Deng et al., CVPR 2019, arXiv:1801.07698)."""

from collections.abc import Mapping
from typing import ClassVar

from pytorch_metric_learning.losses import ArcFaceLoss
from volbench.interfaces import Problem

from volbench_metric_learning.checks import check_between, check_positive
from volbench_metric_learning.mined import Mined


class ArcFace(Mined):
    r"""Cross-entropy of cosines to one learned vector per class, the true angle widened.

    The logits are $s \cos (\theta_y + m)$ and $s \cos \theta_k$. The vectors are trained by the
    optimiser of the network, and are not those of the classifier.

    Args:
        problem: Gives the number of classes and the length of the embedding.
        margin_degrees: m, added to the angle of the true class.
        scale: s, what cosines are multiplied by.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "margin_degrees": "uniform(low=5, high=40)",
        "scale": "loguniform(low=4, high=64)",
    }

    def __init__(
        self, problem: Problem, *, margin_degrees: float = 28.6, scale: float = 64.0
    ) -> None:
        check_positive(scale=scale)
        check_between(0, 90, margin_degrees=margin_degrees)
        super().__init__(
            ArcFaceLoss(
                num_classes=problem.num_classes,
                embedding_size=problem.num_features,
                margin=margin_degrees,
                scale=scale,
            )
        )
