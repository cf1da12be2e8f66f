"""Identifiers of patients that look like one ('12' and '0012', '7.0' and '7'), or like none."""

import re
from collections import defaultdict
from collections.abc import Iterable

from volbench._utils.text import looks

MISSING = frozenset({"nan", "<na>", "nat", "null", "n/a", "#n/a"})
"""In lower case; "na" and "none" are more often classes."""


def look_alikes(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of different identifiers that most hospitals would take for the same one.

    They differ in case, spaces, leading zeros, or in the ``.0`` that spreadsheets append.

    >>> look_alikes(["12", "0012", "7", "7.0", "pat7", "PAT 007", "pat8"])
    [('0012', '12'), ('7', '7.0'), ('PAT 007', 'pat7')]
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for patient in patients:
        groups[likeness(patient)].add(patient)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def missing_texts(classes: Iterable[str], patients: Iterable[str]) -> list[str]:
    """Say which class or patient is called what tables write for a value that is not there.

    >>> missing_texts(["T2", "nan"], ["P1", "P2"])
    ["class 'nan' may be a value that was missing where the table was written"]
    """
    return [
        f"{what} {text!r} may be a value that was missing where the table was written"
        for what, texts in (("class", classes), ("patient", patients))
        for text in sorted(set(texts))
        if text.lower() in MISSING
    ]


def likeness(patient: str) -> str:
    """The same text for identifiers that look alike."""
    text = re.sub(r"^(\d+)\.0+$", r"\1", looks(patient))
    return re.sub(r"\d+", lambda found: found[0].lstrip("0") or "0", text)
