"""Table as LaTeX with booktabs, all text escaped."""

from collections.abc import Sequence

from volbench._utils.text import printable
from volbench.leaderboard.render.terminal import Cells, kind_of

PREAMBLE = "% \\usepackage{booktabs}, and \\usepackage[T1]{fontenc} for < and >\n"

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "†": r"\textdagger{}",
    "[": "{[}",
    "]": "{]}",
}


def latex(title: str, cells: Cells, notes: Sequence[str]) -> str:
    """Write a table; its notes stand beneath in small print."""
    lines = [r"\begin{table}[htbp]", r"\centering", rf"\caption{{{escape(title)}}}"]
    if cells:
        sides = "".join("r" if kind_of(name) == "number" else "l" for name in cells)
        lines += [r"\small", rf"\begin{{tabular}}{{{sides}}}", r"\toprule", _line(list(cells))]
        lines += [r"\midrule", *map(_line, zip(*cells.values(), strict=True)), r"\bottomrule"]
        lines.append(r"\end{tabular}")
    lines += [rf"\par\smallskip\footnotesize {escape(note)}" for note in notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    r"""Escape what means something to LaTeX, and control characters; lines become one.

    >>> escape("50 % of a_b")
    '50 \\% of a\\_b'
    """
    return "".join(ESCAPES.get(sign, sign) for sign in printable(" ".join(text.split())))


def _line(texts: Sequence[str]) -> str:
    return " & ".join(map(escape, texts)) + r" \\"
