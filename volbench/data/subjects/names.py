"""Names of cases, patients and columns: what no table can hold and no terminal should show."""

from volbench._utils.text import printable
from volbench.interfaces import Case


def unprintable(case: Case) -> str | None:
    """Say which text of a case holds a control character, and what to do; None if none does."""
    texts = [("name", case.name), ("patient", case.patient), ("label", case.label)]
    texts += [("fold", case.fold or ""), *(("column", name) for name in case.strata)]
    texts += [(f"stratum {printable(name)}", text) for name, text in case.strata.items()]
    for what, text in texts:
        if text != printable(text):
            return (
                f"case {printable(case.name)}: its {what} '{printable(text)}' holds a control "
                "character; write it without"
            )
    return None
