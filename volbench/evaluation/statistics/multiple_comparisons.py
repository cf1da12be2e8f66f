"""Multiple comparisons: Holm's adjustment, verdict of a pair, and the compact letter display.

Holm (1979), a step-down adjustment; Piepho (2004), "An algorithm for a letter-based representation
of all-pairwise comparisons", Journal of Computational and Graphical Statistics 13: insert and
absorb, without the sweeping step.
"""

from collections.abc import Iterable
from string import ascii_letters
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from volbench.errors import DataError


def holm(p: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " pair"]:
    """Adjust p values so that the chance of any false claim in the family stays below alpha.

    An undefined p value (NaN) stays undefined, and still counts as a comparison that was made.

    Raises:
        DataError: a value is not a probability.
    """
    defined = ~np.isnan(p)
    if not ((p[defined] >= 0) & (p[defined] <= 1)).all():
        wrong = p[defined][(p[defined] < 0) | (p[defined] > 1)][0]
        raise DataError(f"p value {wrong} is not between 0 and 1")
    if not len(p):
        return p.copy()
    ascending = np.argsort(np.where(defined, p, 1.0), kind="stable")
    raw = np.where(defined, p, 1.0)[ascending] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[ascending] = np.minimum(np.maximum.accumulate(raw), 1.0)
    return np.where(defined, adjusted, np.nan)


def holm_matrix(p: Float[np.ndarray, "row row"]) -> Float[np.ndarray, "row row"]:
    """Adjust the p values of all pairs of a table's rows, read from above the diagonal.

    Returns:
        Symmetric; 1 on the diagonal.
    """
    above = np.triu_indices(len(p), 1)
    adjusted = np.eye(len(p))
    adjusted[above] = holm(p[above])
    adjusted.T[above] = adjusted[above]
    return adjusted


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


def indistinguishable(
    adjusted: Float[np.ndarray, "row row"], *, alpha: float = ALPHA
) -> tuple[tuple[int, ...], ...]:
    """List the largest groups of rows in which no pair differs, in the order of the rows.

    A row may be in several groups: that a is like b and b like c does not make a like c.

    Args:
        adjusted: p value of each pair of rows; symmetric. NaN does not separate.
        alpha: Pairs below it differ.
    """
    rows = len(adjusted)
    groups = [frozenset(range(rows))]
    for first in range(rows):
        for second in range(first + 1, rows):
            if differs(float(adjusted[first, second]), alpha=alpha):
                groups = _absorbed(
                    part
                    for group in groups
                    for part in (
                        (group - {first}, group - {second})
                        if {first, second} <= group
                        else (group,)
                    )
                )
    return tuple(sorted(tuple(sorted(group)) for group in groups if group))


def letters(adjusted: Float[np.ndarray, "row row"], *, alpha: float = ALPHA) -> tuple[str, ...]:
    """Give each row the letters of its groups; two rows without a common letter differ.

    The first row has the letter a. After Z comes a2.
    """
    groups = indistinguishable(adjusted, alpha=alpha)
    return tuple(
        "".join(_letter(number) for number, group in enumerate(groups) if row in group)
        for row in range(len(adjusted))
    )


def _absorbed(groups: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    found = set(groups)
    return [group for group in found if not any(group < other for other in found)]


def _letter(number: int) -> str:
    lap, letter = divmod(number, len(ascii_letters))
    return ascii_letters[letter] + (str(lap + 1) if lap else "")
