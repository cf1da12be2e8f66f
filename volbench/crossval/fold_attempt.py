"""One attempt at a fold: its lease, its own folder, and what becomes of its files."""

import json
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from volbench._utils.atomic_io import refused_by_disk, write_atomic
from volbench.errors import StateError, StorageError
from volbench.executors.lease import (
    RENEWAL_S,
    Lease,
    LeaseLostError,
    acquire,
    acquire_when_free,
    attempt_numbers,
)
from volbench.runs.attempts import LOG, PROGRESS, TRACEBACK, attempts_folder
from volbench.runs.folder import RESULT, FoldFolder, FoldResult, RunFolder
from volbench.training.fold_reports import EpochReport

CHECKPOINT = "checkpoint.safetensors"
PROGRESS_SECONDS = 1.0
"""Shortest time between two writes of how far a fold is."""


class FoldAttempt:
    """The right to do one fold, and where its files are until they are published.

    Attributes:
        files: What will be published, as a fold's folder.
        checkpoint: File for the state between two epochs; that of an earlier attempt is there.
    """

    def __init__(self, run: Path, fold: int, lease: Lease) -> None:
        self._place = RunFolder(run).fold(fold)
        self._lease = lease
        self._draft = lease.path / "draft"
        self._told = self._began = time.monotonic()
        self._first = 0
        self.files = FoldFolder(self._draft, fold)
        self.checkpoint = lease.path / CHECKPOINT
        self._adopt_checkpoint(attempts_folder(run, fold))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep the lease for the length of a ``with`` block; whatever ends it, the lease ends."""
        outcome = "interrupted"
        try:
            with self._lease.renewing():
                yield
            outcome = "ended"
        except StorageError as error:
            self.log(f"stopped: {error}")
            raise
        finally:
            self._lease.release(outcome)

    def on_epoch(self, report: EpochReport) -> None:
        """Keep how far the fold is.

        Raises:
            LeaseLostError: another process has taken over; what is left to do is its business.
        """
        now = time.monotonic()
        if not self._first:
            self._first = report.epoch
            if report.epoch > 1:
                self.log(f"resumed after epoch {report.epoch - 1} of {report.epochs}")
        last = report.epoch == report.epochs
        if now - self._told < PROGRESS_SECONDS and not last:
            return
        self._told = now
        self._lease.check()
        seconds = round(now - self._began, 1)
        done = report.epoch - self._first + 1
        self._write_progress({**asdict(report), "epoch_seconds": (now - self._began) / done})
        auc = "" if report.auc is None else f"  AUC {report.auc:.3f}"
        loss = f"loss {report.loss:.4f}"
        self.log(f"{seconds:8.1f} s  epoch {report.epoch} of {report.epochs}  {loss}{auc}")

    def publish(self) -> FoldResult:
        """Make the fold's files those of the run.

        Raises:
            LeaseLostError: another process has taken over, and nothing is published yet.
            StateError: the fold's folder is taken by something that is no result.
            StorageError: the disk is full or the run's folder cannot be written.
        """
        try:
            self._clear_failure()
            self._lease.move_in(self._draft)
            self._lease.publish(self._place.path)
        except OSError as error:  # no failure of the training: nothing could be recorded of one
            raise refused_by_disk(f"publish {self._place.path}", error) from error
        except LeaseLostError:
            if (published := finished(self._place)) is not None:
                return published
            if self._lease.number == attempt_numbers(self._lease.path.parent)[-1]:
                place = self._place.path
                reason = f"{place} holds files but no result; delete it and run again"
                raise StateError(reason) from None
            raise
        self._drop_checkpoint()
        self.log("published")
        result = self._place.result()
        assert result is not None
        return result

    def fail(self, reason: str, error: Exception | None = None) -> FoldResult:
        """Keep the fold as one that failed, with its reason."""
        reason = " ".join(reason.split())
        self._lease.check()
        if error is not None:
            text = "".join(traceback.format_exception(error))
            write_atomic(self._place.path / TRACEBACK, text)
            self.log(text)
        self.log(f"failed: {reason}")
        result = self._place.write_failure(reason)
        self._drop_checkpoint()
        self._lease.release("failed")
        return result

    def log(self, text: str) -> None:
        """Append to the attempt's log; a full disk is noticed elsewhere."""
        with suppress(OSError), (self._lease.path / LOG).open("a", encoding="utf-8") as file:
            file.write(text.rstrip("\n") + "\n")

    def _write_progress(self, values: Mapping[str, Any]) -> None:
        # Lost with a crash, and no harm done: not worth an fsync per epoch.
        temporary = self._lease.path / f".{PROGRESS}"
        with suppress(OSError):
            temporary.write_text(json.dumps(values))
            os.replace(temporary, self._lease.path / PROGRESS)

    def _drop_checkpoint(self) -> None:
        with suppress(OSError):
            self.checkpoint.unlink(missing_ok=True)

    def _adopt_checkpoint(self, folder: Path) -> None:
        """Go on from the latest state that an earlier attempt kept."""
        places = [folder / f"{n:04d}" for n in reversed(attempt_numbers(folder))]
        # Before attempts had folders of their own, the state was in the fold's.
        for place in (*places[1:], self._place.path):
            with suppress(FileNotFoundError):
                os.rename(place / CHECKPOINT, self.checkpoint)
                return

    def _clear_failure(self) -> None:
        """Remove what an earlier failure left where the files go, and never a published result.

        Its files have names that no published fold has, so that even a process that was stopped
        between a look and this cannot take away what another one has published.
        """
        self._place.clear_failure()
        for name in (TRACEBACK, CHECKPOINT):
            (self._place.path / name).unlink(missing_ok=True)
        there = self._place.result()
        if there is not None and there.status == "failed":  # written by version 0.1
            aside = self._lease.path / f"earlier-{RESULT}"
            os.rename(self._place.path / RESULT, aside)


