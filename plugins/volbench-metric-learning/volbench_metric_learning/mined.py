"""What the losses here share: a loss of pytorch-metric-learning, and a miner before it if wanted.

Source: Musgrave, Belongie and Lim, PyTorch Metric Learning, 2020, arXiv:2008.09164.
"""

from typing import ClassVar

import torch
from torch import nn
from volbench.interfaces import Loss
from volbench.spec import Spec
from volbench.types import Labels, Output, Scalar

from volbench_metric_learning.library import build_miner


class Mined(Loss):
    """Scores embeddings, all pairs or triplets of a batch or those that a miner picks.

    The library lists pairs and triplets before it scores them, and how many there are only the
    device knows: each batch waits for it once or more. A batch without any gives 0.

    Args:
        loss: One of the library's; its parameters, if it has any, are trained with everything else.
        miner: A miner of the library's, as ``build_miner`` takes it.

    Raises:
        ValueError: there is no such miner, or it refuses an option.
    """

    synchronises: ClassVar[bool] = True

    def __init__(self, loss: nn.Module, miner: Spec | str | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.miner = None if miner is None else build_miner(miner)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, feature]`` embeddings; the logits are not looked at."""
        embedding = output.embedding
        embedding = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
        labels = labels.long()
        # A similarity divided by a small temperature has no digits to lose.
        with torch.autocast(embedding.device.type, enabled=False):
            picked = None if self.miner is None else self.miner(embedding, labels)
            value: Scalar = self.loss(embedding, labels, picked)
        return value
