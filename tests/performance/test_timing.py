"""The harness of the speed benchmarks: whose turn it is, what a ratio is, what a file holds."""

import json
import time

import pytest
import timing
from ratio_table import Table


def test_candidates_take_turns_and_another_one_begins_each_round():
    calls = []
    candidates = {name: lambda name=name: calls.append(name) for name in "abc"}
    seconds = timing.interleave(candidates, rounds=4, warmup=1)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert {name: len(each) for name, each in seconds.items()} == {"a": 4, "b": 4, "c": 4}


def test_a_sleeping_candidate_costs_wall_time_and_no_processor_time():
    naps = {"nap": lambda: time.sleep(0.05)}
    (wall,) = timing.interleave(naps, rounds=1, warmup=0)["nap"]
    (processor,) = timing.interleave(naps, rounds=1, warmup=0, clock="processor")["nap"]
    assert wall >= 0.05
    assert processor < 0.05


def test_no_round_is_an_error():
    with pytest.raises(ValueError, match=r"rounds must be at least 1, but got rounds=0\."):
        timing.interleave({"a": int}, rounds=0)


def table(**changes):
    fields = {
        "title": "Adding",
        "unit": "ms",
        "reference": "ours",
        # Ratios of the rounds by hand: 3, 2, 4; the ratio of the medians would be 2.
        "seconds": {"ours": [0.001, 0.002, 0.003], "theirs": [0.003, 0.004, 0.012]},
        "extra": {"AUC": {"theirs": 0.75}},
        "notes": ["theirs does more"],
    }
    return Table(**{**fields, **changes})


def test_a_ratio_is_the_median_of_the_ratios_within_rounds():
    theirs = table().as_dict()["candidates"]["theirs"]
    assert theirs["ratio"] == pytest.approx({"min": 2.0, "median": 3.0, "max": 4.0})
    assert (theirs["min"], theirs["median"], theirs["max"]) == (0.003, 0.004, 0.012)
    assert theirs["AUC"] == 0.75


def test_a_table_prints_aligned_lines():
    assert table().text().splitlines() == [
        "Adding (3 rounds; ratio to ours)",
        "        min ms  median   max  ratio    (min to max)    AUC",
        "ours      1.00    2.00  3.00   1.00  (1.00 to 1.00)",
        "theirs    3.00    4.00  12.0   3.00  (2.00 to 4.00)  0.750",
        "  theirs does more",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "min"}, "unit must be one of s, ms, us, but got 'min'."),
        ({"reference": "us"}, "The reference 'us' was not timed; timed: ours, theirs."),
        (
            {"seconds": {"ours": [1.0], "theirs": []}},
            "Every candidate needs as many rounds as the others: {'ours': 1, 'theirs': 0}.",
        ),
    ],
)
def test_a_table_that_cannot_be_compared_is_an_error(changes, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        table(**changes)
    assert str(error.value) == message


def test_a_file_holds_tables_settings_and_the_machine(tmp_path):
    arguments = timing.parser("Add.").parse_args(["--device", "cpu", "--rounds", "3"])
    timing.write_json(tmp_path / "a.json", [table()], vars(arguments))
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["settings"]["rounds"] == 3
    assert document["settings"]["toy"] is False
    assert document["tables"][0]["candidates"]["ours"]["seconds"] == [0.001, 0.002, 0.003]
    named = {"date", "command", "commit", "processor", "cores", "threads", "python", "torch"}
    assert named <= set(document["machine"])
    assert document["machine"]["gpu"] is None


def test_a_report_prints_all_tables_and_writes_them_only_where_it_was_asked_to(tmp_path, capsys):
    tables = [table(title="First"), table(title="Second")]
    options = timing.parser("Add.")
    timing.report(tables, options.parse_args(["--device", "cpu"]))
    printed = capsys.readouterr().out
    assert printed == f"{tables[0].text()}\n\n{tables[1].text()}\n"
    assert not list(tmp_path.iterdir())

    file = tmp_path / "figures.json"
    timing.report(tables, options.parse_args(["--device", "cpu", "--json", str(file)]), slices=[3])
    assert capsys.readouterr().out == printed
    document = json.loads(file.read_text())
    assert [each["title"] for each in document["tables"]] == ["First", "Second"]
    assert (document["settings"]["device"], document["settings"]["slices"]) == ("cpu", [3])


def test_tables_that_are_printed_already_are_kept_without_a_word(tmp_path, capsys):
    file = tmp_path / "figures.json"
    arguments = timing.parser("Add.").parse_args(["--device", "cpu", "--json", str(file)])
    timing.keep([table()], arguments)
    assert capsys.readouterr().out == ""
    assert json.loads(file.read_text())["tables"][0]["title"] == "Adding"


def test_a_peer_that_is_there_but_broken_is_not_taken_for_missing():
    with pytest.raises(ModuleNotFoundError, match="nibabel"):
        timing.absent("monai", ModuleNotFoundError("No module named 'nibabel'", name="nibabel"))
