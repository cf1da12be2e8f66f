"""The packed cache: all slices of a data set in one memory-mapped file beside its index.

    voxels.f16    float16, little-endian, [sum of slices, channel, size, size]
    masks.bits    regions of interest, if there are any: uint8, [sum of masked slices, size,
                  size / 8], eight pixels of a row to a byte
    index.json    what each case is and where its slices lie; written last, so whole or not there

Opening needs numpy and the standard library only: the node that trains may lack all readers.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Float16, Int64, UInt8

from volbench.data.preprocessing.options import Preprocessing, from_values
from volbench.errors import SpecError, StateError

if TYPE_CHECKING:
    import volbench.interfaces

SCHEMA = 1
VOXELS = "voxels.f16"
MASKS = "masks.bits"
INDEX = "index.json"
VOXEL_TYPE = np.dtype("<f2")
EDGE = 4096
"""Bytes at each end of a case that are compared on opening; a whole check reads everything."""
CASE_TUPLES = {"spacing_mm", "representative", "stored_shape", "stored_spacing_mm", "affine"}
"""Fields of a case that JSON holds as lists."""


@dataclass(frozen=True)
class PreparedCase:
    """One case of a cache.

    Attributes:
        name: Unique in its data set.
        patient: Never in two folds.
        label: Index of its class.
        slices: How many it has.
        spacing_mm: Distance between slices, rows and columns, as prepared.
        representative: Numbers of the slices that show the finding, counted from 0.
        strata: Columns to report by.
        fold: The data set's own split, if it has one.
        stored_shape: Slices, rows and columns before preparation.
        stored_spacing_mm: Distance between slices, rows and columns before preparation.
        roi_mm3: Volume of the region of interest, from the whole mask; None without a mask.
        file_type: Suffix of the image as it was stored, or ``dicom``; None if not known.
        plane: That of the slices: axial, coronal or sagittal; None if not known.
        affine: Three rows of four: index (slice, row, column) to position in mm (right, anterior,
            superior); None if not known.
        header: What else its files' headers say (``formats.header_facts``), as text by name; with
            several channels, each name ends in its channel's. Empty if not known.
    """

    name: str
    patient: str
    label: int
    slices: int
    spacing_mm: tuple[float, float, float]
    representative: tuple[int, ...]
    strata: Mapping[str, str]
    fold: str | None
    stored_shape: tuple[int, int, int]
    stored_spacing_mm: tuple[float, float, float]
    roi_mm3: float | None
    file_type: str | None = None
    plane: str | None = None
    affine: tuple[float, ...] | None = None
    header: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def matrix(self) -> Float[np.ndarray, "4 4"] | None:
        """The affine as a matrix; None if the cache does not know it."""
        if self.affine is None:
            return None
        return np.array([*self.affine, 0, 0, 0, 1], float).reshape(4, 4)


def affine_tuple(matrix: Float[np.ndarray, "4 4"] | None) -> tuple[float, ...] | None:
    """An affine as a case holds it."""
    return None if matrix is None else tuple(map(float, matrix[:3].ravel()))


@dataclass(frozen=True)
class Checksum:
    """CRC-32 of a case's voxels, whole and of its two ends only."""

    whole: int
    ends: int

    @classmethod
    def of(cls, voxels: Float16[np.ndarray, "slice channel height width"]) -> "Checksum":
        """Compute both."""
        return cls(zlib.crc32(np.ascontiguousarray(voxels).data), ends_checksum(voxels))


def ends_checksum(voxels: Float16[np.ndarray, "slice channel height width"]) -> int:
    """CRC-32 of the first and the last ``EDGE`` bytes; touches two pages of a large case."""
    flat = voxels.reshape(-1)
    count = EDGE // VOXEL_TYPE.itemsize
    return zlib.crc32(flat[-count:].tobytes(), zlib.crc32(flat[:count].tobytes()))


