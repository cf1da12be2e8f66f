"""Storage of trials: SQLite in the run folder, or a database reached by SQLAlchemy."""

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from volbench.errors import StorageError, UsageError

SILENT_BEATS = 4
"""A trial whose process missed so many heartbeats is given to another."""

ATTEMPTS = 3
"""A trial that was cut off so often is left as failed: it may be what ends its process."""

DRIVERS = {"postgresql": "pip install 'volbench[postgres]'", "mysql": "pip install pymysql"}


@contextmanager
def quietly() -> Iterator[None]:
    """Hush what Optuna says of its experimental parts, and of heartbeats outside ``optimize``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
        yield


def make_retry() -> Any:
    """What has a trial that was cut off tried again, with the same values."""
    return optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=ATTEMPTS - 1)


@contextmanager
def open_storage(url: str, *, heartbeat_s: int) -> Iterator[optuna.storages.RDBStorage]:
    """Open a database for a ``with`` block, and make its tables if it has none.

    Args:
        url: As SQLAlchemy writes it: ``sqlite:///file.db``, ``postgresql+psycopg://host/name``.
        heartbeat_s: Seconds between two signs of life of a trial.

    Raises:
        UsageError: the URL cannot be read, or its driver is not installed.
        StorageError: the database cannot be reached, or another Optuna wrote it.
    """
    storage = _connect(url, heartbeat_s)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _connect(url: str, heartbeat_s: int) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(logging.ERROR)
    shown = hidden(url)
    sqlite = url.startswith("sqlite")
    try:
        with quietly():
            retry = make_retry()
            # Several processes write the same file in turns: wait for the lock, do not fail. A
            # server may drop a connection that waits for hours between two trials: keep none.
            waiting = {"connect_args": {"timeout": 60}} if sqlite else {"poolclass": NullPool}
            options: dict[str, Any] = {
                "engine_kwargs": waiting,
                "heartbeat_interval": heartbeat_s,
                "grace_period": SILENT_BEATS * heartbeat_s,
                "heartbeat_stale_trial_callback": retry,
            }
            try:
                return optuna.storages.RDBStorage(url, **options)
            except SQLAlchemyError as error:
                if isinstance(error, ArgumentError):
                    raise
                # Two that make the tables of a new database at once: the second finds them.
                return optuna.storages.RDBStorage(url, **options)
    except ImportError as error:
        hint = DRIVERS.get(url.partition(":")[0].partition("+")[0], "install it")
        raise UsageError(f"--storage {shown}: {error.__cause__ or error}; {hint}") from None
    except ArgumentError:
        raise UsageError(
            f"--storage {shown!r} is not a URL such as sqlite:///trials.db or "
            "postgresql+psycopg://user@host/database"
        ) from None
    except (SQLAlchemyError, RuntimeError) as error:
        reason = " ".join(str(error).split("\n(Background")[0].split())
        raise StorageError(f"--storage {shown}: {reason.replace(url, shown)}") from None


def hidden(url: str) -> str:
    """A URL without its password, to be shown and kept.

    >>> hidden("postgresql://anna:secret@host/db"), hidden("nonsense")
    ('postgresql://anna:***@host/db', 'nonsense')
    """
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


class Heartbeat:
    """Keep the trials of this process marked as alive in the storage; a context manager.

    Optuna beats from inside ``Study.optimize`` only; trials that are asked for and told need this.

    Args:
        beat: Records a sign of life of one trial, by its id.
        seconds: Between two of them.
    """

    def __init__(self, beat: Callable[[int], None], seconds: float) -> None:
        self._beat = beat
        self._seconds = seconds
        self._trials: set[int] = set()
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def add(self, trial: int, folder: Path | None = None) -> None:
        """A trial of this process begins; ``folder`` is for those that keep leases in it."""
        with self._guard:
            self._trials.add(trial)
        self._beat(trial)

    def remove(self, trial: int) -> None:
        """It ended."""
        with self._guard:
            self._trials.discard(trial)

    def holds(self, trial: int) -> bool:
        """Whether a trial is still this process's, as far as it can see."""
        return True

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            with self._guard:
                trials = list(self._trials)
            for trial in trials:
                try:
                    self._beat(trial)
                except SQLAlchemyError:  # unreachable for a moment: the next beat may get through
                    break
