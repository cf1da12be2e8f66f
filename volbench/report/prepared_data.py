"""Prepared volumes of a run, if they are on this machine."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from volbench._utils.cache_location import cache_root
from volbench.data.cache.packed_voxels import Prepared, is_prepared, open_prepared
from volbench.data.preprocessing.options import from_values
from volbench.errors import SpecError, StateError, UsageError
from volbench.runs.load import LoadedRun


def find_prepared(run: LoadedRun, folders: Iterable[Path] = ()) -> Prepared | None:
    """Look for a run's volumes, prepared as it saw them.

    In the folders given, then in the one its own command named, then in the cache.

    Args:
        run: Whose digests decide.
        folders: Prepared folders to try first.
    """
    for folder in [*folders, *_named(run), *_cached(run)]:
        with suppress(StateError):  # half of one, or damaged: as good as none
            prepared = open_prepared(folder)
            if (prepared.digest, prepared.preprocessing.digest) == _digests(run):
                return prepared
    return None


def check_folders(folders: Iterable[Path]) -> None:
    """Refuse what is no prepared folder.

    Raises:
        UsageError: naming it.
    """
    for folder in folders:
        if not is_prepared(folder):
            raise UsageError(
                f"--data {folder} is no prepared folder (volbench data prepare makes one); leave "
                "it out, and the volumes that were prepared for the runs are found in the cache"
            )


def _digests(run: LoadedRun) -> tuple[str, str]:
    experiment = run.experiment
    try:
        preprocessing = from_values(experiment["recipe"]["preprocessing"]).digest
    except SpecError:  # options of another version
        preprocessing = ""
    return str(experiment["data_digest"]), preprocessing


def _named(run: LoadedRun) -> Iterator[Path]:
    command = [str(word) for word in run.environment.get("command") or ()]
    for option, value in pairwise(command):
        if option == "--data" and "(" not in value and is_prepared(Path(value)):
            yield Path(value)


def _cached(run: LoadedRun) -> list[Path]:
    data, preprocessing = _digests(run)
    home = cache_root() / "prepared" / f"{data[:16]}-{preprocessing[:16]}"
    return sorted(folder for folder in home.glob("*") if is_prepared(folder))
