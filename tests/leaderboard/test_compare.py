"""What a comparison finds, against predictions.csv and other libraries, and on built cases."""

import csv
import math
import time

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, brier_score_loss, recall_score, roc_auc_score

from tests.helpers.written_runs import cohort, write_audit, write_rival
from volbench.errors import StateError, UsageError
from volbench.evaluation import gather
from volbench.evaluation.metrics import METRICS, metrics_for
from volbench.evaluation.statistics import bootstrap_difference, bootstrap_interval, delong_test
from volbench.leaderboard import compare_runs, load_run, tables_of
from volbench.leaderboard.statistics.strata import by_stratum


def read(path, what="predictions.csv"):
    """Truth, probability of the second class and patient of each row, by fold."""
    found = []
    for file in sorted(path.glob(f"folds/*/{what}")):
        with file.open() as stream:
            rows = list(csv.DictReader(stream))
        truth = np.array([row["label"] == "T3" for row in rows])
        found.append((truth, np.array([float(row["prob_T3"]) for row in rows]), rows))
    return found


def areas(path):
    return np.array([roc_auc_score(truth, score) for truth, score, _ in read(path)])


def compare(*paths, **options):
    return compare_runs([load_run(path) for path in paths], **options)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    out = tmp_path_factory.mktemp("pair")
    return (
        write_rival(out, "strong", signal=2.0),
        write_rival(out, "weak", encoder="r3d", signal=0.4, noise=1),
    )


def test_means_and_deviations_are_those_of_scikit_learn_on_the_files(pair):
    row = compare(*pair).rows[0]
    each = read(pair[0])
    expected = {
        "auc": [roc_auc_score(t, p) for t, p, _ in each],
        "accuracy": [accuracy_score(t, p >= 0.5) for t, p, _ in each],
        "recall_T3": [recall_score(t, p >= 0.5) for t, p, _ in each],
        "recall_T2": [recall_score(~t, p < 0.5) for t, p, _ in each],
        "brier": [brier_score_loss(t, p) for t, p, _ in each],
    }
    for name, values in expected.items():
        assert row.score(name).mean == pytest.approx(np.mean(values)), name
        assert row.score(name).std == pytest.approx(np.std(values, ddof=1)), name
    assert (row.name, row.folds, row.n, row.status) == ("strong", 5, 60, "complete")
    population = compare(*pair, ddof=0).rows[0]
    assert population.score("auc").std == pytest.approx(np.std(expected["auc"]))


def test_the_verdict_is_that_of_the_larger_variance_enlarged_by_half(pair):
    found = compare(*pair)
    difference = areas(pair[0]) - areas(pair[1])
    each = [read(path) for path in pair]
    truth, folds = (
        np.concatenate([np.full(len(t), k) if what else t for k, (t, _, _) in enumerate(each[0])])
        for what in (False, True)
    )
    within = delong_test(
        truth.astype(int),
        *(np.concatenate([p for _, p, _ in one]) for one in each),
        clusters=np.array([row["patient"] for _, _, rows in each[0] for row in rows]),
        folds=folds,
    )
    error = math.sqrt(1.5 * max(within.standard_error**2, difference.var(ddof=1) / 5))
    (only,) = found.pairs
    assert only.difference == pytest.approx(difference.mean())
    assert only.standard_error == pytest.approx(error)
    assert only.p == pytest.approx(2 * stats.norm.sf(difference.mean() / error))
    assert only.low == pytest.approx(difference.mean() - stats.norm.ppf(0.975) * error)
    assert (only.test, only.verdict, found.decided_by) == ("combined", "better", "combined")
    design = found.design
    assert stats.norm.sf(1.959964 - design.detectable / error) == pytest.approx(0.8, abs=1e-4)


def test_no_interval_of_a_difference_leaves_what_areas_can_differ_by(tmp_path):
    runs = [
        write_rival(tmp_path, name, encoder=name, noise=noise, folds=2, patients=16)
        for noise, name in enumerate(("r2d", "r3d"))
    ]
    for test in ("combined", "corrected_t"):
        (only,) = compare(*runs, test=test).pairs
        assert -1 <= only.low <= only.difference <= only.high <= 1


