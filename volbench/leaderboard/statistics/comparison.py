"""Comparison of runs as plain values: rows, estimates, pairs, power, baselines."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import pandas as pd

from volbench._utils.text import plural
from volbench.evaluation.items import Unit
from volbench.evaluation.statistics import Rope, Verdict
from volbench.leaderboard.statistics.race import Stop
from volbench.leaderboard.statistics.run_scores import Estimate, Scored
from volbench.runs.load import LoadedRun

Decides: TypeAlias = Literal["combined", "corrected_t", "delong", "bootstrap"]
"""The test whose p value counts."""


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
class ShortcutTest:
    """A candidate against the best row of the audit, on the same folds; the candidate comes first.

    Attributes:
        p: Of the test that decides between rows, adjusted by Holm for the candidates of the table.
        beaten: Whether the candidate is shown to be better.
        test: The test that says so.
    """

    difference: float
    low: float
    high: float
    p: float
    beaten: bool
    test: Decides


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
        standard_error: Of the difference, by the test that decides; NaN for the bootstrap.
        p: Of the test that decides.
        p_holm: Adjusted for all pairs of the table.
        p_delong: DeLong's test within folds, by patient; NaN where it does not apply.
        p_bootstrap: Bootstrap of patients.
        rope: Probabilities of worse, practically the same and better; None where cases decide.
        test: The one that decides.
        verdict: What is shown about the first.
    """

    first: int
    second: int
    difference: float
    low: float
    high: float
    std: float
    standard_error: float
    p: float
    p_holm: float
    p_delong: float
    p_bootstrap: float
    rope: Rope | None
    test: Decides
    verdict: Verdict

    def turned(self) -> "Pair":
        """The same pair seen from the second."""
        turn: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
        rope = self.rope
        return replace(
            self,
            first=self.second,
            second=self.first,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
            rope=rope and Rope(rope.better, rope.same, rope.worse, rope.margin),
            verdict=turn.get(self.verdict, self.verdict),
        )


@dataclass(frozen=True)
class PowerAnalysis:
    """What differences these folds can show.

    Attributes:
        folds: Fold differences per pair.
        std: Median over pairs of the standard deviation of the fold differences.
        standard_error: Median over pairs of that of the difference.
        smallest_significant: A mean difference beyond it has p < alpha, for one pair.
        detectable: True difference found with a chance of 80 %, for one pair.
        detectable_holm: The same at the strictest step of Holm, alpha over the number of pairs.
    """

    folds: int
    std: float
    standard_error: float
    smallest_significant: float
    detectable: float
    detectable_holm: float


@dataclass(frozen=True)
class Shortcut:
    """A row of the audit: what a simple model reaches without the image.

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


Status: TypeAlias = Literal["complete", "incomplete", "failed", "stopped"]
"""``stopped``: by a race, shown worse or settled; it has fewer folds and no rank."""
Test: TypeAlias = Literal["folds", "cases"]

SLICES = "(slices)"
"""Stands where the aggregator would, at slice level."""


@dataclass(frozen=True, eq=False)
class ScoredRow:
    """One row on its own: a run, or several that differ in the seed only.

    Attributes:
        scored: Its runs with their items; one, or more where seeds are put together as repeats.
        status: Whether every fold of every run is finished.
        folds: Finished ones, over all runs.
        folds_total: All of them.
        failed: Those that failed.
        n: Items that were held out and scored, in the first run.
        scores: By name of the metric.
        by_fold: Metrics of each fold, indexed by name of the run and number of the fold.
        other_units: AUC at the units that the table is not about.
    """

    scored: tuple[Scored, ...]
    status: Status
    folds: int
    folds_total: int
    failed: int
    n: int
    scores: Mapping[str, Estimate]
    by_fold: pd.DataFrame
    other_units: Mapping[Unit, Estimate]
    cost: Cost

    def __repr__(self) -> str:
        area = self.score("auc")
        parts = ", ".join((self.encoder, self.aggregator, self.loss))
        return f"<{parts}: AUC {area.mean:.3f}, {self.folds} of {self.folds_total} folds>"

    @property
    def runs(self) -> tuple[LoadedRun, ...]:
        """Its runs as they were loaded."""
        return tuple(scored.run for scored in self.scored)

    @property
    def name(self) -> str:
        """Name of the run, or of the first one and how many follow."""
        more = f" and {len(self.runs) - 1} more" if len(self.runs) > 1 else ""
        return f"{self.runs[0].name}{more}"

    @property
    def encoder(self) -> str:
        """Spec of the encoder, and the clinical columns beside it, if any."""
        return self.runs[0].encoder

    @property
    def aggregator(self) -> str:
        """Spec of the aggregator."""
        return str(self.runs[0].experiment["aggregator"] or SLICES)

    @property
    def loss(self) -> str:
        """Spec of the loss."""
        return str(self.runs[0].experiment["loss"])

    @property
    def level(self) -> str:
        """``volume`` or ``slice``."""
        return str(self.runs[0].experiment["level"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs."""
        return tuple(int(run.experiment["seed"]) for run in self.runs)

    @property
    def stop(self) -> Stop | None:
        """Why a race stopped it; None if none did, or it has all folds by now."""
        found = next((run.race for run in self.runs if run.race), None)
        return None if found is None or self.status != "stopped" else Stop.from_json(found)

    @property
    def optimism(self) -> float:
        """AUC that the search saw less the one held out; NaN where nothing was searched for."""
        found = (run.tuning.get("optimism") for run in self.runs if run.tuning)
        gaps = [float(gap) for gap in found if gap is not None]
        return sum(gaps) / len(gaps) if gaps else math.nan

    @property
    def selected_on_these_data(self) -> bool:
        """Whether the cases that judge this row helped to choose its hyperparameters."""
        return any(run.tuning and run.tuning["selected_on_these_data"] for run in self.runs)

    def score(self, metric: str) -> Estimate:
        """A metric; NaN before any fold is done."""
        return self.scores.get(metric, Estimate(math.nan, math.nan))


