"""Losses, pooling and optimiser of Lee et al. (2022) in plain NumPy, gradients by hand.

Written from the description alone, one item after the other. A loss returns its value and the
gradient with respect to what it scores; an aggregator takes one case, tokens [slice, feature],
and returns the vector and the function that pulls a gradient back to the tokens.
"""

import numpy as np

# The released losses as volbench writes them.
FOCAL = "focal(reduction='sum')"
TRIPLET = "0.00390625*triplet(margin=256, mining='hard', normalize=False, reduction='sum')"
CENTER = "0.006*center(reduction='sum')"  # lambda 0.003, and the half that the code leaves out


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_focal(z, labels, gamma=2):
    """Summed focal loss on one logit per item: q is the probability of the truth."""
    value, gradient = 0.0, np.zeros_like(z)
    for n, label in enumerate(labels):
        sign = 1 if label else -1
        q, rest = sigmoid(sign * z[n]), sigmoid(-sign * z[n])
        value -= rest**gamma * np.log(q)
        # d q / d z = sign q (1 - q)
        gradient[n] = sign * rest**gamma * (gamma * q * np.log(q) - rest)
    return value, gradient


def softmax_focal(z, labels, gamma=2):
    """Equation 1 on two logits per item, summed: p is the softmax probability of the truth."""
    value, gradient = 0.0, np.zeros_like(z)
    for n, label in enumerate(labels):
        p = np.exp(z[n] - z[n].max())
        p /= p.sum()
        q = p[label]
        value -= (1 - q) ** gamma * np.log(q)
        by_q = gamma * (1 - q) ** (gamma - 1) * np.log(q) - (1 - q) ** gamma / q
        gradient[n] = by_q * q * (np.eye(len(p))[label] - p)
    return value, gradient


def hard_triplets(x, labels):
    """Of every anchor its farthest positive and its nearest negative."""
    for a in range(len(x)):
        apart = [((x[a] - other) ** 2).sum() for other in x]
        positives = [n for n in range(len(x)) if labels[n] == labels[a] and n != a]
        negatives = [n for n in range(len(x)) if labels[n] != labels[a]]
        if positives and negatives:
            yield a, max(positives, key=apart.__getitem__), min(negatives, key=apart.__getitem__)


def semi_hard_triplets(x, labels, margin):
    """Of every anchor and positive the nearest negative beyond it, if within the margin."""
    for a in range(len(x)):
        apart = [((x[a] - other) ** 2).sum() for other in x]
        for p in range(len(x)):
            if p == a or labels[p] != labels[a]:
                continue
            beyond = [
                n
                for n in range(len(x))
                if labels[n] != labels[a] and apart[p] < apart[n] < apart[p] + margin
            ]
            if beyond:
                yield a, p, min(beyond, key=apart.__getitem__)


def triplet_sum(x, triplets, margin):
    """Equation 3, added up over the triplets."""
    value, gradient = 0.0, np.zeros_like(x)
    for a, p, n in triplets:
        violation = ((x[a] - x[p]) ** 2).sum() - ((x[a] - x[n]) ** 2).sum() + margin
        if violation > 0:
            value += violation
            gradient[a] += 2 * (x[n] - x[p])
            gradient[p] += 2 * (x[p] - x[a])
            gradient[n] += 2 * (x[a] - x[n])
    return value, gradient


def unit_length(x):
    """Rows of length one, and the function that pulls a gradient back."""
    length = np.sqrt((x**2).sum(axis=-1, keepdims=True))
    unit = x / length
    return unit, lambda g: (g - unit * (g * unit).sum(axis=-1, keepdims=True)) / length


def squared_distances_to_centers(x, centers, labels):
    """Sum over the batch, without one half; gradients by x and by the centers."""
    value, by_x, by_centers = 0.0, np.zeros_like(x), np.zeros_like(centers)
    for n, label in enumerate(labels):
        difference = x[n] - centers[label]
        value += (difference**2).sum()
        by_x[n] = 2 * difference
        by_centers[label] -= 2 * difference
    return value, by_x, by_centers


def average(tokens):
    return tokens.mean(axis=0), lambda g: np.broadcast_to(g / len(tokens), tokens.shape)


def maximum(tokens):
    largest = tokens.max(axis=0)
    return largest, lambda g: g * (tokens == largest)


def attention(tokens):
    """Equations 4 and 5: per channel, a softmax over the slices of the features themselves."""
    weight = np.exp(tokens) / np.exp(tokens).sum(axis=0)
    pooled = (weight * tokens).sum(axis=0)
    return pooled, lambda g: g * weight * (1 + tokens - pooled)


def bilinear(tokens, *, divisor=7, triangle=True):
    """Outer products of all features, as a square: [feature * feature].

    Lower triangle (zeros above the diagonal) of the sum over slices, a divisor, signed square
    root, unit length.
    """
    product = tokens.T @ tokens / divisor
    kept = np.tril(np.ones_like(product)) if triangle else np.ones_like(product)
    product = product * kept
    root = np.sign(product) * np.sqrt(np.abs(product))
    vector, pull_unit = unit_length(root.ravel())

    def pull(gradient):
        by_root = pull_unit(gradient).reshape(root.shape)
        slope = np.zeros_like(root)
        np.divide(0.5, np.abs(root), out=slope, where=kept > 0)
        by_product = by_root * slope / divisor
        return tokens @ (by_product + by_product.T)

    return vector, pull


def sgd_step(values, gradients, velocities, *, lr, momentum, weight_decay):
    """One step on named arrays, in place; velocities start as zeros."""
    for name, value in values.items():
        velocities[name] *= momentum
        velocities[name] += gradients[name] + weight_decay * value
        value -= lr * velocities[name]
