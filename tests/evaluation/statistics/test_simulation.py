"""The simulations of benchmarks/statistics: resumable, seeded, and about what `compare` does."""

import sys
from pathlib import Path

import numpy as np
import pytest

from volbench.evaluation.statistics import cross_validated_test, delong
from volbench.leaderboard import compare_runs

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "statistics"))
import next_designs
import simulate
import studies
import table
from as_runs import probabilities_of, runs_of


def test_a_simulation_that_goes_on_is_the_one_that_never_stopped(tmp_path):
    at_once = simulate.simulate("noisy 60", 12, 0, tmp_path / "at once")
    simulate.simulate("noisy 60", 5, 0, tmp_path / "in two")
    in_two = simulate.simulate("noisy 60", 12, 0, tmp_path / "in two")
    written = [simulate.read(simulate.place_of("noisy 60", tmp_path / each)) for each in
               ("at once", "in two")]  # fmt: skip
    assert len(at_once) == len(in_two) == 12
    assert written[0] == written[1]
    assert len({line.difference for line in at_once}) == 12


@pytest.mark.parametrize("learner", ["lda", "noisy", "crashing", "mlp"])
def test_every_learner_learns(learner):
    scenario = studies.Scenario(learner=learner, patients=120, signal=1.0, folds=5)
    divided = studies.cohorts(scenario, 0)[0]
    (study,) = studies.draw_study(scenario, divided, np.random.default_rng(1))
    areas = delong(study.labels, study.scores, folds=study.folds)
    assert (areas.areas > 0.75).all()


def test_two_seeds_see_the_same_and_three_classes_have_a_score_each():
    same = studies.Scenario(patients=60, same=True, folds=5)
    (study,) = studies.draw_study(same, studies.cohorts(same, 0)[0], np.random.default_rng(1))
    assert np.corrcoef(study.scores)[0, 1] > 0.5
    three = studies.SCENARIOS["noisy 120, three classes"]
    (study,) = studies.draw_study(three, studies.cohorts(three, 0)[0], np.random.default_rng(1))
    assert study.scores.shape == (2, 120, 3)


@pytest.mark.parametrize("name", ["noisy 60", "noisy 120, three classes"])
def test_a_study_is_decided_as_compare_decides_about_runs(name, tmp_path):
    scenario = studies.SCENARIOS[name]
    (study,) = studies.draw_study(
        scenario, studies.cohorts(scenario, 0)[3], np.random.default_rng(5)
    )
    probabilities = probabilities_of(study.scores)
    (pair,) = compare_runs(runs_of(study), resamples=100).pairs
    test = cross_validated_test(
        delong(study.labels, probabilities, clusters=study.patients, folds=study.folds)
    )
    assert pair.p == pytest.approx(test.p)
    assert abs(pair.difference) == pytest.approx(abs(test.difference))
    if scenario.classes == 2:
        line = simulate.one_study(
            scenario, studies.cohorts(scenario, 0)[3], 0, np.random.default_rng(5)
        )
        (decided,) = table.p_values([line])["**1.5 max**"]
        assert decided == pytest.approx(test.p, rel=1e-6)


def test_the_table_counts_claims(tmp_path):
    simulate.simulate("noisy 60", 12, 0, tmp_path)
    head, _, row = table.rows(studies.NULL, tmp_path)
    assert head.startswith("| scenario | studies | corrected t | **1.5 max** |")
    assert row.startswith("| noisy 60 | 12 | ")


def test_a_next_design_is_foretold_by_ten_folds_and_found_by_its_own_test(tmp_path):
    name, design = "noisy 90, large gap", "--repeats 3"
    at_once = next_designs.simulate(name, design, 4, 0, tmp_path / "at once")
    next_designs.simulate(name, design, 2, 0, tmp_path / "in two")
    in_two = next_designs.simulate(name, design, 4, 0, tmp_path / "in two")
    for key in ("p", "detectable", "difference"):
        whole, parts = ([getattr(each, key) for each in found] for found in (at_once, in_two))
        assert whole == pytest.approx(parts, rel=1e-5)
    assert all(0.05 < each.detectable < 0.6 for each in at_once)
    assert next_designs.power_at(0.1, 0.1, 30) == pytest.approx(0.8)
    assert next_designs.power_at(0.05, 0.1, 30) < 0.8 < next_designs.power_at(0.2, 0.1, 30)
    assert next_designs.line(name, design, at_once).startswith(f"| {name} | `{design}` | 4 | ")
