"""Parts of a comparison, as plain values: estimates, pairs, what folds can show, audit rows."""

import math
from dataclasses import dataclass

from volbench.evaluation.statistics import Rope, Verdict


@dataclass(frozen=True)
class Estimate:
    """A metric over folds.

    Attributes:
        mean: NaN where it is undefined in a fold.
        std: Standard deviation over folds.
        low: Lower end of the 95 % interval of the mean over the drawing of patients; NaN where
            there is none: of an incomplete run, of a metric that is no quotient of sums.
        high: Upper end.
    """

    mean: float
    std: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Cost:
    """Size and speed; means over folds, None where nothing was measured.

    Attributes:
        machine: Processor, device, precision and threads; only equal ones can be compared.
    """

    parameters: int | None
    seconds: float | None
    samples_per_second: float | None
    peak_memory_mb: float | None
    machine: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """A candidate against the best row of the audit, on the same folds; the candidate comes first.

    Attributes:
        p: Of the corrected t-test, adjusted by Holm for the candidates of the table.
        beaten: Whether the candidate is shown to be better.
    """

    difference: float
    low: float
    high: float
    p: float
    beaten: bool


@dataclass(frozen=True)
class Pair:
    """Two rows compared by AUC; differences are first minus second.

    Attributes:
        first: Position of a row.
        second: Position of another one.
        difference: Mean over folds of the first's AUC less the second's.
        low: Lower end of its 95 % interval, by the test that decides; not widened for many pairs.
        high: Upper end.
        std: Standard deviation of the differences over folds (ddof 1); NaN where cases decide.
        p: Of the test that decides.
        p_holm: Adjusted for all pairs of the table.
        p_delong: DeLong's test within folds, by patient; NaN where it does not apply.
        p_bootstrap: Bootstrap of patients.
        rope: Probabilities of worse, practically the same and better; None where cases decide.
        verdict: What is shown about the first.
    """

    first: int
    second: int
    difference: float
    low: float
    high: float
    std: float
    p: float
    p_holm: float
    p_delong: float
    p_bootstrap: float
    rope: Rope | None
    verdict: Verdict

    def turned(self) -> "Pair":
        """The same pair seen from the second."""
        turn: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
        rope = self.rope
        return Pair(
            first=self.second,
            second=self.first,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
            std=self.std,
            p=self.p,
            p_holm=self.p_holm,
            p_delong=self.p_delong,
            p_bootstrap=self.p_bootstrap,
            rope=rope and Rope(rope.better, rope.same, rope.worse, rope.margin),
            verdict=turn.get(self.verdict, self.verdict),
        )


@dataclass(frozen=True)
class Design:
    """What differences these folds can show.

    Attributes:
        folds: Fold differences per pair.
        std: Median over pairs of the standard deviation of the fold differences.
        smallest_significant: A mean difference beyond it has p < alpha, for one pair.
        detectable: True difference found with a chance of 80 %, for one pair.
        detectable_holm: The same at the strictest step of Holm, alpha over the number of pairs.
    """

    folds: int
    std: float
    smallest_significant: float
    detectable: float
    detectable_holm: float


@dataclass(frozen=True)
class Shortcut:
    """A row of the audit: what a simple model reaches without a picture.

    Attributes:
        features: Name of the feature set.
        model: ``logistic`` or ``forest``.
        note: What a reader must know of it; may be empty.
        auc: Over the folds of the runs.
        label: Whether this column nearly is the label, and so no bar for any model.
    """

    features: str
    model: str
    note: str
    auc: Estimate
    label: bool = False
