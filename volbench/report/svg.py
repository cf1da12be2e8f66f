"""Matplotlib figures as inline SVG that takes its colours and its font from the page around it.

No style attribute is left, so that a page needs no ``unsafe-inline``; colours become classes, so
that one figure serves a light and a dark page and paper; nothing in it depends on the day.
"""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import astuple
from html import escape
from typing import TypeAlias
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from volbench.report.drawings import UNITS_PER_INCH
from volbench.report.palette import PAGE, TONES

INK, MUTED, FAINT, ACCENT, SECOND, THIRD, FOURTH, PAPER = astuple(PAGE)

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
    with matplotlib.rc_context(PAGE.settings()), warnings.catch_warnings():
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
