"""Volumes to encode, and encoders by spec."""

import torch
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders


def build(spec, *, in_channels=1, seed=0):
    torch.manual_seed(seed)
    return encoders.build(spec, Encoder, in_channels)


def volumes(*lengths, size=(32, 32), channels=1, junk=0.0):
    """Volumes of some lengths and their mask; beyond its end each holds ``junk``."""
    generator = torch.Generator().manual_seed(sum(lengths))
    drawn = torch.randn(len(lengths), channels, max(lengths), *size, generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return drawn.masked_fill(~mask[:, None, :, None, None], junk), mask
