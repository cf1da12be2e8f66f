"""Tokens of a frozen encoder, packed beside an index: computed once, read by every run.

    features.f32  float32, little-endian, [sum of slices, feature]
    index.json    what they were computed from and with; written last, so whole or not there

A token is a slice of one pixel with as many channels as features, so that a folder of tokens opens
as prepared data, and everything that gathers batches of volumes gathers tokens, too.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from volbench._utils.atomic_io import open_atomic, write_json
from volbench.data.cache.packed_voxels import INDEX, Prepared, content_digest
from volbench.errors import StateError

FEATURE_SCHEMA = 1
FEATURES = "features.f32"
FEATURE_TYPE = np.dtype("<f4")


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Tokens of a data set.

    Attributes:
        folder: Where they lie.
        tokens: One row per slice, in the order of the prepared data.
        seconds: What computing them took.
    """

    folder: Path
    tokens: Float32[np.ndarray, "token feature"]
    seconds: float

    @property
    def facts(self) -> dict[str, Any]:
        """Plain data: which tokens these are, and what computing them took."""
        tokens, length = self.tokens.shape
        return {
            "key": self.folder.name,
            "tokens": tokens,
            "features": length,
            "seconds": self.seconds,
        }

    def as_prepared(self, prepared: Prepared) -> Prepared:
        """The data set with tokens in place of its slices."""
        return replace(
            prepared,
            voxels=self.tokens[:, :, None, None],
            channels=tuple(f"feature {number}" for number in range(self.tokens.shape[1])),
            masks=None,
            mask_checksums=(),
            checksums=(),
        )


def feature_key(identity: Mapping[str, Any]) -> str:
    """Digest of what tokens were computed from and with: a folder's name."""
    text = json.dumps({"schema": FEATURE_SCHEMA, **identity}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_features(
    folder: Path,
    identity: Mapping[str, Any],
    tokens: Iterable[Float32[np.ndarray, "_ feature"]],
    *,
    seconds: Iterable[float],
) -> None:
    """Write tokens, one case at a time, then the index.

    Args:
        folder: Made if it is missing.
        identity: What they are computed from and with.
        tokens: Of each case, in the order of the prepared data.
        seconds: Read once after the last case: what computing took.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    checksums, length, rows = [], 0, 0
    with open_atomic(folder / FEATURES) as file:
        for case in tokens:
            little = np.ascontiguousarray(case, FEATURE_TYPE)
            file.write(little.data)
            checksums.append(zlib.crc32(little.data))
            rows, length = rows + len(little), little.shape[1]
    content = {
        "identity": dict(identity),
        "shape": [rows, length],
        "checksums": checksums,
        "seconds": round(next(iter(seconds)), 3),
    }
    index = {"schema": FEATURE_SCHEMA, "sha256": content_digest(content), "content": content}
    write_json(folder / INDEX, index)


def open_features(folder: Path, prepared: Prepared) -> StoredFeatures:
    """Open tokens; every one is compared with its checksum.

    Raises:
        StateError: there are none, they are damaged or not those of the prepared data.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        content = index["content"]
        shape = tuple(content["shape"])
        if index["schema"] != FEATURE_SCHEMA or index["sha256"] != content_digest(content):
            raise ValueError(f"{INDEX} has changed")
        if feature_key(content["identity"]) != folder.name:
            raise ValueError("they are those of another encoder, or of other data")
        tokens = np.memmap(folder / FEATURES, FEATURE_TYPE, "c", shape=shape)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, str(error)) from None
    bounds = prepared.offsets
    if shape[0] != bounds[-1] or len(content["checksums"]) != len(bounds) - 1:
        raise _damaged(folder, "they are those of another data set")
    for number, checksum in enumerate(content["checksums"]):
        case = np.ascontiguousarray(tokens[bounds[number] : bounds[number + 1]])
        if zlib.crc32(case.data) != checksum:
            name = prepared.cases[number].name
            raise _damaged(folder, f"the tokens of case {name!r} have changed")
    return StoredFeatures(folder, tokens, float(content["seconds"]))


def _damaged(folder: Path, what: str) -> StateError:
    return StateError(f"the features in {folder} cannot be used: {what}; delete the folder")
