"""Racing a suite: what is shown worse after some folds stops, and says so everywhere."""

import importlib
import json
import math
import shutil
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from tests.helpers.small import write_small
from tests.helpers.written_runs import write_run
from volbench.cli.main import main
from volbench.crossval import Plan
from volbench.crossval.settings import RunSettings
from volbench.evaluation.statistics import Areas, cross_validated_test
from volbench.evaluation.statistics.cross_validated import paired_folds
from volbench.evaluation.statistics.sequential import boundaries
from volbench.interfaces import Executor
from volbench.leaderboard import compare_runs, find_runs, load_run
from volbench.leaderboard.statistics.race import (
    CHANCE,
    FIRST,
    Stop,
    bounds,
    chances_of_a_claim,
    judge,
    look,
    pooled_error,
    reliability,
    standardized,
)
from volbench.report import make_report
from volbench.runs.folder import RACE, RunFolder
from volbench.suite import load_suite, run_suite

SUITE = """
title = "Race"
data = "data"
folds = 6
recipe = "standard"
set = ["training.epochs=3", "training.augmentation=none"]

[[table]]
title = "Losses"
encoder = "r2d(width=4)"
aggregator = "max"
rows = [
    { loss = "cross_entropy" },
    { loss = "focal", set = ["optimizer.lr=1e-9"] },
]
"""


def race(folder, out, *arguments):
    done = CliRunner().invoke(
        main,
        ["suite", "run", str(folder / "race.toml"), "--race", "--out", str(out), "--jobs", "1",
         "--device", "cpu", "--precision", "float32", *arguments],
    )  # fmt: skip
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("race")
    write_small(folder / "data", cases=96, signal=3.0)
    (folder / "race.toml").write_text(SUITE)
    code, said, heard = race(folder, folder / "out")
    assert code == 0, heard
    return folder, said, heard


def loaded(folder, out="out"):
    return {run.experiment["loss"]: run for run in map(load_run, find_runs([folder / out]))}


def test_a_candidate_that_is_shown_worse_is_trained_no_further(raced):
    folder, said, heard = raced
    runs = loaded(folder)
    assert len(runs["cross_entropy"].predictions) == 6
    assert FIRST <= len(runs["focal"].predictions) < 6
    assert "shown worse than r2d-max-cross_entropy" in said
    assert "round 1 of 6: 2 candidates" in heard


def test_its_row_says_so_in_every_table(raced):
    folder, _, _ = raced
    runs = loaded(folder)
    comparison = compare_runs(list(runs.values()), resamples=50)
    (stopped,) = [row for row in comparison.rows if row.loss == "focal"]
    assert stopped.status == "stopped"
    assert stopped.letters == ""
    assert stopped.stop.folds == len(runs["focal"].predictions)
    done = CliRunner().invoke(main, ["compare", str(folder / "out")])
    assert "stopped" in done.stdout
    assert "Stopped: r2d-max-focal" in done.stdout
    as_json = CliRunner().invoke(main, ["compare", str(folder / "out"), "--format", "json"])
    assert '"stopped": "stopped after' in as_json.stdout
    assert "is not ranked among the others" in make_report(runs.values())
    shown = CliRunner().invoke(
        main, ["suite", "show", str(folder / "race.toml"), "--out", str(folder / "out")]
    )
    assert "1 finished, 1 stopped" in shown.stdout


def test_a_race_that_goes_on_decides_what_it_would_have_decided(raced):
    folder, _, _ = raced
    before = loaded(folder)["focal"]
    shutil.copytree(folder / "out", folder / "again")
    for path in find_runs([folder / "again"]):  # as after a kill in round 3
        for fold in (path / "folds").iterdir():
            if int(fold.name) >= 2:
                shutil.rmtree(fold)
    code, _, heard = race(folder, folder / "again")
    assert code == 0, heard
    after = loaded(folder, "again")["focal"]
    assert after.race == before.race
    assert after.predictions == before.predictions
    assert race(folder, folder / "again")[0] == 0
    assert loaded(folder, "again")["focal"].race == before.race


def test_run_without_racing_what_was_stopped_is_complete_and_compared(raced):
    folder, _, _ = raced
    shutil.copytree(folder / "out", folder / "whole")
    suite = load_suite(folder / "race.toml")
    results = run_suite(suite, out=folder / "whole", device="cpu", jobs=1)
    assert all(result.error is None for result in results)
    comparison = compare_runs(list(loaded(folder, "whole").values()), resamples=50)
    assert [row.status for row in comparison.rows] == ["complete", "complete"]
    assert all(row.stop is None for row in comparison.rows)


