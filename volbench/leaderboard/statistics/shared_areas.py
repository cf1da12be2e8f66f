"""Areas of all rows of a table at once, with their covariance: each pair of rows is looked up.

The covariance of DeLong needs each row's placements of each item, which are the same in every pair
that the row is in: a table of n rows needs them n times, not n (n - 1) times.
"""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from volbench.errors import DataError
from volbench.evaluation.items import Items
from volbench.evaluation.statistics import Areas, delong


class SharedAreas:
    """Areas of rows within folds; only rows on the same patients, labels and folds make a pair.

    Args:
        items: Of each row, by its position, in an order shared by all. Rows of several runs are
            not among them.
    """

    def __init__(self, items: Mapping[int, Items]) -> None:
        together: dict[Hashable, list[int]] = {}
        for place, each in items.items():
            together.setdefault(_held_out(each), []).append(place)
        self._tables: dict[int, tuple[Areas, int]] = {}
        for places in together.values():
            areas = _areas([items[place] for place in places])
            if areas is not None:
                self._tables |= {place: (areas, row) for row, place in enumerate(places)}

    def pair(self, first: int, second: int) -> Areas | None:
        """Areas of two rows; None where they have none, or hold out other items."""
        one, other = self._tables.get(first), self._tables.get(second)
        if one is None or other is None or one[0] is not other[0]:
            return None
        return one[0].pair(one[1], other[1])


def _held_out(items: Items) -> Hashable:
    """What has to be the same for a pairing by items: patients, labels, folds and classes."""
    arrays = items.labels.tobytes(), items.folds.tobytes()
    return (*arrays, tuple(items.patients), items.repeated, items.probabilities.shape)


def _areas(rows: Sequence[Items]) -> Areas | None:
    first = rows[0]
    try:
        return delong(
            first.labels,
            np.stack([each.probabilities for each in rows]),
            clusters=np.array(first.patients),
            folds=first.folds,
            repeated=first.repeated,
            undefined="omit",
        )
    except DataError:  # one patient of a class in every fold: no spread to be told
        return None
