"""What to train next: which design would show smaller differences, and what it would cost.

From the spread of the fold differences at hand, by the corrected t-test that decides on such
designs: a prediction for the same candidates on the same patients, not a promise. A few folds may
lie close together by luck, so the spread is taken to be no smaller than what the choice of patients
alone makes it, which DeLong's variance within folds knows.
"""

import math
from dataclasses import dataclass

from volbench._utils.text import duration
from volbench.evaluation.statistics import FACTOR, LARGEST_DIFFERENCE, detectable_effect
from volbench.leaderboard.statistics.comparison import Comparison

REPEATS = (3, 5, 10)
SPLITS = (15, 30)
HELD_OUT = 0.1
GPU = "device cuda"
"""In the text of a machine whose seconds are those of a GPU."""
WORTH_IT = 0.95
"""A design is worth a word if it shows differences smaller by at least this factor."""


@dataclass(frozen=True)
class NextDesign:
    """A design that would show smaller differences.

    Attributes:
        options: Of ``volbench run``.
        detectable: True difference found with a chance of 80 %, at the strictest step of Holm.
        trainings: How many more, over all complete rows.
        seconds: They would take one after another, as measured; None where nothing was.
        on_gpu: Whether these are seconds of a GPU.
    """

    options: str
    detectable: float
    trainings: int
    seconds: float | None
    on_gpu: bool = False


def detectable_by(
    std: float, differences: int, test_to_train: float, *, alpha: float, power: float = 0.8
) -> float:
    """True difference that the corrected t-test finds with a power.

    >>> round(detectable_by(0.03, 10, 1 / 9, alpha=0.05), 3)
    0.043
    >>> round(detectable_by(0.03, 30, 1 / 9, alpha=0.05), 3)
    0.033
    """
    error = math.sqrt(1 / differences + test_to_train) * std
    return detectable_effect(differences - 1, alpha=alpha, power=power) * error


def next_designs(found: Comparison) -> list[NextDesign]:
    """Designs that would show smaller differences than the one at hand, the cheapest first."""
    if found.design is None:
        return []
    enough = min(LARGEST_DIFFERENCE, WORTH_IT * found.design.detectable_holm)
    return [each for each in foreseen_designs(found) if each.detectable < enough]


def foreseen_designs(found: Comparison) -> list[NextDesign]:
    """What every design would show, the cheapest first.

    Only for one division into folds, of rows of one run each: that is where one begins.
    """
    design = found.design
    complete = [row for row in found.rows if row.status == "complete"]
    run = found.first_run
    if design is None or found.repeats > 1 or run.repeated or any(
        len(row.runs) > 1 for row in complete
    ):  # fmt: skip
        return []
    folds, rows = int(run.experiment["folds"]), len(complete)
    std = spread_to_expect(found)
    alpha = found.alpha / len(found.pairs)
    one_fold = [row.cost.seconds for row in complete if row.cost.seconds is not None]
    mean = sum(one_fold) / rows if len(one_fold) == rows else None
    on_gpu = any(GPU in machine for row in complete for machine in row.cost.machine)

    def planned(options: str, std: float, differences: int, ratio: float, new: int) -> NextDesign:
        return NextDesign(
            options,
            detectable_by(std, differences, ratio, alpha=alpha),
            new * rows,
            None if mean is None else mean * new * rows,
            on_gpu,
        )

    repeats = [
        planned(f"--repeats {r}", std, r * folds, 1 / (folds - 1), (r - 1) * folds) for r in REPEATS
    ]
    # A part of another size: the variance of its score goes with one over its patients.
    scaled = std * math.sqrt(1 / folds / HELD_OUT)
    splits = [
        planned(
            f"--folds 'random(splits={count}, test={HELD_OUT:g})'",
            *(scaled, count, HELD_OUT / (1 - HELD_OUT), count),
        )
        for count in SPLITS
    ]
    return sorted((*repeats, *splits), key=lambda each: (each.trainings, each.detectable))


def spread_to_expect(found: Comparison) -> float:
    """Standard deviation of the fold differences: as it was, or what patients alone make it."""
    design = found.design
    assert design is not None
    if any(pair.test != "combined" for pair in found.pairs):
        return design.std
    # The standard error is that of the larger variance of the two, enlarged by a factor.
    return max(design.std, design.standard_error * math.sqrt(design.folds / FACTOR))


def recommendation(found: Comparison) -> str | None:
    """Say which design to run next, and what it costs; None where none applies."""
    designs = next_designs(found)
    if not designs:
        return None
    cheapest, best = designs[0], min(designs, key=lambda each: each.detectable)
    said = f"Next: {_said(cheapest)}"
    return f"{said}; {_said(best)}." if best != cheapest else f"{said}."


def _said(design: NextDesign) -> str:
    time = "" if design.seconds is None else f", about {_cost(design.seconds, design.on_gpu)}"
    return (
        f"{design.options} would show a difference of {design.detectable:.3f} "
        f"({design.trainings} more trainings{time})"
    )


def _cost(seconds: float, on_gpu: bool) -> str:
    """Time that a person can judge.

    >>> _cost(80, False), _cost(3000, False), _cost(80, True), _cost(90000, True)
    ('80 s one by one', '50 min one by one', '0.02 GPU-hours', '25 GPU-hours')
    """
    if on_gpu:
        hours = seconds / 3600
        return f"{hours:.1g} GPU-hours" if hours < 1 else f"{hours:.0f} GPU-hours"
    return f"{duration(seconds)} one by one"
