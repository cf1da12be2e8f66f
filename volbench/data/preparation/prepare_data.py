"""A data set's volumes, preprocessed once and packed; a second time they are only opened.

Kept apart from the work itself: training from a prepared folder must not need what reads images.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from volbench._utils.cache_location import cache_root
from volbench._utils.cpu import available_cores
from volbench.data.cache.packed_voxels import Prepared, is_prepared, open_prepared
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import SpecError

logger = logging.getLogger(__name__)

OnCase = Callable[[int, int], None]
"""Called with how many cases are done and how many there are."""


def prepare(
    data: Any,
    options: Preprocessing,
    *,
    root: Path | None = None,
    jobs: int | None = None,
    on_case: OnCase | None = None,
) -> Prepared:
    """Prepare a data set, or open what is prepared already.

    A preparation that was cut off goes on where it was; where another process prepares the same,
    this one waits and then opens its result.

    Args:
        data: A spec, a manifest's path, a ``Dataset``, TorchIO subjects, or a prepared folder,
            which is opened as it is.
        options: What to do to each volume.
        root: Folder of all caches; see ``cache_root``.
        jobs: Processes; as many as there are CPUs if left out.
        on_case: Called with the number of cases done and their total; not if all are prepared.

    Raises:
        DataError: cases that cannot be used, by name; the others need not be prepared again.
        SpecError: an unknown data set or option, or a folder prepared with other options.
        StateError: ``data`` is a prepared folder, but cut off or damaged.
        StorageError: the disk is full or the cache cannot be written.

    >>> phantom = "phantom(patients=4, size=16, slices=3)"
    >>> prepare(phantom, default_options(phantom), jobs=1).classes
    ('T2', 'T3')
    """
    if _is_folder(data):
        return _opened(Path(data), options)
    from volbench.data.preparation.dataset import prepare_dataset
    from volbench.data.sources import as_dataset

    dataset, source = as_dataset(data)
    return prepare_dataset(
        dataset,
        source,
        options,
        root=root or cache_root(),
        jobs=jobs or available_cores(),
        on_case=on_case,
    )


def default_options(data: Any) -> Preprocessing:
    """What holds where nothing is set: a prepared folder's own options, else the usual ones.

    Raises:
        StateError: ``data`` is a prepared folder, but cut off or damaged.

    >>> default_options("phantom").normalize
    'zscore'
    """
    if _is_folder(data):
        return open_prepared(Path(data)).preprocessing
    return Preprocessing()


def _is_folder(data: Any) -> bool:
    # os.path says False, where Path raises, for a spec that is longer than a path may be.
    return isinstance(data, str | Path) and os.path.isdir(data) and is_prepared(Path(data))


def _opened(folder: Path, options: Preprocessing) -> Prepared:
    prepared = open_prepared(folder)
    prepared.check()
    logger.info("opened the prepared folder %s: %d cases", folder, len(prepared.cases))
    differences = options.differences(prepared.preprocessing)
    if differences:
        listed = "; ".join(
            f"preprocessing.{key} is {there!r} there, {wanted!r} here"
            for key, (wanted, there) in differences.items()
        )
        raise SpecError(
            f"{folder} was prepared with other options: {listed}; use its values, or prepare again"
        )
    return prepared
