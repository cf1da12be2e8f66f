"""Freezing of encoder parameters: none, the first stages, or all."""

import re

from torch import nn

from volbench.errors import SpecError
from volbench.interfaces import Encoder

PREFIX = re.compile(r"stem(?:\+(\d+))?")


def freeze_encoder(encoder: Encoder, freeze: bool | str) -> None:
    """Stop training an encoder's parameters; normalisation that is frozen stays in evaluation.

    Args:
        encoder: Its ``layer_groups`` are what is counted.
        freeze: True freezes everything; ``"stem"`` the first group; ``"stem+2"`` that and the two
            stages after it; False nothing.

    Raises:
        SpecError: another text, or more stages than there are.
    """
    if freeze is False:
        return
    if freeze is True:
        encoder.requires_grad_(False)
        return
    groups = encoder.layer_groups()
    wanted = PREFIX.fullmatch(freeze)
    if wanted is None:
        raise SpecError(f"freeze must be True, False, 'stem' or 'stem+N', but got {freeze=}")
    stages = int(wanted[1] or 0)
    if stages >= len(groups):
        raise SpecError(
            f"freeze={freeze!r}: the encoder has a stem and {len(groups) - 1} stages; "
            "use freeze=True to freeze all of it"
        )
    for group in groups[: stages + 1]:
        for parameter in group:
            parameter.requires_grad_(False)


def is_frozen(encoder: nn.Module) -> bool:
    """Whether no parameter of an encoder, of at least one, is trained."""
    parameters = list(encoder.parameters())
    return bool(parameters) and not any(one.requires_grad for one in parameters)
