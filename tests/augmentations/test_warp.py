"""The composed warp against the steps one after the other, in NumPy and SciPy, float64."""

import dataclasses

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import torch

from volbench.augmentations.warp import Warp, warp

HEIGHT, WIDTH, CELLS, SMOOTH = 36, 44, 4, 0.12


def nothing(cases=1):
    zero = np.zeros(cases)
    return Warp(
        corners=np.zeros((cases, 3, 2)),
        elastic=zero,
        optical=zero,
        stretch=np.zeros((cases, 2, CELLS)),
        growth=zero,
        angle=zero,
        right=zero,
        down=zero,
        top=zero.astype(int),
        left=zero.astype(int),
        mirrored=zero > 0,
    )


def everything(seed=0, cases=2):
    generator = np.random.default_rng(seed)

    def amount(limit, *shape):
        return generator.uniform(-limit, limit, (cases, *shape))

    return Warp(
        corners=amount(0.1, 3, 2),
        elastic=np.abs(amount(0.05)),
        optical=amount(0.3),
        stretch=amount(0.3, 2, CELLS),
        growth=amount(0.3),
        angle=amount(0.5),
        right=amount(0.1),
        down=amount(0.1),
        top=generator.integers(0, 5, cases),
        left=generator.integers(0, 5, cases),
        mirrored=np.arange(cases) % 2 == 0,
    )


def field(noise):
    """The elastic displacement by the inverse cosine transform of damped noise."""
    waves = np.arange(32)
    damping = np.exp(-((np.pi * SMOOTH * waves) ** 2) / 2)
    spectrum = np.zeros((2, HEIGHT, WIDTH))
    spectrum[:, :32, :32] = noise * damping[:, None] * damping
    gain = 2 * np.sqrt(np.pi) * SMOOTH * np.sqrt(HEIGHT * WIDTH)
    return gain * scipy.fft.idctn(spectrum, axes=(1, 2), norm="ortho")


def read(image, x, y):
    return scipy.ndimage.map_coordinates(
        image,
        [y + (image.shape[0] - 1) / 2, x + (image.shape[1] - 1) / 2],
        order=1,
        mode="nearest",
    )


def along_cells(places, factors, side):
    edges = np.linspace(-side / 2, side / 2, len(factors) + 1)
    stretched = np.concatenate([[0], np.cumsum(side / len(factors) * (1 + factors))])
    inside = np.clip(places, edges[0], edges[-1])
    moved = np.interp(inside, edges, stretched) - np.interp(0, edges, stretched)
    return moved + places - inside


def step_by_step(drawn, case, noise, window):
    """Where each pixel of the result is read: (x, y) from the centre of the slice."""
    y, x = np.indices(window, dtype=float)
    if drawn.mirrored[case]:
        x = window[1] - 1 - x
    x = x + drawn.left[case] - (WIDTH - 1) / 2
    y = y + drawn.top[case] - (HEIGHT - 1) / 2
    x, y = x - drawn.right[case] * WIDTH, y - drawn.down[case] * HEIGHT
    turn = np.exp(-1j * drawn.angle[case])
    place = (x + 1j * y) * turn / (1 + drawn.growth[case])
    x, y = place.real, place.imag
    square = (x / WIDTH) ** 2 + (y / HEIGHT) ** 2
    factor = 1 + drawn.optical[case] * (square + square**2)
    x, y = x * factor, y * factor
    x = along_cells(x, drawn.stretch[case, 0], WIDTH)
    y = along_cells(y, drawn.stretch[case, 1], HEIGHT)
    across, along = drawn.elastic[case] * min(HEIGHT, WIDTH) * field(noise)
    x, y = x + read(across, x, y), y + read(along, x, y)
    reach = min(HEIGHT, WIDTH) / 3
    corners = reach * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = corners + drawn.corners[case] * min(HEIGHT, WIDTH)
    affine = np.linalg.solve(np.c_[corners, np.ones(3)], moved)
    x, y = np.moveaxis(np.stack([x, y, np.ones_like(x)], axis=-1) @ affine, -1, 0)
    return x, y


def only(**kept):
    return dataclasses.replace(nothing(2), **kept)


ALL = everything()
STEPS = {
    name: only(**{name: getattr(ALL, name)})
    for name in (entry.name for entry in dataclasses.fields(Warp))
}


@pytest.mark.parametrize(
    "drawn", [*STEPS.values(), ALL, everything(1)], ids=[*STEPS, "everything", "again"]
)
def test_one_interpolation_does_what_the_steps_do(drawn):
    generator = np.random.default_rng(3)
    volume = generator.standard_normal((2, 2, 2, HEIGHT, WIDTH))
    noise = generator.standard_normal((2, 2, 32, 32))
    window = (30, 38)
    found = warp(
        torch.from_numpy(volume),
        drawn,
        torch.from_numpy(noise).float(),
        window=window,
        smooth=SMOOTH,
    )
    assert found.shape == (2, 2, 2, *window)
    for case in range(2):
        x, y = step_by_step(drawn, case, noise[case], window)
        for index in np.ndindex(2, 2):
            # Positions are in float32: off by up to a ten-thousandth of a pixel.
            np.testing.assert_allclose(
                found[case][index].numpy(), read(volume[case][index], x, y), atol=2e-3
            )


@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -2), (5, 4)])
def test_a_shift_by_whole_pixels_is_slicing(right, down):
    volume = torch.randn(1, 1, 2, HEIGHT, WIDTH)
    drawn = dataclasses.replace(
        nothing(), right=np.array([right / WIDTH]), down=np.array([down / HEIGHT])
    )
    noise = torch.zeros(1, 2, 32, 32)
    moved = warp(volume, drawn, noise, window=(HEIGHT, WIDTH), smooth=SMOOTH)
    rows = slice(max(down, 0), HEIGHT + min(down, 0))
    came_from = slice(max(-down, 0), HEIGHT + min(-down, 0))
    torch.testing.assert_close(
        moved[..., rows, right:], volume[..., came_from, : WIDTH - right], rtol=0, atol=1e-4
    )


def test_a_window_of_a_case_that_nothing_moves_is_the_case_itself():
    volume = torch.randn(3, 1, 2, HEIGHT, WIDTH)
    drawn = dataclasses.replace(
        nothing(3),
        top=np.array([0, 4, 6]),
        left=np.array([7, 0, 3]),
        mirrored=np.array([False, True, False]),
    )
    noise = torch.zeros(3, 2, 32, 32)
    cut = warp(volume, drawn, noise, window=(30, 36), smooth=SMOOTH)
    assert torch.equal(cut[0], volume[0, ..., 0:30, 7:43])
    assert torch.equal(cut[2], volume[2, ..., 6:36, 3:39])
    torch.testing.assert_close(cut[1], volume[1, ..., 4:34, 0:36].flip(-1), rtol=0, atol=1e-4)
