"""Difficulty of the phantom: every parameter that depends on it, at both ends."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Difficulty:
    """A point between easy (0) and hard (1); each property is a figure at that point."""

    value: float

    @property
    def deepest_slices(self) -> tuple[float, float, float]:
        """Probabilities that the tumour goes deepest on one, two or three slices."""
        three = _between((0.5, 0.0), self.value)
        return (1 - 2 * three, three, three)

    @property
    def breach_depth_mm(self) -> Range:
        """How far a T3 tumour reaches beyond the muscularis."""
        return _between((10.0, 2.0), self.value), _between((15.0, 6.0), self.value)

    @property
    def front_half_width_mm(self) -> Range:
        """Half the width of the deepest part of the tumour, along the wall."""
        return _between((11.0, 3.5), self.value), _between((16.0, 6.5), self.value)

    @property
    def mucin(self) -> float:
        """How much of a breach's depth is bright mucin; without any it differs in shape only."""
        return _between((1.0, 0.0), self.value)

    @property
    def likeness_mm(self) -> float:
        """Version 2: how much farther from the front a T2's pixels may lie to look like fat."""
        return 200.0 * self.value**2

    @property
    def t2_invasion(self) -> Range:
        """How much of the muscularis a T2 tumour replaces at its deepest, as a fraction."""
        return _between((0.0, 0.3), self.value), _between((0.5, 0.9), self.value)

    @property
    def bulge_mm(self) -> Range:
        """How far the tumour pushes the whole wall outwards, in both classes."""
        return 0.0, _between((1.0, 4.0), self.value)

    @property
    def vessels(self) -> Range:
        """Mean number of vessels in the fat: dark (flowing blood), bright (slow flow)."""
        return _between((3.0, 14.0), self.value), _between((1.0, 6.0), self.value)

    @property
    def nodes(self) -> float:
        """Mean number of lymph nodes and deposits: tumour's own signal, detached from the wall."""
        return _between((0.3, 4.0), self.value)

    @property
    def spicules(self) -> float:
        """Mean number of fibrous strands from the wall into the fat, with no tumour in them."""
        return _between((1.0, 8.0), self.value)

    @property
    def pelvis_contrast(self) -> float:
        """How far muscle and fat outside the mesorectum lie apart."""
        return _between((0.1, 0.5), self.value)

    @property
    def fluid_in_lumen(self) -> float:
        """Probability that fluid fills the lumen: as bright as mucin."""
        return _between((0.05, 0.4), self.value)

    @property
    def bladder_threshold(self) -> Range:
        """From where on a normal field outside the mesorectum is fluid; lower is more of it."""
        return _between((1.4, 0.3), self.value), _between((4.0, 2.5), self.value)

    @property
    def noise(self) -> float:
        """Standard deviation of the Rician noise on either channel, at 3 T; fat has 0.68."""
        return _between((0.025, 0.06), self.value)

    @property
    def bias(self) -> float:
        """Standard deviation of the logarithm of the coil's bias field."""
        return _between((0.06, 0.18), self.value)


def _between(ends: Range, at: float) -> float:
    easy, hard = ends
    return easy + (hard - easy) * at
