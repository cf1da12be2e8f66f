"""Provenance of a run: command, data, versions, hardware."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from volbench.report.report_row import ReportRow
from volbench.runs.environments import by_fold, environment_notes, machines_of, versions_of
from volbench.runs.load import LoadedRun


@dataclass(frozen=True)
class RunProvenance:
    """One run.

    Attributes:
        command: As it was started, ready for a shell; empty where it was not kept.
        facts: Name and value.
        failures: Folds that failed, with their reasons.
        notes: What to know where folds come from different hardware or versions.
    """

    title: str
    command: str
    facts: tuple[tuple[str, str], ...]
    failures: tuple[str, ...]
    notes: tuple[str, ...] = ()


def origins(rows: Sequence[ReportRow]) -> list[RunProvenance]:
    """Of every run of every candidate."""
    return [
        RunProvenance(
            title=f"{row.title}: {run.name}" if run.name != row.label else row.title,
            command=shlex.join(map(str, run.environment.get("command") or ())),
            facts=tuple(_facts(run)),
            failures=tuple(f"fold {result.fold}: {result.error}" for result in run.failed),
            notes=tuple(environment_notes(run)),
        )
        for row in rows
        for run in row.candidate.runs
    ]


def _facts(run: LoadedRun) -> list[tuple[str, str]]:
    experiment, environment = run.experiment, run.environment
    spent = [result.seconds for result in run.results.values() if result.seconds is not None]
    found = [
        ("encoder", run.encoder),
        ("aggregator", str(experiment["aggregator"] or "none, slices are predicted")),
        ("loss", str(experiment["loss"])),
        ("experiment", str(experiment.get("id", "–"))),
        ("data", f"{experiment['source']}, digest {experiment['data_digest']}"),
        ("split digest", str(experiment["split_digest"])),
        ("seed", str(experiment["seed"])),
        ("commit", str(environment.get("commit") or "–, an installed release")),
        ("versions", by_fold(versions_of(run))),
        ("machine", by_fold(machines_of(run))),
    ]
    if spent:
        found.append(("computing", f"{sum(spent):.0f} s for {len(spent)} folds, one after another"))
    return found
