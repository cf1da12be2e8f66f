"""Scores of the shortcut baselines as CSV and JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict

from volbench._utils.csv_text import csv_text
from volbench.audit.summary import AuditScore, summarize

SCHEMA = 1


def scores_csv(scores: Sequence[AuditScore]) -> str:
    """One line per row of the audit; a figure that is not defined stays empty."""
    rows = [_record(score) for score in scores]
    return csv_text([list(rows[0]), *(list(row.values()) for row in rows)])


def scores_json(scores: Sequence[AuditScore], about: dict[str, str | int]) -> str:
    """The rows, what they are about, and the verdict.

    Args:
        scores: Best first.
        about: Data set, folds and seed, with their digests.
    """
    rows = [_record(score) for score in scores]
    content = {"schema": SCHEMA, **about, "verdict": summarize(scores), "rows": rows}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _record(score: AuditScore) -> dict[str, object]:
    record = {**asdict(score), "finding": score.finding}
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in record.items()
    }
