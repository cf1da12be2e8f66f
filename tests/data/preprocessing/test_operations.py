import numpy as np
import pytest
from PIL import Image

from volbench.data.preprocessing.operations import preprocess
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import DataError
from volbench.types import Scan


def options(**given):
    return Preprocessing(**{"size": 8, "crop": "none", "normalize": "none", **given})


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(50, 20, shape).astype(np.float32)


def region(shape, rows, columns, slices=(0, 1)):
    mask = np.zeros(shape, bool)
    mask[slice(*slices), slice(*rows), slice(*columns)] = True
    return mask


def scan(image, *, spacing_mm=(3.0, 0.5, 0.5), mask=None, representative=()):
    return Scan(np.asarray(image, np.float32), spacing_mm, mask, representative)


def test_eight_bit_values_stay_exact_in_half_precision():
    image = np.arange(256).reshape(1, 4, 8, 8)
    done = preprocess(scan(image), options())
    assert np.array_equal(done.image.astype(np.float16).astype(int), image)


@pytest.mark.parametrize("size", [5, 8, 13, 24])
def test_resizing_agrees_with_an_independent_library(size):
    image = noise((1, 3, 16, 16))
    done = preprocess(scan(image, spacing_mm=(3.0, 0.5, 0.5)), options(size=size))
    assert done.spacing_mm == pytest.approx((3, 8 / size, 8 / size))  # of 8 mm, as before
    for ours, given in zip(done.image[0], image[0], strict=True):
        theirs = Image.fromarray(given).resize((size, size), Image.Resampling.BILINEAR)
        assert np.allclose(ours, np.asarray(theirs), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [5, 8, 13, 32])
def test_a_mask_is_resized_as_an_independent_library_does(size):
    image, mask = noise((1, 3, 16, 16)), noise((3, 16, 16), seed=1) > 50
    done = preprocess(scan(image, mask=mask), options(size=size))
    for ours, given in zip(done.mask, mask, strict=True):
        theirs = Image.fromarray(given).resize((size, size), Image.Resampling.NEAREST)
        assert np.array_equal(ours, np.asarray(theirs))


def test_slices_are_never_mixed():
    image = np.broadcast_to(np.array([0, 100, 7, 3.5]).reshape(1, 4, 1, 1), (1, 4, 20, 20))
    done = preprocess(scan(image), options(size=9))
    assert done.image.shape == (1, 4, 9, 9)
    assert np.allclose(done.image, image[:, :, :9, :9], rtol=1e-6, atol=0)


def test_channels_keep_their_order_and_their_own_scale():
    image = np.stack([noise((3, 8, 8)), 1000 + 7 * noise((3, 8, 8), seed=1)])
    done = preprocess(scan(image), options(normalize="zscore"))
    exact = image.astype(np.float64)
    mean, deviation = (f(exact, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.std))
    assert np.allclose(done.image, (exact - mean) / deviation, rtol=0, atol=1e-5)


def test_the_crop_around_the_region_is_a_square_of_its_longer_side_and_the_margin():
    # The region spans rows 10..19 and columns 6..9; 10 pixels and 20 % on each side make 14.
    image = noise((1, 2, 40, 30))
    mask = region((2, 40, 30), (10, 20), (6, 10))
    done = preprocess(scan(image, mask=mask), options(crop="roi", margin=0.2, size=14))
    assert np.array_equal(done.image, image[:, :, 8:22, 1:15])
    assert done.spacing_mm == (3, 0.5, 0.5)
    assert np.array_equal(done.mask, mask[:, 8:22, 1:15])


def test_the_crop_is_a_square_in_millimetres_where_pixels_are_not():
    # 10 rows of 1 mm against 4 columns of 0.5 mm: 10 mm a side, so 10 rows and 20 columns.
    image = noise((1, 1, 40, 40))
    mask = region((1, 40, 40), (10, 20), (16, 20))
    given = scan(image, spacing_mm=(5.0, 1.0, 0.5), mask=mask)
    done = preprocess(given, options(crop="roi", margin=0, size=10))
    assert done.spacing_mm == pytest.approx((5, 1, 1))
    theirs = Image.fromarray(image[0, 0, 10:20, 8:28]).resize((10, 10), Image.Resampling.BILINEAR)
    assert np.allclose(done.image[0, 0], np.asarray(theirs), rtol=0, atol=1e-3)


def test_a_fixed_box_has_the_same_size_for_small_and_large_regions():
    image = noise((1, 1, 40, 40))
    small, large = (region((1, 40, 40), (20 - r, 20 + r), (20 - r, 20 + r)) for r in (1, 9))
    wanted = options(crop="box", box_mm=5, size=10)
    for mask in (small, large):
        done = preprocess(scan(image, mask=mask), wanted)
        assert np.array_equal(done.image, image[:, :, 15:25, 15:25])


def test_beyond_the_image_its_edge_is_repeated():
    image = noise((1, 1, 8, 8))
    mask = region((1, 8, 8), (0, 2), (6, 8))
    done = preprocess(scan(image, mask=mask), options(crop="box", box_mm=4, size=8))
    padded = np.pad(image[0, 0], 5, mode="edge")
    assert np.array_equal(done.image[0, 0], padded[2:10, 8:16])


def test_without_a_crop_an_oblong_slice_becomes_a_square_that_keeps_its_proportions():
    image = noise((1, 1, 6, 10))
    done = preprocess(scan(image), options(size=10))
    assert np.array_equal(done.image[0, 0], np.pad(image[0, 0], ((2, 2), (0, 0)), mode="edge"))
    assert done.spacing_mm == (3, 0.5, 0.5)


