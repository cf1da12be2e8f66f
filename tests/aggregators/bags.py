"""Bags of instances in double precision, and what the tests need to know of an aggregator."""

import numpy as np
import torch

LENGTHS = (4, 1, 7)


def draw(lengths=LENGTHS, features=6, *, positive=False):
    """Tokens whose padding is not zero, and the mask."""
    tokens = np.random.default_rng(0).normal(size=(len(lengths), max(lengths), features))
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return np.abs(tokens) if positive else tokens, mask


def pooled(aggregator, tokens, mask):
    """What an aggregator returns, as NumPy sees it."""
    with torch.no_grad():
        embedding = aggregator.double().eval()(torch.from_numpy(tokens), torch.from_numpy(mask))
    return embedding.numpy()


def by_case(formula, tokens, mask):
    """A formula for one bag of real instances, applied to each."""
    return np.stack([formula(case[real]) for case, real in zip(tokens, mask, strict=True)])


def values(module):
    """Its parameters as arrays, by name."""
    return {name: value.detach().double().numpy() for name, value in module.named_parameters()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
