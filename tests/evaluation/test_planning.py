"""What a design can show, foretold from the number of patients."""

import json
from dataclasses import replace
from itertools import chain, combinations, pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import optimize, stats

from tests.helpers.written_runs import CLASSES, write_run
from volbench.cli.main import main
from volbench.errors import DataError, UsageError
from volbench.evaluation import gather
from volbench.evaluation.statistics import Assumptions, delong, plan_designs, power_of_design
from volbench.evaluation.statistics.planning import variance_of_area, variance_of_difference
from volbench.experiment.experiment import short_source
from volbench.leaderboard import compare_runs, find_runs, load_run
from volbench.leaderboard.statistics import pilot
from volbench.leaderboard.statistics.pilot import patients_of_runs, read_pilot
from volbench.leaderboard.statistics.run_scores import sorted_items


def test_the_variance_of_an_area_is_that_of_many_samples_of_negative_exponential_scores():
    """Hanley and McNeil's formula is exact for exponential scores of both classes."""
    random = np.random.default_rng(0)
    area, positives, negatives = 0.8, 17, 40
    above = random.exponential(area / (1 - area), (4000, positives, 1))  # P(above > below) = area
    below = random.exponential(1.0, (4000, 1, negatives))
    areas = (above > below).mean(axis=(1, 2))
    assert areas.mean() == pytest.approx(area, abs=0.005)
    assert areas.var() == pytest.approx(variance_of_area(positives, negatives, auc=area), rel=0.08)


@pytest.mark.parametrize(
    ("gap", "of_combined", "luck", "simulated"),
    [(0.031, 8.3, 1.26, {"t": 5.0, "repeats": 10.2}), (0.086, 59.2, 1.20, {"t": 39.8})],
)
def test_from_the_power_of_one_test_follows_that_of_another_as_simulated(
    gap, of_combined, luck, simulated
):
    """Per cent of 2000 studies, benchmarks/statistics: small and large gap at 567 patients."""
    ten = {"differences": 10, "share": 0.1}

    def excess(variance):
        power = power_of_design(
            gap, variance_of_fold=variance, test="combined", training_luck=luck, **ten
        )
        return 100 * power - of_combined

    variance = optimize.brentq(excess, 1e-5, 0.1)
    found = {
        name: 100
        * power_of_design(gap, variance_of_fold=variance, test="corrected_t", **{**ten, **other})
        for name, other in {
            "t": {"training_luck": luck},
            "repeats": {"differences": 30, "training_luck": 1.14},
        }.items()
    }
    for name, power in simulated.items():
        assert found[name] == pytest.approx(power, abs=2)


def test_a_design_finds_its_detectable_difference_with_the_asked_power():
    given = Assumptions(auc=0.85, correlation=0.6, power=0.9)
    for design in plan_designs([60, 90], candidates=3, assumptions=given):
        if not design.options.startswith("--folds 10"):
            continue
        variance = variance_of_difference([60, 90], share=0.1, auc=0.85, correlation=0.6)
        asked = {"differences": design.trainings, "share": 0.1, "test": design.test}
        for difference, alpha in (
            (design.detectable, 0.05),
            (design.detectable_holm, 0.05 / 3),
        ):
            power = power_of_design(difference, variance_of_fold=variance, alpha=alpha, **asked)
            assert power == pytest.approx(0.9, abs=0.002)


@pytest.mark.parametrize("luck", [1.0, 1.7])
def test_random_splits_hold_patients_out_again_and_luck_is_that_which_is_assumed(luck):
    given = Assumptions(training_luck=luck)
    (design,) = [
        each for each in plan_designs([80, 120], assumptions=given) if "=15" in each.options
    ]
    power = power_of_design(
        design.detectable,
        variance_of_fold=variance_of_difference([80, 120], share=0.1, auc=0.8, correlation=0.5),
        differences=15,
        share=0.1,
        test="corrected_t",
        training_luck=luck,
        held_out_again=1 + 0.9 / (15 * 0.1),
    )
    assert power == pytest.approx(0.8, abs=0.002)


