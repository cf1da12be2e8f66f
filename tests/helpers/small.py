"""A small prepared data set whose classes differ in one bright slice, for tests that train."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from volbench.data.cache.packed_voxels import Prepared, PreparedCase
from volbench.data.cache.writing import CacheDescription, write_prepared
from volbench.data.preprocessing.options import Preprocessing
from volbench.interfaces import Card

SIZE = 12
CLASSES = ("T2", "T3")


def small_case(
    number: int, *, slices: int = 4, label: int | None = None, patient: str | None = None, **kwargs
) -> PreparedCase:
    values = {
        "name": f"case{number:03d}",
        "patient": patient or f"patient{number:03d}",
        "label": number % 2 if label is None else label,
        "slices": slices,
        "spacing_mm": (5.0, 1.0, 1.0),
        "representative": (1, 2),
        "strata": {"site": "a" if number % 3 else "b"},
        "fold": None,
        "stored_shape": (slices, SIZE, SIZE),
        "stored_spacing_mm": (5.0, 1.0, 1.0),
        "roi_mm3": None,
    }
    return PreparedCase(**{**values, **kwargs})


def small_voxels(case: PreparedCase, *, signal: float = 2.0) -> np.ndarray:
    random = np.random.default_rng(int(case.name[-3:]))
    voxels = random.normal(size=(case.slices, 1, SIZE, SIZE))
    voxels[1, 0, 3:9, 3:9] += signal * (2 * case.label - 1)
    return voxels.astype(np.float16)


def write_small(
    folder: Path,
    *,
    cases: int = 24,
    signal: float = 2.0,
    digest: str = "d" * 64,
    source: str = "small",
    columns=None,
    **kwargs,
) -> Prepared:
    """Write it; ``columns`` gives the strata of a case by its number, in place of a site."""
    listed = [small_case(n, slices=3 + n % 4, **kwargs) for n in range(cases)]
    if columns is not None:
        listed = [replace(case, strata=columns(n)) for n, case in enumerate(listed)]
    preprocessing = Preprocessing(size=SIZE, crop="none")
    description = CacheDescription(
        digest=digest,
        preprocessing=preprocessing,
        source=source,
        classes=CLASSES,
        channels=("image",),
        card=Card(title="small", licence="none", citation="none"),
    )
    voxels = (small_voxels(case, signal=signal) for case in listed)
    return write_prepared(folder, description, listed, voxels)
