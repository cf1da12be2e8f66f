"""Small sets of labels and probabilities to compute metrics of."""

import numpy as np
from hypothesis import strategies as st


def binary(positive):
    positive = np.asarray(positive, dtype=float)
    return np.stack([1 - positive, positive], axis=1)


def random_problem(classes, items=200, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, items)
    logits = random.normal(size=(items, classes)) + np.eye(classes)[labels]
    probabilities = np.exp(logits)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


@st.composite
def problems(draw, classes=2, least=1, most=30):
    """Labels, any class possibly missing, and probabilities with many ties."""
    items = draw(st.integers(least, most))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=items, max_size=items))
    row = st.lists(st.integers(0, 8), min_size=classes, max_size=classes).filter(any)
    weights = np.array(draw(st.lists(row, min_size=items, max_size=items)), dtype=float)
    return np.array(labels), weights / weights.sum(axis=1, keepdims=True)
