"""No augmentation.

Source: nothing to cite.
"""

from volbench._utils.case_generator import CaseGenerator
from volbench.interfaces import Augmentation
from volbench.types import SliceMask, Volume


class NoAugmentation(Augmentation):
    """Returns every volume as it is.

    >>> from torch import ones
    >>> from volbench._utils.case_generator import CaseGenerator
    >>> volume, mask = ones(2, 1, 5, 16, 16), ones(2, 5).bool()
    >>> NoAugmentation()(volume, mask, CaseGenerator([1, 2])).shape
    torch.Size([2, 1, 5, 16, 16])
    """

    def __call__(self, volume: Volume, mask: SliceMask, generator: CaseGenerator) -> Volume:
        """Draw nothing, change nothing."""
        return volume
