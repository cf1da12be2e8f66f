"""Estimate of the remaining time of a run from the epochs done so far."""

import time
from collections.abc import Callable, Hashable

from volbench._utils.text import duration


class TimeLeft:
    """Remaining time, extrapolated from the epochs of this process only.

    Args:
        folds: Number of folds to train.
        clock: Time in seconds; replaced in tests.
    """

    def __init__(self, folds: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._shares: dict[Hashable, float] = {}
        self._gained = 0.0
        self._first: tuple[float, float] | None = None
        self._left = float(folds)

    def epoch(self, fold: Hashable, epoch: int, epochs: int) -> None:
        """Count an epoch; the first report of a resumed fold may be of a later one."""
        self.step(fold, epoch, epochs, 1.0)

    def step(self, fold: Hashable, epoch: int, epochs: int, done: float) -> None:
        """Count a part of an epoch, up to ``done`` of it."""
        before = self._shares.get(fold, (epoch - 1) / epochs)
        if fold not in self._shares:
            self._left -= before
        share = max(before, (epoch - 1 + done) / epochs)
        self._gained += share - before
        if self._first is None:
            self._first = self._clock(), self._gained
        self._left -= share - before
        self._shares[fold] = share

    def end(self, fold: Hashable) -> None:
        """Count a fold as ended, finished or failed."""
        self._left -= 1 - self._shares.pop(fold, 0.0)

    @property
    def elapsed(self) -> str:
        """Time since the start of this process's work, as minutes and seconds."""
        seconds = round(self._clock() - self._started)
        hours, minutes = divmod(seconds // 60, 60)
        start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
        return f"{start}:{seconds % 60:02d}"

    def _seconds_per_fold(self) -> float:
        """Seconds per fold since the first report, before which processes start and data load."""
        assert self._first is not None
        began, before = self._first
        if self._gained <= before:
            began, before = self._started, 0.0
        return (self._clock() - began) / (self._gained - before)

    def __str__(self) -> str:
        if self._gained <= 0:
            return ""
        seconds = max(0.0, self._left) * self._seconds_per_fold()
        return f"about {duration(round(seconds))} left"
