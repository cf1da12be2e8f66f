"""Learning rates and early ends, against schedules worked out by hand."""

import math

import pytest

from volbench.experiment.recipe import load_recipe
from volbench.training.optimizer import is_over, learning_rates, plateau_share, rate_fell


def recipe(*overrides):
    plain = ("training.epochs=4", "optimizer.lr=0.1", "schedule.warmup_fraction=0")
    return load_recipe("standard", (*plain, *overrides))


def all_rates(chosen, steps, losses=(3.0, 2.0, 1.0, 0.0)):
    epochs = range(chosen.training.epochs)
    return [rate for epoch in epochs for rate in learning_rates(chosen, steps, losses[:epoch])]


def test_cosine_falls_from_the_base_to_nearly_zero():
    expected = [0.05 * (1 + math.cos(math.pi * step / 12)) for step in range(12)]
    assert all_rates(recipe("schedule.name=cosine"), 3) == pytest.approx(expected)


def test_constant_stays():
    assert set(all_rates(recipe("schedule.name=constant"), 3)) == {0.1}


@pytest.mark.parametrize("name", ["cosine", "constant", "plateau"])
def test_warm_up_rises_in_equal_steps_to_the_base(name):
    rates = all_rates(recipe(f"schedule.name={name}", "schedule.warmup_fraction=0.25"), 4)
    assert rates[:5] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def share_by_hand(losses, factor, patience):
    """Cut after more than ``patience`` epochs that are not lower by one part in ten thousand."""
    best, bad, share = math.inf, 0, 1.0
    for loss in losses:
        if loss < best * (1 - 1e-4):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            share, bad = share * factor, 0
    return share


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [5, 4, 3, 2],
        [1] * 12,
        [1, 0.99999, 0.99998, 0.99997, 0.99996],
        [3, 3, 3, 1, 2, 2, 2, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2],
    ],
)
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_a_plateau_cuts_the_rate(losses, patience):
    share = plateau_share(losses, factor=0.3, patience=patience)
    assert share == pytest.approx(share_by_hand(losses, 0.3, patience))


def test_the_rate_follows_the_plateau_from_epoch_to_epoch():
    chosen = recipe("schedule.name=plateau", "schedule.patience=0", "schedule.factor=0.5")
    assert all_rates(chosen, 1, [1, 2, 3]) == pytest.approx([0.1, 0.1, 0.05, 0.025])


CUTTING = ("schedule.name=plateau", "schedule.patience=0")


@pytest.mark.parametrize(
    ("overrides", "losses", "over"),
    [
        ([], [3, 2, 1], False),
        ([], [3, 2, 1, 0], True),
        (["schedule.stop_patience=2"], [1, 2], False),
        (["schedule.stop_patience=2"], [1, 2, 3], True),
        (["schedule.stop_patience=2"], [3, 2, 1], False),
        ([*CUTTING, "schedule.stop_rate=0.029"], [1, 2], False),  # cut once, to 0.03
        ([*CUTTING, "schedule.stop_rate=0.029"], [1, 2, 2], True),  # cut twice, to 0.009
        ([*CUTTING, "schedule.factor=0.5", "schedule.stop_rate=0.05"], [1, 2], False),  # at 0.05
        (["schedule.name=constant", "schedule.stop_rate=1"], [1, 2, 2], False),
    ],
)
def test_training_ends_by_its_epochs_its_rate_or_its_loss(overrides, losses, over):
    assert is_over(recipe("schedule.factor=0.3", *overrides), losses) is over


def test_the_rate_falls_after_the_epoch_that_ends_the_patience():
    chosen = recipe("schedule.name=plateau", "schedule.patience=1")
    losses = [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0]
    assert [rate_fell(chosen, losses[:n]) for n in range(len(losses) + 1)] == [
        share_by_hand(losses[:n], 0.3, 1) < share_by_hand(losses[: max(n - 1, 0)], 0.3, 1)
        for n in range(len(losses) + 1)
    ]
    assert not rate_fell(recipe("schedule.name=constant"), losses)


def test_the_released_code_stops_after_more_than_forty_epochs_without_a_lower_loss():
    released = load_recipe("lee2022_code", ("schedule.patience=400",))
    assert not is_over(released, [1.0] + [2.0] * 40)
    assert is_over(released, [1.0] + [2.0] * 41)
