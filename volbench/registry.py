"""Registries: named factories found through entry points, imported only when used.

A component is a factory under ``[project.entry-points."volbench.<kinds>"]``; volbench's own are
declared the same way in its pyproject.toml.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any, TypeVar

from volbench.errors import PluginError, SpecError, UnknownComponentError, VolbenchError
from volbench.spec import Spec, parse

Factory = Callable[..., Any]
Component = TypeVar("Component")


@dataclass(frozen=True)
class Origin:
    """The distribution that provides a component."""

    distribution: str
    version: str
    entry: EntryPoint

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Installed:
    """What one walk over the installed distributions found."""

    origins: tuple[Origin, ...]
    warnings: tuple[str, ...]


def scan_distributions() -> Installed:
    """Find every volbench component; one unreadable distribution never hides the others."""
    origins: dict[tuple[str, str, str, str], Origin] = {}
    warnings: list[str] = []
    for distribution in distributions():
        try:
            for origin in _origins(distribution):
                entry = origin.entry
                key = (origin.distribution, entry.group, entry.name, entry.value)
                origins.setdefault(key, origin)  # one distribution may be on the path twice
        except Exception as error:
            where = getattr(distribution, "_path", "an unnamed distribution")
            reason = _on_one_line(error)
            warnings.append(f"skipped {where}: its metadata cannot be read ({reason})")
    return Installed(tuple(origins.values()), tuple(warnings))


def _origins(distribution: Distribution) -> Iterator[Origin]:
    for entry in distribution.entry_points:
        if entry.group.startswith("volbench."):
            name = distribution.metadata["Name"]
            if not name:
                raise ValueError("it does not say its name")
            yield Origin(name, distribution.version, entry)


class Registry(Mapping[str, Factory]):
    """All components of one kind, by name.

    Args:
        kind: What one component is called in messages.
        group: The entry-point group they are found under.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._added: dict[str, Factory] = {}

    @cached_property
    def origins(self) -> Mapping[str, tuple[Origin, ...]]:
        """Who provides each name; more than one is an error when the name is used."""
        found: dict[str, tuple[Origin, ...]] = {}
        for origin in installed().origins:
            if origin.entry.group == self.group:
                found[origin.entry.name] = (*found.get(origin.entry.name, ()), origin)
        return found

    def __getitem__(self, name: str) -> Factory:
        if name in self._added:
            return self._added[name]
        if name not in self.origins:
            raise UnknownComponentError(self._unknown(name))
        return self._load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self.origins, *self._added}))

    def __len__(self) -> int:
        return len({*self.origins, *self._added})

    def __contains__(self, name: object) -> bool:
        return name in self._added or name in self.origins

    def build(self, spec: Spec | str, base: type[Component], /, *context: object) -> Component:
        """Call the factory that ``spec`` names.

        Raises:
            UnknownComponentError: no such name, with the nearest one.
            SpecError: the arguments do not fit the factory's signature, or it refuses a value.
            PluginError: the component cannot be imported or built, or is not a ``base``.
        """
        spec = parse(spec) if isinstance(spec, str) else spec
        factory = self[spec.name]
        signature = inspect.signature(factory)
        try:
            bound = signature.bind(*context, **spec.kwargs)
        except TypeError as error:
            raise SpecError(
                f"{self.kind} {spec}: {error}; its signature is {spec.name}{_options(signature)}"
            ) from None
        try:
            component = factory(*bound.args, **bound.kwargs)
        except (ValueError, TypeError) as error:
            raise SpecError(f"{self.kind} {spec}: {error}") from error
        except VolbenchError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self.kind} {spec} of {self._provider(spec.name)} cannot be built "
                f"({_on_one_line(error)}); update or uninstall it"
            ) from error
        if not isinstance(component, base):
            raise PluginError(
                f"{self.kind} {spec} is a {type(component).__name__}, not a {base.__name__}; "
                f"tell the authors of {self._provider(spec.name)}"
            )
        return component

    @contextmanager
    def adding(self, **factories: Factory) -> Iterator[None]:
        """Add components for the duration of a ``with`` block (tests, notebooks)."""
        before = dict(self._added)
        self._added.update(factories)
        try:
            yield
        finally:
            self._added = before

    def _load(self, name: str) -> Factory:
        providers = self.origins[name]
        if len(providers) > 1:
            raise PluginError(
                f"two distributions provide the {self.kind} {name!r}: "
                f"{' and '.join(map(str, providers))}; uninstall one"
            )
        try:
            factory: Factory = providers[0].entry.load()
        except (Exception, SystemExit) as error:  # a plugin may even call sys.exit on import
            raise PluginError(
                f"the {self.kind} {name!r} of {providers[0]} cannot be imported "
                f"({_on_one_line(error)}); update or uninstall it"
            ) from error
        if not callable(factory):
            raise PluginError(f"the {self.kind} {name!r} of {providers[0]} is not callable")
        return factory

    def _provider(self, name: str) -> str:
        return str(self.origins[name][0]) if name in self.origins else "this process"

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name, self, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"Unknown {self.kind} {name!r}.{hint} Installed: {', '.join(self) or 'none'}."


def _on_one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _options(signature: inspect.Signature) -> str:
    """Show the part of a signature that a spec can fill."""
    options = [
        str(parameter)
        for parameter in signature.parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    return f"({', '.join(options)})"


@cache
def installed() -> Installed:
    """Find the components, once per process."""
    return scan_distributions()


encoders = Registry("encoder", "volbench.encoders")
aggregators = Registry("aggregator", "volbench.aggregators")
losses = Registry("loss", "volbench.losses")
augmentations = Registry("augmentation", "volbench.augmentations")
datasets = Registry("dataset", "volbench.datasets")

REGISTRIES: Mapping[str, Registry] = {
    "encoders": encoders,
    "aggregators": aggregators,
    "losses": losses,
    "augmentations": augmentations,
    "datasets": datasets,
}
