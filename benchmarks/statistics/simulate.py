"""Simulate studies and keep what each test is made of: seeded, in pieces, resumable.

    python benchmarks/statistics/simulate.py [--studies 2000] [--seed 0] [--scenario NAME]...
    python benchmarks/statistics/table.py

One CSV per scenario, a line per study. Started again, it goes on where it stopped. A study depends
on the seed, the scenario and its own number only, so that pieces may be computed in any order.
"""

import argparse
import csv
import hashlib
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from studies import SCENARIOS, Cohort, Scenario, Study, cohorts, draw_study

from volbench.evaluation.statistics import Areas, corrected_t_test, delong, delong_test

RESULTS = Path(__file__).parent / "results"
PIECE = 100


@dataclass(frozen=True)
class Line:
    """A study.

    Attributes:
        study: Its number.
        folds: Differences it has: folds times repeats.
        difference: Mean over folds, first candidate less second.
        std: Standard deviation of the differences over folds.
        delong: Standard error of the difference, by DeLong within folds and by patient.
        overall: That of the mean over all repeats or random splits, what a patient adds to them
            being added up first.
        one_fold: Mean over folds of DeLong's variance of the difference in a single one.
        corrected: p of the corrected t-test.
        pooled: p of DeLong's test on pooled scores; NaN of several classes.
    """

    study: int
    folds: int
    difference: float
    std: float
    delong: float
    overall: float
    one_fold: float
    corrected: float
    pooled: float


def one_study(
    scenario: Scenario, divided: list[Cohort], number: int, random: np.random.Generator
) -> Line:
    """Draw a study and compare its candidates by the functions that volbench compares runs with."""
    studies = draw_study(scenario, divided, random)
    repeated = scenario.test > 0
    areas = [_areas([each], repeated=repeated) for each in studies]
    differences = np.stack([found.by_fold[0] - found.by_fold[1] for found in areas])
    test = corrected_t_test(
        differences,
        undefined="omit",
        test_to_train=scenario.test / (1 - scenario.test) if repeated else None,
    )
    whole = areas[0] if len(studies) == 1 else _areas(studies, repeated=True)
    first = studies[0]
    pooled = (
        delong_test(first.labels, *first.scores, clusters=first.patients).p
        if first.scores.ndim == 2 and not repeated
        else float("nan")
    )
    return Line(
        study=number,
        folds=test.folds,
        difference=test.mean,
        std=test.std,
        delong=float(np.sqrt(_of_difference(areas[0].covariance))),
        overall=float(np.sqrt(_of_difference(whole.covariance))),
        one_fold=_of_difference(whole.of_one_fold),
        corrected=test.p,
        pooled=pooled,
    )


def _areas(studies: list[Study], *, repeated: bool) -> Areas:
    """Areas of both candidates in all folds of some divisions."""
    folds = [each.folds + place * (each.folds.max() + 1) for place, each in enumerate(studies)]
    return delong(
        np.concatenate([each.labels for each in studies]),
        np.concatenate([each.scores for each in studies], axis=1),
        clusters=np.concatenate([each.patients for each in studies]),
        folds=np.concatenate(folds),
        repeated=repeated,
        undefined="omit",
    )


def _of_difference(covariance: np.ndarray) -> float:
    return float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])


def read(path: Path) -> list[Line]:
    """The studies of a scenario that are done."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        kinds = {field.name: field.type for field in fields(Line)}
        return [
            Line(**{name: kinds[name](value) for name, value in row.items()})  # type: ignore[operator, arg-type]
            for row in csv.DictReader(stream)
        ]


def write(path: Path, lines: list[Line]) -> None:
    """Write all of them, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Line)], lineterminator="\n")
        writer.writeheader()
        for line in lines:
            values = asdict(line)
            writer.writerow(
                {name: f"{v:.6g}" if isinstance(v, float) else v for name, v in values.items()}
            )
    partial.replace(path)


def place_of(name: str, results: Path) -> Path:
    """The file of a scenario."""
    return results / (name.replace(", ", "_").replace(" ", "_").replace("%", "percent") + ".csv")


def simulate(name: str, studies: int, seed: int, results: Path) -> list[Line]:
    """Go on with a scenario until it has so many studies."""
    scenario, path = SCENARIOS[name], place_of(name, results)
    lines = read(path)
    if len(lines) >= studies:
        return lines
    own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    divided = cohorts(scenario, seed)
    while len(lines) < studies:
        for number in range(len(lines), min(len(lines) + PIECE, studies)):
            random = np.random.default_rng((seed, own, number))
            lines.append(one_study(scenario, divided[number % len(divided)], number, random))
        write(path, lines)
    return lines


def main() -> None:
    """Simulate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    for name in options.scenario or SCENARIOS:
        started = time.monotonic()
        lines = simulate(name, options.studies, options.seed, options.results)
        print(f"{name}: {len(lines)} studies, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
