"""One prepared case on disk: what makes a preparation that was cut off go on where it was."""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from volbench._utils.atomic_io import write_atomic
from volbench.data.preprocessing.options import Preprocessing
from volbench.data.preprocessing.preprocess import preprocess
from volbench.errors import DataError, StorageError, VolbenchError
from volbench.interfaces import Case

KEPT_S = 30 * 24 * 3600
"""Parts of a preparation that nobody went on with are deleted after a month."""


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


@dataclass(frozen=True)
class CaseTask:
    """A case to prepare, and the file that will hold it.

    The file's name follows from the case's content and the options alone, so another data set
    that shares the case shares its part.
    """

    case: Case
    fingerprint: str
    channels: int
    options: Preprocessing
    folder: Path

    @property
    def path(self) -> Path:
        """Where the part lies once it is prepared."""
        key = hashlib.sha256(f"{self.fingerprint} {self.options.digest}".encode()).hexdigest()
        return self.folder / f"{key}.npz"


def make(part: CaseTask) -> str | None:
    """Read, prepare and write one case.

    Returns:
        Why the case cannot be used, None if all is well.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    try:
        voxels, facts = _prepared(part)
    except StorageError:
        raise
    except VolbenchError as error:
        return _named(part.case, str(error))
    except Exception as error:  # whatever a reader or a generator raises, it must name its case
        return _named(part.case, " ".join(f"{type(error).__name__}: {error}".split()))
    file = io.BytesIO()
    np.savez(file, voxels=voxels, facts=np.frombuffer(json.dumps(asdict(facts)).encode(), np.uint8))
    write_atomic(part.path, file.getvalue())
    return None


def load(part: CaseTask) -> tuple[Float16[np.ndarray, "slice channel size size"], CaseGeometry]:
    """Read a part; one that has gone or is damaged is made again.

    Raises:
        DataError: it had to be made again, and could not.
    """
    try:
        return _stored(part.path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        reason = make(part)
        if reason is not None:
            raise DataError(reason) from None
        return _stored(part.path)


def discard(parts: Sequence[CaseTask]) -> None:
    """Delete parts that are packed, and those nobody came back for."""
    for part in parts:
        part.path.unlink(missing_ok=True)
    for folder in {part.folder for part in parts}:
        for path in folder.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > KEPT_S:
                    path.unlink()


def _prepared(
    part: CaseTask,
) -> tuple[Float16[np.ndarray, "slice channel size size"], CaseGeometry]:
    from volbench.data.reading import read_with_fingerprint

    scan, found = read_with_fingerprint(part.case)
    if found != part.fingerprint:
        raise DataError("its files change while they are being prepared; wait for whoever writes")
    if scan.image.shape[0] != part.channels:
        raise DataError(
            f"{scan.image.shape[0]} channels where the data set has {part.channels}; "
            "give every case the same"
        )
    done = preprocess(scan, part.options)
    depth, height, width = scan.image.shape[1:]
    roi_mm3 = None
    if scan.mask is not None:
        roi_mm3 = float(np.count_nonzero(scan.mask) * np.prod(scan.spacing_mm))
    facts = CaseGeometry(
        slices=done.image.shape[1],
        spacing_mm=done.spacing_mm,
        representative=done.representative,
        stored_shape=(depth, height, width),
        stored_spacing_mm=scan.spacing_mm,
        roi_mm3=roi_mm3,
        plane=scan.plane,
    )
    return np.ascontiguousarray(np.moveaxis(done.image, 0, 1), np.float16), facts


def _stored(path: Path) -> tuple[Float16[np.ndarray, "slice channel size size"], CaseGeometry]:
    # Opened here, because NumPy leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        facts = json.loads(stored["facts"].tobytes())
        voxels = stored["voxels"]
    tuples = ("spacing_mm", "representative", "stored_shape", "stored_spacing_mm")
    return voxels, CaseGeometry(**{**facts, **{key: tuple(facts[key]) for key in tuples}})


def _named(case: Case, reason: str) -> str:
    return reason if case.name in reason else f"case {case.name}: {reason}"