@dataclass(frozen=True, eq=False)
class Prepared:
    """An opened cache.

    Attributes:
        folder: Where it lies; self-contained, so it can be copied elsewhere.
        digest: SHA-256 over every case's name, patient, label, representative slices and source,
            whatever their order and their preprocessing.
        preprocessing: How the volumes were prepared, without ``auto``.
        source: Canonical spec of the data set.
        classes: Names of the classes, in the order of their index.
        channels: Names of the channels.
        cases: Sorted by name.
        voxels: All slices, memory-mapped; writing to them never reaches the file.
        masks: Slices of all regions of interest, packed; None if no case has any.
        mask_checksums: CRC-32 of each case's mask; None for a case without.
        ordered: Whether the classes are grades, from low to high.
    """

    folder: Path
    digest: str
    preprocessing: Preprocessing
    source: str
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    cases: tuple[PreparedCase, ...] = field(repr=False)
    voxels: Float[np.ndarray, "slices channel size size"] = field(repr=False)
    checksums: tuple[Checksum, ...] = field(repr=False)
    card_fields: Mapping[str, str] = field(repr=False)
    masks: UInt8[np.ndarray, "masked_slices size _"] | None = field(repr=False, default=None)
    mask_checksums: tuple[int | None, ...] = field(repr=False, default=())
    ordered: bool = False

    @property
    def card(self) -> "volbench.interfaces.Card":
        """Title, licence and citation of the data set."""
        from volbench.interfaces import Card  # imports torch, which opening must not

        return Card(**self.card_fields)

    @cached_property
    def offsets(self) -> Int64[np.ndarray, " bound"]:
        """Where in ``voxels`` each case begins, and the end: one more than there are cases."""
        return np.cumsum([0, *(case.slices for case in self.cases)], dtype=np.int64)

    def volume(self, index: int) -> Float[np.ndarray, "slice channel size size"]:
        """View the slices of one case."""
        return self.voxels[self.offsets[index] : self.offsets[index + 1]]

    def mask(self, index: int) -> Bool[np.ndarray, "slice size size"] | None:
        """Region of interest of one case; None if it has none, or the cache is older than masks."""
        packed = self._packed_mask(index)
        if packed is None:
            return None
        size = self.voxels.shape[-1]
        return np.unpackbits(np.asarray(packed), axis=-1, count=size).astype(bool)

    def _packed_mask(self, index: int) -> UInt8[np.ndarray, "slice size _"] | None:
        if self.masks is None or self.mask_checksums[index] is None:
            return None
        start = self._mask_offsets[index]
        return self.masks[start : start + self.cases[index].slices]

    @cached_property
    def _mask_offsets(self) -> Int64[np.ndarray, " bound"]:
        return _masked_slices(self.cases, self.mask_checksums)

    def check(self) -> None:
        """Compare every voxel with its checksum; reads the whole cache.

        Raises:
            StateError: naming the first damaged case.
        """
        for index, checksum in enumerate(self.checksums):
            if zlib.crc32(self.volume(index).data) != checksum.whole:
                raise self._damaged(index)
        for index, known in enumerate(self.mask_checksums):
            packed = self._packed_mask(index)
            if packed is not None and zlib.crc32(np.ascontiguousarray(packed).data) != known:
                raise self._damaged(index, "mask")

    @property
    def voxels_digest(self) -> str:
        """SHA-256 over the checksums of all voxels and masks, which `check` compares."""
        sums = [[one.whole for one in self.checksums], list(self.mask_checksums)]
        return content_digest(sums)

    def check_ends(self) -> None:
        """Compare both ends of every case with their checksum; quick.

        Raises:
            StateError: naming the first damaged case.
        """
        for index, checksum in enumerate(self.checksums):
            if ends_checksum(self.volume(index)) != checksum.ends:
                raise self._damaged(index)

    def _damaged(self, index: int, what: str = "voxels") -> StateError:
        return _damage(
            self.folder, f"the {what} of case {self.cases[index].name!r} changed on disk"
        )

    def __reduce__(self) -> tuple[object, ...]:
        # Pickling the memory map would send every voxel to every worker process.
        return open_prepared, (self.folder,)


