"""TOML that anybody may have written: read, or refused in one line."""

import tomllib
from typing import Any

from volbench.errors import SpecError


def read_toml(text: str, what: str) -> dict[str, Any]:
    """Read a TOML text.

    Args:
        text: The whole of it.
        what: What it is, for the message.

    Raises:
        SpecError: it is no TOML, is nested too deeply, or has a number of too many digits.

    >>> read_toml("a = 1", "recipe 'x'")
    {'a': 1}
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SpecError(f"{what} is nested too deeply; write it flatter") from None
    except ValueError as error:  # a number beyond Python's limit is no TOMLDecodeError
        reason = str(error).split(";")[0]
        raise SpecError(f"{what} is not valid TOML: {reason}") from None


def shown(value: object, most: int = 80) -> str:
    """A value as a message shows it: cut where it is long, also where Python cannot write it out.

    >>> shown("a" * 100, most=8)
    "'aaaa..."
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= most else f"{text[: most - 3]}..."
