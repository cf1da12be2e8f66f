"""Run folders: layout, tables (predictions, splits, history, cases) and loading."""
