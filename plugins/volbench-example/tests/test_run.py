"""From the command line to a row of the table, with all of it at once."""

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
def test_a_run_of_all_components_ends_as_a_row_of_the_table(tmp_path):
    curves = tmp_path / "curves.csv"
    volbench(
        *("run", "--data", "phantom(patients=12, size=16, slices=3)", "--encoder", "lenet"),
        *("--agg", "top_k(k=2)", "--loss", "generalized_cross_entropy", "--folds", "2"),
        *("--set", "training.epochs=1", "--set", "training.augmentation=cutout+flip"),
        *("--track", f"csv_curves(file={str(curves)!r})"),
        *("--device", "cpu", "--out", str(tmp_path / "runs")),
    )
    table = volbench("compare", str(tmp_path / "runs"), "--format", "csv")
    (row,) = [row for row in csv.DictReader(io.StringIO(table)) if row["kind"] == "run"]
    assert (row["encoder"], row["aggregator"]) == ("lenet", "top_k(k=2)")
    with curves.open(newline="") as file:
        assert {line["fold"] for line in csv.DictReader(file)} == {"0", "1"}
