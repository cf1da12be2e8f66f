"""Ways to divide a data set: folds, official, one site out, the latest, at random, from a file."""

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from volbench._utils.regular_file import read_regular
from volbench._utils.seeds import derive_seed
from volbench._utils.text import looks
from volbench.data.cache.packed_voxels import PreparedCase
from volbench.errors import DataError, UsageError
from volbench.experiment.splits import (
    NOTHING_HELD_OUT,
    SEVERAL,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    and_more,
    folds_of,
)
from volbench.experiment.stratification import patients_by_classes, patients_per_class, stratified
from volbench.spec import parse

MOST_DIGITS = 9
MOST_SPLITS = 1000
MOST_GROUPS = 50
"""Values of a column that can be left out one at a time; more are rather numbers than groups."""


def make_split(
    cases: Sequence[PreparedCase], folds: int, seed: int, classes: Sequence[str] = ()
) -> Split:
    """Divide into folds, stratified by class, patients kept together.

    Args:
        cases: What is divided.
        folds: How many.
        seed: Of the division.
        classes: Their names, for messages.

    Raises:
        DataError: a class has fewer patients than folds.
    """
    fewest, rarest = _rarest(cases, classes)
    if fewest < folds:
        raise DataError(
            f"{rarest} has {fewest} patients, fewer than {folds} folds; use --folds {fewest}"
            if fewest > 1
            else f"{rarest} has one patient only; no fold could be both trained and tested on it"
        )
    assigned = stratified(cases, folds, derive_seed(seed, "folds"))
    return Split(tuple(cases), tuple(map(str, assigned)))


def official_split(cases: Sequence[PreparedCase]) -> Split:
    """Take the data set's own split: names of folds, or train, val and test, which make one fold.

    Folds are numbered from 0 in the order of their names, whatever these are.

    Raises:
        DataError: a case has no fold, or another word than those.
    """
    return Split(
        tuple(cases), _numbered([case.name for case in cases], [case.fold for case in cases])
    )


def problem_of_official_split(names: Sequence[str], folds: Sequence[str | None]) -> str | None:
    """Why the folds that a data set lists cannot be used; None if they can, or if it lists none.

    Patients in several folds are another matter.

    Args:
        names: Of the cases.
        folds: What the data set says of each.
    """
    if not folds or not all(folds):
        return None
    try:
        assigned = _numbered(names, folds)
    except DataError as error:
        return str(error)
    if not any(map(folds_of, assigned)):
        return NOTHING_HELD_OUT
    if len(set(assigned)) == 1:
        return f"every case is in the fold {folds[0]!r}: none is left to train on"
    return None


def leave_one_out(cases: Sequence[PreparedCase], column: str) -> Split:
    """Hold out one value of a column at a time: one site, one scanner, one year.

    Folds are numbered in the order of the values.

    Raises:
        DataError: a case has no value, a patient has several, two values look like one, or there
            are fewer than two values or as many as patients.
    """
    values = [case.strata.get(column, "").strip() for case in cases]
    missing = [case.name for case, value in zip(cases, values, strict=True) if not value]
    if missing:
        raise DataError(f"case {missing[0]!r} has no {column} {and_more(missing)}")
    known = sorted(set(values))
    first: dict[str, str] = {}
    for value in known:
        if (other := first.setdefault(looks(value), value)) != value:
            raise DataError(
                f"--folds {column}: the values {other!r} and {value!r} look like one, which would "
                "be trained on and held out; write one"
            )
    if not 2 <= len(known) <= MOST_GROUPS:
        raise DataError(
            f"--folds {column}: the column has {len(known)} value{'s' * (len(known) != 1)}; "
            f"leaving one out needs 2 to {MOST_GROUPS}"
        )
    return Split(tuple(cases), tuple(str(known.index(value)) for value in values))


def hold_out_latest(
    cases: Sequence[PreparedCase], column: str, test: float, classes: Sequence[str] = ()
) -> Split:
    """Train on earlier patients and hold out the latest ones, as one fold 0.

    Args:
        cases: What is divided.
        column: Its values are numbers, or dates written as ``2026-11-27``. A patient is as late as
            the last of their cases.
        test: Share of the patients that is held out; all of one time are on the same side.
        classes: Their names, for messages.

    Raises:
        DataError: a case has no such value, some have dates and others numbers, or a class is
            missing on one of the two sides.
    """
    moments = {case.name: _moment(case, column) for case in cases}
    dated = [case.name for case in cases if _number_in(case, column) is None]
    if 0 < len(dated) < len(cases):
        other = next(case.name for case in cases if case.name not in set(dated))
        raise DataError(
            f"--folds time: {column} is a date in case {dated[0]!r} and a number in case "
            f"{other!r}; write all of them alike"
        )
    last: dict[str, float] = {}
    for case in cases:
        last[case.patient] = max(moments[case.name], last.get(case.patient, -math.inf))
    ordered = sorted(last.values())
    start = ordered[min(len(ordered) - 1, round((1 - test) * len(ordered)))]
    late = [last[case.patient] >= start for case in cases]
    for side, what in ((True, "held out"), (False, "to train on")):
        there = {case.label for case, is_late in zip(cases, late, strict=True) if is_late == side}
        if missing := {case.label for case in cases} - there:
            raise DataError(
                f"--folds time: {_named(min(missing), classes)} has no patient {what}, with the "
                f"latest {test:g} of the patients held out; choose another share for test="
            )
    return Split(tuple(cases), tuple("0" if is_late else TRAIN for is_late in late))


