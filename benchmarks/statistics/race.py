"""Simulate races: how many folds it takes to the conclusion of training everything, and how often
either claims a difference that is not there.

    python benchmarks/statistics/race.py [--studies 400] [--seed 0] [--scenario NAME]...

Candidates are those of studies.py, several at a time; each look is volbench's own
(volbench.leaderboard.statistics.race), and the last word is that of `volbench compare`: the
cross-validated z-test with Holm over the pairs of candidates that have all folds. Seeded; a study
depends on the seed, the scenario and its number only. One CSV per scenario, a line per study;
started again, it goes on where it stopped.
"""

import argparse
import csv
import hashlib
import math
import time
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats
from simulate import PIECE, RESULTS, place_of
from studies import FEATURES, Cohort, Scenario, _scores, cohorts

from volbench.evaluation.statistics import Areas, delong, holm
from volbench.evaluation.statistics.cross_validated import paired_folds
from volbench.leaderboard.statistics.race import FIRST, judge, standardized

ALPHA = 0.05
SHARED = 0.5


@dataclass(frozen=True)
class Race:
    """Candidates of a race.

    Attributes:
        gaps: What each one's features tell beyond those of the weakest.
        base: Patients, learner and folds.
    """

    gaps: tuple[float, ...]
    base: Scenario


BASE = Scenario(learner="noisy", patients=567, signal=0.3)
RACES = {
    "six equal": Race((0.0,) * 6, BASE),
    "six equal, 150 patients": Race((0.0,) * 6, replace(BASE, patients=150)),
    "six equal, crashing": Race((0.0,) * 6, replace(BASE, learner="crashing")),
    "twelve equal, 350 patients": Race((0.0,) * 12, replace(BASE, patients=350)),
    "twelve within .05, 350 patients": Race(
        tuple(0.005 * step for step in range(12)), replace(BASE, patients=350)
    ),
    "two of eight better by .09": Race((0.1, 0.1, *(0.0,) * 6), BASE),
    "two of eight better by .15": Race((0.2, 0.2, *(0.0,) * 6), BASE),
    "one of twelve better by .15": Race((0.2, *(0.0,) * 11), BASE),
    "one of twelve better by .21": Race((0.35, *(0.0,) * 11), BASE),
    "two of twelve better by .21": Race((0.35, 0.35, *(0.0,) * 10), BASE),
    "ladder of eight, .03 a step": Race((0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.0), BASE),
    "eighteen of all kinds": Race(
        (
            *(0.4, 0.38, 0.36, 0.34, 0.3, 0.28, 0.25, 0.2, 0.15),
            *(0.1, 0.05, 0.0, 0.0, 0.0, -0.1, -0.1, -0.2, -0.2),
        ),
        BASE,
    ),
}


@dataclass(frozen=True)
class Ended:
    """One study.

    Attributes:
        folds: Trained in the race, over all candidates.
        everything: Trained without one.
        race: Candidates that the race, or compare after it, shows to be worse than another one.
        full: Those that compare shows so with all folds.
        false_race: Whether the race, or compare after it, claims a difference of equals.
        false_full: Whether compare does with all folds.
    """

    folds: int
    everything: int
    race: frozenset[int]
    full: frozenset[int]
    false_race: bool
    false_full: bool


def features_of(race: Race, cohort: Cohort, random: np.random.Generator) -> np.ndarray:
    """Features of each candidate, [candidate, case, feature].

    They are different views of the same images: ``SHARED`` of the noise's variance is common.
    """
    shape = (len(cohort.labels), FEATURES)
    common = random.normal(size=shape)
    own = random.normal(size=(len(race.gaps), *shape))
    signs = np.where((np.arange(FEATURES)[None] + np.arange(2)[:, None]) % 2, 1, -1)
    signal = (race.base.signal + np.array(race.gaps))[:, None, None] / 2
    return np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own + signal * signs[cohort.labels]


def one_race(race: Race, cohort: Cohort, random: np.random.Generator) -> Ended:
    """Train everything, then see what a race would have trained of it."""
    scores = np.stack(
        [
            _scores(race.base, features, cohort, random)
            for features in features_of(race, cohort, random)
        ]
    )
    parts = _by_fold(scores, cohort)
    total, everyone = race.base.folds, list(range(len(race.gaps)))
    left, settled, claims, trained = everyone, 0, set[tuple[int, int]](), 0
    for finished in range(1, total + 1):
        trained += len(left)
        if not FIRST <= finished < total or not left:
            continue
        stops = judge(
            [str(each) for each in left],
            _first(parts, finished, left),
            finished,
            folds_total=total,
            settled=settled,
            alpha=ALPHA,
        )
        worse = {name: stop for name, stop in stops.items() if stop.kind == "worse"}
        claims |= {(int(stop.against), int(name)) for name, stop in worse.items()}
        settled += len(stops) - len(worse)
        left = [each for each in left if str(each) not in stops]
    claims |= _compare(left, parts, settled)
    full = _compare(everyone, parts, 0)
    return Ended(
        folds=trained,
        everything=total * len(everyone),
        race=frozenset(worse for _, worse in claims),
        full=frozenset(worse for _, worse in full),
        false_race=any(race.gaps[one] <= race.gaps[other] for one, other in claims),
        false_full=any(race.gaps[one] <= race.gaps[other] for one, other in full),
    )


