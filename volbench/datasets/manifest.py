"""Your own volumes: a CSV file with one row per case.

Source: a format of volbench's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volbench.datasets.manifest_rows import (
    KNOWN,
    OPTIONAL,
    PLANES,
    REQUIRED,
    ManifestError,
    case_name,
    channel_of,
    classes_of,
    column_problems,
    geometry_column,
    image_columns,
    repeats,
    row_problems,
)
from volbench.datasets.table import ManifestRow, read_table
from volbench.interfaces import GEOMETRIES, Card, Case, Dataset, Files

__all__ = ["KNOWN", "OPTIONAL", "REQUIRED", "Manifest", "ManifestError", "ReadAs", "case_of"]

EMPTY: Mapping[str, str] = {}


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
        self.classes, label_problems = classes_of([case.label for case in cases], classes)
        problems += label_problems
        if problems:
            raise ManifestError(self.path, problems)

    def cases(self) -> Sequence[Case]:
        """The rows, in the order of the file."""
        return self._cases


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
    numbers, problems = row_problems(row, columns, required=required)
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
