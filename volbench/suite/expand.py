"""Expansion of a suite file to its experiments: scales, overrides, grids."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from volbench._utils.text import did_you_mean
from volbench.errors import SpecError, UsageError, VolbenchError
from volbench.experiment.experiment import Level, parse_components
from volbench.leaderboard.published.references import load_reference
from volbench.suite.file import Grid, Scale, SuiteFile, TableSection, read_suite_file

STANDARD = "standard"


@dataclass(frozen=True)
class SuiteCandidate:
    """One experiment of a suite, as its file says; two tables may name the same one.

    Attributes:
        overrides: Settings of the file, without those of a scale or of the command line.
    """

    encoder: str
    aggregator: str | None
    loss: str
    recipe: str
    overrides: tuple[str, ...]

    @property
    def level(self) -> Level:
        """Slice level is what remains without an aggregator."""
        return "slice" if self.aggregator is None else "volume"

    @property
    def label(self) -> str:
        """Its components in short, as in ``rmc5-slice-focal``."""
        encoder, aggregator, loss = parse_components(
            self.encoder, self.aggregator, self.loss, self.level
        )
        pooling = "slice" if aggregator is None else aggregator.name
        return f"{encoder.name}-{pooling}-{'+'.join(term.spec.name for term in loss.terms)}"


@dataclass(frozen=True)
class Table:
    """A table of the suite, its rows in the file's order."""

    title: str
    sort: str
    candidates: tuple[SuiteCandidate, ...]


@dataclass(frozen=True)
class Suite:
    """A suite at one scale, ready to be planned.

    Attributes:
        path: The file.
        scale: Name of the scale; None where the suite's own settings hold.
        scales: Names of the scales there are.
        data: None where neither the suite, nor a scale, nor the caller says.
        recipe: In place of every recipe of the file; None leaves those.
        overrides: Settings of the scale and of the caller, which come after the file's.
        reference: Published results to show beside, by name.
        part: Which of the suite's data sets, where it has several.
    """

    path: Path
    title: str
    scale: str | None
    scales: tuple[str, ...]
    data: str | None
    recipe: str | None
    folds: str
    seed: int
    overrides: tuple[str, ...]
    tables: tuple[Table, ...]
    reference: str | None
    part: str = ""

    @property
    def candidates(self) -> tuple[SuiteCandidate, ...]:
        """Every experiment once, in the order in which the file names them first."""
        every = (candidate for table in self.tables for candidate in table.candidates)
        return tuple(dict.fromkeys(every))

    @property
    def out(self) -> Path:
        """Folder of its runs where none is named: one per suite, scale and data set."""
        return self.place(None)

    def place(self, out: Path | None) -> Path:
        """Folder of its runs in a folder of the whole suite; by default one in ``runs``."""
        name = f"{self.path.stem}-{self.scale}" if self.scale else self.path.stem
        return (out or Path("runs") / name) / self.part


def load_suite(
    path: Path | str,
    *,
    scale: str | None = None,
    data: str | None = None,
    recipe: str | None = None,
    overrides: tuple[str, ...] = (),
    folds: str | None = None,
    seed: int | None = None,
) -> Suite:
    r"""Read a suite; what is given here counts more than what its files say.

    Args:
        path: The file.
        scale: Name of one of its scales.
        data: In place of the scale's or the suite's.
        recipe: In place of every recipe that the files name.
        overrides: Settings as after ``--set``; they come last.
        folds: In place of the scale's or the suite's.
        seed: Likewise.

    Raises:
        SpecError: a file is wrong, or a spec in it.
        UsageError: there is no such scale.

    >>> text = 'title = "Pooling"\ndata = "phantom"\n[[table]]\ntitle = "Two ways"\n'
    >>> text += 'encoder = "r2d"\naggregator = ["average", "max"]\nloss = "focal"'
    >>> Path("suite.toml").write_text(text) and len(load_suite("suite.toml").candidates)
    2
    """
    path = Path(path)
    file = _with_bases(path, seen=(), read=set())
    chosen = _scale(path, file, scale)
    if file.reference is not None:
        try:
            load_reference(file.reference)
        except UsageError as error:
            text = str(error).replace("--reference", "reference")
            raise SpecError(f"suite {path}: {text}") from None
    if not file.table:
        raise SpecError(f"suite {path} has no tables; add one that begins with [[table]]")
    several = () if data or chosen.data else (file.data or ())
    if len(several) > 1:
        raise UsageError(
            f"suite {path} has {len(several)} data sets; name one (--data), or read it with "
            "load_suites"
        )
    named = data or chosen.data or next(iter(several), None)
    return Suite(
        path=path,
        title=file.title or path.stem,
        scale=scale,
        scales=tuple(file.scales),
        data=named or (None if file.scales else "phantom"),
        recipe=recipe,
        folds=folds or chosen.folds or file.folds or "10",
        seed=next((n for n in (seed, chosen.seed, file.seed) if n is not None), 0),
        overrides=(*chosen.set, *overrides),
        tables=tuple(_table(path, file, table) for table in file.table),
        reference=file.reference,
    )


