"""Runs of one experiment from machines without a shared disk, put together."""

import filecmp
import shutil
from collections.abc import Sequence
from pathlib import Path

from volbench._utils.atomic_io import sync_folder
from volbench.errors import StateError, UsageError
from volbench.experiment.experiment import differing_keys
from volbench.runs.folder import CASES, PREDICTIONS, FoldResult, RunFolder
from volbench.runs.sealing import DIGESTS, seal, verified, vouched

WHOLE = ("splits.csv", CASES)
"""Files that must be the same in all of them."""

OF_THE_RUN = ("experiment.json", "environment.json", "data.json", *WHOLE)


def merge_runs(runs: Sequence[Path], out: Path) -> dict[int, Path]:
    """Put folds of runs of the same experiment into one run; nothing is trained or changed.

    Args:
        runs: Run folders; the first one's environment is kept, each fold has its own beside it.
        out: Folder of the merged run, which must not exist.

    Returns:
        The run that each finished fold was taken from.

    Raises:
        StateError: they are not of one experiment, or hold the same fold with other predictions.
        UsageError: ``out`` exists.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; merge into a new folder")
    folders = [RunFolder(path) for path in runs]
    for other in folders[1:]:
        _check_same(folders[0], other)
    sources = _sources(folders)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.merging")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for name in OF_THE_RUN:
        if (folders[0].path / name).is_file():
            shutil.copy2(folders[0].path / name, draft / name)
    if (folders[0].path / DIGESTS).exists():
        kept = vouched(folders[0].path) & set(OF_THE_RUN)
        seal(draft, {name: verified(folders[0].path, name) for name in sorted(kept)})
    for fold, folder in sources.items():
        shutil.copytree(folder.fold(fold).path, RunFolder(draft).fold(fold).path)
    draft.rename(out)
    sync_folder(out.parent)
    return {fold: folder.path for fold, folder in sources.items()}


def _check_same(first: RunFolder, other: RunFolder) -> None:
    told = {"id": "", "source": "", "summary": ""}  # follows from the rest, or is prose
    ours, theirs = ({**folder.experiment(), **told} for folder in (first, other))
    if different := differing_keys(ours, theirs):
        raise StateError(
            f"{first.path} and {other.path} are runs of different experiments: they differ in "
            f"{', '.join(different)}"
        )
    for name in WHOLE:
        if not filecmp.cmp(first.path / name, other.path / name, shallow=False):
            raise StateError(f"{first.path} and {other.path} differ in {name}; only one is right")


def _sources(folders: Sequence[RunFolder]) -> dict[int, RunFolder]:
    found: dict[int, tuple[RunFolder, FoldResult]] = {}
    for folder in folders:
        for fold, result in folder.results().items():
            if result.status != "finished":
                continue
            folder.fold(fold).verify(result)
            if fold not in found:
                found[fold] = (folder, result)
                continue
            there, known = found[fold]
            if known.sha256[PREDICTIONS] != result.sha256[PREDICTIONS]:
                raise StateError(
                    f"fold {fold} has other predictions in {there.path} than in {folder.path}; "
                    "merge only one of them"
                )
    return {fold: folder for fold, (folder, _) in sorted(found.items())}
