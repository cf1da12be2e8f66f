"""Selection of runs, metrics and sort keys for a leaderboard."""
