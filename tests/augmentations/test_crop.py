import numpy as np
import pytest
import scipy.ndimage
import torch

from volbench._utils.case_generator import CaseGenerator
from volbench.augmentations.crop import Crop
from volbench.errors import SpecError
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations
from volbench.testing.augmentations import AugmentationContract


class TestSmallWindows(AugmentationContract):
    spec = "crop(low=0.3)"


class Loaded(CaseGenerator):
    """Draws what it is told: side, place along the width, place along the height."""

    def __init__(self, *amounts):
        super().__init__([0])
        self.amounts = torch.tensor([amounts])

    def uniform(self, *shape, low=0.0, high=1.0):
        assert (shape, low, high) == ((3,), 0.0, 1.0)
        return self.amounts


def ramp(height=40, width=60):
    """The value of a pixel tells where it is: column in one channel, row in the other."""
    rows, columns = np.indices((height, width), dtype=np.float32)
    return torch.from_numpy(np.stack([columns, rows]))[None, :, None].expand(-1, -1, 2, -1, -1)


@pytest.mark.parametrize(
    ("amounts", "first_column", "first_row"),
    # A window of half the side is read every half pixel, the first a quarter inside its edge,
    # which lies half a pixel before the centre of the first pixel.
    [((0, 0, 0), 0, 0), ((0, 1, 0), 30, 0), ((0, 0, 1), 0, 20), ((0, 0.5, 0.25), 15, 5)],
)
def test_the_window_lies_where_it_was_drawn(amounts, first_column, first_row):
    cropped = Crop(low=0.5)(ramp(), torch.ones(1, 2, dtype=torch.bool), Loaded(*amounts))
    columns = np.clip(first_column - 0.25 + 0.5 * np.arange(60), 0, 59)
    rows = np.clip(first_row - 0.25 + 0.5 * np.arange(40), 0, 39)
    np.testing.assert_allclose(cropped[0, 0], np.tile(columns, (2, 40, 1)), atol=1e-4)
    np.testing.assert_allclose(cropped[0, 1], np.tile(rows[:, None], (2, 1, 60)), atol=1e-4)


def test_it_is_a_resampled_window_as_scipy_reads_it():
    volume = torch.randn(1, 2, 3, 31, 26)
    side, right, down = 0.7 + 0.3 * 0.4, 0.9, 0.2
    cropped = Crop(low=0.7)(volume, torch.ones(1, 3, dtype=torch.bool), Loaded(0.4, right, down))
    rows = down * (1 - side) * 31 + side * (np.arange(31) + 0.5) - 0.5
    columns = right * (1 - side) * 26 + side * (np.arange(26) + 0.5) - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    for index in np.ndindex(1, 2, 3):
        expected = scipy.ndimage.map_coordinates(
            volume[index].double().numpy(), grid, order=1, mode="nearest"
        )
        np.testing.assert_allclose(cropped[index], expected, atol=1e-4)


def test_a_window_of_the_whole_side_changes_nothing():
    volume = torch.randn(3, 1, 2, 33, 20)
    cropped = Crop(low=1)(volume, torch.ones(3, 2, dtype=torch.bool), CaseGenerator([1, 2, 3]))
    torch.testing.assert_close(cropped, volume, rtol=0, atol=1e-4)


def test_sides_fill_the_range_and_windows_stay_inside():
    cases = 4000
    volume = ramp(16, 16)[:, :, :1].expand(cases, -1, -1, -1, -1)
    mask = torch.ones(cases, 1, dtype=torch.bool)
    cropped = Crop(low=0.5)(volume, mask, CaseGenerator(range(cases))).double().numpy()
    # Between pixels 4 and 11 no border is near: 7 steps of the side.
    side = (cropped[:, 0, 0, 8, 11] - cropped[:, 0, 0, 8, 4]) / 7
    left = cropped[:, 0, 0, 8, 8] + 0.5 - 8.5 * side
    assert 0.5 <= side.min() + 1e-4 < 0.503
    assert 0.997 < side.max() < 1 + 1e-4
    assert side.mean() == pytest.approx(0.75, abs=4 * 0.5 / np.sqrt(12 * cases))
    assert (left > -1e-3).all()
    assert (left < 16 * (1 - side) + 1e-3).all()
    part = (left / (16 * (1 - side)))[side < 0.95]
    assert part.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * len(part)))


def test_a_side_out_of_range_is_refused():
    with pytest.raises(SpecError) as caught:
        augmentations.build("crop(low=1.2)", Augmentation)
    assert (
        str(caught.value)
        == "augmentation crop(low=1.2): low must be from 0.1 to 1, but got low=1.2"
    )
