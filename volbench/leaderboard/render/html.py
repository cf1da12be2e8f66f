"""Tables as one self-contained HTML page, all text escaped."""

from collections.abc import Sequence
from html import escape

from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.render.terminal import kind_of

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
section { margin-bottom: 2.5rem; }
h2 { font-size: 1.05rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; white-space: nowrap; vertical-align: top; }
th { border-bottom: 1px solid var(--line); font-weight: 600; vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--soft); }
.text { text-align: left; white-space: normal; overflow-wrap: break-word; max-width: 16rem; }
.left { text-align: left; }
p { margin: .4rem 0; max-width: 60rem; font-size: .9rem; }
"""


def page(sections: Sequence[TextTable], *, title: str = "volbench compare") -> str:
    """Write a page with a table per section."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style></head><body><main>",
            *map(section_html, sections),
            "</main></body></html>\n",
        ]
    )


def section_html(section: TextTable) -> str:
    """Write a table with its title and notes, all text escaped."""
    parts = ["<section>", f"<h2>{escape(section.title)}</h2>"]
    if section.cells:
        names = list(section.cells)
        head = "".join(_cell("th", name, name, ' scope="col"') for name in names)
        parts += ['<div class="wide"><table>', f"<thead><tr>{head}</tr></thead><tbody>"]
        for row in zip(*section.cells.values(), strict=True):
            cells = (_cell("td", name, text) for name, text in zip(names, row, strict=True))
            parts.append(f"<tr>{''.join(cells)}</tr>")
        parts.append("</tbody></table></div>")
    parts += [f"<p>{escape(note)}</p>" for note in section.notes]
    return "\n".join([*parts, "</section>"])


def _cell(tag: str, name: str, text: str, more: str = "") -> str:
    kind = {"text": "text", "word": "left", "number": ""}[kind_of(name)]
    shown = escape(text).replace("\n", "<br>")
    return f"<{tag}{more}{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{shown}</{tag}>"
