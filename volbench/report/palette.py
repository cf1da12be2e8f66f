"""Colours of figures: stand-ins that a page's style sheet replaces, or those of a light page."""

from dataclasses import astuple, dataclass
from typing import Any


@dataclass(frozen=True)
class Palette:
    """Colours by their use, as hexadecimal text.

    Attributes:
        ink: Text.
        muted: Axes and what is secondary.
        faint: Grids and areas.
        accent: What the figure is about.
        second: A second curve.
        third: A third curve.
        fourth: A fourth curve.
        paper: The page.
    """

    ink: str
    muted: str
    faint: str
    accent: str
    second: str
    third: str
    fourth: str
    paper: str

    def settings(self) -> Any:
        """Matplotlib's settings in these colours, for ``matplotlib.rc_context``."""
        return {
            "svg.fonttype": "none",  # text stays text: small, searchable, readable aloud
            "svg.hashsalt": "volbench",
            "font.size": 11,
            "axes.edgecolor": self.muted,
            "axes.labelcolor": self.ink,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.unicode_minus": True,
            "grid.color": self.faint,
            "grid.linewidth": 0.6,
            "text.color": self.ink,
            "xtick.color": self.muted,
            "ytick.color": self.muted,
            "xtick.labelcolor": self.ink,
            "ytick.labelcolor": self.ink,
            "legend.frameon": False,
            "path.simplify_threshold": 0.3,
        }

    def line(self, place: int) -> tuple[str, Any]:
        """Colour and dashes of one of several curves that lie over one another."""
        tones = (self.accent, self.second, self.third, self.fourth, self.ink)
        return tones[place % len(tones)], DASHES[place // len(tones) % len(DASHES)]


DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)))

PAGE = Palette(*(f"#0{tone}0{tone}0{tone}" for tone in range(1, 9)))
"""Stand-ins for the colours that the page's style sheet sets, light or dark."""

LIGHT = Palette(
    ink="#1b2430",
    muted="#566171",
    faint="#cdd4dc",
    accent="#0a5fa3",
    second="#b4510a",
    third="#0b7a4b",
    fourth="#9a2f8f",
    paper="#ffffff",
)
"""Colours of the report on a light screen, for figures outside of a page."""

TONES = dict(zip(astuple(PAGE), Palette.__dataclass_fields__, strict=True))
"""Class of the style sheet by stand-in."""
