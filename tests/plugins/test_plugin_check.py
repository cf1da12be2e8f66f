"""`volbench plugin check`: which components it takes, what it says, what it refuses."""

import json
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from volbench.cli.main import main
from volbench.errors import PluginError, UnknownComponentError, UsageError
from volbench.plugins.discovery import Origin
from volbench.plugins.import_check import Trial
from volbench.plugins.registry import REGISTRIES, aggregators
from volbench.testing import AggregatorContract, run
from volbench.testing.run import Result, Target, check, find_targets


@pytest.fixture
def suites(monkeypatch):
    """Suites that need no process: each answers what this dictionary says of its spec."""
    said = {}

    def ask(module, tasks, *, limit_s):
        assert module == "volbench.testing.run"
        for number, task in enumerate(tasks):
            yield number, said[task["spec"]]

    monkeypatch.setattr(run, "run_in_subprocess", ask)
    monkeypatch.setattr(run, "try_imports", lambda origins: [Trial(None) for _ in origins])
    return said


def test_without_names_it_takes_what_plugins_provide_and_with_all_the_built_ins_too(monkeypatch):
    built_in = find_targets(built_in=True)
    assert {str(t.spec) for t in built_in} >= {"rmc5", "bilinear", "focal", "phantom", "flip"}
    assert {t.kinds for t in built_in} == set(REGISTRIES)
    assert [t for t in find_targets() if t.provider.startswith("volbench 0")] == []


def test_any_spec_can_be_checked_and_a_name_of_two_kinds_stands_for_both():
    (target,) = find_targets(["focal(gamma=1.0)"])
    assert (target.kinds, str(target.spec), target.kind) == ("losses", "focal(gamma=1)", "loss")
    with aggregators.adding(focal=dict):
        here, installed = find_targets(["focal"])
    assert (here.kinds, installed.kinds) == ("aggregators", "losses")
    assert here.problem == "is not installed; install it to check it"
    assert installed.problem == ""


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(UnknownComponentError) as caught:
        find_targets(["bilinaer"])
    assert str(caught.value) == "Unknown component 'bilinaer'. Did you mean 'bilinear'?"


def test_results_come_in_order_and_a_dead_process_is_a_failure(suites):
    suites["max"] = {"passed": 20, "failed": 0, "skipped": 1, "message": ""}
    suites["average"] = {"died": "ends the whole process (exit code 5)"}
    found = list(check(find_targets(["max", "average"])))
    assert [(str(r.target.spec), r.passed, r.failed) for r in found] == [
        ("max", 20, 0),
        ("average", 0, 1),
    ]
    assert found[1].message == "ends the whole process (exit code 5)"


def test_one_whose_name_is_not_its_own_is_a_failure_without_a_suite(suites):
    target = Target("losses", find_targets(["focal"])[0].spec, "thief 1.0", problem="rename it")
    assert list(check([target])) == [
        Result(target, failed=1, message="rename it", failures=("rename it",))
    ]


def test_the_table_shows_the_first_failure_and_the_code_is_seven(suites, capsys):
    suites["max"] = {"passed": 20, "failed": 2, "skipped": 1, "message": "aggregator max: mend it"}
    suites["average"] = {"passed": 23, "failed": 0, "skipped": 1, "message": ""}
    with pytest.raises(SystemExit) as caught:
        main(["plugin", "check", "max", "average"])
    assert caught.value.code == PluginError.exit_code == 7
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "component  kind        from            passed  failed  skipped  what to change first",
        "max        aggregator  volbench 0.1.0  20      2       1        mend it",
        "average    aggregator  volbench 0.1.0  23      0       1",
    ]
    assert err == "volbench: 1 of 2 components break their contract: max\n"


def test_without_plugins_it_says_so(suites, monkeypatch):
    monkeypatch.setattr(run, "find_targets", lambda names, built_in: [])
    done = CliRunner().invoke(main, ["plugin", "check"])
    assert done.exit_code == 0
    assert done.stdout == "no plugin is installed; --all checks volbench's own components\n"


def test_without_pytest_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        list(check(find_targets(["max"])))
    assert str(caught.value) == (
        "the suites need pytest; install it with: pip install 'volbench[test]'"
    )


def test_one_that_needs_options_is_not_tested_and_says_which():
    task = {"kinds": "datasets", "spec": "manifest", "import_seconds": 1.0}
    answer = run._run_suite({**task, "trial": {"error": None, "offences": (), "seconds": 0.0}})
    assert answer == {"message": "not tested: give a spec with manifest(path=...)"}


def test_every_failure_is_told_once_in_the_table_and_in_json(suites, monkeypatch):
    failures = ["aggregator max: gives NaN", "aggregator max: do not detach"]
    suites["max"] = {
        **{"passed": 3, "failed": 2, "skipped": 0},
        **{"message": failures[0], "failures": failures},
    }
    done = CliRunner().invoke(main, ["plugin", "check", "max"])
    assert done.exit_code == 7
    assert "gives NaN" in done.stdout
    assert "max also: do not detach" in done.stdout
    done = CliRunner().invoke(main, ["plugin", "check", "max", "--format", "json"])
    (result,) = json.loads(done.stdout)["results"]
    assert result["failures"] == failures


def test_a_name_that_volbench_has_taken_fails_though_ours_would_pass(suites, monkeypatch):
    entry = EntryPoint("max", "somewhere:Max", aggregators.group)
    theirs = Origin("lab-pooling", "2.0", entry)
    origins = {**aggregators.origins, "max": (*aggregators.origins["max"], theirs)}
    monkeypatch.setitem(aggregators.__dict__, "origins", origins)
    suites["max"] = {"passed": 20, "failed": 0, "skipped": 0, "message": ""}
    ours, other = check(find_targets(["max"]))
    assert (ours.failed, other.failed) == (0, 1)
    assert other.message.startswith("has the name of that of volbench")


def test_nan_is_called_nan():
    class Bad(AggregatorContract):
        spec = "max"

    with pytest.raises(AssertionError, match="aggregator max: gives NaN where a number"):
        Bad().number(torch.tensor([1.0, float("nan")]))


def test_what_to_change_first_is_what_it_does_not_what_its_text_lacks():
    tally = run._Tally()
    said = {
        "test_says_what_it_is_and_where_it_is_from": "has no docstring",
        "test_nan": "gives NaN",
        "test_shape": "gives tokens of (2, 4, 5)",
    }
    for name, message in said.items():
        report = SimpleNamespace(
            outcome="failed", when="call", nodeid=f"t.py::TestComponent::{name}", longrepr=message
        )
        tally.pytest_runtest_logreport(report)
    assert tally.failures == ["gives NaN", "gives tokens of (2, 4, 5)", "has no docstring"]
    assert tally.failed == 3


def test_the_test_of_its_text_has_the_name_that_is_told_last():
    assert hasattr(AggregatorContract, run.DOCUMENTATION)
