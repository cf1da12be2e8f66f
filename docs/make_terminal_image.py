"""Draw what a command printed as an SVG image of a terminal, with fonts of the reader's machine.

    volbench compare | sed '/^Against/,$d' | python docs/make_terminal_image.py TITLE OUT.svg

docs/images/leaderboard.svg shows the two runs of docs/tutorial/real-data.md in this way.
"""

import argparse
import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

FONT_FACES = re.compile(r"@font-face \{\{.*?\}\}\n", re.DOTALL)
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("title")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    options.output.write_text(terminal_image(sys.stdin.read(), options.title), encoding="utf-8")


def terminal_image(text: str, title: str) -> str:
    """The text in a window of its own width; the first line bold, daggers yellow."""
    width = max(map(len, text.splitlines()))
    console = Console(record=True, width=width, file=io.StringIO(), highlight=False)
    shown = Text(text.strip("\n"), no_wrap=True)
    shown.stylize("bold", 0, shown.plain.find("\n"))
    shown.highlight_regex(r"^†.*$|†", "bold yellow")
    console.print(shown)
    image = console.export_svg(title=title, code_format=without_remote_fonts(CONSOLE_SVG_FORMAT))
    return "\n".join(line.rstrip() for line in image.splitlines()) + "\n"


def without_remote_fonts(template: str) -> str:
    """Rich's template loads a font from the web; a page of ours loads nothing."""
    return FONT_FACES.sub("", template).replace("Fira Code, monospace", FONTS)


if __name__ == "__main__":
    main()
