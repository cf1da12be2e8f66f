"""What preparation leaves of a volume is looked at: nothing empty or clipped is trained on."""

import numpy as np
import pytest

from tests.helpers.volumes_on_disk import case, image, write
from volbench.data.checking.check import check
from volbench.data.checking.prepared_notes import prepared_notes
from volbench.data.preparation import prepare
from volbench.data.preparation.case import prepare_case
from volbench.data.preprocessing.options import Preprocessing
from volbench.datasets.manifest import Manifest
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


def test_a_window_that_misses_nearly_all_is_refused_by_case(tmp_path):
    voxels = np.random.default_rng(0).uniform(1000, 2000, SHAPE)
    voxels[0, 0, :4] = 50
    with pytest.raises(DataError, match=r"99\.96% of its prepared voxels are the highest value"):
        prepared(tmp_path, voxels, normalize="window", window=(-100, 100))


def test_enlarging_and_padding_are_said(tmp_path):
    draw = np.random.default_rng(0)
    rows = []
    for number in range(4):
        array = draw.normal(size=(4, 32, 16 if number == 3 else 32)).astype(np.float32)
        write(tmp_path / f"{number}.nii", image(array, spacing=(1.0, 1.0, 4.0)))
        rows.append(f"{number}.nii,{'ab'[number % 2]},p{number}\n")
    manifest = tmp_path / "m.csv"
    manifest.write_text("image,label,patient\n" + "".join(rows))
    made = prepare(manifest, Preprocessing(size=256), root=tmp_path / "cache", jobs=1)
    enlarged, padded = prepared_notes(made)
    assert enlarged.startswith("4 of 4 cases are enlarged in-plane, up to 8.0-fold (32 x 32 pixels")
    assert "preprocessing.size=32" in enlarged
    assert padded.startswith("1 of 4 cases are padded to a square")
    assert "50% of a slice: 3;" in padded
    quiet = prepare(manifest, Preprocessing(size=32), root=tmp_path / "cache", jobs=1)
    assert [note[:11] for note in prepared_notes(quiet)] == ["1 of 4 case"]


def test_a_crop_to_each_mask_is_said_to_hide_its_size(tmp_path):
    rows = []
    for number in range(2):
        array = np.random.default_rng(number).normal(size=(4, 32, 32)).astype(np.float32)
        inside = np.zeros(array.shape, np.uint8)
        inside[1:3, 10 : 16 + 8 * number, 10 : 16 + 8 * number] = 1
        for name, voxels in (("image", array), ("mask", inside)):
            write(tmp_path / f"{name}{number}.nii", image(voxels, spacing=(1.0, 1.0, 4.0)))
        rows.append(f"image{number}.nii,mask{number}.nii,{'ab'[number]},p{number}\n")
    manifest = tmp_path / "m.csv"
    manifest.write_text("image,mask,label,patient\n" + "".join(rows))
    options = Preprocessing(size=64, margin=0.0)
    (said,) = prepared_notes(prepare(manifest, options, root=tmp_path / "cache", jobs=1))
    assert "up to 10.7-fold (6 x 6 cropped pixels of image0 to 64 x 64): image0, image1" in said
    assert said.endswith("preprocessing.crop=box with preprocessing.box_mm keeps one scale for all")


def test_the_check_warns_of_nearly_constant_volumes(tmp_path):
    write(tmp_path / "a.nii", image(sparse().astype(np.float32), spacing=(1.0, 1.0, 4.0)))
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    write(tmp_path / "b.nii", image(noise, spacing=(1.0, 1.0, 4.0)))
    manifest = tmp_path / "m.csv"
    manifest.write_text("image,label,patient\na.nii,x,p\nb.nii,y,q\n")
    report = check(Manifest(path=str(manifest)))
    (warning,) = [one for one in report.warnings if "nearly constant" in one]
    assert warning.startswith(
        "1 volumes are nearly constant (99.9% of their voxels have one value): a;"
    )