def test_repeats_show_more_and_so_do_more_patients_and_alike_candidates():
    few, many = plan_designs([40, 60]), plan_designs([400, 600])
    assert all(less.detectable > more.detectable for less, more in zip(few, many, strict=True))
    repeats = [each for each in many if "repeats" in each.options]
    assert all(one.detectable > more.detectable for one, more in pairwise(repeats))
    alike = plan_designs([400, 600], assumptions=Assumptions(correlation=0.875))
    assert alike[1].detectable == pytest.approx(many[1].detectable / 2, rel=0.01)


def test_what_no_design_can_show_is_none():
    assert all(each.detectable is None for each in plan_designs([3, 3]))
    assert {each.trainings for each in plan_designs([3, 3])} == {3, 9, 15, 30}
    with pytest.raises(DataError, match="two patients each"):
        plan_designs([1, 50])


def test_a_test_at_its_own_variance_has_its_level():
    """With the luck that 1.5 allows and no spread of the variance, 5 % are claimed falsely."""
    level = power_of_design(
        0.0,
        variance_of_fold=0.01,
        differences=10**6,
        share=1e-6,
        test="combined",
        training_luck=1.5,
    )
    assert level == pytest.approx(0.05, abs=0.001)
    assert stats.norm.ppf(0.975) == pytest.approx(1.96, abs=0.001)


def test_the_command_counts_patients_and_trainings():
    asked = ["plan", "phantom(patients=100)", "--candidates", "4", "--minutes", "3"]
    done = CliRunner().invoke(main, [*asked, "--format", "json"])
    assert done.exit_code == 0, done.output
    values = json.loads(done.output)
    assert values["patients"] == sum(values["classes"].values()) == 100
    ten = next(each for each in values["designs"] if each["options"] == "--folds 10")
    assert ten["trainings_of_all"] == 40
    assert ten["hours"] == pytest.approx(2.0)
    expected = plan_designs(list(values["classes"].values()), candidates=4)
    assert [each["detectable_holm"] for each in values["designs"]] == pytest.approx(
        [each.detectable_holm for each in expected]
    )
    shown = CliRunner().invoke(main, asked).output
    assert f"{ten['detectable']:.3f}" in shown
    assert "6 pairs" in shown


@pytest.mark.parametrize(
    ("minutes", "column", "least"),
    [
        ("60", "hours", "20.0"),
        ("0.7", "hours", "0.2"),
        ("0.03", "minutes", "0.6"),
        ("1e-4", "seconds", "0.1"),
    ],
)
def test_the_time_of_a_design_is_told_in_a_unit_that_leaves_no_zero(minutes, column, least):
    done = CliRunner().invoke(main, ["plan", "phantom(patients=100)", "--minutes", minutes])
    lines = done.stdout.splitlines()
    (head,) = [line for line in lines if "trainings" in line and "one pair" in line]
    assert head.split()[-1] == column
    ten, *_ = [line for line in lines if line.split()[:2] == ["--folds", "10"]]
    assert ten.split()[-1] == least


def test_what_is_assumed_on_the_command_line_is_what_is_planned_for():
    options = {"training_luck": 1.7, "power": 0.6, "alpha": 0.1, "auc": 0.7, "correlation": 0.3}
    words = [
        word for key, value in options.items() for word in (f"--{key}".replace("_", "-"), value)
    ]
    done = CliRunner().invoke(
        main, ["plan", "phantom(patients=100)", "--format", "json", *map(str, words)]
    )
    assert done.exit_code == 0, done.output
    values = json.loads(done.output)
    assert values["assumptions"] == options
    expected = plan_designs(list(values["classes"].values()), assumptions=Assumptions(**options))
    assert [each["detectable"] for each in values["designs"]] == pytest.approx(
        [each.detectable for each in expected]
    )


@pytest.fixture(scope="module")
def pilots(tmp_path_factory):
    """Three candidates on the same patients and folds."""
    folder = tmp_path_factory.mktemp("pilot")
    for number, name in enumerate(("one", "two", "three")):
        write_run(folder / name, loss="focal", encoder=f"rmc{number + 2}", seed=number)
    return folder


