"""What is known of each fold of a run, by its folder: done, failed, running, stale, waiting."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from volbench.errors import StateError
from volbench.executors.lease import Attempt, attempt_numbers, file_system_time, read_attempt
from volbench.runs.attempts import ATTEMPTS, LOG, PROGRESS, TRACEBACK, attempts_folder
from volbench.runs.folder import FAILURE, RESULT, RunFolder, read_json

FoldState: TypeAlias = Literal["done", "failed", "running", "stale", "waiting"]


@dataclass(frozen=True)
class FoldStatus:
    """One fold of a run.

    Attributes:
        state: ``stale`` is a fold whose process fell silent; any process on the run takes it over.
        attempt: Number of the attempt, counted from 1; 0 before the first.
        host, device: Where the attempt runs, or ran.
        epoch, epochs: How far it is, or how far it came, which is less than all where it stopped
            early; None where that is not known, as before the first epoch.
        minutes_left: Of the training, at the speed so far; None where it is not known.
        reason: Why it failed, or how long it has been silent.
        log: File to read first.
    """

    run: str
    fold: int
    state: FoldState
    attempt: int = 0
    host: str = ""
    device: str = ""
    epoch: int | None = None
    epochs: int | None = None
    minutes_left: float | None = None
    reason: str = ""
    log: str = ""


class StatusReader:
    """Reads states again and again; what is done is read once, as it stays so.

    A run of ten folds that is done costs a look at a memory then, instead of fifty small files.
    """

    def __init__(self) -> None:
        self._done: dict[Path, list[FoldStatus]] = {}

    def read(self, runs: Iterable[Path]) -> list[FoldStatus]:
        """States of all folds of runs, in order.

        Raises:
            StateError: a folder is no run.
        """
        return [state for run in runs for state in self._of(run)]

    def _of(self, run: Path) -> list[FoldStatus]:
        if run in self._done:
            return self._done[run]
        states = list(fold_states(run))
        if states and all(state.state == "done" for state in states):
            self._done[run] = states
        return states


def fold_states(run: Path) -> Iterator[FoldStatus]:
    """Tell how each fold of a run stands; reads a few small files of each and trains nothing.

    Raises:
        StateError: the folder is no run.
    """
    folder = RunFolder(run)
    now_ns = file_system_time(run / ATTEMPTS if (run / ATTEMPTS).is_dir() else run)
    begun = folder.numbers()
    # Version 0.1 numbered the folds as the data set did; those that nobody began have no folder.
    count = int(folder.experiment()["folds"])
    others = [fold for fold in range(count) if fold not in begun][: count - len(begun)]
    for fold in sorted([*begun, *others]):
        yield _state(folder, fold, now_ns)


def logs(run: Path, fold: int, *, attempt: int | None = None) -> Iterator[tuple[Path, str]]:
    """Texts to read about a fold: the log of each attempt, or of one, and its traceback."""
    folder = attempts_folder(run, fold)
    for number in attempt_numbers(folder):
        path = folder / f"{number:04d}" / LOG
        if attempt in (None, number) and path.is_file():
            yield path, path.read_text(encoding="utf-8", errors="replace")
    path = RunFolder(run).fold(fold).path / TRACEBACK
    if path.is_file():
        yield path, path.read_text(encoding="utf-8", errors="replace")


def _state(folder: RunFolder, fold: int, now_ns: int) -> FoldStatus:
    place = folder.fold(fold).path
    attempts = attempts_folder(folder.path, fold)
    numbers = attempt_numbers(attempts)
    attempt = read_attempt(attempts, numbers[-1], now_ns=now_ns) if numbers else None
    known = {} if attempt is None else _known(attempt)
    run = folder.path.name
    if attempt is not None and attempt.state != "ended":
        return _running(run, fold, attempt, known, published=(place / RESULT).is_file())
    result = read_json(place / RESULT) or read_json(place / FAILURE)
    if result is None:
        return FoldStatus(run, fold, "waiting", **known)
    far = {} if attempt is None else _far(attempt)
    far.pop("minutes_left", None)
    if result["status"] == "failed":
        known["reason"] = str(result["error"])
        return FoldStatus(run, fold, "failed", **known, **far)
    return FoldStatus(run, fold, "done", **known, **far)


def _running(
    run: str, fold: int, attempt: Attempt, known: dict[str, Any], *, published: bool
) -> FoldStatus:
    far = _far(attempt)
    if attempt.state != "stale" and not published:
        return FoldStatus(run, fold, "running", **known, **far)
    far.pop("minutes_left", None)
    if published:  # the process ended between publishing and saying so
        return FoldStatus(run, fold, "done", **known, **far)
    silent = f"silent for {attempt.silent_s:.0f} s" if attempt.silent_s else "its process ended"
    return FoldStatus(run, fold, "stale", **known, **far, reason=silent)


def _far(attempt: Attempt) -> dict[str, Any]:
    """How far an attempt is, and what is left of it at its speed; nothing where it said nothing.

    Its file is not worth an fsync when it is written, and may be cut by a crash.
    """
    try:
        progress = read_json(attempt.path / PROGRESS) or {}
        epoch, epochs = int(progress["epoch"]), int(progress["epochs"])
        left = (epochs - epoch) * float(progress["epoch_seconds"]) / 60
    except (StateError, KeyError, TypeError, ValueError):
        return {}
    return {"epoch": epoch, "epochs": epochs, "minutes_left": round(left, 1)}


def _known(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "host": str(attempt.details.get("process", {}).get("host", "")),
        "device": str(attempt.details.get("device", "")),
        "log": str(attempt.path / LOG),
    }


def to_json(states: list[FoldStatus]) -> str:
    """Write states as JSON, one object a fold."""
    return json.dumps({"schema": 1, "folds": [vars(state) for state in states]}, indent=2)
