"""Published results as CSV files; `leaderboard.published.references` names their sources."""
