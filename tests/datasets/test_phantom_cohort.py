"""The phantom's patients against Table 1 of Lee et al. (2022), class by class in version 1."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy import integrate, stats

from volbench.datasets.phantom import Phantom
from volbench.datasets.phantom.cohort import (
    PIXEL_SPACING_MM,
    SLICE_THICKNESS_MM,
    TUMOUR_VOLUME_CM3,
    draw_patient,
)
from volbench.datasets.phantom.difficulty import Difficulty
from volbench.errors import SpecError
from volbench.interfaces import Dataset
from volbench.plugins.registry import datasets

# mean and standard deviation, T2 then T3
TABLE_1 = {
    "tumour volume": (TUMOUR_VOLUME_CM3, {"T2": (3.32, 5.21), "T3": (9.30, 10.49)}),
    "slice thickness": (SLICE_THICKNESS_MM, {"T2": (3.10, 0.41), "T3": (3.11, 0.43)}),
    "pixel spacing": (PIXEL_SPACING_MM, {"T2": (0.443, 0.069), "T3": (0.437, 0.069)}),
}


@pytest.fixture(scope="module", params=[0, 1])
def cohort(request):
    volumes = Phantom(patients=567, seed=request.param, version=1).volumes
    return [volume.patient for volume in volumes]


@pytest.mark.parametrize("row", TABLE_1)
@pytest.mark.parametrize("label", ["T2", "T3"])
def test_distributions_have_the_moments_of_table_1(row, label):
    distribution, expected = TABLE_1[row][0][label], TABLE_1[row][1][label]
    low, high = math.log(distribution.low), math.log(distribution.high)
    normal = stats.norm(distribution.mu, distribution.sigma)
    mass = normal.cdf(high) - normal.cdf(low)

    def moment(power):
        return integrate.quad(lambda x: math.exp(power * x) * normal.pdf(x), low, high)[0] / mass

    mean = moment(1)
    assert mean == pytest.approx(expected[0], rel=1e-4)
    assert math.sqrt(moment(2) - mean**2) == pytest.approx(expected[1], rel=1e-4)


def test_quantiles_are_those_of_the_cut_lognormal():
    distribution = TUMOUR_VOLUME_CM3["T3"]
    reference = stats.lognorm(distribution.sigma, scale=math.exp(distribution.mu))
    low, high = reference.cdf(distribution.low), reference.cdf(distribution.high)
    for fraction in (0.001, 0.25, 0.5, 0.75, 0.999):
        expected = reference.ppf(low + fraction * (high - low))
        assert distribution.quantile(fraction) == pytest.approx(expected, rel=1e-6)


def test_the_cohort_has_168_t2_and_399_t3(cohort):
    assert Counter(patient.label for patient in cohort) == {"T2": 168, "T3": 399}


@pytest.mark.parametrize("label", ["T2", "T3"])
def test_the_cohort_has_the_figures_of_table_1(cohort, label):
    chosen = [patient for patient in cohort if patient.label == label]
    found = {
        "tumour volume": [patient.tumour_volume_cm3 for patient in chosen],
        "slice thickness": [patient.slice_thickness_mm for patient in chosen],
        "pixel spacing": [patient.field_of_view_mm / 256 for patient in chosen],
    }
    for row, values in found.items():
        mean, std = TABLE_1[row][1][label]
        # One large tumour among 168 moves the mean by a tenth and the deviation by a fifth.
        heavy = row == "tumour volume" and label == "T2"
        assert np.mean(values) == pytest.approx(mean, rel=0.08 if heavy else 0.03), row
        assert np.std(values) == pytest.approx(std, rel=0.20 if heavy else 0.06), row


def test_the_cohort_was_scanned_as_in_table_1(cohort):
    vendors = Counter(patient.scanner.vendor for patient in cohort)
    fields = Counter(patient.scanner.field_strength for patient in cohort)
    for name, expected in {"GE": 97, "Philips": 468, "Siemens": 2}.items():
        assert abs(vendors[name] - expected) <= 3, vendors
    for name, expected in {"1.5T": 77, "3T": 490}.items():
        assert abs(fields[name] - expected) <= 3, fields


def test_the_scanner_tells_little_about_the_class(cohort):
    table = Counter((patient.scanner.field_strength, patient.label) for patient in cohort)
    shares = [table["1.5T", label] / number for label, number in {"T2": 168, "T3": 399}.items()]
    assert abs(shares[0] - shares[1]) < 0.05  # 13.7 % and 13.5 % in Table 1


def test_more_patients_do_not_change_the_first_ones():
    few, many = Phantom(patients=7), Phantom(patients=70)
    assert many.cases()[:7] == few.cases()


def test_another_seed_is_another_cohort():
    first, second = Phantom(patients=20), Phantom(patients=20, seed=1)
    volumes = [{v.patient.tumour_volume_cm3 for v in p.volumes} for p in (first, second)]
    assert not volumes[0] & volumes[1]


@pytest.mark.parametrize("slices", [(1, 1), (2, 2), (3, 3), (5, 10), (24, 24)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_representative_slices_are_one_to_three_neighbours_inside_the_stack(slices, value):
    for index in range(60):
        patient = draw_patient(0, index, slices=slices, difficulty=Difficulty(value))
        assert slices[0] <= patient.slices <= slices[1]
        assert 1 <= len(patient.deepest) <= min(3, patient.slices)
        first = patient.deepest[0]
        assert patient.deepest == tuple(range(first, first + len(patient.deepest)))
        assert first >= 0
        assert patient.deepest[-1] < patient.slices


def test_both_classes_show_the_front_on_as_many_slices_and_in_the_same_place():
    patients = [volume.patient for volume in Phantom(patients=1000, slices=8).volumes]
    for figure in (lambda p: len(p.deepest), lambda p: p.deepest[0], lambda p: p.slices):
        values = {name: [figure(p) for p in patients if p.label == name] for name in ("T2", "T3")}
        assert stats.ks_2samp(values["T2"], values["T3"]).pvalue > 0.01


def test_easy_shows_two_or_three_slices_and_hard_one():
    numbers = {
        value: {len(v.patient.deepest) for v in Phantom(patients=60, difficulty=value).volumes}
        for value in (0.0, 1.0)
    }
    assert numbers == {0.0: {2, 3}, 1.0: {1}}


def test_cases_carry_what_a_benchmark_needs():
    phantom = datasets.build("phantom(patients=40, seed=3)", Dataset)
    cases = phantom.cases()
    assert phantom.classes == ("T2", "T3")
    assert phantom.native_size == 32
    assert len({case.name for case in cases}) == len({case.patient for case in cases}) == 40
    assert all(set(case.strata) == {"site", "vendor", "field_strength"} for case in cases)
    assert len({case.strata["site"] for case in cases}) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("patients=1", "patients must be a whole number between 2 and 100000, but got patients=1"),
        ("size=8", "size must be a whole number between 16 and 1024, but got size=8"),
        ("version=3", "version must be a whole number between 1 and 2, but got version=3"),
        ("slices=0", "slices must be a whole number between 1 and 200, but got slices=0"),
        ("slices=(9, 5)", "slices must be a whole number between 9 and 200, but got slices=5"),
        ("seed=-1", "seed must be a whole number between 0 and"),
        ("difficulty=1.5", "difficulty must be between 0 and 1, but got difficulty=1.5"),
        ("difficulty=True", "difficulty must be a number, but got difficulty=True"),
        ("difficulty='hard'", "difficulty must be a number, but got difficulty='hard'"),
        ("patients=2.5", "patients must be a whole number, but got patients=2.5"),
        ("slices='few'", "slices must be a whole number or (a whole number, a whole number), but"),
        ("slices=(1, 2, 3)", "but got slices=(1, 2, 3)"),
    ],
)
def test_a_figure_of_the_wrong_kind_or_out_of_range_is_named(arguments, message):
    with pytest.raises(SpecError) as caught:
        datasets.build(f"phantom({arguments})", Dataset)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
