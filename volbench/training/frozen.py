"""A frozen encoder on a CPU: each case on its own and by one thread, the same bits wherever.

What a convolution or a matrix product returns for a slice differs in its last bits with the number
of slices beside it and of threads. Tokens that are computed once, ahead of training, are those that
training would compute only if neither can matter.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from volbench.encoders.freezing import is_frozen
from volbench.interfaces import Encoder
from volbench.types import SliceMask, Volume


def encodes_each(encoder: Encoder, volume: Volume, mask: SliceMask | None) -> bool:
    """Whether an encoder is to be run by ``encode_each``."""
    if volume.device.type != "cpu" or torch.compiler.is_compiling() or not is_frozen(encoder):
        return False
    # Padding comes last; a mask with gaps is none that a loader makes.
    return mask is None or not bool((mask[:, 1:] & ~mask[:, :-1]).any())


def encode_each(
    encoder: Encoder, volume: Volume, mask: SliceMask | None
) -> Float[Tensor, "batch token feature"]:
    """Encode case by case, without padding; padded places hold zeros."""
    slices = volume.shape[2]
    lengths = [slices] * len(volume) if mask is None else mask.sum(dim=1).tolist()
    with one_thread():
        found = [
            encoder(case[None, :, :length])[0] for case, length in zip(volume, lengths, strict=True)
        ]
    places = -(-slices // encoder.slice_stride)
    tokens: Tensor = found[0].new_zeros(len(found), places, found[0].shape[1])
    for place, token in zip(tokens, found, strict=True):
        place[: len(token)] = token
    return tokens


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread for a while; other Python threads of this process may do the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
