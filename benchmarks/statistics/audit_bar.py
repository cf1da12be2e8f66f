"""Simulate how often an audit finds a shortcut where there is none, and where there is one.

    python benchmarks/statistics/audit_bar.py [--studies 100] [--classes 2] [--cases 90]

A cohort has two numbers of the geometry, a column of numbers (age) and one of three words (site);
with ``--planted D`` the age moves by D standard deviations from class to class, and its rows only
are looked at. Each study is audited as `volbench.audit.audit` does it: the same models, volbench's
own folds, and `volbench.audit.chance.chance_area` for a bar. Seeded, one line per cohort.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
from studies import _case

from volbench._utils.seeds import derive_seed
from volbench.audit.chance import chance_area
from volbench.audit.columns import Column
from volbench.audit.result import Audit, AuditRow, arrays
from volbench.audit.shortcut_models import MODELS, encode, fit, probabilities
from volbench.evaluation.metrics import area_under_curve
from volbench.experiment.split_designs import make_split
from volbench.experiment.splits import Split
from volbench.runs.predictions_file import Prediction

FOLDS = {30: 3}
"""Five, where a fold of thirty would hold out one case of each of five classes only."""


def cohort(
    classes: int, cases: int, planted: float, seed: int
) -> tuple[Split, dict[str, list[Column]]]:
    """A division of so many patients of equal classes, and columns of theirs."""
    random = np.random.default_rng([seed, classes, cases])
    labels = random.permutation(np.arange(cases) % classes)
    made = [_case(number, number, labels) for number in range(cases)]
    first, second, age = random.normal(size=(3, cases))
    words = tuple("abc"[number] for number in random.integers(3, size=cases))
    geometry = [Column("rows", numbers=first), Column("spacing", numbers=second)]
    strata = [Column("age", numbers=age + planted * labels), Column("site", levels=words)]
    sets = {"geometry": geometry, "age": strata[:1], "site": strata[1:]}
    split = make_split(tuple(made), FOLDS.get(cases, 5), seed)
    return split, {**sets, "everything": geometry + strata}


def audited(
    split: Split, sets: dict[str, list[Column]], names: tuple[str, ...], seed: int
) -> Audit:
    """Every feature set by every model, trained without the held-out fold."""
    labels = np.array([case.label for case in split.cases])

    def rows(name: str, model: str) -> Iterator[Prediction]:
        for fold in split.folds:
            part = split.part(fold, validation_fraction=None, seed=seed)
            known, held_out = encode(sets[name], part.train, part.test)
            drawn = derive_seed(seed, "audit", model, fold)
            fitted = fit(model, known, labels[list(part.train)], drawn)
            for index, row in zip(
                part.test, probabilities(fitted, held_out, len(names)), strict=True
            ):
                case = split.cases[index]
                label = names[case.label]
                yield Prediction(case.name, case.patient, label, fold, None, tuple(row.tolist()))

    found = [
        AuditRow(name, model, "", tuple(rows(name, model))) for name in sets for model in MODELS
    ]
    return Audit(names, tuple(found))


def areas(audit: Audit) -> dict[tuple[str, str], float]:
    """The mean area over folds of each row."""
    found = {}
    for row in audit.rows:
        labels, scores = arrays(row.predictions, audit.classes)
        folds = np.array([one.fold for one in row.predictions])
        each = [
            area_under_curve(labels[folds == fold], scores[folds == fold]) for fold in row.folds
        ]
        found[row.features, row.model] = float(np.nanmean(each))
    return found


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, middle = hits / of, (hits + z * z / 2) / (of + z * z)
    reach = z / (of + z * z) * np.sqrt(share * (1 - share) * of + z * z / 4)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 5])
    parser.add_argument("--cases", type=int, nargs="+", default=[30, 90, 300])
    parser.add_argument("--planted", type=float, default=0.0)
    options = parser.parse_args()
    for classes in options.classes:
        for cases in options.cases:
            began, above, bars, best = time.monotonic(), 0, [], []
            for seed in range(options.studies):
                split, sets = cohort(classes, cases, options.planted, seed)
                found = audited(split, sets, tuple(f"c{number}" for number in range(classes)), seed)
                scores = areas(found)
                told = [area for (name, _), area in scores.items() if name == "age"]
                best.append(max(told) if options.planted else max(scores.values()))
                bars.append(chance_area(found))
                above += best[-1] > bars[-1]
            low, high = (100 * end for end in wilson(above, options.studies))
            print(
                f"{classes} classes, {cases} cases, {len(split.folds)} folds: {above} of "
                f"{options.studies} above ({low:.1f} to {high:.1f} %); bar {np.mean(bars):.3f}, "
                f"best row: half above {np.median(best):.3f}, 5 % above "
                f"{np.quantile(best, 0.95):.3f} ({time.monotonic() - began:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
