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
        sources: Module that holds each name; ``module:name`` where it has another name there. A
            module of the package may be named as itself.

    >>> getter, lister = lazy_attributes("numbers", {"sqrt": "math", "root": "math:sqrt"})
    >>> getter("sqrt")(9.0), getter("root")(4.0), lister()
    (3.0, 2.0, ['root', 'sqrt'])
    """

    def get(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        path, _, there = sources[name].partition(":")
        module = import_module(path)
        return module if path == f"{package}.{name}" else getattr(module, there or name)

    return get, lambda: sorted(sources)
