"""A case as a TorchIO subject, with what only its source knows.

A subject has one scalar image per channel, a label map for the region of interest, and what the
data set says of the case (label, patient, strata) as its attributes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volbench.interfaces import Case

if TYPE_CHECKING:
    import torchio

MASK = "mask"

Transform = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class CaseSubject:
    """A case as a subject, with what only its source knows.

    Attributes:
        subject: Loaded.
        images: Names of its scalar images, in the order of the channels.
        mask: Name of the label map that is the region of interest.
        paths: Where each image came from, for messages.
        through_plane: Axis across the slices: 0 for left, 1 for posterior, 2 for superior.
        representative: Slice numbers along that axis, as stored.
        fingerprint: SHA-256 over the content that it was loaded from.
    """

    subject: "torchio.Subject"
    images: tuple[str, ...]
    mask: str | None
    paths: Mapping[str, Path]
    through_plane: int
    representative: tuple[int, ...]
    fingerprint: str = field(repr=False)


def channel_names(count: int) -> tuple[str, ...]:
    """Names of channels that have none."""
    return ("image",) if count == 1 else tuple(f"image_{number}" for number in range(count))


def mask_name(channels: Sequence[str]) -> str:
    """Name of the region of interest beside channels of these names."""
    return "region_of_interest" if MASK in channels else MASK


def attributes_of(case: Case) -> dict[str, object]:
    """What the data set says of a case: its strata, name, patient and label."""
    return {**case.strata, "case": case.name, "patient": case.patient, "label": case.label}


def usable(attributes: Mapping[str, object], images: Mapping[str, object]) -> dict[str, object]:
    """Leave out what would hide an image or a method of the subject."""
    import torchio

    return {
        name: value
        for name, value in attributes.items()
        if name not in images and not hasattr(torchio.Subject, name)
    }
