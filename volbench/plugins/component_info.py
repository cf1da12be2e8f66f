"""Component information: provider, signature, search space, source file and citations."""

import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from volbench._utils.text import nearest
from volbench.errors import PluginError, SpecError, UnknownComponentError
from volbench.plugins.registry import REGISTRIES, Registry, source_of, timm_hint
from volbench.plugins.torchio_transforms import (
    installed_version,
    is_bridged,
    options_of,
    random_names,
    transform_class,
)
from volbench.spec import Spec, parse

CITATIONS = (
    (re.compile(r"\barXiv:(\d{4}\.\d{4,5})", re.IGNORECASE), "https://arxiv.org/abs/{}"),
    (re.compile(r"\bdoi:(10\.\d{4,}/[^\s,;)]+[^\s,;).])", re.IGNORECASE), "https://doi.org/{}"),
    (re.compile(r"(https?://[^\s,;)>]+[^\s,;)>.])"), "{}"),
)


@dataclass(frozen=True)
class ComponentInfo:
    """What is known of one component without running it.

    Attributes:
        kind: encoder, aggregator, loss, augmentation or dataset.
        name: The spec asked for.
        provider: Distribution and version.
        signature: With defaults.
        shared_options: What it takes beside them, as every component of its kind does.
        search_space: Where its author would look for good values, by option.
        summary: First paragraph of its documentation.
        origin: The same of its module's: what it is and where it is from.
        source: ``module:name``.
        file: Where that stands, with the line.
        citations: Links found in its documentation and its module's.
    """

    kind: str
    name: str
    provider: str
    signature: str
    shared_options: str
    search_space: dict[str, str]
    summary: str
    origin: str
    source: str
    file: str
    citations: tuple[str, ...]


def describe(
    text: str, *, shared_options: Mapping[str, Mapping[str, object]] = MappingProxyType({})
) -> tuple[ComponentInfo, ...]:
    """Describe the components that a spec names, one of each kind that has the name.

    Args:
        text: A name, or a spec with arguments such as ``timm(name="resnet50")``.
        shared_options: By kind, options and defaults of what every component of it takes.

    Raises:
        SpecError: the text is no spec, or its arguments fit no component of that name.
        UnknownComponentError: no component has the name; names the nearest one.
        PluginError: the component cannot be imported or built.
    """
    spec = parse(text)
    if is_bridged(spec.name):
        return (_describe_transform(spec),)
    found = _sound([registry for registry in REGISTRIES.values() if spec.name in registry], spec)
    if not found:
        raise UnknownComponentError(_unknown(spec.name))
    shared = {registry.kind: shared_options.get(registry.kind, {}) for registry in found}
    fitting = [one for one in found if _fits(one, spec, shared[one.kind])]
    if not fitting:
        signatures = " or ".join(_signature(registry, spec.name) for registry in found)
        raise SpecError(f"{spec}: the arguments do not fit; the signature is {signatures}")
    return tuple(_describe(one, spec, shared[one.kind]) for one in fitting)


def _sound(found: list[Registry], spec: Spec) -> list[Registry]:
    """Those whose component can be imported; a broken one of another kind stands in nobody's way.

    Raises:
        PluginError: there are some, and none can be imported.
    """
    sound, errors = [], []
    for registry in found:
        try:
            registry.signature(spec.name)
        except PluginError as error:
            errors.append(error)
        else:
            sound.append(registry)
    if errors and not sound:
        raise errors[0]
    return sound


def _unknown(name: str) -> str:
    near = nearest(name, [name for registry in REGISTRIES.values() for name in registry])
    hint = f"Did you mean {near!r}?" if near else "`volbench list` shows what is installed."
    hint = timm_hint(name) or hint
    return f"Unknown component {name!r}. {hint}"


def _describe(registry: Registry, spec: Spec, shared: Mapping[str, object]) -> ComponentInfo:
    factory = registry[spec.name]
    module = getattr(factory, "__module__", None) or type(factory).__module__
    documentation = inspect.cleandoc(factory.__doc__ or "")
    about_module = inspect.cleandoc(getattr(sys.modules.get(module), "__doc__", None) or "")
    return ComponentInfo(
        kind=registry.kind,
        name=str(spec),
        provider=registry.provider(spec.name),
        signature=_signature(registry, spec.name),
        shared_options=", ".join(
            f"{option}={default!r}"
            for option, default in shared.items()
            if option not in registry.signature(spec.name).parameters
        ),
        search_space={
            option: str(space) for option, space in registry.search_space(spec.name).items()
        },
        summary=_first_paragraph(documentation),
        origin=_first_paragraph(about_module),
        source=f"{module}:{getattr(factory, '__qualname__', spec.name)}",
        file=source_of(factory) or "no source file",
        citations=_citations(f"{documentation}\n{about_module}"),
    )


def _describe_transform(spec: Spec) -> ComponentInfo:
    """Describe a transform of TorchIO from its own documentation."""
    transform = transform_class(spec.name)
    documentation = inspect.cleandoc(transform.__doc__ or "")
    shown = ", ".join(map(str, options_of(transform).values()))
    about, _, options = documentation.partition("\nArgs:")
    return ComponentInfo(
        kind="augmentation" if spec.name in random_names() else "transform",
        name=str(spec),
        provider=f"torchio {installed_version()}",
        signature=f"{spec.name}({shown})",
        shared_options="",
        search_space={},
        summary=_first_paragraph(documentation),
        origin=" ".join(f"{about.partition(chr(10))[2]} Options: {options}".split()),
        source=f"{transform.__module__}:{transform.__qualname__}",
        file=source_of(transform) or "no source file",
        citations=_citations(documentation),
    )


def _fits(registry: Registry, spec: Spec, shared: Mapping[str, object]) -> bool:
    signature = registry.signature(spec.name)
    own = {
        option: value
        for option, value in spec.kwargs.items()
        if option in signature.parameters or option not in shared
    }
    try:
        signature.bind_partial(**own)
    except TypeError:
        return False
    return True


def _signature(registry: Registry, name: str) -> str:
    signature = registry.signature(name)
    return f"{name}{signature.replace(return_annotation=inspect.Signature.empty)}"


def _first_paragraph(documentation: str) -> str:
    return " ".join(documentation.partition("\n\n")[0].split())


def _citations(documentation: str) -> tuple[str, ...]:
    links = [
        link.format(match)
        for pattern, link in CITATIONS
        for match in pattern.findall(documentation)
    ]
    return tuple(dict.fromkeys(links))
