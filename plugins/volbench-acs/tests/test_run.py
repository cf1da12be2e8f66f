"""From the command line to a graph that holds for any number of slices, and a row of the table."""

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
def test_a_run_can_be_exported_and_ends_as_a_row_of_the_table(tmp_path):
    volbench(
        *("run", "--data", "phantom(patients=12, size=32, slices=3)"),
        *("--encoder", 'acs(name="test_resnet")', "--agg", "average", "--loss", "focal"),
        *("--folds", "2", "--set", "training.epochs=1", "--device", "cpu", "--out", str(tmp_path)),
        *("--name", "acs"),
    )
    volbench("export", str(tmp_path / "acs"), "--output", str(tmp_path / "acs.onnx"))
    table = volbench("compare", str(tmp_path), "--format", "csv")
    assert len([line for line in table.splitlines() if "test_resnet" in line]) == 1
