"""What an image's header says besides its voxels: how it is stored, placed and was acquired.

Whatever is written here can give a label away (one site exports 16-bit integers, the other floats),
so the shortcut audit looks at all of it. Names of people, places, devices and manufacturers, dates
and comments are never read: only the fields that this module names.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from volbench.data.formats import metaimage, nifti, nrrd
from volbench.data.formats.file_bytes import first_bytes, format_of, header_of_pair
from volbench.data.formats.integrity import LONGEST_HEADER
from volbench.data.formats.series_files import slice_files
from volbench.errors import DataError

Facts = dict[str, str]

PLAIN = re.compile(r"[\w .,;:+/-]{1,40}")
"""A word or a number; anything longer is free text, which may name someone."""

DICOM_FIELDS = {
    "modality": "Modality",
    "bits allocated": "BitsAllocated",
    "bits stored": "BitsStored",
    "signed": "PixelRepresentation",
    "photometric interpretation": "PhotometricInterpretation",
    "slope": "RescaleSlope",
    "intercept": "RescaleIntercept",
    "slice thickness mm": "SliceThickness",
    "slices apart mm": "SpacingBetweenSlices",
    "patient position": "PatientPosition",
    "repetition time": "RepetitionTime",
    "echo time": "EchoTime",
    "inversion time": "InversionTime",
    "flip angle": "FlipAngle",
    "echo train length": "EchoTrainLength",
    "field strength": "MagneticFieldStrength",
    "pixel bandwidth": "PixelBandwidth",
    "tube voltage kV": "KVP",
    "tube current mA": "XRayTubeCurrent",
    "exposure": "Exposure",
    "lossy": "LossyImageCompression",
}
NRRD_FIELDS = {
    "voxel type": "type",
    "encoding": "encoding",
    "endian": "endian",
    "space": "space",
    "dimension": "dimension",
}
META_FIELDS = {
    "voxel type": "ElementType",
    "compressed": "CompressedData",
    "endian": "BinaryDataByteOrderMSB",
    "dimension": "NDims",
    "anatomical orientation": "AnatomicalOrientation",
}
NIFTI_FIELDS = {
    "slope": "scl_slope",
    "intercept": "scl_inter",
    "qform code": "qform_code",
    "sform code": "sform_code",
    "units": "xyzt_units",
    "voxel offset": "vox_offset",
    "cal max": "cal_max",
    "cal min": "cal_min",
    "handedness": "pixdim",
    "dimension": "dim",
}
"""Of what is an array, the first element."""


def header_facts(path: Path, geometry: str | None = None) -> Facts:
    """Read them from the header alone; nothing of an image that cannot be read.

    Args:
        path: A file, or a folder holding one DICOM series, whose first file speaks for all.
        geometry: Which part of a NIfTI header to believe.

    Returns:
        Text by name; numbers as numbers read back.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            name = format_of(path)
            found = (
                _nifti(path, geometry) if name == "nifti" else _READERS.get(name, _unknown)(path)
            )
    except Exception:  # what is wrong with the file is said where it is read
        return {}
    return {name: text for name, text in found.items() if PLAIN.fullmatch(text)}


def placement(affine: Float[np.ndarray, "4 4"]) -> Facts:
    """How the axes of a file lie in the patient, and where its first voxel does.

    Args:
        affine: Index (as stored) to position in mm, in RAS.

    >>> placement(np.diag([-1.0, -1.0, 3.0, 1.0]))["orientation"]
    'LPS'
    """
    from nibabel.orientations import aff2axcodes

    codes = aff2axcodes(affine)  # type: ignore[no-untyped-call]
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    tilt = np.degrees(np.arccos(np.clip(np.abs(axes).max(axis=0), -1, 1)).max())
    where = zip(("right", "anterior", "superior"), affine[:3, 3], strict=True)
    return {
        "orientation": "".join(map(str, codes)),
        "tilt degrees": f"{tilt:.1f}",
        **{f"origin {side} mm": f"{position:.4g}" for side, position in where},
    }


def _head(path: Path) -> bytes:
    return first_bytes(path, LONGEST_HEADER)


def _nifti(path: Path, geometry: str | None) -> Facts:
    place = header_of_pair(path) or path
    start = nifti.start_of(place, _head(place), max(nifti.HEADER_BYTES.values()))
    header = nifti.read_header(place, start)
    fields = header.fields
    steps = tuple(float(step) for step in fields["pixdim"][1 : len(header.shape) + 1])
    return {
        "voxel type": nifti.KINDS[header.datatype],
        "endian": "big" if header.order == ">" else "little",
        "NIfTI version": str(header.version),
        **{name: f"{np.ravel(fields[key])[0]:g}" for name, key in NIFTI_FIELDS.items()},
        **placement(nifti.affine_of(place, header, steps, geometry)),
    }


def _nrrd(path: Path) -> Facts:
    header = nrrd.read_header(path, _head(path))
    return _named(header.fields, NRRD_FIELDS) | placement(nrrd.affine_of(path, header))


def _meta(path: Path) -> Facts:
    header = metaimage.read_header(path, _head(path))
    return _named(header.fields, META_FIELDS) | placement(metaimage.affine_of(path, header))


def _dicom(folder: Path) -> Facts:
    import pydicom

    files = slice_files(folder)
    tags = pydicom.dcmread(files[0], stop_before_pixels=True, force=True)
    known = {name: tags.get(keyword) for name, keyword in DICOM_FIELDS.items()}
    syntax = getattr(tags.file_meta, "TransferSyntaxUID", None)
    found = {name: str(value).strip() for name, value in known.items() if value is not None}
    found["transfer syntax"] = str(syntax)
    cosines = np.array([float(word) for word in tags.ImageOrientationPatient])
    affine = np.eye(4)
    affine[:3, :3] = np.array(
        [cosines[:3], cosines[3:], np.cross(cosines[:3], cosines[3:])]
    ).T * np.array([[-1.0], [-1.0], [1.0]])
    affine[:3, 3] = np.array([-1, -1, 1]) * [float(mm) for mm in tags.ImagePositionPatient]
    return found | placement(affine)


def _named(fields: Mapping[str, Any], wanted: Mapping[str, str]) -> Facts:
    return {name: str(fields[key]) for name, key in wanted.items() if key in fields}


def _unknown(path: Path) -> Facts:
    raise DataError(f"{path}: of a format whose header volbench does not read")


_READERS: Mapping[str, Callable[[Path], Facts]] = {
    "nrrd": _nrrd,
    "meta": _meta,
    "dicom": _dicom,
}
