"""The page that puts the evidence together is what docs/make_evidence.py runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from volbench.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import make_evidence  # noqa: E402

STEPS = list(make_evidence.steps(make_evidence.PAGE.read_text(encoding="utf-8")))


def test_every_command_of_the_page_is_run_in_its_order():
    page = make_evidence.PAGE.read_text(encoding="utf-8")
    said = re.findall(r"^\$ (.*)$", page, re.MULTILINE)
    ran = [line for step in STEPS for line in step.lines if not line.startswith("cat > ")]
    assert ran == said
    assert len(STEPS) == 7


def test_a_file_that_the_page_shows_is_written(tmp_path):
    (suite,) = (line for step in STEPS for line in step.lines if line.startswith("cat > "))
    subprocess.run(["bash", "-c", suite], cwd=tmp_path, check=True)
    done = CliRunner().invoke(main, ["suite", "run", str(tmp_path / "many.toml"), "--help"])
    assert done.exit_code == 0
    assert (tmp_path / "many.toml").read_text().startswith('title = "Two candidates')


def test_a_command_that_fails_ends_the_script(tmp_path):
    failing = [make_evidence.Step("It's a part", ("false", "touch after"))]
    with pytest.raises(subprocess.CalledProcessError):
        make_evidence.run(failing, tmp_path / "new", None)
    assert list((tmp_path / "new").iterdir()) == []


def test_nodules_are_asked_of_the_last_part_only():
    needing = [step.heading for step in STEPS if make_evidence.NEEDED in "".join(step.lines)]
    assert needing == [STEPS[-1].heading] == ["On real nodules"]


def test_a_part_of_a_report_is_cut_out_whole():
    page = '<head></head><body><section id="a"><h3 id="a-x">X</h3>1<h3 id="a-y">Y</h3>2</section>'
    assert make_evidence.part(page, "a-x").endswith('<h3 id="a-x">X</h3>1</main></body></html>')
    assert make_evidence.part(page, "a").count("<h3") == 2
    page = page.replace("2</section>", '2<p id="a-z">3<h3 id="a-v">V</h3></section>')
    assert make_evidence.part(page, "a-z").endswith('<main><p id="a-z">3</main></body></html>')
    with pytest.raises(SystemExit, match="no part b"):
        make_evidence.part(page, "b")


def test_a_later_part_knows_what_earlier_ones_set():
    (later,) = (step for step in STEPS if step.heading == "Is it the image that was given?")
    lines = make_evidence.script(STEPS, later.heading).splitlines()
    assert lines[1].startswith('SAME="--data cohort/home.csv')
    assert lines[2] == "echo '## Is it the image that was given?'"
    assert not any(line.startswith("volbench data phantom") for line in lines)
