"""What vouches for the files of a run folder: digests.json, the experiment's id, results' digests.

Runs of version 0.1 were not sealed: they have neither digests.json nor ``sealed`` in
experiment.json, and are read as they are; in a sealed run a digest that is missing is as bad as one
that is wrong.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from volbench._utils.atomic_io import write_json
from volbench.errors import StateError

DIGESTS = "digests.json"
SEALED = "sealed"
CANONICAL = (
    "encoder",
    "aggregator",
    "loss",
    "level",
    "recipe",
    "data_digest",
    "split_digest",
    "folds",
    "seed",
    "precision",
    "tuning",
    "tabular",
    "permuted",
    "train_share",
)
"""Keys of experiment.json that its id is the digest of; of ``OPTIONAL`` those that there are."""

OPTIONAL = ("tuning", "tabular", "permuted", "train_share")


def seal(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Keep the digests of these files beside those that are kept already.

    Raises:
        StateError: the digests that are kept cannot be read.
        StorageError: the disk is full or the folder cannot be written.
    """
    kept = _digests(folder) if (folder / DIGESTS).exists() else {}
    new = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_json(folder / DIGESTS, {"schema": 1, "sha256": {**kept, **new}})


def verified(folder: Path, name: str) -> bytes:
    """The content of a file of a sealed run.

    Raises:
        StateError: it is missing, was changed, or no digest vouches for it.
    """
    digest = _digests(folder).get(name)
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise StateError(f"{folder / name} is missing ({error.strerror}); run again") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise _changed(folder / name)
    return content


def vouched(folder: Path) -> frozenset[str]:
    """Names of the files whose digests are kept."""
    return frozenset(_digests(folder))


def require_id(path: Path, values: Mapping[str, Any]) -> None:
    """Refuse an experiment.json that is not the one its id was made of.

    Raises:
        StateError: naming the file.
    """
    kept = {key: values[key] for key in CANONICAL if key in values}
    for key in OPTIONAL:
        if kept.get(key) is None:
            kept.pop(key, None)
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest()[:16] != values.get("id"):
        raise _changed(path)


def signed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with a digest of their own."""
    return {**values, "digest": _digest(values)}


def require_signed(path: Path, values: Mapping[str, Any], *, sealed: bool) -> dict[str, Any]:
    """A result without its digest, which must be right, and must be there in a sealed run.

    Raises:
        StateError: naming the file.
    """
    finished = values.get("status") != "failed"  # a failure lets no number through
    if "digest" not in values and not (sealed and finished):
        return dict(values)
    if finished and not values.get("sha256"):
        raise _changed(path)
    return require_own_digest(path, values)


def require_own_digest(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """What `signed` was given, without its digest, which must be there and right.

    Raises:
        StateError: naming the file.
    """
    rest = {key: value for key, value in values.items() if key != "digest"}
    if values.get("digest") != _digest(rest):
        raise _changed(path)
    return rest


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))["sha256"]
        return {str(name): str(digest) for name, digest in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"{folder / DIGESTS} is missing or damaged ({type(error).__name__}), so nothing "
            "vouches for the run; run again"
        ) from None


def _changed(path: Path) -> StateError:
    return StateError(
        f"{path} was changed after the run wrote it, or lost its digest; restore it, or delete "
        f"{path.parent} and run again"
    )