def test_a_pilot_tells_the_correlation_that_delong_finds_within_folds(pilots):
    runs = [load_run(path) for path in find_runs([pilots])]
    found = read_pilot(runs)
    expected = []
    for first, second in combinations(runs, 2):
        rows = [chain.from_iterable(run.predictions.values()) for run in (first, second)]
        items = [sorted_items(gather(list(each), CLASSES)) for each in rows]
        areas = delong(
            items[0].labels,
            np.stack([each.probabilities for each in items]),
            clusters=np.array(items[0].patients),
            folds=items[0].folds,
        )
        variances = np.diag(areas.covariance)
        expected.append(areas.covariance[0, 1] / np.sqrt(variances.prod()))
    assert found.pairs == 3
    assert found.correlation == pytest.approx(max(0, np.median(expected)))
    assert (found.lowest, found.highest) == pytest.approx((min(expected), max(expected)))


def test_a_pilot_is_of_complete_runs_tells_the_best_area_and_minutes(pilots, tmp_path):
    half = write_run(tmp_path / "half", loss="focal", encoder="r2d", seed=9, finished=range(1))
    runs = [load_run(path) for path in find_runs([pilots])]
    found = read_pilot([*runs, half])
    assert sorted(found.runs) == ["one", "three", "two"]
    rows = compare_runs(runs, resamples=50).rows
    areas = [row.score("auc").mean for row in rows]
    assert len(set(areas)) == 3
    assert found.auc == max(areas)
    each = [np.mean([fold.seconds for fold in run.results.values()]) for run in runs]
    assert found.minutes == pytest.approx(np.mean(each) / 60)


@pytest.mark.parametrize(
    ("found", "planned"), [((0.2, 0.3, 0.9), 0.3), ((-0.4, -0.2, 0.5), 0.0), ((0.999,), 0.99)]
)
def test_the_correlation_of_a_plan_is_the_median_within_bounds(pilots, monkeypatch, found, planned):
    monkeypatch.setattr(pilot, "_correlations", lambda rows: list(found))
    told = read_pilot([load_run(path) for path in find_runs([pilots])])
    assert told.correlation == planned
    assert (told.lowest, told.highest, told.pairs) == (min(found), max(found), len(found))


def test_what_is_given_counts_more_than_what_runs_say(pilots):
    def planned(*options):
        arguments = ["plan", "phantom", "--from", str(pilots), "--format", "json", *options]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        return json.loads(done.output)

    free = planned()
    assert free["assumptions"]["correlation"] == free["pilot"]["correlation"]
    assert free["assumptions"]["auc"] == free["pilot"]["auc"]
    given = planned("--correlation", "0.9", "--auc", "0.7", "--minutes", "2")
    assert given["assumptions"]["correlation"] == 0.9
    assert given["assumptions"]["auc"] == 0.7
    assert given["minutes_per_training"] == 2
    assert given["designs"][0]["detectable"] < free["designs"][0]["detectable"]


def test_a_plan_from_runs_is_for_their_patients(pilots, tmp_path):
    done = CliRunner().invoke(main, ["plan", "--from", str(pilots), "--format", "json"])
    assert done.exit_code == 0, done.output
    planned = json.loads(done.output)
    runs = [load_run(path) for path in find_runs([pilots])]
    assert planned["patients"] == len({row.patient for row in runs[0].case_rows}) > 0
    assert planned["patients"] == sum(planned["classes"].values())
    assert planned["data"] == short_source(runs[0].experiment["source"])
    other = replace(runs[1], experiment={**runs[1].experiment, "data_digest": "0"})
    with pytest.raises(DataError, match="several data sets; name the data set"):
        patients_of_runs([runs[0], other])
    with pytest.raises(DataError, match="do not say who their patients are"):
        patients_of_runs([replace(runs[0], case_rows=())])


def test_one_run_tells_no_correlation(pilots):
    done = CliRunner().invoke(main, ["plan", "phantom", "--from", str(pilots / "one")])
    assert done.exit_code == 3
    assert "no two complete runs" in done.output
    assert "--correlation" in done.output


@pytest.mark.parametrize(
    ("changed", "share"),
    [
        ({"power": 0.01}, "3.17 %"),
        ({"training_luck": 1000.0}, "93.3 %"),
        ({"alpha": 0.9999}, "100 %"),
    ],
)
def test_a_power_that_is_reached_without_a_difference_is_refused(changed, share):
    with pytest.raises(UsageError, match=f"there is none in {share} of .*; give a larger power"):
        plan_designs([18, 42], assumptions=replace(Assumptions(), **changed))
