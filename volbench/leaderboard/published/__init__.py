"""Published results beside ours: reference tables and side-by-side rows."""
