"""Version 2 of the phantom: the class lies in space alone; and version 1 is still what it was."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.helpers.written_runs import unseal
from volbench.audit import audit, score_audit
from volbench.cli.main import main
from volbench.data.cache.fingerprints import data_digest
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing
from volbench.data.reading import fingerprint
from volbench.data.sources import open_dataset
from volbench.datasets.phantom import Phantom, PhantomVolume, cohort, render
from volbench.datasets.phantom.anatomy import PLANES_PER_SLICE
from volbench.datasets.phantom.difficulty import Difficulty
from volbench.experiment.split_designs import choose_split

DIFFICULTIES = (0.0, 0.1, 0.5, 1.0)


def run_main(arguments):
    """The exit code of a command line."""
    try:
        main(arguments)
    except SystemExit as end:
        return end.code or 0
    return 0


def both(volume):
    """The signal of one patient as a T2 and as a T3, before the scanner adds anything."""
    signals = []

    def keep(signal, *args):
        signals.append(signal)
        return signal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "_acquire", keep)
        scans = [
            render.render_scan(
                replace(volume.patient, label=label),
                volume.anatomy(),
                Difficulty(volume.difficulty),
                np.random.default_rng(0),
                size=volume.size,
            )
            for label in ("T2", "T3")
        ]
    return signals, scans


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_both_classes_have_the_same_values_in_every_slice(difficulty):
    for volume in Phantom(patients=6, difficulty=difficulty).volumes:
        (inside, outside), _ = both(volume)
        for one, other in zip(inside, outside, strict=True):
            assert np.array_equal(np.sort(one, axis=None), np.sort(other, axis=None))
        assert not np.array_equal(inside, outside)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_only_the_slices_of_the_front_differ_between_the_classes(difficulty):
    for volume in Phantom(patients=6, slices=8, difficulty=difficulty).volumes:
        (inside, outside), _ = both(volume)
        differ = {
            number for number in range(8) if not np.array_equal(inside[number], outside[number])
        }
        assert differ
        around = {n + step for n in volume.patient.deepest for step in (-1, 0, 1)}
        assert differ <= around


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_region_of_interest_is_the_wall_in_both_classes(difficulty):
    for volume in Phantom(patients=8, size=64, difficulty=difficulty).volumes:
        _, (as_t2, as_t3) = both(volume)
        assert np.array_equal(as_t2.mask, as_t3.mask)
        squares = (volume.anatomy().muscularis ** 2).sum(axis=1) / 2
        areas = squares * 2 * np.pi / volume.anatomy().muscularis.shape[1]
        expected = areas.reshape(-1, PLANES_PER_SLICE).mean(axis=1)
        pixel_mm2 = as_t2.spacing_mm[1] * as_t2.spacing_mm[2]
        assert as_t2.mask.sum(axis=(1, 2)) * pixel_mm2 == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_front_of_a_t3_is_beyond_the_wall_and_that_of_a_t2_is_not(difficulty):
    """Where the classes differ outside the wall, a T2 looks more like fat."""
    unlike = {"T2": [], "T3": []}
    for volume in Phantom(patients=6, size=64, difficulty=difficulty).volumes:
        (inside, outside), (scan, _) = both(volume)
        changed = (inside != outside) & ~scan.mask
        for label, signal in (("T2", inside), ("T3", outside)):
            unlike[label].append(np.abs(signal[changed] - render.FAT).mean())
    assert np.mean(unlike["T2"]) < 0.6 * np.mean(unlike["T3"])


def test_no_figure_of_a_patient_depends_on_the_class():
    patients = [volume.patient for volume in Phantom(patients=1200, seed=5).volumes]
    figures = {
        "tumour volume": lambda p: p.tumour_volume_cm3,
        "slice thickness": lambda p: p.slice_thickness_mm,
        "field of view": lambda p: p.field_of_view_mm,
        "slices": lambda p: p.slices,
        "deepest": lambda p: len(p.deepest),
        "site": lambda p: cohort.SITES.index(p.site),
        "scanner": lambda p: cohort.SCANNERS.index(p.scanner),
    }
    for name, figure in figures.items():
        values = {
            label: [figure(p) for p in patients if p.label == label] for label in ("T2", "T3")
        }
        assert stats.ks_2samp(values["T2"], values["T3"]).pvalue > 0.01, name


def test_patients_have_the_moments_of_table_1_over_both_classes():
    """168 T2 and 399 T3, e.g. (168 * 3.32 + 399 * 9.30) / 567 cubic centimetres."""
    patients = [volume.patient for volume in Phantom(patients=6000, seed=1).volumes]
    table = {
        "tumour_volume_cm3": (7.528, 9.640),
        "slice_thickness_mm": (3.107, 0.424),
        "field_of_view_mm": (256 * 0.43878, 256 * 0.06905),
    }
    for name, (mean, std) in table.items():
        values = [getattr(patient, name) for patient in patients]
        assert np.mean(values) == pytest.approx(mean, rel=0.04), name
        assert np.std(values) == pytest.approx(std, rel=0.06), name
    shares = {s.vendor: 0 for s in cohort.SCANNERS}
    for patient in patients:
        shares[patient.scanner.vendor] += 1 / 6000
    assert shares["GE"] == pytest.approx(97 / 567, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("difficulty", [0.0, 0.1, 1.0])
def test_no_row_of_the_audit_reaches_0_60_with_300_patients(difficulty, tmp_path):
    prepared = prepare(
        f"phantom(patients=300, difficulty={difficulty})", Preprocessing(), root=tmp_path
    )
    rows = score_audit(audit(prepared, choose_split("10", prepared.cases, 0)))
    assert {row.features for row in rows} >= {"geometry", "intensity", "ROI volume", "everything"}
    assert max(row.auc for row in rows) < 0.60


# Sum of all voxels and of the mask, as the first release rendered them.
FIRST_RELEASE = [
    (PhantomVolume(0, 0, 32, (3, 6), 0.1, version=1), "T3", (2206373.0, 988)),
    (PhantomVolume(3, 11, 64, (5, 5), 1.0, version=1), "T2", (12958606.0, 4163)),
    (PhantomVolume(0, 5, 48, (8, 8), 0.5, version=1), "T2", (7116378.0, 2369)),
]


@pytest.mark.parametrize(("volume", "label", "sums"), FIRST_RELEASE)
def test_version_1_renders_what_it_always_did(volume, label, sums):
    scan = volume.render()
    assert volume.patient.label == label
    assert (scan.image.sum(dtype=np.float64), scan.mask.sum()) == pytest.approx(sums, rel=1e-6)


def test_version_1_keeps_the_digest_of_old_runs():
    """The digest of `--data phantom` in every run and prepared folder before version 2."""
    cases = Phantom(version=1).cases()
    digest = data_digest(cases, list(map(fingerprint, cases)))
    assert digest.startswith("138ccfe1")
    newer = Phantom().cases()
    assert data_digest(newer, list(map(fingerprint, newer))) != digest


def test_an_experiment_says_which_version_it_saw():
    assert str(open_dataset("phantom")[1]) == "phantom(version=2)"
    assert str(open_dataset("phantom(version=1)")[1]) == "phantom(version=1)"
    assert str(open_dataset("phantom(size=64, patients=9)")[1]) == (
        "phantom(patients=9, size=64, version=2)"
    )


def test_a_run_on_the_old_phantom_is_not_continued_on_the_new_one(tmp_path, capsys):
    options = ["--encoder=r2d(width=2)", "--agg=max", "--loss=focal", "--folds=2"]
    options += ["--set=training.epochs=1", f"--out={tmp_path}", "--name=old"]
    data = "phantom(patients=16, size=16, slices=1"
    assert run_main(["run", *options, f"--data={data}, version=1)"]) == 0
    unseal(tmp_path / "old", source=f"{data})")  # as the first release wrote it
    assert run_main(["run", *options, f"--data={data})"]) == 5
    said = capsys.readouterr().err
    assert "differs in data_digest" in said
    assert '--data "phantom(patients=16, size=16, slices=1, version=1)"' in said
    assert run_main(["run", *options, f"--data={data}, version=1)"]) == 0
