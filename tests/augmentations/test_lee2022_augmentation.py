import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from volbench._utils.case_generator import CaseGenerator
from volbench.augmentations.blur import box_kernel, convolve, gaussian_kernel
from volbench.augmentations.lee2022 import Lee2022
from volbench.errors import SpecError
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations
from volbench.testing.augmentations import AugmentationContract

ALWAYS = (
    "p=1, elastic_p=1, distortion_p=1, move_p=1, flip=1, clahe_p=1, shade_p=1, blur_p=1, "
    "elastic=0.02"
)


class TestEveryStepAtOnce(AugmentationContract):
    spec = f"rectal({ALWAYS}, optical_weight=0)"


class TestTheOtherChoices(AugmentationContract):
    spec = f"rectal({ALWAYS}, grid_weight=0, crop=1, motion_weight=0, median_weight=0, box=True)"


class TestTheMedian(AugmentationContract):
    spec = f"rectal({ALWAYS}, crop=0.5, motion_weight=0, gaussian_weight=0, median=5)"


STEPS = ("elastic_p", "distortion_p", "move_p", "flip", "clahe_p", "shade_p", "blur_p")
NOTHING = {"p": 1.0} | dict.fromkeys(STEPS, 0.0)
STILL = {"elastic": 0, "elastic_corners": 0, "optical": 0, "grid": 0, "shift": 0, "scale": 0}
STILL |= {"rotate_deg": 0, "crop": 1, "flip": 0, "clahe": 0, "brightness": 0, "contrast": 0}
STILL |= {"motion": 1, "median": 1, "gaussian": 1}


def run(volume, seeds=None, **options):
    mask = torch.ones(len(volume), volume.shape[2], dtype=torch.bool)
    seeds = range(len(volume)) if seeds is None else seeds
    return Lee2022(**options)(volume, mask, CaseGenerator(seeds))


def test_the_defaults_are_those_of_the_released_code():
    rectal = Lee2022()
    # Of 270 pixels, 256 are kept and three points move by up to 5. An alpha of 20 with a sigma of
    # 50 is a deviation of alpha / sqrt(3) / (2 sqrt(pi) sigma) pixels.
    assert rectal._window(torch.empty(1, 1, 1, 270, 270)) == (256, 256)
    assert 270 * rectal.elastic_corners == pytest.approx(5)
    deviation = 20 / np.sqrt(3) / (2 * np.sqrt(np.pi) * 50)
    assert 270 * rectal.elastic == pytest.approx(deviation, rel=0.01)
    assert 270 * rectal.elastic_smooth == pytest.approx(50)
    assert rectal.distortions == pytest.approx((0.9 / 1.4, 0.5 / 1.4))
    assert rectal.blurs == pytest.approx((0.9 / 1.9, 0.5 / 1.9, 0.5 / 1.9))


def test_with_every_strength_at_zero_nothing_changes():
    volume = 50 * torch.randn(3, 2, 4, 33, 50)
    assert torch.equal(run(volume, **(STILL | dict.fromkeys(("p", *STEPS[:3]), 1.0))), volume)
    again = run(volume, p=1.0, clahe_p=1.0, shade_p=1.0, blur_p=1.0, **STILL)
    assert torch.equal(again, volume)


def test_with_every_probability_at_zero_only_the_window_is_drawn():
    volume = torch.randn(300, 1, 1, 20, 40)
    for options in ({"p": 0.0}, NOTHING):
        windows = run(volume, crop=0.9, **options)
        assert windows.shape == (300, 1, 1, 18, 36)
        places = []
        for case, window in zip(volume, windows, strict=True):
            found = [
                (top, left)
                for top in range(3)
                for left in range(5)
                if torch.equal(case[..., top : top + 18, left : left + 36], window)
            ]
            assert len(found) == 1
            places += found
        counts = np.histogram2d(*np.transpose(places), bins=(3, 5), range=((0, 3), (0, 5)))[0]
        # 20 expected in each of 15 places; the 99.9 % point of chi-squared with 14 is 36.1.
        assert ((counts - 20) ** 2 / 20).sum() < 36.1


def test_evaluation_sees_the_middle_window():
    volume = torch.randn(2, 1, 3, 27, 54)
    np.testing.assert_array_equal(Lee2022().eval_view(volume), volume[..., 0:26, 1:52])
    np.testing.assert_array_equal(Lee2022(crop=0.5).eval_view(volume), volume[..., 6:20, 13:40])
    assert torch.equal(Lee2022(crop=1).eval_view(volume), volume)


