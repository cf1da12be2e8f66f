"""Cases as TorchIO subjects, and subjects as scans: the form a case has on its way to the cache.

A subject has one scalar image per channel, a label map for the region of interest, and what the
data set says of the case (label, patient, strata) as its attributes. Files are checked byte by
byte before TorchIO gets their voxels.
"""

import copy
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from volbench.data.formats.file_bytes import is_verifiable
from volbench.data.formats.integrity import digest_of
from volbench.data.formats.oriented_volume import PLANES, OrientedVolume, orient
from volbench.data.formats.reader import read_volume
from volbench.errors import DataError
from volbench.interfaces import Case, Files, SubjectSource
from volbench.types import Scan

if TYPE_CHECKING:
    import torchio

MASK = "mask"
SLICE_NUMBERS = "slice numbers"
"""Name of the label map that follows slices through transforms: slice ``n`` holds ``n + 1``."""

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


def subject_of(case: Case, channels: Sequence[str] = ()) -> CaseSubject:
    """Load a case that is not generated.

    Args:
        case: Its source is files or a subject.
        channels: What the images of files are called; numbered if left out.

    Raises:
        DataError: a file is missing, damaged or not what it should be.
    """
    if isinstance(case.source, Files):
        return _from_files(case, case.source, channels)
    assert isinstance(case.source, SubjectSource)
    return _from_subject(case, case.source)


def subject_fingerprint(case: Case, source: SubjectSource) -> str | None:
    """Fingerprint a subject by its files alone; None if that takes its voxels."""
    paths = _plain_paths(source)
    if paths is None:
        return None
    *images, mask = paths
    digests = [digest_of(path) for path in images if path is not None]
    return combined(case, [*digests, digest_of(mask) if mask else "", str(source.plane)])


def combined(case: Case, parts: Sequence[str]) -> str:
    """SHA-256 over digests and the representative slices."""
    numbers = map(str, sorted(case.representative))
    return hashlib.sha256("\x1f".join([*parts, *numbers]).encode()).hexdigest()


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


def to_scan(loaded: CaseSubject) -> Scan:
    """Bring a subject to the form that preprocessing takes: oriented, slices first.

    Raises:
        DataError: images that do not share a grid or have no contrast, an empty mask, a slice
            number out of range.
    """
    subject, axis = loaded.subject, loaded.through_plane
    channels = [
        (name, volume)
        for name in loaded.images
        for volume in _oriented(subject[name], loaded.paths[name])
    ]
    first = channels[0][1]
    for _, channel in channels:
        channel.require_grid_of(first, "channel")
        require_contrast(str(channel.path), channel.voxels)
    front = 2 - axis  # voxels are stored slowest axis first, the affine's columns are not
    count = first.voxels.shape[front]
    rows, columns = (other for other in (2, 1, 0) if other != axis)
    spacing = first.spacing_mm
    return Scan(
        image=np.ascontiguousarray(
            np.stack([np.moveaxis(channel.voxels, front, 0) for _, channel in channels])
        ),
        spacing_mm=(spacing[axis], spacing[rows], spacing[columns]),
        mask=_region(loaded, first, front),
        representative=_representative(loaded, first, front, count),
        plane=PLANES[axis],
        affine=_index_affine(first, (axis, rows, columns)),
    )


def to_subject(
    scan: Scan, channels: Sequence[str] = (), attributes: Mapping[str, object] | None = None
) -> "torchio.Subject":
    """Make a subject of a scan: width runs along columns, height along rows, depth along slices.

    Args:
        scan: Its affine places the subject; without one it lies at the origin.
        channels: Names of the images; numbered if left out.
        attributes: Further entries; those that a subject cannot have under their name are left out.
    """
    import torch
    import torchio

    affine = scan.affine if scan.affine is not None else affine_of(scan.spacing_mm, scan.plane)
    placed = affine[:, [2, 1, 0, 3]]
    names = channels or channel_names(len(scan.image))
    images: dict[str, object] = {
        name: torchio.ScalarImage(
            tensor=torch.from_numpy(np.ascontiguousarray(channel))[None].permute(0, 3, 2, 1),
            affine=placed,
        )
        for name, channel in zip(names, scan.image, strict=True)
    }
    if scan.mask is not None:
        region = torch.from_numpy(np.ascontiguousarray(scan.mask, np.uint8))
        images[mask_name(names)] = torchio.LabelMap(
            tensor=region[None].permute(0, 3, 2, 1), affine=placed
        )
    return torchio.Subject({**_usable(attributes or {}, images), **images})


