"""Registries: named factories found through entry points, imported only when used.

A component is a factory under ``[project.entry-points."volbench.<kinds>"]``; volbench's own are
declared the same way in its pyproject.toml.
"""

import inspect
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from volbench._utils.network_error import is_network_error
from volbench._utils.text import nearest
from volbench.errors import PluginError, SpecError, UnknownComponentError, VolbenchError
from volbench.plugins.discovery import Origin, installed, on_one_line
from volbench.plugins.import_timeout import import_limit
from volbench.plugins.isolation import isolated
from volbench.plugins.other_names import other_name, written_otherwise
from volbench.plugins.signatures import check_types, declared_search_space, option_types
from volbench.spec import Spec, parse

TIMM = re.compile(
    r"(se|legacy_se|res|wide_)?resne[tx]t?|(tf_)?(efficient|mobile|dense|reg|ghost|nf|hr|dpn|vgg)net"
    r"|(max)?vit|convnext|swin|deit|beit|eva|inception|xception|vgg|dla|dpn|mixer|coat|poolformer",
    re.IGNORECASE,
)
"""What names of timm's backbones begin with; timm itself takes seconds to import."""

logger = logging.getLogger(__name__)

Factory = Callable[..., Any]
Component = TypeVar("Component")

if TYPE_CHECKING:
    Named: TypeAlias = Mapping[str, Factory]
else:
    Named = Mapping  # a checker at run time would look at a value, and so import a component


class Registry(Named):
    """All components of one kind, by name.

    Args:
        kind: What one component is called in messages.
        group: The entry-point group they are found under.

    Attributes:
        offences: By name, what was put back after a component was imported or built last.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self.offences: dict[str, list[str]] = {}
        self._added: dict[str, Factory] = {}
        self._loaded: dict[Origin, Factory] = {}

    @cached_property
    def origins(self) -> Mapping[str, tuple[Origin, ...]]:
        """Who provides each name, volbench first; several others are an error when it is used."""
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
        return self.load(self.origin(name))

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
        signature = self.signature(spec.name)
        try:
            bound = signature.bind(*context, **spec.kwargs)
        except TypeError as error:
            raise SpecError(
                f"{self.kind} {spec}: {error}{_nearest_option(spec, signature)}; "
                f"its signature is {spec.name}{_options(signature)}"
            ) from None
        try:
            check_types(factory, spec)
            with isolated(may_draw=True) as seen:
                self.offences[spec.name] = seen.offences
                component = factory(*bound.args, **bound.kwargs)
        except VolbenchError:
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, ValueError) or _may_be_the_values(error, factory, spec):
                raise SpecError(f"{self.kind} {spec}: {error}") from error
            raise PluginError(
                f"{self.kind} {spec} of {self.provider(spec.name)} cannot be built "
                f"({on_one_line(error)}); {_way_out(error)}"
            ) from error
        if not isinstance(component, base):
            raise PluginError(
                f"{self.kind} {spec} is a {type(component).__name__}, not a {base.__name__}; "
                f"tell the authors of {self.provider(spec.name)}"
            )
        return component

    def signature(self, name: str) -> inspect.Signature:
        """How the factory called ``name`` is called.

        Raises:
            PluginError: it cannot be imported, or does not say how it is called.
        """
        try:
            return inspect.signature(self[name])
        except (TypeError, ValueError) as error:
            raise PluginError(
                f"the {self.kind} {name!r} of {self.provider(name)} does not say how it is called "
                f"({on_one_line(error)}); update or uninstall it"
            ) from None

    def search_space(self, name: str) -> Mapping[str, Spec]:
        """Where its author would look for good values of options: option to search space.

        Raises:
            PluginError: it cannot be imported, or what it declares is no search space.
        """
        factory = self[name]
        try:
            return declared_search_space(factory)
        except ValueError as error:
            raise PluginError(
                f"the {self.kind} {name!r} of {self.provider(name)}: {error}; tell its authors"
            ) from None

    @contextmanager
    def adding(self, **factories: Factory) -> Iterator[None]:
        """Add components for the duration of a ``with`` block (tests, notebooks)."""
        before = dict(self._added)
        self._added.update(factories)
        try:
            yield
        finally:
            self._added = before

    def origin(self, name: str) -> Origin:
        """Who is asked for ``name``: volbench for its own names, which nobody can take over.

        Raises:
            PluginError: two other distributions provide it.
        """
        first, *others = self.origins[name]
        if others and not first.is_built_in:
            raise PluginError(
                f"two distributions provide the {self.kind} {name!r}: "
                f"{' and '.join(map(str, (first, *others)))}; uninstall one"
            )
        return first

    def provider(self, name: str) -> str:
        """Name and version of the distribution that provides ``name``, for messages."""
        return str(self.origins[name][0]) if self._is_installed(name) else "this process"

    def is_built_in(self, name: str) -> bool:
        """Whether ``name`` is volbench's own."""
        return self._is_installed(name) and self.origins[name][0].is_built_in

    def load(self, origin: Origin) -> Factory:
        """Import a factory once, under guard: what that changes of the process is put back.

        Raises:
            PluginError: it cannot be imported, or cannot be called.
        """
        if origin in self._loaded:
            return self._loaded[origin]
        what = f"the {self.kind} {origin.entry.name!r} of {origin}"
        if EntryPoint.pattern.match(origin.entry.value) is None:
            raise PluginError(
                f"{what} is declared as {origin.entry.value!r}, not as module:name; "
                "update or uninstall it"
            )
        with isolated() as seen:
            self.offences[origin.entry.name] = seen.offences
            try:
                with nullcontext() if origin.is_built_in else import_limit(what):
                    factory: Factory = origin.entry.load()
            except BaseException as error:  # a plugin may even call sys.exit on import
                if seen.signalled:  # but a person's Ctrl-C is none of its doing
                    raise
                raise PluginError(
                    f"{what} cannot be imported ({on_one_line(error)}); {_way_out(error, origin)}"
                ) from error
        if not callable(factory):
            raise PluginError(f"{what} is not callable")
        logger.debug("imported %s", what)
        return self._loaded.setdefault(origin, factory)

    def _is_installed(self, name: str) -> bool:
        return name in self.origins and name not in self._added

    def _unknown(self, name: str) -> str:
        if others := kinds_of(name):
            known = " and ".join(f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}" for kind in others)
            hint = f" {name!r} is {known}, not {self._article()}."
        elif (same := other_name(self.group, name)) and same in self:
            hint = f" Did you mean {same!r}?"
        elif (written := written_otherwise(self.group, name)) or (
            self.group == "volbench.encoders" and (written := timm_hint(name))
        ):
            hint = f" {written}"
        else:
            near = nearest(name, self)
            hint = f" Did you mean {near!r}?" if near else ""
        return f"Unknown {self.kind} {name!r}.{hint} Installed: {', '.join(self) or 'none'}."

    def _article(self) -> str:
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"


