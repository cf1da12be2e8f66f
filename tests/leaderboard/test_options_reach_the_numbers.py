"""Options of a comparison change the numbers, not only what the command line takes."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from tests.helpers.written_runs import cohort, write_audit, write_rival
from tests.leaderboard.test_compare import areas, compare, read
from volbench.cli.main import main
from volbench.errors import StateError
from volbench.evaluation.statistics import holm
from volbench.runs.folder import RunFolder
from volbench.runs.predictions_file import Prediction


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two runs whose difference is significant at 0.2 and not at 0.001; and one of slices."""
    out = tmp_path_factory.mktemp("pair")
    return (
        write_rival(out, "strong", signal=1.5),
        write_rival(out, "weak", encoder="r3d", signal=0.7, noise=1),
    )


def ask(*arguments):
    done = CliRunner().invoke(main, ["compare", *map(str, arguments), "--format", "json"])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["tables"][0]


def test_ddof_is_that_of_every_deviation(pair):
    found = areas(pair[0])
    for ddof in (0, 1):
        table = ask(*pair, "--ddof", ddof)
        (row,) = [row for row in table["rows"] if row["run"] == "strong"]
        assert row["auc_std"] == pytest.approx(found.std(ddof=ddof))
        assert table["ddof"] == ddof
    assert (
        compare(pair[0], ddof=0).rows[0].score("brier").std
        < compare(pair[0]).rows[0].score("brier").std
    )


def test_the_level_reaches_intervals_verdict_letters_power_and_bar(pair):
    wide, usual, narrow = (compare(*pair, alpha=alpha) for alpha in (0.0001, 0.05, 0.5))
    reach = [found.pairs[0].high - found.pairs[0].low for found in (wide, usual, narrow)]
    assert reach[0] > reach[1] > reach[2]
    assert (wide.pairs[0].verdict, narrow.pairs[0].verdict) == ("no difference shown", "better")
    assert [row.letters for row in wide.rows] == ["a", "a"]
    assert [row.letters for row in narrow.rows] == ["a", "b"]
    spread = [
        found.rows[0].score("auc").high - found.rows[0].score("auc").low for found in (wide, usual)
    ]
    assert spread[0] > 1.2 * spread[1]
    assert wide.design.smallest_significant > usual.design.smallest_significant
    assert wide.design.detectable > usual.design.detectable


def test_the_level_reaches_the_t_test_delong_and_the_bar(pair, tmp_path):
    for options in ({"test": "corrected_t"}, {}):
        wide, narrow = (compare(*pair, alpha=alpha, **options).pairs[0] for alpha in (0.01, 0.2))
        assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    single = [write_rival(tmp_path, name, folds=1, signal=signal, noise=n)
              for n, (name, signal) in enumerate({"one": 1.5, "two": 0.5}.items())]  # fmt: skip
    wide, narrow = (compare(*single, alpha=alpha).pairs[0] for alpha in (0.01, 0.2))
    assert wide.test == "delong"
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    path = write_rival(tmp_path, "beaten", signal=1.5, audit=0.4)
    assert [compare(path, alpha=alpha).rows[0].bar.beaten for alpha in (1e-9, 0.5)] == [False, True]


def test_the_level_reaches_the_bootstrap_that_decides_seeds_on_one_held_out_part(tmp_path):
    paths = [
        write_rival(tmp_path, f"{name}{n}", encoder=name, seed=n, noise=n, folds=1, signal=signal)
        for name, signal in (("rmc5", 1.5), ("r3d", 0.7))
        for n in (0, 1)
    ]
    usual, narrow = (compare(*paths, repeats=True, alpha=alpha).pairs[0] for alpha in (0.05, 0.5))
    assert (usual.test, narrow.test) == ("bootstrap", "bootstrap")
    assert usual.high - usual.low > 2 * (narrow.high - narrow.low) > 0


def test_the_margin_reaches_the_rope(pair):
    near, far = (compare(*pair, margin=margin).pairs[0].rope for margin in (0.001, 0.3))
    assert near != far


def test_the_test_that_is_asked_for_decides(pair):
    assert {one["decided_by"] for one in ask(*pair, "--test", "corrected-t")["pairs"]} == {
        "corrected_t"
    }
    assert {one["decided_by"] for one in ask(*pair, "--test", "combined")["pairs"]} == {"combined"}


def test_the_seed_of_the_bootstrap_moves_the_intervals_only(pair):
    first, second = (ask(*pair, "--seed", seed)["rows"] for seed in (0, 1))
    assert first[0]["auc_low"] != second[0]["auc_low"]
    assert first[0]["auc_mean"] == second[0]["auc_mean"]


