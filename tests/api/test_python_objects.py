"""What Python hands out is shown in a line, and listings are the objects that commands print."""

import json

import numpy as np
import pytest

import volbench
from tests.helpers.written_runs import write_run
from volbench.cli.main import main
from volbench.errors import UnknownComponentError, UsageError

LONGEST = 200
"""Signs of a line that a person takes in."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    for number in range(6):
        write_run(folder / f"run{number}", encoder=f"r2d(width={4 + number})", audit=True)
    write_run(folder / "elsewhere", digest="e" * 64)
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    return volbench.load_runs(folder)


@pytest.fixture(scope="module")
def table(folder):
    return volbench.load_runs(*(folder / f"run{number}" for number in range(3)))


def objects(runs):
    comparison = max(runs.comparisons, key=lambda table: len(table.rows))
    yield from (runs, runs.comparisons, comparison, runs.loaded[0], comparison.rows[0])
    yield from (comparison.rows[0].scored[0], comparison.rows[0].scored[0].items)
    yield from (runs.loaded[0].results[0], runs.loaded[0].case_rows[0], comparison.pairs[0])
    yield from (volbench.info("r2d(width=4)"), volbench.info("standard"), *volbench.list().values())


def test_every_object_is_shown_in_one_short_line(runs):
    for shown in objects(runs):
        text = repr(shown)
        assert "\n" not in text
        limit = 2 * LONGEST if text.startswith("Pair(") or text.startswith("Fold") else LONGEST
        assert len(text) <= limit, text


def test_lines_say_what_the_files_hold(runs):
    assert repr(runs) == ("<7 runs, 21 of 21 folds finished: elsewhere, run0, run1, run2, …>")
    assert (
        repr(runs.loaded[1])
        == "<run run0: r2d(width=4), bilinear, focal+triplet; small, 3 of 3 folds>"
    )
    sizes = sorted(len(comparison.rows) for comparison in runs.comparisons)
    assert sizes == [1, 6]
    assert repr(runs.comparisons) == "<2 comparisons: 1 candidate on small, 6 candidates on small>"


def test_a_notebook_shows_the_leaderboard(runs):
    html = runs._repr_html_()
    assert html == runs.comparisons._repr_html_()
    for number in range(6):
        assert f"r2d(width={4 + number})" in html
    assert html.count("<table") == html.count("</table>") >= 2
    assert "<style" not in html, "the page of the notebook keeps its own"


def test_the_small_leaderboard_has_the_numbers_of_the_summary(table):
    small, whole = table.leaderboard, table.summary
    assert list(small.columns[:2]) == ["encoder", "folds"], "only what tells rows apart"
    assert len(small.columns) < 15 < len(whole.columns)
    np.testing.assert_array_equal(small["auc"], whole["auc_mean"])
    np.testing.assert_array_equal(small["low"], whole["auc_low"])
    assert list(small["letters"]) == list(whole["letters"])


def test_several_tables_are_told_apart_in_the_small_leaderboard(runs):
    assert sorted(runs.leaderboard["table"].value_counts()) == [1, 6]


def printed(capsys, *arguments):
    main([*arguments, "--format", "json"], standalone_mode=False)
    return json.loads(capsys.readouterr().out)


def test_lists_are_what_the_command_prints(capsys):
    records = printed(capsys, "list")
    for kind, listed in volbench.list().items():
        assert json.loads(json.dumps([vars(item) for item in listed])) == records[kind]
        assert len(listed.frame) == len(listed)
    assert volbench.list("losses") == volbench.list()["losses"]


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UsageError, match="called 'encoder'; did you mean 'encoders'"):
        volbench.list("encoder")


def test_info_is_what_the_command_prints(capsys):
    (record,) = printed(capsys, "info", "focal")["components"]
    found = volbench.info("focal")
    assert {name: record[name] for name in ("kind", "signature", "source", "summary")} == {
        name: getattr(found, name) for name in ("kind", "signature", "source", "summary")
    }
    recipe = printed(capsys, "info", "standard")
    assert [key["key"] for key in recipe["keys"]] == list(volbench.info("standard").frame["key"])


def test_info_refuses_what_is_not_there():
    with pytest.raises(UnknownComponentError, match="rmc5"):
        volbench.info("rmc6")
    with pytest.raises(UsageError, match="'focal' is the name of: loss; there is no encoder"):
        volbench.info("focal", kind="encoder")


def test_a_star_import_leaves_the_list_of_python_alone():
    names = {}
    exec("from volbench import *", names)
    assert "list" not in names
    assert {"run", "compare", "info", "plot"} <= set(names)
