"""No augmentation.

Source: nothing to cite.
"""

from volbench._utils.case_generator import CaseGenerator
from volbench.interfaces import Augmentation
from volbench.types import SliceMask, Volume


class NoAugmentation(Augmentation):
    """Returns every volume as it is."""

    def __call__(self, volume: Volume, mask: SliceMask, generator: CaseGenerator) -> Volume:
        """Draw nothing, change nothing."""
        return volume
