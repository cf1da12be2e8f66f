"""Rows of a manifest as text, and all that is wrong with them; PyTorch is not needed for it."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from volbench._utils.geometries import GEOMETRIES
from volbench._utils.text import command_line, looks, nothing_there
from volbench.datasets.table import ManifestRow, Table, read_table
from volbench.errors import DataError

REQUIRED = ("label", "patient")
OPTIONAL = ("case", "mask", "representative", "fold")
KNOWN = ("image", *REQUIRED, *OPTIONAL)
PLANES = ("axial", "coronal", "sagittal")
GEOMETRY_COLUMNS = ("geometry", "data.geometry")


class ManifestError(DataError):
    """A manifest with problems; the message names the first and counts the others.

    Attributes:
        problems: All of them, in the order of the file.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        others = len(problems) - 1
        check = command_line("volbench", "data", "check", path)
        more = f" (and {others} more: {check})" if others else ""
        super().__init__(f"{path}: {problems[0]}{more}")
        self.problems = tuple(problems)


def manifest_problems(path: Path) -> tuple[str, ...]:
    """Everything that ``Manifest`` would refuse of a file, and images that are not there.

    Missing images count only where every row lacks one: others are said when they are read.
    """
    table = read_table(path)
    columns = image_columns(table)
    problems = [*table.problems, *column_problems(table, columns)]
    if not columns or not set(REQUIRED) <= set(table.columns) or not table.rows:
        return tuple(problems)
    sound: list[ManifestRow] = []
    for row in table.rows:
        _, reasons = row_problems(row, columns)
        problems += [f"line {row.line}: {reason}" for reason in reasons]
        sound += [] if reasons else [row]
    problems += repeats(table, columns, path.parent)
    problems += classes_of([row.cells["label"] for row in sound], None)[1]
    return tuple(problems or _all_missing(table, columns, path.parent))


def _all_missing(table: Table, columns: Sequence[str], folder: Path) -> list[str]:
    """A line for each row, if each names an image that is not there."""
    problems: list[str] = []
    for row in table.rows:
        paths = (os.path.join(folder, row.cells[name]) for name in columns)
        missing = next((path for path in paths if not os.path.lexists(path)), None)
        if missing is None:
            return []
        problems.append(f"{missing}: {nothing_there(missing)}")
    return problems


def image_columns(table: Table) -> list[str]:
    """Columns that name an image, one per channel."""
    return [name for name in table.columns if name.partition(":")[0] == "image"]


def channel_of(column: str) -> str:
    """Name of the channel that a column of images holds."""
    return column.partition(":")[2] or "image"


def geometry_column(table: Table) -> str | None:
    """The column that says each row's geometry; one with other words is a stratum of that name."""
    for name in GEOMETRY_COLUMNS:
        words = {row.cells[name] for row in table.rows} if name in table.columns else set()
        if words and words <= {"", *GEOMETRIES}:
            return name
    return None


def row_problems(
    row: ManifestRow, columns: Sequence[str], *, required: Sequence[str] = REQUIRED
) -> tuple[list[int], list[str]]:
    """The representative slices that a row names, and what is wrong with the row."""
    cells = row.cells
    needed = [*columns, *required, *(["case"] if "case" in cells else [])]
    problems = [f"{name} is empty" for name in needed if not cells[name]]
    numbers: list[int] = []
    for word in filter(None, map(str.strip, cells.get("representative", "").split(";"))):
        if not word.isascii() or not word.isdigit():
            problems.append(
                f"representative {cells['representative']!r} must be slice numbers from 0, "
                "';' between them"
            )
            break
        numbers.append(int(word))
    return numbers, problems


def case_name(image: str) -> str:
    """Name a case after its image: the path without its suffix."""
    text = image.rstrip("/")
    for suffix in (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd"):
        if text.lower().endswith(suffix):
            return text[: -len(suffix)]
    return text


def column_problems(
    table: Table, columns: Sequence[str], *, required: Sequence[str] = REQUIRED
) -> list[str]:
    """Say what is wrong with the first line."""
    if not table.columns:
        return []
    problems = []
    missing = [name for name in required if name not in table.columns]
    missing += [] if columns else ["image"]
    if missing:
        problems.append(
            f"lacks the column {' and '.join(map(repr, sorted(missing)))}; "
            f"it has {', '.join(map(repr, table.columns))}"
        )
    if "image" in columns and len(columns) > 1:
        problems.append("has both 'image' and channels; name every channel, as in 'image:t2w'")
    if "image:" in columns:
        problems.append(
            "has the column 'image:' without a name; name the channel, as in 'image:t2w'"
        )
    for name in table.columns:
        meant = name.lower().replace(" ", "").removesuffix("s")
        meant = {"images": "image"}.get(meant, meant)
        if name not in KNOWN and meant in KNOWN and meant not in table.columns:
            problems.append(f"has the column {name!r}, which volbench spells {meant!r}; rename it")
    return problems


def repeats(table: Table, columns: Sequence[str], folder: Path) -> list[str]:
    """Names and image files that stand in the table twice; images given as masks."""
    problems = []
    names: dict[str, int] = {}
    files: dict[str, int] = {}
    folders: dict[str, str] = {}
    for row in table.rows:
        paths = [row.cells[name] for name in columns]
        if all(paths):
            name = row.cells.get("case", case_name(paths[0]))
            if name and names.setdefault(name, row.line) != row.line:
                problems.append(f"line {row.line}: the case {name!r} is on line {names[name]} too")
        for text, path in ((text, _real(folder, text, folders)) for text in paths if text):
            if path in files:
                problems.append(f"line {row.line}: the image {text} is on line {files[path]} too")
            files.setdefault(path, row.line)
    for row in table.rows:
        mask = row.cells.get("mask")
        if mask and (line := files.get(_real(folder, mask, folders))):
            problems.append(
                f"line {row.line}: the mask {mask} is the image of line {line}; give its own file"
            )
    return problems


def _real(folder: Path, text: str, folders: dict[str, str]) -> str:
    """A path without links; folders that were looked at are remembered."""
    head, name = os.path.split(os.path.join(folder, text))
    if head not in folders:
        folders[head] = os.path.realpath(head)
    path = os.path.join(folders[head], name)
    plain = name not in ("", ".", "..") and not os.path.islink(path)
    return path if plain else os.path.realpath(path)


def classes_of(
    labels: Sequence[str], wanted: tuple[str | int | float, ...] | None
) -> tuple[tuple[str, ...], list[str]]:
    """Names of the classes in order, and what is wrong with the labels."""
    found = sorted(set(labels))
    problems = []
    same: dict[object, str] = {}
    for label in found:
        key = _number(label) if _number(label) is not None else looks(label)
        if same.setdefault(key, label) != label:
            problems.append(
                f"the labels {same[key]!r} and {label!r} look like one class; write one"
            )
    if wanted is not None:
        classes = tuple(map(str, wanted))
        if len(set(classes)) < len(classes):
            problems.append(f"classes={classes} names a class twice")
        problems += [
            f"the label {label!r} is not among classes={classes}"
            for label in found
            if label not in classes
        ]
        problems += [f"no row has the label {name!r}" for name in classes if name not in found]
    elif all(_number(label) is not None for label in found):
        classes = tuple(sorted(found, key=float))
    else:
        classes = tuple(found)
    if len(classes) < 2 and labels:
        problems.append(f"has one class only, {''.join(classes)!r}; a classifier needs two or more")
    return classes, problems


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None  # 1_0 is a name
