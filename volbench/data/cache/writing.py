"""Write a packed cache: voxels first, the index last, so that a partial one never opens."""

import os
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16, UInt8

from volbench._utils.atomic_io import open_atomic, write_json
from volbench._utils.renamed_modules import renamed
from volbench.data.cache.packed_voxels import (
    INDEX,
    MASKS,
    SCHEMA,
    VOXEL_TYPE,
    VOXELS,
    Checksum,
    Prepared,
    PreparedCase,
    content_digest,
    open_prepared,
    read_content,
)
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import UsageError
from volbench.interfaces import Card


def _card_values(card: Card) -> dict[str, str]:
    """Fields of a card; one that came later and is empty is left out, as it ever was."""
    values: dict[str, str] = asdict(card)
    if not card.about_patients:
        del values["about_patients"]
    return values


@dataclass(frozen=True, kw_only=True)
class CacheDescription:
    """What an index says of the data set as a whole; the fields are those of ``Prepared``."""

    digest: str
    preprocessing: Preprocessing
    source: str
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    card: Card
    ordered: bool = False

    def content(self) -> dict[str, object]:
        """The same as JSON holds it."""
        return {
            "digest": self.digest,
            "preprocessing": self.preprocessing.values(),
            "source": self.source,
            "classes": list(self.classes),
            "channels": list(self.channels),
            "card": _card_values(self.card),
            **({"ordered": True} if self.ordered else {}),
        }


def write_prepared(
    folder: Path,
    description: CacheDescription,
    cases: Sequence[PreparedCase],
    volumes: Iterable[Float16[np.ndarray, "_ channel size size"]],
    masks: Iterable[UInt8[np.ndarray, "_ size _"] | None] = (),
) -> Prepared:
    """Write a cache, one volume at a time.

    Args:
        folder: Made if it is missing.
        description: What holds for all cases.
        cases: Sorted by name.
        volumes: Voxels of each case, in the order of ``cases``.
        masks: Packed region of interest of each case, or None; nothing at all if there is none.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    checksums = []
    with open_atomic(folder / VOXELS) as file:
        for voxels in volumes:
            little = np.ascontiguousarray(voxels, VOXEL_TYPE)
            file.write(little.data)
            checksums.append(Checksum.of(little))
    packed = _write_masks(folder, masks)
    _write_index(folder, _content(description, cases, checksums, packed))
    return open_prepared(folder)


def _write_masks(
    folder: Path, masks: Iterable[UInt8[np.ndarray, "_ size _"] | None]
) -> tuple[int | None, ...]:
    """Write the masks that there are; without any there is no file."""
    checksums: list[int | None] = []
    with ExitStack() as stack:
        file = None
        for mask in masks:
            if mask is None:
                checksums.append(None)
                continue
            file = file or stack.enter_context(open_atomic(folder / MASKS))
            packed = np.ascontiguousarray(mask)
            file.write(packed.data)
            checksums.append(zlib.crc32(packed.data))
    return tuple(checksums) if any(known is not None for known in checksums) else ()


def redescribe(
    prepared: Prepared,
    folder: Path,
    description: CacheDescription,
    cases: Sequence[PreparedCase],
) -> Prepared:
    """Give the same voxels another index, in another folder: other strata, folds or classes.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    _share(prepared.folder / VOXELS, folder / VOXELS)
    if prepared.masks is not None:
        _share(prepared.folder / MASKS, folder / MASKS)
    packed = prepared.mask_checksums if prepared.masks is not None else ()
    _write_index(folder, _content(description, cases, prepared.checksums, packed))
    return open_prepared(folder)


def copy_prepared(prepared: Prepared, folder: Path) -> Prepared:
    """Copy a cache, so that it can be carried to another machine.

    Raises:
        UsageError: ``folder`` holds something else.
        StateError: ``folder`` holds a damaged copy.
        StorageError: the disk is full or the folder cannot be written.
    """
    content = read_content(prepared.folder)
    if (folder / INDEX).is_file() and read_content(folder) == content:
        present = open_prepared(folder)
        present.check()
        return present
    if not _is_free(folder):
        raise _taken(folder)
    _copy(prepared.folder / VOXELS, folder / VOXELS)
    if prepared.masks is not None:
        _copy(prepared.folder / MASKS, folder / MASKS)
    _write_index(folder, content)
    return open_prepared(folder)


def require_room(folder: Path) -> None:
    """Tell before hours of work that a copy cannot go to ``folder``.

    Raises:
        UsageError: ``folder`` holds something that is no prepared data.
    """
    if not (_is_free(folder) or (folder / INDEX).is_file()):
        raise _taken(folder)


def _is_free(folder: Path) -> bool:
    """Whether a folder is missing, empty, or holds no more than a copy that was cut off."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(
        path.name in (VOXELS, MASKS) or path.name.startswith(".") for path in folder.iterdir()
    )


def _taken(folder: Path) -> UsageError:
    return UsageError(f"{folder} is there already and holds something else; choose another")


def _content(
    description: CacheDescription,
    cases: Sequence[PreparedCase],
    checksums: Sequence[Checksum],
    masks: Sequence[int | None],
) -> dict[str, object]:
    content = {
        **description.content(),
        "cases": [asdict(case) for case in cases],
        "checksums": [asdict(checksum) for checksum in checksums],
    }
    return {**content, "masks": list(masks)} if masks else content


def _write_index(folder: Path, content: Mapping[str, object]) -> None:
    index = {"schema": SCHEMA, "sha256": content_digest(content), "content": content}
    write_json(folder / INDEX, index)


def _share(source: Path, target: Path) -> None:
    """Make one more name for a file, or a copy where the file system has no such names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        target.unlink(missing_ok=True)
        os.link(source, target)
        return
    _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as original, open_atomic(target) as copy:
        shutil.copyfileobj(original, copy, 1 << 22)


__getattr__ = renamed(__name__, {"Description": "CacheDescription"})
