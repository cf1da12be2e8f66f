"""Run folders: layout, tables (predictions, splits, history, cases) and loading."""

from volbench.runs.cases_file import STRATUM, CaseRow, cases_csv, read_cases
from volbench.runs.history_file import FORMER_COLUMNS, VALIDATION_LOG_LOSS, history_csv
from volbench.runs.predictions_file import Grades, Prediction, predictions_csv, read_predictions
from volbench.runs.splits_file import SplitRow, parse_splits, read_splits, splits_csv

__all__ = [
    "FORMER_COLUMNS",
    "STRATUM",
    "VALIDATION_LOG_LOSS",
    "CaseRow",
    "Grades",
    "Prediction",
    "SplitRow",
    "cases_csv",
    "history_csv",
    "parse_splits",
    "predictions_csv",
    "read_cases",
    "read_predictions",
    "read_splits",
    "splits_csv",
]
