"""From the command line to a row of the table, with each of them."""

import subprocess
import sys

import pytest


def volbench(*arguments):
    """As a user calls it: in a process of its own, without the checks of shapes in tests."""
    command = [sys.executable, "-c", "from volbench.cli.main import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gem", "log_sum_exp", "lstm", "sm_attention", "sm_transformer"])
def test_a_run_ends_as_a_row_of_the_table(name, tmp_path):
    if name.startswith("sm_"):
        pytest.importorskip("torchmil")
    volbench(
        *("run", "--data", "phantom(patients=12, size=16, slices=3)", "--encoder", "r2d(width=4)"),
        *("--agg", name, "--loss", "focal", "--folds", "2", "--set", "training.epochs=1"),
        *("--device", "cpu", "--out", str(tmp_path)),
    )
    table = volbench("compare", str(tmp_path), "--format", "csv")
    rows = [line for line in table.splitlines() if name in line]
    assert len(rows) == 1
