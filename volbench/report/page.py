"""HTML page of a report: no scripts, no remote content, all text escaped."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import volbench
from volbench.report.report_row import number, signed
from volbench.report.section import ReportSection
from volbench.report.text import p_value

TEMPLATES = Path(__file__).parent / "templates"


def render(sections: Sequence[ReportSection], *, title: str) -> str:
    """Fill the templates."""
    style = _style()
    text: str = (
        _environment()
        .get_template("report.html")
        .render(
            title=title,
            sections=sections,
            style=Markup(style),
            policy=policy(style),
            version=volbench.__version__,
        )
    )
    return text


def policy(style: str) -> str:
    """What a browser may do with the page: show it, its own images and this one style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )


@cache
def _style() -> str:
    return (TEMPLATES / "report.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "signed": signed, "p_value": p_value}
    return environment
