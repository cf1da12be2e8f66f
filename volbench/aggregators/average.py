"""Average over slices: global average pooling, once the encoder has averaged in-plane.

Source: Lin et al., Network in network, 2014, arXiv:1312.4400.
"""

from volbench.aggregators.masking import count_slices, fill_padding
from volbench.interfaces import Aggregator
from volbench.types import Embedding, SliceMask, Tokens


class Average(Aggregator):
    r"""Mean of the real tokens: $e_i = \frac{1}{D} \sum_d x_{id}$.

    Args:
        num_features: Length of a token; the result is as long.

    >>> from torch import tensor
    >>> Average(1)(tensor([[[1.0], [3.0], [8.0]]]), tensor([[True, True, False]]))
    tensor([[2.]])
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature]``."""
        real = fill_padding(tokens, mask, value=0.0)
        return real.sum(dim=1) / count_slices(tokens, mask)
