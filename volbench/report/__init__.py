"""Reports that people read: runs to one self-contained HTML file."""

from volbench.report.make_report import make_report

__all__ = ["make_report"]
