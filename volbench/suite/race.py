"""A race: folds of all candidates interleaved; what is shown worse, or is settled, stops.

Decisions follow from the stored predictions of the folds of the rounds before, and from nothing
else, so that a race that goes on decides what it would have decided.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from volbench.crossval.open_run import Outcome, local_executor, share
from volbench.crossval.plan import Plan
from volbench.crossval.run_cross_validation import Callback, Member, run_together
from volbench.crossval.settings import EXECUTOR, RunSettings
from volbench.errors import VolbenchError
from volbench.evaluation.items import Items, gather
from volbench.executors.pool import Workers
from volbench.interfaces import Executor
from volbench.leaderboard.statistics.race import Stop, look
from volbench.leaderboard.statistics.run_scores import sorted_items
from volbench.runs.folder import RACE, FoldResult, RunFolder
from volbench.runs.load import LoadedRun, load_run


class RoundCallback(Callback):
    """Called during a race; override what you want."""

    def on_round(self, number: int, rounds: int, racers: "Sequence[Racer]") -> None:
        """Round ``number``, counted from 1, is about to start with these."""

    def on_fold(self, racer: "Racer", result: FoldResult) -> None:
        """A fold of one of them ended."""

    def on_stop(self, racer: "Racer", stop: Stop) -> None:
        """One of them is shown worse, or settled, and is trained no further."""


@dataclass(eq=False)
class Racer:
    """A candidate of a race.

    Attributes:
        plan: Checked.
        path: Of its run.
        stop: Why it was stopped, once it was.
        error: Why it cannot go on.
        warned: What was warned of.
    """

    plan: Plan
    path: Path
    stop: Stop | None = None
    error: VolbenchError | None = None
    warned: set[str] = field(default_factory=set[str])

    @property
    def active(self) -> bool:
        """Whether it is trained in the next round."""
        return self.stop is None and self.error is None

    def outcome(self) -> Outcome:
        """Its folds as they stand."""
        return Outcome(self.path, dict(sorted(RunFolder(self.path).results().items())))


class _OfRacer(Callback):
    """Callbacks of one candidate, which is opened anew in every round."""

    def __init__(self, racer: Racer, callback: RoundCallback) -> None:
        self.racer, self.callback = racer, callback

    def on_end(self, result: FoldResult) -> None:
        """Say whose fold ended."""
        self.callback.on_fold(self.racer, result)

    def on_warning(self, text: str) -> None:
        """Warn once, not in every round."""
        if text not in self.racer.warned:
            self.racer.warned.add(text)
            self.callback.on_warning(text)

    def on_audit(self) -> None:
        """Say that the data are audited."""
        self.callback.on_audit()


def race(
    plans: Sequence[Plan],
    out: Path,
    settings: RunSettings,
    callback: RoundCallback,
    executor: Executor | None = None,
) -> list[Racer]:
    """Train fold after fold of every candidate that is left; finished folds are kept.

    Args:
        plans: Those on the same data and folds are compared.
        out: Folder of runs.
        settings: Of execution; ``jobs`` folds at a time, of all candidates together.
        callback: Called on progress.
        executor: Where the folds are trained; by default processes of this machine.

    Returns:
        Every candidate, in the order of ``plans``.

    Raises:
        PreemptedError: it was asked to stop; the same call resumes.
        StorageError: nothing can be written.
    """
    racers = [Racer(plan, out / plan.experiment.name) for plan in plans]
    rounds = max((len(plan.split.folds) for plan in plans), default=0)
    with ExitStack() as stack:
        if executor is None and plans:
            workers = stack.enter_context(Workers())
            executor = stack.enter_context(local_executor(share(plans[0], settings), workers))
        for number in range(1, rounds + 1):
            left = [racer for racer in racers if racer.active]
            if not left:
                break
            callback.on_round(number, rounds, left)
            assert executor is not None
            _train(left, number, executor, out, settings, callback)
            if number == 1:
                _forget(left)
            if number < rounds:
                _judge(racers, number, callback)
    return racers


def _train(
    racers: Sequence[Racer],
    number: int,
    executor: Executor,
    out: Path,
    settings: RunSettings,
    callback: RoundCallback,
) -> None:
    """Do the fold of a round of every candidate that has so many."""
    running = [racer for racer in racers if number <= len(racer.plan.split.folds)]
    members = [
        Member(
            racer.plan,
            racer.path,
            _OfRacer(racer, callback),
            folds=(racer.plan.split.folds[number - 1],),
        )
        for racer in running
    ]
    ended = run_together(members, executor, out / EXECUTOR, settings)
    for racer, outcome in zip(running, ended, strict=True):
        if isinstance(outcome, VolbenchError):
            racer.error = outcome


def _forget(racers: Sequence[Racer]) -> None:
    """Drop what an earlier race decided: it is decided anew, from the same predictions."""
    for racer in racers:
        folder = RunFolder(racer.path)
        if racer.active and folder.keeps(RACE):
            folder.add(RACE, json.dumps({"schema": 1}))


def _judge(racers: Sequence[Racer], number: int, callback: RoundCallback) -> None:
    """Stop those that are shown worse, or settled, by the folds of all rounds so far."""
    groups: dict[tuple[str, str], list[Racer]] = {}
    settled: Counter[tuple[str, str]] = Counter()
    for racer in racers:
        experiment = racer.plan.experiment
        key = (experiment.data_digest, experiment.split_digest)
        if racer.stop is not None:
            settled[key] += racer.stop.kind == "settled"
        elif racer.active and set(racer.plan.split.folds[:number]) <= _finished(racer):
            groups.setdefault(key, []).append(racer)  # one with a failed fold pairs nothing
    for key, group in groups.items():
        for racer, stop in _stops(group, number, settled[key]):
            racer.stop = stop
            RunFolder(racer.path).add(RACE, json.dumps(stop.to_json()))
            callback.on_stop(racer, stop)


def _stops(group: Sequence[Racer], number: int, settled: int) -> list[tuple[Racer, Stop]]:
    folds = group[0].plan.split.folds
    items = [_items(load_run(racer.path), folds[:number]) for racer in group]
    first = items[0]
    found: Mapping[str, Stop] = look(
        [racer.path.name for racer in group],
        first.labels,
        np.stack([each.probabilities for each in items]),
        patients=np.array(first.patients),
        folds=first.folds,
        folds_total=len(folds),
        settled=settled,
    )
    return [(racer, found[racer.path.name]) for racer in group if racer.path.name in found]


def _items(run: LoadedRun, folds: Sequence[int]) -> Items:
    rows = [row for fold in folds for row in run.predictions[fold]]
    return sorted_items(gather(rows, run.classes, unit="case"))


def _finished(racer: Racer) -> set[int]:
    results = RunFolder(racer.path).results()
    return {fold for fold, result in results.items() if result.status == "finished"}