@given(
    height=st.integers(16, 40),
    width=st.integers(16, 40),
    crop=st.floats(0.25, 1),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=20, deadline=None)
def test_training_and_evaluation_see_the_same_size(height, width, crop, seed):
    volume = torch.rand(1, 1, 2, height, width)
    still = Lee2022(crop=crop).eval_view(volume)
    assert run(volume, [seed], crop=crop).shape == still.shape
    assert still.shape[3:] == (round(crop * height), round(crop * width))


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({"flip": 0.5}, 0.5),
        ({"flip": 0.3, "p": 0.6}, 0.18),
        ({"elastic_p": 0.9}, 0.9),
        ({"move_p": 0.7}, 0.7),
        ({"move_p": 0.7, "p": 0.9}, 0.63),
        ({"distortion_p": 0.5}, 0.5),
        ({"distortion_p": 0.5, "grid": 0}, 0.5 * 9 / 14),
        ({"distortion_p": 0.5, "optical": 0}, 0.5 * 5 / 14),
        ({"shade_p": 0.8}, 0.8),
        ({"blur_p": 0.1}, 0.1),
        ({"blur_p": 0.3, "median": 1, "gaussian": 1}, 0.3 * 9 / 19),
        ({"blur_p": 0.3, "motion": 1, "gaussian": 1}, 0.3 * 5 / 19),
        ({"blur_p": 0.3, "motion": 1, "median": 1}, 0.3 * 5 / 19),
    ],
)
def test_each_step_is_taken_as_often_as_asked(options, rate):
    cases = 4000
    volume = torch.randn(1, 1, 1, 8, 8).expand(cases, -1, -1, -1, -1)
    changed = run(volume, crop=1, **(NOTHING | options))
    seen = (changed != volume).flatten(1).any(dim=1).double().mean().item()
    assert seen == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / cases))


@pytest.mark.parametrize(
    "options",
    [
        {"distortion_p": 1, "grid": 0},
        {"distortion_p": 1, "optical": 0},
        {"move_p": 1, "scale": 0, "rotate_deg": 0},
        {"move_p": 1, "shift": 0, "rotate_deg": 0},
        {"move_p": 1, "shift": 0, "scale": 0},
    ],
)
def test_each_step_moves_pixels_either_way_as_often(options):
    cases = 1000
    columns = torch.arange(16.0).expand(16, 16)
    volume = columns.expand(cases, 1, 1, 16, 16)
    moved = run(volume, crop=1, **(NOTHING | options))[:, 0, 0, 3, 11] - columns[3, 11]
    moved = moved[moved.abs() > 1e-4]
    assert len(moved) > cases / 4
    assert (moved > 0).double().mean().item() == pytest.approx(0.5, abs=2 / np.sqrt(len(moved)))


def test_equalisation_is_applied_as_often_as_asked():
    volume = torch.rand(1, 1, 1, 16, 16).expand(600, -1, -1, -1, -1)
    changed = run(volume, crop=1, **(NOTHING | {"clahe_p": 0.8}))
    seen = (changed != volume).flatten(1).any(dim=1).double().mean().item()
    assert seen == pytest.approx(0.8, abs=4 * np.sqrt(0.8 * 0.2 / 600))


def test_steps_are_drawn_independently():
    cases = 4000
    volume = torch.arange(12.0).reshape(1, 1, 1, 3, 4).expand(cases, -1, -1, -1, -1)
    changed = run(volume, crop=1, **(NOTHING | {"flip": 0.5, "shade_p": 0.5}))
    mirrored = (changed[..., 0] > changed[..., 1]).flatten(1).all(dim=1).double()
    # The lowest intensity stays, but for brightness; the others do not.
    shaded = (changed.flatten(1).sort(dim=1).values != torch.arange(12.0)).any(dim=1).double()
    both = torch.corrcoef(torch.stack([mirrored, shaded]))[0, 1].item()
    assert abs(both) < 4 / np.sqrt(cases)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"contrast": 0}, (0.1, 0)), ({"brightness": 0}, (0, 0.1)), ({}, (0.1, 0.1))],
)
def test_brightness_and_contrast_are_in_units_of_the_range(options, expected):
    cases = 1000
    case = torch.tensor([20.0, 45, 80, 120])  # a range of 100 above 20
    volume = case.reshape(1, 1, 1, 2, 2).expand(cases, -1, -1, -1, -1)
    changed = run(volume, crop=1, **(NOTHING | {"shade_p": 1} | options)).flatten(1).double()
    brightness = (changed[:, 0] - 20) / 100
    contrast = (changed[:, 3] - changed[:, 0]) / 100 - 1
    for drawn, limit in zip((brightness, contrast), expected, strict=True):
        assert drawn.abs().max() <= limit + 1e-6
        assert drawn.abs().max() >= 0.97 * limit
        assert abs(drawn.mean()) <= 4 * limit / np.sqrt(3 * cases) + 1e-6
    torch.testing.assert_close(
        changed,
        20 + 100 * brightness[:, None] + (1 + contrast[:, None]) * (case.double() - 20),
        rtol=0,
        atol=1e-4,
    )


