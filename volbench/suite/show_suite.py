"""Tables of a suite, with published results alongside."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from volbench._utils.text import command_line, plural
from volbench.errors import StateError, UsageError, VolbenchError
from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.published.lee2022 import Rectal2022
from volbench.leaderboard.published.references import load_reference
from volbench.leaderboard.published.side_by_side import PublishedRow, cells, incomplete, summary
from volbench.leaderboard.render.over_datasets import over_json, over_tables
from volbench.leaderboard.render.terminal import markdown, terminal
from volbench.leaderboard.statistics.compare import compare_runs
from volbench.leaderboard.statistics.over_datasets import (
    OverDataSetsTable,
    compare_over_data_sets,
)
from volbench.leaderboard.statistics.run_scores import DDOF
from volbench.runs.load import LoadedRun, load_run
from volbench.suite.expand import Suite, SuiteCandidate, Table
from volbench.suite.index import Entry, read_index
from volbench.suite.labels import candidate_labels, known_settings

Style: TypeAlias = Literal["table", "md", "json"]
SCHEMA = 1


def show_suite(
    suite: Suite, *, out: Path | None = None, style: Style = "table", color: bool = False
) -> str:
    """Show every table of a suite; what was not run, or failed, is a row too.

    Args:
        suite: From `load_suite`.
        out: Folder of its runs; ``suite.out`` by default.
        style: For a terminal, as Markdown or as JSON.
        color: With colours.

    Raises:
        UsageError: nothing was run there.
        StateError: the folder was damaged.
    """
    return show_suites([suite], out=out, style=style, color=color)


def show_suites(
    suites: Sequence[Suite],
    *,
    out: Path | None = None,
    style: Style = "table",
    color: bool = False,
) -> str:
    """Show a suite over several data sets: the tables of each, then one answer over all of them.

    Arguments and errors are those of `show_suite`; the suites come from `load_suites`.
    """
    loaded = {suite: _loaded(suite, suite.place(out)) for suite in suites}
    overall = _over_data_sets(list(loaded.values())) if len(suites) > 1 else None
    if style == "json":
        documents = [_document(suite, runs) for suite, runs in loaded.items()]
        whole = (
            documents[0]
            if len(suites) == 1
            else {
                "schema": SCHEMA,
                "suites": documents,
                "over_data_sets": over_json(overall)
                if isinstance(overall, OverDataSetsTable)
                else None,
            }
        )
        return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    draw = markdown if style == "md" else partial(terminal, color=color)
    sections = [part for suite, runs in loaded.items() for part in _sections(suite, runs)]
    if isinstance(overall, str):
        sections.append(TextTable("Over data sets", {}, [overall]))
    elif overall is not None:
        sections += over_tables(overall)
    return "\n".join(draw(each.title, each.cells, each.notes) for each in sections)


def _loaded(suite: Suite, out: Path) -> dict[SuiteCandidate, LoadedRun | str]:
    index = read_index(out)
    if not index and not suite.part:
        raise UsageError(f"no suite was run into {out}; {_way_out(suite)}")
    return {candidate: _load(out, index.get(candidate)) for candidate in suite.candidates}


def _over_data_sets(
    loaded: Sequence[Mapping[SuiteCandidate, LoadedRun | str]],
) -> OverDataSetsTable | str:
    """One answer over the data sets on which runs are complete; or why there is none yet."""
    complete = [
        [
            found
            for found in each.values()
            if isinstance(found, LoadedRun)
            and len(found.predictions) == int(found.experiment["folds"])
        ]
        for each in loaded
    ]
    try:
        return compare_over_data_sets([compare_runs(runs) for runs in complete if runs])
    except VolbenchError as error:
        return str(error).removeprefix("--over-datasets: ")


def _document(suite: Suite, loaded: Mapping[SuiteCandidate, LoadedRun | str]) -> dict[str, Any]:
    """Every table as plain values; what is undefined is None."""
    return {
        "schema": SCHEMA,
        "suite": suite.title,
        "scale": suite.scale,
        "tables": [
            {
                "title": table.title,
                "rows": [_values(suite, each, loaded[each]) for each in table.candidates],
            }
            for table in suite.tables
        ],
    }


def _values(suite: Suite, candidate: SuiteCandidate, found: LoadedRun | str) -> dict[str, Any]:
    row = _row(candidate, found, None, {})
    run = found if isinstance(found, LoadedRun) else None
    recipe = (run.experiment if run else known_settings(suite, candidate)).get("recipe")
    return {
        "encoder": candidate.encoder,
        "aggregator": candidate.aggregator,
        "loss": candidate.loss,
        "recipe": suite.recipe or candidate.recipe,
        "settings": recipe,
        "state": _state(found),
        "error": found if isinstance(found, str) and found != "not run" else None,
        "run": run.name if run else None,
        "folds": len(run.predictions) if run else 0,
        "metrics": {
            name: {
                key: None if math.isnan(value) else value
                for key, value in zip(("mean", "std"), pair, strict=True)
            }
            for name, pair in summary(row, ddof=DDOF).items()
        },
    }


def _sections(suite: Suite, loaded: Mapping[SuiteCandidate, LoadedRun | str]) -> list[TextTable]:
    reference = load_reference(suite.reference) if suite.reference else None
    beside = reference if isinstance(reference, Rectal2022) else None
    runs = [found for found in loaded.values() if isinstance(found, LoadedRun)]
    sections = [TextTable(_title(suite, runs), {}, _counts(loaded))]
    pooled = any_published = False
    for table in suite.tables:
        rows = [
            _row(candidate, loaded[candidate], beside, known_settings(suite, candidate))
            for candidate in table.candidates
        ]
        published = any(row.reported for row in rows)
        ddof = beside.ddof if beside is not None and published else DDOF
        if table.sort == "auc":
            rows.sort(key=partial(_behind_the_best, ddof=ddof))
        notes = beside.notes(rows) if beside is not None and published else _notes(rows)
        mark = ", ours beside the paper's (reported, other data)" if published else ""
        notes = [*notes, *_failures(table, loaded, candidate_labels(suite))]
        sections.append(TextTable(table.title + mark, cells(rows, ddof=ddof), notes))
        any_published |= published
        pooled |= any(row.reported and row.aggregator for row in rows)
    if beside is not None and any_published:
        sections += [*([beside.readers()] if pooled else []), beside.closing()]
    if reference is not None and beside is None and runs:
        sections += reference.sections(runs)
    return sections


def _load(out: Path, entry: Entry | None) -> LoadedRun | str:
    """Read a candidate's run; or say in a few words why there is none."""
    if entry is None:
        return "not run"
    if entry.error is not None:
        return entry.error
    if entry.run is None or not (out / entry.run / "experiment.json").is_file():
        return "not run"
    try:
        return load_run(out / entry.run)
    except StateError as error:
        return str(error)


