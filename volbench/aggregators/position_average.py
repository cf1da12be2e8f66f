"""Average over slices that knows where a slice is: the simplest pooling with an order.

Ours; a mean is what frozen slice encoders are hardest to beat with (arXiv:2604.26807), and it is
blind to whether a finding is in the middle of the volume or at its end.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from volbench.aggregators.masking import fill_padding
from volbench.aggregators.positions import Learned
from volbench.interfaces import Aggregator
from volbench.types import Embedding, SliceMask, Tokens


class PositionAverage(Aggregator):
    r"""Mean of the tokens, weighted by a learned function of the slice's place alone.

    $$e = \sum_d a_d\, x_d, \quad a_d = \frac{\exp w(t_d)}{\sum_{d'} \exp w(t_{d'})}$$

    The place $t_d$ goes from 0, the first slice, to 1, the last; $w$ is linear between 16 learned
    values that start at zero, so that training starts from the plain mean.

    Args:
        num_features: Length of a token; the result is as long.

    Example:
        >>> pooled = PositionAverage(2)(torch.tensor([[[1.0, 0.0], [3.0, 2.0]]]))
        >>> pooled.tolist()
        [[2.0, 1.0]]
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.places = Learned(1)
        nn.init.zeros_(self.places.table)

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature]``."""
        weights = self.slice_weights(tokens, mask)[..., None]
        return (weights * fill_padding(tokens, mask, value=0.0)).sum(dim=1)

    def slice_weights(
        self, tokens: Tokens, mask: SliceMask | None = None
    ) -> Float[Tensor, "batch slice"]:
        """Weight of each slice; they add up to 1, and padding has 0."""
        if mask is None:
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        with torch.autocast(tokens.device.type, enabled=False):
            scores = fill_padding(self.places(mask), mask, value=-math.inf)
        return scores.squeeze(2).softmax(dim=1)
