"""Simulated studies: patients, folds and two candidates, of whom the truth is known.

A study draws patients with volbench's own division into folds, trains two candidates on the other
folds and scores the held-out one. The candidates learn from ten features each. Unless said
otherwise, none in common, all with the same law: neither way of training is better, and every claim
is false, while the trained models differ by luck.

Learners:

- ``lda``: ridge regression on the labels (a discriminant); nothing about its training is random;
- ``noisy``: the same on a bootstrap sample of the training patients, as a network's is by its seed;
- ``crashing``: noisy, and one training in ten fails: its scores are noise;
- ``mlp``: a network of one hidden layer, trained from random weights with Adam.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from volbench.data.cache import PreparedCase
from volbench.experiment.split_designs import make_split, random_splits

FEATURES, COMMON, RIDGE = 10, 0.5, 0.1
HIDDEN, STEPS, RATE, DECAY = 8, 60, 0.03, 0.02
CRASH = 0.1
DIVISIONS = 20

Learner = Literal["lda", "noisy", "crashing", "mlp"]


@dataclass(frozen=True)
class Scenario:
    """What is drawn.

    Attributes:
        learner: How both candidates learn.
        patients: How many.
        share: Share of patients of the first class; the others share the rest equally.
        classes: How many.
        cases: Each patient has between one case and so many.
        folds: Of each division.
        repeats: Divisions into folds.
        test: Share of patients held out by each of ``folds`` random splits; 0 divides into folds.
        features: What each candidate sees; its signal is spread over the first ten.
        signal: Distance of the classes' means in each feature.
        extra: What the first candidate's features tell beyond that; 0 where none is better.
        same: Whether both see the same features, and differ by the luck of training only.
        shift: Standard deviation of a number that the second one's scores are shifted by in each
            fold, which changes no order within a fold.
    """

    learner: Learner = "noisy"
    patients: int = 90
    share: float = 0.3
    classes: int = 2
    cases: int = 1
    folds: int = 10
    repeats: int = 1
    test: float = 0.0
    features: int = FEATURES
    signal: float = 0.3
    extra: float = 0.0
    same: bool = False
    shift: float = 0.0


def _varied(base: Scenario, name: str, **values: object) -> dict[str, Scenario]:
    return {name: replace(base, **values)}


NULL = {
    f"{learner} {patients}": Scenario(learner=learner, patients=patients)
    for learner in ("lda", "noisy", "crashing", "mlp")
    for patients in (90, 567)
} | {
    "noisy 60": Scenario(patients=60),
    "noisy 200": Scenario(patients=200),
    "noisy 1000": Scenario(patients=1000),
    "noisy 300, 10 % of a class": Scenario(patients=300, share=0.1),
    "noisy 200, 50 % of a class": Scenario(patients=200, share=0.5),
    "noisy 300, 1-3 cases each": Scenario(patients=300, cases=3),
    "lda 300, 1-3 cases each": Scenario(learner="lda", patients=300, cases=3),
    "noisy 200, strong": Scenario(patients=200, signal=0.6),
    "noisy 90, five folds": Scenario(folds=5),
    "noisy 567, five folds": Scenario(patients=567, folds=5),
    "noisy 300, three classes": Scenario(patients=300, classes=3, share=1 / 3),
    "noisy 120, three classes": Scenario(patients=120, classes=3, share=0.5),
}
SEEDS = {
    "two seeds 90": Scenario(same=True),
    "two seeds 567": Scenario(patients=567, same=True),
    "two seeds 300, shifted": Scenario(patients=300, same=True, shift=1.0),
}
BETTER = {
    "small gap 90": Scenario(extra=0.04),
    "small gap 567": Scenario(patients=567, extra=0.04),
    "large gap 90": Scenario(extra=0.12),
    "large gap 567": Scenario(patients=567, extra=0.12),
}
RANDOM = {
    f"{name} {patients}, {splits} splits": Scenario(
        learner=learner, patients=patients, folds=splits, test=0.1, extra=extra
    )
    for name, learner, extra in (
        ("lda", "lda", 0.0),
        ("noisy", "noisy", 0.0),
        ("crashing", "crashing", 0.0),
        ("small gap", "noisy", 0.04),
    )
    for patients in (90, 567)
    for splits in (10, 15)
}
CAPACITY = {
    f"{learner} {patients}, 100 features": Scenario(
        learner=learner, patients=patients, features=100, signal=0.5
    )
    for learner in ("lda", "noisy")
    for patients in (90, 567, 1000)
}
FEW = {
    f"noisy {patients}, {words} folds": Scenario(patients=patients, folds=folds)
    for patients in (90, 567)
    for words, folds in (("two", 2), ("three", 3))
}
REPEATED = {
    "lda 90, 3 x ten folds": Scenario(learner="lda", repeats=3),
    "lda 567, 3 x ten folds": Scenario(learner="lda", patients=567, repeats=3),
    "crashing 90, 3 x ten folds": Scenario(learner="crashing", repeats=3),
    "crashing 567, 3 x ten folds": Scenario(learner="crashing", patients=567, repeats=3),
    "mlp 90, 3 x ten folds": Scenario(learner="mlp", repeats=3),
    "noisy 90, 3 x ten folds": Scenario(repeats=3),
    "noisy 567, 3 x ten folds": Scenario(patients=567, repeats=3),
    "small gap 567, 3 x ten folds": Scenario(patients=567, repeats=3, extra=0.04),
}
SCENARIOS = {**NULL, **SEEDS, **BETTER, **CAPACITY, **FEW, **RANDOM, **REPEATED}


@dataclass(frozen=True, eq=False)
class Cohort:
    """Labels, patients and folds; features are drawn anew for each study.

    Attributes:
        labels: [case]
        patients: [case]
        held_out: [fold, case], whether the fold holds the case out.
    """

    labels: np.ndarray
    patients: np.ndarray
    held_out: np.ndarray

    @property
    def items(self) -> tuple[np.ndarray, np.ndarray]:
        """Case and fold of everything that is held out, case by case."""
        cases, folds = np.nonzero(self.held_out.T)
        return cases, folds


@dataclass(frozen=True, eq=False)
class Study:
    """What two candidates say of what one division into folds, or some random splits, hold out.

    Attributes:
        labels: [item]
        patients: [item]
        folds: [item]
        scores: [candidate, item] of two classes, [candidate, item, class] of several.
    """

    labels: np.ndarray
    patients: np.ndarray
    folds: np.ndarray
    scores: np.ndarray = field(repr=False)


def cohorts(scenario: Scenario, seed: int) -> list[list[Cohort]]:
    """Some cohorts, in each of the repeats; they depend on labels only, so studies take turns."""
    found = []
    for number in range(DIVISIONS):
        random = np.random.default_rng((seed, number))
        first = round(scenario.share * scenario.patients)
        labels = np.zeros(scenario.patients, dtype=np.int64)
        labels[first:] = 1 + np.arange(scenario.patients - first) % (scenario.classes - 1)
        patients = np.repeat(
            np.arange(scenario.patients),
            random.integers(1, scenario.cases + 1, scenario.patients),
        )
        cases = [_case(number, patient, labels) for number, patient in enumerate(patients)]
        seeds = [seed * DIVISIONS * 10 + number * 10 + repeat for repeat in range(scenario.repeats)]
        found.append(
            [Cohort(labels[patients], patients, _held_out(scenario, cases, at)) for at in seeds]
        )
    return found


def draw_study(
    scenario: Scenario, divided: list[Cohort], random: np.random.Generator
) -> list[Study]:
    """One study: the same features in each of its divisions into folds, everything else anew."""
    features = _features(scenario, divided[0], random)
    found = []
    for cohort in divided:
        cases, folds = cohort.items
        scores = np.stack([_scores(scenario, each, cohort, random) for each in features])
        if scenario.shift:
            scores[1] += scenario.shift * random.normal(size=scenario.folds)[folds]
        found.append(Study(cohort.labels[cases], cohort.patients[cases], folds, scores))
    return found


def _held_out(scenario: Scenario, cases: list[PreparedCase], seed: int) -> np.ndarray:
    if scenario.test:
        split = random_splits(cases, scenario.folds, scenario.test, seed)
    else:
        split = make_split(cases, scenario.folds, seed)
    held_out = np.zeros((scenario.folds, len(cases)), dtype=bool)
    for fold in split.folds:
        held_out[fold, list(split.held_out(fold))] = True
    return held_out


def _case(number: int, patient: int, labels: np.ndarray) -> PreparedCase:
    return PreparedCase(
        name=f"{number:05d}",
        patient=f"p{patient:05d}",
        label=int(labels[patient]),
        slices=1,
        spacing_mm=(1.0, 1.0, 1.0),
        representative=(),
        strata={},
        fold=None,
        stored_shape=(1, 1, 1),
        stored_spacing_mm=(1.0, 1.0, 1.0),
        roi_mm3=None,
        file_type=None,
    )


def _features(scenario: Scenario, cohort: Cohort, random: np.random.Generator) -> np.ndarray:
    """Features of the cases, [candidate, case, feature]; half of the noise is the patient's."""
    count = scenario.features
    shape = (2, len(cohort.labels), count)
    of_patient = random.normal(size=(2, cohort.patients.max() + 1, count))
    noise = np.sqrt(COMMON) * of_patient[:, cohort.patients]
    noise += np.sqrt(1 - COMMON) * random.normal(size=shape)
    # Each class lies in a direction of its own: half of the features up, half of them down.
    signs = np.where((np.arange(FEATURES)[None] + np.arange(scenario.classes)[:, None]) % 2, 1, -1)
    if scenario.classes > 2:
        signs = np.array([np.roll(np.repeat((1, -1), 5), 3 * n) for n in range(scenario.classes)])
    signal = np.array([scenario.signal + scenario.extra, scenario.signal])[:, None, None] / 2
    features = noise
    features[:, :, :FEATURES] += signal * signs[cohort.labels][None]
    if scenario.same:
        features[1] = features[0]
    return features