def test_a_torn_note_of_a_race_stops_nobody_from_reading_the_run(raced):
    folder, _, _ = raced
    shutil.copytree(folder / "out", folder / "torn")
    path = loaded(folder, "torn")["focal"].path
    (path / RACE).write_text(json.dumps({"schema": 1}) + " ")
    assert load_run(path).race is None


def test_boundaries_are_those_that_lan_and_demets_published():
    times = [0.2, 0.4, 0.6, 0.8, 1.0]
    fleming = boundaries(times, spending="obrien_fleming")
    assert fleming == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)
    pocock = boundaries(times, spending="pocock")
    assert pocock == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=2e-4)


def test_random_walks_cross_the_boundaries_as_often_as_the_level_says():
    times = np.arange(3, 11) / 10
    random = np.random.default_rng(0)
    steps = random.normal(size=(40_000, 10)) / np.sqrt(10)
    z = steps.cumsum(axis=1)[:, 2:] / np.sqrt(times)
    crossed = (np.abs(z) >= boundaries(times.tolist())).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=0.004)


def test_more_candidates_need_more_evidence_and_two_folds_are_none():
    assert bounds(10, 2)[:2] == (np.inf, np.inf)
    assert bounds(10, 2)[FIRST - 1] < np.inf
    assert bounds(10, 6)[4] > bounds(10, 2)[4] > 1.96


def test_equals_are_not_stopped_and_a_clearly_worse_one_is():
    random = np.random.default_rng(1)
    labels = np.tile([0, 1], 150)
    folds = np.repeat(np.arange(6), 50)
    noise = random.normal(size=(3, 300))
    scores = noise + np.array([2.0, 2.0, 0.2])[:, None] * labels
    found = look(
        ["one", "other", "worse"], labels, scores,
        patients=np.arange(300), folds=folds, folds_total=10,
    )  # fmt: skip
    assert {name for name, stop in found.items() if stop.kind == "worse"} == {"worse"}
    assert found["worse"].z < -found["worse"].boundary
    assert found["worse"].folds == 6


