"""Tables of trials: state, trials.csv and best.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from volbench._utils.atomic_io import write_atomic, write_json
from volbench._utils.csv_text import csv_records, csv_text
from volbench.errors import StateError
from volbench.tune.storage import quietly

REASON, SECONDS, SCORES, PRUNED = "reason", "seconds", "scores", "pruned"
SURPLUS, ROOM, VALUES = "surplus", "room", "values"
"""What a trial says of itself in the storage, beside Optuna's own."""

CUT_OFF = "the process that ran it ended"
TRIALS, BEST = "trials.csv", "best.json"
FIXED = ("trial", "state", "auc", "folds", "seconds", "reason")


@dataclass(frozen=True)
class TrialRow:
    """One trial as a row of trials.csv.

    Attributes:
        trial: Its place in the search, from 0.
        state: ``complete``, ``pruned``, ``failed``, ``running`` or ``waiting``.
        auc: Mean over the inner folds scored; None where it has none.
        folds: Inner folds that were scored.
        seconds: Of training.
        reason: Why it failed.
        values: What it tried, as text.
    """

    trial: int
    state: str
    auc: float | None
    folds: int
    seconds: float
    reason: str
    values: Mapping[str, str]


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that count, by their place; an attempt that was made again stands once."""
    again = {number for trial in trials for number in attempts(trial)}
    kept = [t for t in trials if t.number not in again and SURPLUS not in t.user_attrs]
    return sorted(kept, key=first_number)


def place_of(study: Study, trial: FrozenTrial | optuna.Trial) -> int:
    """Place of a trial in the search, from 0: its number, less those that do not count."""
    trials = study.get_trials(deepcopy=False)
    own = next(each for each in trials if each.number == trial.number)
    first = first_number(own)
    before = [each for each in trials if each.number < first]
    return sum(not attempts(each) and SURPLUS not in each.user_attrs for each in before)


def attempts(trial: FrozenTrial) -> list[int]:
    """Numbers of earlier attempts at the same trial."""
    with quietly():
        history: list[int] = optuna.storages.RetryHeartbeatStaleTrialCallback.retry_history(trial)
    return history


def first_number(trial: FrozenTrial) -> int:
    """Number of the first attempt at a trial."""
    return min([int(trial.number), *attempts(trial)])


def is_cut_short(trial: FrozenTrial) -> bool:
    """Whether a pruner ended a trial."""
    return trial.state == TrialState.PRUNED or bool(trial.user_attrs.get(PRUNED))


def rows_of(trials: Sequence[FrozenTrial]) -> list[TrialRow]:
    """Trials that count as rows, in their order."""
    return [_row(place, trial) for place, trial in enumerate(trials)]


def _row(place: int, trial: FrozenTrial) -> TrialRow:
    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    states |= {TrialState.FAIL: "failed"}
    state = states.get(trial.state, trial.state.name.lower())
    said = trial.user_attrs
    scores = list(said.get(SCORES, {}).values())
    reason = (said.get(REASON) or CUT_OFF) if state == "failed" else ""
    return TrialRow(
        trial=place,
        state="pruned" if is_cut_short(trial) else state,
        auc=sum(scores) / len(scores) if scores else None,
        folds=len(scores),
        seconds=float(said.get(SECONDS, 0.0)),
        reason=reason,
        values=dict(said.get(VALUES, {})),
    )


def write_trials(folder: Path, trials: Sequence[FrozenTrial], names: Sequence[str]) -> None:
    """Write trials.csv: one row per trial, a column per option that was searched for."""
    lines: list[list[object]] = [[*FIXED, *names]]
    for row in rows_of(trials):
        auc = "" if row.auc is None else repr(row.auc)
        values = [row.values.get(name, "") for name in names]
        lines.append([row.trial, row.state, auc, row.folds, row.seconds, row.reason, *values])
    write_atomic(folder / TRIALS, csv_text(lines))


def read_trials(folder: Path) -> list[TrialRow]:
    """Read trials.csv.

    Raises:
        StateError: it is missing or damaged.
    """
    try:
        text = (folder / TRIALS).read_bytes().decode("utf-8")
        return [_read_row(row) for row in csv_records(text)]
    except (OSError, KeyError, ValueError) as error:
        raise StateError(f"{folder / TRIALS} is missing or damaged ({error})") from None


def _read_row(row: Mapping[str, str]) -> TrialRow:
    return TrialRow(
        trial=int(row["trial"]),
        state=row["state"],
        auc=float(row["auc"]) if row["auc"] else None,
        folds=int(row["folds"]),
        seconds=float(row["seconds"]),
        reason=row["reason"],
        values={key: value for key, value in row.items() if key not in FIXED and value},
    )


def importances(study: Study) -> dict[str, float]:
    """Share of each option in the variance of the score (fANOVA; Hutter et al., 2014, ICML).

    Empty where there are too few trials, or all scored the same.
    """
    whole = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    if len(whole) < 4 or len({trial.value for trial in whole}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}


def write_best(folder: Path, study: Study, best: FrozenTrial, place: int) -> None:
    """Write best.json: the winner and what mattered."""
    write_json(
        folder / BEST,
        {
            "study": study.study_name,
            "trial": place,
            "inner_auc": best.value,
            "values": best.user_attrs[VALUES],
            "importances": importances(study),
        },
    )
