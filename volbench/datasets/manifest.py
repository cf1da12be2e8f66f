"""Your own volumes: a CSV file with one row per case.

Source: a format of volbench's own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volbench.datasets.table import ManifestRow, Table, read_table
from volbench.errors import DataError
from volbench.interfaces import GEOMETRIES, Card, Case, Dataset, Files

REQUIRED = ("label", "patient")
OPTIONAL = ("case", "mask", "representative", "fold")
KNOWN = ("image", *REQUIRED, *OPTIONAL)
PLANES = ("axial", "coronal", "sagittal")
GEOMETRY_COLUMNS = ("geometry", "data.geometry")
EMPTY: Mapping[str, str] = {}


class ManifestError(DataError):
    """A manifest with problems; the message names the first and counts the others.

    Attributes:
        problems: All of them, in the order of the file.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        others = len(problems) - 1
        more = f" (and {others} more: volbench data check {path})" if others else ""
        super().__init__(f"{path}: {problems[0]}{more}")
        self.problems = tuple(problems)


class Manifest(Dataset):
    r"""Cases listed in a CSV file: ``image,label,patient`` and more.

    Columns:
        image: A file (NIfTI, NRRD, MHA) or a folder holding one DICOM series; relative paths start
            at the CSV's folder. ``image:t2w``, ``image:dwi``, ... instead are channels of one case.
        label: Its class, taken as text; classes are sorted, by number if all of them are numbers.
        patient: Never split over two folds. Text: a patient called NA is a patient.
        case: A unique name; without this column, the image's path without its suffix.
        mask: Region of interest on the image's grid, voxels above 0; may be empty in some rows.
        representative: Numbers of the slices that show the finding, ``;`` between them, from 0 in
            the order the file stores them (a DICOM series: along the normal of its slices).
        fold: The data set's own split, if it has one.
        geometry: What of a NIfTI header to believe that contradicts itself: ``sform``, ``qform`` or
            ``pixdim`` (the spacing alone); empty refuses such a file. ``data.geometry`` is the same
            column. One with other words in it is a stratum.
        Any other column is a stratum to report by (site, scanner, ...), kept as text.

    Cells lose the spaces around them. All problems are collected before any is raised.

    Args:
        path: The CSV file, UTF-8, comma-separated.
        classes: Names in the order of their index, the last of two is positive; sorted if None.
        plane: Slices are axial, coronal or sagittal in every volume. By default each volume's own
            spacing decides: slices lie across its axis of largest spacing, and where pixels are as
            coarse as slices, across the third axis of the file.
        geometry: As the column, for all rows that have none of their own.
        ordered: The classes are grades (T stages, Gleason grade groups), in the order that
            ``classes`` or sorting gives them: metrics and losses for grades then apply.

    Raises:
        ManifestError: whatever is wrong with the file; images are not opened here.
        ValueError: ``plane`` or ``geometry`` is none of the three.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "manifest.csv")
    ...     _ = path.write_text("image,label,patient\na.nii,benign,P1\nb.nii,malignant,P2\n")
    ...     [case.name for case in Manifest(path=str(path)).cases()]
    ['a', 'b']
    """

    def __init__(
        self,
        *,
        path: str,
        classes: tuple[str | int | float, ...] | None = None,
        plane: str | None = None,
        ordered: bool = False,
        geometry: str | None = None,
    ) -> None:
        if plane is not None and plane not in PLANES:
            raise ValueError(f"plane must be one of {', '.join(PLANES)}, but got {plane=}")
        if geometry is not None and geometry not in GEOMETRIES:
            raise ValueError(
                f"geometry must be one of {', '.join(GEOMETRIES)}, but got {geometry=}"
            )
        self.path = Path(path)
        self.plane = plane
        self.ordered = ordered
        self.card = Card(
            title=f"Manifest {self.path.name}",
            licence="not stated; ask whoever gave you the volumes",
            citation="not stated",
        )
        table = read_table(self.path)
        problems = [*table.problems]
        columns = image_columns(table)
        problems += column_problems(table, columns)
        unusable = not columns or not set(REQUIRED) <= set(table.columns)
        if unusable or not table.rows:
            raise ManifestError(self.path, problems)
        self.channels = tuple(map(channel_of, columns))
        how = ReadAs(plane, geometry, geometry_column(table))
        cases: list[Case] = []
        for row in table.rows:
            case, reasons = case_of(row, columns, self.path.parent, how)
            problems += [f"line {row.line}: {reason}" for reason in reasons]
            cases += [case] if case else []
        self._cases = tuple(cases)
        problems += repeats(table, columns, self.path.parent)
        self.classes, label_problems = _classes([case.label for case in cases], classes)
        problems += label_problems
        if problems:
            raise ManifestError(self.path, problems)

    def cases(self) -> Sequence[Case]:
        """The rows, in the order of the file."""
        return self._cases