def test_the_number_of_resamples_is_that_of_the_draws(pair):
    few, many = (compare(*pair, resamples=count) for count in (200, 2000))
    assert few.rows[0].score("auc").low != many.rows[0].score("auc").low
    assert few.pairs[0].p_bootstrap >= 2 / 201


def test_the_threshold_reaches_the_decisions(pair):
    recalls = {
        threshold: ask(*pair, "--threshold", threshold)["rows"][0]["recall_T3_mean"]
        for threshold in ("0.5", "0.9", "youden")
    }
    assert len(set(recalls.values())) == 3
    assert recalls["0.9"] < recalls["0.5"]


def test_rows_are_sorted_shown_against_and_chosen_as_asked(pair):
    by_brier = [row["run"] for row in ask(*pair, "--sort", "brier")["rows"]]
    assert by_brier == ["strong", "weak"]
    assert [row["run"] for row in ask(*pair, "--sort", "encoder")["rows"]] == ["weak", "strong"]
    assert compare(*pair, against="weak").against != compare(*pair).against
    assert [row["run"] for row in ask(*pair, "--where", "encoder=r3d")["rows"]] == ["weak"]
    shown = {
        name: CliRunner().invoke(main, ["compare", *map(str, pair), "--against", name]).stdout
        for name in ("weak", "strong")
    }
    assert shown["weak"] != shown["strong"]


def test_the_unit_is_what_is_scored(tmp_path):
    path = write_rival(tmp_path, "slices", aggregator=None, slices=3)
    assert ask(path, "--unit", "slice")["rows"][0]["n"] == 180
    assert ask(path, "--unit", "case")["rows"][0]["n"] == 60


# Repeats


def test_a_fold_without_an_area_in_one_seed_has_none_in_their_mean(tmp_path):
    """The one seed's area must not stand for both."""
    split = {"one_class_in": 1, "folds": 4}
    paths = [write_rival(tmp_path, f"s{n}", seed=n, noise=n, **split) for n in (0, 1)]
    row = compare(*paths, repeats=True).rows[0]
    assert len(row.scored) == 2
    assert math.isnan(row.score("auc").mean)
    each = [scored.by_fold["auc"].copy() for scored in row.scored]
    assert [int(one.isna().sum()) for one in each] == [1, 1]
    from volbench.leaderboard.statistics.run_scores import matrix

    row.scored[0].by_fold.loc[1, "auc"] = 0.75  # as where another seed holds both classes
    (together,) = matrix(row.scored, "auc")
    assert np.isnan(together).tolist() == [False, True, False, False]


def test_the_mean_of_seeds_is_taken_fold_by_fold_and_all_of_them_count(tmp_path):
    paths = [write_rival(tmp_path, f"s{n}", seed=n, noise=n, signal=0.5 + n) for n in (0, 1, 2)]
    score = compare(*paths, repeats=True).rows[0].score("auc")
    together = np.mean([areas(path) for path in paths], axis=0)
    assert score.mean == pytest.approx(together.mean())
    assert score.std == pytest.approx(together.std(ddof=1))


def test_equal_runs_of_other_seeds_tie_in_every_fold(tmp_path):
    """Two candidates, three seeds each, the same predictions: no difference, p is 1, one letter."""
    paths = [
        write_rival(tmp_path, f"{encoder}{n}", encoder=encoder, seed=n, noise=n)
        for encoder in ("rmc5", "r3d")
        for n in (0, 1, 2)
    ]
    found = compare(*paths, repeats=True)
    assert [len(row.scored) for row in found.rows] == [3, 3]
    assert (found.pairs[0].difference, found.pairs[0].p) == (0.0, 1.0)
    assert [row.letters for row in found.rows] == ["a", "a"]


def test_runs_on_other_data_or_of_another_recipe_are_no_repeats(tmp_path):
    from volbench.leaderboard import load_run, tables_of
    from volbench.leaderboard.statistics.repeats import put_together

    paths = [write_rival(tmp_path, "a"), write_rival(tmp_path, "b", data="f", seed=1)]
    assert len(tables_of([load_run(path) for path in paths], repeats=True)) == 2
    assert len(put_together([load_run(path) for path in paths])) == 2
    other = write_rival(tmp_path, "c", seed=2)
    stored = json.loads((other / "experiment.json").read_text())
    (other / "experiment.json").write_text(json.dumps({**stored, "recipe": {"lr": 1}}))
    assert len(put_together([load_run(paths[0]), load_run(other)])) == 2


# What may be paired


