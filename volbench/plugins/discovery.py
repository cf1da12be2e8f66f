"""Discovery of entry points in the installed distributions."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

BUILT_IN = "volbench"
"""The distribution whose components cannot be taken over by another."""

CHECKOUT = Path(__file__).parents[2] / "pyproject.toml"
"""Where the project file is if this is a checkout."""


@dataclass(frozen=True)
class Origin:
    """The distribution that provides a component."""

    distribution: str
    version: str
    entry: EntryPoint

    @property
    def is_built_in(self) -> bool:
        """Whether it is volbench's own."""
        return self.distribution == BUILT_IN

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Unreadable:
    """A distribution that cannot say what it provides."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"skipped {self.where}: its metadata cannot be read ({self.reason})"


@dataclass(frozen=True)
class Installed:
    """What one walk over the installed distributions found."""

    origins: tuple[Origin, ...]
    unreadable: tuple[Unreadable, ...]


@cache
def installed() -> Installed:
    """Find the components, once per process."""
    return scan_distributions()


def scan_distributions() -> Installed:
    """Find every volbench component; one unreadable distribution never hides the others.

    Of two distributions with one name, the first on the path counts, as it does for imports.
    """
    found: dict[str, list[Origin]] = {}
    unreadable: list[Unreadable] = []
    for distribution in distributions():
        try:
            origins = list(_origins(distribution))
        except Exception as error:
            where = getattr(distribution, "_path", "an unnamed distribution")
            unreadable.append(Unreadable(str(where), on_one_line(error)))
            continue
        if origins:
            found.setdefault(_normalised(origins[0].distribution), origins)
    if BUILT_IN not in found and (own := _of_checkout(CHECKOUT)):
        found[BUILT_IN] = own
    ordered = sorted(
        (origin for origins in found.values() for origin in origins),
        key=lambda origin: not origin.is_built_in,
    )
    return Installed(tuple(ordered), tuple(unreadable))


def _of_checkout(project: Path) -> list[Origin]:
    """Read what volbench itself provides from its project file: a checkout is not installed."""
    try:
        declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, ValueError):
        return []
    if declared.get("name") != BUILT_IN:
        return []
    version = str(declared.get("version", "checkout"))
    return [
        Origin(BUILT_IN, version, EntryPoint(name, value, group))
        for group, entries in declared.get("entry-points", {}).items()
        if group.startswith("volbench.")
        for name, value in entries.items()
    ]


def _origins(distribution: Distribution) -> Iterator[Origin]:
    seen: set[EntryPoint] = set()
    for entry in distribution.entry_points:
        if entry.group.startswith("volbench.") and entry not in seen:
            seen.add(entry)
            name = distribution.metadata["Name"]
            if not name:
                raise ValueError("it does not say its name")
            yield Origin(name, distribution.version, entry)


def _normalised(name: str) -> str:
    """How an index compares names: ``Volbench_MIL`` is ``volbench-mil``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def on_one_line(error: BaseException) -> str:
    """Type and text of an error; a plugin's error may even fail to say what it is."""
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be made"
    text = " ".join(f"{type(error).__name__}: {text}".split())
    return text if len(text) <= 300 else text[:297] + "..."
