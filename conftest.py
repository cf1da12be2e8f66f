"""Examples in docstrings find runs where they look for them: in ``runs`` and in ``trained``."""

import shutil
from pathlib import Path

import pytest

KEPT = Path(__file__).parent / "tests" / "helpers" / "version_0_1" / "run"


@pytest.fixture(scope="session")
def folder_of_examples(tmp_path_factory):
    """``runs/mine`` and ``runs/other`` on the same folds, and ``trained/mine`` with networks."""
    from tests.report.made_runs import write_run

    folder = tmp_path_factory.mktemp("examples")
    write_run(folder / "runs", "mine", encoder="rmc5", aggregator="bilinear", skill=2.0)
    write_run(folder / "runs", "other", encoder="r2d", skill=0.5)
    shutil.copytree(KEPT, folder / "trained" / "mine")
    return folder


@pytest.fixture(autouse=True)
def _examples_run_where_runs_are(request, monkeypatch):
    """Give a docstring's example that folder, and figures that nobody has to close."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(request.getfixturevalue("folder_of_examples"))