def image_columns(table: Table) -> list[str]:
    """Columns that name an image, one per channel."""
    return [name for name in table.columns if name.partition(":")[0] == "image"]


def channel_of(column: str) -> str:
    """Name of the channel that a column of images holds."""
    return column.partition(":")[2] or "image"


@dataclass(frozen=True)
class ReadAs:
    """How images are read, as far as their files do not say.

    Attributes:
        plane: See ``Manifest``.
        geometry: Likewise.
        column: That says the geometry of each row.
    """

    plane: str | None = None
    geometry: str | None = None
    column: str | None = None

    def source(
        self, images: tuple[Path, ...], mask: Path | None = None, cells: Mapping[str, str] = EMPTY
    ) -> Files:
        """These files, read so."""
        said = cells.get(self.column, "") if self.column else ""
        return Files(images, mask, self.plane, said or self.geometry)


def geometry_column(table: Table) -> str | None:
    """The column that says each row's geometry; one with other words is a stratum of that name."""
    for name in GEOMETRY_COLUMNS:
        words = {row.cells[name] for row in table.rows} if name in table.columns else set()
        if words and words <= {"", *GEOMETRIES}:
            return name
    return None


def case_of(
    row: ManifestRow,
    columns: Sequence[str],
    folder: Path,
    how: ReadAs,
    *,
    required: Sequence[str] = REQUIRED,
) -> tuple[Case | None, list[str]]:
    """Read one row as a case, or say what is wrong with it.

    Args:
        row: What the file says of it.
        columns: Those that name an image.
        folder: Where relative paths start.
        how: Plane and geometry.
        required: Columns that must not be empty; label and patient are empty text without them.
    """
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
    if problems:
        return None, problems
    source = how.source(
        tuple(folder / cells[name] for name in columns),
        folder / cells["mask"] if cells.get("mask") else None,
        cells,
    )
    case = Case(
        name=cells["case"] if "case" in cells else case_name(cells[columns[0]]),
        patient=cells.get("patient", ""),
        label=cells.get("label", ""),
        source=source,
        representative=tuple(sorted(set(numbers))),
        strata={
            name: text
            for name, text in cells.items()
            if name not in KNOWN and name not in columns and name != how.column
        },
        fold=cells.get("fold") or None,
    )
    return case, []


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
    """Names and image files that stand in the table twice."""
    problems = []
    names: dict[str, int] = {}
    files: dict[Path, int] = {}
    for row in table.rows:
        paths = [row.cells[name] for name in columns]
        if all(paths):
            name = row.cells.get("case", case_name(paths[0]))
            if name and names.setdefault(name, row.line) != row.line:
                problems.append(f"line {row.line}: the case {name!r} is on line {names[name]} too")
        for text, path in ((text, (folder / text).resolve()) for text in paths if text):
            if path in files:
                problems.append(f"line {row.line}: the image {text} is on line {files[path]} too")
            files.setdefault(path, row.line)
    return problems


def _classes(
    labels: Sequence[str], wanted: tuple[str | int | float, ...] | None
) -> tuple[tuple[str, ...], list[str]]:
    """Names of the classes in order, and what is wrong with the labels."""
    found = sorted(set(labels))
    problems = []
    same: dict[object, str] = {}
    for label in found:
        key = _number(label) if _number(label) is not None else label.lower()
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
