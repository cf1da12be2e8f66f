"""N4 bias field correction (Tustison et al., 2010, doi:10.1109/TMI.2010.2046908), for thick slices.

The field is estimated on a copy shrunk in-plane only, since thick slices leave nothing to shrink
along the through-plane axis, and evaluated on the full grid.
"""

import numpy as np
from jaxtyping import Float

from volbench.errors import DataError


def log_bias_field(
    image: Float[np.ndarray, "slice height width"],
    spacing_mm: tuple[float, float, float],
    *,
    shrink: int = 4,
    threads: int = 1,
) -> Float[np.ndarray, "slice height width"]:
    r"""Estimate the logarithm of the smooth gain $b$ in $v = b\,u + n$.

    The estimate uses the voxels above Otsu's threshold, averaged over ``shrink`` by ``shrink``
    pixels, with ITK's defaults: four levels of a cubic B-spline, at most 50 iterations each.

    Args:
        image: Intensities of an MR volume, zero or above.
        spacing_mm: Distance between slices, rows and columns.
        shrink: Pixels averaged into one, along rows and columns; slices are never averaged.
        threads: CPU threads; another number may change the last digits.

    Returns:
        The log field on the grid of ``image``; zeros where there is no contrast to estimate from.

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
    if lowest == float(image.max()):
        return np.zeros(image.shape, np.float32)
    full = SimpleITK.GetImageFromArray(np.ascontiguousarray(image, np.float32))
    full.SetSpacing(spacing_mm[::-1])  # SimpleITK counts columns, rows, slices
    rows, columns = image.shape[1:]
    small = SimpleITK.BinShrink(full, [min(shrink, columns), min(shrink, rows), 1])
    n4 = SimpleITK.N4BiasFieldCorrectionImageFilter()
    n4.SetNumberOfThreads(threads)
    n4.Execute(small, SimpleITK.OtsuThreshold(small, 0, 1, 200))
    return np.asarray(SimpleITK.GetArrayFromImage(n4.GetLogBiasFieldAsImage(full)), np.float32)


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
