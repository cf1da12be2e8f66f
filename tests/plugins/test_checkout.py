"""A checkout that is not installed runs all the same: its project file says what it provides."""

import subprocess
import sys
import tomllib
from importlib.metadata import Distribution
from pathlib import Path

import volbench
from volbench.plugins import discovery
from volbench.plugins.discovery import scan_distributions

ROOT = Path(volbench.__file__).parents[1]


def test_what_a_checkout_provides_is_what_the_installed_one_does(monkeypatch):
    def of_others():
        return [each for each in Distribution.discover() if each.metadata["Name"] != "volbench"]

    installed = {origin.entry for origin in scan_distributions().origins if origin.is_built_in}
    monkeypatch.setattr(discovery, "distributions", of_others)
    found = [origin for origin in scan_distributions().origins if origin.is_built_in]
    assert {(o.entry.group, o.entry.name, o.entry.value) for o in found} == {
        (entry.group, entry.name, entry.value) for entry in installed
    }
    assert {origin.version for origin in found} == {volbench.__version__}


def test_another_project_beside_the_package_provides_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(discovery, "distributions", list)
    for text in ('[project]\nname = "other"\n', "broken"):
        (tmp_path / "pyproject.toml").write_text(text)
        monkeypatch.setattr(discovery, "CHECKOUT", tmp_path / "pyproject.toml")
        assert scan_distributions().origins == ()


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "volbench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"volbench, version {volbench.__version__}\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == volbench.__version__
