"""The page about TorchIO runs as it stands, on data small enough to train in seconds."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.child_environment import child_environment
from volbench.cli.main import main
from volbench.datasets.phantom import Phantom
from volbench.datasets.phantom.export import export

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "torchio.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [line[2:] for line in PAGE.splitlines() if line.startswith("$ volbench")]
SMALL = [
    "--folds",
    "2",
    "--jobs",
    "1",
    "--set",
    "training.epochs=1",
    "--set",
    "preprocessing.size=16",
]

# The function of the page names two files; a cohort needs more, with the same attributes.
COHORT = """
import csv
from pathlib import Path

import torchio as tio

ROOT = Path(__file__).parents[1] / "my"


def subjects(site="A"):
    with (ROOT / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return tio.SubjectsDataset([
        tio.Subject(t2w=tio.ScalarImage(ROOT / r["image"]), stage=r["label"], pid=r["patient"])
        for r in rows
    ])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchio")
    phantom = Phantom(patients=12, size=16, slices=3)
    export(phantom, folder / "my", form="nifti", report=lambda done, total: None)
    (folder / "my_lab").mkdir()
    (folder / "my_lab" / "cohort.py").write_text(COHORT)
    return folder


def run(folder, words):
    environment = child_environment(folder, OMP_NUM_THREADS="1")
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )


def shortened(line):
    """The command as shown, on a small encoder, a small phantom and a case that is there."""
    for shown, short in (
        ("rmc5", "'r2d(width=2)'"),
        ("bilinear", "max"),
        ("--case P1", "--case case_000"),
        ("(256, 256, 24)", "(16, 16, 3)"),
    ):
        line = line.replace(shown, short)
    words = shlex.split(line)
    if words[1] != "run":
        return words
    data = [] if "--data" in words else ["--data", "phantom(patients=12, size=16, slices=3)"]
    return [*words, *data, *SMALL]


def test_the_commands_of_the_page_run(folder, monkeypatch):
    names = [path.name for path in (folder / "my" / "images").iterdir()]
    first = min(names).partition(".")[0]
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)  # where the function of the page is
    for line in COMMANDS:
        words = [first if word == "case_000" else word for word in shortened(line)]
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, (line, done.output)
    assert (folder / "montage.png").is_file()
    assert (folder / "data-show.html").is_file()


def test_the_python_of_the_page_runs(folder):
    cohort, training, back = PYTHON
    assert "def subjects" in cohort
    compile(cohort, "torchio.md", "exec")
    code = "\n".join(
        [
            "import torchio, volbench",
            "from my_lab.cohort import subjects",
            "from volbench.data.preparation import default_options, prepare",
            "dataset = subjects()",
            "for one in dataset.dry_iter(): one.update(label=one['stage'], patient=one['pid'])",
            training.replace('"rmc5"', '"r2d(width=2)"').replace(
                'loss="focal"',
                'loss="focal", folds=2, jobs=1, '
                'overrides=("training.epochs=1", "preprocessing.size=16")',
            ),
            "from volbench.data.cache.writing import copy_prepared",
            "copy_prepared(prepare('my/manifest.csv', default_options('my')), Path('prepared'))",
            back,
            "assert next(iter(loader))['image'][torchio.DATA].shape[1:] == (1, 256, 256, 3)",
        ]
    )
    done = run(folder, [sys.executable, "-c", f"from pathlib import Path\n{code}"])
    assert done.returncode == 0, done.stderr
    assert (folder / "seen.nii.gz").is_file()
