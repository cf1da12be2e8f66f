"""Predicting new volumes: the held-out numbers again, the spread of the folds, refusals."""

import csv
import gzip
import io
import json
import shutil
import statistics
from dataclasses import replace

import numpy as np
import pytest
import torchio as tio
from click.testing import CliRunner

from tests.helpers.volumes_on_disk import image, write
from tests.helpers.written_runs import unseal
from tests.predict.trained_runs import (
    CASES,
    label,
    train,
    voxels,
    write_csv,
    write_dicom,
    write_volumes,
)
from volbench.cli.main import main
from volbench.errors import DataError, PluginError, StateError, UsageError
from volbench.leaderboard import load_run
from volbench.predict import Ensemble
from volbench.predict.results import summarised_warnings
from volbench.predict.volumes import find_cases

USAGE, DATA, STATE, PLUGIN = 2, 3, 5, 7


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return write_volumes(tmp_path_factory.mktemp("volumes") / "data")


@pytest.fixture(scope="module")
def plain(volumes, tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"), volumes / "plain.csv")


@pytest.fixture(scope="module")
def both(volumes, tmp_path_factory):
    """Two channels, cut to the mask."""
    return train(tmp_path_factory.mktemp("runs"), volumes / "both.csv", "preprocessing.crop=roi")


@pytest.fixture(scope="module")
def slices(volumes, tmp_path_factory):
    """Slice level, scored over two random views."""
    return train(
        tmp_path_factory.mktemp("runs"),
        volumes / "slices.csv",
        "tta.passes=2",
        "training.augmentation=affine",
        aggregator=None,
        level="slice",
    )


def held_out(run):
    """Probability of the positive class by case, slice and fold, as the run stored it."""
    return {
        (row.case, row.slice): (fold, row.probabilities[1])
        for fold, rows in load_run(run).predictions.items()
        for row in rows
    }


def volbench(*arguments):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def rows_of(result):
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def warnings_of(result):
    return [line for line in result.stderr.splitlines() if line.startswith("warning: ")]


def test_subjects_are_predicted_as_the_files_that_they_came_from(both, volumes):
    listed = next(csv.DictReader((volumes / "both.csv").read_text().splitlines()))
    subject = tio.Subject(
        dwi=tio.ScalarImage(volumes / listed["image:dwi"]),
        t2w=tio.ScalarImage(volumes / listed["image:t2w"]),
        mask=tio.LabelMap(volumes / listed["mask"]),
        case="mine",
    )
    ensemble = Ensemble(both)
    (expected,) = ensemble.predict(find_cases([volumes / "both.csv"], ensemble.trained)[:1])
    (predicted,) = ensemble.predict([subject])
    np.testing.assert_array_equal(predicted.by_fold, expected.by_fold)
    assert predicted.case.name == "mine"
    subject.remove_image("dwi")
    with pytest.raises(DataError, match=r"subject mine: 1 channel \(t2w\), the run was trained on"):
        ensemble.predict([subject])


def test_a_training_case_gets_its_held_out_probability_again(plain, volumes):
    stored = held_out(plain)
    assert len({round(value, 4) for _, value in stored.values()}) > CASES // 2, "they do differ"
    predicted = Ensemble(plain).predict([volumes / "plain.csv"])
    assert len(predicted) == CASES
    for one in predicted:
        fold, value = stored[one.case.name, None]
        assert one.by_fold[one.folds.index(fold), 1] == pytest.approx(value, abs=1e-6)


def test_the_same_volume_as_dicom_and_nrrd_gets_the_same_probability(plain, tmp_path):
    fold, value = held_out(plain)["03", None]
    series = write_dicom(tmp_path / "series", 3)
    nrrd = write(tmp_path / "new.nrrd", image(voxels(3)))
    for one in Ensemble(plain).predict([series, nrrd]):
        assert one.by_fold[fold, 1] == pytest.approx(value, abs=1e-6)
        assert one.in_sample is None


def test_two_channels_in_any_order_and_a_mask_are_predicted_as_in_training(both, volumes, tmp_path):
    fold, value = held_out(both)["04", None]
    turned = write_csv(
        volumes / "turned.csv", "image:dwi,mask,image:t2w", ["dwi04.nii.gz,mask04.nii.gz,04.nii.gz"]
    )
    (one,) = Ensemble(both).predict([turned])
    assert one.by_fold[fold, 1] == pytest.approx(value, abs=1e-6)
    images = [f"dwi={volumes / 'dwi04.nii.gz'}", f"t2w={volumes / '04.nii.gz'}"]
    (row,) = rows_of(
        volbench(
            *(both, "--channel", images[0], "--channel", images[1]),
            *("--mask", volumes / "mask04.nii.gz"),
        )
    )
    assert float(row[f"fold{fold}_T3"]) == pytest.approx(value, abs=1e-6)


def test_representative_slices_under_random_views_are_predicted_as_in_training(slices, volumes):
    stored = held_out(slices)
    predicted = Ensemble(slices).predict([volumes / "slices.csv"])
    for number, one in enumerate(predicted):
        assert sorted(one.by_slice) == [1 + number % 2, 3]
        for place, by_fold in one.by_slice.items():
            fold, value = stored[one.case.name, place]
            assert by_fold[fold, 1] == pytest.approx(value, abs=1e-6)


def test_without_representative_slices_every_slice_is_predicted_and_the_mean_is_the_case(
    slices, volumes
):
    rows = rows_of(volbench(slices, volumes / "05.nii.gz"))
    assert [row["slice"] for row in rows] == ["0", "1", "2", "3", "4", "5", ""]
    of_slices = [float(row["prob_T3"]) for row in rows[:-1]]
    assert len(set(of_slices)) > 1
    assert float(rows[-1]["prob_T3"]) == pytest.approx(statistics.fmean(of_slices), abs=1e-12)


def test_the_table_says_mean_spread_and_every_fold(plain, volumes):
    result = volbench(plain, volumes / "02.nii.gz")
    (row,) = rows_of(result)
    folds = [float(row["fold0_T3"]), float(row["fold1_T3"])]
    assert float(row["prob_T3"]) == pytest.approx(statistics.fmean(folds), abs=1e-12)
    assert float(row["std_T3"]) == pytest.approx(statistics.stdev(folds), abs=1e-12)
    assert [float(row["min_T3"]), float(row["max_T3"])] == [min(folds), max(folds)]
    assert row["predicted"] == ("T3" if statistics.fmean(folds) >= 0.5 else "T2")
    assert row["threshold"] == "0.5"
    assert result.stderr.count("not for clinical use") == 1


def test_json_holds_what_the_table_holds_and_a_file_is_written_whole(plain, volumes, tmp_path):
    (row,) = rows_of(volbench(plain, volumes / "02.nii.gz"))
    done = volbench(
        *(plain, volumes / "02.nii.gz", "--format", "json"), "--output", tmp_path / "o.json"
    )
    assert done.exit_code == 0
    assert done.stdout == ""
    said = json.loads((tmp_path / "o.json").read_text())
    (case,) = said["cases"]
    assert case["probabilities"]["T3"] == float(row["prob_T3"])
    assert case["std"]["T2"] == float(row["std_T2"])
    assert case["by_fold"]["1"]["T2"] == float(row["fold1_T2"])
    assert case["stored_shape"] == [6, 12, 10]
    assert case["stored_spacing_mm"] == pytest.approx([3.0, 0.6, 0.5], abs=1e-6)
    assert said["folds"] == [0, 1]
    assert said["threshold"] == 0.5
    assert "not for clinical use" in said["notice"]


def test_a_case_seen_in_training_is_said_to_be_so_with_its_held_out_probability(plain, volumes):
    _, value = held_out(plain)["07", None]
    result = volbench(plain, volumes / "07.nii.gz")
    (line,) = warnings_of(result)
    assert f"{volumes / '07'} was trained on by 1 of 2 folds" in line
    assert f"held-out probability is {1 - value:.3f} T2, {value:.3f} T3" in line
    assert rows_of(result)[0]["in_sample_folds"] == "1"


def test_a_patient_seen_in_training_is_said_to_be_so(plain, tmp_path):
    write(tmp_path / "later.nii.gz", image(voxels(50)))
    write(tmp_path / "other.nii.gz", image(voxels(51)))
    manifest = write_csv(
        tmp_path / "m.csv", "image,patient", ["later.nii.gz,p3", "other.nii.gz,stranger"]
    )
    result = volbench(plain, manifest)
    (line,) = warnings_of(result)
    assert "case later: 1 of 2 folds were trained on patient p3" in line
    assert [row["in_sample_folds"] for row in rows_of(result)] == ["1", "0"]


def test_labels_of_a_manifest_are_carried_along(plain, volumes):
    rows = rows_of(volbench(plain, volumes / "plain.csv"))
    assert [row["label"] for row in rows] == [label(number) for number in range(CASES)]
    assert [row["patient"] for row in rows] == [f"p{number}" for number in range(CASES)]


def new_volume(folder, **options):
    return write(folder / "new.nii.gz", image(voxels(60), **options))


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        ((0.5, 0.6, 3.5), "distance between slices 3.5 mm, the run was trained on 3 mm"),
        ((0.5, 0.7, 3.0), "distance between rows 0.7 mm, the run was trained on 0.6 mm"),
        ((0.4, 0.6, 3.0), "distance between columns 0.4 mm, the run was trained on 0.5 mm"),
    ],
)
def test_another_spacing_is_refused_unless_asked_for(plain, tmp_path, spacing, words):
    new = new_volume(tmp_path, spacing=spacing)
    refused = volbench(plain, new)
    assert refused.exit_code == DATA
    assert words in refused.stderr
    assert "--anyway" in refused.stderr
    assert refused.stdout == ""
    accepted = volbench(plain, new, "--anyway")
    assert len(rows_of(accepted)) == 1
    assert words in warnings_of(accepted)[0]


