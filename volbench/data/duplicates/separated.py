"""Pairs of cases that a division into folds puts on both sides of a test."""

from collections.abc import Collection, Iterable, Sequence

Pair = tuple[int, int]
"""Positions of two cases, the lower first."""

SHOWN = 10


def separated(
    pairs: Iterable[Pair], parts: Iterable[tuple[Collection[int], Collection[int]]]
) -> list[Pair]:
    """Those of which one case is held out by a fold that trains on the other.

    Args:
        pairs: Pairs of cases.
        parts: Of each fold, the cases that train (or choose the checkpoint) and those held out.

    >>> separated([(0, 1), (2, 3)], [({0, 2, 3}, {1}), ({1}, {0, 2, 3})])
    [(0, 1)]
    """
    sets = [(set(train), set(held_out)) for train, held_out in parts]
    return [
        (one, other)
        for one, other in pairs
        if any(
            (one in train and other in held_out) or (other in train and one in held_out)
            for train, held_out in sets
        )
    ]


def names_of(pairs: Sequence[Pair], names: Sequence[str]) -> str:
    """Pairs by name, the first few and how many more.

    >>> names_of([(0, 1)], ["a", "b"])
    'a = b'
    """
    shown = ", ".join(f"{names[one]} = {names[other]}" for one, other in pairs[:SHOWN])
    return shown + (f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else "")
