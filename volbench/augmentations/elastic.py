r"""Elastic deformation: a displacement of smoothed white noise (Simard et al., 2003).

"Best practices for convolutional neural networks applied to visual document analysis", ICDAR 2003,
doi:10.1109/ICDAR.2003.1227801.

The smoothing is done where it is a product: a Gaussian of standard deviation :math:`s` (in sides),
with the noise mirrored at the borders, multiplies the cosine of :math:`m` half waves per side by
:math:`e^{-(\pi m s)^2 / 2}`. So only the few slow cosines are drawn, and the same draw is the same
deformation at every size of the slice.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

# Cosines per axis. The fastest is damped to 0.0003 at SMOOTHEST, so that no more are needed.
WAVES = 32
SMOOTHEST = 0.04


def elastic_field(
    noise: Float[Tensor, "batch 2 32 32"], *, height: int, width: int, smooth: float
) -> Float[Tensor, "batch 2 height width"]:
    r"""Return a smooth random field whose standard deviation is 1 far from the borders.

    Near a border it is larger, up to twice that in a corner, since noise and its mirror image meet.

    .. math:: f(u, v) = 2 \sqrt{\pi}\, s \sum_{m,n} z_{mn}\,
              e^{-\pi^2 s^2 (m^2 + n^2) / 2}\, \varphi_m(u)\, \varphi_n(v)

    with :math:`\varphi_0 = 1`, :math:`\varphi_m(u) = \sqrt{2} \cos(\pi m u)`, and u, v from 0 to 1.

    Args:
        noise: Standard normal :math:`z`, for waves along the height, then along the width.
        height: Rows, in pixels.
        width: Columns, in pixels.
        smooth: :math:`s`, as a fraction of the side.
    """
    rows, columns = (
        _damped_cosines(pixels, smooth=smooth, device=noise.device) for pixels in (height, width)
    )
    # Sums of products one axis after the other; with autocast off, in full precision.
    field = torch.einsum("hm,bkmn,wn->bkhw", rows, noise, columns)
    return 2 * math.sqrt(math.pi) * smooth * field


def three_points(
    offsets: Float[Tensor, "batch 3 xy"], *, reach: float
) -> Float[Tensor, "batch 3 3"]:
    """Return the affine map that moves three points, two thirds of a side apart, by offsets.

    Args:
        offsets: In pixels, of the points (reach, reach), (reach, -reach) and (-reach, -reach).
        reach: In pixels from the centre.
    """
    first, second, third = offsets.unbind(1)
    along_x = (second - third) / (2 * reach)
    along_y = (first - second) / (2 * reach)
    shift = (first + third) / 2
    change = torch.stack([along_x, along_y, shift], dim=-1)
    last_row = change.new_zeros(len(change), 1, 3)
    return torch.cat([change, last_row], dim=1) + torch.eye(3, device=change.device)


def _damped_cosines(
    pixels: int, *, smooth: float, device: torch.device
) -> Float[Tensor, "pixels 32"]:
    wave = torch.arange(WAVES, device=device)
    place = (torch.arange(pixels, device=device) + 0.5) / pixels
    height = torch.where(wave == 0, 1.0, math.sqrt(2))
    damping = torch.exp(-((math.pi * smooth * wave) ** 2) / 2)
    return (rearrange(place, "p -> p 1") * wave * math.pi).cos() * height * damping