def random_splits(
    cases: Sequence[PreparedCase],
    splits: int,
    test: float,
    seed: int,
    classes: Sequence[str] = (),
) -> Split:
    """Hold out a random share of the patients, stratified by class, several times over.

    Each split is drawn on its own, so a patient may be held out several times or never. The folds
    are the splits.

    Args:
        cases: What is divided.
        splits: How many.
        test: Share of the patients of each class that a split holds out; one at least.
        seed: Seed of all of them.
        classes: Their names, for messages.

    Raises:
        DataError: a class has one patient only.
    """
    fewest, rarest = _rarest(cases, classes)
    if fewest < 2:
        raise DataError(f"{rarest} has one patient only; no split could train and test on it")
    strata = patients_by_classes(cases)
    held_out: dict[str, list[int]] = defaultdict(list)
    for split in range(splits):
        random = np.random.default_rng(derive_seed(seed, "random splits", split))
        for patients in strata:
            take = max(1, round(test * len(patients))) if len(patients) > 1 else 0
            for place in random.permutation(len(patients))[:take]:
                held_out[patients[place]].append(split)
    return Split(
        tuple(cases),
        tuple(SEVERAL.join(map(str, held_out.get(case.patient, []))) or TRAIN for case in cases),
    )


def read_split(path: Path, cases: Sequence[PreparedCase]) -> Split:
    """Read a split from a CSV with the columns ``case`` and ``fold``, as splits.csv of a run.

    A case that several folds hold out has their numbers with semicolons between.

    Raises:
        DataError: the file cannot be read, or its cases are not these cases.
    """
    try:
        text = read_regular(path).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"split {path} cannot be read: {error}") from None
    if not rows or not {"case", "fold"} <= rows[0].keys():
        raise DataError(f"split {path} must be a CSV with the columns case and fold")
    twice = [name for name, n in Counter(row["case"] for row in rows).items() if n > 1]
    if twice:
        raise DataError(f"split {path} lists case {twice[0]!r} more than once")
    given = {row["case"]: row["fold"] for row in rows}
    names = {case.name for case in cases}
    if missing := sorted(names - given.keys()):
        raise DataError(f"split {path} has no fold for case {missing[0]!r} {and_more(missing)}")
    if unknown := sorted(given.keys() - names):
        raise DataError(f"split {path} has case {unknown[0]!r}, unknown here {and_more(unknown)}")
    folds = [given[case.name] for case in cases]
    if any(SEVERAL in fold for fold in folds):
        return Split(tuple(cases), _several(cases, folds))
    return Split(tuple(cases), _numbered([case.name for case in cases], folds))


def choose_split(
    text: str, cases: Sequence[PreparedCase], seed: int, classes: Sequence[str] = ()
) -> Split:
    """Understand ``--folds``.

    Args:
        text: A number of folds; ``official``; the path of a CSV; the name of a column of the data
            (leave one of its values out at a time); ``time(column='year', test=0.2)``; or
            ``random(splits=15, test=0.1)``.
        cases: What is divided.
        seed: Seed of the division into a number of folds, or of random splits; the others draw
            nothing.
        classes: Their names, for messages.

    Raises:
        UsageError: it is none of these.
    """
    if text.isascii() and text.isdecimal():
        if len(text) > MOST_DIGITS:
            raise UsageError(f"--folds {text[:20]}...: more folds than any data set has cases")
        if int(text) < 2:
            raise UsageError(f"--folds {text}: cross-validation needs at least 2 folds")
        return make_split(cases, int(text), seed, classes)
    if text == "official":
        return official_split(cases)
    if text.endswith(".csv"):
        return read_split(Path(text), cases)
    if text.startswith("time("):
        return _by_time(text, cases, classes)
    if text.startswith("random("):
        return _by_random(text, cases, seed, classes)
    columns = sorted({column for case in cases for column in case.strata})
    if text in columns:
        return leave_one_out(cases, text)
    raise UsageError(
        f"--folds {text!r} is not a number of folds, 'official' (the data's own split), "
        "a .csv with the columns case,fold, random(splits=15, test=0.1), "
        "time(column='year', test=0.2) or a column of the data"
        + (f" ({', '.join(columns)})" if columns else "")
    )


