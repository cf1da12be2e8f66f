"""TorchIO transforms as preprocessing: in our grammar, deterministic, followed by the geometry."""

import numpy as np
import pytest
import torch
import torchio as tio

from tests.helpers.volumes_on_disk import box, case, image, write
from volbench.data.preparation.case import prepare_case
from volbench.data.preprocessing.options import Preprocessing, from_values, with_settings
from volbench.data.reading import read_with_fingerprint
from volbench.datasets.phantom import Phantom
from volbench.errors import DataError, SpecError, UnknownComponentError
from volbench.experiment.recipe import load_recipe

PLAIN = {"size": 16, "crop": "none", "normalize": "none"}


def options(*transforms: str) -> Preprocessing:
    return from_values({**PLAIN, "transforms": list(transforms)})


@pytest.mark.parametrize(
    "text",
    [
        "ToCanonical",
        "Resample(target=(0.75, 0.75, 4))",
        "CropOrPad(target_shape=(8, 8, 4))",
        "ZNormalization(masking_method='mask')",
        "RescaleIntensity(out_min_max=(0, 1), percentiles=(1, 99))",
        "Clamp(out_max=300, out_min=20)",
        "Resize(target_shape=(12, 12, 6))",
        "Pad(padding=(1, 2, 0))",
        "ToOrientation(orientation='LPI')",
    ],
)
def test_what_is_prepared_is_what_torchio_makes_by_hand(text, tmp_path):
    path, mask = write(tmp_path / "a.nii.gz"), write(tmp_path / "m.nii.gz", image(box()))
    subject = tio.Subject(image=tio.ScalarImage(path), mask=tio.LabelMap(mask))
    torch.manual_seed(0)
    by_hand = options(text).transform()(subject)
    seen = tio.ToOrientation("LPS")(by_hand)
    chosen = options(text)
    scan, _ = read_with_fingerprint(case(path, mask=mask), chosen.transform(), ("image",))
    assert np.array_equal(scan.image[0], seen.image.data[0].float().numpy().T)
    assert np.array_equal(scan.mask, seen["mask"].data[0].numpy().T > 0)
    assert scan.spacing_mm == pytest.approx(seen.image.spacing[::-1])
    assert np.allclose(scan.affine[:, [2, 1, 0, 3]], seen.image.affine)


def test_transforms_run_one_after_the_other_and_before_our_own_steps(tmp_path):
    chosen = from_values({"size": 8, "crop": "none", "normalize": "zscore", "transforms": [
        "Clamp(out_max=200)", "CropOrPad(target_shape=(8, 8, 4))"]})  # fmt: skip
    done = prepare_case(case(write(tmp_path / "a.nii.gz")), chosen, channels=("image",))
    assert done.voxels.shape == (4, 1, 8, 8)
    assert abs(float(done.voxels.astype(np.float32).mean())) < 1e-3
    assert done.geometry.stored_shape == (4, 8, 8)


@pytest.mark.parametrize(
    ("transforms", "numbers", "expected"),
    [
        (("ToOrientation(orientation='RAI')",), (1, 4), (1, 4)),
        (("Flip(axes=(2,))",), (1, 4), (1, 4)),
        (("CropOrPad(target_shape=(10, 12, 4))",), (1, 4), (0, 3)),
        (("Pad(padding=(0, 0, 0, 0, 2, 0))",), (1, 4), (3, 6)),
        (("Resample(target=(0.5, 0.6, 1.5))",), (2,), (4,)),
    ],
    ids=["turned", "flipped", "cropped", "padded", "resampled"],
)
def test_representative_slices_are_followed(transforms, numbers, expected, tmp_path):
    path = write(tmp_path / "a.nii.gz")
    plain, _ = read_with_fingerprint(case(path, representative=numbers))
    scan, _ = read_with_fingerprint(
        case(path, representative=numbers), options(*transforms).transform(), ("image",)
    )
    assert len(scan.representative) == len(expected)
    tolerance = 1 if "Resample" in transforms[0] else 0  # its grid may begin half a slice away
    assert np.abs(np.subtract(scan.representative, expected)).max() <= tolerance
    if "Resample" not in transforms[0]:
        rows, columns = (scan.image.shape[2] - 12) // 2, (scan.image.shape[3] - 10) // 2
        assert (rows, columns) == (0, 0)
        after = [scan.image[:, number].tolist() for number in scan.representative]
        assert sorted(after) == sorted(plain.image[:, n].tolist() for n in plain.representative)


def test_a_representative_slice_that_is_cut_away_is_an_error(tmp_path):
    chosen = options("CropOrPad(target_shape=(10, 12, 2))").transform()
    with pytest.raises(DataError, match="representative slice 0 is no longer there"):
        read_with_fingerprint(
            case(write(tmp_path / "a.nii.gz"), representative=(0,)), chosen, ("image",)
        )


def test_a_generated_case_goes_through_transforms_too():
    made = Phantom(patients=4, size=16, slices=3).cases()[0]
    plain, _ = read_with_fingerprint(made)
    turned, _ = read_with_fingerprint(made, options("ToCanonical").transform(), ("image",))
    assert np.array_equal(plain.image, turned.image)
    small, _ = read_with_fingerprint(
        made, options("CropOrPad(target_shape=(8, 8, 3))").transform(), ("image",)
    )
    assert np.array_equal(small.image, plain.image[:, :, 4:12, 4:12])


def test_the_canonical_text_names_the_cache():
    assert options("Resample(target=(0.50, 0.5, 3.0))") == options("Resample(target=(.5, .5, 3))")
    assert options("ToCanonical").digest != options().digest
    assert options("ToCanonical", "Clamp").digest != options("Clamp", "ToCanonical").digest
    assert with_settings(
        Preprocessing(), ["preprocessing.transforms=ToCanonical+Clamp(out_max=1)"]
    ).transforms == ("ToCanonical", "Clamp(out_max=1)")


def test_without_transforms_texts_and_digests_are_as_they_always_were():
    assert "transforms" not in Preprocessing().values()
    recipe = load_recipe("standard")
    assert "transforms" not in recipe.model_dump(mode="json")["preprocessing"]
    with_one = load_recipe("standard", ("preprocessing.transforms=ToCanonical",))
    assert with_one.model_dump(mode="json")["preprocessing"]["transforms"] == ["ToCanonical"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("RandomFlip", "random.*use training.augmentation=torchio.RandomFlip"),
        ("Clamp(out_max=1, p=0.5)", "p below 1"),
        ("Compose(transforms=(RandomNoise(),))", "RandomNoise|random"),
        ("Resample(tarjet=2)", "no option 'tarjet'. Did you mean 'target'"),
        ("CropOrPad(target_shape=(0, 1, 2))", "CropOrPad"),
        ("2*Clamp", "weight"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_read(text, reason):
    with pytest.raises(SpecError, match=reason):
        options(text).transform()


def test_a_misspelt_transform_has_a_neighbour():
    with pytest.raises(UnknownComponentError, match="Did you mean 'Resample'"):
        options("Resampel").transform()


def test_a_transform_that_fails_names_the_case(tmp_path):
    with pytest.raises(DataError, match=r"case one: preprocessing\.transforms fails"):
        read_with_fingerprint(
            case(write(tmp_path / "a.nii.gz")),
            options("ZNormalization(masking_method='liver')").transform(),
            ("image",),
        )
