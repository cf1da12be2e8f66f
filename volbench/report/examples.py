"""Explained cases: slice importance and Grad-CAM."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from volbench.data.cache.packed_voxels import Prepared, PreparedCase
from volbench.data.loading.loader import Loader
from volbench.errors import VolbenchError
from volbench.evaluation.items import Items, gather
from volbench.predict.trained_run import TrainedRun, load_trained
from volbench.report.attribution import SliceValues, slice_values
from volbench.report.gradcam import Maps, grad_cam
from volbench.report.images import SliceImage, indices, overlay, plain, slices_of, windowed
from volbench.report.report_row import ReportRow
from volbench.training.classifier import SliceIndex
from volbench.types import Volume

EACH = 2
"""Cases that were decided rightly, and as many wrongly."""


@dataclass(frozen=True)
class Example:
    """One explained case.

    Attributes:
        decided: Name of the class it was called; what is explained is the evidence for it.
        probability: Of that class, by the network of the fold that held the case out.
        strips: Slice by slice; empty at slice level and for a single slice.
        views: For some slices the image and the image with the map; without the map where
            the encoder has none.
        mapped: Whether there is a map.
    """

    case: str
    patient: str
    label: str
    decided: str
    right: bool
    probability: float
    strips: tuple[SliceValues, ...]
    views: tuple[tuple[SliceImage, SliceImage | None], ...]
    mapped: bool


@dataclass(frozen=True)
class Examples:
    """Examples of one run, or why there are none."""

    run: str
    cases: tuple[Example, ...] = ()
    reason: str = ""


def examples(shown: ReportRow, prepared: Prepared | None, *, threshold: str) -> Examples:
    """Explain the surest right and the surest wrong decisions of a candidate's first run."""
    run = shown.candidate.runs[0]
    if prepared is None:
        return Examples(shown.title, reason="the prepared volumes are not on this machine")
    rows = [row for fold in run.predictions.values() for row in fold]
    items = gather(rows, run.classes, unit="case", threshold=threshold, validation=run.validation)
    chosen = choose(items)
    cases = [items.rows[place][0].case for place in chosen]
    places = indices(prepared, cases)
    folds = sorted({int(items.folds[place]) for place in chosen})
    try:
        trained = load_trained(run.path, folds=folds)
    except VolbenchError as error:
        return Examples(shown.title, reason=f"the networks cannot be used ({error})")
    loader = Loader(prepared, torch.device("cpu"))
    found = tuple(
        _example(items, place, index, trained, prepared, loader)
        for place, index in zip(chosen, places, strict=True)
        if index is not None
    )
    return Examples(shown.title, found)


def choose(items: Items) -> list[int]:
    """Right ones then wrong ones, the surest first, of different true classes where there are."""
    of_truth = items.probabilities[np.arange(len(items.labels)), items.labels]
    right = items.predicted == items.labels
    return [
        *_surest(np.flatnonzero(right), -of_truth, items),
        *_surest(np.flatnonzero(~right), of_truth, items),
    ]


def _surest(places: np.ndarray, order: np.ndarray, items: Items) -> list[int]:
    sorted_ = [int(place) for place in places[np.argsort(order[places], kind="stable")]]
    first_of_class: dict[int, int] = {}
    for place in sorted_:
        first_of_class.setdefault(int(items.labels[place]), place)
    different = list(first_of_class.values())
    ordered = different + [place for place in sorted_ if place not in different]
    once = {items.rows[place][0].case: place for place in reversed(ordered)}
    return [place for place in ordered if once[items.rows[place][0].case] == place][:EACH]


def _example(
    items: Items, place: int, index: int, trained: TrainedRun, prepared: Prepared, loader: Loader
) -> Example:
    row = items.rows[place][0]
    decided = int(items.predicted[place])
    network = trained.networks[int(items.folds[place])]
    (batch,) = loader.batches([np.array([index])])
    volume = trained.views.training.eval_view(batch.volume)
    strips: Sequence[SliceValues] = ()
    slices = None
    if network.aggregator is None:
        numbers = prepared.cases[index].representative
        slices = SliceIndex(torch.zeros(len(numbers), dtype=torch.long), torch.tensor(numbers))
    else:
        strips = slice_values(network, volume, of=decided)
    heat = grad_cam(network, volume, of=decided, slices=slices)
    return Example(
        case=row.case,
        patient=row.patient,
        label=row.label,
        decided=items.classes[decided],
        right=decided == int(items.labels[place]),
        probability=float(items.probabilities[place, decided]),
        strips=tuple(strips),
        views=tuple(_views(prepared.cases[index], volume, heat)),
        mapped=heat is not None,
    )


def _views(
    case: PreparedCase, volume: Volume, heat: Maps | None
) -> list[tuple[SliceImage, SliceImage | None]]:
    """Images of what the network saw: the representative slices, or where the map is largest."""
    grey = windowed(volume[0, 0].numpy())
    numbers = slices_of(case)
    if heat is not None and not case.representative:
        strongest = np.argsort(-heat.max(axis=(1, 2)), kind="stable")[: len(numbers)]
        numbers = tuple(sorted(map(int, strongest)))
    found: list[tuple[SliceImage, SliceImage | None]] = []
    for number in numbers:
        text = f"{case.name}, slice {number + 1}"
        drawn = None
        if heat is not None:
            share = f"largest value {heat[number].max():.2f} of 1"
            drawn = overlay(grey[number], heat[number], text=f"{text}, Grad-CAM, {share}")
        found.append((plain(grey[number], text=text), drawn))
    return found
