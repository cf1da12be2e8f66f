"""The published tables that come with volbench belong to the networks that come with it."""

from importlib import resources

import pandas as pd
import pytest

from volbench.plugins.registry import aggregators, encoders, losses
from volbench.spec import parse, parse_sum
from volbench.training.classifier import build_classifier, count_parameters

ROWS = pd.read_csv(
    str(resources.files("volbench.leaderboard.published.tables") / "rectal2022.csv"), dtype=str
)
COUNTED = ROWS[ROWS["parameters"].notna()]


def test_there_are_eleven_encoders_three_losses_four_poolings_and_three_groups_of_readers():
    assert ROWS["table"].value_counts().to_dict() == {"2": 11, "3": 3, "4": 4, "5": 3}
    assert set(ROWS[ROWS["table"] == "2"]["encoder"]) == {*encoders} - {"timm"}


@pytest.mark.parametrize(("name", "count"), COUNTED[["encoder", "parameters"]].to_numpy().tolist())
def test_every_published_number_of_parameters_is_met_to_the_digit(name, count):
    model = build_classifier(parse(name), None, in_channels=1, num_classes=2)
    assert count_parameters(model) == int(count)


def test_every_published_row_names_components_that_are_built_in():
    for row in ROWS[ROWS["level"] != "reader"].fillna("").to_dict("records"):
        assert row["encoder"] in encoders
        assert {term.spec.name for term in parse_sum(row["loss"]).terms} <= {*losses}
        assert row["aggregator"] in ({*aggregators} if row["level"] == "volume" else {""})
