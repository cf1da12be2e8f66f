"""Settings in which experiments differ: all of them, only them, each with a heading of its own."""

from collections import Counter

from volbench.experiment.recipe import load_recipe
from volbench.experiment.setting_differences import differing_settings, heading, recipe_keys


def experiment(name="standard", *overrides, **more):
    recipe = load_recipe(name, overrides)
    written = recipe.model_dump(mode="json", exclude={"summary"})
    return {"encoder": "r2d", "summary": recipe.summary, "recipe": written, "seed": 0, **more}


def found(*experiments):
    return {each.key: each.texts for each in differing_settings(experiments)}


def test_every_key_of_a_recipe_has_a_heading_of_its_own():
    counted = Counter(map(heading, recipe_keys()))
    assert [name for name, number in counted.items() if number > 1] == []
    assert max(map(len, counted)) <= 20


def test_equal_experiments_differ_in_nothing():
    assert found(experiment(), experiment(), experiment()) == {}


def test_only_what_differs_is_found_components_first():
    changed = experiment(
        "standard", "training.epochs=7", "preprocessing.max_slices=9", encoder="r2d(width=8)"
    )
    epochs = str(load_recipe("standard").training.epochs)
    assert found(experiment(), changed) == {
        "encoder": ("r2d", "r2d(width=8)"),
        "preprocessing.max_slices": ("–", "9"),
        "training.epochs": (epochs, "7"),
    }


def test_a_key_that_came_later_counts_as_its_default():
    old = experiment()
    assert "regularization" not in old["recipe"]
    assert found(old, experiment("standard", "regularization.mixup=0.2")) == {
        "regularization.mixup": ("0", "0.2")
    }


def test_the_name_of_a_recipe_stands_for_what_follows_from_it():
    keys = found(experiment(), experiment("lee2022"), experiment("lee2022", "optimizer.lr=0.5"))
    assert keys == {
        "recipe": ("standard", "lee2022", "lee2022"),
        "optimizer.lr": ("0.001", "0.01", "0.5"),
    }


def test_what_is_not_known_makes_no_difference():
    unread = {"encoder": "r2d", "seed": 0}
    assert found(experiment(), unread) == {}
    automatic = experiment()
    automatic["recipe"]["preprocessing"] |= {"size": 64}
    assert found(experiment(), automatic) == {}
    assert found(automatic, unread, experiment("standard", "preprocessing.size=32")) == {
        "preprocessing.size": ("64", "", "32")
    }


def test_what_has_no_effect_makes_no_difference_and_is_not_shown():
    box = experiment("standard", "preprocessing.crop=box", "preprocessing.box_mm=32")
    whole = experiment("standard", "preprocessing.crop=none", "preprocessing.box_mm=40")
    assert found(box, whole) == {"preprocessing.crop": ("box", "none")}
    larger = experiment("standard", "preprocessing.crop=box", "preprocessing.box_mm=50")
    settings = differing_settings([box, whole, larger])
    assert [each.phrases for each in settings] == [
        ("crop box", "crop none", "crop box"),
        ("box mm 32", "", "box mm 50"),
    ]
    either = [experiment("standard", f"preprocessing.margin={margin}") for margin in (0.1, 0.2)]
    assert found(*either) == {"preprocessing.margin": ("0.1", "0.2")}  # crop may become roi
