"""How often each test claims a difference between candidates that do not differ (and that do).

    python benchmarks/type_one_error.py [--simulations 1000] [--seed 0] [--scenario NAME]

Every simulated study draws patients (30 % of class 0), divides them into ten stratified folds with
whole patients in one fold (scikit-learn's StratifiedGroupKFold, as volbench does), trains two
candidates on the nine other folds and scores the held-out one. A candidate is a ridge classifier
on the study's features. Its training is noisy, as a network's is: it learns from a bootstrap
sample of the training patients.

- features: the candidates see ten features each, none in common, all with the same law;
- seeds: they see the same ten features and differ in the bootstrap sample only;
- scales: as seeds, and the second one's scores are shifted by a random number in each fold, which
  changes no order within a fold;
- better: as features, and each of the first one's tells a little more.

In all but the last no candidate is better than the other at ordering the patients of a fold, so
every claim is false there.
"""

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from scipy import stats
from sklearn.model_selection import StratifiedGroupKFold

from volbench.evaluation.statistics import corrected_t_test, delong_test

FOLDS, FEATURES, ALPHA, SHARE = 10, 10, 0.05, 0.3
SIGNAL, EXTRA, COMMON, SHIFT = 0.30, 0.08, 0.5, 1.0
SPLITS, RIDGE = 10, 0.1
TESTS = ("paired t", "Wilcoxon", "Nadeau-Bengio", "DeLong, pooled", "DeLong, in folds")


@dataclass(frozen=True)
class Size:
    """Number of patients and of the cases each of them has, at most."""

    patients: int
    cases: int = 1

    def __str__(self) -> str:
        return f"{self.patients}" + (f" (1-{self.cases} cases each)" if self.cases > 1 else "")


SIZES = (Size(90), Size(300), Size(567), Size(300, cases=3))
SCENARIOS = ("features", "seeds", "scales", "better")


@dataclass(frozen=True)
class Division:
    """Patients with their cases, divided into folds; features are drawn anew for each study."""

    labels: np.ndarray
    patients: np.ndarray
    folds: np.ndarray


def divisions(size: Size, random: np.random.Generator) -> list[Division]:
    """Divide some cohorts; the division depends on labels only, so studies can take turns."""
    found = []
    for _ in range(SPLITS):
        label = (np.arange(size.patients) >= round(SHARE * size.patients)).astype(int)
        patients = np.repeat(
            np.arange(size.patients), random.integers(1, size.cases + 1, size.patients)
        )
        splitter = StratifiedGroupKFold(
            FOLDS, shuffle=True, random_state=int(random.integers(2**31))
        )
        folds = np.zeros(len(patients), dtype=int)
        parts = splitter.split(patients, label[patients], patients)
        for number, (_, held_out) in enumerate(parts):
            folds[held_out] = number
        found.append(Division(label[patients], patients, folds))
    return found


def draw(division: Division, extra: float, random: np.random.Generator) -> np.ndarray:
    """Draw features of the cases: [2 candidates, case, feature]; some noise is the patient's."""
    shape = (2, len(division.labels), FEATURES)
    of_patient = random.normal(size=(2, division.patients.max() + 1, FEATURES))
    common = np.sqrt(COMMON) * of_patient[:, division.patients]
    noise = common + np.sqrt(1 - COMMON) * random.normal(size=shape)
    signal = np.array([SIGNAL + extra, SIGNAL])[:, None, None]
    return noise + signal * (division.labels[None, :, None] - 0.5)


def held_out_scores(
    features: np.ndarray, division: Division, random: np.random.Generator
) -> np.ndarray:
    """Cross-validate one candidate; every fold's training draws its own patients."""
    labels, patients, folds = division.labels, division.patients, division.folds
    drawn = np.empty((FOLDS, len(labels), 1))
    for fold in range(FOLDS):
        pool = np.unique(patients[folds != fold])
        chosen = np.bincount(random.choice(pool, len(pool)), minlength=patients.max() + 1)
        drawn[fold, :, 0] = chosen[patients]
    total = drawn.sum(axis=1, keepdims=True)
    centred = features - (drawn * features).sum(axis=1, keepdims=True) / total
    target = labels[:, None] - (drawn * labels[:, None]).sum(axis=1, keepdims=True) / total
    turned = (drawn * centred).transpose(0, 2, 1)
    weights = np.linalg.solve(turned @ centred + RIDGE * total * np.eye(FEATURES), turned @ target)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return np.einsum("cf,cf->c", features, weights[folds, :, 0])


