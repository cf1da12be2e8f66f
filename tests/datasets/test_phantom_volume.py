"""The phantom's volumes: what they show, and that they show nothing by accident."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from volbench.datasets.phantom import Phantom, PhantomVolume
from volbench.datasets.phantom.anatomy import ANGLES, PLANES_PER_SLICE
from volbench.datasets.phantom.fields import smooth_field


def volumes_of(label, **options):
    return [v for v in Phantom(**options).volumes if v.patient.label == label]


@pytest.fixture(scope="module")
def easy():
    return PhantomVolume(seed=0, index=0, size=64, slices=(8, 8), difficulty=0.0)


def test_a_volume_has_the_shape_and_the_spacing_of_its_patient(easy):
    scan, patient = easy.render(), easy.patient
    assert scan.image.shape == (1, 8, 64, 64)
    assert scan.image.dtype == np.float32
    assert scan.mask.shape == (8, 64, 64)
    pixel = patient.field_of_view_mm / 64
    assert scan.spacing_mm == pytest.approx((patient.slice_thickness_mm, pixel, pixel))
    assert scan.representative == patient.deepest


def test_voxels_are_whole_numbers_that_fit_sixteen_bits(easy):
    image = easy.render().image
    assert np.array_equal(image, image.astype(np.int16))
    assert image.min() >= 0
    assert image.std() > 50


def test_the_same_parameters_give_the_same_voxels_in_another_process(easy):
    again = pickle.loads(pickle.dumps(easy))
    assert again == easy
    assert np.array_equal(again.render().image, easy.render().image)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"index": 1},
        {"size": 32},
        {"slices": (8, 9)},
        {"difficulty": 0.01},
        {"version": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_covers_every_parameter(easy, change):
    assert replace(easy, **change).fingerprint() != easy.fingerprint()


@pytest.mark.parametrize(("size", "slices"), [(16, 1), (33, 2), (48, 12)])
def test_any_size_and_any_number_of_slices_renders(size, slices):
    scan = PhantomVolume(seed=5, index=3, size=size, slices=(slices, slices), difficulty=1).render()
    assert scan.image.shape == (1, slices, size, size)
    assert np.isfinite(scan.image).all()


def test_the_same_patient_at_another_size_is_the_same_picture():
    small = PhantomVolume(seed=2, index=4, size=32, slices=(6, 6), difficulty=0.0)
    fine = replace(small, size=128).render().image[0]
    coarse = small.render().image[0]
    averaged = fine.reshape(6, 32, 4, 32, 4).mean(axis=(2, 4))
    assert np.corrcoef(averaged.ravel(), coarse.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_only_t3_breaks_through_the_wall_and_only_near_representative_slices(difficulty):
    for volume in Phantom(patients=16, slices=12, difficulty=difficulty, version=1).volumes:
        anatomy = volume.anatomy()
        beyond = (anatomy.tumour_outer - anatomy.muscularis).max(axis=1)
        beyond = beyond.reshape(12, PLANES_PER_SLICE)
        if volume.patient.label == "T2":
            assert beyond.max() < 0
        else:
            shown = set(np.flatnonzero((beyond > 0.5).sum(axis=1) > PLANES_PER_SLICE / 2))
            assert shown == set(volume.patient.deepest)


def test_a_t2_tumour_leaves_muscularis_outside_it():
    for volume in volumes_of("T2", patients=20, slices=8, difficulty=1.0, version=1):
        anatomy = volume.anatomy()
        left = anatomy.muscularis - np.maximum(anatomy.tumour_outer, anatomy.submucosa)
        assert left.min() > 0.05


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_the_tumour_has_the_volume_that_was_drawn(difficulty):
    for volume in Phantom(patients=20, slices=8, difficulty=difficulty).volumes:
        drawn = volume.patient.tumour_volume_cm3
        assert volume.anatomy().tumour_volume_mm3 / 1000 == pytest.approx(drawn, rel=0.02)


def test_the_measured_volume_is_that_of_the_voxels():
    """Counts fine voxels between the contours, in a stack long enough for the whole tumour."""
    volume = PhantomVolume(0, 0, size=32, slices=(40, 40), difficulty=0.5, version=1)
    anatomy, patient = volume.anatomy(), volume.patient
    step = 0.25
    grid = np.arange(-60, 60, step) + step / 2
    rows, columns = np.meshgrid(grid, grid, indexing="ij")
    radius = np.hypot(rows, columns)
    column = ((np.arctan2(rows, columns) + np.pi) / (2 * np.pi) * ANGLES).astype(int) % ANGLES
    counted = sum(
        ((radius >= inner[column]) & (radius < outer[column])).sum()
        for inner, outer in zip(anatomy.tumour_inner, anatomy.tumour_outer, strict=True)
    )
    plane_mm = patient.slice_thickness_mm / PLANES_PER_SLICE
    assert counted * step**2 * plane_mm == pytest.approx(anatomy.tumour_volume_mm3, rel=0.03)


def test_contours_are_nested():
    for volume in Phantom(patients=20, difficulty=1.0).volumes:
        anatomy = volume.anatomy()
        assert (anatomy.lumen > 0).all()
        assert (anatomy.lumen < anatomy.submucosa).all()
        assert (anatomy.submucosa < anatomy.muscularis).all()
        assert (anatomy.muscularis < anatomy.fascia).all()
        assert (anatomy.tumour_inner > 0).all()


def test_the_region_of_interest_is_rectum_and_tumour():
    """In version 1, within the outer of two contours; its area is counted on a fine grid."""
    volume = PhantomVolume(0, 0, size=128, slices=(8, 8), difficulty=0.0, version=1)
    scan, anatomy = volume.render(), volume.anatomy()
    outline = np.maximum(anatomy.muscularis, anatomy.tumour_outer)
    areas = (outline**2).sum(axis=1) / 2 * (2 * np.pi / ANGLES)
    expected = areas.reshape(8, PLANES_PER_SLICE).mean(axis=1)
    found = scan.mask.sum(axis=(1, 2)) * scan.spacing_mm[1] * scan.spacing_mm[2]
    assert found == pytest.approx(expected, rel=0.05)


def test_tissues_have_the_order_of_a_t2_weighted_image():
    """Fat is brighter than tumour, and tumour brighter than muscularis."""
    volume = PhantomVolume(seed=0, index=0, size=256, slices=(6, 6), difficulty=1.0)
    image, anatomy = volume.render().image[0], volume.anatomy()
    at = volume.patient.deepest[0] * PLANES_PER_SLICE + PLANES_PER_SLICE // 2
    slice_image = image[volume.patient.deepest[0]]
    pixel = volume.patient.field_of_view_mm / 256
    angles = (np.arange(ANGLES) + 0.5) * (2 * np.pi / ANGLES) - np.pi

    def sample(radius, chosen):
        rows, columns = (
            (wave(angles[chosen]) * radius[chosen] + centre) / pixel + 127.5
            for wave, centre in zip((np.sin, np.cos), anatomy.axis_mm[at], strict=True)
        )
        return np.median(slice_image[np.rint(rows).astype(int), np.rint(columns).astype(int)])

    inner, outer = anatomy.tumour_inner[at], anatomy.tumour_outer[at]
    thick = outer - inner > 3
    healthy = outer - inner < 0.1
    assert thick.sum() > 10
    assert healthy.sum() > 10
    ring = (anatomy.submucosa[at] + anatomy.muscularis[at]) / 2
    fat = (anatomy.muscularis[at] + anatomy.fascia[at]) / 2
    muscle = sample(ring, healthy)
    assert muscle < 0.6 * sample((inner + outer) / 2, thick)
    assert sample((inner + outer) / 2, thick) < 0.8 * sample(fat, healthy)


def test_strands_do_not_depend_on_the_class():
    """Drawn from the same stream whatever the label, and as many in either class."""
    counts = {
        label: np.mean(
            [len(v.anatomy().strands) for v in volumes_of(label, patients=60, difficulty=0.5)]
        )
        for label in ("T2", "T3")
    }
    expected = 8.5 + 3.5 + 2.15 + 4.5  # the means of four Poisson distributions
    assert counts["T2"] == pytest.approx(expected, abs=3.5 * np.sqrt(expected / 18))
    assert counts["T3"] == pytest.approx(expected, abs=3.5 * np.sqrt(expected / 42))


def test_noise_is_rician_and_as_strong_as_asked():
    """Where there is no signal its mean is that of a Rayleigh distribution."""
    volume = PhantomVolume(seed=0, index=0, size=64, slices=(6, 6), difficulty=1.0)
    patient = volume.patient
    from volbench.datasets.phantom import render

    stored = render._acquire(
        np.zeros((6, 64, 64)),
        patient,
        render.Difficulty(1.0),
        np.random.default_rng(0),
        np.linspace(-50, 50, 64),
    )
    sigma = 0.06 * patient.scanner.noise * patient.scanner.gain
    assert stored.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.03)
    assert stored.std() == pytest.approx(sigma * np.sqrt(2 - np.pi / 2), rel=0.03)


def test_smooth_fields_have_unit_variance_and_the_asked_correlation():
    """White noise blended with weights of deviation c has correlation exp(-d^2 / 4 c^2)."""
    at = np.linspace(-200, 200, 401)
    options = {"extent_mm": (4.0, 400.0, 400.0), "correlation_mm": (3.0, 4.0, 4.0)}
    positions = (np.array([0.0]), at, at)
    field = smooth_field(np.random.default_rng(0), positions, **options)[0]
    assert field.mean() == pytest.approx(0, abs=0.1)
    assert field.var() == pytest.approx(1, abs=0.1)
    for distance in (2, 4, 8):
        found = (field[:, :-distance] * field[:, distance:]).mean() / field.var()
        assert found == pytest.approx(np.exp(-(distance**2) / (4 * 4.0**2)), abs=0.06)


@pytest.mark.slow
def test_a_full_size_volume_renders_in_seconds():
    import time

    volume = PhantomVolume(seed=0, index=0, size=256, slices=(24, 24), difficulty=1.0)
    start = time.process_time()
    volume.render()
    assert time.process_time() - start < 5
