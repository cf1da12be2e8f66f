"""Forty broken plugins, really installed: each is one line, none stops what does not use it."""

import json
import os
import subprocess
import sys

import pytest
from broken import BROKEN, BUILT, IMPORTED, IN_USE, MISBEHAVING, SEEN, install

from tests.helpers.child_environment import child_environment

SMALL = ["--data", "phantom(patients=12, size=16, slices=3)", "--folds", "3", "--device", "cpu"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where they are installed; one of them has lost its metadata since."""
    site = install(BROKEN, tmp_path_factory.mktemp("broken"))
    torn = site / "torn-1.0.dist-info"
    torn.mkdir()
    (torn / "METADATA").write_bytes(b"Name: \xff\xfe\x00")
    (torn / "entry_points.txt").write_text("[volbench.losses]\ntorn = torn:Loss\n")
    return site


def volbench(site, *arguments, code="from volbench.cli.main import main; main()"):
    """Run the command as a person does who has installed all of them."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=child_environment(site),
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.fixture(scope="module")
def listed(site):
    return volbench(site, "list", "--json")


@pytest.fixture(scope="module")
def tried(site):
    done = volbench(site, "list", "plugins", "--json")
    return {one["distribution"]: one for one in json.loads(done.stdout)["plugins"]}


def test_there_are_twenty_kinds_or_more():
    assert len({plugin.name for plugin in BROKEN}) >= 20


def test_listing_goes_on_and_names_all_that_is_there(listed):
    assert listed.returncode == 0
    names = {item["name"] for item in json.loads(listed.stdout)["aggregators"]}
    wanted = {plugin.says for plugin in BROKEN if plugin.group == "volbench.aggregators"}
    assert names >= wanted | {"average", "bilinear"}
    assert "hello" not in listed.stdout


@pytest.mark.parametrize("plugin", SEEN, ids=lambda plugin: plugin.name)
def test_what_can_be_seen_unimported_is_one_warning_line(listed, plugin):
    lines = [line for line in listed.stderr.splitlines() if plugin.distribution in line]
    assert len(lines) == 1
    assert plugin.seen in lines[0]
    assert lines[0].startswith("volbench: warning: ")


def test_unreadable_metadata_is_one_line_that_says_where(listed, tried):
    (line,) = [line for line in listed.stderr.splitlines() if "torn" in line]
    assert "its metadata cannot be read" in line
    (state,) = [one["state"] for name, one in tried.items() if "torn" in name]
    assert state.startswith("broken: its metadata cannot be read")


@pytest.mark.parametrize("plugin", [*IMPORTED, *SEEN, *MISBEHAVING], ids=lambda plugin: plugin.name)
def test_the_list_of_plugins_says_what_is_wrong_with_each(tried, plugin):
    state = tried[plugin.distribution]["state"]
    assert state.startswith("broken: ")
    expected = plugin.tried or plugin.seen
    if plugin.component == "clash":
        expected = "has the name of that of broken-clash"
    assert expected in state
    assert "\n" not in state


def test_the_list_of_plugins_calls_ok_what_is_found_in_use_only(tried):
    assert {tried[plugin.distribution]["state"] for plugin in [*BUILT, *IN_USE]} == {"ok"}
    assert tried["volbench"]["state"] == "ok"


USE = """
import contextlib, io, json, os, sys

from volbench.cli.main import main

def call(arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments) or 0
        except SystemExit as ended:
            code = ended.code or 0
    return code, out.getvalue(), err.getvalue()

small, names, folder = json.loads(sys.argv[1])
SHORT = ["--set", "training.epochs=1", "--jobs", "1", "--fold", "0"]
said = {}
for name in names:
    run = ["run", "--encoder", "r2d(width=2)", "--agg", name, "--loss", "focal", *small]
    said[name] = call([*run, "--out", folder + "/" + name, *SHORT])
import random, torch
said["state"] = [str(torch.get_default_dtype()), torch.get_num_threads(), os.getcwd()]
run = ["run", "--encoder", "r2d(width=2)", "--agg", "average", "--loss", "focal", *small]
said["run"] = call([*run, "--out", folder, *SHORT[:-2]])
said["compare"] = call(["compare", folder, "--format", "json"])
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def used(site, tmp_path_factory):
    """All but those that end the process, used one after another in one process; then a run."""
    plugins = [p for p in [*IMPORTED, *SEEN, *BUILT, *MISBEHAVING] if p.used or p in MISBEHAVING]
    names = sorted({plugin.says for plugin in plugins})
    given = json.dumps([SMALL, names, str(tmp_path_factory.mktemp("runs"))])
    done = volbench(site, given, code=USE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "plugin", [p for p in [*IMPORTED, *SEEN, *BUILT] if p.used], ids=lambda plugin: plugin.name
)
def test_using_a_broken_one_is_one_line_and_exit_code_7(used, plugin):
    code, out, err = used[plugin.says]
    assert code == 7, err
    assert out == ""
    (line,) = err.splitlines()
    assert plugin.used in line
    assert plugin.distribution in line


@pytest.mark.parametrize("plugin", MISBEHAVING, ids=lambda plugin: plugin.name)
def test_one_that_misbehaves_on_import_works_and_changes_nothing(used, plugin):
    code, out, err = used[plugin.name]
    assert code == 0, err
    assert "hello" not in out, "standard output is for results"


def test_after_all_of_them_the_process_is_as_it_was_and_trains(used):
    dtype, _, folder = used["state"]
    assert dtype == "torch.float32"
    assert folder == os.getcwd()
    assert used["run"][0] == 0, used["run"][2]
    assert used["compare"][0] == 0
    assert "average" in json.dumps(json.loads(used["compare"][1]))


@pytest.mark.parametrize(
    "plugins",
    [
        pytest.param([p for p in IN_USE if p.name in ("slow", "hostile", "chatty")], id="three"),
        pytest.param(IN_USE, id="all", marks=pytest.mark.slow),
    ],
)
def test_checking_them_says_what_to_change_first(site, plugins):
    names = [plugin.name for plugin in plugins]
    done = volbench(site, "plugin", "check", "--json", "--import-seconds", "1", *names)
    assert done.returncode == 7, done.stderr
    assert f"{len(names)} of {len(names)} components break their contract" in done.stderr
    found = {result["component"]: result for result in json.loads(done.stdout)}
    for plugin in plugins:
        result = found[plugin.name]
        assert result["failed"] >= 1
        assert result["distribution"] == f"{plugin.distribution} 1.0"
        assert plugin.checked in result["message"], result["message"]
        assert "\n" not in result["message"]
