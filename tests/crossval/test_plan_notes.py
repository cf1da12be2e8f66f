"""What a plan and a table say of classes that are missing and patients that are none."""

import csv

import pytest

from tests.datasets.test_medmnist import saved
from tests.helpers.small import write_small
from tests.helpers.written_runs import DATA, write_run
from volbench.crossval import make_plan
from volbench.crossval.environment import describe_data
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import UsageError
from volbench.leaderboard import compare_runs
from volbench.leaderboard.render.show import show

PARTS = {"encoder": "r2d(width=2)", "aggregator": "max", "loss": "focal"}


def test_a_fold_that_holds_out_one_class_only_is_warned_of_before_training(tmp_path):
    prepared = write_small(tmp_path / "data", cases=12)
    split = tmp_path / "split.csv"
    with split.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(("case", "fold"))
        for number, case in enumerate(prepared.cases):
            rows.writerow((case.name, 2 if case.label and number < 6 else number % 3 % 2))
    plan = make_plan(**PARTS, data=str(tmp_path / "data"), folds=str(split))
    (note,) = [note for note in plan.notes if "holds out" in note]
    assert note.startswith("fold 2 holds out no case of class 'T2', so it has no AUC")
    whole = make_plan(**PARTS, data=str(tmp_path / "data"), folds="3")
    assert not any("holds out" in note for note in whole.notes)


def test_representative_slices_are_weighed_at_slice_level_only(tmp_path):
    write_small(tmp_path / "data", cases=12)
    asked = {"data": str(tmp_path / "data"), "folds": "2"}
    weighted = ("training.sampler=weighted_slices",)
    with pytest.raises(UsageError, match="sampler=weighted_slices counts representative slices"):
        make_plan(**PARTS, **asked, overrides=weighted)
    plan = make_plan(**{**PARTS, "aggregator": None}, **asked, level="slice", overrides=weighted)
    assert plan.experiment.recipe.training.sampler == "weighted_slices"


def test_tables_on_medmnist_say_that_its_cases_are_not_patients(tmp_path):
    prepared = prepare(saved(tmp_path), Preprocessing(size=8), root=tmp_path / "cache", jobs=1)
    facts = describe_data(prepared)
    assert "names no patients" in facts["about_patients"]
    run = write_run(tmp_path / "run", data={**DATA, "about_patients": facts["about_patients"]})
    assert "Patients: MedMNIST names no patients" in show([compare_runs([run], resamples=50)], "md")
    plain = write_run(tmp_path / "plain")
    assert "Patients:" not in show([compare_runs([plain], resamples=50)], "md")


def test_a_card_without_remarks_is_written_as_it_ever_was(tmp_path):
    prepared = write_small(tmp_path / "data", cases=4)
    assert "about_patients" not in prepared.card_fields
    assert prepared.card.about_patients == ""
