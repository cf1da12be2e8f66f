"""Cache of audits beside the prepared data, shared by all runs on a data set."""

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import sklearn

from volbench._utils.digested_files import read_sealed, write_sealed
from volbench.audit.cross_validation import audit
from volbench.audit.result import Audit
from volbench.data.cache.packed_voxels import Prepared
from volbench.errors import StateError
from volbench.experiment.splits import Split

logger = logging.getLogger(__name__)

VERSION = 2
"""Raised whenever the same data would give other numbers."""


def audit_cached(prepared: Prepared, split: Split, *, cache: Path, seed: int = 0) -> Audit:
    """Audit once, and read the result from then on.

    Two processes that come at the same moment both compute, and write the same.

    Args:
        prepared: The data set.
        split: The folds of the runs, of the same cases in the same order.
        cache: Folder of all caches; the audits lie in ``audits`` there.
        seed: Seed of the forests.

    Raises:
        StorageError: the disk is full or the cache cannot be written.
    """
    path = cache / "audits" / f"{_key(prepared, split, seed)[:32]}.sealed"
    with suppress(StateError, ValueError):  # missing or damaged, so it is made again
        cached = Audit.from_csv(read_sealed(path).decode("utf-8"))
        logger.debug("shortcut baselines read from %s", path)
        return cached
    logger.info("computing shortcut baselines of %s", prepared.source)
    found = audit(prepared, split, seed=seed)
    write_sealed(path, found.to_csv().encode())
    return found


def read_audit(path: Path) -> Audit:
    """Read an audit.csv.

    Raises:
        StateError: it is missing or damaged.
    """
    try:
        return Audit.from_csv(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}; audit again") from None
    except ValueError as error:
        raise StateError(f"{path} is damaged ({error}); delete it and audit again") from None


def _key(prepared: Prepared, split: Split, seed: int) -> str:
    """Digest of all that an audit depends on; the data's own digest knows no strata."""
    content = {
        "version": [VERSION, sklearn.__version__],
        "data": prepared.digest,
        "preprocessing": prepared.preprocessing.digest,
        "classes": prepared.classes,
        "channels": prepared.channels,
        "cases": [asdict(case) for case in prepared.cases],
        "split": split.digest,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
