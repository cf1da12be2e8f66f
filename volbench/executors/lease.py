"""Leases: each task is done exactly once in the record, however often it is run.

Cluster managers run a task again when a node no longer answers, *while the first copy may run on to
its end*. So a process works on a task under a lease, and only the lease's last holder can publish:

    attempts/03/0001/   lease.json  ended.json  log.txt  revoked/
    attempts/03/0002/   lease.json  out/

- An attempt is acquired by **one rename** of a folder made ready elsewhere to the next free number.
  A folder cannot be renamed onto one that holds something, so a number is given once. Numbers are
  never used again: they are fencing tokens.
- Its process renews it by touching `lease.json`. After `MISSED_RENEWALS` of them it is stale. Both
  times are the file system's; no clock of any host is looked at. On the machine of the holder a
  process that is gone is noticed at once.
- The next holder first **revokes** older attempts, by renaming their `out`.
- **Publication is one rename** of `out` to the final name. It fails if `out` was revoked and if the
  final name is taken, so a process that was stopped and wakes up publishes nothing.

Needed of the file system: that rename is atomic and seen by all. No `flock`; NFS will do.
"""

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from volbench._utils.atomic_io import sync_folder
from volbench._utils.leftovers import clean, temporary_path
from volbench._utils.processes import ProcessIdentity
from volbench.errors import StorageError

LEASE, ENDED, OUT, REVOKED = "lease.json", "ended.json", "out", "revoked"
RENEWAL_S = 15.0
"""Seconds between two renewals."""
MISSED_RENEWALS = 4
"""A lease is stale after so many missed renewals: a busy server or a long pause may miss some."""

AttemptState: TypeAlias = Literal["held", "stale", "ended"]


class LeaseHeldError(StorageError):
    """Another process holds the lease and renews it.

    Attributes:
        attempt: The attempt of that process.
    """

    def __init__(self, attempt: "Attempt") -> None:
        super().__init__(f"{attempt.path} is held by {attempt.holder_text}; wait until it ends")
        self.attempt = attempt


class LeaseLostError(StorageError):
    """The lease went to another process; what this one computed is not published."""


@dataclass(frozen=True)
class Attempt:
    """One numbered attempt at a task, read from its folder.

    Attributes:
        path: Folder of the attempt.
        number: Counted from 1; the highest one of a task is its current attempt.
        state: ``ended`` by its own process, ``held``, or ``stale``: its process is gone or silent.
        details: What `lease.json` says: the process, its renewals, and what its work added.
        silent_s: Seconds since the last renewal, by the clock of the file system.
        outcome: How it ended, in one word; None while it has not.
    """

    path: Path
    number: int
    state: AttemptState
    details: dict[str, Any]
    silent_s: float
    outcome: str | None = None

    @property
    def holder_text(self) -> str:
        """Name the process for people."""
        process = self.details.get("process", {})
        return f"process {process.get('pid', '?')} on {process.get('host', '?')}"


