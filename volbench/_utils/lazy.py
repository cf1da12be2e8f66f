"""Lazy attributes of a package (PEP 562): imported when first used, listed by ``dir``."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_attributes(
    package: str, sources: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package whose names live elsewhere.

    Args:
        package: ``__name__`` of the package.
        sources: Module that holds each name.

    >>> getter, lister = lazy_attributes("numbers", {"sqrt": "math"})
    >>> getter("sqrt")(9.0), lister()
    (3.0, ['sqrt'])
    """

    def get(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(sources[name]), name)

    return get, lambda: sorted(sources)
