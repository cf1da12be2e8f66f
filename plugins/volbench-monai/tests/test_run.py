"""From the command line to a row of the table."""

import csv
import io

import pytest
from click.testing import CliRunner
from volbench.cli.main import main


def volbench(*arguments):
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder",
    [
        "monai_resnet(layers=10, slice_stride=1, width=0.25)",
        "monai_densenet(growth_rate=4, init_features=8)",
        "monai_swin_unetr(feature_size=12)",
    ],
)
def test_a_run_ends_as_a_row_of_the_table(encoder, tmp_path):
    volbench(
        *("run", "--data", "phantom(patients=12, size=32, slices=3)", "--encoder", encoder),
        *("--agg", "average", "--loss", "focal", "--folds", "2", "--set", "training.epochs=1"),
        *("--device", "cpu", "--out", str(tmp_path)),
    )
    table = csv.DictReader(io.StringIO(volbench("compare", str(tmp_path), "--format", "csv")))
    (row,) = [row for row in table if row["kind"] == "run"]
    assert (row["encoder"], row["status"]) == (encoder, "complete")


def test_slice_level_needs_a_token_per_slice(tmp_path):
    arguments = ("run", "--data", "phantom(patients=12, size=32, slices=3)", "--level", "slice")
    options = ("--encoder", "monai_resnet(layers=10)", "--loss", "focal", "--out", str(tmp_path))
    result = CliRunner().invoke(main, [*arguments, *options, "--folds", "2"])
    assert result.exit_code == 4
    assert "leaves one token per 32 slices" in result.output
