"""Network and loss of a fold, newly built or reset after compilation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from volbench.data.cache.packed_voxels import Prepared
from volbench.encoders.building import locate_weights
from volbench.encoders.weights import is_pinned
from volbench.errors import StateError
from volbench.experiment.experiment import Experiment
from volbench.interfaces import Loss, Problem
from volbench.losses.weighted_sum import build_loss, conditional_head
from volbench.training.classifier import Classifier, build_classifier
from volbench.training.compile import compiled
from volbench.training.device_and_precision import Compute


def build_network(experiment: Experiment, prepared: Prepared, compute: Compute) -> Classifier:
    """Build the network on its device; its weights come from torch's global generator.

    Raises:
        StateError: it starts from a file of weights that the experiment does not place.
    """
    weights = experiment.encoder.kwargs.get("weights")
    if isinstance(weights, str) and is_pinned(weights) and experiment.weights is None:
        raise StateError(f"encoder {experiment.encoder}: nothing says where its weights lie")
    in_channels, num_classes = len(prepared.channels), len(prepared.classes)
    network = build_classifier(
        locate_weights(experiment.encoder, experiment.weights),
        experiment.aggregator,
        in_channels=in_channels,
        num_classes=num_classes,
        conditional=conditional_head(experiment.loss),
    ).to(compute.device)
    set_ways(network.encoder, compute.fallbacks)
    if not compute.compiled:
        return network
    head = num_classes, network.conditional
    key = experiment.encoder, experiment.aggregator, in_channels, head, compute
    return compiled(network, *key)


def set_ways(encoder: nn.Module, fallbacks: Sequence[Sequence[Any]]) -> set[tuple[int, ...]]:
    """Have convolutions that can be computed in other ways do so; return their weights' shapes.

    Args:
        encoder: Changed in place.
        fallbacks: Pairs of a weight's shape and a ``Way``.
    """
    ways = {tuple(shape): way for shape, way in fallbacks}
    done = set()
    for module in encoder.modules():
        weight = getattr(module, "weight", None)
        # An adapted layer computes its weight, which is then no parameter.
        if isinstance(weight, Tensor) and hasattr(module, "way"):
            # On a GPU a stem convolves with another shape than that of its weight.
            shapes = {tuple(weight.shape), tuple(getattr(module, "computed_shape", weight.shape))}
            for shape in shapes & ways.keys():
                setattr(module, "way", ways[shape])  # noqa: B010
                done.add(shape)
    return done


def build_criterion(
    experiment: Experiment, prepared: Prepared, train: Sequence[int], network: Classifier
) -> Loss:
    """Build the loss, which may count the training cases of every class."""
    labels = [prepared.cases[index].label for index in train]
    counts = np.bincount(labels, minlength=len(prepared.classes))
    problem = Problem(tuple(map(int, counts)), network.num_features, ordered=prepared.ordered)
    return build_loss(experiment.loss, problem).to(network.head.weight.device)
