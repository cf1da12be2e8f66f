"""Holm's (1979) step-down adjustment of the p values of one table, by statsmodels."""

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
    # Here, as it takes half a second, and a node that only trains may do without it.
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests(np.where(defined, p, 1.0), method="holm")[1]
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