def _scores(
    scenario: Scenario, features: np.ndarray, cohort: Cohort, random: np.random.Generator
) -> np.ndarray:
    """Cross-validate one candidate, all folds at once."""
    weights = _weights(scenario, cohort, random)
    targets = np.eye(scenario.classes)[cohort.labels]
    targets = targets[:, 1:] if scenario.classes == 2 else targets
    learn = _network if scenario.learner == "mlp" else _ridge
    cases, folds = cohort.items
    scores = learn(features, targets, weights, random)[folds, cases]
    if scenario.learner == "crashing":
        crashed = (random.random(scenario.folds) < CRASH)[folds]
        scores[crashed] = random.normal(size=(int(crashed.sum()), scores.shape[1]))
    return scores[:, 0] if scenario.classes == 2 else scores


def _weights(scenario: Scenario, cohort: Cohort, random: np.random.Generator) -> np.ndarray:
    """How often each case is learned from, in each fold: [fold, case]."""
    weights = 1.0 * ~cohort.held_out
    if scenario.learner in ("lda", "mlp"):
        return weights
    for fold in range(scenario.folds):
        pool = np.unique(cohort.patients[~cohort.held_out[fold]])
        drawn = random.choice(pool, len(pool))
        weights[fold] = np.bincount(drawn, minlength=cohort.patients.max() + 1)[cohort.patients]
    return weights


