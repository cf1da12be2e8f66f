"""Trials in a journal on a shared folder, kept alive by leases.

Optuna's heartbeats need a database. Where there is none, a file of appended lines holds the trials
(it needs neither `flock` nor a server), and each running trial has a lease (`executors.lease`), by
which others see that its process is gone or silent. Only the process that takes over the lease
gives the trial to be tried again.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial

from volbench.errors import StorageError
from volbench.executors.lease import (
    MISSED_RENEWALS,
    Lease,
    LeaseHeldError,
    acquire,
    current_attempt,
)
from volbench.tune.storage import Heartbeat, quietly

JOURNAL = "journal"
"""What ``--storage`` is called with to choose this."""
FILE = "tuning.journal"


@contextmanager
def open_journal(folder: Path) -> Iterator[optuna.storages.JournalStorage]:
    """Open the journal of a run folder for a ``with`` block; made if it is missing.

    Raises:
        StorageError: the folder cannot be written, or the file is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = str((folder / FILE).resolve())
    try:
        with quietly():
            backend = JournalFileBackend(path, lock_obj=JournalFileOpenLock(path))
            storage = optuna.storages.JournalStorage(backend)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise StorageError(f"{path} is damaged ({error}); delete it and run again") from error
    yield storage


class TrialLeases(Heartbeat):
    """Holds a lease for each trial of this process; a context manager, as `Heartbeat`.

    Args:
        renewal_s: Seconds between two renewals.
    """

    def __init__(self, renewal_s: float) -> None:
        super().__init__(self._renew, renewal_s)
        self._renewal_s = renewal_s
        self._leases: dict[int, Lease] = {}
        self._seen: dict[Path, float] = {}
        self._changing = threading.Lock()

    def add(self, trial: int, folder: Path | None = None) -> None:
        """A trial of this process begins; its lease is kept in a folder."""
        assert folder is not None
        with self._changing:
            self._leases[trial] = acquire(folder, renewal_s=self._renewal_s)
        super().add(trial, folder)

    def remove(self, trial: int) -> None:
        """It ended."""
        super().remove(trial)
        with self._changing:
            lease = self._leases.pop(trial, None)
        if lease is not None:
            lease.release("told")

    def holds(self, trial: int) -> bool:
        """Whether no other process has taken a trial over, as far as this one can see."""
        lease = self._leases.get(trial)
        return lease is not None and lease.is_held

    @contextmanager
    def taking_over(self, frozen: FrozenTrial, folder: Path) -> Iterator[bool]:
        """Take the lease of a running trial whose process is gone or silent.

        For a ``with`` block; False where the trial is somebody's.
        """
        lease = self._take(folder)
        try:
            yield lease is not None
        finally:
            if lease is not None:
                lease.release("requeued")

    def _take(self, folder: Path) -> Lease | None:
        attempt = current_attempt(folder)
        if attempt is None:  # it is asked for before its lease is taken: wait for that
            first = self._seen.setdefault(folder, time.monotonic())
            if time.monotonic() - first < MISSED_RENEWALS * self._renewal_s:
                return None
        elif attempt.state == "held":
            return None
        try:
            return acquire(folder, renewal_s=self._renewal_s)
        except LeaseHeldError:
            return None

    def _renew(self, trial: int) -> None:
        lease = self._leases.get(trial)
        if lease is not None:
            lease.renew()
