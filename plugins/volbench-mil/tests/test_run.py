"""From the command line to a row of the table, with each of them."""

import pytest
from click.testing import CliRunner
from volbench.cli.main import main


def volbench(*arguments):
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gated_attention", "gem", "log_sum_exp", "lstm", "transformer"])
def test_a_run_ends_as_a_row_of_the_table(name, tmp_path):
    volbench(
        *("run", "--data", "phantom(patients=12, size=16, slices=3)", "--encoder", "r2d(width=4)"),
        *("--agg", name, "--loss", "focal", "--folds", "2", "--set", "training.epochs=1"),
        *("--device", "cpu", "--out", str(tmp_path)),
    )
    table = volbench("compare", str(tmp_path), "--format", "csv")
    rows = [line for line in table.splitlines() if name in line]
    assert len(rows) == 1
