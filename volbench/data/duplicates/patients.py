"""Identifiers of patients that look like one: '12' and '0012', '7' and '7.0', 'pat7' and 'PAT7'."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable


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


def likeness(patient: str) -> str:
    """The same text for identifiers that look alike."""
    text = "".join(unicodedata.normalize("NFKC", patient).casefold().split())
    text = re.sub(r"^(\d+)\.0+$", r"\1", text)
    return re.sub(r"\d+", lambda found: found[0].lstrip("0") or "0", text)
