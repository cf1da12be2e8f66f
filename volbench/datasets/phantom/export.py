"""Export of the phantom: scanner-like volumes, ROI masks and a manifest."""

import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from volbench._utils.atomic_io import FolderLock, write_atomic, write_json
from volbench._utils.csv_text import csv_text
from volbench.datasets.phantom import Phantom, PhantomVolume
from volbench.errors import StateError
from volbench.interfaces import Case
from volbench.types import Scan

SUFFIXES = {"nifti": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha"}
MANIFEST, TRUTH, ORIGIN = "manifest.csv", "truth.csv", "phantom.json"


def export(
    phantom: Phantom, folder: Path, *, form: str = "nifti", report: Callable[[int, int], None]
) -> Path:
    """Write every volume, then the manifest; return the manifest's path.

    The manifest comes last, so a folder without one is unfinished. The same call continues it, and
    leaves a finished one as it is but for what was deleted. Other files beside stay, too.

    Args:
        phantom: What to write.
        folder: New, empty, or from the same call.
        form: ``nifti``, ``nrrd`` or ``mha``.
        report: Takes how many volumes are written, and how many there are.

    Raises:
        StateError: the folder holds another phantom, or something else.
        StorageError: the disk is full, or another process is writing there.
    """
    suffix = SUFFIXES[form]
    origin: dict[str, object] = {"schema": 1, "format": form, "cases": len(phantom.volumes)}
    origin["first"] = phantom.volumes[0].fingerprint()
    _check_folder(folder, origin)
    cases = phantom.cases()
    tables = {  # in this order
        folder / TRUTH: _table(map(_truth, phantom.volumes)),
        folder / MANIFEST: _table(_row(case, suffix) for case in cases),
    }
    with FolderLock(folder):
        for path, text in tables.items():
            if path.exists() and path.read_bytes() != text.encode():
                raise StateError(f"{path} was changed; name a new folder")
        write_json(folder / ORIGIN, origin)
        for done, (case, volume) in enumerate(zip(cases, phantom.volumes, strict=True), 1):
            _write_case(case, volume, folder, suffix)
            report(done, len(cases))
        for path, text in tables.items():
            write_atomic(path, text)
    return folder / MANIFEST


def _check_folder(folder: Path, origin: dict[str, object]) -> None:
    if folder.exists() and not folder.is_dir():
        raise StateError(f"{folder} is a file; name a new folder")
    names = {path.name for path in folder.iterdir()} - {".lock"} if folder.exists() else set()
    if not names:
        return
    if ORIGIN not in names:
        raise StateError(f"{folder} is not empty and holds no phantom; name a new folder")
    try:
        found = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != origin:
        state = "a" if MANIFEST in names else "an unfinished"
        raise StateError(
            f"{folder} holds {state} phantom with other options; use the same, or name a new folder"
        )


def _write_case(case: Case, volume: PhantomVolume, folder: Path, suffix: str) -> None:
    image, mask = folder / _image(case, suffix), folder / _mask(case, suffix)
    if image.exists() and mask.exists():
        return
    scan = volume.render()
    assert scan.mask is not None
    _write_image(scan.image[0].astype("int16"), scan, mask=False, path=image)
    _write_image(scan.mask.astype("uint8"), scan, mask=True, path=mask)


def _write_image(voxels: np.ndarray, scan: Scan, *, mask: bool, path: Path) -> None:
    """Write with the through-plane axis third, as scanners do."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(tuple(float(step) for step in reversed(scan.spacing_mm)))
    with tempfile.TemporaryDirectory() as scratch:
        temporary = Path(scratch) / path.name
        sitk.WriteImage(image, str(temporary), useCompression=mask or path.suffix == ".gz")
        write_atomic(path, temporary.read_bytes())


def _image(case: Case, suffix: str) -> str:
    return f"images/{case.name}{suffix}"


def _mask(case: Case, suffix: str) -> str:
    return f"masks/{case.name}{suffix}"


def _row(case: Case, suffix: str) -> dict[str, object]:
    return {
        "image": _image(case, suffix),
        "label": case.label,
        "patient": case.patient,
        "case": case.name,
        "mask": _mask(case, suffix),
        "representative": ";".join(map(str, case.representative)),
        **case.strata,
    }


def _truth(volume: PhantomVolume) -> dict[str, object]:
    """What a reader would have measured; kept out of the manifest, whose columns are strata."""
    patient = volume.patient
    return {
        "index": patient.index,
        "label": patient.label,
        "tumour_volume_cm3": round(patient.tumour_volume_cm3, 4),
        "slice_thickness_mm": patient.slice_thickness_mm,
        "pixel_spacing_mm": round(patient.field_of_view_mm / volume.size, 5),
        "slices": patient.slices,
    }


def _table(rows: Iterable[dict[str, object]]) -> str:
    listed = list(rows)
    return csv_text([list(listed[0]), *(list(row.values()) for row in listed)])
