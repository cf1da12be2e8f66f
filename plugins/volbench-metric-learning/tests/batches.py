"""Batches to score: embeddings in double precision, and the scores of an installed loss."""

import torch
from volbench.interfaces import Loss, Problem
from volbench.plugins.registry import losses
from volbench.types import Output

PROBLEM = Problem((10, 14, 9), 6)


def batch(items=11, *, seed=0):
    """Embeddings of unequal length, and labels of three classes that come unequally often."""
    generator = torch.Generator().manual_seed(seed)
    embedding = 3 * torch.randn(items, 6, generator=generator, dtype=torch.float64)
    return embedding, torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2])[:items]


def build(spec, *, seed=0):
    torch.manual_seed(seed)
    return losses.build(spec, Loss, PROBLEM)


def score(loss, embedding, labels):
    return loss(Output(torch.zeros(len(labels), 3), embedding), labels)