def test_a_spacing_within_a_tenth_of_the_trained_one_is_accepted(plain, tmp_path):
    assert len(rows_of(volbench(plain, new_volume(tmp_path, spacing=(0.54, 0.56, 3.2))))) == 1


def test_slices_in_another_plane_are_refused_even_when_asked_for(plain, tmp_path):
    sagittal = new_volume(tmp_path, direction=(0, 0, 1, 1, 0, 0, 0, 1, 0))
    refused = volbench(plain, sagittal, "--anyway")
    assert refused.exit_code == DATA
    assert "sagittal slices, the run was trained on axial ones" in refused.stderr


def test_what_cannot_be_trusted_is_refused_in_one_line(plain, both, volumes, tmp_path):
    few = write(tmp_path / "few.nii.gz", image(voxels(1)[:2]))
    whole = gzip.decompress((volumes / "01.nii.gz").read_bytes())
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(whole[:-100]))
    empty = write(tmp_path / "empty.nii.gz", image(np.zeros((6, 12, 10), "u1")))
    two = ("--channel", f"t2w={volumes / '01.nii.gz'}", "--channel", f"dwi={volumes / '01.nii.gz'}")
    wrong = {
        (plain, few, "--anyway"): (DATA, "2 slices, the run was trained on 6 or more"),
        (plain, tmp_path / "cut.nii.gz"): (DATA, "cut.nii.gz: truncated"),
        (plain, tmp_path / "none.nii.gz"): (DATA, "none.nii.gz: no such file"),
        (plain, *two): (DATA, "2 channels (t2w, dwi), the run was trained on 1 channel (image)"),
        (plain, volumes / "both.csv"): (DATA, "the run was trained on 1 channel (image)"),
        (plain, volumes / "01.nii.gz", *two): (USAGE, "not both"),
        (plain, volumes / "01.nii.gz", "--mask", empty): (USAGE, "leave it out"),
        (plain, volumes / "01.nii.gz", volumes / "01.nii.gz"): (USAGE, "named more than once"),
        (plain,): (USAGE, "no volume is named"),
        (both, volumes / "01.nii.gz"): (DATA, "one channel, the run was trained on 2 channels"),
        (both, *two): (DATA, "there is none; give --mask FILE"),
        (both, *two, "--mask", empty): (DATA, "empty mask"),
        (both, volumes / "both.csv", "--mask", empty): (USAGE, "belongs to one volume"),
        (both, "--channel", "t2w=a", "--channel", "dwi=b"): (DATA, "a: no such file"),
        (both, "--channel", "t2w"): (USAGE, "is not NAME=PATH"),
        (both, "--channel", "t2w=a", "--channel", "t2w=b"): (USAGE, "given twice"),
    }
    for arguments, (code, words) in wrong.items():
        result = volbench(*arguments)
        complaint = [line for line in result.stderr.splitlines() if line.startswith("volbench: ")]
        assert (result.exit_code, len(complaint)) == (code, 1), result.output
        assert words in complaint[0]
        assert result.stdout == ""


