"""Rendering of a comparison: terminal, Markdown, LaTeX, HTML, CSV, JSON."""