def _by_fold(scores: np.ndarray, cohort: Cohort) -> list[Areas]:
    """Areas of each fold by itself: patients are in one fold, so variances of folds add up."""
    cases, folds = cohort.items
    labels, patients = cohort.labels[cases], cohort.patients[cases]
    return [
        delong(labels[inside], scores[:, inside], clusters=patients[inside])
        for inside in (folds == fold for fold in range(folds.max() + 1))
    ]


def _first(parts: list[Areas], finished: int, who: list[int]) -> Areas:
    """Areas of some candidates over the first folds, as `delong` gives them."""
    areas = np.stack([part.areas[who] for part in parts[:finished]], axis=1)
    covariance = np.mean([part.covariance[np.ix_(who, who)] for part in parts[:finished]], axis=0)
    return Areas(
        areas=areas.mean(axis=1),
        covariance=covariance / finished,
        by_fold=areas,
        of_one_fold=covariance,
        folds=finished,
        undefined=0,
    )


def _compare(who: list[int], parts: list[Areas], settled: int) -> set[tuple[int, int]]:
    """Pairs of which the first is shown to be better, as `volbench compare` would."""
    pairs = list(combinations(range(len(who)), 2))
    if not pairs:
        return set()
    paired = paired_folds(_first(parts, len(parts), who))
    z = standardized(paired.difference, paired.error)
    own = np.array([z[pair] for pair in pairs])
    unseen = math.comb(len(who) + settled, 2) - len(pairs)
    adjusted = holm(np.array([*(2 * stats.norm.sf(np.abs(own))), *[1.0] * unseen]))
    return {
        (who[one], who[other]) if each > 0 else (who[other], who[one])
        for (one, other), each, p in zip(pairs, own, adjusted, strict=False)
        if p < ALPHA
    }


def simulate(name: str, studies: int, seed: int, results: Path) -> list[Ended]:
    """Go on with a scenario until it has so many studies."""
    race, path = RACES[name], place_of(f"race {name}", results)
    ended = read(path)
    if len(ended) >= studies:
        return ended[:studies]
    own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    divided = cohorts(race.base, seed)
    while len(ended) < studies:
        for number in range(len(ended), min(len(ended) + PIECE, studies)):
            random = np.random.default_rng((seed, own, number))
            ended.append(one_race(race, divided[number % len(divided)][0], random))
        write(path, ended)
    return ended


def read(path: Path) -> list[Ended]:
    """The studies of a scenario that are done."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return [
            Ended(
                folds=int(row["folds"]),
                everything=int(row["everything"]),
                race=frozenset(map(int, row["race"].split())),
                full=frozenset(map(int, row["full"].split())),
                false_race=row["false_race"] == "True",
                false_full=row["false_full"] == "True",
            )
            for row in csv.DictReader(stream)
        ]


def write(path: Path, ended: list[Ended]) -> None:
    """Write all of them, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    names = [field.name for field in fields(Ended)]
    with partial.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        for each in ended:
            values = [getattr(each, name) for name in names]
            writer.writerow(
                " ".join(map(str, sorted(value))) if isinstance(value, frozenset) else value
                for value in values
            )
    partial.replace(path)


def line(name: str, ended: list[Ended]) -> str:
    """What a scenario has shown, as a row of a table."""
    share = np.mean([each.folds / each.everything for each in ended])
    same = np.mean([each.race == each.full for each in ended])
    agreed = np.mean([each.race >= each.full for each in ended])
    wrong, wrong_full = (
        np.mean([getattr(each, key) for each in ended]) for key in ("false_race", "false_full")
    )
    return (
        f"| {name} | {len(ended)} | {1 / share:.2f} | {100 * same:.0f} | {100 * agreed:.0f} | "
        f"{100 * wrong:.1f} | {100 * wrong_full:.1f} |"
    )


def main() -> None:
    """Simulate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", action="append", choices=RACES, help="default: all")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    print("| candidates | studies | times fewer | same % | none missed % | false % | full % |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name in options.scenario or RACES:
        started = time.monotonic()
        ended = simulate(name, options.studies, options.seed, options.results)
        print(line(name, ended), f"{time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
