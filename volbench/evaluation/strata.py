"""Subgroup metrics: by site, scanner, slice thickness or any column of the cases."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from volbench.errors import UsageError
from volbench.evaluation.items import Items
from volbench.evaluation.metrics import metrics_for
from volbench.evaluation.metrics.named import HIGH
from volbench.evaluation.score_tables import counts, pooled_scores
from volbench.runs.cases_file import CaseRow

FEWEST = 5
"""A group with fewer items of a class gets its counts and no metric."""

MOST_VALUES = 5
"""A column of numbers with more different values than these is cut into three groups."""

MISSING, SEVERAL = "missing", "several values"
NO_VALUE = {"", "na", "n/a", "nan", "none"}
"""What a missing value is written as, in small letters."""

Strata: TypeAlias = Mapping[str, Mapping[str, str]]
"""What is known of each case: case to column to value."""


def strata_of(cases: Iterable[CaseRow]) -> dict[str, dict[str, str]]:
    """Read what cases.csv knows: slice thickness, slices, ROI volume and the data set's columns."""
    return {
        row.case: {
            "slice_mm": f"{row.spacing_mm[0]:.4g}",
            "slices": str(row.shape[0]),
            "roi_mm3": "" if row.roi_mm3 is None else f"{row.roi_mm3:.6g}",
            **row.strata,
        }
        for row in cases
    }


def stratum_scores(
    items: Items,
    strata: Strata,
    *,
    columns: Sequence[str] | None = None,
    fewest: int = FEWEST,
    at: float = HIGH,
) -> pd.DataFrame:
    """Counts and pooled metrics of every group of every column.

    Every item is in exactly one group of a column, so the ``n`` of its groups add up. A patient
    whose cases are in different groups is in the group "several values".

    Args:
        items: What to score.
        strata: Columns of each case.
        columns: Which of them; None means all that differ between cases.
        fewest: With fewer items of a class, the metrics of a group are NaN.
        at: Specificity at which the sensitivity is given, and the other way round.

    Raises:
        UsageError: a column is unknown, or a case of an item is.
    """
    known = list(dict.fromkeys(name for row in strata.values() for name in row))
    names = list(metrics_for(items.classes, at=at))
    rows: list[dict[str, object]] = []
    for column in known if columns is None else columns:
        if column not in known:
            there = ", ".join(known) or "no column"
            raise UsageError(f"stratum {column!r} is unknown for this data; there is {there}")
        groups = case_groups({case: row.get(column, "") for case, row in strata.items()})
        if columns is None and len(set(groups.values())) < 2:
            continue
        mine = [_group_of(cases, groups) for cases in items.cases]
        for group in dict.fromkeys([*groups.values(), SEVERAL, MISSING]):
            inside = items.take(np.array([each == group for each in mine], dtype=bool))
            if not len(inside.labels):
                continue
            numbers = counts(inside)
            enough = min(numbers[f"n_{name}"] for name in items.classes) >= fewest
            scored = pooled_scores(inside, at=at) if enough else dict.fromkeys(names, math.nan)
            rows.append({"stratum": column, "group": group, **numbers, **scored})
    return pd.DataFrame(rows, columns=["stratum", "group", *counts(items), *names])


def case_groups(values: Mapping[str, str]) -> dict[str, str]:
    """Group cases by the value of one column, in the order in which groups are shown.

    A column of numbers with more than five different values is cut at its terciles over all cases,
    a case at a tercile going to the lower group; a group is called after its least and greatest
    value, as in ``3-3.3``. Any other column has a group per value. A case without a value is in
    the group "missing".
    """
    there = {case: text for case, text in values.items() if text.strip().lower() not in NO_VALUE}
    numbers = {case: _number(text) for case, text in there.items()}
    if not there or any(math.isnan(number) for number in numbers.values()):
        found = {case: there[case].strip() for case in sorted(there, key=there.__getitem__)}
    elif len(set(numbers.values())) <= MOST_VALUES:
        found = {case: f"{numbers[case]:g}" for case in sorted(there, key=numbers.__getitem__)}
    else:
        found = _terciles(numbers)
    return {**found, **{case: MISSING for case in values if case not in there}}


def _terciles(numbers: Mapping[str, float]) -> dict[str, str]:
    cases = sorted(numbers, key=numbers.__getitem__)
    values = np.array([numbers[case] for case in cases])
    places = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)
    ranges = {int(place): values[places == place][[0, -1]] for place in np.unique(places)}
    for digits in range(3, 18):  # as few as keep the groups apart
        bounds = {place: [f"{end:.{digits}g}" for end in ends] for place, ends in ranges.items()}
        if len({end for ends in bounds.values() for end in set(ends)}) == sum(
            len(set(ends.tolist())) for ends in ranges.values()
        ):
            break
    named = {place: "-".join(dict.fromkeys(ends)) for place, ends in bounds.items()}
    return {case: named[int(place)] for case, place in zip(cases, places, strict=True)}


def _group_of(cases: Sequence[str], groups: Mapping[str, str]) -> str:
    if unknown := [case for case in cases if case not in groups]:
        raise UsageError(f"nothing is known of case {unknown[0]!r}; give the strata of every case")
    mine = {groups[case] for case in cases}
    return mine.pop() if len(mine) == 1 else SEVERAL


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