def timm_hint(name: str) -> str:
    """How a backbone of timm is written; empty for a name that is not like one of them."""
    return f'Backbones of timm are written timm(name="{name}").' if TIMM.match(name) else ""


def source_of(factory: Factory) -> str:
    """File and line that define a component; empty for one that is compiled or typed at a prompt.

    >>> source_of(nearest).rpartition("/")[2].partition(":")[0]
    'text.py'
    """
    factory = inspect.unwrap(factory)
    try:
        return f"{inspect.getsourcefile(factory)}:{inspect.getsourcelines(factory)[1]}"
    except (OSError, TypeError):
        return ""


def require_features(component: object, registry: Registry, spec: Spec) -> None:
    """Refuse an encoder or aggregator that does not say the length of what it returns.

    Raises:
        PluginError: ``num_features`` is missing or no positive whole number.
    """
    value = getattr(component, "num_features", None)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return
    said = "has no num_features" if value is None else f"has num_features={value!r}"
    place = source_of(registry[spec.name])
    raise PluginError(
        f"{registry.kind} {spec} of {registry.provider(spec.name)} {said}; its __init__ must set "
        "it to the length of the vectors it returns, a positive whole number"
        f"{f' ({place})' if place else ''}"
    )


def _way_out(error: BaseException, origin: Origin | None = None) -> str:
    if is_network_error(error):
        return "connect to the network once, so that what it needs is kept, or leave it out"
    if origin is not None and isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top != origin.entry.module.partition(".")[0]:
            return f"install what provides {top!r}, or uninstall it"
    return "update or uninstall it"


def _may_be_the_values(error: BaseException, factory: Factory, spec: Spec) -> bool:
    """Whether a TypeError can be due to a value that no annotation has vouched for."""
    unchecked = spec.kwargs.keys() - option_types(factory).keys()
    return isinstance(error, TypeError) and bool(unchecked)


def _nearest_option(spec: Spec, signature: inspect.Signature) -> str:
    """A suggestion for the first option of ``spec`` that the signature does not have."""
    known = [each.name for each in _keywords(signature)]
    unknown = [name for name in spec.kwargs if name not in known]
    near = nearest(unknown[0], known) if unknown else None
    return f" (did you mean {near!r}?)" if near else ""


def _keywords(signature: inspect.Signature) -> list[inspect.Parameter]:
    """The part of a signature that a spec can fill."""
    return [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def _options(signature: inspect.Signature) -> str:
    return f"({', '.join(map(str, _keywords(signature)))})"


def kinds_of(name: str) -> list[str]:
    """The kinds of component that have a name, in words."""
    return [registry.kind for registry in REGISTRIES.values() if name in registry]


encoders = Registry("encoder", "volbench.encoders")
aggregators = Registry("aggregator", "volbench.aggregators")
losses = Registry("loss", "volbench.losses")
augmentations = Registry("augmentation", "volbench.augmentations")
datasets = Registry("dataset", "volbench.datasets")
executors = Registry("executor", "volbench.executors")
trackers = Registry("tracker", "volbench.trackers")

REGISTRIES: Mapping[str, Registry] = {
    "encoders": encoders,
    "aggregators": aggregators,
    "losses": losses,
    "augmentations": augmentations,
    "datasets": datasets,
    "executors": executors,
    "trackers": trackers,
}
