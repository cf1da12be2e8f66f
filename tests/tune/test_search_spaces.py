"""Search spaces: what can be written, what it means, who refuses it."""

import pytest

from volbench.errors import SpecError, UsageError
from volbench.experiment.experiment import parse_components
from volbench.experiment.recipe import load_recipe
from volbench.experiment.search_space import read_space, search_space_in
from volbench.spec import parse, parse_sum
from volbench.tune.template import read_template


def template(loss, *overrides, encoder="r2d", aggregator="average"):
    return read_template(encoder, aggregator, loss, overrides, "volume")


def test_a_bare_sum_searches_gamma_margin_and_weight_where_the_components_say():
    found = template("focal+triplet")
    assert {name: str(space) for name, space in found.spaces.items()} == {
        "focal.gamma": "uniform(high=5, low=0)",
        "triplet.margin": "uniform(high=1, low=0.05)",
        "triplet.weight": "loguniform(high=10, low=0.01)",
    }
    assert found.shown()["loss"] == "focal(gamma=?)+?*triplet(margin=?)"


def test_the_spaces_of_the_manual_are_those_of_the_bare_sum():
    long = (
        "focal(gamma=uniform(low=0, high=5))"
        "+loguniform(low=0.01,high=10)*triplet(margin=uniform(low=0.05, high=1))"
    )
    assert template(long).spaces == template("focal+triplet").spaces


def test_what_is_given_in_full_stays():
    found = template("focal(gamma=2)+0.5*triplet(margin=uniform(low=0.1, high=0.3))")
    assert list(found.spaces) == ["triplet.margin"]
    filled = found.candidate({"triplet.margin": 0.2})
    assert filled.loss == "focal(gamma=2)+0.5*triplet(margin=0.2)"


def test_a_written_weight_of_one_is_not_searched_for():
    assert list(template("focal(gamma=2)+1*triplet").spaces) == ["triplet.margin"]


def test_recipe_keys_may_be_searched_and_others_pass_through():
    found = template(
        "cross_entropy", "optimizer.lr=loguniform(low=1e-4, high=1e-2)", "training.epochs=3"
    )
    assert list(found.spaces) == ["optimizer.lr"]
    filled = found.middle()
    assert filled.overrides == ("optimizer.lr=0.001", "training.epochs=3")


def test_a_choice_of_texts_reaches_the_recipe_without_quotes():
    found = template("cross_entropy", "training.sampler=choice(among=('balanced', 'natural'))")
    space = found.spaces["training.sampler"]
    assert space.texts == ("'balanced'", "'natural'")
    filled = found.candidate({"training.sampler": space.value("'natural'")})
    assert filled.overrides == ("training.sampler=natural",)
    load_recipe("standard", filled.overrides)


def test_options_of_encoders_are_searched_and_shown_with_a_question_mark():
    found = template("cross_entropy", encoder="rmc5(width=integer(low=4, high=16, log=True))")
    assert list(found.spaces) == ["rmc5.width"]
    assert found.middle().encoder == "rmc5(width=8)"  # the geometric middle
    assert found.shown()["encoder"] == "rmc5(width=?)"


def test_two_losses_of_one_name_have_parameters_of_their_own():
    assert list(template("focal+focal").spaces) == ["focal.gamma", "focal2.gamma", "focal2.weight"]


def test_numbers_are_rounded_without_leaving_the_range():
    space = read_space(parse("uniform(low=0.1, high=0.987654)"))
    assert space.value(0.7654321) == 0.7654
    assert space.value(0.987654) == 0.987654  # not 0.9877
    whole = read_space(parse("integer(low=1, high=9)"))
    assert whole.value(3) == 3
    assert isinstance(whole.value(3), int)


def test_a_preparation_cannot_be_searched():
    with pytest.raises(UsageError, match="prepared once"):
        template("focal", "preprocessing.size=choice(among=(24, 32))")


def test_nothing_to_tune_is_said():
    with pytest.raises(UsageError, match=r"nothing to tune.*volbench run"):
        template("focal(gamma=2)")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("uniform(low=5, high=0)", "low must be below high"),
        ("uniform(low=0)", "missing"),
        ("uniform(low=0, high='x')", "high must be a number"),
        ("loguniform(low=0, high=1)", "low must be positive"),
        ("integer(low=0.5, high=2)", "low must be a whole number"),
        ("choice(among=(1,))", "two different values"),
        ("choice(among=(1, 1, 2))", "two different values"),
        ("uniform(low=0, high=1, step=2)", "step"),
    ],
)
def test_a_wrong_space_is_refused_with_how_it_is_written(text, words):
    with pytest.raises(SpecError, match=words) as caught:
        read_space(parse(text))
    assert f"it is written {text.partition('(')[0]}(" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "loss",
    [
        "focal(gamma=uniform(low=0, high=5))",
        "focal(alpha=(uniform(low=0, high=1), 1))",
        "focal+loguniform(low=0.01, high=10)*triplet",
    ],
)
def test_run_refuses_a_search_space_and_names_the_command_that_takes_it(loss):
    with pytest.raises(SpecError, match="volbench tune"):
        parse_components("r2d", "average", loss, "volume")


def test_a_recipe_refuses_a_search_space_unless_it_is_tuned():
    with pytest.raises(SpecError, match=r"optimizer\.lr.*volbench tune"):
        load_recipe("standard", ("optimizer.lr=loguniform(low=1e-4, high=1)",))


def test_the_name_of_a_space_alone_is_no_space():
    assert search_space_in("uniform") is None
    assert search_space_in("cosine") is None


def test_a_sum_without_spaces_reads_as_before():
    assert str(parse_sum("focal(gamma=2.0) + .5*triplet")) == "focal(gamma=2)+0.5*triplet"