def begin(
    run: Path, fold: int, *, device: str, wait: bool, renewal_s: float = RENEWAL_S
) -> FoldAttempt | FoldResult:
    """Begin an attempt at a fold; its result, if it is finished.

    Args:
        run: Folder of the run.
        fold: Number of the fold.
        device: Where it is trained, for those who look.
        wait: Whether to wait for a process that is at it, instead of raising.
        renewal_s: Seconds between two renewals of the lease.

    Raises:
        LeaseHeldError: another process is at it.
        StorageError: the run's folder cannot be written.
    """
    folder, place = attempts_folder(run, fold), RunFolder(run).fold(fold)
    take = acquire_when_free if wait else acquire
    lease = take(folder, details={"device": device}, renewal_s=renewal_s)
    # Only now that no older attempt can publish any more does a look at the result settle it.
    try:
        result = finished(place)
        if result is None:
            return FoldAttempt(run, fold, lease)
    except StateError:
        lease.release("refused")
        raise
    except OSError as error:  # who is to record it would wait for this lease
        lease.release("interrupted")
        raise refused_by_disk(f"begin fold {fold} in {lease.path}", error) from error
    lease.release("redundant")
    return result


def finished(place: FoldFolder) -> FoldResult | None:
    """The result of a fold that is finished and whose files are sound; else None.

    Raises:
        StateError: a file was changed.
    """
    result = place.result()
    if result is None or result.status != "finished":
        return None
    place.verify(result)
    return result


def record_failure(run: Path, fold: int, reason: str) -> FoldResult:
    """Keep a fold as failed whose process can no longer say so itself."""
    attempt = begin(run, fold, device="", wait=True)
    if isinstance(attempt, FoldResult):
        return attempt
    with attempt.working():
        return attempt.fail(reason)


def forget(run: Path, fold: int) -> None:
    """Drop the state that attempts at a fold have kept: its training was ended for good."""
    folder = attempts_folder(run, fold)
    for number in attempt_numbers(folder):
        (folder / f"{number:04d}" / CHECKPOINT).unlink(missing_ok=True)
