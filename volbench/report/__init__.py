"""HTML reports of runs in one self-contained file."""

from volbench.report.make_report import make_report

__all__ = ["make_report"]
