"""Read a case as a subject; its files are checked byte by byte before TorchIO gets their voxels."""

import copy
import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from volbench.data.formats.file_bytes import is_verifiable
from volbench.data.formats.integrity import digest_of
from volbench.data.formats.oriented_volume import PLANES, orient
from volbench.data.formats.reader import read_volume
from volbench.data.subjects.case_subject import (
    CaseSubject,
    attributes_of,
    channel_names,
    mask_name,
    usable,
)
from volbench.data.subjects.checks import require_placed
from volbench.errors import DataError
from volbench.interfaces import Case, Files, SubjectSource

if TYPE_CHECKING:
    import torchio


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
    paths = plain_paths(source)
    if paths is None:
        return None
    *images, mask = paths
    digests = [digest_of(path) for path in images if path is not None]
    return combined(case, [*digests, digest_of(mask) if mask else "", read_how(source)])


def read_how(source: Files | SubjectSource) -> str:
    """What else than its bytes decides what is read: the plane and the geometry asked for."""
    told = f" geometry={source.geometry}" if source.geometry else ""
    return f"{source.plane}{told}"


def combined(case: Case, parts: Sequence[str]) -> str:
    """SHA-256 over digests and the representative slices."""
    numbers = map(str, sorted(case.representative))
    return hashlib.sha256("\x1f".join([*parts, *numbers]).encode()).hexdigest()


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


def read_checked(
    path: str | Path, geometry: str | None = None
) -> tuple[Any, Float[np.ndarray, "4 4"]]:
    """Read one image for TorchIO: channels, width, height, depth, and the affine in RAS.

    What volbench can verify is verified first; for any other format its library vouches.

    Args:
        path: A file, or a folder holding one DICOM series.
        geometry: Which part of a NIfTI header to believe.

    Raises:
        DataError: the file is missing, damaged or not what it should be.
    """
    stored = read_volume(Path(path), geometry)
    return stored.voxels[None], stored.affine


def _from_files(case: Case, source: Files, channels: Sequence[str]) -> CaseSubject:
    import torchio

    names = tuple(channels) if len(channels) == len(source.images) else ()
    names = names or channel_names(len(source.images))
    digests, entries, paths = [], {}, {}
    for name, path in zip(names, source.images, strict=True):
        stored = read_volume(path, source.geometry)
        digests.append(stored.digest)
        entries[name] = torchio.ScalarImage(tensor=stored.voxels[None], affine=stored.affine)
        paths[name] = path
    mask_digest, region = "", None
    if source.mask is not None:
        stored = read_volume(source.mask, source.geometry)
        mask_digest, region = stored.digest, mask_name(names)
        entries[region] = torchio.LabelMap(tensor=stored.voxels[None], affine=stored.affine)
        paths[region] = source.mask
    return CaseSubject(
        subject=torchio.Subject({**usable(attributes_of(case), entries), **entries}),
        images=names,
        mask=region,
        paths=paths,
        through_plane=_through_plane(entries[names[0]], source.plane, source.images[0]),
        representative=case.representative,
        fingerprint=combined(case, [*digests, mask_digest, read_how(source)]),
    )


def _from_subject(case: Case, source: SubjectSource) -> CaseSubject:
    wanted = [*source.images, *([source.mask] if source.mask else [])]
    subject = copy.deepcopy(source.subject)
    if source.transform is None:
        for name in subject.get_images_names():
            if name not in wanted:
                subject.remove_image(name)
    for name in subject.get_images_names():
        _check_first(subject[name], source.geometry)
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
            case, [*(_content(subject[name]) for name in wanted), read_how(source)]
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


def _check_first(image: "torchio.Image", geometry: str | None) -> None:
    """Have TorchIO read through our checks, unless the user gave a reader or it is in memory."""
    from torchio.data.io import read_image

    if image.reader is read_image:
        image.reader = partial(read_checked, geometry=geometry)


def plain_paths(source: SubjectSource) -> list[Path | None] | None:
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
    require_placed(image, path)
    if plane is not None:
        return PLANES.index(plane)
    return orient(np.zeros((1, 1, 1)), image.affine, Path()).through_plane(None)
