"""Odd but valid files of every format, with voxels and geometry by an independent reader.

nibabel speaks for NIfTI, SimpleITK for NRRD and MetaImage; of DICOM, what was written is known.
"""

import gzip
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from tests.helpers.volumes_on_disk import slice_dataset

SHAPE = (9, 7, 4)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Odd:
    """A file to write.

    Attributes:
        make: Writes it into a folder; returns the path to read, the voxels by their index as
            stored, and the affine from that index to mm in RAS.
    """

    name: str
    make: Callable[[Path], tuple[Path, np.ndarray, np.ndarray]]


def array_of(kind: str, shape: tuple[int, ...] = SHAPE, low: int | None = None) -> np.ndarray:
    """Voxels that all differ, as far as the type allows."""
    info = np.iinfo(kind) if np.dtype(kind).kind in "iu" else None
    start = low if low is not None else (info.min if info and info.bits == 8 else -30)
    start = max(start, info.min) if info else start
    return (np.arange(np.prod(shape)).reshape(shape) % 250 + start).astype(kind)


def everything() -> Iterator[Odd]:
    """All of them, always in the same order."""
    yield from _niftis()
    yield from _nrrds()
    yield from _metas()
    yield from _dicoms()


def turned(number: int, spacing: tuple[float, ...] = (0.7, 0.9, 4.0)) -> np.ndarray:
    """An affine of another orientation for each number: 48 turns and mirrors, then oblique ones."""
    axes, signs = divmod(number % 48, 8)
    order = list(itertools.permutations(range(3)))[axes]
    matrix = np.zeros((3, 3))
    for column, row in enumerate(order):
        matrix[row, column] = -1 if signs >> column & 1 else 1
    if number >= 48:
        angle = 0.1 + 0.05 * (number % 5)
        turn = np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        )
        matrix = turn @ matrix
    affine = np.eye(4)
    affine[:3, :3] = matrix * np.array(spacing)
    affine[:3, 3] = (-11.5, 22.25, -33.0 + number)
    return affine


def _niftis() -> Iterator[Odd]:
    kinds = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
    layouts = ("nii", "nii.gz", "hdr", "img", "NII.GZ")
    for number in range(72):
        kind = kinds[number % len(kinds)]
        layout = layouts[number % len(layouts)]
        yield Odd(
            f"nifti {number}: {kind} .{layout}",
            lambda folder, n=number, k=kind, la=layout: _nifti(folder, n, k, la),
        )
    for name, change in NIFTI_BYTES.items():
        yield Odd(f"nifti: {name}", lambda folder, c=change: _changed_nifti(folder, c))


def _nifti(folder: Path, number: int, kind: str, layout: str):
    second, big = number % 3 == 0, number % 4 == 0
    pair = layout in ("hdr", "img")
    single = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    made_by = (nibabel.Nifti2Pair if second else nibabel.Nifti1Pair) if pair else single
    header = made_by.header_class(endianness=">" if big else "<")
    header.set_data_dtype(np.dtype(kind))
    array = array_of(kind, (*SHAPE, 1) if number % 7 == 0 else SHAPE)
    made = made_by(array, turned(number), header)
    codes = [(0, 1), (1, 0), (1, 1), (2, 0), (4, 0), (0, 3)][number % 6]
    made.set_sform(turned(number), code=codes[0])
    made.set_qform(turned(number), code=codes[1])
    if number % 5 == 2:
        made.header.set_slope_inter(2, -7)
        array = np.asarray(array // 2 * 2 + 1)
        made = made_by(array.astype(kind), turned(number), made.header)
    if number % 8 == 1 and not pair:
        made.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"an extension"))
    path = folder / f"a.{'img' if pair else layout}"
    nibabel.save(made, path)
    back = nibabel.load(path)
    values = np.asarray(back.dataobj, np.float64).reshape(SHAPE)
    return folder / f"a.{layout}", values, back.affine


