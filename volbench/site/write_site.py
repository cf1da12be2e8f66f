"""Write a site into a folder, in place of the one that it held."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from volbench._utils.atomic_io import write_atomic, write_json
from volbench.errors import UsageError
from volbench.runs.folder import read_json

MANIFEST = "site.json"
"""Names the files of the site, so that the next one removes those that it no longer has."""


def write_site(pages: Mapping[str, str], folder: Path) -> None:
    """Write all pages; what an earlier site left and this one lacks is removed.

    Raises:
        UsageError: the folder holds something that is no site.
        StorageError: it cannot be written.
    """
    check_folder(folder)
    before = (read_json(folder / MANIFEST) or {}).get("files", ())
    write_json(folder / MANIFEST, {"schema": 1, "files": sorted({*pages, *before})})
    for path, text in pages.items():
        write_atomic(folder / path, text)
    for path in {*before} - {*pages}:
        if not Path(path).is_absolute() and ".." not in Path(path).parts:
            with suppress(FileNotFoundError):
                (folder / path).unlink()
    write_json(folder / MANIFEST, {"schema": 1, "files": sorted(pages)})


def check_folder(folder: Path) -> None:
    """Refuse a folder with files of others, before any work is done.

    Raises:
        UsageError: it is a file, or holds something and no site.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise UsageError(f"--out {folder} holds other files; name an empty or a new folder")
