"""Rows that cannot be told apart share a letter: the compact letter display of Piepho (2004).

Piepho, "An algorithm for a letter-based representation of all-pairwise comparisons", Journal of
Computational and Graphical Statistics 13: insert and absorb, without the sweeping step.
"""

from collections.abc import Iterable
from string import ascii_letters

import numpy as np
from jaxtyping import Float

from volbench.evaluation.statistics.verdict import ALPHA, differs


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