def _later(content: bytes) -> bytes:
    """Voxels begin 32 bytes later."""
    header = bytearray(content[:352])
    header[108:112] = np.float32(384).tobytes()
    return bytes(header) + b"\0" * 32 + content[352:]


def _without_units(content: bytes) -> bytes:
    return content[:123] + b"\0" + content[124:]


def _members(content: bytes) -> bytes:
    return gzip.compress(content[:400]) + gzip.compress(content[400:]) + b"\0" * 100


NIFTI_BYTES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "voxels that begin later": ("nii", _later),
    "no units": ("nii", _without_units),
    "padding behind the voxels": ("nii", lambda content: content + b"\0" * 512),
    "several gzip members": ("nii.gz", _members),
    "a name within gzip": ("nii.gz", lambda content: gzip.compress(content, 1)),
    "stored without compression": ("nii.gz", lambda content: gzip.compress(content, 0)),
    "a NaN slope and no scaling code of 0": (
        "nii",
        lambda content: content[:112] + np.float32([0, np.nan]).tobytes() + content[120:],
    ),
}


def _changed_nifti(folder: Path, change: tuple[str, Callable[[bytes], bytes]]):
    suffix, edit = change
    array = array_of("i2")
    plain = folder / "plain.nii"
    nibabel.save(nibabel.Nifti1Image(array, turned(3)), plain)
    path = folder / f"a.{suffix}"
    path.write_bytes(edit(plain.read_bytes()))
    return path, array.astype(float), turned(3)


def _by_itk(path: Path):
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = LPS[:3, :3] @ direction * np.array(image.GetSpacing())
    affine[:3, 3] = LPS[:3, :3] @ np.array(image.GetOrigin())
    return path, sitk.GetArrayFromImage(image).T.astype(float), affine


def _image(number: int, kind: str) -> sitk.Image:
    affine = LPS @ turned(number)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array_of(kind).T))
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(steps.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / steps).ravel().tolist())
    return image


def _written(folder: Path, number: int, kind: str, suffix: str, *, compressed: bool):
    path = folder / f"a.{suffix}"
    sitk.WriteImage(_image(number, kind), str(path), compressed)
    return _by_itk(path)


def _edited(folder: Path, number: int, suffix: str, edit: Callable[[bytes], bytes]):
    """A file of SimpleITK, changed to something that says the same."""
    path, values, affine = _written(folder, number, "i2", suffix, compressed=False)
    path.write_bytes(edit(path.read_bytes()))
    return path, values, affine


def _nrrd_text(content: bytes) -> bytes:
    head, voxels = content.split(b"\n\n", 1)
    numbers = " ".join(map(str, np.frombuffer(voxels, "<i2"))).encode()
    return head.replace(b"encoding: raw", b"encoding: ascii") + b"\n\n" + numbers


