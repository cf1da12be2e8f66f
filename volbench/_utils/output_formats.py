"""Formats of results, by the suffix of the file they are written to."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

Format: TypeAlias = Literal["table", "md", "csv", "json", "latex", "html"]

SUFFIXES: Mapping[str, Format] = {
    ".txt": "table",
    ".md": "md",
    ".csv": "csv",
    ".json": "json",
    ".tex": "latex",
    ".html": "html",
    ".htm": "html",
}
