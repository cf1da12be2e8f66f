"""Who is held out where: what runs on other images of the same patients have in common."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from volbench.runs.splits_file import SplitRow


@dataclass(frozen=True)
class Cohort:
    """Digests of a division of labelled patients into folds, whatever their images are.

    Attributes:
        by_case: Of each case's name, patient, label and folds.
        by_patient: The same without the names of cases: equal where each patient has the same
            labels in the same folds.

    >>> one = [SplitRow("p1-ED", "p1", "a", "0"), SplitRow("p2-ED", "p2", "b", "1")]
    >>> other = [SplitRow("p1", "p1", "a", "0"), SplitRow("p2", "p2", "b", "1")]
    >>> Cohort.of(one).by_patient == Cohort.of(other).by_patient
    True
    >>> Cohort.of(one).by_case == Cohort.of(other).by_case
    False
    """

    by_case: str
    by_patient: str

    @classmethod
    def of(cls, rows: Iterable[SplitRow]) -> "Cohort":
        """From splits.csv, in any order."""
        known = [(row.patient, row.label, row.fold, row.case) for row in rows]
        return cls(_digest(known), _digest({each[:3] for each in known}))


def _digest(rows: Iterable[tuple[str, ...]]) -> str:
    return hashlib.sha256("\n".join("\t".join(row) for row in sorted(rows)).encode()).hexdigest()


UNKNOWN_COHORT = Cohort("", "")
"""Of a run without splits.csv."""
