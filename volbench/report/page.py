"""HTML page of a report: no scripts, no remote content, all text escaped."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import volbench
from volbench.leaderboard.text import is_one_part, p_value, test_name
from volbench.report.external_section import ExternalSection
from volbench.report.report_row import number, signed
from volbench.report.section import ReportSection

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class PageLink:
    """A link from a page to another one."""

    text: str
    path: str


def render(
    sections: Sequence[ReportSection],
    externals: Sequence[ExternalSection] = (),
    *,
    title: str,
    back: Sequence[PageLink] = (),
) -> str:
    """Fill the templates; ``back`` leads to the pages above, where the report is part of a site."""
    style = report_style()
    text: str = (
        environment()
        .get_template("report.html")
        .render(
            title=title,
            sections=sections,
            externals=externals,
            back=back,
            style=Markup(style),
            policy=page_policy(style),
            version=volbench.__version__,
        )
    )
    return text


def page_policy(style: str, script: str | None = None) -> str:
    """What a browser may do with a page: show it, its own images, this style sheet and script."""
    scripts = f"script-src '{_digest(script)}'; " if script is not None else ""
    return (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; {scripts}"
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def report_style() -> str:
    """The style sheet of a report."""
    return (TEMPLATES / "report.css").read_text(encoding="utf-8")


@cache
def environment(*folders: Path) -> Environment:
    """Templates in ``folders``, then those of a report, with the filters of a report."""
    found = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["test_name"] = test_name
    found.globals["one_part"] = is_one_part
    found.filters |= {"number": number, "signed": signed, "p_value": p_value}
    return found
