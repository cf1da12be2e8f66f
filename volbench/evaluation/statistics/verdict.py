"""One word per pair of candidates. None of them is "equal": a test cannot show that."""

from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["better", "worse", "no difference shown"]

ALPHA = 0.05


def differs(p: float, *, alpha: float = ALPHA) -> bool:
    """Whether a p value (adjusted, where there are several pairs) shows a difference; NaN never."""
    return p < alpha


def verdict(
    difference: float, p: float, *, alpha: float = ALPHA, lower_is_better: bool = False
) -> Verdict:
    """Say what a comparison shows about the first candidate.

    Args:
        difference: First less second.
        p: Two-sided; adjusted, where there are several pairs. NaN shows nothing.
        alpha: Level below which a difference counts as shown.
        lower_is_better: True for metrics such as the Brier score.
    """
    if not differs(p, alpha=alpha) or difference == 0:
        return "no difference shown"
    return "better" if (difference > 0) != lower_is_better else "worse"
