"""Published results as CSV files, with their sources in `volbench.leaderboard.reference`."""
