"""Errors of a network that is not there, whichever library says so."""

from collections.abc import Iterator

CLIENTS = ("aiohttp", "httpcore", "httpx", "huggingface_hub", "requests", "urllib")
"""Without the digits of a version (urllib3, httpx2); what their errors have in common is a name."""
WORDS = ("connect", "timeout", "resolution", "urlerror", "gaierror", "offline", "localentry")


def is_network_error(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, says that something cannot be reached.

    >>> import socket
    >>> is_network_error(socket.gaierror(-2, "Name or service not known"))
    True
    >>> is_network_error(FileNotFoundError(2, "No such file")), is_network_error(ValueError("x"))
    (False, False)
    """
    return any(_is_one(each) for each in _chain(error))


def _is_one(error: BaseException) -> bool:
    kind = type(error)
    if isinstance(error, ConnectionError) or kind.__name__ == "gaierror":
        return True
    library = kind.__module__.partition(".")[0].rstrip("0123456789")
    return library in CLIENTS and any(word in kind.__name__.lower() for word in WORDS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in seen:
        seen.append(now)
        yield now
        now = now.__cause__ or now.__context__