def test_one_volume_that_cannot_be_used_refuses_all_of_them(plain, tmp_path):
    write(tmp_path / "good.nii.gz", image(voxels(70)))
    for name in ("a", "b"):
        write(tmp_path / f"{name}.nii.gz", image(voxels(71), spacing=(0.5, 0.6, 9.0)))
    result = volbench(plain, *(tmp_path / f"{name}.nii.gz" for name in ("good", "a", "b")))
    assert result.exit_code == DATA
    assert "2 of 3 volumes cannot be predicted" in result.stderr
    assert result.stdout == ""


@pytest.fixture
def copy(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "copy")


def test_folds_that_are_not_finished_are_left_out_and_named(copy, volumes):
    (copy / "folds" / "01" / "result.json").unlink()
    result = volbench(copy, volumes / "05.nii.gz")
    assert "1 of 2 folds are used (fold 1: not finished)" in warnings_of(result)[0]
    (row,) = rows_of(result)
    assert row["prob_T3"] == row["fold0_T3"]
    assert row["std_T3"] == "", "one fold has no spread"
    (copy / "folds" / "00" / "result.json").unlink()
    with pytest.raises(StateError, match="no fold is finished"):
        Ensemble(copy)


def test_a_model_that_was_changed_is_refused(copy, volumes):
    path = copy / "folds" / "01" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"0")
    result = volbench(copy, volumes / "05.nii.gz")
    assert result.exit_code == STATE
    assert "model.safetensors is missing or was changed" in result.stderr