def test_the_verdict_is_that_of_the_corrected_t_test_by_hand(pair):
    """Nadeau and Bengio for five folds: t = d / sqrt((1/5 + 1/4) s^2), four degrees of freedom."""
    found = compare(*pair, test="corrected_t")
    difference = areas(pair[0]) - areas(pair[1])
    error = math.sqrt((1 / 5 + 1 / 4) * difference.var(ddof=1))
    p = 2 * stats.t.sf(abs(difference.mean()) / error, 4)
    (only,) = found.pairs
    assert only.difference == pytest.approx(difference.mean())
    assert only.p == pytest.approx(p)
    assert only.p_holm == pytest.approx(p)
    reach = stats.t.ppf(0.975, 4) * error
    assert (only.low, only.high) == pytest.approx(
        (difference.mean() - reach, difference.mean() + reach)
    )
    assert p < 0.05
    assert only.verdict == "better"
    assert [row.letters for row in found.rows] == ["a", "b"]
    (shown,) = found.shown_pairs()
    assert (shown.first, shown.second, shown.verdict) == (1, 0, "worse")
    assert (shown.low, shown.high) == pytest.approx((-only.high, -only.low))
    assert shown.rope.worse == pytest.approx(only.rope.better)
    same = stats.t(4, difference.mean(), error)
    assert only.rope.same == pytest.approx(same.cdf(0.01) - same.cdf(-0.01))


def test_delong_stands_beside_within_folds(pair):
    (only,) = compare(*pair).pairs
    first, second = read(pair[0]), read(pair[1])
    test = delong_test(
        np.concatenate([t for t, _, _ in first]).astype(int),
        np.concatenate([p for _, p, _ in first]),
        np.concatenate([p for _, p, _ in second]),
        clusters=np.array([row["patient"] for _, _, rows in first for row in rows]),
        folds=np.repeat(np.arange(5), [len(t) for t, _, _ in first]),
    )
    assert only.p_delong == pytest.approx(test.p)


@pytest.mark.parametrize("metric", ["auc", "accuracy", "recall_T2", "brier", "precision_T3"])
def test_intervals_are_those_of_the_bootstrap_that_calls_the_metric(pair, metric):
    run = load_run(pair[1])
    items = gather([row for rows in run.predictions.values() for row in rows], run.classes)
    called = {**METRICS, **metrics_for(run.classes)}[metric]
    expected = bootstrap_interval(
        items.labels,
        items.probabilities,
        metric=lambda labels, found: called(labels, found),
        clusters=np.array(items.patients),
        folds=items.folds,
        resamples=300,
        seed=3,
    )
    found = compare(pair[1], resamples=300, seed=3).rows[0].score(metric)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(expected.estimate)


def test_the_interval_of_three_classes_is_that_of_the_bootstrap_too(tmp_path):
    classes = ("x", "y", "z")
    one = write_rival(tmp_path, "one", classes=classes)
    two = write_rival(tmp_path, "two", classes=classes, signal=0.1, encoder="r3d", noise=1)
    both = [
        gather([r for rows in load_run(p).predictions.values() for r in rows], classes)
        for p in (one, two)
    ]
    expected = bootstrap_difference(
        both[0].labels,
        *(items.probabilities for items in both),
        clusters=np.array(both[0].patients),
        folds=both[0].folds,
        resamples=300,
    )
    found = compare(one, two, resamples=300)
    (only,) = found.pairs
    assert only.p_bootstrap == pytest.approx(expected.p)
    assert only.test == "combined"
    assert only.p_delong == pytest.approx(only.p_bootstrap, abs=0.03)
    assert found.rows[0].score("auc").low < found.rows[0].score("auc").mean


def test_runs_that_do_not_differ_share_a_letter_and_nothing_is_claimed(tmp_path):
    paths = [
        write_rival(tmp_path, name, encoder=name, noise=noise)
        for noise, name in enumerate(("r2d", "r3d", "mc3"))
    ]
    found = compare(*paths)
    assert {row.letters for row in found.rows} == {"a"}
    assert {pair.verdict for pair in found.pairs} == {"no difference shown"}
    assert len(found.pairs) == 3
    twice = compare(paths[0], write_rival(tmp_path, "again", encoder="mc5", noise=0))
    assert twice.pairs[0].p == 1.0
    assert twice.design is None, "differences without spread say nothing of what could be seen"


def test_what_could_be_seen_follows_from_the_median_spread(tmp_path):
    paths = [
        write_rival(tmp_path, name, encoder=name, noise=noise, signal=1 + noise / 5)
        for noise, name in enumerate(("r2d", "r3d", "mc3"))
    ]
    found = compare(*paths, test="corrected_t")
    each = [areas(path) for path in paths]
    spreads = [
        np.std(a - b, ddof=1)
        for a, b in ((each[0], each[1]), (each[0], each[2]), (each[1], each[2]))
    ]
    error = np.median(spreads) * math.sqrt(1 / 5 + 1 / 4)
    assert found.design.std == pytest.approx(np.median(spreads))
    assert found.design.smallest_significant == pytest.approx(stats.t.ppf(0.975, 4) * error)
    for level, effect in (
        (0.05, found.design.detectable),
        (0.05 / 3, found.design.detectable_holm),
    ):
        critical = stats.t.ppf(1 - level / 2, 4)
        assert stats.nct.sf(critical, 4, effect / error) == pytest.approx(0.8, abs=1e-3)


