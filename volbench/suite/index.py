"""Index of a suite, suite.json: the run of each row, or why there is none."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from volbench._utils.atomic_io import FolderLock, write_json
from volbench.errors import StateError
from volbench.runs.folder import check_schema, read_json
from volbench.suite.expand import Suite, SuiteCandidate

INDEX = "suite.json"
SCHEMA = 1
WRITING_S = 30.0
"""So long does a process wait for another one that writes the index at the same moment."""


@dataclass(frozen=True)
class Entry:
    """Where a candidate stands.

    Attributes:
        run: Name of its folder; None if it could not be planned.
        error: Why it could not be planned or run; why a fold failed stands in the run's folder.
    """

    run: str | None
    error: str | None


def read_index(out: Path) -> dict[SuiteCandidate, Entry]:
    """Read which runs are whose; nothing where no suite was run.

    Raises:
        StateError: the file is damaged or of another version.
    """
    values = read_json(out / INDEX)
    if values is None:
        return {}
    check_schema(values, out / INDEX)
    try:
        return {_candidate(row): Entry(row["run"], row["error"]) for row in values["experiments"]}
    except (KeyError, TypeError) as error:
        raise StateError(
            f"{out / INDEX} is damaged ({error}); delete it and run the suite again"
        ) from None


def write_entries(out: Path, suite: Suite, entries: Mapping[SuiteCandidate, Entry]) -> None:
    """Write how the suite was asked for last, and add entries to those of all suites in ``out``.

    The folder is held only meanwhile, so several processes may run suites in it.

    Raises:
        StorageError: the folder cannot be written.
    """
    with FolderLock(out, wait_s=WRITING_S, required=False):
        _write(out, suite, {**read_index(out), **entries})


def _write(out: Path, suite: Suite, entries: Mapping[SuiteCandidate, Entry]) -> None:
    values = {
        "schema": SCHEMA,
        "suite": suite.path.name,
        "scale": suite.scale,
        "data": suite.data,
        "recipe": suite.recipe,
        "folds": suite.folds,
        "seed": suite.seed,
        "set": list(suite.overrides),
        "experiments": [
            {**asdict(candidate), **asdict(entry)} for candidate, entry in entries.items()
        ],
    }
    write_json(out / INDEX, values)


def _candidate(row: Mapping[str, Any]) -> SuiteCandidate:
    return SuiteCandidate(
        encoder=row["encoder"],
        aggregator=row["aggregator"],
        loss=row["loss"],
        recipe=row["recipe"],
        overrides=tuple(row["overrides"]),
    )
