from dataclasses import replace
from pathlib import Path

import pytest

from volbench.data.preprocessing.options import (
    Preprocessing,
    as_settings,
    from_values,
    with_settings,
)
from volbench.errors import DataError, SpecError
from volbench.interfaces import Card, Case, Dataset, Files


class Described(Dataset):
    card = Card("Test", "CC0", "nobody")
    classes = ("a", "b")

    def __init__(self, *, masks=(), native_size=None):
        self.masks, self.native_size = masks, native_size

    def cases(self):
        image = Path("image.nrrd")
        return [
            Case(f"c{n}", f"p{n}", "a", Files((image,), Path("mask.nrrd") if mask else None))
            for n, mask in enumerate(self.masks)
        ]


@pytest.mark.parametrize(
    ("dataset", "size", "crop"),
    [
        (Described(masks=[True, True]), 256, "roi"),
        (Described(masks=[False, False]), 256, "none"),
        (Described(masks=[True, True], native_size=28), 28, "none"),
    ],
    ids=["masks", "no masks", "native size"],
)
def test_auto_follows_the_data_set(dataset, size, crop):
    done = Preprocessing().resolved(dataset)
    assert (done.size, done.crop) == (size, crop)
    assert done.resolved(Described(masks=[not mask for mask in dataset.masks])) == done


def test_a_data_set_with_some_masks_has_no_automatic_crop():
    dataset = Described(masks=[True, False, False])
    with pytest.raises(DataError, match=r"2 of 3 cases have no mask \(first: 'c1'\)"):
        Preprocessing().resolved(dataset)
    assert Preprocessing(crop="none").resolved(dataset).crop == "none"


FULL = Preprocessing(size=64, crop="roi", n4=True, normalize="window")
CHANGES = {
    "size": 65,
    "crop": "box",
    "margin": 0.2,
    "slice_margin": 0,
    "max_slices": 7,
    "n4": False,
    "n4_shrink": 2,
    "normalize": "none",
    "window": (-1000, 401),
}


@pytest.mark.parametrize(("key", "value"), CHANGES.items())
def test_every_option_that_has_an_effect_is_in_the_digest(key, value):
    assert replace(FULL, **{key: value}).digest != FULL.digest


@pytest.mark.parametrize("options", [FULL, *(replace(FULL, **{k: v}) for k, v in CHANGES.items())])
def test_options_survive_their_way_through_a_command_line(options):
    moved = replace(options, transforms=("ToCanonical", "Resample(target=(0.5, 0.5, 3))"))
    for given in (options, moved):
        assert with_settings(Preprocessing(), as_settings(given)).digest == given.digest


def test_the_side_of_the_box_is_in_the_digest_of_a_box():
    box = replace(FULL, crop="box")
    assert replace(box, box_mm=51).digest != box.digest


@pytest.mark.parametrize("change", [{"margin": 0.3}, {"box_mm": 9}, {"n4_shrink": 2}])
def test_an_option_without_effect_splits_no_cache(change):
    plain = Preprocessing(size=64, crop="none")
    changed = replace(plain, **change)
    assert changed.digest == plain.digest
    assert changed.resolved(Described()) == plain


def test_a_number_has_one_digest_however_it_is_written():
    box = Preprocessing(size=64, crop="box", box_mm=50)
    assert box.digest == replace(box, box_mm=50.0, window=(-1000.0, 400.0)).digest


def test_settings_are_read_as_a_recipe_writes_them():
    done = with_settings(
        Preprocessing(),
        [
            "preprocessing.size=64",
            "preprocessing.crop = box",
            "preprocessing.box_mm=40.5",
            "preprocessing.n4=true",
            "preprocessing.window=(-160, 240)",
            "preprocessing.slice_margin=2",
            "preprocessing.normalize='window'",
        ],
    )
    assert done == Preprocessing(
        size=64,
        crop="box",
        box_mm=40.5,
        n4=True,
        window=(-160, 240),
        slice_margin=2,
        normalize="window",
    )
    assert with_settings(done, ["preprocessing.slice_margin=None"]).slice_margin is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("size=64", "cannot read setting 'size=64'; write it as preprocessing.size=64"),
        ("training.epochs=3", "cannot read setting 'training.epochs=3'"),
        ("preprocessing.size", "cannot read setting 'preprocessing.size'"),
        ("preprocessing.size=", "cannot read setting 'preprocessing.size='"),
        ("preprocessing.sise=3", "Unknown key preprocessing.sise. Did you mean 'size'?"),
        ("preprocessing.size=0", "size must be 'auto' or an integer from 1 to 4096, but got 0"),
        ("preprocessing.size=64.5", "preprocessing.size must be .* but got 64.5"),
        ("preprocessing.size=True", "preprocessing.size must be .* but got True"),
        ("preprocessing.size=big", "preprocessing.size must be .* but got 'big'"),
        ("preprocessing.size=(1,", "cannot read spec"),
        ("preprocessing.crop=tumour", "preprocessing.crop must be 'auto', 'none', 'roi' or 'box'"),
        ("preprocessing.margin=-1", "preprocessing.margin must be a number from 0 to 10"),
        ("preprocessing.box_mm=0", "preprocessing.box_mm must be a number from 1 to 1000"),
        ("preprocessing.slice_margin=-1", "preprocessing.slice_margin must be None or an integer"),
        ("preprocessing.n4=1", "preprocessing.n4 must be true or false, but got 1"),
        ("preprocessing.n4_shrink=0", "preprocessing.n4_shrink must be an integer from 1 to 16"),
        ("preprocessing.normalize=max", "preprocessing.normalize must be 'zscore'"),
        ("preprocessing.window=(400, -1000)", "preprocessing.window must be two numbers"),
        ("preprocessing.window=(1, 2, 3)", "preprocessing.window must be two numbers"),
        ("preprocessing.window=400", "preprocessing.window must be two numbers"),
    ],
)
def test_a_setting_that_cannot_be_used_says_what_can(setting, message):
    with pytest.raises(SpecError, match=message) as error:
        with_settings(Preprocessing(), [setting])
    assert "\n" not in str(error.value)


def test_a_value_set_in_code_is_checked_too():
    with pytest.raises(SpecError, match=r"preprocessing.size must be .* but got -3"):
        Preprocessing(size=-3).resolved(Described())


def test_options_survive_their_way_through_an_index_file():
    assert from_values(FULL.values()) == FULL


def test_what_differs_from_prepared_data_is_named_and_auto_agrees():
    prepared = Preprocessing(size=64, crop="roi", margin=0.2).resolved(Described())
    assert Preprocessing(margin=0.2).differences(prepared) == {}
    assert Preprocessing(size=32, margin=0.2, box_mm=9, n4=True).differences(prepared) == {
        "size": (32, 64),
        "n4": (True, False),
    }
