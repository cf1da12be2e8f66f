"""The notebook of the manual runs from top to bottom, and its kept outputs hold nothing private."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "examples" / "compare-in-python.ipynb"


@pytest.fixture(scope="module")
def kept():
    return nbformat.read(NOTEBOOK, as_version=4)


def text_of(cell):
    return "".join(
        output.get("data", {}).get("text/plain", "") + output.get("text", "")
        for output in cell.outputs
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_notebook_runs_from_top_to_bottom(kept, tmp_path, monkeypatch):
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    ran = NotebookClient(
        nbformat.from_dict(kept), timeout=120, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = {cell.source.splitlines()[-1]: text_of(cell) for cell in ran.cells if "outputs" in cell}
    assert shown["runs"].startswith("<2 runs, 6 of 6 folds finished: r2d-average")
    assert "rmc5" in shown["runs.leaderboard"]
    figures = [
        output
        for cell in ran.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(figures) == 4
    assert (tmp_path / "report.html").is_file()


def test_the_notebook_is_kept_with_its_outputs(kept):
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(output.output_type != "error" for cell in code for output in cell.outputs)
    assert NOTEBOOK.stat().st_size < 400_000


def test_the_notebook_names_no_place_of_a_machine(kept):
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|work|tmp|Users)/", text)
