"""Values of a ``Literal``, checked where a caller from Python may give any text."""

from typing import Any, get_args

from volbench._utils.text import suggestion
from volbench.errors import UsageError


def require_choice(name: str, value: object, kind: Any) -> None:
    """Refuse what is none of the values of a ``Literal``; None stands for the default.

    Raises:
        UsageError: naming the argument, the value and the nearest one or all.

    >>> from typing import Literal
    >>> require_choice("unit", "volume", Literal["slice", "case"])
    Traceback (most recent call last):
    volbench.errors.UsageError: unit 'volume' is not known; known: slice, case
    """
    known = get_args(kind)
    if value is not None and value not in known:
        raise UsageError(f"{name} {value!r} is not known; {suggestion(str(value), known)}")
