"""Stored pixels of a DICOM file: by pydicom and its decoders, else by GDCM; right or refused.

Lengths, sizes and the ends of compressed streams are checked first: decoders fill in what lacks.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from volbench.data.formats.file_bytes import AGAIN, LARGEST_BYTES
from volbench.data.formats.itk_image import quiet_itk
from volbench.errors import DataError

Frames = Int[np.ndarray, "frame row column"] | Float[np.ndarray, "frame row column"]

NOT_AN_IMAGE = "not a DICOM image, or truncated; a series folder holds nothing else"
KINDS = {"PixelData": "u", "FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}
TRUSTED = ("pylibjpeg", "pyjpegls", "gdcm", "pydicom")
"""Plugins of pydicom that decode, the preferred one first; Pillow knows 8 bits only."""
RLE = "1.2.840.10008.1.2.5"
END_OF_IMAGE = b"\xff\xd9"
"""What each JPEG, JPEG-LS and JPEG 2000 stream ends with."""


def parse(path: Path, content: bytes) -> Any:
    """Read the tags of a file.

    Raises:
        DataError: it is no DICOM image of one number per pixel.
    """
    import pydicom

    try:
        tags = pydicom.dcmread(io.BytesIO(content), force=True)
        key = next(key for key in KINDS if key in tags)
        rows, columns = int(tags.Rows), int(tags.Columns)
        samples = int(tags.get("SamplesPerPixel", 1))
        palette = str(tags.get("PhotometricInterpretation", "")).startswith("PALETTE")
        bits = 8 * int(KINDS[key][1:]) if key != "PixelData" else int(tags.BitsAllocated)
        tags.file_meta.TransferSyntaxUID = _syntax(tags)
    except MemoryError:
        raise
    except Exception:  # pydicom raises whatever its parser meets
        raise DataError(f"{path}: {NOT_AN_IMAGE}") from None
    if samples != 1 or palette:
        raise DataError(f"{path}: a colour image; volbench reads one number per voxel")
    if bits not in (8, 16, 32, 64):
        raise DataError(f"{path}: {bits} bits per pixel; export it with 8, 16 or 32")
    count = rows * columns * frame_count(path, tags) * bits // 8
    if min(rows, columns) < 1 or count > LARGEST_BYTES:
        raise DataError(f"{path}: corrupt, its header gives {rows} x {columns} pixels; {AGAIN}")
    return tags


def _syntax(tags: Any) -> Any:
    """The transfer syntax; of a file without meta information, as pydicom made out its encoding.

    Raises:
        AttributeError: there is none.
    """
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" in tags.file_meta:
        return tags.file_meta.TransferSyntaxUID
    if len(tags.file_meta) or tags["PixelData"].is_undefined_length:
        return tags.file_meta.TransferSyntaxUID
    implicit, little = tags.original_encoding
    if not little:
        return tags.file_meta.TransferSyntaxUID
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def frame_count(path: Path, tags: Any) -> int:
    """How many frames a file holds.

    Raises:
        DataError: not a number of frames.
    """
    try:
        count = int(tags.get("NumberOfFrames") or 1)
    except (TypeError, ValueError):
        count = 0
    if not 1 <= count <= 10**6:
        raise DataError(
            f"{path}: corrupt, its number of frames is {tags.get('NumberOfFrames')!r}; {AGAIN}"
        )
    return count


def stored_pixels(path: Path, tags: Any, content: bytes) -> Frames:
    """Decode all frames; numbers as they are stored, before any rescaling.

    Raises:
        DataError: too few bytes, a stream that breaks, or a compression without a decoder.
    """
    key = next(key for key in KINDS if key in tags)
    shape = (frame_count(path, tags), int(tags.Rows), int(tags.Columns))
    payload = getattr(tags, key)
    syntax = tags.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        found = _decompressed(path, tags, content, shape)
        return _without_unused_bits(path, tags, found) if syntax == RLE else found
    bits = 8 * int(KINDS[key][1:]) if key != "PixelData" else int(tags.BitsAllocated)
    needed = math.prod(shape) * bits // 8
    if payload is None or len(payload) < needed:
        raise DataError(
            f"{path}: truncated, {len(payload or b'')} bytes of pixel data where its size needs "
            f"{needed}; {AGAIN}"
        )
    kind = KINDS[key] if key != "PixelData" else f"u{bits // 8}"
    words = np.frombuffer(payload, np.dtype(kind), math.prod(shape))
    if not syntax.is_little_endian:
        words = _swapped(payload, kind, math.prod(shape))
    array = words.reshape(shape)
    return array if key != "PixelData" else _without_unused_bits(path, tags, array)


def _swapped(payload: bytes, kind: str, count: int) -> NDArray[Any]:
    """Words of a big-endian file; bytes lie in words of two."""
    if kind == "u1":
        pairs = np.frombuffer(payload, "u1", len(payload) // 2 * 2).reshape(-1, 2)
        return np.ascontiguousarray(pairs[:, ::-1]).reshape(-1)[:count]
    return np.frombuffer(payload, np.dtype(kind).newbyteorder(">"), count).astype(kind)


def _without_unused_bits(path: Path, tags: Any, array: NDArray[Any]) -> NDArray[Any]:
    """Keep the bits that are stored, and their sign; others may hold an overlay."""
    allocated, stored = int(tags.BitsAllocated), int(tags.get("BitsStored", tags.BitsAllocated))
    high = int(tags.get("HighBit", stored - 1))
    if not 1 <= stored <= high + 1 <= allocated:
        raise DataError(
            f"{path}: corrupt, {stored} bits stored up to bit {high} of {allocated}; {AGAIN}"
        )
    unsigned = array.view(f"u{array.itemsize}")
    signed = bool(int(tags.get("PixelRepresentation", 0)))
    if stored == allocated:
        return unsigned.view(f"i{array.itemsize}") if signed else unsigned
    up = 8 * array.itemsize - high - 1
    left = unsigned << up
    return (left.view(f"i{array.itemsize}") if signed else left) >> (up + high + 1 - stored)


def _decompressed(path: Path, tags: Any, content: bytes, shape: tuple[int, int, int]) -> Frames:
    from pydicom.pixels.decoders.base import get_decoder

    syntax = tags.file_meta.TransferSyntaxUID
    _require_whole_streams(path, tags, shape[0], with_end=syntax != RLE)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise _no_decoder(path, syntax.name) from None
    plugins = [name for name in TRUSTED if name in decoder.available_plugins]
    if not plugins:
        return _by_gdcm(path, tags, content, shape)
    try:
        array, _ = decoder.as_array(
            tags,
            raw=True,
            decoding_plugin=plugins[0],
            correct_unused_bits=False,  # type: ignore[arg-type]
        )
    except MemoryError:
        raise
    except Exception as error:  # a decoder raises whatever it meets
        reason = " ".join(f"{error}".split())[-160:]
        raise DataError(
            f"{path}: corrupt, its compressed pixels cannot be decoded ({reason}); {AGAIN}"
        ) from None
    if array.size != math.prod(shape):
        raise DataError(f"{path}: corrupt, {array.shape} pixels decoded, {shape} needed; {AGAIN}")
    return np.asarray(array).reshape(shape)


def _require_whole_streams(path: Path, tags: Any, count: int, *, with_end: bool) -> None:
    """Refuse fewer or more streams than frames, and streams that are cut short."""
    from pydicom.encaps import generate_frames

    try:
        streams: Sequence[bytes] = list(generate_frames(tags.PixelData, number_of_frames=count))
    except Exception as error:
        reason = " ".join(f"{error}".split())[:120]
        raise DataError(f"{path}: corrupt or truncated compressed pixels ({reason})") from None
    if len(streams) != count:
        raise DataError(f"{path}: corrupt, {len(streams)} streams for {count} frames; {AGAIN}")
    for stream in streams:
        if with_end and not stream.rstrip(b"\0").endswith(END_OF_IMAGE):
            raise DataError(f"{path}: truncated, its compressed pixels end early; {AGAIN}")


def _by_gdcm(path: Path, tags: Any, content: bytes, shape: tuple[int, int, int]) -> Frames:
    """Decode by the library behind SimpleITK, from a copy that says nothing of rescaling."""
    import pydicom
    import SimpleITK as sitk

    plain = pydicom.dcmread(io.BytesIO(content), force=True)
    shared = plain.get("SharedFunctionalGroupsSequence") or []
    for group in (plain, *shared, *(plain.get("PerFrameFunctionalGroupsSequence") or [])):
        for keyword in ("RescaleSlope", "RescaleIntercept", "PixelValueTransformationSequence"):
            if keyword in group:
                delattr(group, keyword)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    with TemporaryDirectory(prefix="volbench-dicom-") as folder, quiet_itk():
        copy = Path(folder, "copy.dcm")
        plain.save_as(copy)
        reader.SetFileName(str(copy))
        try:
            array = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError:
            raise _no_decoder(path, tags.file_meta.TransferSyntaxUID.name) from None
    if array.size != math.prod(shape):
        raise _no_decoder(path, tags.file_meta.TransferSyntaxUID.name)
    return np.asarray(array).reshape(shape)


def _no_decoder(path: Path, compression: str) -> DataError:
    return DataError(
        f"{path}: its pixels are compressed ({compression}) and no decoder reads them; install "
        "one by `pip install 'volbench[dicom]'`, or export the series without compression"
    )
