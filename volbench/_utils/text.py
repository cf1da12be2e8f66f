"""Wording shared by all messages: counted nouns, and suggestions for misspelt names."""

import re
import shlex
from collections.abc import Iterable
from difflib import get_close_matches
from unicodedata import category, normalize


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "fold"), plural(3, "finished fold")
    ('1 fold', '3 finished folds')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """A time as one would say it; hundredths of a second are told from nothing.

    >>> duration(0.04), duration(0.4), duration(42), duration(300), duration(9000)
    ('0.04 s', '0.4 s', '42 s', '5 min', '2.5 h')
    """
    if seconds < 90:
        return f"{short_seconds(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def short_seconds(seconds: float) -> str:
    """Whole seconds, or the first digit of what is less than one.

    >>> short_seconds(3.7), short_seconds(0.97), short_seconds(0.041), short_seconds(0)
    ('4', '1', '0.04', '0')
    """
    digits = 0 if seconds >= 0.95 or not seconds else 1 if seconds >= 0.095 else 2
    return f"{seconds:.{digits}f}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, ignoring case; None if none is close.

    >>> nearest("RMC6", ["rmc5", "r2d"])
    'rmc5'
    """
    by_folded = {one.casefold(): one for one in sorted(known, reverse=True)}
    matches = get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None


def looks(text: str) -> str:
    """What is left of a text without case, spaces, invisible characters and Unicode forms.

    >>> looks("T2") == looks("t 2") == looks("T2\u200b") == looks("\uff342")
    True
    """
    plain = normalize("NFKC", text).casefold()
    return "".join(one for one in plain if not one.isspace() and category(one) != "Cf")


def command_line(*words: object) -> str:
    """A command as it can be typed again: what a shell would split or expand is quoted.

    >>> command_line("volbench", "compare", "my runs")
    "volbench compare 'my runs'"
    """
    return shlex.join(map(str, words))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest known name, to be appended; empty if none is close.

    >>> "Unknown encoder 'rmc6'." + did_you_mean("rmc6", ["rmc5", "r2d"])
    "Unknown encoder 'rmc6'. Did you mean 'rmc5'?"
    """
    match = nearest(name, known)
    return f" Did you mean {match!r}?" if match else ""


def suggestion(name: str, known: Iterable[str], *, otherwise: str | None = None) -> str:
    """The nearest known name as a question, or else all known names.

    Args:
        name: The misspelt name.
        known: Valid names.
        otherwise: Replaces the list of known names where that is long.

    >>> suggestion("brir", ["auc", "brier"])
    "did you mean 'brier'?"
    >>> suggestion("x", ["auc", "brier"])
    'known: auc, brier'
    """
    names = list(known)
    if match := nearest(name, names):
        return f"did you mean {match!r}?"
    return otherwise or f"known: {', '.join(names)}"


SUBJECT = re.compile(r"(?:case [^:]*: )?(?:[^:]*[/\\.][^:]*: )?")
"""What a problem begins with: the case, and the file."""

FEWEST = 3
"""Problems that are put into one line."""

NAMED = 3
"""Further cases that a group of problems names."""


def nothing_there(path: object) -> str:
    r"""What is wrong with a path that leads nowhere, and the way out.

    >>> nothing_there("scans/a.nii"), nothing_there("scans\\a.nii")
    ('no such file; check the path', 'no such file; write its path with / instead of \\')
    """
    way_out = "write its path with / instead of \\" if "\\" in str(path) else "check the path"
    return f"no such file; {way_out}"


def grouped(problems: Iterable[str]) -> list[str]:
    """Put problems that differ in their case, file and numbers only into one line.

    >>> grouped(["a.nii: spacing 0 mm", "b.nii: spacing 0.5 mm", "c.nii: spacing 2 mm", "d: no"])
    ['a.nii: spacing 0 mm (the same of 2 more: b.nii, c.nii)', 'd: no']
    """
    groups: dict[str, list[tuple[int, str, str]]] = {}
    for number, problem in enumerate(problems):
        match = SUBJECT.match(problem)
        start = match.end() if match else 0
        subject, reason = problem[:start].rstrip(": ").removeprefix("case "), problem[start:]
        kind = re.sub(r"[-+]?\d[\d.]*", "0", reason) if subject else f"{number}"
        groups.setdefault(kind, []).append((number, subject, problem))
    lines: dict[int, str] = {}
    for members in groups.values():
        if len(members) < FEWEST:
            lines |= {number: problem for number, _, problem in members}
            continue
        (at, _, first), *others = members
        names = ", ".join(subject for _, subject, _ in others[:NAMED])
        more = ", ..." if len(others) > NAMED else ""
        lines[at] = f"{first} (the same of {len(others)} more: {names}{more})"
    return [lines[number] for number in sorted(lines)]


INVISIBLE = {"Cc", "Cs", "Zl", "Zp"}
BIDIRECTIONAL = {
    *"\u061c\u200e\u200f",
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
}
"""What turns the direction of the text around it."""


def printable(text: str, *, keep: str = "") -> str:
    r"""Show control, bidirectional and lone surrogate characters as escapes.

    >>> printable("a\x1b[31mred")
    'a\\x1b[31mred'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one
        if one in keep or (category(one) not in INVISIBLE and one not in BIDIRECTIONAL)
        else one.encode("unicode_escape", "surrogatepass").decode("ascii")
        for one in text
    )