@pytest.mark.parametrize(("key", "kind"), [("encoder", "encoder"), ("aggregator", "aggregator")])
def test_a_plugin_that_is_not_installed_is_named(copy, volumes, key, kind):
    unseal(copy, **{key: "elsewhere(size=3)"})
    result = volbench(copy, volumes / "05.nii.gz")
    assert result.exit_code == PLUGIN
    assert f"Unknown {kind} 'elsewhere'" in result.stderr
    with pytest.raises(PluginError):
        Ensemble(copy)


def test_a_run_that_kept_nothing_of_its_cases_predicts_only_when_asked(copy, volumes):
    unseal(copy)
    (copy / "cases.csv").unlink()
    (copy / "data.json").unlink()
    refused = volbench(copy, volumes / "05.nii.gz")
    assert refused.exit_code == DATA
    assert "from before the spacing of its training cases was kept" in refused.stderr
    accepted = volbench(copy, volumes / "05.nii.gz", "--anyway")
    assert len(rows_of(accepted)) == 1
    assert sum("from before" in line for line in warnings_of(accepted)) == 1


def test_a_device_that_is_none_is_refused(plain):
    with pytest.raises(UsageError, match="is not a device"):
        Ensemble(plain, device="abacus")


def test_nothing_of_a_volume_stays_behind(plain, volumes, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    Ensemble(plain).predict([volumes / "05.nii.gz"])
    assert list(tmp_path.iterdir()) == []


def test_many_warnings_become_a_summary_and_a_few_stay_as_they_are(plain, volumes):
    predicted = Ensemble(plain).predict([volumes / "plain.csv"])
    assert all(one.warnings for one in predicted)
    assert summarised_warnings(predicted[:3]) == [one.warnings[0] for one in predicted[:3]]
    (line,) = summarised_warnings(predicted)
    names = ", ".join(one.case.name for one in predicted[:3])
    assert line == (
        f"{CASES} of {CASES} volumes have been trained on by some of the folds, so that their "
        f"probabilities test nothing: {names} and {CASES - 3} more (each one's warning: "
        "--format json)"
    )
    new = [replace(one, in_sample=None, warnings=("case a: far apart",)) for one in predicted]
    (line,) = summarised_warnings(new)
    assert line.startswith(f"{CASES} of {CASES} volumes have spacings that the run was not trained")
