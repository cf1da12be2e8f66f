"""One study: its trials, the next trial, the winner."""

from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from volbench._utils.seeds import derive_seed
from volbench.spec import show_value
from volbench.tune.leased_trials import TrialLeases
from volbench.tune.plan import Inner, TuningPlan
from volbench.tune.sampling import distribution, make_pruner, make_sampler
from volbench.tune.storage import Heartbeat, make_retry, quietly
from volbench.tune.tables import (
    BEST,
    CUT_OFF,
    REASON,
    ROOM,
    SURPLUS,
    VALUES,
    counted,
    is_cut_short,
    place_of,
    rows_of,
    write_best,
    write_trials,
)
from volbench.tune.trial import ActiveTrial


class Search:
    """The study of one outer fold, or of all cases, as one process takes part in it.

    Args:
        tuning: The whole tuning.
        inner: What this study may see.
        storage: Where its trials are.
        folder: Where their predictions and its tables go.
        room: Names the run folder of this process, to tell its own trials from others'.
    """

    def __init__(
        self,
        tuning: TuningPlan,
        inner: Inner,
        storage: optuna.storages.BaseStorage,
        folder: Path,
        room: str,
    ) -> None:
        self.tuning = tuning
        self.inner = inner
        self.folder = folder
        self.room = room
        self.storage = storage
        experiment = tuning.plan.experiment
        settings = tuning.settings
        part = "all" if settings.flat else f"fold{inner.outer:02d}"
        with quietly():
            self.study = optuna.create_study(
                study_name=f"{experiment.id}-{part}",
                storage=storage,
                direction="maximize",
                sampler=make_sampler(settings, experiment.seed, inner.outer, place_of),
                pruner=make_pruner(settings),
                load_if_exists=True,
            )
        spaces = tuning.template.spaces
        self.distributions = {key: distribution(space) for key, space in spaces.items()}

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials that count: without attempts that were made again, and without surplus."""
        return counted(self.study.get_trials(deepcopy=False))

    @property
    def is_over(self) -> bool:
        """Whether every trial ended."""
        trials = self.trials
        return len(trials) >= self.tuning.settings.trials and all(
            trial.state.is_finished() for trial in trials
        )

    @property
    def running(self) -> int:
        """How many trials run, in whatever process."""
        return sum(trial.state == TrialState.RUNNING for trial in self.trials)

    @property
    def may_start(self) -> bool:
        """Whether a trial waits or is still to be made."""
        trials = self.trials
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        return waiting or len(trials) < self.tuning.settings.trials

    def winner(self) -> FrozenTrial | None:
        """The best trial that was scored on all inner folds; the first one of equals.

        A trial that ended early is never the best: the pruner spares whatever is ahead of the best
        so far. It is left out all the same, so that this does not depend on the pruner.
        """
        whole = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        whole = [trial for trial in whole if not is_cut_short(trial)]
        # The trials stand by place, and the first of equals is the maximum.
        return max(whole, key=lambda trial: float(trial.value or 0.0), default=None)

    def why_no_winner(self) -> str:
        """The reason why an outer fold cannot be scored."""
        rows = rows_of(self.trials)
        reason = next((row.reason for row in rows if row.reason), CUT_OFF)
        where = "" if self.tuning.settings.flat else f" of outer fold {self.inner.outer}"
        return f"all {len(rows)} trials{where} failed; the first: {reason}"

    def write_tables(self) -> None:
        """Write trials.csv and, at the end, best.json; all processes write the same."""
        write_trials(self.folder, self.trials, list(self.distributions))
        best = self.winner()
        if best is not None and self.is_over and not (self.folder / BEST).is_file():
            write_best(self.folder, self.study, best, self.trials.index(best))

    def start(self) -> ActiveTrial | None:
        """Begin the next trial; None where another process was quicker."""
        with quietly():
            trial = self.study.ask(self.distributions)
        place = place_of(self.study, trial)
        if place >= self.tuning.settings.trials:
            trial.set_user_attr(SURPLUS, True)
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        values = self.tuning.values(trial.params)
        trial.set_user_attr(ROOM, self.room)
        trial.set_user_attr(REASON, "")
        trial.set_user_attr(VALUES, {name: show_value(value) for name, value in values.items()})
        return ActiveTrial(
            self.tuning,
            self.inner,
            self.study,
            trial,
            folder=self.folder,
            place=place,
            order=self._order(place),
        )

    def _order(self, place: int) -> list[int]:
        """Inner folds in the order in which a trial takes them.

        The Wilcoxon pruner wants another order for each trial, so that no fold decides alone; the
        median pruner compares trials at the same epoch of the same fold.
        """
        folds = list(self.inner.split.folds)
        if self.tuning.settings.pruner == "median":
            return folds
        seed = self.tuning.plan.experiment.seed
        return sorted(
            folds, key=lambda fold: derive_seed(seed, "order", self.inner.outer, place, fold)
        )

    def recover_stale(self, *, exclusive: bool, file: bool) -> None:
        """Requeue trials that a dead process left behind.

        Args:
            exclusive: No other process works in this run folder: its running trials are stale.
            file: The storage is this folder's own file, so that this holds for all trials.
        """
        with quietly():
            optuna.storages.fail_stale_trials(self.study)
        if not exclusive:
            return
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if file or trial.user_attrs.get(ROOM) == self.room:
                self.requeue(trial.number, CUT_OFF)

    def take_over(self, heart: Heartbeat) -> None:
        """Give trials to be tried again whose process holds a lease no more."""
        if not isinstance(heart, TrialLeases):
            return
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            with heart.taking_over(trial, self.lease_folder(trial.number)) as taken:
                if taken:
                    self.requeue(trial.number, CUT_OFF)

    def lease_folder(self, number: int) -> Path:
        """Where the leases of a trial are, one for each process that had it."""
        return self.folder / "leases" / f"{number:03d}"

    def requeue(self, number: int, reason: str) -> None:
        """End a trial that was cut off, and have it tried again with the same values."""
        frozen = next(t for t in self.study.get_trials() if t.number == number)
        if frozen.state.is_finished():
            return
        self.storage.set_trial_user_attr(frozen._trial_id, REASON, reason)
        ended = self.study.tell(number, state=TrialState.FAIL)
        with quietly():
            make_retry()(self.study, ended)