def loaded_scan(scan: Scan, channels: Sequence[str], fingerprint: str, name: str) -> CaseSubject:
    """Wrap a generated scan, so that transforms can be applied to it."""
    names = tuple(channels or channel_names(len(scan.image)))
    axis = PLANES.index(scan.plane) if scan.plane is not None else 2
    return CaseSubject(
        subject=to_subject(scan, names),
        images=names,
        mask=mask_name(names) if scan.mask is not None else None,
        paths=dict.fromkeys([*names, mask_name(names)], Path(f"case {name}")),
        through_plane=axis,
        representative=scan.representative,
        fingerprint=fingerprint,
    )


def affine_of(
    spacing_mm: tuple[float, float, float], plane: str | None
) -> Float[np.ndarray, "4 4"]:
    """Place slices of a plane at the origin: index (slice, row, column) to mm, in RAS."""
    axis = PLANES.index(plane) if plane is not None else 2
    along = (axis, *(other for other in (2, 1, 0) if other != axis))
    affine = np.eye(4)
    affine[:3, :3] = 0
    for index, (step, lps) in enumerate(zip(spacing_mm, along, strict=True)):
        affine[lps, index] = step if lps == 2 else -step
    return affine


def channel_names(count: int) -> tuple[str, ...]:
    """Names of channels that have none."""
    return ("image",) if count == 1 else tuple(f"image_{number}" for number in range(count))


def mask_name(channels: Sequence[str]) -> str:
    """Name of the region of interest beside channels of these names."""
    return "region_of_interest" if MASK in channels else MASK


def require_contrast(name: str, voxels: NDArray[Any]) -> None:
    """Refuse a volume of one value.

    Raises:
        DataError: with its name and the value.
    """
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        raise DataError(f"{name}: every voxel is {low:g}; there is nothing to learn from it")


def require_slices(name: str, numbers: Sequence[int], count: int) -> None:
    """Refuse numbers of slices that are not there.

    Raises:
        DataError: with the first such number.
    """
    for number in numbers:
        if not 0 <= number < count:
            raise DataError(
                f"{name}: representative slice {number} of {count} slices; "
                f"slices count from 0 to {count - 1}"
            )


def believed_kind(source: object) -> str | None:
    """What a volume is whose bytes volbench cannot verify; None if it can, or makes it itself."""
    if isinstance(source, Files):
        paths = [*source.images, *([source.mask] if source.mask else [])]
        return next((path.suffix for path in paths if not is_verifiable(path)), None)
    if not isinstance(source, SubjectSource):
        return None
    from torchio.data.io import read_image

    for name in (*source.images, *([source.mask] if source.mask else [])):
        image = source.subject[name]
        if image.reader is not read_image:
            return "a reader of their own"
        if not isinstance(image.path, Path):
            return "in memory"
        if not is_verifiable(image.path):
            return image.path.suffix
    return None


def _from_files(case: Case, source: Files, channels: Sequence[str]) -> CaseSubject:
    import torchio

    names = tuple(channels) if len(channels) == len(source.images) else ()
    names = names or channel_names(len(source.images))
    digests, entries, paths = [], {}, {}
    for name, path in zip(names, source.images, strict=True):
        stored = read_volume(path)
        digests.append(stored.digest)
        entries[name] = torchio.ScalarImage(tensor=stored.voxels[None], affine=stored.affine)
        paths[name] = path
    mask_digest, region = "", None
    if source.mask is not None:
        stored = read_volume(source.mask)
        mask_digest, region = stored.digest, mask_name(names)
        entries[region] = torchio.LabelMap(tensor=stored.voxels[None], affine=stored.affine)
        paths[region] = source.mask
    return CaseSubject(
        subject=torchio.Subject({**_usable(_attributes(case), entries), **entries}),
        images=names,
        mask=region,
        paths=paths,
        through_plane=_through_plane(entries[names[0]], source.plane, source.images[0]),
        representative=case.representative,
        fingerprint=combined(case, [*digests, mask_digest, str(source.plane)]),
    )


def _from_subject(case: Case, source: SubjectSource) -> CaseSubject:
    wanted = [*source.images, *([source.mask] if source.mask else [])]
    subject = copy.deepcopy(source.subject)
    if source.transform is None:
        for name in subject.get_images_names():
            if name not in wanted:
                subject.remove_image(name)
    for name in subject.get_images_names():
        _check_first(subject[name])
    paths = {name: _path_of(subject[name], case.name, name) for name in wanted}
    try:
        subject.load()
        if source.transform is not None:
            subject = source.transform(subject)
    except DataError:
        raise
    except Exception as error:  # a reader or a transform of the user's may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"case {case.name}: cannot be read ({reason})") from error
    fingerprint = subject_fingerprint(case, source)
    if fingerprint is None:
        fingerprint = combined(
            case, [*(_content(subject[name]) for name in wanted), str(source.plane)]
        )
    return CaseSubject(
        subject=subject,
        images=source.images,
        mask=source.mask,
        paths=paths,
        through_plane=_through_plane(
            subject[source.images[0]], source.plane, paths[source.images[0]]
        ),
        representative=case.representative,
        fingerprint=fingerprint,
    )


