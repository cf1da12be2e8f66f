"""Read and preprocess one case; stored, so that preparation can be resumed."""

import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from volbench._utils.digested_files import read_sealed, write_sealed
from volbench._utils.renamed_modules import renamed
from volbench.data.cache.packed_voxels import CASE_TUPLES, affine_tuple
from volbench.data.preprocessing.information import PackedVolume, require_information
from volbench.data.preprocessing.operations import preprocess
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import DataError, StateError, StorageError, VolbenchError
from volbench.interfaces import Case

KEPT_S = 30 * 24 * 3600
"""Files of a preparation that nobody resumed are deleted after a month."""

PART_VERSION = 2
"""Raised whenever a case is written in another way; parts of another version are left alone."""

PackedMask = UInt8[np.ndarray, "slice size _"]


@dataclass(frozen=True)
class CaseGeometry:
    """What only reading a case can tell; the fields are those of ``PreparedCase``."""

    slices: int
    spacing_mm: tuple[float, float, float]
    representative: tuple[int, ...]
    stored_shape: tuple[int, int, int]
    stored_spacing_mm: tuple[float, float, float]
    roi_mm3: float | None
    plane: str | None = None
    affine: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class PreparedVolume:
    """A case as the cache holds it.

    Attributes:
        voxels: As the network sees them.
        mask: Region of interest on the same grid, eight pixels of a row to a byte.
        geometry: Where the voxels lie, and what they were before.
        fingerprint: Of what was read.
    """

    voxels: PackedVolume
    mask: PackedMask | None
    geometry: CaseGeometry
    fingerprint: str


def prepare_case(case: Case, options: Preprocessing, *, channels: Sequence[str]) -> PreparedVolume:
    """Read and preprocess one case: for training, for prediction, or to look at it.

    Args:
        case: Files, a TorchIO subject, or what is generated.
        options: Resolved, so without ``auto``.
        channels: Names of the channels that it must have.

    Raises:
        DataError: it cannot be read, has other channels, or cannot be preprocessed.
    """
    from volbench.data.reading import read_as, read_with_fingerprint

    case = read_as(case, options.geometry)
    scan, fingerprint = read_with_fingerprint(case, options.transform(), channels)
    if scan.image.shape[0] != len(channels):
        raise DataError(
            f"{scan.image.shape[0]} channels where the data set has {len(channels)}; "
            "give every case the same"
        )
    done = preprocess(scan, options)
    depth, height, width = scan.image.shape[1:]
    roi_mm3 = None
    if scan.mask is not None:
        roi_mm3 = float(np.count_nonzero(scan.mask) * np.prod(scan.spacing_mm))
    geometry = CaseGeometry(
        slices=done.image.shape[1],
        spacing_mm=done.spacing_mm,
        representative=done.representative,
        stored_shape=(depth, height, width),
        stored_spacing_mm=scan.spacing_mm,
        roi_mm3=roi_mm3,
        plane=scan.plane,
        affine=affine_tuple(done.affine),
    )
    voxels = np.ascontiguousarray(np.moveaxis(done.image, 0, 1), np.float16)
    require_information(done.image, voxels, channels, options)
    mask = None if done.mask is None else np.packbits(done.mask, axis=-1)
    return PreparedVolume(voxels, mask, geometry, fingerprint)


@dataclass(frozen=True)
class CaseTask:
    """A case to prepare, and the file that will hold it.

    Attributes:
        fingerprint: What reading must find; None takes the case as it is.
    """

    case: Case
    channels: tuple[str, ...]
    options: Preprocessing
    path: Path
    fingerprint: str | None = None


def resumable_task(
    case: Case,
    fingerprint: str,
    channels: tuple[str, ...],
    options: Preprocessing,
    folder: Path,
) -> CaseTask:
    """Name the file by content and options, so that data sets that share a case share its file."""
    text = f"{PART_VERSION} {fingerprint} {options.digest}"
    key = hashlib.sha256(text.encode()).hexdigest()
    return CaseTask(case, channels, options, folder / f"{key}.npz", fingerprint)


def try_case(
    case: Case,
    options: Preprocessing,
    *,
    channels: Sequence[str],
    expected: str | None = None,
) -> PreparedVolume | str:
    """Prepare one case, or say in a line why it cannot be used.

    Args:
        case: As for `prepare_case`.
        options: Resolved, so without ``auto``.
        channels: Names of the channels that it must have.
        expected: Fingerprint that reading must find; None takes the case as it is.

    Raises:
        StorageError: the disk is full or a folder cannot be written.
    """
    try:
        prepared = prepare_case(case, options, channels=channels)
        if expected not in (None, prepared.fingerprint):
            raise DataError(
                "its files change while they are being prepared; wait for whoever writes"
            )
    except StorageError:
        raise
    except VolbenchError as error:
        return _named(case, str(error))
    except Exception as error:  # whatever a reader or a generator raises, it must name its case
        return _named(case, " ".join(f"{type(error).__name__}: {error}".split()))
    return prepared


def make(task: CaseTask) -> str | None:
    """Read, prepare and write one case.

    Returns:
        Why the case cannot be used, None if all is well.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    prepared = try_case(task.case, task.options, channels=task.channels, expected=task.fingerprint)
    if isinstance(prepared, str):
        return prepared
    _write(task.path, prepared)
    return None


def load(task: CaseTask) -> tuple[PackedVolume, CaseGeometry]:
    """Read a prepared case; one that has gone or is damaged is made again.

    Raises:
        DataError: it had to be made again, and could not.
    """
    try:
        return _stored(task.path)
    except StateError:
        reason = make(task)
        if reason is not None:
            raise DataError(reason) from None
        return _stored(task.path)


def load_mask(task: CaseTask) -> PackedMask | None:
    """Read the mask of a case that ``load`` has just read."""
    mask: PackedMask | None = _arrays(task.path).get("mask")
    return mask


def discard(tasks: Sequence[CaseTask]) -> None:
    """Delete the files of cases that are packed, and those nobody came back for."""
    for task in tasks:
        task.path.unlink(missing_ok=True)
    for folder in {task.path.parent for task in tasks}:
        for path in folder.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > KEPT_S:
                    path.unlink()


def _write(path: Path, prepared: PreparedVolume) -> None:
    arrays: dict[str, np.ndarray] = {
        "voxels": prepared.voxels,
        "facts": np.frombuffer(json.dumps(asdict(prepared.geometry)).encode(), np.uint8),
    }
    if prepared.mask is not None:
        arrays["mask"] = prepared.mask
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    write_sealed(path, file.getvalue())


def _stored(path: Path) -> tuple[PackedVolume, CaseGeometry]:
    arrays = _arrays(path)
    facts: dict[str, Any] = json.loads(arrays["facts"].tobytes())
    for key in CASE_TUPLES & facts.keys():
        facts[key] = None if facts[key] is None else tuple(facts[key])
    return arrays["voxels"], CaseGeometry(**facts)


def _arrays(path: Path) -> Mapping[str, NDArray[Any]]:
    arrays: Mapping[str, NDArray[Any]] = np.load(io.BytesIO(read_sealed(path)), allow_pickle=False)
    return arrays


def _named(case: Case, reason: str) -> str:
    return reason if case.name in reason else f"case {case.name}: {reason}"


__getattr__ = renamed(__name__, {"Facts": "CaseGeometry", "Part": "CaseTask"})