def load_suites(
    path: Path | str,
    *,
    scale: str | None = None,
    data: str | None = None,
    recipe: str | None = None,
    overrides: tuple[str, ...] = (),
    folds: str | None = None,
    seed: int | None = None,
) -> list[Suite]:
    r"""Read a suite over one data set or several: one suite for each of them.

    Arguments and errors are those of `load_suite`; ``data`` stands in place of all.

    >>> text = 'data = ["phantom(patients=30)", "phantom(patients=60)"]\n[[table]]\ntitle = "One"\n'
    >>> text += 'encoder = "r2d"\naggregator = "max"\nloss = "focal"'
    >>> _ = Path("suite.toml").write_text(text)
    >>> [suite.place(None).as_posix() for suite in load_suites("suite.toml")]
    ['runs/suite/1-phantom', 'runs/suite/2-phantom']
    """
    path = Path(path)
    options = {"scale": scale, "recipe": recipe, "folds": folds}
    file = _with_bases(path, seen=(), read=set())
    of_scale = file.scales[scale].data if scale and scale in file.scales else None
    several = () if data or of_scale else (file.data or ())
    if len(several) < 2:
        return [load_suite(path, data=data, overrides=overrides, seed=seed, **options)]
    return [
        replace(
            load_suite(path, data=each, overrides=overrides, seed=seed, **options),
            part=f"{number}-{_short(each)}",
        )
        for number, each in enumerate(several, start=1)
    ]


def _short(data: str) -> str:
    """Name of a data set as part of a folder's name."""
    name = data.partition("(")[0] if "(" in data else Path(data).stem
    return "".join(each if each.isalnum() or each in "-_" else "-" for each in name)[:40]


def _with_bases(path: Path, seen: tuple[Path, ...], read: set[Path]) -> SuiteFile:
    """Read a file and what it starts from; a file that several start from is read once."""
    place = Path(os.path.realpath(path))  # resolve() raises at links in a circle
    if place in seen:
        raise SpecError(f"suite {path} is its own base; take it out of base")
    read.add(place)
    file = read_suite_file(path)
    bases = [path.parent / name for name in file.base]
    merged = SuiteFile()
    for base in bases:
        found = Path(os.path.realpath(base))
        if found not in read or found in (*seen, place):
            merged = _merged(merged, _with_bases(base, (*seen, place), read))
    return _merged(merged, file)


def _merged(under: SuiteFile, over: SuiteFile) -> SuiteFile:
    own = {name: getattr(over, name) for name in over.model_fields_set}
    joined = {
        "set": (*under.set, *over.set),
        "scales": {**under.scales, **over.scales},
        "table": (*under.table, *over.table),
    }
    # What is merged counts as set, so that it survives the next merge.
    given = under.model_fields_set | over.model_fields_set | set(joined)
    values = {name: getattr(under, name) for name in SuiteFile.model_fields} | own | joined
    return SuiteFile.model_construct(_fields_set=given, **values)


def _scale(path: Path, file: SuiteFile, name: str | None) -> Scale:
    if name is None:
        return Scale()
    if name not in file.scales:
        hint = did_you_mean(name, file.scales)
        there = f"It has {', '.join(file.scales)}." if file.scales else "It has none; leave it out."
        raise UsageError(f"suite {path} has no scale {name!r}.{hint} {there}")
    return file.scales[name]


def _table(path: Path, file: SuiteFile, table: TableSection) -> Table:
    grids = [_over(table, row) for row in table.rows] or [table]
    try:
        found = [candidate for grid in grids for candidate in _candidates(file, grid)]
    except VolbenchError as error:
        raise SpecError(f"suite {path}, table {table.title!r}: {error}") from None
    return Table(table.title, table.sort, tuple(dict.fromkeys(found)))


def _over(table: TableSection, row: Grid) -> Grid:
    """A row's own keys in place of the table's; settings are added."""
    keys = [name for name in Grid.model_fields if name != "set"]
    values = {name: getattr(row if name in row.model_fields_set else table, name) for name in keys}
    return Grid.model_construct(**values, set=(*table.set, *row.set))


def _candidates(file: SuiteFile, grid: Grid) -> Iterator[SuiteCandidate]:
    level = grid.level or "volume"
    for key, texts in (("encoder", grid.encoder), ("loss", grid.loss)):
        if not texts:
            raise SpecError(f"no {key}; add {key} = ...")
    if level == "slice" and grid.aggregator:
        raise SpecError(
            "level = 'slice' predicts each slice and pools none; leave aggregator out, or level"
        )
    if level == "volume" and not grid.aggregator:
        raise SpecError('no aggregator; add one, as in aggregator = "average", or level = "slice"')
    recipes = grid.recipe or (file.recipe or STANDARD,)
    for encoder, pooling, loss, recipe in product(
        grid.encoder, grid.aggregator or (None,), grid.loss, recipes
    ):
        specs = parse_components(encoder, pooling, loss, level)
        yield SuiteCandidate(
            encoder=str(specs[0]),
            aggregator=None if specs[1] is None else str(specs[1]),
            loss=str(specs[2]),
            recipe=recipe,
            overrides=(*file.set, *grid.set),
        )