def _check_first(image: "torchio.Image") -> None:
    """Have TorchIO read through our checks, unless the user gave a reader or it is in memory."""
    from torchio.data.io import read_image

    if image.reader is read_image:
        image.reader = read_checked


def read_checked(path: str | Path) -> tuple[Any, Float[np.ndarray, "4 4"]]:
    """Read one image for TorchIO: channels, width, height, depth, and the affine in RAS.

    What volbench can verify is verified first; for any other format TorchIO's own reader vouches.

    Raises:
        DataError: the file is missing, damaged or not what it should be.
    """
    from torchio.data.io import read_image

    path = Path(path)
    if is_verifiable(path):
        stored = read_volume(path)
        return stored.voxels[None], stored.affine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor, affine = read_image(path)
    return tensor, affine


def _plain_paths(source: SubjectSource) -> list[Path | None] | None:
    """Files of the images, then of the mask; None where voxels depend on more than files."""
    from torchio.data.io import read_image

    if source.transform is not None:
        return None
    paths: list[Path | None] = []
    for name in (*source.images, source.mask):
        if name is None:
            paths.append(None)
            continue
        image = source.subject[name]
        if image.reader is not read_image or not isinstance(image.path, Path) or image._loaded:
            return None
        paths.append(image.path)
    return paths


def _content(image: "torchio.Image") -> str:
    digest = hashlib.sha256()
    voxels = np.ascontiguousarray(image.data.numpy())
    digest.update(f"{voxels.dtype.str} {voxels.shape}".encode())
    digest.update(voxels.data)
    digest.update(np.ascontiguousarray(image.affine, "<f8").tobytes())
    return digest.hexdigest()


def _path_of(image: "torchio.Image", case: str, name: str) -> Path:
    return image.path if isinstance(image.path, Path) else Path(f"case {case}, image {name}")


def _through_plane(image: "torchio.Image", plane: str | None, path: Path) -> int:
    _require_placed(image, path)
    if plane is not None:
        return PLANES.index(plane)
    return orient(np.zeros((1, 1, 1)), image.affine, Path()).through_plane(None)


def _oriented(image: "torchio.Image", path: Path) -> Iterator[OrientedVolume]:
    _require_placed(image, path)
    for channel in image.data.numpy():
        yield orient(channel, image.affine, path)


def _require_placed(image: "torchio.Image", path: Path) -> None:
    """Refuse an affine that places no volume: missing, singular or not a number."""
    affine = np.asarray(image.affine)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise DataError(f"{path}: its affine {affine[:3].tolist()} places no volume; correct it")


def _region(loaded: CaseSubject, first: OrientedVolume, front: int) -> NDArray[np.bool_] | None:
    if loaded.mask is None:
        return None
    path = loaded.paths[loaded.mask]
    region, *_ = _oriented(loaded.subject[loaded.mask], path)
    region.require_grid_of(first, "mask")
    mask = np.ascontiguousarray(np.moveaxis(region.voxels > 0, front, 0))
    if not mask.any():
        raise DataError(f"{path}: an empty mask; leave its cell empty or draw the region")
    return mask


def _representative(
    loaded: CaseSubject, first: OrientedVolume, front: int, count: int
) -> tuple[int, ...]:
    if SLICE_NUMBERS in loaded.subject:
        numbered, *_ = _oriented(loaded.subject[SLICE_NUMBERS], first.path)
        return nearest_slices(np.moveaxis(numbered.voxels, front, 0), loaded.representative)
    require_slices(str(first.path), loaded.representative, count)
    flipped = first.flipped[2 - front]
    return tuple(
        sorted(count - 1 - number if flipped else number for number in loaded.representative)
    )


def _index_affine(volume: OrientedVolume, axes: tuple[int, int, int]) -> Float[np.ndarray, "4 4"]:
    """From index (slice, row, column) to position in mm, in RAS."""
    placed = volume.affine[:, [*axes, 3]]
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ placed)


def _mode(plane: NDArray[Any]) -> int:
    values, counts = np.unique(plane[plane > 0], return_counts=True)
    return int(values[counts.argmax()]) if len(values) else 0


def _attributes(case: Case) -> dict[str, object]:
    return {**case.strata, "case": case.name, "patient": case.patient, "label": case.label}


def _usable(attributes: Mapping[str, object], images: Mapping[str, object]) -> dict[str, object]:
    """Leave out what would hide an image or a method of the subject."""
    import torchio

    return {
        name: value
        for name, value in attributes.items()
        if name not in images and not hasattr(torchio.Subject, name)
    }
