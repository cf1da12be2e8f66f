"""HTML pages of a site: one style sheet and one script inside each, nothing loaded."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

import volbench
from volbench.leaderboard.text import averaged
from volbench.report.page import environment, page_policy, report_style

TEMPLATES = Path(__file__).parent / "templates"


def render_site(template: str, **values: Any) -> str:
    """Fill a template of the site."""
    style, script = report_style() + _read("site.css"), _read("site.js")
    text: str = (
        _environment()
        .get_template(template)
        .render(
            **{"home": None, **values},
            style=Markup(style),
            script=Markup(script),
            policy=page_policy(style, script),
            version=volbench.__version__,
        )
    )
    return text


@cache
def _environment() -> Environment:
    found = environment(TEMPLATES)
    found.globals["averaged"] = averaged
    return found


@cache
def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