def rewrite(path, change):
    """Change predictions as a run would have written them."""
    for fold in RunFolder(path).results():
        place = RunFolder(path).fold(fold)
        rows = read(path)[fold][2]
        found = [
            Prediction(
                case=row["case"],
                patient=row["patient"],
                label=row["label"],
                fold=int(row["fold"]),
                slice=None,
                probabilities=(float(row["prob_T2"]), float(row["prob_T3"])),
            )
            for row in rows
        ]
        result = place.result()
        place.write_success(
            result, [change(one) for one in found], ("T2", "T3"), [{"epoch": 1}], b"w"
        )


def test_runs_whose_labels_differ_are_not_paired(tmp_path):
    one, two = write_rival(tmp_path, "one"), write_rival(tmp_path, "two", noise=1)
    turned = {"T2": "T3", "T3": "T2"}

    def turn(row):
        label = turned[row.label] if row.case == "c007" else row.label
        return Prediction(**{**vars(row), "label": label})

    compare(one, two)
    rewrite(two, turn)
    with pytest.raises(StateError, match="predict other cases, on the same data and folds"):
        compare(one, two)


def test_runs_are_paired_by_name_not_by_place(tmp_path):
    """A run that lists its cases the other way round is the same run."""
    one, two = write_rival(tmp_path, "one"), write_rival(tmp_path, "two", noise=1)
    before = compare(one, two).pairs[0]
    for fold in RunFolder(two).results():
        place = RunFolder(two).fold(fold)
        rows = list(reversed(read(two)[fold][2]))
        found = [
            Prediction(
                *(row["case"], row["patient"], row["label"], fold, None),
                (float(row["prob_T2"]), float(row["prob_T3"])),
            )
            for row in rows
        ]
        place.write_success(place.result(), found, ("T2", "T3"), [{"epoch": 1}], b"w")
    after = compare(one, two).pairs[0]
    assert after.p_delong == pytest.approx(before.p_delong)
    assert after.p_bootstrap == before.p_bootstrap


def test_the_best_row_of_the_audit_is_the_bar_whatever_its_place(tmp_path):
    labels, fold_of, _ = cohort(60, 5, 2, "e")
    names = [(f"c{i:03}", f"p{i:03}", ("T2", "T3")[label]) for i, label in enumerate(labels)]
    path = write_rival(tmp_path, "run", signal=2.0)
    kinds = {"geometry": 0.2, "stratum site": 0.9, "intensity": 0.6, "stratum vote": 40.0}
    write_audit(path, names, fold_of, labels, ("T2", "T3"), kinds)
    found = compare(path)
    assert [one.features for one in found.shortcuts] == [
        *("stratum vote", "stratum site", "intensity", "geometry")
    ]
    assert [one.label for one in found.shortcuts] == [True, False, False, False]
    assert found.bar.features == "stratum site"
    alone = write_rival(tmp_path, "alone", signal=2.0)
    write_audit(alone, names, fold_of, labels, ("T2", "T3"), {"geometry": 40.0})
    assert compare(alone).bar.features == "geometry", "no column, so a bar like any other"


def test_a_run_below_the_bar_does_not_beat_it(tmp_path):
    for folds in (5, 1):
        path = write_rival(tmp_path, f"run{folds}", signal=0.1, folds=folds, audit=3.0)
        bar = compare(path).rows[0].bar
        assert bar.p < 0.05
        assert not bar.beaten
        assert (
            roc_auc_score(
                *[np.concatenate(x) for x in zip(*[(t, p) for t, p, _ in read(path)], strict=True)]
            )
            < 0.8
        )


def test_failed_and_missing_folds_have_their_word(tmp_path):
    failed = write_rival(tmp_path, "failed", failed=(2,))
    part = write_rival(tmp_path, "part", done=3)
    assert [row.status for row in compare(failed).rows] == ["failed"]
    assert [row.status for row in compare(part).rows] == ["incomplete"]


def test_the_verdicts_of_three_rows_are_adjusted_together(tmp_path):
    paths = [
        write_rival(tmp_path, f"r{n}", signal=signal, noise=n)
        for n, signal in enumerate((1.6, 0.8, 0.4))
    ]
    pairs = compare(*paths).pairs
    expected = holm(np.array([pair.p for pair in pairs]))
    assert [pair.p_holm for pair in pairs] == pytest.approx(expected)
    assert max(pair.p_holm / pair.p for pair in pairs) > 1.5
    raised = max(pairs, key=lambda pair: pair.p_holm / pair.p)
    between = (raised.p + raised.p_holm) / 2
    again = compare(*paths, alpha=between).pairs
    assert [pair.verdict == "no difference shown" for pair in again] == [
        pair.p_holm >= between for pair in pairs
    ]
    assert any(pair.p < between <= pair.p_holm for pair in pairs)
