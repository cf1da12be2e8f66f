"""Definition of a metric: name, function, direction and format."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from volbench.evaluation.metrics.arrays import LabelArray, ProbabilityArray, Threshold
from volbench.evaluation.metrics.decisions import Confusion, confusion, predicted_class

Compute: TypeAlias = Callable[[LabelArray, ProbabilityArray, Threshold], float]


@dataclass(frozen=True)
class Metric:
    """A metric; called with labels and probabilities it is a number, or NaN where undefined.

    Attributes:
        name: Key in every table and file.
        heading: Short name for people.
        formula: How it is computed, in a line.
        source: Who defined it.
        compute: From labels, probabilities and threshold.
        range: Least and greatest value.
        higher_is_better: Whether a table that is sorted by it begins with the greatest.
        percent: Whether people are used to it in percent; the value itself is a fraction.
        needs_threshold: Whether it judges decisions. Others are the same at every threshold.
        headline: Whether a table that has little room shows it.
    """

    name: str
    heading: str
    formula: str
    source: str
    compute: Compute
    range: tuple[float, float] = (0.0, 1.0)
    higher_is_better: bool = True
    percent: bool = False
    needs_threshold: bool = False
    headline: bool = False

    @property
    def column(self) -> str:
        """Heading of a column that shows it: the short name, with its unit."""
        return f"{self.heading} %" if self.percent else self.heading

    def __call__(
        self, labels: LabelArray, probabilities: ProbabilityArray, threshold: Threshold = 0.5
    ) -> float:
        """Compute it; the threshold, of all or of each item, decides between two classes."""
        return self.compute(labels, probabilities, threshold)


def of_probabilities(compute: Callable[[LabelArray, ProbabilityArray], float]) -> Compute:
    """A metric that no threshold changes."""
    return lambda labels, probabilities, _: compute(labels, probabilities)


def of_decisions(compute: Callable[[Confusion], float]) -> Compute:
    """A metric of the counts of decisions."""

    def metric(labels: LabelArray, probabilities: ProbabilityArray, threshold: Threshold) -> float:
        predicted = predicted_class(probabilities, threshold)
        return compute(confusion(labels, predicted, probabilities.shape[1]))

    return metric
