"""Is the power that `compare` foretells of the next design the one that is found?

    python benchmarks/statistics/next_designs.py [--studies 400] [--seed 0] [--scenario NAME]...

A study of ten folds is compared as runs are (`compare_runs`), and `foreseen_designs` says which
true difference a design would show with a chance of 80 %. From that follows its power at the true
gap of the simulation, by the noncentral t distribution. Other studies of the same law follow the
design, and the corrected t-test decides. One CSV per scenario and design, a line per study; started
again, it goes on where it stopped.
"""

import argparse
import csv
import hashlib
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from as_runs import runs_of
from scipy import stats
from simulate import PIECE, RESULTS, one_study, place_of
from studies import Cohort, Scenario, cohorts, draw_study

from volbench.evaluation.statistics import detectable_effect
from volbench.leaderboard import compare_runs
from volbench.leaderboard.statistics.next_design import foreseen_designs

ALPHA = 0.05
LEARNERS = {"lda 90": ("lda", 90), "noisy 90": ("noisy", 90), "noisy 567": ("noisy", 567)}
EXTRAS = {90: (0.12, 0.3, 0.5), 567: (0.04, 0.12, 0.2)}
DESIGNS = {
    "--repeats 3": {"repeats": 3},
    "--folds 'random(splits=15, test=0.1)'": {"folds": 15, "test": 0.1},
}


@dataclass(frozen=True)
class Found:
    """A study.

    Attributes:
        detectable: Of the next design, foreseen by ten folds.
        difference: Of the study that follows the design.
        p: Of that study.
    """

    detectable: float
    difference: float
    p: float


def scenarios() -> dict[str, Scenario]:
    """Learners, patients and gaps."""
    return {
        f"{name}, {place} gap": Scenario(learner=learner, patients=patients, extra=extra)  # type: ignore[arg-type]
        for name, (learner, patients) in LEARNERS.items()
        for place, extra in zip(("small", "middle", "large"), EXTRAS[patients], strict=True)
    }


def simulate(name: str, design: str, studies: int, seed: int, results: Path) -> list[Found]:
    """Go on with a scenario and a design until there are so many studies."""
    base, path = scenarios()[name], place_of(f"next {name} {_word(design)}", results)
    found = read(path)
    own = int.from_bytes(hashlib.sha256(f"{name} {design}".encode()).digest()[:4], "big")
    following = replace(base, **DESIGNS[design])
    ten, divided = _cohorts_like(base, seed), _cohorts_like(following, seed)
    while len(found) < studies:
        for number in range(len(found), min(len(found) + PIECE, studies)):
            random = np.random.default_rng((seed, own, number))
            pilot = foretell(base, ten[number % len(ten)], random)[design]
            line = one_study(following, divided[number % len(divided)], number, random)
            found.append(Found(pilot, line.difference, line.corrected))
        write(path, found)
    return found[:studies]


def _cohorts_like(scenario: Scenario, seed: int) -> list[list[Cohort]]:
    return _cohorts(replace(scenario, learner="noisy", extra=0.0), seed)


_cohorts = cache(cohorts)
"""They depend on labels only: drawn once for all gaps."""


def foretell(
    scenario: Scenario, divided: list[Cohort], random: np.random.Generator
) -> dict[str, float]:
    """What ten folds say of each design: the difference found with a chance of 80 %."""
    (study,) = draw_study(scenario, divided, random)
    comparison = compare_runs(runs_of(study), resamples=2, alpha=ALPHA)
    return {each.options: each.detectable for each in foreseen_designs(comparison)}


def power_at(difference: float, detectable: float, differences: int) -> float:
    """Power of a t-test at a difference, given the one that it finds with a chance of 80 %."""
    degrees = differences - 1
    effect = difference / detectable * detectable_effect(degrees, alpha=ALPHA)
    critical = stats.t.ppf(1 - ALPHA / 2, degrees)
    below = np.nan_to_num(stats.nct.cdf(-critical, degrees, effect))
    return float(stats.nct.sf(critical, degrees, effect) + below)


def _word(design: str) -> str:
    return "repeats" if "repeats" in design else "random"


def read(path: Path) -> list[Found]:
    """The studies that are done."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return [Found(*map(float, row)) for row in list(csv.reader(stream))[1:]]


def write(path: Path, found: list[Found]) -> None:
    """Write all of them, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("detectable", "difference", "p"))
        writer.writerows(
            (f"{x.detectable:.6g}", f"{x.difference:.6g}", f"{x.p:.6g}") for x in found
        )
    partial.replace(path)


def line(name: str, design: str, found: list[Found]) -> str:
    """What a scenario has shown, as a row of a table."""
    following = replace(scenarios()[name], **DESIGNS[design])
    differences = following.folds * following.repeats
    gap = float(np.mean([each.difference for each in found]))
    foreseen = np.array([each.detectable for each in found])
    powers = [power_at(gap, each, differences) for each in foreseen]
    claims = sum(each.p < ALPHA for each in found)
    low, high = stats.binomtest(claims, len(found)).proportion_ci(method="wilson")
    middle = np.quantile(foreseen, [0.1, 0.5, 0.9])
    return (
        f"| {name} | `{design}` | {len(found)} | {gap:.3f} | "
        f"{middle[1]:.3f} ({middle[0]:.3f}–{middle[2]:.3f}) | {100 * np.mean(powers):.0f} | "
        f"{100 * claims / len(found):.0f} ({100 * low:.0f}–{100 * high:.0f}) |"
    )


def main() -> None:
    """Simulate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", action="append", choices=scenarios(), help="default: all")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    print("| ten folds of | next | studies | true gap | 80 % at (10–90 %) | foretold % | found % |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for name, design in product(options.scenario or scenarios(), DESIGNS):
        found = simulate(name, design, options.studies, options.seed, options.results)
        print(line(name, design, found), flush=True)


if __name__ == "__main__":
    main()
