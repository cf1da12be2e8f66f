"""Formats read by TorchIO that volbench cannot verify.

FreeSurfer (.mgz, .mgh), Analyze (.hdr, .img), MINC, GIPL and VTK.
"""

import os
from collections.abc import Sequence
from pathlib import Path

SUFFIXES = (".mgz", ".mgh", ".hdr", ".img", ".img.gz", ".mnc", ".gipl", ".gipl.gz", ".vtk")
PAIRS = {".hdr": (".img", ".img.gz"), ".img": (".hdr",), ".img.gz": (".hdr",)}


def unverified_suffix(path: Path) -> str:
    """Find the suffix of such a format, in lower case; empty if there is none."""
    name = path.name.lower()
    return next((suffix for suffix in sorted(SUFFIXES, key=len) if name.endswith(suffix)), "")


def data_files(path: Path, stored: bytes) -> tuple[Path, ...]:
    """The other half of a pair, if it is one."""
    suffix = unverified_suffix(path)
    stem = path.name[: len(path.name) - len(suffix)]
    halves = (path.with_name(stem + other) for other in PAIRS.get(suffix, ()))
    return tuple(half for half in halves if os.path.isfile(half))


def verify(path: Path, stored: bytes, parts: Sequence[bytes]) -> None:
    """Believe it."""