def _row(
    candidate: SuiteCandidate,
    found: LoadedRun | str,
    beside: Rectal2022 | None,
    known: Mapping[str, Any],
) -> PublishedRow:
    named = (candidate.encoder, candidate.aggregator, candidate.loss)
    reported = beside.find(*named) if beside is not None else {}
    if isinstance(found, str):
        remark = found if found == "not run" else "failed"
        return PublishedRow(*named, remark=remark, reported=reported, planned=known)
    remark = "failed" if found.failed else "not run"
    return PublishedRow(*named, run=found, remark=remark, reported=reported)


def _behind_the_best(row: PublishedRow, ddof: int) -> float:
    auc, _ = summary(row, ddof=ddof).get("auc", (math.nan, math.nan))
    return math.inf if math.isnan(auc) else -auc


def _notes(rows: Sequence[PublishedRow]) -> list[str]:
    unit = "slice" if any(row.aggregator is None for row in rows) else "case"
    return [
        f"Mean ± standard deviation over folds (ddof {DDOF}), one score per {unit}. Rows are not "
        "tested against one another here; volbench compare does.",
        *incomplete(rows),
    ]


def _failures(
    table: Table,
    loaded: Mapping[SuiteCandidate, LoadedRun | str],
    labels: Mapping[SuiteCandidate, str],
) -> list[str]:
    found = []
    for candidate in table.candidates:
        run = loaded[candidate]
        if isinstance(run, LoadedRun):
            found += [f"Failed: {run.name} fold {each.fold}: {each.error}" for each in run.failed]
        elif run != "not run":
            found.append(f"Failed: {labels[candidate]}: {run}")
    return found


def _title(suite: Suite, runs: Sequence[LoadedRun]) -> str:
    if not runs:
        return suite.title
    run = runs[0]
    data, split = run.protocol
    return (
        f"{suite.title}: {run.data}, {run.cases} cases of {run.patients} patients, "
        f"{run.experiment['folds']} folds (data {data[:8]}, split {split[:8]})"
    )


def _counts(loaded: Mapping[SuiteCandidate, LoadedRun | str]) -> list[str]:
    states = [_state(found) for found in loaded.values()]
    parts = [
        f"{states.count(state)} {state}"
        for state in ("finished", "stopped", "incomplete", "failed", "not run")
        if state in states
    ]
    return [f"{plural(len(states), 'experiment')}: {', '.join(parts)}."]


def _state(found: LoadedRun | str) -> str:
    if isinstance(found, str):
        return found if found == "not run" else "failed"
    if found.failed:
        return "failed"
    done = len(found.predictions)
    if done == found.experiment["folds"]:
        return "finished"
    if found.race:
        return "stopped"
    return "incomplete" if done else "not run"


def _way_out(suite: Suite) -> str:
    if suite.scale is None and suite.scales:
        return (
            f"say at which scale (--scale {' or '.join(suite.scales)}), or name its folder (--out)"
        )
    scale = ("--scale", suite.scale) if suite.scale else ()
    return f"start it with {command_line('volbench', 'suite', 'run', suite.path, *scale)}"
