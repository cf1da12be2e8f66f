import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.rows import CLASSES, row, slices
from volbench.errors import UsageError
from volbench.evaluation import case_groups, gather, strata_of, stratum_scores
from volbench.runs.cases_file import CaseRow


def alternating(number, patient=None):
    """Cases in turn of both classes, all of them in the right order."""
    return [
        row(f"c{n:02d}", CLASSES[n % 2], 0.2 + 0.5 * (n % 2), patient=patient and patient(n))
        for n in range(number)
    ]


def test_every_stratum_is_scored_with_its_n():
    rows = alternating(24)
    site = {r.case: {"site": "a" if n < 14 else "b"} for n, r in enumerate(rows)}
    rows[0] = row("c00", "T2", 0.9)  # above all seven positives of site a
    frame = stratum_scores(gather(rows, CLASSES), site).set_index("group")
    assert frame["stratum"].tolist() == ["site", "site"]
    assert frame["n"].to_dict() == {"a": 14, "b": 10}
    assert frame["n_T3"].to_dict() == {"a": 7, "b": 5}
    assert frame["auc"].to_dict() == {"a": pytest.approx(6 / 7), "b": 1}


def test_a_stratum_with_too_few_of_a_class_has_its_n_and_no_number():
    rows = [*alternating(10), *(row(f"d{n}", "T3", 0.9) for n in range(9))]
    site = {r.case: {"site": r.case[0]} for r in rows}
    frame = stratum_scores(gather(rows, CLASSES), site).set_index("group")
    assert frame.loc["d", ["n", "patients", "n_T2", "n_T3"]].tolist() == [9, 9, 0, 9]
    assert math.isnan(frame.loc["d", "auc"])
    assert math.isnan(frame.loc["d", "recall_T3"])
    assert frame.loc["c", "auc"] == 1
    fewer = stratum_scores(gather(rows, CLASSES), site, fewest=6).set_index("group")
    assert math.isnan(fewer.loc["c", "auc"])


def test_many_numbers_are_cut_at_their_terciles():
    thickness = {f"c{n}": f"{3 + n / 10:.1f}" for n in range(9)}
    assert case_groups(thickness) == {
        **dict.fromkeys(["c0", "c1", "c2"], "3-3.2"),
        **dict.fromkeys(["c3", "c4", "c5"], "3.3-3.5"),
        **dict.fromkeys(["c6", "c7", "c8"], "3.6-3.8"),
    }


def test_groups_of_many_equal_numbers_keep_equal_numbers_together():
    # Of eleven values in order, the terciles are at places 3.33 (1) and 6.67 (1.25 to 2).
    values = ["1"] * 6 + ["1.25", "2", "2.5", "3", "3.5"]
    groups = case_groups({f"c{n}": value for n, value in enumerate(values)})
    assert sorted(set(groups.values())) == ["1", "1.25", "2-3.5"]


def test_numbers_that_differ_late_are_told_apart():
    values = [f"1.0000{n}" for n in range(9)]
    groups = case_groups({f"c{n}": value for n, value in enumerate(values)})
    assert list(dict.fromkeys(groups.values())) == [
        "1-1.00002",
        "1.00003-1.00005",
        "1.00006-1.00008",
    ]


def test_few_numbers_and_words_are_groups_of_their_own_in_order():
    field = case_groups({"a": "3.0", "b": "1.5", "c": "3", "d": ""})
    assert field == {"b": "1.5", "a": "3", "c": "3", "d": "missing"}
    assert list(field) == ["b", "a", "c", "d"]
    words = [f"site {letter}" for letter in "cabdefg"]
    assert list(case_groups({word: word for word in words})) == sorted(words)
    assert case_groups({"a": "12", "b": "A1", "c": "NaN"}) == {
        "a": "12",
        "b": "A1",
        "c": "missing",
    }


@given(
    st.lists(st.sampled_from(["", "1", "1.5", "2", "3", "4", "5", "6", "x", "inf"]), max_size=30)
)
def test_every_case_is_in_one_group(values):
    named = {f"c{n}": value for n, value in enumerate(values)}
    groups = case_groups(named)
    assert groups.keys() == named.keys()
    assert all(groups.values())
    assert len(set(groups.values())) <= max(4, len(set(values)))


def test_the_groups_of_patients_add_up():
    rows = alternating(24, patient=lambda n: f"P{n % 12}")  # two cases each, of one class
    site = {
        r.case: {"site": "a" if n < 8 else "b", "scanner": "" if n % 12 == 0 else "S"}
        for n, r in enumerate(rows)
    }
    items = gather(rows, CLASSES, unit="patient")
    frame = stratum_scores(items, site, fewest=1)
    assert frame.groupby("stratum")["n"].sum().to_dict() == {"site": 12, "scanner": 12}
    by_site = frame[frame["stratum"] == "site"].set_index("group")["n"]
    assert by_site.to_dict() == {"b": 4, "several values": 8}
    by_scanner = frame[frame["stratum"] == "scanner"].set_index("group")["n"]
    assert by_scanner.to_dict() == {"S": 11, "missing": 1}


def test_slices_are_in_the_stratum_of_their_case():
    rows = [r for n in range(10) for r in slices(f"c{n}", CLASSES[n % 2], 0.2, 0.3)]
    frame = stratum_scores(
        gather(rows, CLASSES), {f"c{n}": {"site": "a"} for n in range(10)}, columns=["site"]
    )
    assert frame[["n", "patients"]].to_numpy().tolist() == [[20, 10]]


def test_columns_in_which_all_are_alike_are_shown_when_asked_for_only():
    rows = alternating(10)
    strata = {r.case: {"site": "a"} for r in rows}
    items = gather(rows, CLASSES)
    assert stratum_scores(items, strata).empty
    assert stratum_scores(items, strata, columns=["site"])["n"].tolist() == [10]


def test_unknown_columns_and_cases_are_refused():
    items = gather(alternating(10), CLASSES)
    strata = {f"c{n:02d}": {"site": str(n % 2)} for n in range(10)}
    with pytest.raises(UsageError, match="stratum 'age' is unknown for this data; there is site"):
        stratum_scores(items, strata, columns=["age"])
    del strata["c03"]
    with pytest.raises(UsageError, match="nothing is known of case 'c03'"):
        stratum_scores(items, strata)


def test_strata_are_read_from_the_cases_of_a_run():
    case = CaseRow(
        case="c",
        patient="p",
        label="T2",
        fold="0",
        shape=(20, 256, 256),
        spacing_mm=(3.0000001, 0.4, 0.4),
        roi_mm3=None,
        strata={"site": "a"},
    )
    assert strata_of([case]) == {"c": {"slice_mm": "3", "slices": "20", "roi_mm3": "", "site": "a"}}
