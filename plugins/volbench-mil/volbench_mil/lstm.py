"""LSTM over slices (Hochreiter and Schmidhuber, 1997, doi:10.1162/neco.1997.9.8.1735).

In both directions: Schuster and Paliwal, 1997, doi:10.1109/78.650093. Over the slices of a CT:
Grewal et al., 2018, arXiv:1710.04934.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from einops import reduce
from jaxtyping import Float, Int
from torch import Tensor, nn
from volbench.aggregators.masking import fill_padding
from volbench.interfaces import Aggregator
from volbench.types import SliceMask, Tokens


class LSTM(Aggregator):
    r"""Reads the slices one after another and returns its state after the last one.

    $$\begin{aligned}
    (i, f, o) &= \operatorname{sigm} (W_{ifo}\, x_d + R_{ifo}\, h_{d-1} + b_{ifo}) \\
    c_d &= f \odot c_{d-1} + i \odot \tanh (W_c\, x_d + R_c\, h_{d-1} + b_c) \\
    h_d &= o \odot \tanh c_d
    \end{aligned}$$

    Read forwards, the result is $h_D$. A second LSTM reads the same slices from the last to the
    first; its state after the first slice is appended.

    Each direction begins at a real slice and is asked for its state at the last real one, so that
    padding is read by neither before it has answered. PyTorch's packed sequences do the same, but
    need the numbers of slices on the host, and so wait for the device.

    Args:
        num_features: Length of a token.
        hidden: Length of a state; the result is as long, or twice as long in both directions.
        bidirectional: Read in both directions.

    Raises:
        ValueError: hidden is below 1.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "hidden": "choice(among=(32, 64, 128, 256))",
        "bidirectional": "choice(among=(True, False))",
    }

    def __init__(self, num_features: int, *, hidden: int = 128, bidirectional: bool = True) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, but got {hidden=}")
        self.num_features = hidden * (2 if bidirectional else 1)
        self.forwards = nn.LSTM(num_features, hidden, batch_first=True)
        self.backwards: nn.LSTM | None = None
        if bidirectional:
            self.backwards = nn.LSTM(num_features, hidden, batch_first=True)

    def forward(
        self, tokens: Tokens, mask: SliceMask | None = None
    ) -> Float[Tensor, "batch state"]:
        """Pool ``[batch, slice, feature]`` to ``[batch, num_features]``."""
        if mask is None:
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        last = reduce(mask.long(), "b s -> b 1", "sum") - 1
        # Real slices first, in their order: a slice may be hidden in the middle of a volume.
        order = mask.long().argsort(dim=1, descending=True, stable=True)
        # A state is rounded once per slice if autocast may round it, and the error adds up.
        with torch.autocast(tokens.device.type, enabled=False):
            real = fill_padding(tokens, mask, value=0.0)
            states = [_final_state(self.forwards, real, order, last)]
            if self.backwards is not None:
                place = torch.arange(mask.shape[1], device=mask.device)
                reversed_ = order.gather(1, (last - place).clamp(min=0))
                states.append(_final_state(self.backwards, real, reversed_, last))
        return torch.cat(states, dim=1)


def _final_state(
    lstm: nn.LSTM, tokens: Tokens, order: Int[Tensor, "batch slice"], last: Int[Tensor, "batch 1"]
) -> Float[Tensor, "batch state"]:
    """Read the tokens in an order; return the state after the one in place ``last``."""
    states, _ = lstm(torch.take_along_dim(tokens, order[..., None], dim=1))
    return torch.take_along_dim(states, last[..., None], dim=1).squeeze(1)
