"""Where the curves of a run are sent while it trains; each tracker is named by an entry point."""
