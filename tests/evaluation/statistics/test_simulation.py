"""The simulations of benchmarks/statistics: resumable, seeded, and about what `compare` does."""

import sys
from pathlib import Path

import numpy as np
import pytest

from volbench.evaluation.statistics import cross_validated_test, delong
from volbench.leaderboard import LoadedRun, compare_runs
from volbench.runs.predictions_file import Prediction

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "statistics"))
import simulate
import studies
import table


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


def run_of(study, probabilities, encoder):
    """A run that has just been read, with these predictions."""
    folds = sorted(set(study.folds.tolist()))
    experiment = {
        "source": "simulated", "encoder": encoder, "aggregator": "max", "loss": "focal",
        "level": "volume", "recipe": {}, "precision": "auto", "data_digest": "d",
        "split_digest": "s", "folds": len(folds), "seed": 0,
    }  # fmt: skip
    rows = [
        Prediction(
            f"c{n:04}", f"p{patient:04}", str(label), int(fold), None, tuple(values.tolist())
        )
        for n, (patient, label, fold, values) in enumerate(
            zip(study.patients, study.labels, study.folds, probabilities, strict=True)
        )
    ]
    return LoadedRun(
        path=Path(encoder),
        experiment=experiment,
        environment={},
        results={},
        predictions={fold: [row for row in rows if row.fold == fold] for fold in folds},
        validation={},
        case_rows=(),
        classes=tuple(map(str, range(probabilities.shape[1]))),
        cases=len(rows),
        patients=len(set(study.patients)),
    )


@pytest.mark.parametrize("name", ["noisy 60", "noisy 120, three classes"])
def test_a_study_is_decided_as_compare_decides_about_runs(name, tmp_path):
    scenario = studies.SCENARIOS[name]
    (study,) = studies.draw_study(
        scenario, studies.cohorts(scenario, 0)[3], np.random.default_rng(5)
    )
    probabilities = (
        np.exp(study.scores) / np.exp(study.scores).sum(axis=2, keepdims=True)
        if study.scores.ndim == 3
        else np.stack([1 / (1 + np.exp(study.scores)), 1 / (1 + np.exp(-study.scores))], axis=2)
    )
    runs = [
        run_of(study, each, encoder)
        for encoder, each in zip(("r2d", "r3d"), probabilities, strict=True)
    ]
    (pair,) = compare_runs(runs, resamples=100).pairs
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
