"""Compare runs in one call: leaderboards with intervals and corrected tests, as values."""

from volbench._api.comparisons import Comparisons
from volbench._api.runs import AnyPaths, load_runs
from volbench.evaluation.items import Unit
from volbench.evaluation.statistics import PairTest


def compare(
    *paths: AnyPaths,
    unit: Unit | None = None,
    threshold: str | float = 0.5,
    repeats: bool = False,
    test: PairTest = "combined",
    across_inputs: bool = False,
) -> Comparisons:
    """Compare runs as ``volbench compare`` does: one comparison per data set and split.

    Args:
        *paths: Run folders, or folders of them; ``runs`` by default.
        unit: ``slice``, ``case`` or ``patient``; None means what the runs predict.
        threshold: A number, or a rule such as ``youden`` that sets it on the validation part.
        repeats: Whether runs that differ in the seed only are one row.
        test: ``combined``, the cross-validated z-test, or ``corrected_t``.
        across_inputs: Whether runs on other images of the same patients, with the same labels and
            folds, are one comparison.

    Raises:
        UsageError: a path holds no run or is none, or an unknown unit or test.
        StateError: a file of a run is missing or damaged.

    >>> (table,) = compare("runs")
    >>> [(row.name, row.letters) for row in table.rows]
    [('mine', 'a'), ('other', 'b')]
    """
    return load_runs(
        *paths,
        unit=unit,
        threshold=threshold,
        repeats=repeats,
        test=test,
        across_inputs=across_inputs,
    ).comparisons
