"""With one held-out part nothing is averaged: neither the table nor the page speaks of folds."""

import pytest

from tests.helpers.written_runs import write_rival
from tests.report.made_runs import write_run
from tests.report.page_reading import Page
from volbench.leaderboard import compare_runs, load_run
from volbench.leaderboard.text import headline_notes, shortcut_notes, unfinished_learning
from volbench.report import make_report

AVERAGED = ("over folds", "within folds", "one standard deviation either way", "most folds")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return {
        folds: [
            load_run(
                write_rival(
                    *(out / str(folds), f"r{n}"), encoder=f"e{n}", noise=n, folds=folds, audit=0.2
                )
            )
            for n in range(2)
        ]
        for folds in (1, 5)
    }


@pytest.mark.parametrize("folds", [1, 5])
def test_the_table_speaks_of_folds_where_there_are_some(made, folds):
    found = compare_runs(made[folds], resamples=100)
    said = " ".join([*headline_notes(found, stacked=False), *shortcut_notes(found)])
    assert any(words in said for words in AVERAGED) == (folds > 1)
    assert ("One held-out part" in said) == (folds == 1)
    assert ("±" in said) == (folds > 1)


@pytest.mark.parametrize("folds", [1, 5])
def test_the_page_speaks_of_folds_where_there_are_some(tmp_path, folds):
    runs = [load_run(write_run(tmp_path, f"r{n}", encoder=f"e{n}", folds=folds)) for n in range(2)]
    words = Page(make_report(runs)).words
    assert ("one standard deviation either way" in words) == (folds > 1)
    assert ("Every line is one fold" in words) == (folds > 1)
    assert ("Mean ± standard deviation over folds" in words) == (folds > 1)
    assert ("One part was held out, the same patients" in words) == (folds == 1)


@pytest.mark.parametrize(("epochs", "said"), [(1, False), (2, True)])
def test_a_single_epoch_is_no_sign_of_improving(made, epochs, said):
    found = compare_runs(made[1], resamples=100)
    for row in found.rows:
        for run in row.runs:
            run.experiment["recipe"]["training"] = {"epochs": epochs}
            run.experiment["recipe"]["selection"] = {"checkpoint": "validation"}
            for result in run.results.values():
                object.__setattr__(result, "selected_epoch", epochs)
    notes = unfinished_learning(found.rows)
    assert bool(notes) == said
    if said:
        assert "the only fold of every run was best in its last epoch" in notes[0]
