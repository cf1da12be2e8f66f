import numpy as np
import pytest

from volbench.data.preprocessing.n4 import correct_bias, log_bias_field
from volbench.data.preprocessing.operations import preprocess
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import DataError
from volbench.types import Scan

SPACING_MM = (6.0, 3.0, 3.0)


def head(shape=(6, 48, 48), *, slope=(0.3, 0.3, 0.0), tissue_seed=0):
    """A two-tissue ellipsoid under a known log field: the volume, the field, the ellipsoid."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = (x / 0.85) ** 2 + (y / 0.9) ** 2 + (z / 1.4) ** 2 < 1
    tissue = np.where(np.sin(9 * x + 2 * z) * np.sin(8 * y) > 0, 160.0, 100.0) * inside
    field = slope[0] * x - slope[1] * y**2 + slope[2] * z
    field -= field[inside].mean()
    noise = np.random.default_rng(tissue_seed).normal(0, 3, (2, *shape))
    volume = np.hypot(tissue * np.exp(field) + noise[0], noise[1])
    return volume.astype(np.float32), field, inside


@pytest.mark.parametrize(
    "slope", [(0.3, 0.3, 0.0), (0.0, 0.0, 0.25)], ids=["in-plane", "through-plane"]
)
def test_a_known_field_is_recovered(slope):
    volume, field, inside = head(slope=slope)
    found = log_bias_field(volume, SPACING_MM, shrink=2)
    assert found.shape == volume.shape
    before = field[inside].std()
    after = (found - field)[inside].std()
    assert before > 0.1
    assert after < before / 3


def test_shrinking_in_plane_hardly_changes_the_field():
    volume, _, inside = head((6, 64, 64))
    coarse, fine = (log_bias_field(volume, SPACING_MM, shrink=shrink) for shrink in (2, 1))
    apart = (coarse - fine)[inside]
    assert np.abs(apart - apart.mean()).mean() < 0.01


def test_the_volume_is_divided_by_the_field_at_full_size():
    volume, _, _ = head()
    field = log_bias_field(volume, SPACING_MM, shrink=4)
    exact = volume.astype(np.float64) / np.exp(field.astype(np.float64))
    assert np.allclose(correct_bias(volume, SPACING_MM, shrink=4), exact, rtol=1e-5)


def test_the_same_volume_has_the_same_field():
    volume, _, _ = head()
    once, again = (log_bias_field(volume, SPACING_MM, shrink=4) for _ in range(2))
    assert np.array_equal(once, again)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_few_slices_are_enough(depth):
    volume, field, inside = (part[:depth] for part in head((5, 64, 64)))
    found = log_bias_field(volume, SPACING_MM, shrink=2)
    apart = (found - field)[inside]
    assert apart.std() < 0.7 * field[inside].std()


def test_shrinking_stops_before_nothing_is_left_to_estimate_from():
    volume = np.random.default_rng(0).uniform(50, 100, (4, 17, 20)).astype(np.float32)
    fields = [log_bias_field(volume, SPACING_MM, shrink=shrink) for shrink in (2, 4, 16)]
    assert fields[0].any()
    assert np.array_equal(fields[0], fields[1])
    assert np.array_equal(fields[0], fields[2])


def test_slices_of_a_few_pixels_are_left_alone():
    volume = np.random.default_rng(0).uniform(50, 100, (4, 7, 30)).astype(np.float32)
    assert np.array_equal(correct_bias(volume, SPACING_MM), volume)


def test_a_volume_without_contrast_is_left_alone():
    volume = np.full((3, 8, 8), 7, np.float32)
    assert np.array_equal(correct_bias(volume, SPACING_MM), volume)


def test_hounsfield_units_are_refused():
    volume = np.full((3, 8, 8), -1000, np.float32)
    with pytest.raises(DataError, match=r"lowest is -1000; .*preprocessing.n4=false"):
        correct_bias(volume, SPACING_MM)


def test_preprocessing_corrects_every_channel_before_it_crops():
    volume, _, inside = head((3, 32, 32))
    image = np.stack([volume, volume[:, ::-1]])
    mask = inside & (np.arange(32) > 20)
    options = Preprocessing(size=20, crop="roi", n4=True, n4_shrink=2, normalize="none")
    done = preprocess(Scan(image, SPACING_MM, mask), options)
    corrected = np.stack([correct_bias(channel, SPACING_MM, shrink=2) for channel in image])
    plain = Preprocessing(size=20, crop="roi", normalize="none")
    assert np.array_equal(done.image, preprocess(Scan(corrected, SPACING_MM, mask), plain).image)