def test_full_range_8_bit_values_change_as_in_albumentations():
    levels = torch.arange(256.0).reshape(1, 1, 1, 16, 16)
    changed = run(levels, [3], crop=1, **(NOTHING | {"shade_p": 1})).flatten().double().numpy()
    factor = changed[1] - changed[0]
    # factor * value + share * 255, without their rounding and saturation.
    np.testing.assert_allclose(changed, factor * np.arange(256) + changed[0], atol=1e-3)
    assert 0.9 < factor < 1.1
    assert abs(changed[0]) < 25.5


@pytest.mark.parametrize(("box", "kernel"), [(True, box_kernel(3)), (False, gaussian_kernel(3))])
def test_box_says_what_the_third_blur_is(box, kernel):
    volume = torch.randn(2, 1, 2, 12, 12)
    options = {"blur_p": 1, "motion_weight": 0, "median_weight": 0, "box": box}
    blurred = run(volume, crop=1, **(NOTHING | options))
    torch.testing.assert_close(blurred, convolve(volume, kernel))


def test_all_slices_and_channels_move_alike():
    plane = torch.randn(1, 1, 1, 30, 30)
    factors = torch.linspace(1, 2, 6).reshape(1, 2, 3, 1, 1)
    options = {"clahe_p": 0, "shade_p": 0, "p": 1, "elastic": 0.03, "elastic_p": 1}
    moved = run(plane * factors, [4], **options)
    back = moved / factors
    torch.testing.assert_close(back, back[:, :1, :1].expand_as(back), rtol=1e-4, atol=1e-5)
    assert (back[0, 0, 0] - Lee2022().eval_view(plane)[0, 0, 0]).abs().max() > 0.1


def test_changing_one_option_keeps_what_the_others_draw():
    volume = torch.rand(6, 1, 2, 24, 24)
    plain = run(volume, clahe_p=0, blur_p=0)
    for options in ({"grid_cells": 7, "distortion_p": 0}, {"elastic_smooth": 0.5, "elastic_p": 0}):
        removed = {"distortion_p": 0} if "grid_cells" in options else {"elastic_p": 0}
        assert torch.equal(
            run(volume, clahe_p=0, blur_p=0, **options), run(volume, clahe_p=0, blur_p=0, **removed)
        )
    assert not torch.equal(plain, run(volume, clahe_p=0, blur_p=0, distortion_p=0))
    # The same window and mirror images, whatever is done to the intensities.
    shaded = run(volume, clahe_p=0, blur_p=0, shade_p=0)
    for case, other in zip(plain, shaded, strict=True):
        pixels = torch.stack([case.flatten(), other.flatten()])
        assert torch.corrcoef(pixels)[0, 1] > 0.9999


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("p=2", "p must be from 0 to 1, but got p=2"),
        ("elastic=-1", "elastic must be from 0 to 0.2, but got elastic=-1"),
        (
            "elastic_smooth=0.01",
            "elastic_smooth must be from 0.04 to 1, but got elastic_smooth=0.01",
        ),
        ("grid=1", "grid must be from 0 to 0.9, but got grid=1"),
        (
            "grid_cells=0",
            "grid_cells must be a whole number from 1 to 10, but got grid_cells=0",
        ),
        ("crop=0", "crop must be from 0.25 to 1, but got crop=0"),
        ("median=4", "median must be an odd number from 1 (off) to 15, but got median=4"),
        ("motion=17", "motion must be an odd number from 1 (off) to 15, but got motion=17"),
        (
            "grid_weight=0, optical_weight=0",
            "optical_weight, grid_weight must not all be 0; set the probability of all to 0",
        ),
        ("median_weight=-1", "median_weight must be from 0 to 1000, but got median_weight=-1"),
    ],
)
def test_options_out_of_range_are_refused(spec, message):
    with pytest.raises(SpecError) as caught:
        augmentations.build(f"rectal({spec})", Augmentation)
    assert str(caught.value).endswith(f": {message}")
