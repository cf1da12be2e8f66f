"""What preparation leaves of a volume is looked at: nothing empty or clipped is trained on."""

import numpy as np
import pytest

from tests.helpers.volumes_on_disk import case, image, write
from volbench.data.preparation.case import prepare_case
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import DataError

SHAPE = (6, 40, 40)


def prepared(folder, voxels, **options):
    path = write(folder / "a.nii", image(voxels.astype(np.float32), spacing=(1.0, 1.0, 4.0)))
    return prepare_case(
        case(path), Preprocessing(size=40, crop="none", **options), channels=("image",)
    )


def sparse():
    voxels = np.zeros(SHAPE)
    voxels[3, 5, 5:9] = 100
    return voxels


@pytest.mark.parametrize("normalize", ["percentile", "byte"])
def test_percentiles_that_leave_nothing_are_refused_and_zscore_is_the_way_out(normalize, tmp_path):
    with pytest.raises(DataError, match=r"every prepared voxel is 0 .*normalize=zscore"):
        prepared(tmp_path, sparse(), normalize=normalize)
    assert np.ptp(prepared(tmp_path, sparse()).voxels) > 1


def test_a_window_that_misses_the_data_is_refused(tmp_path):
    voxels = np.random.default_rng(0).uniform(1000, 2000, SHAPE)
    with pytest.raises(DataError, match=r"every prepared voxel is 1 after .*=window"):
        prepared(tmp_path, voxels, normalize="window", window=(-100, 100))
    assert np.ptp(prepared(tmp_path, voxels, normalize="window", window=(900, 2100)).voxels) > 0.5


def test_what_float16_cannot_hold_is_refused(tmp_path):
    draw = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"values beyond 65504 after .*=none"):
        prepared(tmp_path, draw.uniform(0, 1e5, SHAPE), normalize="none")
    with pytest.raises(DataError, match=r"every prepared voxel is 0|too small for float16"):
        prepared(tmp_path, draw.uniform(0, 3e-9, SHAPE), normalize="none")  # ADC in m²/s
    assert np.ptp(prepared(tmp_path, draw.uniform(0, 3e-9, SHAPE)).voxels) > 1
