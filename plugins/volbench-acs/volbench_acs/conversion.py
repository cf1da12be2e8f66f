"""From a 2D network to an ACS network: every convolution of more than one pixel is replaced."""

from torch import nn

from volbench_acs.convolution import ACSConvolution
from volbench_acs.neighbours import Neighbours


def convert(network: nn.Module, neighbours: Neighbours) -> None:
    """Replace the convolutions of a network; all else stays as it is and works slice by slice.

    A 1×1 kernel is the same in every orientation. Names of parameters stay, so that the weights of
    the 2D network fit before and after.

    Args:
        network: Changed in place.
        neighbours: Handed to every convolution.

    Raises:
        ValueError: a convolution cannot be turned, or there is none to turn.
    """
    found = [
        (path, module)
        for path, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
    ]
    if not found:
        raise ValueError("it has no convolution of more than one pixel")
    for path, module in found:
        # A subclass may standardise its weights or pad by itself, which would be lost.
        if type(module) is not nn.Conv2d:
            raise ValueError(f"its layer {path} is a {type(module).__name__}, not a plain Conv2d")
        try:
            network.set_submodule(path, ACSConvolution(module, neighbours))
        except ValueError as error:
            raise ValueError(f"its layer {path} {error}") from None
