"""An external evaluation on a page of its own."""

from volbench.predict.external import ExternalEvaluation
from volbench.report.external_section import external_section
from volbench.report.page import render


def external_page(found: ExternalEvaluation) -> str:
    """Write one self-contained page."""
    section = external_section(found, 1)
    return render([], [section], title=section.title)
