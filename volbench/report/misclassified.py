"""Cases misclassified by all or nearly all candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from volbench.data.cache.packed_voxels import Prepared
from volbench.evaluation.items import gather
from volbench.leaderboard.statistics.comparison import Comparison
from volbench.report.images import SliceImage, indices, slice_images
from volbench.report.report_row import ReportRow

MOST = 8


@dataclass(frozen=True)
class MisclassifiedCase:
    """A case that candidates get wrong.

    Attributes:
        probabilities: Of the true class, by each candidate that is complete.
        mean: Their mean; one minus it is the mean wrongness.
        wrong: Candidates whose decision is wrong.
    """

    case: str
    patient: str
    label: str
    probabilities: tuple[float, ...]
    mean: float
    wrong: int
    images: tuple[SliceImage, ...] = ()


@dataclass(frozen=True)
class MisclassifiedCases:
    """The worst cases.

    Attributes:
        candidates: Numbers of the candidates that were asked: the complete ones.
        total: Cases that all of them decide wrongly.
        cases: The worst of all, most wrong first.
    """

    candidates: tuple[int, ...]
    total: int
    cases: tuple[MisclassifiedCase, ...]


def misclassified_cases(
    comparison: Comparison, rows: Sequence[ReportRow], prepared: Prepared | None
) -> MisclassifiedCases | None:
    """Sort cases by the mean probability of their true class; None before a run is complete."""
    complete = [row for row in rows if row.candidate.status == "complete"]
    if not complete:
        return None
    probability: dict[str, list[float]] = {}
    wrong: dict[str, int] = {}
    known: dict[str, tuple[str, str]] = {}
    for row in complete:
        found: dict[str, list[tuple[float, bool]]] = {}
        for run in row.candidate.runs:
            items = gather(
                chain.from_iterable(run.predictions.values()),
                run.classes,
                unit="case",
                threshold=comparison.threshold,
                validation=run.validation,
            )
            right = items.predicted == items.labels
            for place, rows_of in enumerate(items.rows):
                of_truth = float(items.probabilities[place, items.labels[place]])
                found.setdefault(rows_of[0].case, []).append((of_truth, bool(right[place])))
                known[rows_of[0].case] = (rows_of[0].patient, rows_of[0].label)
        for case, each in found.items():
            probability.setdefault(case, []).append(float(np.mean([value for value, _ in each])))
            mostly_wrong = sum(not right for _, right in each) * 2 > len(each)
            wrong[case] = wrong.get(case, 0) + mostly_wrong
    worst = sorted(probability, key=lambda case: (np.mean(probability[case]), case))
    worst = [case for case in worst if wrong[case]][:MOST]
    places = indices(prepared, worst) if prepared else [None] * len(worst)
    cases = tuple(
        MisclassifiedCase(
            *(case, *known[case], tuple(probability[case])),
            mean=float(np.mean(probability[case])),
            wrong=wrong[case],
            images=tuple(slice_images(prepared, place)) if prepared and place is not None else (),
        )
        for case, place in zip(worst, places, strict=True)
    )
    total = sum(count == len(complete) for count in wrong.values())
    return MisclassifiedCases(tuple(row.number for row in complete), total, cases)