def _nrrd_encoded(name: bytes, encode: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def edit(content: bytes) -> bytes:
        head, voxels = content.split(b"\n\n", 1)
        return head.replace(b"encoding: raw", b"encoding: " + name) + b"\n\n" + encode(voxels)

    return edit


def _nrrd_big(content: bytes) -> bytes:
    head, voxels = content.split(b"\n\n", 1)
    swapped = np.frombuffer(voxels, "<i2").astype(">i2").tobytes()
    return head.replace(b"endian: little", b"endian: big") + b"\n\n" + swapped


def _in_head(*lines: bytes) -> Callable[[bytes], bytes]:
    """Further lines of a NRRD header."""

    def edit(content: bytes) -> bytes:
        head, voxels = content.split(b"\n\n", 1)
        return b"\n".join((head, *lines)) + b"\n\n" + voxels

    return edit


def _crlf(content: bytes) -> bytes:
    head, voxels = content.split(b"\n\n", 1)
    return head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + voxels


def _ras(content: bytes) -> bytes:
    """The same place in the other space."""
    head, voxels = content.split(b"\n\n", 1)
    lines = []
    for line in head.split(b"\n"):
        if line.startswith((b"space directions", b"space origin")):
            name, _, rest = line.partition(b": ")
            vectors = [
                [float(word) for word in vector.strip("()").split(",")]
                for vector in rest.decode().split()
            ]
            texts = (f"({-x!r},{-y!r},{z!r})" for x, y, z in vectors)
            line = name + b": " + " ".join(texts).encode()
        lines.append(line.replace(b"left-posterior-superior", b"right-anterior-superior"))
    return b"\n".join(lines) + b"\n\n" + voxels


def _nrrds() -> Iterator[Odd]:
    import bz2

    kinds = ("u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8")
    for number in range(24):
        kind, suffix = kinds[number % len(kinds)], ("nrrd", "nhdr")[number % 2]
        yield Odd(
            f"nrrd {number}: {kind} .{suffix}",
            lambda folder, n=2 * number + 1, k=kind, s=suffix: _written(
                folder, n, k, s, compressed=n % 3 == 0
            ),
        )
    edits: dict[str, Callable[[bytes], bytes]] = {
        "bzip2": _nrrd_encoded(b"bzip2", bz2.compress),
        "bz2": _nrrd_encoded(b"bz2", bz2.compress),
        "gzip": _nrrd_encoded(b"gzip", gzip.compress),
        "gz": _nrrd_encoded(b"gz", gzip.compress),
        "hex": _nrrd_encoded(b"hex", lambda voxels: voxels.hex().encode()),
        "ascii without a last newline": _nrrd_text,
        "big endian": _nrrd_big,
        "comments and keys": _in_head(b"# a comment", b"key:=value", b"other key:=1: 2"),
        "thicknesses": _in_head(b"thicknesses: NaN NaN 3"),
        "a measurement frame": _in_head(b"measurement frame: (1,0,0) (0,1,0) (0,0,1)"),
        "content and units": _in_head(b'content: "a, b: c"', b'space units: "mm" "mm" "mm"'),
        "lines that end as on Windows": _crlf,
        "right-anterior-superior": _ras,
        "RAS by its short name": lambda content: _ras(content).replace(
            b"right-anterior-superior", b"RAS"
        ),
        "byte skip -1": _in_head(b"byte skip: -1"),
    }
    for number, (name, edit) in enumerate(edits.items()):
        yield Odd(
            f"nrrd: {name}",
            lambda folder, n=number, e=edit: _edited(folder, n, "nrrd", e),
        )


def _meta_lines(**changes: str | None) -> Callable[[bytes], bytes]:
    """Fields of a MetaImage under other names or values; None drops one."""

    def edit(content: bytes) -> bytes:
        head, voxels = content.split(b"ElementDataFile = LOCAL\n", 1)
        lines = []
        for line in head.decode().splitlines():
            name = line.partition(" = ")[0]
            if name not in changes:
                lines.append(line)
            elif changes[name] is not None:
                lines.append(str(changes[name]) + line[len(name) :])
        return "\n".join([*lines, "ElementDataFile = LOCAL\n"]).encode() + voxels

    return edit


def _meta_ascii(content: bytes) -> bytes:
    head, voxels = content.split(b"ElementDataFile = LOCAL\n", 1)
    numbers = " ".join(map(str, np.frombuffer(voxels, "<i2"))).encode()
    head = head.replace(b"BinaryData = True", b"BinaryData = False")
    return head + b"ElementDataFile = LOCAL\n" + numbers


def _meta_big(content: bytes) -> bytes:
    head, voxels = content.split(b"ElementDataFile = LOCAL\n", 1)
    swapped = np.frombuffer(voxels, "<i2").astype(">i2").tobytes()
    head = head.replace(b"ByteOrderMSB = False", b"ByteOrderMSB = True")
    return head + b"ElementDataFile = LOCAL\n" + swapped


def _metas() -> Iterator[Odd]:
    kinds = ("u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8")
    for number in range(24):
        kind, suffix = kinds[number % len(kinds)], ("mha", "mhd")[number % 2]
        yield Odd(
            f"meta {number}: {kind} .{suffix}",
            lambda folder, n=2 * number, k=kind, s=suffix: _written(
                folder, n, k, s, compressed=n % 3 == 0
            ),
        )
    edits: dict[str, Callable[[bytes], bytes]] = {
        "ascii without a last newline": _meta_ascii,
        "ascii with newlines": lambda content: _meta_ascii(content).replace(b" ", b"\n", 0) + b"\n",
        "big endian": _meta_big,
        "Position for Offset": _meta_lines(Offset="Position"),
        "Origin for Offset": _meta_lines(Offset="Origin"),
        "Rotation for TransformMatrix": _meta_lines(TransformMatrix="Rotation"),
        "Orientation for TransformMatrix": _meta_lines(TransformMatrix="Orientation"),
        "no CenterOfRotation": _meta_lines(CenterOfRotation=None),
        "no AnatomicalOrientation": _meta_lines(AnatomicalOrientation=None),
        "a comment and a modality": lambda content: content.replace(
            b"DimSize", b"Comment = a comment: 1 = 2\nModality = MET_MOD_MR\nDimSize", 1
        ),
        "HeaderSize -1": lambda content: content.replace(
            b"DimSize", b"HeaderSize = -1\nDimSize", 1
        ),
        "padding behind the voxels": lambda content: content + b"\0" * 64,
    }
    for number, (name, edit) in enumerate(edits.items()):
        yield Odd(f"meta: {name}", lambda folder, n=number, e=edit: _edited(folder, n, "mha", e))


ROWS, COLUMNS, SLICES = 64, 48, 5
SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG 2000": JPEG2000Lossless,
    "JPEG-LS": JPEGLSLossless,
}


