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
    "loss",
    ["focal+0.5*supcon", "focal+0.1*arcface(scale=16)", "focal+multi_similarity(miner='hdc')"],
)
def test_a_run_ends_as_a_row_of_the_table(loss, tmp_path):
    volbench(
        *("run", "--data", "phantom(patients=12, size=16, slices=3)", "--encoder", "r2d(width=4)"),
        *("--agg", "average", "--loss", loss, "--folds", "2", "--set", "training.epochs=1"),
        *("--device", "cpu", "--out", str(tmp_path)),
    )
    table = csv.DictReader(io.StringIO(volbench("compare", str(tmp_path), "--format", "csv")))
    (row,) = [row for row in table if row["kind"] == "run"]
    assert (row["loss"], row["status"]) == (loss, "complete")