def _by_time(text: str, cases: Sequence[PreparedCase], classes: Sequence[str]) -> Split:
    arguments = dict(parse(text).kwargs)
    column, test = arguments.pop("column", None), arguments.pop("test", 0.2)
    if arguments or not isinstance(column, str) or not isinstance(test, float) or not 0 < test < 1:
        raise UsageError(
            f"--folds {text!r}: write time(column='year', test=0.2), with a column of the data and "
            "the share of patients to hold out"
        )
    return hold_out_latest(cases, column, test, classes)


def _by_random(
    text: str, cases: Sequence[PreparedCase], seed: int, classes: Sequence[str]
) -> Split:
    arguments = dict(parse(text).kwargs)
    splits, test = arguments.pop("splits", 15), arguments.pop("test", 0.1)
    if arguments or type(splits) is not int or not isinstance(test, float):
        raise UsageError(
            f"--folds {text!r}: write random(splits=15, test=0.1), with how many splits to train "
            "and the share of patients that each of them holds out"
        )
    if not 2 <= splits <= MOST_SPLITS or not 0 < test <= 0.5:
        raise UsageError(
            f"--folds {text!r}: splits must be 2 to {MOST_SPLITS}, and test above 0 and at most 0.5"
        )
    return random_splits(cases, splits, test, seed, classes)


def _rarest(cases: Sequence[PreparedCase], classes: Sequence[str]) -> tuple[int, str]:
    """Patients of the class with the fewest, and that class by name."""
    counts = patients_per_class(cases)
    label = min(counts, key=lambda each: (counts[each], each))
    return counts[label], _named(label, classes)


def _named(label: int, classes: Sequence[str]) -> str:
    return f"class {classes[label]!r}" if label < len(classes) else "a class"


def _number_in(case: PreparedCase, column: str) -> float | None:
    try:
        number = float(case.strata.get(column, ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _moment(case: PreparedCase, column: str) -> float:
    value = case.strata.get(column, "").strip()
    if (number := _number_in(case, column)) is not None:
        return number
    try:
        return float(date.fromisoformat(value[:10]).toordinal())
    except ValueError:
        raise DataError(
            f"case {case.name!r}: {column} {value!r} is neither a number nor a date as 2026-11-27"
        ) from None


def _numbered(cases: Sequence[str], folds: Sequence[str | None]) -> tuple[str, ...]:
    """Number the folds that hold something out from 0; ``train`` and ``val`` stay.

    Raises:
        DataError: a case without a fold, or words that do not go together.
    """
    for name, fold in zip(cases, folds, strict=True):
        if not fold:
            raise DataError(f"case {name!r} has no fold; the data set has no split of its own")
    keys = [_canonical(fold or "") for fold in folds]
    names = set(keys) - {TRAIN, VALIDATION, TEST}
    words = set(keys) - names
    alone = len(set(keys)) == 1
    if (TEST in words and names) or any(
        (words or alone) and not _is_number(name) for name in names
    ):
        odd = sorted(names)[0]
        name = cases[keys.index(odd)]
        raise DataError(
            f"case {name!r}: fold {odd!r} is neither a number nor train, val or test, "
            f"beside {', '.join(sorted(words)) or 'no other fold'}; use train, val and test, or "
            "names of folds only"
        )
    held_out = [TEST] if TEST in words else sorted(names, key=_natural)
    numbers = {name: str(number) for number, name in enumerate(held_out)}
    return tuple(numbers.get(key, key) for key in keys)


def _several(cases: Sequence[PreparedCase], folds: Sequence[str]) -> tuple[str, ...]:
    """Check folds of which some hold out the same case."""
    for case, fold in zip(cases, folds, strict=True):
        if fold != TRAIN and not all(map(_is_number, fold.split(SEVERAL))):
            raise DataError(
                f"case {case.name!r}: fold {fold!r} is neither 'train' nor numbers with "
                f"{SEVERAL!r} between, though other cases are held out by several folds"
            )
    return tuple(
        SEVERAL.join(map(str, sorted({int(each) for each in folds_of(fold)}))) or TRAIN
        for fold in folds
    )


def _canonical(fold: str) -> str:
    """A fold's name; numbers without leading zeros."""
    return (fold.lstrip("0") or "0") if _is_number(fold) else fold


def _is_number(fold: str) -> bool:
    return fold.isascii() and fold.isdecimal()


def _natural(fold: str) -> tuple[bool, int, str]:
    """Numbers first, by size, whatever their length; then words."""
    return not _is_number(fold), len(fold) if _is_number(fold) else 0, fold
