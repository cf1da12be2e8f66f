"""features.json: which stored tokens the folds of a run are trained on.

The machine that trains the first fold writes it, on a cluster one of several at the same moment,
so it carries its own digest; the process that opens the run has digests.json vouch for it, too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from volbench._utils.atomic_io import write_json
from volbench.runs.folder import is_sealed, read_json
from volbench.runs.sealing import require_own_digest, seal, signed, verified, vouched

FEATURES_USED = "features.json"


def read_features_used(run: Path) -> Mapping[str, Any] | None:
    """Which tokens a run is trained on; None if on images, or where nothing vouches for the file.

    Raises:
        StateError: it is damaged, or was changed after the run wrote it.
    """
    path = run / FEATURES_USED
    values = read_json(path)
    if values is None or not is_sealed(run):
        return values
    covered = FEATURES_USED in vouched(run)
    if covered:
        verified(run, FEATURES_USED)
    if "digest" in values:
        return require_own_digest(path, values)
    return values if covered else None


def record_features_used(run: Path, facts: Mapping[str, Any]) -> str | None:
    """Keep which tokens a run is trained on, unless that is there.

    Args:
        run: The run's folder.
        facts: The tokens' key, and what else is told of them.

    Returns:
        A remark where earlier folds were trained on tokens with another key.

    Raises:
        StateError: what is there is damaged, or was changed.
    """
    there = read_features_used(run)
    if there is None:
        write_json(run / FEATURES_USED, signed(facts))
    elif there.get("key") != facts["key"]:
        return (
            f"{run / FEATURES_USED} names other stored tokens than this machine has for the same "
            "experiment: device, precision, PyTorch or timm differ; predictions may, too"
        )
    return None


def seal_features_used(run: Path) -> None:
    """Have the run's digests vouch for it, if it is there; for the process that opens the run.

    Raises:
        StateError: it is damaged, or was changed.
    """
    if is_sealed(run) and FEATURES_USED not in vouched(run) and read_features_used(run) is not None:
        seal(run, {FEATURES_USED: (run / FEATURES_USED).read_bytes()})
