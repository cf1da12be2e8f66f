"""The network of Lee et al. (2022) in plain NumPy: one volume after the other, gradients by hand.

Written from the description alone. Nothing is packed, masked or stacked: a volume is an array
[channel, slice, row, column] of its own, a convolution is a loop over its kernel, and a layer
returns its output together with the function that pulls a gradient back through it. Weights go by
the names that volbench gives them; their shapes follow from the description here.
"""

from itertools import product

import numpy as np

EPS, MOMENTUM = 1e-5, 0.1  # of BatchNorm, as every framework has them

# Layer 1 is the stem, layers 2 to 5 are the stages. MCx: 3D below layer x; rMCx: 3D from layer x.
IS_3D = {
    "r2d": [False] * 5,
    "r3d": [True] * 5,
    "r2plus1d": [True] * 5,
    "mc3": [True, True, False, False, False],
    "rmc5": [False, False, False, False, True],
}
FILTERS = (32, 64, 128, 256)


def channels_between(i, o):
    """Channels between the two halves of a (2+1)D convolution."""
    return int(np.floor(27 * i * o / (9 * i + 3 * o)))


def convolve(volumes, weight, stride=1):
    """Correlate with weight [out, in, depth, row, column], zeros beyond the ends of each volume."""
    half = [n // 2 for n in weight.shape[2:]]
    padded = [np.pad(x, [(0, 0), *((n, n) for n in half)]) for x in volumes]
    offsets = list(product(*map(range, weight.shape[2:])))

    def window(x, offset, size):
        return x[(slice(None), *map(slice, offset, np.add(offset, size), (1, stride, stride)))]

    def size(x):  # of what the kernel's corner visits
        return [x.shape[1], x.shape[2], x.shape[3]]

    by_offset = np.ascontiguousarray(weight.transpose(2, 3, 4, 0, 1))
    outputs = []
    for x, p in zip(volumes, padded, strict=True):
        terms = (np.tensordot(by_offset[at], window(p, at, size(x)), 1) for at in offsets)
        outputs.append(sum(terms))

    def pull(gradients):
        by_weight, by_input = np.zeros_like(by_offset), []
        for x, p, g in zip(volumes, padded, gradients, strict=True):
            by_padded = np.zeros_like(p)
            for at in offsets:
                by_weight[at] += np.tensordot(g, window(p, at, size(x)), ([1, 2, 3],) * 2)
                window(by_padded, at, size(x))[...] += np.tensordot(by_offset[at].T, g, 1)
            inside = [slice(n, n + m) for n, m in zip(half, x.shape[1:], strict=True)]
            by_input.append(by_padded[:, *inside])
        return by_input, by_weight.transpose(3, 4, 0, 1, 2)

    return outputs, pull


def normalise(volumes, scale, shift, running=None):
    """BatchNorm: over all real slices of the batch, or with running mean and variance."""
    column = (slice(None), None, None, None)
    x = np.concatenate(volumes, axis=1)
    mean, variance = (x.mean((1, 2, 3)), x.var((1, 2, 3))) if running is None else running
    deviation = np.sqrt(variance + EPS)[column]
    standard = (x - mean[column]) / deviation
    cuts = np.cumsum([v.shape[1] for v in volumes])[:-1]

    def pull(gradients):
        g = np.concatenate(gradients, axis=1)
        by_standard = g * scale[column]
        if running is None:
            by_mean = by_standard.mean((1, 2, 3), keepdims=True)
            by_variance = (by_standard * standard).mean((1, 2, 3), keepdims=True)
            by_standard = by_standard - by_mean - standard * by_variance
        by_input = np.split(by_standard / deviation, cuts, axis=1)
        return by_input, (g * standard).sum((1, 2, 3)), g.sum((1, 2, 3))

    output = np.split(standard * scale[column] + shift[column], cuts, axis=1)
    unbiased = variance * x[0].size / (x[0].size - 1)
    return output, pull, (mean, unbiased)


def rectify(volumes):
    open_ = [x > 0 for x in volumes]
    return [x * o for x, o in zip(volumes, open_, strict=True)], lambda gradients: [
        g * o for g, o in zip(gradients, open_, strict=True)
    ]


def average_in_plane(volumes):
    """One token per slice: [slice, channel]."""

    def pull(gradients):
        return [
            np.broadcast_to(g.T[:, :, None, None], x.shape) / (x.shape[2] * x.shape[3])
            for g, x in zip(gradients, volumes, strict=True)
        ]

    return [x.mean((2, 3)).T for x in volumes], pull


def chain(pulls):
    def pull(gradients):
        for step in reversed(pulls):
            gradients = step(gradients)
        return gradients

    return pull


class ReleasedNetwork:
    """Encoder; after ``forward``, ``pull`` gives the input's gradient and fills ``gradients``.

    ``weights`` are arrays by name; ``running`` holds what BatchNorm's averages become in training.
    """

    def __init__(self, name, weights, *, training):
        self.is_3d = IS_3D[name]
        self.factorised = name == "r2plus1d"
        self.weights, self.training = weights, training
        self.gradients, self.running = {}, {}

    def forward(self, volumes):
        """Tokens [slice, 256] of each volume [1, slice, row, column]."""
        x, *pulls = self._apply(volumes, self._layer("stem", 1, 32, 7, 2, self.is_3d[0]), "norm")
        before, number = 32, 0
        for stage, after in enumerate(FILTERS):
            for stride in (2 if stage else 1, 1):
                x, pull = self.block(f"blocks.{number}", x, before, after, stride, stage)
                pulls.append(pull)
                before, number = after, number + 1
        tokens, pull = average_in_plane(x)
        self.pull = chain([*pulls, pull])
        return tokens

    def block(self, name, volumes, before, after, stride, stage):
        is_3d = self.is_3d[stage + 1]
        first = self._layer(f"{name}.conv1", before, after, 3, stride, is_3d)
        x, *pulls = self._apply(volumes, first, f"{name}.norm1")
        second = self._layer(f"{name}.conv2", after, after, 3, 1, is_3d)
        x, *more = self._apply(x, second, f"{name}.norm2", relu=False)
        inner, outer, pull_outer = chain([*pulls, *more]), volumes, chain([])
        if (stride, before) != (1, after):
            shortcut = [(f"{name}.projection.weight", (after, before, 1, 1, 1), stride)]
            outer, *pulls = self._apply(volumes, shortcut, f"{name}.projection_norm", relu=False)
            pull_outer = chain(pulls)
        x, pull_relu = rectify([a + b for a, b in zip(x, outer, strict=True)])

        def pull(gradients):
            gradients = pull_relu(gradients)
            both = zip(inner(gradients), pull_outer(gradients), strict=True)
            return [a + b for a, b in both]

        return x, pull

    def _layer(self, name, i, o, k, stride, is_3d):
        """Convolutions of one layer as (name, shape, stride), with the norms between them."""
        if self.factorised:
            m = channels_between(i, o)
            within = (f"{name}.within.weight", (m, i, 1, k, k), stride)
            return [within, f"{name}.norm", (f"{name}.across.weight", (o, m, 3, 1, 1), 1)]
        return [(f"{name}.weight", (o, i, 3 if is_3d else 1, k, k), stride)]

    def _apply(self, x, layer, norm, *, relu=True):
        pulls = []
        for step in layer:
            if isinstance(step, str):
                x, *more = self._norm(x, step, relu=True)
            else:
                x, *more = self._convolution(x, *step)
            pulls += more
        x, *more = self._norm(x, norm, relu=relu)
        return x, *pulls, *more

    def _convolution(self, x, name, shape, stride):
        x, pull_both = convolve(x, self.weights[name].reshape(shape), stride)

        def pull(gradients):
            gradients, by_weight = pull_both(gradients)
            self.gradients[name] = by_weight.reshape(self.weights[name].shape)
            return gradients

        return x, pull

    def _norm(self, x, name, *, relu):
        mean, variance = (self.weights[f"{name}.running_{key}"] for key in ("mean", "var"))
        scale, shift = (self.weights[f"{name}.{key}"] for key in ("weight", "bias"))
        running = None if self.training else (mean, variance)
        x, pull_all, (new_mean, new_variance) = normalise(x, scale, shift, running)
        if self.training:
            self.running[f"{name}.running_mean"] = (1 - MOMENTUM) * mean + MOMENTUM * new_mean
            self.running[f"{name}.running_var"] = (
                1 - MOMENTUM
            ) * variance + MOMENTUM * new_variance

        def pull(gradients):
            gradients, by_scale, by_shift = pull_all(gradients)
            self.gradients |= {f"{name}.weight": by_scale, f"{name}.bias": by_shift}
            return gradients

        if not relu:
            return x, pull
        x, pull_relu = rectify(x)
        return x, pull, pull_relu
