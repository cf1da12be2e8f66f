"""Matplotlib figures as inline SVG that takes its colours and its font from the page around it.

No style attribute is left, so that a page needs no ``unsafe-inline``; colours become classes, so
that one figure serves a light and a dark page and paper; nothing in it depends on the day.
"""

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import Any, TypeAlias
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, FAINT, ACCENT, SECOND, THIRD, FOURTH, PAPER = (
    f"#0{tone}0{tone}0{tone}" for tone in range(1, 9)
)
"""Tones: stand-ins for the colours that the page's style sheet sets."""

TONES = {
    **{INK: "ink", MUTED: "muted", FAINT: "faint", PAPER: "paper"},
    **{ACCENT: "accent", SECOND: "second", THIRD: "third", FOURTH: "fourth"},
}
UNITS_PER_INCH = 72
LONGEST = 52
"""Signs of a text in a figure; the middle of longer ones is left out."""


SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text: small, searchable, readable aloud
    "svg.hashsalt": "volbench",
    "font.size": 11,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "path.simplify_threshold": 0.3,
}

Draw: TypeAlias = Callable[[Figure], object]
KEPT = {
    "viewBox",
    "d",
    "x",
    "y",
    "transform",
    "clip-path",
    "href",
    "id",
    "width",
    "height",
    "fill",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-dashoffset",
    "stroke-linecap",
    "stroke-linejoin",
    "stroke-opacity",
    "fill-opacity",
    "opacity",
    "text-anchor",
    "font-size",
    "font-weight",
}


def figure(
    draw: Draw, *, width: float, height: float, name: str, label: str, left: float = 54
) -> Markup:
    """Draw a figure and return it as an ``<svg>``.

    Args:
        draw: Draws into the empty figure it is given; text of others must be drawn by `write`.
        width: In units of the drawing; about as many pixels of the page.
        height: In the same units.
        name: Unique on the page; its ids begin with it.
        label: What the figure says, for those who do not see it.
        left: Room for the numbers and the name of the vertical axis.
    """
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # A name in a script that matplotlib's own font lacks; the reader's browser has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        canvas = Figure(figsize=(width / UNITS_PER_INCH, height / UNITS_PER_INCH))
        # Margins in units, not a layout that is solved: thirty figures are drawn for ten runs.
        canvas.subplots_adjust(
            left=left / width, right=1 - 12 / width, bottom=42 / height, top=1 - 8 / height
        )
        canvas.patch.set_visible(False)
        draw(canvas)
        for axes in canvas.axes:
            axes.patch.set_visible(False)
        text = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(canvas).print_svg(text, metadata=nothing)  # type: ignore[no-untyped-call]
    root = ElementTree.fromstring(text.getvalue())
    return Markup(_inline(root, name, label))  # every text and attribute in it was escaped


def write(
    axes: Axes, x: float, y: float, text: str, *, right: bool = False, most: int = LONGEST
) -> None:
    """Write text that others chose: a dollar is a dollar, and no control character is left.

    ``x`` is a share of the axes' width, ``y`` a value of their vertical axis.
    """
    axes.text(
        *(x, y, printable(text, most=most)),
        transform=axes.get_yaxis_transform(),
        ha="right" if right else "left",
        va="bottom",
        color=INK,
        parse_math=False,
        clip_on=False,
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1},
    )


def printable(text: str, *, most: int = LONGEST) -> str:
    """Replace what cannot stand in a figure, and shorten the middle of what is very long."""
    shown = "".join(sign if sign.isprintable() else "�" for sign in text)
    if len(shown) <= most:
        return shown
    return f"{shown[: most // 2 - 1]}…{shown[-most // 2 :]}"


def _inline(root: ElementTree.Element, name: str, label: str) -> str:
    used = set(re.findall(r"#(\w+)", " ".join(v for e in root.iter() for v in e.attrib.values())))
    parts: list[str] = []
    _write(root, parts, used, name)
    opening = f'<svg role="img" aria-label="{escape(label)}"'
    return "".join(parts).replace("<svg", opening, 1)


def _write(element: ElementTree.Element, parts: list[str], used: set[str], name: str) -> None:
    tag = _local(element.tag)
    if tag in ("metadata", "style"):
        return
    attributes = _attributes(element, used, name)
    inside = [escape(element.text, quote=False)] if tag == "text" and element.text else []
    for child in element:
        _write(child, inside, used, name)
    if tag in ("g", "defs") and not inside:
        return
    if tag == "g" and not attributes:  # most groups only carry a name for scripts
        parts += inside
        return
    said = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    parts += [f"<{tag}{said}>", *inside, f"</{tag}>"]


def _attributes(element: ElementTree.Element, used: set[str], name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in element.attrib.items():
        if key == "style":
            for declaration in filter(str.strip, value.split(";")):
                property_, _, said = declaration.partition(":")
                found[property_.strip()] = said.strip()
        else:
            found[_local(key)] = value
    if found.get("id") not in used:
        found.pop("id", None)
    if _local(element.tag) == "svg":
        found = {"viewBox": found["viewBox"]}
    if found.get("transform", "").startswith("rotate(-0 "):
        del found["transform"]
    classes = []
    for paint in ("fill", "stroke"):
        tone = TONES.get(found.get(paint, ""))
        if tone:
            del found[paint]
            classes.append(f"{paint[0]}-{tone}")
    kept = {key: _short(value, name) for key, value in found.items() if key in KEPT}
    if "id" in kept:
        kept["id"] = f"{name}-{kept['id']}"
    return {**kept, **({"class": " ".join(classes)} if classes else {})}


def _short(value: str, name: str) -> str:
    """Names of this figure only, two decimals, no line breaks."""
    if "#" in value:
        return re.sub(r"#(?=[a-z])(?![0-9a-f]{6}$)", f"#{name}-", value)
    shorter = re.sub(
        r"-?\d+\.\d+", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value
    )
    return " ".join(shorter.split())


def _local(name: str) -> str:
    return name.rpartition("}")[2]