def test_slices_are_cut_to_the_region_the_representative_ones_and_the_margin():
    image = noise((1, 12, 8, 8))
    mask = region((12, 8, 8), (2, 4), (2, 4), slices=(4, 6))
    given = scan(image, mask=mask, representative=(5, 8))
    done = preprocess(given, options(slice_margin=1))
    assert np.array_equal(done.image, image[:, 3:10])
    assert done.representative == (2, 5)
    assert done.mask.any(axis=(1, 2)).nonzero()[0].tolist() == [1, 2]
    whole = preprocess(given, options(slice_margin=100))
    assert (whole.image.shape[1], whole.representative) == (12, (5, 8))


def test_hounsfield_units_become_zero_to_one_within_the_window():
    image = np.full((1, 1, 8, 8), -300.0)
    image[0, 0, 0, :4] = [-2000, -1000, 400, 3000]
    done = preprocess(scan(image), options(normalize="window"))
    assert done.image[0, 0, 0, :5].tolist() == [0, 0, 1, 1, 0.5]


SLICES_OF_TWELVE = noise((1, 12, 8, 8))


@pytest.mark.parametrize(
    ("most", "slices", "representative", "expected"),
    [
        (12, (0, 12), (), range(12)),
        (7, (4, 7), (), range(2, 9)),  # the middle slice of the region is 5
        (3, (0, 2), (), range(3)),  # the region lies at the end: no slice beyond the volume
        (3, (10, 12), (), range(9, 12)),
        (3, (2, 3), (4, 5), range(3, 6)),  # moved no further than 5 needs
        (3, (8, 9), (6,), range(6, 9)),
        (7, None, (), range(2, 9)),  # no mask: the middle of the volume
    ],
)
def test_at_most_so_many_slices_are_kept_about_the_region(most, slices, representative, expected):
    mask = None if slices is None else region((12, 8, 8), (2, 5), (2, 5), slices)
    whole = scan(SLICES_OF_TWELVE, mask=mask, representative=representative)
    done = preprocess(whole, options(max_slices=most))
    assert np.array_equal(done.image, SLICES_OF_TWELVE[:, list(expected)])
    assert done.representative == tuple(number - expected[0] for number in representative)


def test_representative_slices_further_apart_than_may_be_kept_are_refused():
    whole = scan(SLICES_OF_TWELVE, representative=(2, 6))
    with pytest.raises(
        DataError, match=r"slices 2 to 6 do not fit into preprocessing.max_slices=4"
    ):
        preprocess(whole, options(max_slices=4))
    assert preprocess(whole, options(max_slices=5)).representative == (0, 4)


def test_bytes_are_whole_numbers_between_the_percentiles():
    image = noise((1, 6, 8, 8)).astype(np.float64)
    low, high = np.percentile(image, (0.5, 99.5))
    expected = np.round(255 * np.clip((image - low) / (high - low), 0, 1))
    done = preprocess(scan(image), options(normalize="byte"))
    assert np.abs(done.image - expected).max() <= 1  # a value between two may go either way
    assert (done.image != expected).mean() < 0.02
    assert np.array_equal(done.image, done.image.astype(np.uint8))


def test_percentiles_keep_single_bright_voxels_from_setting_the_scale():
    image = np.arange(1.0, 1001).reshape(1, 10, 10, 10)
    image[0, -1, -1, -1] = 1e6
    done = preprocess(scan(image), options(size=10, normalize="percentile"))
    # By linear interpolation between ranks: the 0.5th percentile of 1..1000 lies 4.995 above 1.
    low, high = 5.995, 995.005
    middle = (500 - low) / (high - low)
    assert done.image.reshape(-1)[499] == pytest.approx(middle, abs=1e-6)
    assert done.image.reshape(-1)[[0, -1]].tolist() == [0, 1]


@pytest.mark.parametrize("normalize", ["zscore", "percentile"])
def test_a_channel_without_contrast_becomes_zeros(normalize):
    image = np.stack([np.full((2, 9, 9), 0.1), noise((2, 9, 9))])
    done = preprocess(scan(image), options(size=7, normalize=normalize))
    assert not done.image[0].any()
    assert done.image[1].std() > 0.1


def test_a_constant_of_any_size_is_no_contrast():
    for value in (0.0, 1e-20, 1 / 3, -1000.0, 1e6):
        given = scan(np.full((1, 2, 9, 9), value))
        assert not preprocess(given, options(size=7, normalize="zscore")).image.any()


def test_values_beyond_half_precision_are_clipped_not_infinite():
    image = np.zeros((1, 1, 8, 8))
    image[0, 0, 0, :2] = [1e6, -1e6]
    done = preprocess(scan(image), options()).image.astype(np.float16)
    assert done[0, 0, 0, :2].tolist() == [65504, -65504]


@pytest.mark.parametrize("needs_roi", [{"crop": "roi"}, {"crop": "box"}, {"slice_margin": 2}])
@pytest.mark.parametrize("mask", [None, np.zeros((2, 8, 8), bool)], ids=["missing", "empty"])
def test_a_missing_region_of_interest_is_refused_where_one_is_needed(needs_roi, mask):
    key = next(iter(needs_roi))
    with pytest.raises(DataError, match=f"mask, but preprocessing.{key}=.* needs a region"):
        preprocess(scan(noise((1, 2, 8, 8)), mask=mask), options(**needs_roi))


def test_the_scan_that_was_read_is_left_as_it_was():
    given = scan(noise((1, 2, 8, 8)))
    before = given.image.copy()
    preprocess(given, options(normalize="zscore")).image[:] = 0
    preprocess(given, options()).image[:] = 0
    assert np.array_equal(given.image, before)
