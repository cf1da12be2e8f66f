"""Slices a few at a time: on a CPU, what is computed of them then stays in its cache."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

PIXELS_AT_ONCE = 1 << 18


def parts(
    planes: Float[Tensor, "plane height width"], *of_plane: Float[Tensor, "plane 1 1"]
) -> Iterator[tuple[Tensor, ...]]:
    """Yield some of the slices, with what belongs to them; on a GPU all at once.

    Args:
        planes: Slices, of any number of cases.
        of_plane: Further values, one for each slice.
    """
    at_once = len(planes) if planes.is_cuda else max(1, PIXELS_AT_ONCE // planes[0].numel())
    yield from zip(*(tensor.split(at_once) for tensor in (planes, *of_plane)), strict=True)
