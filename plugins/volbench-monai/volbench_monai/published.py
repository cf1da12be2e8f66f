"""Names of published checkpoints as the encoders here name the same tensors."""

from collections.abc import Iterable, Mapping

from torch import Tensor
from volbench.encoders.weights import strip_prefix


def plain_name(name: str) -> str:
    """Name of a tensor in MONAI's own network: without what wrappers and encoders put around it.

    >>> plain_name("network.layer1.0.conv1.layer.weight")
    'layer1.0.conv1.weight'
    """
    return name.removeprefix("network.").replace(".layer.", ".")


def rename(state: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """Give tensors the names that they have in an encoder; others keep theirs, to be refused.

    Args:
        state: Tensors of a checkpoint, with whatever prefix its names have.
        own: Names of the encoder's tensors.
    """
    named = {plain_name(name): name for name in own}
    if not named.keys() & strip_prefix(state, tuple(named)).keys():
        return dict(state)  # saved from such an encoder, or from something else altogether
    return {named.get(name, name): one for name, one in strip_prefix(state, tuple(named)).items()}
