r"""Signs that an output's encoding lacks, as plain ones: a line of dashes stays a line of dashes.

A pipe on Windows is cp1252, which has † and ± but no rules: eighty ``\u2500`` a line wreck a table.
"""

import codecs

PLAIN = {
    "─": "-", "━": "-", "│": "|", "┃": "|", "├": "|", "└": "`", "–": "-", "−": "-", "…": "...",
    "±": "+/-", "×": "x", "·": ".", "†": "+", "‡": "++", "≤": "<=", "≥": ">=", "→": "->", "•": "*",
    "“": '"', "”": '"', "‘": "'", "’": "'", "☐": "[ ]", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip
HANDLER = "volbench.plain"


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace what cannot be encoded; a sign without a plain one is shown as an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    shown = (
        PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode("ascii")
        for sign in wrong
    )
    return "".join(shown), error.end


codecs.register_error(HANDLER, _plain)