def test_incomplete_and_failed_runs_are_neither_tested_nor_lettered(pair, tmp_path):
    part = write_rival(tmp_path, "part", aggregator="max", done=3, signal=9.0)
    broken = write_rival(tmp_path, "broken", aggregator="average", failed=(1,), signal=9.0)
    empty = write_rival(tmp_path, "empty", aggregator="attention", done=0)
    found = compare(*pair, part, broken, empty)
    by_name = {row.name: row for row in found.rows}
    states = {name: row.status for name, row in by_name.items()}
    assert states == {
        "strong": "complete",
        "weak": "complete",
        "part": "incomplete",
        "broken": "failed",
        "empty": "incomplete",
    }
    assert [row.name for row in found.rows[:2]] == ["strong", "weak"], "whatever the others' means"
    assert len(found.pairs) == 1
    for name in ("part", "broken", "empty"):
        assert by_name[name].letters == ""
        assert math.isnan(by_name[name].score("auc").low)
    assert by_name["part"].score("auc").mean == pytest.approx(areas(part).mean())


def test_one_run_has_an_interval_and_no_letter(pair):
    found = compare(pair[0])
    assert (found.pairs, found.against, found.test) == ((), None, None)
    assert found.rows[0].letters == ""
    assert 0.5 < found.rows[0].score("auc").low < found.rows[0].score("auc").mean


def test_a_fold_without_a_class_has_no_area_and_is_left_out_of_the_test(tmp_path):
    paths = [
        write_rival(
            tmp_path, name, encoder=name, noise=noise, signal=2 - 1.8 * noise, one_class_in=2
        )
        for noise, name in enumerate(("r2d", "r3d"))
    ]
    found = compare(*paths, test="corrected_t")
    assert found.undefined == (2,)
    assert all(math.isnan(row.score("auc").mean) for row in found.rows)
    assert all(math.isnan(row.score("auc").low) for row in found.rows)
    each = [
        np.array([roc_auc_score(t, p) for k, (t, p, _) in enumerate(read(path)) if k != 2])
        for path in paths
    ]
    difference = each[0] - each[1]
    (only,) = found.pairs
    assert abs(only.difference) == pytest.approx(abs(difference.mean()))
    error = difference.std(ddof=1) * math.sqrt(1 / 4 + 1 / 4)
    assert only.p == pytest.approx(2 * stats.t.sf(abs(difference.mean()) / error, 3))


def test_one_held_out_set_is_decided_by_delong(tmp_path):
    paths = [
        write_rival(tmp_path, name, encoder=name, noise=noise, signal=2 - 1.8 * noise, folds=1)
        for noise, name in enumerate(("r2d", "r3d"))
    ]
    found = compare(*paths)
    (only,) = found.pairs
    assert (found.test, found.design, only.rope) == ("cases", None, None)
    assert only.p == only.p_delong < 0.05
    assert only.verdict == "better"


def test_slices_and_volumes_meet_at_the_case(tmp_path):
    volume = write_rival(tmp_path, "volume")
    slices = write_rival(tmp_path, "slices", aggregator=None, noise=1)
    found = compare(volume, slices)
    assert (found.unit, found.mixed) == ("case", True)
    by_name = {row.name: row for row in found.rows}
    expected = []
    for _, _, rows in read(slices):
        cases = {}
        for row in rows:
            cases.setdefault((row["case"], row["label"]), []).append(float(row["prob_T3"]))
        truth = [label == "T3" for _, label in cases]
        expected.append(roc_auc_score(truth, [np.mean(values) for values in cases.values()]))
    assert by_name["slices"].score("auc").mean == pytest.approx(np.mean(expected))
    per_slice = by_name["slices"].other_units["slice"].mean
    assert per_slice == pytest.approx(areas(slices).mean())
    alone = compare(slices)
    assert (alone.unit, alone.mixed) == ("slice", False)
    assert alone.rows[0].other_units["case"].mean == pytest.approx(np.mean(expected))


