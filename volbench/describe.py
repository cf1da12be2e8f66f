"""What `volbench info` tells of a component: where it is from, how it is called, what it costs."""

import inspect
import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches

from volbench.errors import SpecError, UnknownComponentError
from volbench.interfaces import Encoder
from volbench.profile import Profile, profile_encoder
from volbench.registry import REGISTRIES, Factory, Registry
from volbench.spec import Spec, parse

CITATIONS = (
    (re.compile(r"\barXiv:(\d{4}\.\d{4,5})", re.IGNORECASE), "https://arxiv.org/abs/{}"),
    (re.compile(r"\bdoi:(10\.\d{4,}/[^\s,;)]+[^\s,;).])", re.IGNORECASE), "https://doi.org/{}"),
    (re.compile(r"(https?://[^\s,;)>]+[^\s,;)>.])"), "{}"),
)


@dataclass(frozen=True)
class Description:
    """One component.

    Attributes:
        kind: encoder, aggregator, loss, augmentation or dataset.
        name: The spec asked for.
        provider: Distribution and version.
        signature: With defaults.
        summary: First paragraph of its documentation.
        origin: The same of its module's: what it is and where it is from.
        source: ``module:name``.
        file: Where that stands, with the line.
        citations: Links found in its documentation and its module's.
        profile: Figures, of encoders only.
    """

    kind: str
    name: str
    provider: str
    signature: str
    summary: str
    origin: str
    source: str
    file: str
    citations: tuple[str, ...]
    profile: Profile | None = None


def describe(text: str, *, in_channels: int = 1) -> tuple[Description, ...]:
    """Describe the components that a spec names, one of each kind that has the name.

    Args:
        text: A name, or a spec with arguments such as ``timm(name="resnet50")``.
        in_channels: Channels an encoder is built for, to be measured.

    Raises:
        SpecError: the text is no spec, or its arguments fit no component of that name.
        UnknownComponentError: no component has the name; names the nearest one.
        PluginError: the component cannot be imported or built.
    """
    spec = parse(text)
    found = [registry for registry in REGISTRIES.values() if spec.name in registry]
    if not found:
        names = sorted({name for registry in REGISTRIES.values() for name in registry})
        near = get_close_matches(spec.name, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "`volbench list` shows what is installed."
        raise UnknownComponentError(f"Unknown component {spec.name!r}. {hint}")
    fitting = [registry for registry in found if _fits(registry[spec.name], spec)]
    if not fitting:
        signatures = " or ".join(_signature(spec.name, registry[spec.name]) for registry in found)
        raise SpecError(f"{spec}: the arguments do not fit; the signature is {signatures}")
    return tuple(_describe(registry, spec, in_channels) for registry in fitting)


def _describe(registry: Registry, spec: Spec, in_channels: int) -> Description:
    factory = registry[spec.name]
    module = sys.modules[factory.__module__]
    documentation = inspect.cleandoc(factory.__doc__ or "")
    about_module = inspect.cleandoc(module.__doc__ or "")
    profile = None
    if registry is REGISTRIES["encoders"]:
        profile = profile_encoder(registry.build(spec, Encoder, in_channels), in_channels)
    return Description(
        kind=registry.kind,
        name=str(spec),
        provider=_provider(registry, spec.name),
        signature=_signature(spec.name, factory),
        summary=_first_paragraph(documentation),
        origin=_first_paragraph(about_module),
        source=f"{factory.__module__}:{getattr(factory, '__qualname__', spec.name)}",
        file=_file(factory),
        citations=_citations(f"{documentation}\n{about_module}"),
        profile=profile,
    )


def _fits(factory: Factory, spec: Spec) -> bool:
    try:
        inspect.signature(factory).bind_partial(**spec.kwargs)
    except TypeError:
        return False
    return True


def _signature(name: str, factory: Factory) -> str:
    signature = inspect.signature(factory)
    return f"{name}{signature.replace(return_annotation=inspect.Signature.empty)}"


def _provider(registry: Registry, name: str) -> str:
    origins = registry.origins.get(name)
    return str(origins[0]) if origins else "this process"


def _first_paragraph(documentation: str) -> str:
    return " ".join(documentation.partition("\n\n")[0].split())


def _file(factory: Factory) -> str:
    factory = inspect.unwrap(factory)
    try:
        return f"{inspect.getsourcefile(factory)}:{inspect.getsourcelines(factory)[1]}"
    except (OSError, TypeError):  # compiled, or defined at a prompt
        return "no source file"


def _citations(documentation: str) -> tuple[str, ...]:
    links = [
        link.format(match)
        for pattern, link in CITATIONS
        for match in pattern.findall(documentation)
    ]
    return tuple(dict.fromkeys(links))
