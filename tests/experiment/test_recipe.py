import re

import pytest

from volbench.errors import SpecError
from volbench.experiment.experiment import differing_keys, parse_components
from volbench.experiment.recipe import load_recipe, recipe_names
from volbench.training.optimizer import is_over


def test_every_recipe_that_comes_with_volbench_loads():
    assert "standard" in recipe_names()
    for name in recipe_names():
        assert load_recipe(name).summary


def test_an_override_replaces_one_key_and_keeps_the_others():
    recipe = load_recipe("standard", ("training.epochs=7", "preprocessing.normalize=window"))
    assert recipe.training.epochs == 7
    assert recipe.preprocessing.normalize == "window"
    assert recipe.training.batch_size == load_recipe("standard").training.batch_size


@pytest.mark.parametrize("text", ["[-200, 300]", "(-200, 300)", "[-200.0, 3e2]"])
def test_a_pair_is_read_as_toml_or_as_spec_text(text):
    recipe = load_recipe("standard", (f"preprocessing.window={text}",))
    assert recipe.preprocessing.window == (-200, 300)


def test_a_file_may_start_from_another_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "standard"\nsummary = "mine"\n[training]\nepochs = 3\n')
    recipe = load_recipe(str(path))
    assert (recipe.summary, recipe.training.epochs) == ("mine", 3)
    assert recipe.optimizer == load_recipe("standard").optimizer


def test_a_recipe_that_is_its_own_base_is_refused(tmp_path):
    path = tmp_path / "loop.toml"
    path.write_text(f'base = "{path}"\n')
    with pytest.raises(SpecError, match="is its own base"):
        load_recipe(str(path))


def test_none_undoes_what_a_recipe_sets_and_is_refused_where_a_value_is_needed():
    limited = ("preprocessing.max_slices=8", "preprocessing.max_slices=None")
    assert load_recipe("standard", limited).preprocessing.max_slices is None
    with pytest.raises(SpecError, match=r"training\.epochs=.* valid integer"):
        load_recipe("standard", ("training.epochs=None",))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "unknown key 'training.epoch'"),
        ("training.epochs=0", "training.epochs=0: input should be greater than or equal to 1"),
        ("training.epochs=many", "training.epochs='many': input should be a valid integer"),
        ("training.epochs=2.5", "training.epochs=2.5: input should be a valid integer"),
        ("training.sampler=random", "training.sampler='random': input should be 'balanced'"),
        ("optimizer.lr=-1", "optimizer.lr=-1: input should be greater than 0"),
        ("optimizer.lr=nan", "optimizer.lr=nan"),
        ("trainings.epochs=3", "unknown section 'trainings'. Did you mean 'training'? One of pre"),
        ("summary.x=3", "unknown section 'summary'"),
        ("epochs=3", "--set 'epochs=3' is not section.key=value"),
        ("training.epochs", "--set 'training.epochs' is not section.key=value"),
        ("preprocessing.n4=maybe", "preprocessing.n4='maybe'"),
        ("preprocessing.bogus=1", "unknown key 'preprocessing.bogus'"),
        ("selection.validation_fraction=0.9", "less than or equal to 0.5"),
    ],
)
def test_a_wrong_override_is_one_line_that_names_key_and_value(override, message):
    with pytest.raises(SpecError) as info:
        load_recipe("standard", (override,))
    assert message in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("standart", "Unknown recipe 'standart'. Did you mean 'standard'?"),
        ("nowhere/at/all.toml", "cannot be read: No such file"),
    ],
)
def test_an_unknown_recipe_is_refused(name, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        load_recipe(name)


@pytest.mark.parametrize("text", ["[training", "\xff", "base = 3\n", "summary = 'only this'\n"])
def test_a_file_that_is_no_recipe_is_one_line(tmp_path, text):
    path = tmp_path / "broken.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SpecError) as info:
        load_recipe(str(path))
    assert "broken.toml" in str(info.value)
    assert "\n" not in str(info.value)


def test_differing_keys_are_dotted_and_sorted():
    ours = {"seed": 0, "recipe": {"training": {"epochs": 3, "batch_size": 8}}}
    theirs = {"seed": 1, "recipe": {"training": {"epochs": 4, "batch_size": 8}}}
    assert differing_keys(ours, theirs) == ["recipe.training.epochs", "seed"]


@pytest.mark.parametrize(
    ("aggregator", "level", "message"),
    [("max", "slice", "leave --agg out"), (None, "volume", "needs --agg")],
)
def test_the_level_decides_whether_there_is_an_aggregator(aggregator, level, message):
    with pytest.raises(Exception, match=message):
        parse_components("r2d", aggregator, "focal", level)


def test_early_stopping_is_off_and_leaves_the_text_of_experiments_as_it_was():
    written = load_recipe("standard").model_dump(mode="json")["selection"]
    assert "patience" not in written
    stops = load_recipe("standard", ("selection.patience=3",))
    assert stops.model_dump(mode="json")["selection"]["patience"] == 3
    with pytest.raises(SpecError, match=r"selection\.patience=3 watches the validation part"):
        load_recipe("standard", ("selection.patience=3", "selection.checkpoint=last"))


def test_training_ends_after_epochs_without_a_better_validation_score():
    recipe = load_recipe("standard", ("selection.patience=3", "training.epochs=20"))
    losses = [1.0] * 6
    assert not is_over(recipe, losses[:4], best_epoch=2)
    assert is_over(recipe, losses[:5], best_epoch=2)
    assert not is_over(recipe, [], best_epoch=0)
    assert not is_over(load_recipe("standard"), losses, best_epoch=1)