@dataclass(frozen=True, eq=False)
class Candidate(ScoredRow):
    """One row among the others of its table; its scores have intervals.

    Attributes:
        letters: Rows that share a letter cannot be told apart; empty where nothing was tested.
        bar: Against the audit; None where there is none.
    """

    letters: str = ""
    bar: ShortcutTest | None = None

    __repr__ = ScoredRow.__repr__


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs on the same data and the same folds, compared.

    Attributes:
        rows: Sorted; incomplete ones too.
        pairs: Of all complete rows, the one that stands higher first.
        against: Position of the row that the others are shown against; None for fewer than two
            complete rows.
        unit: What an item is.
        threshold: How the threshold was set.
        sort: What the rows are sorted by.
        ddof: Of all standard deviations over folds.
        test: ``folds``: the cross-validated test or the corrected t-test; ``cases``: DeLong's test,
            where there is one fold; None where no pair was tested.
        design: None unless folds decide.
        shortcuts: Best rows of the audit, best first.
        undefined: Folds without an AUC, because a class is missing in them.
        mixed: Whether slice and volume level stand together and are scored per case for that.
        splits: Digests of the divisions into folds; several where repeats are put together.
        alpha, margin, resamples, seed: Level, region of practical equivalence, bootstrap.
    """

    rows: tuple[Candidate, ...]
    classes: tuple[str, ...]
    unit: Unit
    threshold: str
    sort: str
    ddof: int
    pairs: tuple[Pair, ...] = ()
    against: int | None = None
    test: Test | None = None
    design: PowerAnalysis | None = None
    shortcuts: tuple[Shortcut, ...] = ()
    undefined: tuple[int, ...] = ()
    mixed: bool = False
    alpha: float = 0.05
    margin: float = 0.01
    resamples: int = 2000
    seed: int = 0
    splits: tuple[str, ...] = ()

    def __repr__(self) -> str:
        run = self.first_run
        what = f"{plural(len(self.rows), 'candidate')} on {run.data}, {plural(run.cases, 'case')}"
        return f"<{what}; first: {self.rows[0]!r}>"

    @property
    def first_run(self) -> LoadedRun:
        """Any run; all have the same data."""
        return self.rows[0].runs[0]

    @property
    def runs(self) -> tuple[LoadedRun, ...]:
        """All runs, row by row."""
        return tuple(run for row in self.rows for run in row.runs)

    @property
    def repeats(self) -> int:
        """Divisions into folds that were put together."""
        return len(self.splits)

    @property
    def decided_by(self) -> Decides | None:
        """The test of pairs of rows, or of rows and the audit; None where nothing was tested."""
        tested: list[ShortcutTest | Pair] = [
            *(row.bar for row in self.rows if row.bar),
            *self.pairs,
        ]
        return tested[-1].test if tested else None

    @property
    def bar(self) -> Shortcut | None:
        """The row of the audit that a model has to beat."""
        return next((shortcut for shortcut in self.shortcuts if not shortcut.label), None)

    @property
    def one_machine(self) -> bool:
        """Whether speed and memory of the rows can be compared."""
        return len({one for row in self.rows if row.folds for one in row.cost.machine}) <= 1

    def shown_pairs(self) -> tuple[Pair, ...]:
        """Every other complete row against the one of ``against``, in the order of the rows."""
        found = [
            pair if pair.second == self.against else pair.turned()
            for pair in self.pairs
            if self.against in (pair.first, pair.second)
        ]
        return tuple(sorted(found, key=lambda pair: pair.first))
