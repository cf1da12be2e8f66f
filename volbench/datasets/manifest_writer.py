"""Write a manifest from a spreadsheet and patterns of file names: nothing is guessed.

A pattern such as ``scans/{id}/t2*.nii.gz`` names the image of a row by the cells of its columns; it
must match exactly one file or folder. ``{id:03}`` fills a number up with zeros: spreadsheets drop
those of 007.
"""

import csv
import glob
import io
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volbench._utils.atomic_io import write_atomic
from volbench._utils.text import plural, suggestion
from volbench.datasets.manifest import OPTIONAL, REQUIRED, Manifest
from volbench.datasets.table import ManifestRow, Table
from volbench.errors import DataError, UsageError

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
QUOTED = 3
"""Rows that a message quotes; the others are counted."""


@dataclass(frozen=True)
class ManifestColumns:
    """What becomes of a spreadsheet's columns.

    Attributes:
        images: Pattern of file names by column of the manifest, ``image`` or ``image:<channel>``.
        label: Column that holds the class.
        patient: Column that names the patient.
        mask: Pattern of the masks' file names, if there are any.
        kept: Further columns, as strata.
    """

    images: Mapping[str, str]
    label: str
    patient: str
    mask: str | None = None
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class WrittenManifest:
    """What was written.

    Attributes:
        manifest: The file, read back.
        skipped: Why rows were left out, one line each.
        unused: Files that the patterns would match for another row, but none of the table's.
    """

    manifest: Manifest
    skipped: tuple[str, ...]
    unused: tuple[str, ...]


def write_manifest(
    table: Table, columns: ManifestColumns, path: Path, *, skip_missing: bool = False
) -> WrittenManifest:
    """Find the files of every row and write the manifest.

    Args:
        table: The spreadsheet.
        columns: Patterns are relative to the current folder; the manifest's paths to its own.
        path: Where to write; a file of other content is not replaced.
        skip_missing: Leave out rows without a file or a label, and rows that repeat another,
            instead of refusing them.

    Raises:
        UsageError: a column is not there, or the file exists with other content.
        DataError: rows without exactly one file each, or two of one file; or the manifest would
            be refused.
    """
    _check_columns(table, columns)
    rows: list[dict[str, str]] = []
    problems: list[str] = []
    contradictions: list[str] = []
    used: set[str] = set()
    seen: dict[tuple[str, ...], tuple[int, dict[str, str]]] = {}
    for row in table.rows:
        cells, reasons = _manifest_row(row, columns, path.parent, used)
        if not reasons:
            files = tuple(cells[name] for name in columns.images)
            line, before = seen.setdefault(files, (row.line, cells))
            if line != row.line and cells == before:
                reasons = [f"it repeats line {line}"]
            elif line != row.line:
                other = [name for name in cells if cells[name] != before[name]]
                contradictions.append(
                    f"line {row.line}: {files[0]} is on line {line} too, with another "
                    f"{' and '.join(other)}"
                )
        problems += [f"line {row.line}: {reason}" for reason in reasons]
        rows += [] if reasons else [cells]
    if contradictions:
        raise DataError(f"{'; '.join(contradictions[:QUOTED])}; keep the row that is right")
    if problems and not (skip_missing and rows):
        shown = "; ".join(problems[:QUOTED])
        more = f"; and {len(problems) - QUOTED} more" if len(problems) > QUOTED else ""
        hint = (
            "; mend them, or leave these rows out by --skip-missing"
            if rows
            else _zeros_hint(table.rows[0], columns)
        )
        raise DataError(f"{plural(len(problems), 'problem')}: {shown}{more}{hint}")
    return WrittenManifest(
        manifest=_written(rows, path),
        skipped=tuple(problems),
        unused=_unused([*columns.images.values(), *filter(None, [columns.mask])], used),
    )


def _check_columns(table: Table, columns: ManifestColumns) -> None:
    patterns = [*columns.images.values(), *filter(None, [columns.mask])]
    named = [name for pattern in patterns for name in PLACEHOLDER.findall(pattern)]
    named = [_column(name, table.columns)[0] for name in named]
    for name in (columns.label, columns.patient, *columns.kept, *named):
        if name not in table.columns:
            hint = suggestion(name, table.columns)
            raise UsageError(f"the table has no column {name!r}; {hint}")
    for pattern in patterns:
        if not PLACEHOLDER.search(pattern):
            raise UsageError(
                f"{pattern!r} names no column; write one in braces, such as "
                f"{{{columns.patient}}}, so that each row has a file of its own"
            )
    taken = {"image", *columns.images, *REQUIRED, *OPTIONAL}
    for name in columns.kept:
        if name in taken:
            raise UsageError(
                f"--keep {name}: the manifest has a column of that name with a meaning of its own; "
                "rename it in the table"
            )


