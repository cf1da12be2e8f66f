"""Programs that tests start import the tree that the tests stand in, not an installed one."""

import re
import subprocess
import sys
from pathlib import Path

from tests.helpers.child_environment import ROOT, child_environment

TELL = "import volbench, extra; print(volbench.__file__, extra.__file__)"
SETS = re.compile(r"""["']PYTHONPATH["'](\]\s*=[^=]|\s*:)|PYTHONPATH=|setenv\(\s*["']PYTHONPATH""")
MAY = {"conftest.py", "child_environment.py", "test_child_environment.py"}


def installed_elsewhere(folder):
    """Another volbench, on the path as one that is installed."""
    for package in ("volbench", "extra"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text("")
    return folder


def told(environment, cwd):
    command = [sys.executable, "-c", TELL]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [Path(path) for path in done.stdout.split()]


def test_a_child_imports_this_tree_before_what_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(installed_elsewhere(tmp_path / "site")))
    ours, extra = told(child_environment(), tmp_path)
    assert ours.is_relative_to(ROOT / "volbench")
    assert extra.is_relative_to(tmp_path / "site")
    (tmp_path / "extra.py").write_text("")
    ours, extra = told(child_environment(tmp_path), tmp_path.parent)
    assert ours.is_relative_to(ROOT / "volbench")
    assert extra == tmp_path / "extra.py"


def test_a_child_that_inherits_its_variables_imports_this_tree_too(tmp_path):
    (tmp_path / "extra.py").write_text("")
    ours, _ = told(None, tmp_path)
    assert ours.is_relative_to(ROOT / "volbench")


def test_no_test_puts_a_path_of_its_own_in_the_place_of_the_tree():
    folders = (ROOT / "tests", *(ROOT / "plugins").glob("*/tests"))
    files = [file for folder in folders for file in folder.rglob("*.py") if file.name not in MAY]
    assert len(files) > 200
    # The runner of mutants does so on purpose: its copy of the tree is the tree.
    files.remove(ROOT / "tests" / "mutants" / "run.py")
    assert [str(file) for file in files if SETS.search(file.read_text())] == []
    assert SETS.search('env={**os.environ, "PYTHONPATH": str(site)}')
    assert SETS.search('os.environ["PYTHONPATH"] = str(site)')
