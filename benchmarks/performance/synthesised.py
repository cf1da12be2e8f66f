"""Packed caches of made-up volumes, for the speed benchmarks that need data and no pictures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import fixed_geometry
import numpy as np
from jaxtyping import Float16

from volbench.data.cache.packed_voxels import Prepared, PreparedCase
from volbench.data.cache.writing import CacheDescription, write_prepared
from volbench.data.preprocessing.options import Preprocessing
from volbench.interfaces import Card

SPACING_MM = (5.0, 0.8, 0.8)


def pack_noise(folder: Path, slices: Sequence[int], size: int) -> Prepared:
    """Pack noise, one volume at a time, as a preparation does; ``slices`` are those of each."""
    return _pack(folder, slices, size, _noise(slices, size))


def pack_spots(folder: Path, cases: int, slices: int, size: int) -> Prepared:
    """Pack spots with noise, of which no two cases are alike."""
    return _pack(folder, [slices] * cases, size, _spots(cases, slices, size))


def _noise(slices: Sequence[int], size: int) -> Iterator[Float16[np.ndarray, "slice 1 size size"]]:
    random = np.random.default_rng(0)
    block = random.standard_normal((max(slices), 1, size, size)).astype(np.float16)
    for count in slices:
        yield block[:count]


def _spots(
    cases: int, slices: int, size: int
) -> Iterator[Float16[np.ndarray, "slice 1 size size"]]:
    random = np.random.default_rng(0)
    spots = fixed_geometry.blobs(slices, size, traced_back=False).numpy()[:, None]
    noise = random.normal(0, 0.1, (slices + 8, 1, size, size)).astype(np.float32)
    for index in range(cases):
        volume = (1 + index / cases) * spots + noise[index % 8 : index % 8 + slices]
        yield volume.astype(np.float16)


def _pack(
    folder: Path,
    slices: Sequence[int],
    size: int,
    volumes: Iterator[Float16[np.ndarray, "slice 1 size size"]],
) -> Prepared:
    cases = [
        PreparedCase(
            name=f"{index:06}",
            patient=f"{index:06}",
            label=index % 2,
            slices=count,
            spacing_mm=SPACING_MM,
            representative=(),
            strata={},
            fold=None,
            stored_shape=(count, size, size),
            stored_spacing_mm=SPACING_MM,
            roi_mm3=None,
        )
        for index, count in enumerate(slices)
    ]
    description = CacheDescription(
        digest="0" * 64,
        preprocessing=Preprocessing(size=size, crop="none"),
        source="synthesised",
        classes=("one", "other"),
        channels=("image",),
        card=Card(title="Synthesised volumes", licence="none", citation="none"),
    )
    return write_prepared(folder, description, cases, volumes)
