"""Positional encodings of slices, for any number of slices."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from volbench.types import SliceMask

Kind = Literal["sinusoidal", "learned", "none"]

LONGEST = 10_000.0
"""Longest wavelength of the sinusoids over 2π, in slices."""

PLACES = 16
"""Places along a volume at which positions are learned; between them they are interpolated."""


class Sinusoidal(nn.Module):
    r"""Sines and cosines of the slice's number (Vaswani et al., 2017, arXiv:1706.03762).

    $$p_{d, 2j} = \sin (d / 10000^{2j/F}), \quad p_{d, 2j+1} = \cos (d / 10000^{2j/F})$$

    Args:
        width: Length of a vector, F.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, mask: SliceMask) -> Float[Tensor, "1 slice width"]:
        """One vector per slice, the same for every case."""
        number = torch.arange(mask.shape[1], device=mask.device, dtype=torch.float32)
        pair = torch.arange(0, self.width, 2, device=mask.device, dtype=torch.float32)
        angle = number[:, None] / LONGEST ** (pair / self.width)
        waves = rearrange([angle.sin(), angle.cos()], "two s pair -> 1 s (pair two)")
        return waves[..., : self.width]


class Learned(nn.Module):
    """Learned at 16 places from a volume's first slice to its last, linear in between.

    So the third of five slices is where the thirteenth of 25 is. A single slice is the first.

    Args:
        width: Length of a vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(PLACES, width))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, mask: SliceMask) -> Float[Tensor, "batch slice width"]:
        """One vector per slice; the last slice is a case's last real one."""
        number = torch.arange(mask.shape[1], device=mask.device)
        last = (mask * number).amax(dim=1, keepdim=True).clamp(min=1)
        place = (number / last).clamp(max=1) * (PLACES - 1)
        # Linear interpolation as one product: no index that would have to be added up in backward.
        near = (1 - (place[..., None] - torch.arange(PLACES, device=mask.device)).abs()).clamp(
            min=0
        )
        return near.to(self.table.dtype) @ self.table


def build_positions(kind: Kind, width: int) -> nn.Module | None:
    """Build the positions of a kind."""
    match kind:
        case "sinusoidal":
            return Sinusoidal(width)
        case "learned":
            return Learned(width)
        case "none":
            return None
