"""Provenance of a run: command, data, versions, hardware."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from volbench.report.report_row import ReportRow
from volbench.runs.load import LoadedRun


@dataclass(frozen=True)
class RunProvenance:
    """One run.

    Attributes:
        command: As it was started, ready for a shell; empty where it was not kept.
        facts: Name and value.
        failures: Folds that failed, with their reasons.
    """

    title: str
    command: str
    facts: tuple[tuple[str, str], ...]
    failures: tuple[str, ...]


def origins(rows: Sequence[ReportRow]) -> list[RunProvenance]:
    """Of every run of every candidate."""
    return [
        RunProvenance(
            title=f"{row.title}: {run.name}" if run.name != row.label else row.title,
            command=shlex.join(map(str, run.environment.get("command") or ())),
            facts=tuple(_facts(run)),
            failures=tuple(f"fold {result.fold}: {result.error}" for result in run.failed),
        )
        for row in rows
        for run in row.candidate.runs
    ]


def _facts(run: LoadedRun) -> list[tuple[str, str]]:
    experiment, environment = run.experiment, run.environment
    spent = [result.seconds for result in run.results.values() if result.seconds is not None]
    packages = dict(environment.get("packages") or {})
    versions = [f"{name} {version}" for name, version in sorted(packages.items()) if version]
    device, precision = environment.get("device"), environment.get("precision")
    machine = (
        f"{device}, {precision}, {environment.get('threads')} threads per fold, "
        f"{environment.get('cores')} cores, {environment.get('platform')}"
    )
    found = [
        ("encoder", run.encoder),
        ("aggregator", str(experiment["aggregator"] or "none, slices are predicted")),
        ("loss", str(experiment["loss"])),
        ("experiment", str(experiment.get("id", "–"))),
        ("data", f"{experiment['source']}, digest {experiment['data_digest']}"),
        ("split digest", str(experiment["split_digest"])),
        ("seed", str(experiment["seed"])),
        ("commit", str(environment.get("commit") or "–, an installed release")),
        ("versions", ", ".join([f"Python {environment.get('python')}", *versions])),
        ("machine", machine),
    ]
    if spent:
        found.append(("computing", f"{sum(spent):.0f} s for {len(spent)} folds, one after another"))
    return found
