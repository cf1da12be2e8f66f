"""Suite files: validated TOML."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from volbench._utils.regular_file import read_regular
from volbench._utils.text import suggestion
from volbench._utils.toml_text import read_toml, shown
from volbench.errors import SpecError


def _listed(value: object) -> object:
    """One text may stand where several may."""
    return (value,) if isinstance(value, str) else value


def _text_of_folds(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _settings(value: object) -> object:
    for text in value if isinstance(value, list | tuple) else ():
        key, equals, setting = text.partition("=") if isinstance(text, str) else ("", "", "")
        if not (equals and "." in key and setting.strip()):
            raise ValueError("write each as section.key=value, as in training.epochs=6")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Settings = Annotated[tuple[str, ...], BeforeValidator(_settings), BeforeValidator(_listed)]
Folds = Annotated[str, BeforeValidator(_text_of_folds)]
Seed = Annotated[int, Field(strict=True, ge=0)]


class SuiteSection(BaseModel):
    """Part of a suite file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Grid(SuiteSection):
    """Candidates: every combination of what is listed.

    Attributes:
        level: ``slice`` has no aggregator.
        recipe: In place of the suite's.
        set: Settings as after ``--set``, added to the suite's.
    """

    encoder: Names = ()
    aggregator: Names = ()
    loss: Names = ()
    level: Literal["volume", "slice"] | None = None
    recipe: Names = ()
    set: Settings = ()


class TableSection(Grid):
    """One table: a grid, or several in ``rows``, for which the table's own keys hold too.

    Attributes:
        sort: ``file`` keeps the order of the file, ``auc`` puts the best first.
    """

    title: str
    sort: Literal["file", "auc"] = "file"
    rows: tuple[Grid, ...] = ()


class Scale(SuiteSection):
    """The same experiments on other data, shorter or longer; ``set`` comes after a table's own."""

    data: str | None = None
    folds: Folds | None = None
    seed: Seed | None = None
    set: Settings = ()


class SuiteFile(SuiteSection):
    """All that may stand in a suite file.

    Attributes:
        base: Suite files that this one starts from: their settings, unless it has its own, their
            scales and their tables.
        data: One data set, or several, each of which has all experiments.
        reference: Published results to show beside.
    """

    title: str | None = None
    base: Names = ()
    reference: str | None = None
    data: Names | None = None
    recipe: str | None = None
    folds: Folds | None = None
    seed: Seed | None = None
    set: Settings = ()
    scales: Mapping[str, Scale] = Field(default_factory=dict[str, Scale])
    table: tuple[TableSection, ...] = ()


def read_suite_file(path: Path) -> SuiteFile:
    """Read one file, without what it starts from; its paths are seen from its own folder.

    Raises:
        SpecError: it cannot be read, is no TOML, or has a key or a value that is none.
    """
    try:
        text = read_regular(path).decode("utf-8")
    except OSError as error:
        raise SpecError(f"suite {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"suite {path} is not valid TOML: {error}") from None
    values = read_toml(text, f"suite {path}")
    try:
        file = SuiteFile.model_validate(values)
    except ValidationError as error:
        raise _explain(path, error) from None
    return _placed(file, path.parent)


def _placed(file: SuiteFile, folder: Path) -> SuiteFile:
    """Turn what names a file or folder beside the suite into a path from here."""

    def place(text: str | None) -> str | None:
        # os.path says False, where Path raises, for a text that is longer than a path may be.
        is_path = text is not None and "(" not in text and os.path.exists(folder / text)
        return str(folder / text) if text is not None and is_path else text

    def grid(section: Grid) -> Grid:
        return _with(section, recipe=tuple(map(place, section.recipe)))

    scales = {
        name: _with(scale, data=place(scale.data), folds=place(scale.folds))
        for name, scale in file.scales.items()
    }
    tables = [_with(grid(table), rows=tuple(map(grid, table.rows))) for table in file.table]
    return _with(
        file,
        data=None if file.data is None else tuple(map(place, file.data)),
        folds=place(file.folds),
        recipe=place(file.recipe),
        scales=scales,
        table=tuple(tables),
    )


SectionT = TypeVar("SectionT", bound=SuiteSection)


def _with(section: SectionT, **values: object) -> SectionT:
    """Change the keys that are given in the file; what is not given must not look as if it were."""
    given = {key: value for key, value in values.items() if key in section.model_fields_set}
    return section.model_copy(update=given)


def _explain(path: Path, error: ValidationError) -> SpecError:
    """Name the file, the key, the value and the way out in one line."""
    first, *others = error.errors()
    where, key, known = _place(first["loc"])
    if first["type"] == "extra_forbidden":
        problem = f"unknown key {key!r}{where}; {suggestion(key, known)}"
    elif first["type"] == "missing":
        problem = f"{key} is missing{where}; add {key} = ..."
    else:
        said = first["msg"].removeprefix("Value error, ")
        problem = f"{key} = {shown(first['input'])}{where}: {said[0].lower()}{said[1:]}"
    more = f" (and {len(others)} more)" if others else ""
    return SpecError(f"suite {path}: {problem}{more}")


def _place(loc: tuple[int | str, ...]) -> tuple[str, str, list[str]]:
    """Say where a key stands, which it is, and what else may stand there."""
    match loc:
        case ("table", int(table), "rows", int(row), key, *_):
            return f" in row {row + 1} of table {table + 1}", str(key), list(Grid.model_fields)
        case ("table", int(table), str(key), *_):
            return f" in table {table + 1}", key, list(TableSection.model_fields)
        case ("scales", str(name), str(key), *_):
            return f" in scale {name!r}", key, list(Scale.model_fields)
        case _:
            return "", str(loc[0]), list(SuiteFile.model_fields)
