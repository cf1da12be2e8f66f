"""A window of random size and position, enlarged to the full slice (Wu et al., 2019).

"Deep neural networks improve radiologists' performance in breast cancer screening",
arXiv:1903.08297: what they vary at test time, and no more than that.
"""

from volbench._utils.case_generator import CaseGenerator
from volbench.augmentations.geometry import (
    compose,
    move,
    pixel_positions,
    sample,
    scaling,
    translation,
)
from volbench.augmentations.options import check_range
from volbench.interfaces import Augmentation
from volbench.types import SliceMask, Volume


class Crop(Augmentation):
    """Shows a part of every slice at the size of the whole, the same part of all slices of a case.

    Args:
        low: Smallest side of the window, as a part of the slice's. The side is drawn uniformly from
            here to 1, then the window's place uniformly among those inside the slice.

    Raises:
        ValueError: ``low`` is out of range.

    >>> from torch import ones
    >>> from volbench._utils.case_generator import CaseGenerator
    >>> volume, mask = ones(2, 1, 5, 16, 16), ones(2, 5).bool()
    >>> Crop(low=0.8)(volume, mask, CaseGenerator([1, 2])).shape
    torch.Size([2, 1, 5, 16, 16])
    """

    def __init__(self, *, low: float = 0.9) -> None:
        self.low = check_range("low", low, low=0.1, high=1)

    def __call__(self, volume: Volume, mask: SliceMask, generator: CaseGenerator) -> Volume:
        """Draw three numbers per case: the window's side and its place along width and height."""
        height, width = volume.shape[3:]
        size, right, down = generator.uniform(3).unbind(dim=1)
        side = self.low + (1 - self.low) * size
        spare = (1 - side) / 2  # the window's centre may be this far from the slice's, in sides
        back = compose(
            scaling(side, side),
            translation(spare * width * (2 * right - 1), spare * height * (2 * down - 1)),
        )
        return sample(volume, move(pixel_positions(height, width, device=volume.device), back))