def fold_areas(scores: np.ndarray, division: Division) -> np.ndarray:
    """Areas under the ROC curve of the folds, by comparing all pairs."""
    areas = np.empty(FOLDS)
    positive = division.labels == 1
    for fold in range(FOLDS):
        inside = division.folds == fold
        above, below = scores[inside & positive, None], scores[inside & ~positive]
        areas[fold] = (above > below).mean() + (above == below).mean() / 2
    return areas


SIGNS = np.array(list(itertools.product((-1, 1), repeat=FOLDS)))


def signed_rank(differences: np.ndarray) -> float:
    """Exact p of Wilcoxon's signed-rank test, over all signs; zeros have rank 0."""
    size = np.abs(differences)
    lower = (size[:, None] > size[None]) & (size[None] > 0)
    tied = (size[:, None] == size[None]) & (size[:, None] > 0)
    ranks = lower.sum(axis=1) + (tied.sum(axis=1) + (size > 0)) / 2
    observed = abs(np.sign(differences) @ ranks)
    return float((np.abs(SIGNS @ ranks) >= observed - 1e-9).mean())


def study(
    scenario: str, division: Division, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate one study: its p values, one per test, and its differences over folds."""
    features = draw(division, EXTRA if scenario == "better" else 0.0, random)
    if scenario in ("seeds", "scales"):
        features[1] = features[0]
    first, second = (held_out_scores(one, division, random) for one in features)
    if scenario == "scales":
        second = second + SHIFT * random.normal(size=FOLDS)[division.folds]
    differences = fold_areas(first, division) - fold_areas(second, division)
    labels, patients = division.labels, division.patients
    pooled = delong_test(labels, first, second, clusters=patients)
    in_folds = delong_test(labels, first, second, clusters=patients, folds=division.folds)
    spread = differences.std(ddof=1) > 0
    p = (
        stats.ttest_1samp(differences, 0).pvalue if spread else 1.0,
        signed_rank(differences),
        corrected_t_test(differences).p,
        pooled.p,
        in_folds.p,
    )
    return np.array(p), differences


def rows(scenarios: Sequence[str], simulations: int, seed: int) -> Iterator[str]:
    """Simulate scenarios at every size, each on its own seed; yield lines of a Markdown table."""
    yield "| scenario | patients | " + " | ".join(TESTS) + " | difference | factor |"
    yield "| --- | ---: |" + " ---: |" * (len(TESTS) + 2)
    divided = {
        size: divisions(size, np.random.default_rng((seed, *astuple(size)))) for size in SIZES
    }
    for scenario in scenarios:
        for size in SIZES:
            random = np.random.default_rng((seed, SCENARIOS.index(scenario), *astuple(size)))
            cohorts = divided[size]
            found = [study(scenario, cohorts[n % SPLITS], random) for n in range(simulations)]
            p = np.array([one for one, _ in found])
            differences = np.array([one for _, one in found])
            means = differences.mean(axis=1)
            factor = means.var(ddof=1) / differences.var(axis=1, ddof=1).mean()
            cells = [rate(int((column < ALPHA).sum()), simulations) for column in p.T]
            yield (
                f"| {scenario} | {size} | "
                + " | ".join(cells)
                + f" | {means.mean():+.3f} | {factor:.3f} |"
            )


def rate(count: int, simulations: int) -> str:
    """Percent of studies with its 95 % interval (Wilson)."""
    low, high = stats.binomtest(count, simulations).proportion_ci(method="wilson")
    return f"{100 * count / simulations:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all")
    options = parser.parse_args()
    print(
        f"Percent of {options.simulations} studies with p < {ALPHA}, 95 % interval; seed "
        f"{options.seed}. difference: mean over studies. factor: variance of the mean difference "
        f"over the mean variance of the folds; the paired t-test takes {1 / FOLDS:.3f}, "
        f"Nadeau-Bengio {1 / FOLDS + 1 / (FOLDS - 1):.3f}.\n"
    )
    started = time.monotonic()
    for line in rows(options.scenario or SCENARIOS, options.simulations, options.seed):
        print(line, flush=True)
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
