"""Predictions of a trained classifier, at volume or at slice level."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from volbench._utils.device import send
from volbench.data.cache.packed_voxels import Prepared, PreparedCase
from volbench.data.loading.loader import Batch, Loader
from volbench.data.loading.sampler import evaluation_batches
from volbench.errors import DataError
from volbench.evaluation.metrics import LabelArray, ProbabilityArray
from volbench.training.classifier import Classifier, SliceIndex, probabilities
from volbench.training.device_and_precision import Compute
from volbench.training.tta import Views
from volbench.types import Labels

EVALUATION_BATCH = 16


@dataclass(frozen=True)
class Scores:
    """Probabilities of each item, in the order of the cases asked for.

    Attributes:
        cases: Index of each item's case.
        slices: Number of each item's slice at slice level, else -1.
    """

    cases: LabelArray
    slices: LabelArray
    labels: LabelArray
    probabilities: ProbabilityArray


def representative_items(batch: Batch, cases: Sequence[PreparedCase]) -> tuple[SliceIndex, Labels]:
    """Name the representative slices of a batch and repeat each case's label for them."""
    pairs = [
        (position, number)
        for position, index in enumerate(batch.cases)
        for number in (
            batch.representative[position] if batch.representative else cases[index].representative
        )
    ]
    places = send(torch.tensor(pairs).T, batch.volume.device)
    return SliceIndex(places[0], places[1]), batch.labels[places[0]]


def check_representative(cases: Sequence[PreparedCase]) -> None:
    """Refuse slice level where a case names no representative slice.

    Raises:
        DataError: with the first such case.
    """
    without = [case.name for case in cases if not case.representative]
    if without:
        raise DataError(
            f"--level slice: {len(without)} of {len(cases)} cases name no representative slice, "
            f"the first is {without[0]!r}; add a 'representative' column or use --level volume"
        )


@torch.inference_mode()
def predict(
    model: Classifier,
    loader: Loader,
    prepared: Prepared,
    indices: Sequence[int],
    compute: Compute,
    views: Views,
) -> Scores:
    """Score cases in evaluation mode: the mean of the probabilities over each case's views."""
    model.eval()
    chosen = np.asarray(indices)
    order = [chosen[batch] for batch in evaluation_batches(loader.slices[chosen], EVALUATION_BATCH)]
    found: list[torch.Tensor] = []
    places: list[tuple[int, int]] = []
    for batch in loader.batches(order):
        slices = None
        if model.aggregator is None:
            slices, _ = representative_items(batch, prepared.cases)
        names = [prepared.cases[index].name for index in batch.cases]
        seen = []
        for volume in views.of(batch, names):
            with compute.autocast():
                output = model(volume, batch.mask, slices)
            seen.append(probabilities(output))
        found.append(torch.stack(seen).mean(dim=0))
        places += [
            (int(index), number)
            for index in batch.cases
            for number in ((-1,) if slices is None else prepared.cases[index].representative)
        ]
    return _in_order(places, torch.cat(found).double().cpu().numpy(), indices, loader)


def _in_order(
    places: list[tuple[int, int]], found: np.ndarray, indices: Sequence[int], loader: Loader
) -> Scores:
    rank = {index: position for position, index in enumerate(indices)}
    order = sorted(range(len(places)), key=lambda n: (rank[places[n][0]], places[n][1]))
    cases = np.array([places[n][0] for n in order])
    slices = np.array([places[n][1] for n in order])
    return Scores(cases, slices, loader.labels[cases], found[order])