class Lease:
    """The right to do a task, held by this process until it is released or lost.

    Use `acquire`, then `renewing` around the work, then `publish` or `release`.
    """

    def __init__(self, path: Path, number: int, renewal_s: float) -> None:
        self.path = path
        self.number = number
        self.renewal_s = renewal_s

    @property
    def out(self) -> Path:
        """Folder of what will be published. Never make it anew: it is what others revoke."""
        return self.path / OUT

    @property
    def is_held(self) -> bool:
        """Whether no other process took over, as far as this one can see."""
        return self.out.is_dir()

    def renew(self) -> None:
        """Give a sign of life."""
        with suppress(OSError):  # a server that is away for a moment: the next one may get through
            os.utime(self.path / LEASE)

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew from a thread for the length of a ``with`` block."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(self.renewal_s):
                self.renew()

        thread = threading.Thread(target=run, daemon=True, name="lease")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def move_in(self, folder: Path) -> None:
        """Move the files of a folder to `out`, which is never made anew.

        Raises:
            LeaseLostError: another process took over.
        """
        for path in sorted(folder.iterdir()):
            try:
                os.rename(path, self.out / path.name)
            except FileNotFoundError:
                raise self._lost() from None
        folder.rmdir()

    def publish(self, target: Path, outcome: str = "published") -> None:
        """Rename `out` to ``target`` and release.

        Raises:
            LeaseLostError: another process took over, or has published.
            StorageError: the folder cannot be written.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(self.out, target)
        except FileNotFoundError:
            self.release("lost")
            raise self._lost() from None
        except OSError as error:
            if target.is_dir() and any(target.iterdir()):
                self.release("superseded")
                raise LeaseLostError(f"{target} is taken already, and never replaced") from None
            raise StorageError(f"cannot publish {target}: {error.strerror}") from error
        sync_folder(target.parent)
        self.release(outcome)

    def check(self) -> None:
        """Raise `LeaseLostError` if another process took over, as far as this one can see."""
        if not self.is_held:
            raise self._lost()

    def _lost(self) -> LeaseLostError:
        return LeaseLostError(f"{self.path}: another process took over; it does what is left")

    def release(self, outcome: str) -> None:
        """Say how the attempt ended, unless that is said already; another one may begin at once."""
        if (self.path / ENDED).exists():
            return
        text = json.dumps({"outcome": outcome}) + "\n"
        with suppress(OSError):
            _write(self.path / ENDED, text)
        shutil.rmtree(self.out, ignore_errors=True)


def acquire(
    folder: Path, *, details: dict[str, Any] | None = None, renewal_s: float = RENEWAL_S
) -> Lease:
    """Begin the next attempt at a task.

    Older attempts that did not end are revoked; when this returns, none of them can publish any
    more. Look for a published result *after* this: one of them may have published just before.

    Args:
        folder: Folder of the task's attempts; made if it is missing.
        details: What else `lease.json` shall say.
        renewal_s: Seconds between two renewals.

    Raises:
        LeaseHeldError: another process is at it.
        StorageError: the folder cannot be written.
    """
    process = ProcessIdentity.current()
    told = {**(details or {}), "process": process.to_json(), "renewal_s": renewal_s}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            latest = current_attempt(folder)
            if latest is not None and latest.state == "held":
                raise LeaseHeldError(latest)
            number = 1 if latest is None else latest.number + 1
            if (lease := _take(folder, number, told, renewal_s)) is not None:
                _revoke_older(folder, number)
                _clean(folder, number)
                return lease
    except OSError as error:
        raise StorageError(
            f"cannot lease {folder}: {error.strerror or error}; choose a folder you may write to"
        ) from error


def acquire_when_free(
    folder: Path,
    *,
    details: dict[str, Any] | None = None,
    renewal_s: float = RENEWAL_S,
    poll_s: float | None = None,
) -> Lease:
    """As `acquire`, but wait until the process that holds the lease ends or falls silent."""
    while True:
        try:
            return acquire(folder, details=details, renewal_s=renewal_s)
        except LeaseHeldError:
            time.sleep(renewal_s / 3 if poll_s is None else poll_s)


def current_attempt(folder: Path, *, now_ns: int | None = None) -> Attempt | None:
    """Read the latest attempt at a task; None where there is none.

    Args:
        folder: Folder of the task's attempts.
        now_ns: Time of the file system, where it is known already (see `file_system_time`).
    """
    numbers = attempt_numbers(folder)
    return read_attempt(folder, numbers[-1], now_ns=now_ns) if numbers else None


def attempt_numbers(folder: Path) -> list[int]:
    """Numbers of the attempts at a task, in order."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def read_attempt(folder: Path, number: int, *, now_ns: int | None = None) -> Attempt:
    """Read one attempt at a task."""
    path = _place(folder, number)
    details, renewed_ns = _read_lease(path)
    ended = _read_json(path / ENDED)
    if ended is not None:
        return Attempt(path, number, "ended", details, 0.0, str(ended.get("outcome")))
    if _has_ended(details):
        return Attempt(path, number, "stale", details, 0.0)
    now_ns = file_system_time(folder) if now_ns is None else now_ns
    silent_s = max(0, now_ns - renewed_ns) / 1e9
    patience_s = MISSED_RENEWALS * float(details.get("renewal_s", RENEWAL_S))
    return Attempt(path, number, "stale" if silent_s > patience_s else "held", details, silent_s)


def file_system_time(folder: Path) -> int:
    """Read the clock of the file system, in nanoseconds: the server's, on a network share.

    Falls back to this machine's clock where the folder may only be read.
    """
    probe = temporary_path(folder / f"clock-{uuid.uuid4().hex}")
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.utime(descriptor)
            return os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
            os.unlink(probe)
    except OSError:
        return time.time_ns()


def _place(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}"


def _take(folder: Path, number: int, told: dict[str, Any], renewal_s: float) -> Lease | None:
    """Take a number; None if another process was quicker."""
    ready = temporary_path(folder / f"new-{uuid.uuid4().hex}")
    (ready / OUT).mkdir(parents=True)
    try:
        _write(ready / LEASE, json.dumps(told, sort_keys=True) + "\n")
        os.rename(ready, _place(folder, number))
    except OSError:
        if not _place(folder, number).is_dir():
            raise
        return None
    finally:
        shutil.rmtree(ready, ignore_errors=True)
    lease = Lease(_place(folder, number), number, renewal_s)
    lease.renew()  # it was written before it was taken, and taking may have been slow
    return lease


def _revoke_older(folder: Path, number: int) -> None:
    for older in attempt_numbers(folder):
        if older < number:
            place = _place(folder, older)
            with suppress(FileNotFoundError):  # published, ended or revoked before
                os.rename(place / OUT, place / REVOKED)


def _clean(folder: Path, number: int) -> None:
    """Remove what processes left that were killed while they wrote or began."""
    clean(folder)
    for older in attempt_numbers(folder):
        place = _place(folder, older)
        if older >= number:
            continue
        clean(place)
        if _has_ended(_read_lease(place)[0]):  # else it may be writing there still
            for part in place.iterdir():
                if part.is_dir():
                    shutil.rmtree(part, ignore_errors=True)


def _read_lease(path: Path) -> tuple[dict[str, Any], int]:
    """Content and last renewal. Opening asks a server anew where a mere `stat` may be a memory."""
    try:
        with (path / LEASE).open("rb") as file:
            return json.loads(file.read()), os.fstat(file.fileno()).st_mtime_ns
    except (OSError, ValueError):
        return {}, 0


def _has_ended(details: dict[str, Any]) -> bool:
    try:
        return ProcessIdentity(**details["process"]).has_ended
    except (KeyError, TypeError):
        return False


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, text: str) -> None:
    """Write a small file that nobody else writes; a torn one is no more than unreadable."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
