"""Which cases make a batch, by class; alike in slices where chance allows.

Every epoch's batches follow from a seed alone, so an interrupted epoch can be drawn again.
"""

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Int

SamplerName: TypeAlias = Literal["balanced", "weighted", "weighted_slices", "natural"]
Indices: TypeAlias = Int[np.ndarray, " _"]  # lists of any length; no two need to be alike

BUCKET_BATCHES = 4
"""Batches within which cases are sorted by slices: more of them pad less and mix less."""


def epoch_batches(
    name: SamplerName,
    labels: Indices,
    slices: Indices,
    *,
    batch_size: int,
    seed: int,
    representative: Indices | None = None,
) -> list[Indices]:
    """Draw one epoch's batches of positions into ``labels``.

    Args:
        name: ``balanced`` takes equally many of every class, going through a small class more than
            once (P x K of Hermans et al., 2017); ``weighted`` draws with replacement, each class
            equally likely; ``weighted_slices`` draws so that each class has equally many
            representative slices, on average; ``natural`` takes every case once.
        labels: Class of every training case.
        slices: Slices of every training case.
        batch_size: Cases per batch; ``balanced`` rounds it down to a multiple of the classes.
        seed: Seed of this epoch.
        representative: Representative slices of every training case, for ``weighted_slices``.
    """
    random = np.random.default_rng(seed)
    if name == "balanced":
        batches = _balanced(labels, slices, batch_size, random)
    else:
        batches = _chunks(_order(name, labels, representative, random), slices, batch_size)
    return [batches[position] for position in random.permutation(len(batches))]


def evaluation_batches(slices: Indices, batch_size: int) -> list[Indices]:
    """Every case once, in the order of its slices, so that almost nothing is padded."""
    order = np.argsort(slices, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _order(
    name: SamplerName, labels: Indices, representative: Indices | None, random: np.random.Generator
) -> Indices:
    """Cases one after another, drawn with replacement unless ``natural``."""
    if name == "natural":
        return random.permutation(len(labels))
    counts = representative if name == "weighted_slices" else np.ones_like(labels)
    assert counts is not None
    return random.choice(len(labels), len(labels), p=_inverse_frequency(labels, counts))


def _balanced(
    labels: Indices, slices: Indices, batch_size: int, random: np.random.Generator
) -> list[Indices]:
    classes = np.unique(labels)
    per_class = max(1, batch_size // len(classes))
    count = -(-len(labels) // (per_class * len(classes)))
    members = [np.flatnonzero(labels == label) for label in classes]
    streams = [
        _alike(_stream(of_class, count * per_class, random), slices, per_class)
        for of_class in members
    ]
    return [
        np.concatenate([stream[n * per_class : (n + 1) * per_class] for stream in streams])
        for n in range(count)
    ]


def _stream(members: Indices, length: int, random: np.random.Generator) -> Indices:
    """Go through the members in one random order after another until there are enough."""
    rounds = -(-length // len(members))
    return np.concatenate([random.permutation(members) for _ in range(rounds)])[:length]


def _alike(order: Indices, slices: Indices, size: int) -> Indices:
    """Sort by slices within windows of a few batches."""
    window = size * BUCKET_BATCHES
    parts = [order[start : start + window] for start in range(0, len(order), window)]
    return np.concatenate([part[np.argsort(slices[part], kind="stable")] for part in parts])


def _chunks(order: Indices, slices: Indices, size: int) -> list[Indices]:
    order = _alike(order, slices, size)
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    if len(chunks) > 1 and len(chunks[-1]) == 1:  # one case alone has no batch statistics
        chunks[-2:] = [np.concatenate(chunks[-2:])]
    return chunks


def _inverse_frequency(labels: Indices, counts: Indices) -> np.ndarray:
    """Probability of each case: one over what its class counts, cases or slices."""
    _, inverse = np.unique(labels, return_inverse=True)
    weight = 1 / np.bincount(inverse, weights=counts)[inverse]
    return np.asarray(weight / weight.sum())
