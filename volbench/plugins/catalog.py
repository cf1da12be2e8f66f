"""Catalog of installed components and plugins; imports none of them.

A component's line is the first line of its docstring, read from its source with ``ast``: listing
names must not cost the import of torch, nor run third-party code.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from volbench._utils.text import nearest
from volbench.plugins.discovery import Origin, installed
from volbench.plugins.import_check import SLOW_S, Trial, try_imports
from volbench.plugins.registry import REGISTRIES, Registry
from volbench.plugins.static_check import defect, summary
from volbench.plugins.torchio_transforms import installed_version, random_names

OK = "ok"


@dataclass(frozen=True)
class Item:
    """One thing that can be named: a component or a recipe.

    Attributes:
        name: As it is written in a spec or an option.
        distribution: Who provides it.
        version: Of the distribution.
        summary: One line; empty where the source does not say.
    """

    name: str
    distribution: str
    version: str
    summary: str


@dataclass(frozen=True)
class Plugin:
    """A distribution that provides components, volbench's own among them.

    Attributes:
        distribution: Its name; where it lies, if it cannot say its name.
        version: Its version.
        components: Names by kind.
        state: ``ok``, or ``broken: `` and the reason.
    """

    distribution: str
    version: str
    components: dict[str, tuple[str, ...]]
    state: str = OK


def components(kinds: str) -> list[Item]:
    """List one kind of component (a key of ``registry.REGISTRIES``), by name.

    TorchIO's random transforms are augmentations, after those that distributions declare.
    """
    declared = [
        Item(name, origin.distribution, origin.version, summary(origin.entry))
        for name, origins in sorted(REGISTRIES[kinds].origins.items())
        for origin in origins
    ]
    if kinds != "augmentations":
        return declared
    bridged = random_names()
    return declared + [
        Item(name, "torchio", installed_version(), line) for name, line in bridged.items()
    ]


def plugins(*, trial: bool = False) -> list[Plugin]:
    """List the distributions that provide components, volbench first, then those that cannot.

    Args:
        trial: Import every component of others once, in a process of its own, to tell its state.
    """
    found: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    problems = _problems()
    for kinds, registry in REGISTRIES.items():
        for name, origins in sorted(registry.origins.items()):
            for origin in origins:
                provided = found.setdefault((origin.distribution, origin.version), {})
                provided[kinds] = (*provided.get(kinds, ()), name)
    for origin in installed().origins:
        found.setdefault((origin.distribution, origin.version), {})
    if trial:
        _add_trials(problems)
    listed = [
        Plugin(name, version, provided, _state(problems.get(f"{name} {version}", [])))
        for (name, version), provided in sorted(
            found.items(), key=lambda item: (item[0][0] != "volbench", item[0])
        )
    ]
    return listed + [
        Plugin(one.where, "", {}, f"broken: its metadata cannot be read ({one.reason})")
        for one in installed().unreadable
    ]


def warnings() -> list[str]:
    """Say what is broken: one line for each broken distribution and each name provided twice."""
    found = [str(one) for one in installed().unreadable]
    for registry in REGISTRIES.values():
        for name, origins in sorted(registry.origins.items()):
            if len(origins) > 1 and not origins[0].is_built_in:
                found.append(
                    f"two distributions provide the {registry.kind} {name!r}: "
                    f"{' and '.join(map(str, origins))}; uninstall one"
                )
    for distribution, reasons in _problems(shared=False).items():
        found.append(f"{distribution} is {_state(reasons)}; update or uninstall it")
    return found


def _state(problems: list[str]) -> str:
    if not problems:
        return OK
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"broken: {problems[0]}{more}"


def _problems(*, shared: bool = True) -> dict[str, list[str]]:
    """What the eye can see to be wrong, by distribution.

    Args:
        shared: Name clashes between two plugins too, which are nobody's alone.
    """
    found: dict[str, list[str]] = {}
    for registry, origin in _origins():
        if reason := _problem(registry, origin, shared=shared):
            found.setdefault(str(origin), []).append(reason)
    known = [registry.group for registry in REGISTRIES.values()]
    for origin in installed().origins:
        if origin.entry.group not in known:
            near = nearest(origin.entry.group, known)
            hint = f"; did its authors mean {near!r}?" if near else ""
            found.setdefault(str(origin), []).append(
                f"{origin.entry.name!r} is declared under {origin.entry.group!r}, "
                f"which is no kind of component{hint}"
            )
    return found


def _problem(registry: Registry, origin: Origin, *, shared: bool) -> str | None:
    name, what = origin.entry.name, f"{registry.kind} {origin.entry.name!r}"
    others = [other for other in registry.origins[name] if other is not origin]
    if others and others[0].is_built_in:
        return f"{what} has the name of volbench's own, which is used instead"
    if reason := defect(origin.entry):
        return f"{what} {reason}"
    if others and shared and not origin.is_built_in:
        return f"{what} has the name of that of {others[0]}"
    return None


def _origins() -> Iterator[tuple[Registry, Origin]]:
    for registry in REGISTRIES.values():
        for _, origins in sorted(registry.origins.items()):
            for origin in origins:
                yield registry, origin


def _add_trials(problems: dict[str, list[str]]) -> None:
    """Import what nothing is known against; say what came of it."""
    candidates = [
        (registry, origin)
        for registry, origin in _origins()
        if not origin.is_built_in and not _problem(registry, origin, shared=False)
    ]
    if not candidates:
        return
    trials = try_imports([origin for _, origin in candidates])
    for (registry, origin), trial in zip(candidates, trials, strict=True):
        problems.setdefault(str(origin), []).extend(complaints(registry.kind, origin, trial))


def complaints(kind: str, origin: Origin, trial: Trial) -> Iterator[str]:
    """What speaks against a component after its trial import, one line each."""
    what = f"{kind} {origin.entry.name!r}"
    if trial.error:
        text = trial.error.removeprefix(f"the {what} of {origin} ").rpartition("; ")
        yield f"{what} {text[0] or text[2]}"
    for offence in trial.offences:
        yield f"{what}, when imported, {offence}"
    if trial.error is None and trial.seconds > SLOW_S:
        yield f"{what} takes {trial.seconds:.0f} s to import; import what is heavy when it is used"