def simulated():
    """benchmarks/statistics/race.py."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "statistics"))
    import race as simulation

    return simulation


def test_a_simulated_race_saves_folds_and_claims_nothing_of_equals():
    simulation = simulated()
    base = replace(simulation.BASE, patients=200, signal=0.2)
    divided = simulation.cohorts(base, 0)[0][0]
    apart = simulation.Race((0.8, 0.0, 0.0), base)
    ended = simulation.one_race(apart, divided, np.random.default_rng(0))
    assert ended.folds < 0.7 * ended.everything
    assert not ended.false_race
    equal = simulation.one_race(
        simulation.Race((0.0,) * 3, base), divided, np.random.default_rng(0)
    )
    assert equal.folds < equal.everything
    assert not equal.race


def areas_of(random, gaps, folds=4, spread=0.05):
    """Areas of candidates in folds, whose variances are known."""
    by_fold = 0.7 + np.array(gaps)[:, None] + random.normal(0, spread, (len(gaps), folds))
    covariance = np.eye(len(gaps)) * spread**2
    return Areas(by_fold.mean(axis=1), covariance / folds, by_fold, covariance, folds, 0)


def test_the_statistic_of_a_look_is_that_of_the_tables():
    areas = areas_of(np.random.default_rng(2), (0.0, 0.05, 0.1), folds=10)
    paired = paired_folds(areas)
    z = standardized(paired.difference, paired.error)
    for one, other in combinations(range(3), 2):
        test = cross_validated_test(areas.pair(one, other))
        assert z[one, other] == test.z  # to the bit: it is the same code
    pooled = standardized(paired.difference, pooled_error(paired))
    assert (np.abs(pooled) <= np.abs(z) + 1e-12).all()


def test_chances_foretell_how_often_the_tables_show_a_difference():
    """Many ends of studies that looked the same after five folds of ten."""
    random = np.random.default_rng(3)
    variance, share = 0.02**2, 0.5
    truth = random.normal(0.05, np.sqrt(variance), 200_000)  # given 0.05 so far, a flat prior
    rest = random.normal(truth, np.sqrt(variance))  # the other five folds
    end = (0.05 + rest) / 2
    critical = stats.norm.isf(0.025 / 3)
    shown = (np.abs(end) >= critical * np.sqrt(1.5 * variance * share)).mean()
    gap = np.array([[0.0, 0.05], [-0.05, 0.0]])
    chances, criticals = chances_of_a_claim(
        gap, np.full((2, 2), np.sqrt(variance)), share, pairs=3, alpha=0.05
    )
    assert criticals[0, 1] == pytest.approx(critical)
    assert chances[0, 1] == chances[1, 0] == pytest.approx(shown, abs=0.003)
    assert chances[0, 0] == 0


def test_chances_are_those_of_candidates_that_differ_little_where_a_share_is_kept():
    """As above, but true differences are normal around 0 and a third of 0.05 is kept."""
    random = np.random.default_rng(4)
    variance, share, kept = 0.02**2, 0.5, 1 / 3
    truth = random.normal(kept * 0.05, np.sqrt(kept * variance), 200_000)
    end = (0.05 + random.normal(truth, np.sqrt(variance))) / 2
    critical = stats.norm.isf(0.025)
    shown = (np.abs(end) >= critical * np.sqrt(1.5 * variance * share)).mean()
    gap = np.array([[0.0, 0.05], [-0.05, 0.0]])
    error = np.full((2, 2), np.sqrt(variance))
    chances, _ = chances_of_a_claim(gap, error, share, pairs=1, alpha=0.05, kept=kept)
    assert chances[0, 1] == pytest.approx(shown, abs=0.003)
    flat, _ = chances_of_a_claim(gap, error, share, pairs=1, alpha=0.05)
    assert chances[0, 1] < flat[0, 1]


def test_a_pair_is_no_likelier_to_be_shown_than_those_that_differ_more():
    """The last step of Holm asks little of the smallest difference, if it is ever reached."""
    areas = areas_of(np.random.default_rng(9), (0.0, 0.01, 0.02, 0.05), folds=3)
    paired = paired_folds(areas)
    chances, _ = chances_of_a_claim(
        paired.difference, pooled_error(paired), 0.3, pairs=6, alpha=0.05
    )
    first, second = np.triu_indices(4, k=1)
    z = np.abs(standardized(paired.difference, pooled_error(paired)))[first, second]
    ordered = chances[first, second][np.argsort(-z)]
    assert (np.diff(ordered) <= 0).all()
    assert ordered[0] > 0


def test_what_is_kept_of_differences_is_an_upper_bound_from_the_analysis_of_variance():
    random = np.random.default_rng(6)
    by_fold = random.normal(0, 0.05, (2000, 8, 5))
    covariance = np.zeros((8, 8))
    equal, apart = [], []
    for scores in by_fold:
        for found, gaps in ((equal, np.zeros(8)), (apart, random.normal(0, 0.05, 8))):
            moved = scores + gaps[:, None]
            areas = Areas(moved.mean(axis=1), covariance, moved, covariance, 5, 0)
            paired = paired_folds(areas)
            found.append(reliability(paired.difference, paired.error, 5))
    # Equals keep nothing in a tenth of all studies, and no share of them is above 1.
    assert np.mean(np.array(equal) == 0) == pytest.approx(0.1, abs=0.02)
    assert max(equal) < 1
    # 0.05 squared between candidates, a fifth of it from folds: 5 sixths are kept at the truth.
    assert np.mean(np.array(apart) > 5 / 6) == pytest.approx(0.9, abs=0.04)


def test_many_candidates_alike_are_settled_before_a_few():
    random = np.random.default_rng(8)
    settled = {
        number: np.mean(
            [
                len(judge(names, areas_of(random, (0.0,) * number), 4, folds_total=10)) / number
                for _ in range(200)
            ]
        )
        for number in (2, 12)
        for names in [[str(name) for name in range(number)]]
    }
    assert settled[12] > 1.3 * settled[2]


def test_equals_are_settled_and_what_may_still_differ_goes_on():
    by_fold = np.array([[0.8, 0.7, 0.75, 0.8, 0.7, 0.75], [0.79, 0.71, 0.75, 0.79, 0.71, 0.75],
                        [0.76, 0.66, 0.69, 0.77, 0.65, 0.72]])  # fmt: skip
    covariance = np.full((3, 3), 0.0016) + np.eye(3) * 0.0009
    areas = Areas(by_fold.mean(axis=1), covariance / 6, by_fold, covariance, 6, 0)
    names = ["one", "like it", "lower"]
    found = judge(names[:2], areas.pair(0, 1), 6, folds_total=10)
    assert {name: stop.kind for name, stop in found.items()} == dict.fromkeys(names[:2], "settled")
    assert found["one"].against == "like it"
    assert found["one"].chance < CHANCE
    assert "settled, because the others would hardly show a difference" in found["one"].text
    assert Stop.from_json(found["one"].to_json()) == found["one"]
    assert "lower" not in judge(names, areas, 6, folds_total=10)


def test_pairs_of_candidates_that_are_settled_stay_in_every_level():
    areas = areas_of(np.random.default_rng(5), (0.0, 0.01), folds=6)
    names = ["one", "other"]
    alone = judge(names, areas, 6, folds_total=10)
    among = judge(names, areas, 6, folds_total=10, settled=4)
    assert alone.keys() == among.keys() == set(names)
    paired = paired_folds(areas)
    for stops, candidates in ((alone, 2), (among, 6)):
        (chances, critical) = chances_of_a_claim(
            *(paired.difference, pooled_error(paired), 0.6),
            pairs=math.comb(candidates, 2),
            alpha=0.05,
            kept=reliability(paired.difference, paired.error, 6),
        )
        assert stops["one"].candidates == candidates
        assert stops["one"].chance == pytest.approx(chances[0, 1])
        assert stops["one"].boundary == pytest.approx(critical[0, 1])
    worse = areas_of(np.random.default_rng(5), (0.2, 0.0), folds=6)
    for settled in (0, 4):
        stop = judge(names, worse, 6, folds_total=10, settled=settled)["other"]
        assert (stop.kind, stop.boundary) == ("worse", bounds(10, 2 + settled)[5])


def test_three_lucky_folds_of_one_pair_are_as_uncertain_as_those_of_all():
    by_fold = np.array([[0.8, 0.7, 0.6], [0.7, 0.6, 0.5], [0.5, 0.9, 0.4]])
    covariance = np.full((3, 3), 1e-8) + np.eye(3) * 1e-9
    areas = Areas(by_fold.mean(axis=1), covariance / 3, by_fold, covariance, 3, 0)
    paired = paired_folds(areas)
    own, pooled = paired.error**2, pooled_error(paired) ** 2
    assert own[0, 1] < 1e-8
    mean = (own[0, 1] + own[0, 2] + own[1, 2]) / 3
    assert pooled[0, 1] == pytest.approx(mean, rel=1e-4)
    assert pooled[0, 2] == pytest.approx(max(mean, own[0, 2]), rel=1e-4)


def written(path, folds, **options):
    """The plan of a candidate of which nothing is trained: its folds are written already."""
    run = write_run(path, finished=folds, **options)
    plan = Mock(spec=Plan)
    plan.experiment = SimpleNamespace(name=path.name, data_digest="d", split_digest="s")
    plan.split = SimpleNamespace(folds=tuple(range(run.experiment["folds"])))
    return plan


def judged(racers, monkeypatch, found):
    """What a look is given after two folds, and who is told of it."""
    asked, told = [], []
    module = importlib.import_module("volbench.suite.race")

    def note(names, labels, probabilities, **options):
        asked.append({"names": names, "cases": len(labels), **options})
        return dict.fromkeys(names[:1], found) if found else {}

    monkeypatch.setattr(module, "look", note)
    listener = module.RoundCallback()
    listener.on_stop = lambda racer, stop: told.append((racer.path.name, stop))
    module._judge(racers, 2, listener)
    return asked, told


def test_a_look_is_at_the_finished_folds_of_all_rounds_so_far_and_counts_who_is_settled(
    tmp_path, monkeypatch
):
    module = importlib.import_module("volbench.suite.race")
    racers = [
        module.Racer(written(tmp_path / name, folds, seed=place), tmp_path / name)
        for place, (name, folds) in enumerate(
            {"a": range(3), "b": range(3), "failed": (0, 2), "settled": range(3)}.items()
        )
    ]
    stop = Stop(2, 3, "a", -0.01, -0.2, 2.4, 0.05, 3, kind="settled", chance=0.04)
    racers[3].stop = stop
    asked, told = judged(racers, monkeypatch, stop)
    assert [each["names"] for each in asked] == [["a", "b"]]
    assert (asked[0]["settled"], asked[0]["folds_total"]) == (1, 3)
    assert set(asked[0]["folds"]) == {0, 1}
    assert asked[0]["cases"] == len(asked[0]["patients"])
    assert told == [("a", stop)]
    assert racers[0].stop == stop
    assert racers[1].stop is None
    assert load_run(tmp_path / "a").race == json.loads(json.dumps(stop.to_json()))


def test_a_race_that_begins_again_forgets_what_an_earlier_one_decided(tmp_path, monkeypatch):
    module = importlib.import_module("volbench.suite.race")
    plan = written(tmp_path / "a", range(3))
    stop = Stop(2, 3, "b", -0.2, -4.0, 3.4, 0.05, 2)
    RunFolder(tmp_path / "a").add(RACE, json.dumps(stop.to_json()))
    assert load_run(tmp_path / "a").race is not None
    monkeypatch.setattr(module, "_train", lambda *arguments: None)
    module.race(
        [plan], tmp_path, Mock(spec=RunSettings), module.RoundCallback(), Mock(spec=Executor)
    )
    assert load_run(tmp_path / "a").race is None


def test_a_note_of_a_race_that_knew_one_kind_of_stop_is_read():
    old = {"schema": 1, "folds": 3, "folds_total": 10, "against": "a", "difference": -0.2,
           "z": -4.0, "boundary": 3.4, "alpha": 0.05, "candidates": 6}  # fmt: skip
    assert Stop.from_json(old).kind == "worse"


def test_pairs_of_a_settled_row_count_for_holm_and_its_row_says_why(tmp_path):
    runs = [write_run(tmp_path / f"run{n}", encoder=f"rmc{n + 2}", seed=n) for n in range(2)]
    (alone,) = compare_runs(runs, resamples=50).pairs
    left_out = write_run(tmp_path / "left_out", encoder="r2d", seed=7, finished=range(2))
    stop = Stop(2, 3, "run0", -0.01, -0.2, 2.4, 0.05, 3, kind="settled", chance=0.04)
    RunFolder(left_out.path).add(RACE, json.dumps(stop.to_json()))
    found = compare_runs([*runs, load_run(left_out.path)], resamples=50)
    (among,) = found.pairs
    assert alone.p == among.p == alone.p_holm
    assert among.p_holm == pytest.approx(min(1.0, 3 * among.p))
    done = CliRunner().invoke(main, ["compare", str(tmp_path)])
    assert "Stopped: left_out was stopped after 2 of 3 folds: settled" in " ".join(
        done.stdout.split()
    )


def test_a_table_of_settled_rows_only_is_shown(tmp_path):
    stop = Stop(2, 3, "other", -0.01, -0.2, 2.4, 0.05, 3, kind="settled", chance=0.04)
    for number in range(2):
        run = write_run(
            tmp_path / f"run{number}", encoder=f"rmc{number + 2}", seed=number, finished=range(2)
        )
        RunFolder(run.path).add(RACE, json.dumps(stop.to_json()))
    for arguments in (["compare"], ["report", "--output", str(tmp_path / "r.html")]):
        done = CliRunner().invoke(main, [*arguments, str(tmp_path)])
        assert done.exit_code == 0, done.output


def test_the_simulation_judges_as_the_race_does():
    """Areas put together from single folds are those of all items at once."""
    simulation = simulated()
    base = replace(simulation.BASE, patients=200, signal=0.3)
    cohort = simulation.cohorts(base, 0)[0][0]
    random = np.random.default_rng(0)
    features = simulation.features_of(simulation.Race((0.5, 0.0, 0.0), base), cohort, random)
    scores = np.stack([simulation._scores(base, each, cohort, random) for each in features])
    cases, folds = cohort.items
    inside = folds < 4
    found = look(
        ["0", "1", "2"], cohort.labels[cases][inside], scores[:, inside],
        patients=cohort.patients[cases][inside], folds=folds[inside], folds_total=10,
    )  # fmt: skip
    parts = simulation._by_fold(scores, cohort)
    expected = judge(["0", "1", "2"], simulation._first(parts, 4, [0, 1, 2]), 4, folds_total=10)
    assert found.keys() == expected.keys()
    for name, stop in found.items():
        assert stop.z == pytest.approx(expected[name].z)
