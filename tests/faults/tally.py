"""What a campaign has done so far, kept in a file: it may be stopped before it says so itself."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def note(campaign: str, counts: Mapping[str, int]) -> None:
    """Append a line of JSON with the counts so far, after each trial of a campaign.

    The file is named by ``VOLBENCH_FAULTS_LOG``, or is ``.faults.jsonl`` in the project. Campaigns
    that are done in parts, side by side or one after the other, add to the same one; each process
    counts its own.
    """
    path = Path(os.environ.get("VOLBENCH_FAULTS_LOG") or ROOT / ".faults.jsonl")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"campaign": campaign, "process": os.getpid(), "at": now, **counts}
    with path.open("a", encoding="utf-8") as file:  # flushed as a whole: lines never mix
        file.write(json.dumps(line) + "\n")


def told(counts: Mapping[str, int]) -> str:
    """The counts as a phrase."""
    return ", ".join(f"{number} {word}" for word, number in sorted(counts.items()))
