"""Published results beside ours: reference tables and side-by-side rows."""

from volbench.leaderboard.published.base import Reference, TextTable

__all__ = ["Reference", "TextTable"]