@dataclass(frozen=True)
class Stored:
    """How pixels are stored."""

    bits: int
    signed: bool
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def allocated(self) -> int:
        return 8 if self.bits <= 8 else 16

    def pixels(self) -> np.ndarray:
        draw = np.random.default_rng(self.bits)
        low, high = (
            (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1)) if self.signed else (0, 2**self.bits)
        )
        kind = f"{'i' if self.signed else 'u'}{self.allocated // 8}"
        return draw.integers(low, high, (SLICES, ROWS, COLUMNS)).astype(kind)


def _plane(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions of rows, columns and slices in LPS; oblique for some numbers."""
    affine = LPS @ turned(number)
    first, second = (affine[:3, at] / np.linalg.norm(affine[:3, at]) for at in (0, 1))
    return first, second, np.cross(first, second)


def _affine(number: int, gap: float = 4.0) -> np.ndarray:
    first, second, normal = _plane(number)
    affine = np.eye(4)
    affine[:3, :3] = np.array([first * 0.5, second * 0.75, normal * gap]).T
    affine[:3, 3] = (3, -4, 5)
    return LPS @ affine


def _pixel_module(made: Dataset, stored: Stored, pixels: np.ndarray) -> None:
    made.Rows, made.Columns = ROWS, COLUMNS
    made.BitsAllocated, made.BitsStored = stored.allocated, stored.bits
    made.HighBit, made.PixelRepresentation = stored.bits - 1, int(stored.signed)
    made.PixelData = pixels.tobytes()


def _save(made: Dataset, path: Path, syntax: str) -> None:
    uid = SYNTAXES[syntax]
    if uid == ExplicitVRBigEndian:
        words = np.frombuffer(made.PixelData, f"<u{made.BitsAllocated // 8}")
        made.PixelData = (
            words.reshape(-1, 2)[:, ::-1].tobytes()
            if made.BitsAllocated == 8
            else words.astype(">u2").tobytes()
        )
        made["PixelData"].VR = "OW"
    if uid.is_encapsulated:
        made["PixelData"].VR = "OW"
        made.compress(uid, generate_instance_uid=False)
    else:
        made.file_meta.TransferSyntaxUID = uid
    made.save_as(path, enforce_file_format=True)


def classic(
    folder: Path,
    number: int,
    syntax: str,
    stored: Stored,
    change: Callable[[Dataset, int], None] = lambda made, at: None,
    name: str = "IM{:03d}.dcm",
):
    series = folder / "series"
    series.mkdir()
    pixels = stored.pixels()
    first, second, normal = _plane(number)
    values = []
    for at in range(SLICES):
        made = slice_dataset(at)
        _pixel_module(made, stored, pixels[at])
        made.PixelSpacing = [0.75, 0.5]
        made.ImageOrientationPatient = [*map(float, first), *map(float, second)]
        made.ImagePositionPatient = list(map(float, np.array([3, -4, 5]) + 4.0 * at * normal))
        slope, intercept = stored.slope + at * (stored.slope != 1), stored.intercept
        if (slope, intercept) != (1, 0):
            made.RescaleSlope, made.RescaleIntercept = slope, intercept
        values.append(pixels[at].astype(float) * slope + intercept)
        change(made, at)
        _save(made, series / name.format(SLICES - at), syntax)
    return series, np.stack(values).transpose(2, 1, 0), _affine(number)


def _item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def enhanced(folder: Path, number: int, syntax: str, stored: Stored, *, alone: bool):
    pixels = stored.pixels()
    first, second, normal = _plane(number)
    made = slice_dataset(0)
    order = np.random.default_rng(number).permutation(SLICES)
    _pixel_module(made, stored, np.ascontiguousarray(pixels[order]))
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(made, keyword)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    made.NumberOfFrames = SLICES
    measures = _item(PixelSpacing=[0.75, 0.5], SliceThickness=4.0)
    plane = _item(ImageOrientationPatient=[*map(float, first), *map(float, second)])
    made.SharedFunctionalGroupsSequence = Sequence(
        [
            _item(
                PixelMeasuresSequence=Sequence([measures]),
                PlaneOrientationSequence=Sequence([plane]),
            )
        ]
    )
    values, frames = np.empty(pixels.shape), []
    for at in order:
        slope = stored.slope + int(at) * (stored.slope != 1)
        values[at] = pixels[at].astype(float) * slope + stored.intercept
        position = list(map(float, np.array([3, -4, 5]) + 4.0 * at * normal))
        frame = _item(PlanePositionSequence=Sequence([_item(ImagePositionPatient=position)]))
        frame.FrameContentSequence = Sequence(
            [_item(InStackPositionNumber=int(at) + 1, StackID="1")]
        )
        frame.PixelValueTransformationSequence = Sequence(
            [_item(RescaleSlope=slope, RescaleIntercept=stored.intercept, RescaleType="US")]
        )
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = Sequence(frames)
    series = folder / "series"
    series.mkdir()
    _save(made, series / "volume.dcm", syntax)
    path = series / "volume.dcm" if alone else series
    return path, values.transpose(2, 1, 0), _affine(number)


def _monochrome1(made: Dataset, at: int) -> None:
    made.PhotometricInterpretation = "MONOCHROME1"


def _window(made: Dataset, at: int) -> None:
    made.WindowCenter, made.WindowWidth = 40, 80
    made.PresentationLUTShape = "INVERSE"


def _left_justified(made: Dataset, at: int) -> None:
    words = np.frombuffer(made.PixelData, "<u2")
    made.PixelData, made.HighBit = (words << 4).astype("<u2").tobytes(), 15


def _overlay_bits(made: Dataset, at: int) -> None:
    words = np.frombuffer(made.PixelData, "<u2") & 0xFFF
    made.PixelData = (words | 0x5000).astype("<u2").tobytes()


def _floats(made: Dataset, at: int) -> None:
    words = np.frombuffer(made.PixelData, "<u2").astype("<f4")
    del made.PixelData
    made.BitsAllocated = 32
    made.FloatPixelData = words.tobytes()


def _private(made: Dataset, at: int) -> None:
    block = made.private_block(0x0029, "ODD", create=True)
    block.add_new(1, "OB", bytes(range(256)) * 8)
    made.add_new(0x00189999, "UN", b"\1\2\3\4")


def _echo(made: Dataset, at: int) -> None:
    made.EchoTime, made.AcquisitionNumber, made.AcquisitionTime = 90, at, f"1200{at:02d}"


def _dicoms() -> Iterator[Odd]:
    ways = (
        Stored(8, signed=False),
        Stored(12, signed=False, slope=2.0, intercept=-1024.0),
        Stored(16, signed=True, slope=0.5, intercept=3.0),
        Stored(12, signed=True),
        Stored(16, signed=False),
    )
    for number, (syntax, stored) in enumerate(itertools.product(SYNTAXES, ways)):
        said = f"{syntax}, {stored.bits} bits{', signed' * stored.signed}"
        yield Odd(
            f"dicom {number}: {said}",
            lambda folder, n=number, s=syntax, w=stored: classic(folder, n + 20, s, w),
        )
        if number % 2 == 0:
            yield Odd(
                f"dicom enhanced {number}: {said}",
                lambda folder, n=number, s=syntax, w=stored: enhanced(
                    folder, n, s, w, alone=n % 4 == 0
                ),
            )
    twelve = Stored(12, signed=False)
    changes: dict[str, Callable[[Dataset, int], None]] = {
        "MONOCHROME1": _monochrome1,
        "a window and an inverse display": _window,
        "left-justified bits": _left_justified,
        "an overlay in unused bits": _overlay_bits,
        "float pixel data": _floats,
        "private tags": _private,
        "tags that differ from slice to slice": _echo,
    }
    for name, change in changes.items():
        yield Odd(
            f"dicom: {name}",
            lambda folder, c=change: classic(folder, 50, "explicit", twelve, c),
        )
    for name in ("left-justified bits", "an overlay in unused bits"):
        yield Odd(
            f"dicom: {name}, RLE",
            lambda folder, c=changes[name]: classic(folder, 51, "RLE", twelve, c),
        )
    for name in ("{:d}", "1.2.840.99.{:d}", "I{:07d}", "slice-{:d}.IMA"):
        yield Odd(
            f"dicom named {name}",
            lambda folder, n=name: classic(folder, 7, "implicit", twelve, name=n),
        )
    for name, content in BESIDE.items():
        yield Odd(
            f"dicom beside {name}",
            lambda folder, n=name, c=content: _beside(folder, n, c, twelve),
        )
    yield Odd("dicom without preambles", lambda folder: _without_preambles(folder, twelve))


def _report() -> bytes:
    import io

    made = slice_dataset(0)
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(made, keyword)
    report = "1.2.840.10008.5.1.4.1.1.88.11"
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = report
    made.Modality, made.SeriesInstanceUID = "SR", generate_uid()
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


BESIDE: dict[str, bytes] = {
    "Thumbs.db": b"\xd0\xcf\x11\xe0" + bytes(600),
    "DICOMDIR": b"\0" * 128 + b"DICM" + b"\0" * 100,
    "notes": b"read me first\n",
    "LISEZ-MOI": "déjà vu\n".encode(),
    "preview.jpg": b"\xff\xd8\xff\xe0" + bytes(50),
    "archive": b"PK\x03\x04" + bytes(50),
    ".DS_Store": b"\0\0\0\1Bud1" + bytes(50),
    "report.dcm": b"",
    "desktop.ini": b"[.ShellClassInfo]",
}


def _beside(folder: Path, name: str, content: bytes, stored: Stored):
    made = classic(folder, 9, "explicit", stored)
    (folder / "series" / name).write_bytes(content or _report())
    return made


def _without_preambles(folder: Path, stored: Stored):
    made = classic(folder, 9, "implicit", stored)
    for path in (folder / "series").iterdir():
        content = path.read_bytes()
        length = int.from_bytes(content[140:144], "little")  # of the group of meta information
        path.write_bytes(content[144 + length :])
    return made
