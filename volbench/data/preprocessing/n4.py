"""N4 bias field correction (Tustison et al., 2010, doi:10.1109/TMI.2010.2046908), for thick slices.

The field is estimated on a copy shrunk in-plane only, since thick slices leave nothing to shrink
along the through-plane axis, and evaluated on the full grid.
"""

import numpy as np
from jaxtyping import Float

from volbench.errors import DataError

ITERATIONS = (20, 20)
"""Per level of the spline, each twice as fine as the one before. ITK's default, four levels of 50,
takes four times as long: see docs/explanation/preprocessing.md."""

FEWEST_PIXELS = 8
"""Rows and columns that must be left to estimate from; shrinking stops there."""


def log_bias_field(
    image: Float[np.ndarray, "slice height width"],
    spacing_mm: tuple[float, float, float],
    *,
    shrink: int = 4,
    threads: int = 1,
) -> Float[np.ndarray, "slice height width"]:
    r"""Estimate the logarithm of the smooth gain $b$ in $v = b\,u + n$.

    The estimate uses the voxels above Otsu's threshold, averaged over ``shrink`` by ``shrink``
    pixels. It always runs all ``ITERATIONS``: where a threshold ends them depends on ``shrink``.

    Args:
        image: Intensities of an MR volume, zero or above.
        spacing_mm: Distance between slices, rows and columns.
        shrink: Pixels averaged into one, along rows and columns; slices are never averaged.
        threads: CPU threads; another number may change the last digits.

    Returns:
        The log field on the grid of ``image``; zeros for a volume without contrast or with fewer
        than ``FEWEST_PIXELS`` rows or columns, from which none can be estimated.

    Raises:
        DataError: ``image`` has negative voxels, so it is no MR magnitude image.
    """
    import SimpleITK

    lowest = float(image.min())
    if lowest < 0:
        raise DataError(
            f"N4 needs intensities of zero or above, but the lowest is {lowest:g}; "
            "switch it off with preprocessing.n4=false (CT has no bias field)"
        )
    depth, rows, columns = image.shape
    if lowest == float(image.max()) or min(rows, columns) < FEWEST_PIXELS:
        return np.zeros(image.shape, np.float32)
    # A spline needs some extent along each axis; a slice beside itself has it.
    stack = np.repeat(image, 2, axis=0) if depth == 1 else image
    full = SimpleITK.GetImageFromArray(np.ascontiguousarray(stack, np.float32))
    full.SetSpacing(spacing_mm[::-1])  # SimpleITK counts columns, rows, slices
    most = min(rows, columns) // FEWEST_PIXELS
    small = SimpleITK.BinShrink(full, [min(shrink, most), min(shrink, most), 1])
    n4 = SimpleITK.N4BiasFieldCorrectionImageFilter()
    n4.SetNumberOfThreads(threads)
    n4.SetMaximumNumberOfIterations(ITERATIONS)
    n4.SetConvergenceThreshold(0)
    n4.Execute(small, SimpleITK.OtsuThreshold(small, 0, 1, 200))
    field = SimpleITK.GetArrayFromImage(n4.GetLogBiasFieldAsImage(full))
    return np.asarray(field[:depth], np.float32)


def correct_bias(
    image: Float[np.ndarray, "slice height width"],
    spacing_mm: tuple[float, float, float],
    *,
    shrink: int = 4,
) -> Float[np.ndarray, "slice height width"]:
    """Divide ``image`` by its estimated bias field.

    Args:
        image: Intensities of an MR volume, zero or above.
        spacing_mm: Distance between slices, rows and columns.
        shrink: Pixels averaged into one, along rows and columns, for the estimate only.

    Raises:
        DataError: ``image`` has negative voxels.
    """
    field = log_bias_field(image, spacing_mm, shrink=shrink)
    return np.asarray(image / np.exp(field), np.float32)
