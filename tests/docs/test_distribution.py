"""What is released: a wheel and an sdist that PyPI takes, and that run without the checkout."""

import os
import re
import shlex
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = ["--data", "phantom(patients=16)", "--folds", "2", "--set", "training.epochs=1"]

pytestmark = pytest.mark.slow


def run(*words: str | Path, **options) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The wheel and the sdist; the wheel is built from the sdist, so neither lacks a file."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def bin_folder(distributions, tmp_path_factory):
    """Programs of a bare environment with the wheel, which borrows this one's dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", distributions[0])
    return folder / "bin"


def outside(folder: Path) -> dict[str, object]:
    """Where and with what variables a command runs that shall not see the checkout."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return {"cwd": folder, "env": {**kept, "VOLBENCH_CACHE": str(folder / "cache")}}


def first_commands() -> list[list[str]]:
    block = re.search(r"^```console\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [shlex.split(line.removeprefix("$ ")) for line in block[1].splitlines()]


def test_both_distributions_are_fit_for_the_package_index(distributions):
    assert "PASSED" in run(sys.executable, "-m", "twine", "check", "--strict", *distributions)


def test_the_wheel_holds_the_package_and_nothing_else(distributions):
    names = zipfile.ZipFile(distributions[0]).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"volbench"}
    committed = run("git", "ls-files", "volbench", cwd=ROOT).splitlines()
    assert set(committed) <= set(names)


def test_the_sdist_can_be_tested_and_documented(distributions):
    with tarfile.open(distributions[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = ["README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "Makefile", "constraints.txt"]
    assert {*needed, "tests/conftest.py", "docs/conf.py"} <= names
    assert not [name for name in names if name.startswith((".venv", "runs/", "docs/_build"))]


def test_the_first_commands_of_the_readme_run_with_the_installed_wheel(bin_folder, tmp_path):
    where = outside(tmp_path)
    program = run(bin_folder / "python", "-c", "import volbench; print(volbench.__file__)", **where)
    assert Path(program.strip()).is_relative_to(bin_folder.parent)
    install, *commands = first_commands()
    assert install == ["pip", "install", "volbench"]
    assert [words[1] for words in commands] == ["run", "run", "compare", "report"]
    for name, *words in commands:
        output = run(bin_folder / name, *words, *(SMALL if words[0] == "run" else []), **where)
        if words[0] == "compare":
            assert re.search(r"r2d +average +focal +2/2", output)
            assert re.search(r"rmc5 +bilinear +focal\+triplet +2/2", output)
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
