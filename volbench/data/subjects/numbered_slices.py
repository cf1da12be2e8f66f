"""Representative slices through a transform: every slice carries its number as a label map."""

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from volbench.data.formats.oriented_volume import orient
from volbench.data.subjects.case_subject import CaseSubject, Transform
from volbench.data.subjects.checks import require_slices
from volbench.errors import DataError

if TYPE_CHECKING:
    import torchio

SLICE_NUMBERS = "slice numbers"
"""Name of the label map that follows slices through transforms: slice ``n`` holds ``n + 1``."""


def transformed(loaded: CaseSubject, transform: Transform) -> CaseSubject:
    """Apply a transform that is not random; representative slices are followed by label.

    Raises:
        DataError: the transform fails, or cuts a representative slice away.
    """
    subject = loaded.subject
    if loaded.representative:
        first = subject[loaded.images[0]]
        axis = orient(np.zeros((1, 1, 1)), first.affine, Path()).stored_axis[loaded.through_plane]
        require_slices(
            str(loaded.paths[loaded.images[0]]), loaded.representative, first.spatial_shape[axis]
        )
        subject = copy.copy(subject)
        subject.add_image(numbered_slices(first, axis), SLICE_NUMBERS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            subject = transform(subject)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"preprocessing.transforms fails ({reason})") from error
    return CaseSubject(
        subject=subject,
        images=loaded.images,
        mask=loaded.mask,
        paths=loaded.paths,
        through_plane=loaded.through_plane,
        representative=loaded.representative,
        fingerprint=loaded.fingerprint,
    )


def numbered_slices(image: "torchio.Image", axis: int) -> "torchio.LabelMap":
    """Label every voxel with the number of its slice, counted from 1; 0 is left for padding."""
    import torch
    import torchio

    shape = image.spatial_shape
    steps = [1, 1, 1]
    steps[axis] = shape[axis]
    numbers = torch.arange(1, shape[axis] + 1, dtype=torch.int32).reshape(1, *steps)
    return torchio.LabelMap(tensor=numbers.expand(1, *shape).contiguous(), affine=image.affine)


def nearest_slices(
    numbered: NDArray[Any], wanted: Sequence[int], *, strict: bool = True
) -> tuple[int, ...]:
    """Find slices again after a transform.

    Args:
        numbered: Labels of ``numbered_slices`` after the transform, slices first.
        wanted: Numbers before it.
        strict: Refuse a slice that is lost; otherwise the nearest that is left stands for it.

    Returns:
        Numbers after it, sorted, each once.

    Raises:
        DataError: a slice, and its neighbours too, are no longer there.
    """
    labels = np.array([_mode(plane) for plane in numbered], float)
    labels[labels == 0] = np.inf
    found = set()
    for number in wanted:
        away = np.abs(labels - (number + 1))
        nearest = int(away.argmin())
        if strict and not away[nearest] <= 1:
            raise DataError(
                f"representative slice {number} is no longer there after the transforms; keep it"
            )
        found.add(min(number, len(labels) - 1) if np.isinf(away[nearest]) else nearest)
    return tuple(sorted(found))


def _mode(plane: NDArray[Any]) -> int:
    values, counts = np.unique(plane[plane > 0], return_counts=True)
    return int(values[counts.argmax()]) if len(values) else 0