def _manifest_row(
    row: ManifestRow, columns: ManifestColumns, folder: Path, used: set[str]
) -> tuple[dict[str, str], list[str]]:
    """Build one row, or say why there is none."""
    cells: dict[str, str] = {}
    reasons: list[str] = []
    patterns = dict(columns.images)
    if columns.mask is not None:
        patterns["mask"] = columns.mask
    for name, pattern in patterns.items():
        found = _matches(pattern, row)
        if len(found) == 1:
            used.add(os.path.normpath(found[0]))
            cells[name] = _relative(found[0], folder)
        else:
            shown = PLACEHOLDER.sub(lambda match: _cell(match[1], row), pattern)
            reasons.append(
                f"{shown} matches {plural(len(found), 'file')} ({', '.join(found[:2])}, ...)"
                if found
                else f"no file matches {shown}"
            )
    for name, column in (("label", columns.label), ("patient", columns.patient)):
        cells[name] = row.cells[column]
        if not cells[name]:
            reasons.append(f"its {column!r}, the {name}, is empty")
    return {**cells, **{name: row.cells[name] for name in columns.kept}}, reasons


def _matches(pattern: str, row: ManifestRow) -> list[str]:
    cells = [_cell(name, row) for name in PLACEHOLDER.findall(pattern)]
    if not all(cells):  # an empty cell would match the files of anybody
        return []
    filled = PLACEHOLDER.sub(lambda match: glob.escape(_cell(match[1], row)), pattern)
    whole = _whole_numbers(pattern, row)
    return [path for path in sorted(glob.glob(filled)) if whole.fullmatch(Path(path).as_posix())]


def _column(named: str, columns: Collection[str]) -> tuple[str, int]:
    """The column that is named in braces, and to how many digits its numbers are filled up."""
    name, _, digits = named.rpartition(":")
    if named not in columns and name and re.fullmatch(r"0\d", digits):
        return name, int(digits)
    return named, 0


def _cell(named: str, row: ManifestRow) -> str:
    name, digits = _column(named, row.cells)
    cell = row.cells[name]
    return cell.zfill(digits) if cell.isdigit() else cell


def _zeros_hint(row: ManifestRow, columns: ManifestColumns) -> str:
    """Say how to write a pattern whose file is there, but with zeros that the table lacks."""
    masks = [] if columns.mask is None else [columns.mask]
    for pattern in (*columns.images.values(), *masks):
        if _matches(pattern, row):
            continue
        for named in PLACEHOLDER.findall(pattern):
            cell = row.cells.get(named, "")
            for digits in range(len(cell) + 1, 10) if cell.isdigit() else ():
                written = f"{{{named}:0{digits}}}"
                if found := _matches(pattern.replace(f"{{{named}}}", written), row):
                    return f"; there is {found[0]}, so write {written} for {digits} digits"
    return ""


def _whole_numbers(pattern: str, row: ManifestRow) -> re.Pattern[str]:
    """The pattern with a row's cells in it, whose numbers no wildcard continues: 1* is not 10."""
    found = []
    for part in re.split(r"(\{[^{}]*\}|\*\*/|\*|\?)", Path(pattern).as_posix()):
        if named := PLACEHOLDER.fullmatch(part):
            cell = _cell(named[1], row)
            before = r"(?<!\d)" if cell[0].isdigit() else ""
            after = r"(?!\d)" if cell[-1].isdigit() else ""
            found.append(f"{before}{re.escape(cell)}{after}")
        else:
            found.append({"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)))
    return re.compile("".join(found))


def _unused(patterns: Sequence[str], used: set[str]) -> tuple[str, ...]:
    """Files like those of the rows, which no row names."""
    alike = {
        os.path.normpath(path)
        for pattern in patterns
        for path in glob.glob(PLACEHOLDER.sub("*", pattern))
    }
    return tuple(sorted(alike - used))


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _written(rows: Sequence[Mapping[str, str]], path: Path) -> Manifest:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    text = buffer.getvalue()
    is_new = not path.exists()
    if not is_new and path.read_bytes() != text.encode():
        raise UsageError(f"{path} exists with other content; remove it or name another --output")
    write_atomic(path, text)
    try:
        return Manifest(path=str(path))
    except DataError:
        if is_new:
            path.unlink()
        raise