def _ridge(
    features: np.ndarray, targets: np.ndarray, weights: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Scores of every case by the model of every fold: [fold, case, output], of unit scale."""
    total = weights.sum(axis=1)[:, None, None]
    drawn = weights[:, :, None]
    centred = features - (drawn * features).sum(axis=1, keepdims=True) / total
    goal = targets - (drawn * targets).sum(axis=1, keepdims=True) / total
    turned = (drawn * centred).transpose(0, 2, 1)
    slopes = np.linalg.solve(
        turned @ centred + RIDGE * total * np.eye(features.shape[1]), turned @ goal
    )
    return features @ (slopes / np.linalg.norm(slopes, axis=1, keepdims=True))


def _network(
    features: np.ndarray, targets: np.ndarray, weights: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Train one network a fold, side by side, full batches: [fold, case, output]."""
    folds, outputs = len(weights), targets.shape[1]
    shapes = ((features.shape[1], HIDDEN), (1, HIDDEN), (HIDDEN, outputs), (1, outputs))
    parameters = [
        random.normal(size=(folds, *shape)) / np.sqrt(shape[0]) * (shape[0] > 1) for shape in shapes
    ]
    first = [np.zeros_like(one) for one in parameters]
    second = [np.zeros_like(one) for one in parameters]
    share = (weights / weights.sum(axis=1, keepdims=True))[:, :, None]
    for step in range(1, STEPS + 1):
        gradients = _gradients(features, targets, share, parameters)
        for place, gradient in enumerate(gradients):
            gradient += DECAY * parameters[place]
            first[place] = 0.9 * first[place] + 0.1 * gradient
            second[place] = 0.99 * second[place] + 0.01 * gradient**2
            mean, scale = first[place] / (1 - 0.9**step), second[place] / (1 - 0.99**step)
            parameters[place] = parameters[place] - RATE * mean / (np.sqrt(scale) + 1e-8)
    return _forward(features, parameters)[1]


def _forward(features: np.ndarray, parameters: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    one, bias, two, offset = parameters
    hidden = np.maximum(features @ one + bias, 0)
    return hidden, hidden @ two + offset


def _gradients(
    features: np.ndarray, targets: np.ndarray, share: np.ndarray, parameters: list[np.ndarray]
) -> list[np.ndarray]:
    """Gradients of the logistic loss."""
    hidden, scores = _forward(features, parameters)
    error = share * (1 / (1 + np.exp(-scores)) - targets)
    back = (error @ parameters[2].transpose(0, 2, 1)) * (hidden > 0)
    return [
        features.T @ back,
        back.sum(axis=1, keepdims=True),
        hidden.transpose(0, 2, 1) @ error,
        error.sum(axis=1, keepdims=True),
    ]
