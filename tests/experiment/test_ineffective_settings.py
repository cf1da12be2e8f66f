"""Settings that change nothing are named, with what would make them count."""

import pytest

from tests.helpers.small import write_small
from volbench.crossval import make_plan
from volbench.data.preprocessing.options import BELONGING, Preprocessing
from volbench.experiment.ineffective_settings import (
    NEEDED,
    ineffective_options,
    ineffective_settings,
)
from volbench.experiment.recipe import load_recipe
from volbench.experiment.recipe_info import recipe_info

HELPED = [
    ("schedule.factor=0.5", "schedule.name=plateau"),
    ("schedule.patience=3", "schedule.name=plateau"),
    ("selection.metric=auc", "selection.checkpoint=validation"),
    ("selection.validation_fraction=0.2", "selection.checkpoint=validation"),
    ("tta.augmentation=flip", "tta.passes=10"),
    ("regularization.mixup_on=token", "regularization.mixup=0.2"),
    ("preprocessing.box_mm=40", "preprocessing.crop=box"),
    ("preprocessing.margin=0.3", "preprocessing.crop=roi"),
    ("preprocessing.window=[0, 80]", "preprocessing.normalize=window"),
    ("preprocessing.n4_shrink=2", "preprocessing.n4=true"),
]


@pytest.mark.parametrize(("given", "needed"), HELPED)
def test_what_a_note_asks_for_makes_the_setting_count(given, needed):
    others = ("selection.checkpoint=last", "preprocessing.crop=none")
    (note,) = ineffective_settings([given], load_recipe("standard", (*others, given)))
    assert note.startswith(f"{given.partition('=')[0]} has no effect with ")
    assert note.endswith(f"it needs {needed}")
    assert not ineffective_settings([given], load_recipe("standard", (*others, given, needed)))


def test_every_key_with_a_condition_is_a_key_of_recipes():
    keys = {each.key for each in recipe_info("standard")}
    assert set(NEEDED) | {other for other, _, _ in NEEDED.values()} <= keys
    assert {f"preprocessing.{key}" for key in BELONGING} <= keys


def test_a_crop_that_is_still_open_never_becomes_a_box():
    assert not ineffective_options(["preprocessing.margin=0.3"], Preprocessing())
    (note,) = ineffective_options(["preprocessing.box_mm=40"], Preprocessing())
    assert note.endswith("preprocessing.crop=auto; it needs preprocessing.crop=box")


def test_a_plan_notes_it_with_the_crop_of_its_data(tmp_path):
    write_small(tmp_path / "data", cases=12)
    recipe = tmp_path / "own.toml"
    plateau = '[schedule]\nname = "plateau"\nfactor = 0.2\n'
    recipe.write_text(f'base = "standard"\n[preprocessing]\nwindow = [0, 80]\n{plateau}')
    plan = make_plan(
        recipe=str(recipe),
        encoder="r2d(width=2)",
        aggregator="max",
        loss="focal",
        data=str(tmp_path / "data"),
        folds="2",
        overrides=("preprocessing.box_mm=40", "schedule.factor=0.5"),
    )
    said = [note for note in plan.notes if "has no effect" in note]
    keys = [note.partition(" ")[0] for note in said]
    assert keys == ["preprocessing.window", "preprocessing.box_mm"]  # the file has a plateau
