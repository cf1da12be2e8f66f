"""CLAHE against its definition in NumPy, and against those of scikit-image and kornia."""

import numpy as np
import pytest
import skimage.exposure
import torch
from kornia.enhance import equalize_clahe

from volbench.augmentations.clahe import clahe
from volbench.augmentations.intensity import low_and_span


def blobs(*shape, seed=0):
    """Smooth bright spots and noise, from 0 to 1."""
    generator = np.random.default_rng(seed)
    rows, columns = np.indices(shape[-2:]) / shape[-1]
    image = 0.2 + 0.1 * generator.random(shape)
    for _ in range(6):
        y, x, height = generator.uniform(0, 1, 3)
        image = image + height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.02)
    return (image - image.min()) / (image.max() - image.min())


def equalised(image, *, limit, tiles, low=0.0, span=1.0):
    volume = torch.from_numpy(low + span * image).double()[None, None, None]
    mask = torch.ones(1, 1, dtype=torch.bool)
    lowest, range_ = low_and_span(volume, mask)
    done = clahe(volume, mask, low=lowest, span=range_, limits=[limit], tiles=tiles)
    return (done[0, 0, 0].numpy() - low) / span


def look_up_table(tile, limit):
    """Cumulated histogram of 256 levels, clipped, what is cut off spread evenly over all levels."""
    levels = np.floor(255 * tile).astype(int)
    counts = np.bincount(levels.ravel(), minlength=256)
    most = max(int(limit * tile.size / 256), 1)
    excess = int(np.maximum(counts - most, 0).sum())
    counts = np.minimum(counts, most) + excess // 256
    rest = excess % 256
    if rest:
        counts[np.arange(0, 256, max(256 // rest, 1))[:rest]] += 1
    return np.round(255 * counts.cumsum() / tile.size) / 255


def by_definition(image, limit, tiles):
    """Every pixel through the tables of the four tiles around it, weighed by nearness."""
    size = image.shape[0] // tiles
    tables = np.array(
        [
            [
                look_up_table(image[r : r + size, c : c + size], limit)
                for c in range(0, image.shape[1], size)
            ]
            for r in range(0, image.shape[0], size)
        ]
    )
    result = np.zeros_like(image)
    for (row, column), value in np.ndenumerate(image):
        places = [np.clip((place + 0.5) / size - 0.5, 0, tiles - 1) for place in (row, column)]
        for r in range(tiles):
            for c in range(tiles):
                weight = max(0, 1 - abs(places[0] - r)) * max(0, 1 - abs(places[1] - c))
                result[row, column] += weight * tables[r, c, int(255 * value)]
    return result


@pytest.mark.parametrize(("tiles", "limit"), [(1, 2.0), (2, 0.7), (4, 2.0), (4, 8.0)])
def test_it_is_what_the_definition_says(tiles, limit):
    image = blobs(64, 64)
    np.testing.assert_allclose(
        equalised(image, limit=limit, tiles=tiles), by_definition(image, limit, tiles), atol=1e-6
    )


def test_it_agrees_with_scikit_image():
    image = blobs(128, 128)
    # Without a limit only the phase of the interpolation and the rounding differ; with one, they
    # also spread what is cut off in another way.
    for limit, deviation, correlation in ((256.0, 0.02, 0.995), (6.0, 0.03, 0.99)):
        expected = skimage.exposure.equalize_adapthist(
            image, kernel_size=16, clip_limit=limit / 256, nbins=256
        )
        ours = equalised(image, limit=limit, tiles=8)
        ours = (ours - ours.min()) / (ours.max() - ours.min())  # as theirs is
        assert np.abs(ours - expected).mean() < deviation
        assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > correlation


@pytest.mark.parametrize("size", [(128, 128), (97, 128), (130, 67), (243, 243)])
@pytest.mark.parametrize("limit", [0.3, 2.0, 40.0])
def test_it_agrees_with_kornia(size, limit):
    """Tiles of even and odd sides, and slices that they do not divide."""
    image = blobs(*size)
    expected = equalize_clahe(
        torch.from_numpy(image)[None, None],
        clip_limit=limit,
        grid_size=tuple(min(8, side // 16) for side in size),
    )
    np.testing.assert_allclose(
        equalised(image, limit=limit, tiles=8), expected[0, 0].numpy(), atol=1e-6
    )


def test_every_case_has_its_own_limit_and_no_other_case_changes():
    limits = [0.5, 0.0, 3.0]
    # So many pixels that a CPU does them in several parts, which begin within a case.
    cases = [torch.from_numpy(blobs(2, 7, 160, 160, seed=seed)).float() for seed in range(3)]
    volume, mask = torch.stack(cases), torch.ones(3, 7, dtype=torch.bool)
    low, span = low_and_span(volume, mask)
    together = clahe(volume, mask, low=low, span=span, limits=limits, tiles=8)
    assert torch.equal(together[1], volume[1])
    for case in (0, 2):
        only = slice(case, case + 1)
        for channel, place in np.ndindex(2, 7):
            alone = clahe(
                volume[only, channel : channel + 1, place : place + 1],
                mask[only, :1],
                low=low[only, channel : channel + 1],
                span=span[only, channel : channel + 1],
                limits=limits[only],
                tiles=8,
            )
            torch.testing.assert_close(together[case, channel, place], alone[0, 0, 0])


@pytest.mark.parametrize(("low", "span"), [(-1000, 3000), (-2.3, 9.1), (0, 255)])
def test_units_do_not_matter(low, span):
    # Whole levels and a half, so that rounding never puts a pixel into the next level.
    image = (np.floor(255 * blobs(64, 64)) + 0.5) / 255.5
    image[0, 0], image[0, 1] = 0, 1
    plain = equalised(image, limit=2.0, tiles=4)
    np.testing.assert_allclose(
        equalised(image, limit=2.0, tiles=4, low=low, span=span), plain, atol=1e-6
    )


def test_each_channel_has_a_range_of_its_own_and_padding_has_none():
    first, second = blobs(3, 32, 32), blobs(3, 32, 32, seed=1)
    volume = torch.from_numpy(np.stack([first, 500 - 300 * second])[None]).float()
    mask = torch.tensor([[True, True, False]])
    volume = volume * mask[:, None, :, None, None]
    low, span = low_and_span(volume, mask)
    for channel in range(2):
        real = volume[0, channel, :2]
        assert low[0, channel].item() == real.min()
        assert span[0, channel].item() == pytest.approx((real.max() - real.min()).item())
    done = clahe(volume, mask, low=low, span=span, limits=[2.0], tiles=8)
    alone = clahe(volume[:, :, :2], mask[:, :2], low=low, span=span, limits=[2.0], tiles=8)
    torch.testing.assert_close(done[:, :, :2], alone)
    assert not done[:, :, 2].any()
    assert (done[0, 1, :2] > 150).all()


def test_a_limit_of_zero_leaves_a_case_alone():
    volume = torch.randn(2, 1, 2, 32, 32)
    mask = torch.ones(2, 2, dtype=torch.bool)
    low, span = low_and_span(volume, mask)
    done = clahe(volume, mask, low=low, span=span, limits=[0.0, 2.0], tiles=2)
    assert torch.equal(done[0], volume[0])
    assert (done[1] - volume[1]).abs().max() > 0.1
    assert clahe(volume, mask, low=low, span=span, limits=[0.0, 0.0], tiles=2) is volume


@pytest.mark.parametrize("size", [(2, 2), (7, 9), (15, 40), (28, 28), (33, 47), (97, 128)])
@pytest.mark.parametrize("slices", [1, 60])
def test_every_size_has_a_grid(size, slices):
    volume = torch.rand(1, 1, slices, *size)
    mask = torch.ones(1, slices, dtype=torch.bool)
    low, span = low_and_span(volume, mask)
    done = clahe(volume, mask, low=low, span=span, limits=[2.0], tiles=8)
    assert done.shape == volume.shape
    assert low.item() <= done.min() <= done.max() <= (low + span).item() + 1e-6
