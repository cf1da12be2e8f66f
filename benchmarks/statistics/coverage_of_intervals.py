"""Simulate how often the bootstrap's interval of a mean AUC over folds has the true one.

    python benchmarks/statistics/coverage_of_intervals.py [--studies 500] [--scenario NAME]...

The networks are given: each fold has one of its own strength, and the true AUC is the mean over
folds of what each would reach on many patients. Shown beside the interval of
`volbench.evaluation.statistics.bootstrap_interval` is one of patients that are drawn by class over
all folds, where folds that lose a class are left out of the mean. Seeded, one line per scenario.
"""

import argparse
import hashlib
import time
from dataclasses import dataclass

import numpy as np

from volbench.evaluation.statistics import bootstrap_interval
from volbench.evaluation.statistics.patient_bootstrap import clusters_of, weighted_areas

RESAMPLES = 500
MANY = 3000


@dataclass(frozen=True)
class Scenario:
    """Patients and networks.

    Attributes:
        patients: Of each class.
        folds: How many.
        signal: Mean distance of the true class's score, in standard deviations.
        cases: Most cases of a patient; each has at least one.
        spread: Standard deviation of the networks' strength, as a share of it.
    """

    patients: tuple[int, ...]
    folds: int = 10
    signal: float = 1.5
    cases: int = 1
    spread: float = 0.3


SCENARIOS = {
    "10, 30, 60 patients": Scenario((10, 30, 60)),
    "15, 40, 60 patients": Scenario((15, 40, 60)),
    "20, 40, 60 patients": Scenario((20, 40, 60)),
    "30, 60, 90 patients": Scenario((30, 60, 90)),
    "50, 60, 90 patients": Scenario((50, 60, 90)),
    "12, 15, 20, 30, 40 patients, five folds": Scenario((12, 15, 20, 30, 40), folds=5),
    "20, 40, 60 patients, 1-3 cases each": Scenario((20, 40, 60), cases=3),
    "60, 10 patients": Scenario((60, 10)),
    "60, 20 patients": Scenario((60, 20)),
    "70, 30 patients, AUC .96": Scenario((70, 30), signal=2.5),
    "70, 50 patients, AUC .96": Scenario((70, 50), signal=2.5),
}


@dataclass(frozen=True)
class Interval:
    """One study's interval by both ways of drawing.

    Attributes:
        error: Estimate less truth.
        covers: Whether it has the truth: within folds, over all folds.
        width: The same two.
    """

    error: float
    covers: tuple[bool, bool]
    width: tuple[float, float]


def predictions(
    labels: np.ndarray,
    patients: np.ndarray,
    strength: float,
    classes: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Scores of a network; half of the noise's variance is the patient's."""
    numbers = np.unique(patients, return_inverse=True)[1]
    own = random.normal(size=(len(labels), classes))
    shared = random.normal(size=(numbers.max() + 1, classes))[numbers]
    scores = np.sqrt(0.5) * (own + shared)
    scores[np.arange(len(labels)), labels] += strength
    if classes == 2:
        scores[:, 0] = 0.0
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def area(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over classes of one against the rest; of two, that of the second."""
    classes = probabilities.shape[1]
    everyone = np.ones((1, len(labels)))
    return float(
        np.mean(
            [
                weighted_areas(labels == index, probabilities[:, index], everyone)
                for index in (range(classes) if classes > 2 else (1,))
            ]
        )
    )


def one_study(scenario: Scenario, random: np.random.Generator) -> Interval:
    """Draw patients and networks, and compute both intervals."""
    classes = len(scenario.patients)
    counts = np.stack(
        [random.permutation(_shares(n, scenario.folds)) for n in scenario.patients], axis=1
    )
    labels, patients, folds, scores, true = [], [], [], [], []
    for fold, count in enumerate(counts):
        strength = scenario.signal * (1 + scenario.spread * random.normal())
        of_patient = np.repeat(np.arange(classes), count)
        often = random.integers(1, scenario.cases + 1, len(of_patient))
        patient = np.repeat(np.arange(len(of_patient)), often)
        labels.append(of_patient[patient])
        patients.append(patient + 1000 * fold)
        folds.append(np.full(len(patient), fold))
        scores.append(predictions(labels[-1], patient, strength, classes, random))
        many = np.repeat(np.arange(classes), count * (MANY // count.sum()))
        true.append(area(many, predictions(many, np.arange(len(many)), strength, classes, random)))
    data = (np.concatenate(labels), np.concatenate(scores))
    how = {"clusters": np.concatenate(patients), "folds": np.concatenate(folds)}
    seed = int(random.integers(2**31))
    ours = bootstrap_interval(*data, **how, resamples=RESAMPLES, seed=seed)
    low, high = over_all_folds(*data, **how, seed=seed)
    truth = float(np.mean(true))
    return Interval(
        error=ours.estimate - truth,
        covers=(ours.low <= truth <= ours.high, low <= truth <= high),
        width=(ours.high - ours.low, high - low),
    )


def _shares(number: int, folds: int) -> np.ndarray:
    return number // folds + (np.arange(folds) < number % folds)


def over_all_folds(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    clusters: np.ndarray,
    folds: np.ndarray,
    seed: int,
) -> tuple[float, float]:
    """Interval from patients drawn by class; a fold that lost one is left out of the mean."""
    weights = np.concatenate(list(clusters_of(labels, clusters).draws(RESAMPLES, seed)))
    classes = probabilities.shape[1]
    areas = []
    for fold in np.unique(folds):
        here = folds == fold
        each = [
            weighted_areas(labels[here] == index, probabilities[here, index], weights[:, here])
            for index in (range(classes) if classes > 2 else (1,))
        ]
        areas.append(np.mean(each, axis=0))
    low, high = np.nanquantile(np.nanmean(areas, axis=0), [0.025, 0.975])
    return float(low), float(high)


def simulate(name: str, studies: int, seed: int) -> list[Interval]:
    """Run the studies of a scenario."""
    own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return [
        one_study(SCENARIOS[name], np.random.default_rng((seed, own, number)))
        for number in range(studies)
    ]


def line(name: str, found: list[Interval]) -> str:
    """What a scenario has shown, as a row of a table."""
    width = 2 * 1.96 * np.std([each.error for each in found])
    cells = [
        f"{100 * np.mean([each.covers[way] for each in found]):.1f} | "
        f"{np.mean([each.width[way] for each in found]):.3f}"
        for way in (0, 1)
    ]
    return f"| {name} | {len(found)} | {width:.3f} | {' | '.join(cells)} |"


def main() -> None:
    """Simulate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all")
    options = parser.parse_args()
    print(
        "| patients of each class | studies | right width | "
        "within folds: covers % | width | over all folds: covers % | width |"
    )
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name in options.scenario or SCENARIOS:
        started = time.monotonic()
        found = simulate(name, options.studies, options.seed)
        print(line(name, found), f"{time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
