"""Read one case: verified files, common orientation, through-plane axis first.

Axes run to the patient's left, posterior and superior (LPS) as closely as flips and swaps allow;
voxels stay where they are, nothing is resampled. Slices are the planes across the axis of largest
spacing; ``OrientedVolume.through_plane`` says what happens where pixels are as coarse as slices.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from volbench.data.formats.integrity import digest_of
from volbench.data.subjects.case_subject import CaseSubject, Transform
from volbench.data.subjects.checks import require_contrast, require_slices
from volbench.data.subjects.numbered_slices import transformed
from volbench.data.subjects.read import combined, read_how, subject_fingerprint, subject_of
from volbench.data.subjects.scan import loaded_scan, to_scan
from volbench.errors import DataError
from volbench.interfaces import Case, Generated, SubjectSource
from volbench.types import Scan


def read_case(case: Case) -> Scan:
    """Read or render a case.

    Raises:
        DataError: a file is missing, damaged or not what it should be, or they do not fit together;
            one line that names the file, what is wrong and the way out.
    """
    return read_with_fingerprint(case)[0]


def read_with_fingerprint(
    case: Case, transform: Transform | None = None, channels: Sequence[str] = ()
) -> tuple[Scan, str]:
    """Read a case and fingerprint it, reading each file's bytes once.

    Args:
        case: What to read.
        transform: A TorchIO transform, applied to the subject as it was read.
        channels: What the subject's images are called; ``transform`` may name them.

    Raises:
        DataError: as ``read_case``.
    """
    if isinstance(case.source, Generated):
        scan, found = _render(case, case.source), fingerprint(case)
        if transform is None:
            return scan, found
        loaded = loaded_scan(scan, channels, found, case.name)
    else:
        loaded = subject_of(case, channels)
    if transform is not None:
        loaded = _transformed(case, loaded, transform)
    return to_scan(loaded), loaded.fingerprint


def fingerprint(case: Case) -> str:
    """SHA-256 over all that ``read_case`` depends on: equal fingerprints, equal scans.

    That is the content of the case's files (their names do not count), the voxels of a subject in
    memory, or the generator's own fingerprint, with the plane and geometry asked for and the
    representative slices. Where it is files, no reader of images is needed.

    Raises:
        DataError: a file is missing.
    """
    source = case.source
    if isinstance(source, Generated):
        return combined(case, ["generated", source.fingerprint()])
    if isinstance(source, SubjectSource):
        return subject_fingerprint(case, source) or subject_of(case).fingerprint
    mask = digest_of(source.mask) if source.mask else ""
    return combined(case, [*map(digest_of, source.images), mask, read_how(source)])


def read_as(case: Case, geometry: str) -> Case:
    """Have a case's NIfTI headers believed as ``geometry`` says, unless it says so itself.

    Args:
        case: Any; what is generated has no header.
        geometry: ``sform``, ``qform`` or ``pixdim``; ``auto`` leaves it to the files.
    """
    source = case.source
    if geometry == "auto" or isinstance(source, Generated) or source.geometry is not None:
        return case
    return replace(case, source=replace(source, geometry=geometry))


def _transformed(case: Case, loaded: CaseSubject, transform: Transform) -> CaseSubject:
    try:
        return transformed(loaded, transform)
    except DataError as error:
        raise DataError(f"case {case.name}: {error}") from error


def _render(case: Case, source: Generated) -> Scan:
    scan = source.render()
    name = f"case {case.name}"
    for channel in scan.image:
        if not np.isfinite(channel).all():
            raise DataError(f"{name}: NaN or infinite voxels; correct its data set")
        require_contrast(name, channel)
    numbers = case.representative or scan.representative
    require_slices(name, numbers, scan.image.shape[1])
    return replace(scan, representative=tuple(sorted(numbers)))
