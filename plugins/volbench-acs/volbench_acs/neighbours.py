"""Which slices are neighbours, for the convolutions of one network, during one forward pass.

The slices of a batch lie packed end to end, without padding, see
``volbench.encoders.packed_slices``. A 2D network runs on them as it is; what its convolutions know
of the third axis, they learn here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from volbench.encoders.packed_slices import Packing


class Neighbours:
    """Shared by all convolutions of a network, because a 2D network hands on nothing but maps."""

    def __init__(self) -> None:
        self._volume: Int[Tensor, " item"] | None = None

    @contextmanager
    def of(self, packing: Packing) -> Iterator[None]:
        """Let slices be those of a packing until the block is left."""
        # A number per run of real slices, from 1: each begins where no slice comes before.
        self._volume = packing.starts.flatten().long().cumsum(dim=0)
        try:
            yield
        finally:
            self._volume = None

    def shifted(
        self, maps: Float[Tensor, "item filter row column"], by: int
    ) -> Float[Tensor, "item filter row column"]:
        """Give each slice the maps of the slice ``by`` places further on in its own volume.

        Beyond the ends of the volume there are zeros.
        """
        assert self._volume is not None, "convolutions along slices are used outside their network"
        if by == 0:
            return maps
        # Volumes are numbered from 1, so what comes from outside the batch is foreign too.
        foreign = self._volume != _further_on(self._volume, by)
        return _further_on(maps, by).masked_fill(rearrange(foreign, "n -> n 1 1 1"), 0)


def _further_on(items: Tensor, by: int) -> Tensor:
    """Give each item that which is ``by`` places further on; zeros come in from outside.

    Padded and cut: backwards it is cheaper than an index, and deterministic on a GPU.
    """
    before, after = max(-by, 0), max(by, 0)
    others = (0, 0) * (items.ndim - 1)
    # len(items) would make the number of slices a constant of an exported graph.
    return F.pad(items, (*others, before, after))[after : after + items.shape[0]]
