"""Where a run keeps the attempts at its folds: who trained, how far they are, what they logged."""

from pathlib import Path

ATTEMPTS = "attempts"
PROGRESS, LOG, TRACEBACK = "progress.json", "log.txt", "traceback.txt"


def attempts_folder(run: Path, fold: int) -> Path:
    """Folder of the attempts at one fold of a run, each in a folder named by its number."""
    return run / ATTEMPTS / f"{fold:02d}"