def open_prepared(folder: Path) -> Prepared:
    """Open a cache; sizes, the index and both ends of every case are checked.

    Raises:
        StateError: it is no cache, half-written, damaged, or written by a newer volbench.
    """
    content = read_content(folder)
    try:
        cases = tuple(_case(case) for case in content["cases"])
        checksums = tuple(Checksum(**pair) for pair in content["checksums"])
        preprocessing = from_values(content["preprocessing"])
        shape = (
            sum(case.slices for case in cases),
            len(content["channels"]),
            *(2 * [preprocessing.size]),
        )
        mask_checksums = tuple(content.get("masks") or (None,) * len(cases))
        prepared = Prepared(
            folder=folder,
            digest=content["digest"],
            preprocessing=preprocessing,
            source=content["source"],
            classes=tuple(content["classes"]),
            channels=tuple(content["channels"]),
            cases=cases,
            voxels=_mapped(folder, shape),
            checksums=checksums,
            card_fields=content["card"],
            masks=_mapped_masks(folder, cases, mask_checksums, int(preprocessing.size)),
            mask_checksums=mask_checksums,
            ordered=content.get("ordered", False),
        )
    except (KeyError, TypeError, ValueError, SpecError) as error:
        raise _damage(folder, f"{INDEX} lacks or garbles {error}") from error
    prepared.check_ends()
    return prepared


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds a cache, be it cut off or damaged."""
    return (folder / INDEX).is_file() or (folder / VOXELS).is_file()


def read_content(folder: Path) -> dict[str, Any]:
    """Read what an index says, once it is known to be whole and of a schema this version reads.

    Raises:
        StateError: it is missing, damaged, or written by a newer volbench.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        schema, sha256, content = index["schema"], index["sha256"], index["content"]
    except (FileNotFoundError, NotADirectoryError):
        raise StateError(
            f"{folder} holds no prepared data ({INDEX} is missing, so it is something else or was "
            "cut off); prepare it again with `volbench data prepare`"
        ) from None
    except OSError as error:
        raise StateError(f"cannot read {folder / INDEX}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damage(folder, f"{INDEX} cannot be read") from error
    if isinstance(schema, int) and schema > SCHEMA:
        raise StateError(
            f"{folder} was prepared by a newer volbench (schema {schema}, this one reads up to "
            f"{SCHEMA}); update volbench"
        )
    if schema != SCHEMA or sha256 != content_digest(content):
        raise _damage(folder, f"{INDEX} has changed since it was written")
    assert isinstance(content, dict)
    return content


def content_digest(content: object) -> str:
    """SHA-256 of what an index says."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _case(stored: dict[str, Any]) -> PreparedCase:
    lists = {key: stored[key] for key in CASE_TUPLES & stored.keys() if stored[key] is not None}
    return PreparedCase(**{**stored, **{key: tuple(values) for key, values in lists.items()}})


def _masked_slices(
    cases: tuple[PreparedCase, ...], checksums: tuple[int | None, ...]
) -> Int64[np.ndarray, " bound"]:
    """Where the mask of each case begins, and the end."""
    kept = [
        0 if known is None else case.slices for case, known in zip(cases, checksums, strict=True)
    ]
    return np.cumsum([0, *kept], dtype=np.int64)


def _mapped_masks(
    folder: Path, cases: tuple[PreparedCase, ...], checksums: tuple[int | None, ...], size: int
) -> UInt8[np.ndarray, "slices size _"] | None:
    slices = int(_masked_slices(cases, checksums)[-1])
    if not slices:
        return None
    return _mapped(folder, (slices, size, -(-size // 8)), MASKS, np.dtype(np.uint8))


def _mapped(
    folder: Path,
    shape: tuple[Any, ...],
    name: str = VOXELS,
    kind: np.dtype[Any] = VOXEL_TYPE,
) -> np.ndarray:
    path = folder / name
    wanted = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    try:
        there = path.stat().st_size
        if there != wanted:
            raise _damage(folder, f"{name} has {there} bytes where {wanted} belong")
        # Copy on write: the file stays as it is, and torch takes the memory without a copy.
        return np.memmap(path, kind, "c", shape=shape)
    except OSError as error:
        raise _damage(folder, f"{name}: {error.strerror}") from error


def _damage(folder: Path, what: str) -> StateError:
    return StateError(
        f"the prepared data in {folder} is damaged: {what}; delete it and prepare it again"
    )
