"""Odd but valid files: right voxels in the right place, none refused."""

import numpy as np

from tests.faults.odd_files import everything
from tests.helpers.volumes_on_disk import case
from volbench.data.reading import fingerprint, read_with_fingerprint
from volbench.errors import DataError


def problem(odd, folder):
    """What is wrong with how a file is read; None if nothing is."""
    folder.mkdir()
    path, values, affine = odd.make(folder)
    try:
        scan, digest = read_with_fingerprint(case(path))
    except DataError as error:
        return f"refused: {error}"
    if scan.image[0].size != values.size:
        return f"{scan.image[0].shape} voxels for {values.shape}"
    index = np.indices(values.shape).reshape(3, -1)
    placed = affine @ np.vstack([index, np.ones(index.shape[1])])
    found = (np.linalg.inv(scan.affine) @ placed)[:3]
    at = np.rint(found).astype(int)
    if np.abs(found - at).max() > 0.01:
        return f"geometry off by {np.abs(found - at).max():.2g} voxels"
    if (at < 0).any() or (at.max(axis=1) >= scan.image[0].shape).any():
        return "voxels beyond the volume"
    if not np.array_equal(scan.image[0][tuple(at)], values.reshape(-1).astype(np.float32)):
        return "other voxels"
    return None if digest == fingerprint(case(path)) else "two fingerprints"


def test_every_odd_but_valid_file_is_read_right(tmp_path):
    files = list(everything())
    assert len(files) >= 180
    wrong = [
        f"{odd.name}: {found}"
        for number, odd in enumerate(files)
        if (found := problem(odd, tmp_path / str(number)))
    ]
    refused = sum(": refused: " in line for line in wrong)
    others = len(wrong) - refused
    print(f"\nodd but valid files: {len(files)}; refused {refused}; other wrong: {others}")
    assert not wrong, "\n".join(wrong)
