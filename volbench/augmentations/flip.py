"""Horizontal flip: left and right change places.

Source: common practice.
"""

from volbench._utils.case_generator import CaseGenerator
from volbench.augmentations.options import check_range
from volbench.interfaces import Augmentation
from volbench.types import SliceMask, Volume


class Flip(Augmentation):
    """Mirrors a case along its width, all slices alike.

    Args:
        p: Probability.

    Raises:
        ValueError: ``p`` is not a probability.

    >>> from torch import ones
    >>> from volbench._utils.case_generator import CaseGenerator
    >>> volume, mask = ones(2, 1, 5, 16, 16), ones(2, 5).bool()
    >>> Flip(p=1.0)(volume, mask, CaseGenerator([1, 2])).shape
    torch.Size([2, 1, 5, 16, 16])
    """

    def __init__(self, *, p: float = 0.5) -> None:
        check_range("p", p, low=0, high=1)
        self.p = p

    def __call__(self, volume: Volume, mask: SliceMask, generator: CaseGenerator) -> Volume:
        """Draw once per case."""
        chosen = generator.uniform() < self.p
        return volume.flip(-1).where(chosen[:, None, None, None, None], volume)
