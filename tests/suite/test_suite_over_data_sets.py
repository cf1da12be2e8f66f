"""A suite over several data sets: all experiments on each, and one answer."""

import json

import pytest
from click.testing import CliRunner

from tests.helpers.small import write_small
from volbench.cli.main import main
from volbench.errors import UsageError
from volbench.suite import load_suite, load_suites

SUITE = """
title = "Two hospitals"
data = ["north", "south"]
folds = 2
set = ["training.epochs=1"]

[[table]]
title = "Encoders"
level = "slice"
encoder = ["r2d(width=2)", "rmc5(width=2)"]
loss = "focal"
"""


def invoke(*arguments):
    return CliRunner().invoke(main, ["suite", *map(str, arguments)])


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    for place, name in enumerate(("north", "south")):
        write_small(folder / name, cases=36, digest=str(place) * 64)
    (folder / "suite.toml").write_text(SUITE)
    before = invoke("show", folder / "suite.toml", "--out", folder / "out")
    found = invoke("run", folder / "suite.toml", "--out", folder / "out", "--jobs", "1")
    return folder, before, found


def test_every_experiment_runs_on_every_data_set_in_a_folder_of_its_own(ran):
    folder, _, found = ran
    assert found.exit_code == 0, found.output
    show = f"volbench suite show {folder / 'suite.toml'} --out {folder / 'out'}"
    assert f"{show} compares over all 2 data sets" in found.output
    for place in ("1-north", "2-south"):
        assert len(list((folder / "out" / place).glob("*/experiment.json"))) == 2


def test_its_tables_are_followed_by_one_answer(ran):
    folder, before, _ = ran
    assert "fewer than" in before.output or "0 data sets" in before.output
    shown = invoke("show", folder / "suite.toml", "--out", folder / "out")
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("Encoders") == 2
    said = " ".join(shown.output.split())
    assert "2 data sets" in said
    assert "P(best)" in said
    document = json.loads(
        invoke("show", folder / "suite.toml", "--out", folder / "out", "--format", "json").stdout
    )
    assert len(document["suites"]) == 2
    assert {row["encoder"] for row in document["over_data_sets"]["candidates"]} == {
        "r2d(width=2)", "rmc5(width=2)",
    }  # fmt: skip


def test_one_data_set_is_the_suite_that_it_was(tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text(SUITE.replace('["north", "south"]', '"phantom"'))
    (only,) = load_suites(path)
    assert only == load_suite(path)
    assert only.out.as_posix() == "runs/suite"
    path.write_text(SUITE)
    with pytest.raises(UsageError, match="2 data sets; name one"):
        load_suite(path)
    assert load_suite(path, data="phantom").data == "phantom"
    (named,) = load_suites(path, data="phantom")
    assert named.part == ""