def test_seeds_are_repeats_each_compared_within_its_own_folds(tmp_path):
    """Bouckaert and Frank: (1/(rk) + 1/(k-1)) s^2 over all differences, rk - 1 degrees."""
    runs, differences = [], []
    for seed, split in enumerate("xyz"):
        two = [
            write_rival(
                tmp_path,
                f"{encoder}-{seed}",
                encoder=encoder,
                signal=signal,
                seed=seed,
                split=split,
                noise=10 * seed + place,
            )
            for place, (encoder, signal) in enumerate((("r2d", 1.6), ("r3d", 0.7)))
        ]
        differences.append(areas(two[0]) - areas(two[1]))
        runs += [load_run(path) for path in two]
    assert len(tables_of(runs)) == 3
    (together,) = tables_of(runs, repeats=True)
    found = compare_runs(together, repeats=True)
    assert [row.seeds for row in found.rows] == [(0, 1, 2)] * 2
    (only,) = found.pairs
    values = np.concatenate(differences)
    error = math.sqrt(1 / 15 + 1 / 4) * values.std(ddof=1)
    assert abs(only.difference) == pytest.approx(abs(values.mean()))
    assert only.p == pytest.approx(2 * stats.t.sf(abs(values.mean()) / error, 14))
    assert found.rows[0].score("auc").low < found.rows[0].score("auc").mean


def test_seeds_on_the_same_folds_are_averaged_first(tmp_path):
    runs = [
        load_run(
            write_rival(
                tmp_path,
                f"{encoder}-{seed}",
                encoder=encoder,
                seed=seed,
                signal=signal,
                noise=10 * seed + place,
            )
        )
        for seed in (0, 1)
        for place, (encoder, signal) in enumerate((("r2d", 1.6), ("r3d", 0.7)))
    ]
    found = compare_runs(runs, repeats=True)
    by_run = {run.name: areas(run.path) for run in runs}
    difference = (by_run["r2d-0"] + by_run["r2d-1"] - by_run["r3d-0"] - by_run["r3d-1"]) / 2
    (only,) = found.pairs
    error = math.sqrt(1 / 5 + 1 / 4) * difference.std(ddof=1)
    assert only.p == pytest.approx(2 * stats.t.sf(abs(difference.mean()) / error, 4))


def test_a_run_that_does_not_beat_the_audit_is_marked_and_one_that_does_is_not(tmp_path):
    strong = write_rival(tmp_path, "strong", signal=3.0, audit=0.3, patients=200)
    weak = write_rival(tmp_path, "weak", encoder="r3d", signal=0.3, noise=1, patients=200)
    found = compare(strong, weak, test="corrected_t")
    (shortcut,) = found.shortcuts
    assert (shortcut.features, found.bar) == ("geometry", shortcut)
    assert [row.bar.beaten for row in found.rows] == [True, False]
    with (strong / "audit.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    bar = np.array(
        [
            roc_auc_score(
                [r["label"] == "T3" for r in rows if r["fold"] == str(k)],
                [float(r["prob_T3"]) for r in rows if r["fold"] == str(k)],
            )
            for k in range(5)
        ]
    )
    assert shortcut.auc.mean == pytest.approx(bar.mean())
    differences = [areas(path) - bar for path in (strong, weak)]
    raw = [
        2 * stats.t.sf(abs(d.mean()) / (math.sqrt(1 / 5 + 1 / 4) * d.std(ddof=1)), 4)
        for d in differences
    ]
    smaller, larger = sorted(raw)
    assert found.rows[0].bar.p == pytest.approx(2 * smaller)
    assert found.rows[1].bar.p == pytest.approx(max(larger, 2 * smaller))
    sharper = compare(strong, weak)
    assert [row.bar.beaten for row in sharper.rows] == [True, False]
    assert [row.bar.test for row in sharper.rows] == ["combined"] * 2
    assert sharper.rows[0].bar.p < found.rows[0].bar.p


def test_a_column_that_is_the_label_is_no_bar_and_the_rest_is_at_most_four(tmp_path):
    path = write_rival(tmp_path, "run", signal=2.0)
    labels, fold_of, _ = cohort(60, 5, 2, "e")
    names = [(f"c{i:03}", f"p{i:03}", ("T2", "T3")[label]) for i, label in enumerate(labels)]
    kinds = {
        "geometry": 0.1,
        "ROI volume": 0.6,
        "intensity": 0.3,
        "stratum vote": 40.0,
        "stratum site": 0.2,
        "everything": 0.4,
    }
    write_audit(path, names, fold_of, labels, ("T2", "T3"), kinds)
    found = compare(path)
    assert len(found.shortcuts) == 4
    assert (found.shortcuts[0].features, found.shortcuts[0].label) == ("stratum vote", True)
    assert found.bar == found.shortcuts[1]
    (row,) = found.rows
    assert row.bar.difference == pytest.approx(row.score("auc").mean - found.bar.auc.mean)
    means = [shortcut.auc.mean for shortcut in found.shortcuts]
    assert means == sorted(means, reverse=True)


