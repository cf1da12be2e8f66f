"""The pytest plugin for component packages, and that the packages here share it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(ROOT.glob("plugins/volbench-*"))
TEST = """
import os
from pathlib import Path

def test_isolated():
    assert os.environ["OMP_NUM_THREADS"] == "1"
    cache = Path(os.environ["VOLBENCH_CACHE"])
    assert cache.is_dir() and cache != Path("theirs")
"""


@pytest.mark.parametrize("loaded", [True, False])
def test_a_suite_that_loads_it_has_one_thread_and_a_cache_of_its_own(loaded, tmp_path):
    (tmp_path / "test_it.py").write_text(TEST, encoding="utf-8")
    plugin = ["-p", "volbench.testing.pytest_plugin"] if loaded else []
    environment = {**os.environ, "OMP_NUM_THREADS": "7", "VOLBENCH_CACHE": "theirs"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", ".", *plugin, "."],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == loaded, done.stdout


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_package_here_uses_it_and_the_one_script(package):
    described = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    options = described["tool"]["pytest"]["ini_options"]["addopts"]
    assert options[:2] == ["-p", "volbench.testing.pytest_plugin"]
    assert not (package / "tests" / "conftest.py").exists()
    assert "/../ci" in (package / ".ci" / "run").read_text(encoding="utf-8")
