import math

import numpy as np
import pytest
import torch

from volbench._utils.case_generator import CaseGenerator
from volbench.augmentations.affine import Affine
from volbench.errors import SpecError
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations

NOTHING = {
    "flip": 0.0,
    "rotate_deg": 0.0,
    "scale": 0.0,
    "shift": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
}


class Loaded(CaseGenerator):
    """Draws what it is told: first whether to mirror, then six amounts from -1 to 1."""

    def __init__(self, *amounts, mirror=False):
        super().__init__([0])
        self.draws = [torch.tensor([0.0 if mirror else 0.999]), torch.tensor([amounts])]

    def uniform(self, *shape, low=0.0, high=1.0):
        drawn = self.draws.pop(0)
        assert drawn.shape == (1, *shape)
        return drawn


def blob(x, y, *, height=64, width=80, radius=3.0):
    """A bright spot at a position from the centre, in two slices of one channel."""
    rows = np.arange(height)[:, None] - (height - 1) / 2 - y
    columns = np.arange(width)[None, :] - (width - 1) / 2 - x
    spot = np.exp(-(rows**2 + columns**2) / (2 * radius**2))
    return torch.from_numpy(spot).float().expand(1, 1, 2, -1, -1)


def measure(volume):
    """Position of the spot from the centre, and its area in units of the original's."""
    plane = volume[0, 0, 0].double().numpy()
    height, width = plane.shape
    rows = np.arange(height)[:, None] - (height - 1) / 2
    columns = np.arange(width)[None, :] - (width - 1) / 2
    mass = plane.sum()
    return (columns * plane).sum() / mass, (rows * plane).sum() / mass, mass / (2 * math.pi * 9)


def run(options, generator, volume):
    return Affine(**(NOTHING | options))(volume, torch.ones(1, 2, dtype=torch.bool), generator)


@pytest.mark.parametrize(
    ("options", "amounts", "mirror", "expected"),
    [
        ({}, (0, 0, 0, 0, 0, 0), False, (12, -7, 1)),
        ({"flip": 0.5}, (0, 0, 0, 0, 0, 0), True, (-12, -7, 1)),
        ({"shift": 0.1}, (0, 0, 1, -0.5, 0, 0), False, (12 + 8, -7 - 3.2, 1)),
        ({"scale": 0.2}, (0, 1, 0, 0, 0, 0), False, (14.4, -8.4, 1.44)),
        ({"scale": 0.2}, (0, -1, 0, 0, 0, 0), False, (9.6, -5.6, 0.64)),
        ({"rotate_deg": 90}, (1, 0, 0, 0, 0, 0), False, (7, 12, 1)),
    ],
    ids=["nothing", "flip", "shift", "magnify", "shrink", "rotate"],
)
def test_each_option_moves_a_spot_to_where_it_should(options, amounts, mirror, expected):
    moved = run(options, Loaded(*amounts, mirror=mirror), blob(12, -7))
    assert measure(moved) == pytest.approx(expected, abs=0.02)


def test_a_spot_is_mirrored_then_magnified_then_turned_then_shifted():
    options = {"flip": 0.5, "rotate_deg": 40, "scale": 0.25, "shift": 0.1}
    moved = run(options, Loaded(0.75, 0.6, 0.5, -1.0, 0, 0, mirror=True), blob(12, -7))
    turn, size = math.radians(30), 1.15
    x, y = -12 * size, -7 * size
    x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    assert measure(moved) == pytest.approx((x + 4, y - 6.4, size**2), abs=0.02)


def test_all_slices_and_channels_move_alike():
    plane = torch.randn(1, 1, 1, 30, 30)
    volume = plane * torch.linspace(1, 2, 6).reshape(1, 2, 3, 1, 1)
    moved = Affine(**(NOTHING | {"rotate_deg": 20.0, "shift": 0.1}))(
        volume, torch.ones(1, 3, dtype=torch.bool), CaseGenerator([4])
    )
    back = moved / torch.linspace(1, 2, 6).reshape(1, 2, 3, 1, 1)
    torch.testing.assert_close(back, back[:, :1, :1].expand_as(back), rtol=1e-4, atol=1e-5)
    assert (back[0, 0, 0] - plane[0, 0, 0]).abs().max() > 0.1


def test_with_every_option_at_zero_nothing_changes():
    volume = 50 * torch.randn(3, 2, 4, 33, 50)
    mask = torch.ones(3, 4, dtype=torch.bool)
    changed = Affine(**NOTHING)(volume, mask, CaseGenerator(range(3)))
    torch.testing.assert_close(changed, volume, rtol=1e-5, atol=5e-3)


def test_brightness_and_contrast_are_in_units_of_the_case_and_channel():
    volume = torch.randn(1, 2, 2, 8, 8) * torch.tensor([5.0, 300.0])[:, None, None, None] + 70
    options = {"brightness": 0.4, "contrast": 0.5}
    changed = run(options, Loaded(0, 0, 0, 0, 0.5, -0.5), volume).double().numpy()
    for channel in range(2):
        plane = volume[0, channel].double().numpy()
        # The amounts come in the order brightness, contrast.
        expected = plane.mean() + 0.75 * (plane - plane.mean()) + 0.2 * plane.std()
        np.testing.assert_allclose(changed[0, channel], expected, rtol=1e-4, atol=1e-2)


def test_padding_counts_for_neither_mean_nor_spread():
    volume = torch.randn(1, 1, 4, 8, 8) + 70
    volume[:, :, 2:] = 0
    mask = torch.tensor([[True, True, False, False]])
    augmentation = Affine(**(NOTHING | {"brightness": 5.0, "contrast": 1.0}))
    changed = augmentation(volume, mask, CaseGenerator([3]))
    alone = augmentation(volume[:, :, :2], mask[:, :2], CaseGenerator([3]))
    torch.testing.assert_close(changed[:, :, :2], alone)
    assert not changed[:, :, 2:].any()


def test_draws_fill_the_ranges_asked_for():
    cases = 400
    volume = blob(0, 0).expand(cases, -1, -1, -1, -1)
    mask = torch.ones(cases, 2, dtype=torch.bool)
    moved = Affine(**(NOTHING | {"shift": 0.1}))(volume, mask, CaseGenerator(range(cases)))
    x, y, _ = np.array([measure(case[None]) for case in moved]).T
    for drawn, limit in ((x, 8.0), (y, 6.4)):
        assert -limit - 0.02 < drawn.min() < -0.97 * limit
        assert 0.97 * limit < drawn.max() < limit + 0.02
        assert abs(drawn.mean()) < 0.12 * limit
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.15


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("flip=2", "flip must be from 0 to 1, but got flip=2"),
        ("rotate_deg=-5", "rotate_deg must be from 0 to 180, but got rotate_deg=-5"),
        ("scale=1", "scale must be from 0 to 0.9, but got scale=1"),
        ("shift=1.1", "shift must be from 0 to 1, but got shift=1.1"),
        ("brightness=-1", "brightness must be from 0 to 10, but got brightness=-1"),
        ("contrast=1.5", "contrast must be from 0 to 1, but got contrast=1.5"),
    ],
)
def test_options_out_of_range_are_refused(spec, message):
    with pytest.raises(SpecError) as caught:
        augmentations.build(f"affine({spec})", Augmentation)
    assert str(caught.value) == f"augmentation affine({spec}): {message}"