def test_one_fold_is_held_against_the_audit_by_delong(tmp_path):
    path = write_rival(tmp_path, "run", signal=3.0, folds=1, audit=0.0)
    assert compare(path).rows[0].bar.beaten
    other = write_rival(tmp_path, "other", signal=0.1, folds=1, audit=0.0)
    assert not compare(other).rows[0].bar.beaten


def test_strata_by_hand(tmp_path):
    path = write_rival(tmp_path, "run")
    frame = by_stratum(compare(path), "site").frame.set_index("group")
    everything = [row for _, _, rows in read(path) for row in rows]
    for place, site in enumerate("ABC"):
        mine = [row for row in everything if (int(row["case"][1:]) // 2) % 3 == place]
        truth = [row["label"] == "T3" for row in mine]
        expected = roc_auc_score(truth, [float(row["prob_T3"]) for row in mine])
        assert frame.loc[site, "auc"] == pytest.approx(expected)
        assert frame.loc[site, "n_T3"] == sum(truth)
    assert frame["n"].sum() == 60
    thickness = by_stratum(compare(path), "slice_mm").frame
    assert len(thickness) == 3, "sixty values are cut at their terciles"


def test_the_threshold_is_chosen_on_the_inner_validation_part(tmp_path):
    """Youden by hand: of all cuts, the one with the largest sensitivity + specificity."""
    path = write_rival(tmp_path, "run")
    found = compare(path, threshold="youden").rows[0].score("accuracy").mean
    expected = []
    both = zip(read(path), read(path, "validation.csv"), strict=True)
    for (truth, score, _), (inner_truth, inner, _) in both:
        values = np.unique(inner)
        cuts = np.concatenate([[0], (values[:-1] + values[1:]) / 2, [1]])
        index = [(inner[inner_truth] >= c).mean() + (inner[~inner_truth] < c).mean() for c in cuts]
        best = [c for c, each in zip(cuts, index, strict=True) if each > max(index) - 1e-9]
        cut = min(best, key=lambda c: abs(c - 0.5))
        expected.append(((score >= cut) == truth).mean())
    assert found == pytest.approx(np.mean(expected))


def test_a_threshold_cannot_be_chosen_without_a_validation_part(tmp_path):
    path = write_rival(tmp_path, "run", validation=False)
    with pytest.raises(UsageError, match="fold 0 has no validation predictions to choose it on"):
        compare(path, threshold="youden")


def test_runs_that_held_out_other_cases_are_refused(tmp_path):
    one = write_rival(tmp_path, "one")
    two = write_rival(tmp_path, "two", patients=58)
    with pytest.raises(StateError, match="one and two predict other cases"):
        compare(one, two)


def test_the_reference_row_can_be_named(pair):
    found = compare(*pair, against="weak")
    (shown,) = found.shown_pairs()
    assert (found.rows[shown.first].name, found.rows[shown.second].name) == ("strong", "weak")
    assert shown.verdict == "better"


def test_speed_is_compared_on_one_machine_only(pair, tmp_path):
    assert compare(*pair).one_machine
    other = write_rival(tmp_path, "other", encoder="mc3", environment={"threads": 8})
    assert not compare(*pair, other).one_machine


@pytest.mark.slow
def test_ten_folds_of_seventeen_runs_are_compared_in_seconds(tmp_path):
    """User time, so that a busy machine does not matter; three seconds without other load."""
    runs = [
        load_run(write_rival(tmp_path, f"r{n}", encoder=f"e{n}", noise=n, folds=10, patients=100))
        for n in range(17)
    ]
    start = time.process_time()
    found = compare_runs(runs)
    assert len(found.pairs) == 136
    assert time.process_time() - start < 15


@pytest.mark.parametrize(("signal", "beaten"), [(3.0, True), (0.1, False)])
def test_one_fold_of_several_classes_is_held_against_the_audit_too(signal, beaten, tmp_path):
    path = write_rival(
        tmp_path, "run", classes=("a", "b", "c"), signal=signal, folds=1, audit=0.0, patients=90
    )
    bar = compare(path).rows[0].bar
    assert (bar.test, bar.beaten) == ("delong", beaten)
    assert 0 < bar.p <= 1
