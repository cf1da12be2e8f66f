"""Statistics of a leaderboard: scores, pairs, intervals, groups; no text and no rendering."""
