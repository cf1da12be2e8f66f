"""TorchIO's transforms by name: the random ones as augmentations, the others for preprocessing.

Source: Pérez-García et al., TorchIO, 2021, doi:10.1016/j.cmpb.2021.106236.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volbench._utils.text import did_you_mean
from volbench.errors import SpecError, UnknownComponentError
from volbench.spec import Spec, Value, parse

if TYPE_CHECKING:
    import torchio

PREFIX = "torchio."
CHOICE = "OneOf"
"""Random too, though its name does not say so: it applies one of the transforms it is given."""


def is_bridged(name: str) -> bool:
    """Whether a spec's name means a transform of TorchIO."""
    return name.startswith(PREFIX)


@lru_cache(maxsize=1)
def random_names() -> Mapping[str, str]:
    """Names of the installed TorchIO's random transforms, and what each does in a line.

    Read from its source, not imported: a list of names must not cost seconds.

    >>> random_names()["torchio.RandomMotion"]
    'Add random MRI motion artifact.'
    """
    found = find_spec("torchio")
    if found is None or not found.submodule_search_locations:
        return {}
    folder = Path(found.submodule_search_locations[0], "transforms", "augmentation")
    lines: dict[str, str] = {}
    for path in folder.rglob("*.py"):
        with suppress(OSError, SyntaxError, UnicodeDecodeError):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and _sounds_random(node.name):
                    documentation = ast.get_docstring(node) or ""
                    lines[f"{PREFIX}{node.name}"] = documentation.partition("\n")[0]
    return dict(sorted(lines.items()))


def installed_version() -> str:
    """Version of the installed TorchIO, without importing it."""
    return version("torchio")


def _sounds_random(name: str) -> bool:
    return (name.startswith("Random") and name != "RandomTransform") or name == CHOICE


def transform_class(name: str) -> "type[torchio.Transform]":
    """Find a transform of the installed TorchIO.

    Raises:
        UnknownComponentError: it has none of that name; with the nearest one.
    """
    import torchio

    plain = name.removeprefix(PREFIX)
    found = getattr(torchio.transforms, plain, None)
    if isinstance(found, type) and issubclass(found, torchio.Transform):
        return found
    known = [
        one
        for one, value in vars(torchio.transforms).items()
        if isinstance(value, type) and issubclass(value, torchio.Transform)
    ]
    raise UnknownComponentError(
        f"TorchIO {torchio.__version__} has no transform {plain!r}.{did_you_mean(plain, known)} "
        "Its documentation lists them: docs.torchio.org"
    )


def build_random(spec: Spec | str) -> "torchio.Transform":
    """Build a random transform, as an augmentation.

    Raises:
        UnknownComponentError: TorchIO has no such transform.
        SpecError: the transform is not random, or refuses its values.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    if not _is_random(transform_class(spec.name)):
        raise SpecError(
            f"augmentation {spec}: not random, so scoring needs it too; put it into "
            f"preprocessing.transforms={spec.name.removeprefix(PREFIX)}"
        )
    return _build(spec)


def build_deterministic(spec: Spec | str) -> "torchio.Transform":
    """Build a transform that does the same each time, for preprocessing.

    Raises:
        UnknownComponentError: TorchIO has no such transform.
        SpecError: the transform is random, or refuses its values.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    _refuse_random(spec, spec)
    return _build(spec)


def compose(texts: Sequence[str]) -> Callable[[Any], Any]:
    """Build transforms for preprocessing, to be applied one after the other.

    Raises:
        UnknownComponentError: TorchIO has no such transform.
        SpecError: one of them is random, or refuses its values.
    """
    import torchio

    composed: Callable[[Any], Any] = torchio.Compose([build_deterministic(text) for text in texts])
    return composed


def _refuse_random(spec: Spec, whole: Spec) -> None:
    if _is_random(transform_class(spec.name)):
        raise SpecError(
            f"preprocessing.transforms: {whole} is random, and what is prepared is prepared once "
            f"for all epochs; use training.augmentation={PREFIX}{spec.name.removeprefix(PREFIX)}"
        )
    if spec.kwargs.get("p", 1) != 1:
        raise SpecError(f"preprocessing.transforms: {whole} has p below 1, which makes it random")
    for value in spec.kwargs.values():
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Spec):
                _refuse_random(inner, whole)


def _is_random(transform: type) -> bool:
    import torchio

    return issubclass(transform, torchio.transforms.augmentation.RandomTransform)


def _build(spec: Spec) -> "torchio.Transform":
    transform = transform_class(spec.name)
    _check_options(transform, spec)
    values = {name: _value(value) for name, value in spec.kwargs.items()}
    try:
        return transform(**values)
    except Exception as error:  # TorchIO refuses values by whatever its checks run into
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SpecError(f"{spec}: {reason}") from error


def _value(value: Value) -> object:
    if isinstance(value, Spec):
        return _build(value)
    if isinstance(value, tuple) and any(isinstance(one, Spec) for one in value):
        return [_value(one) for one in value]
    return value


def options_of(transform: type) -> dict[str, Parameter]:
    """The options of a transform, those that it hands to its base class included."""
    found: dict[str, Parameter] = {}
    for one in transform.__mro__:
        construct = vars(one).get("__init__")
        if construct is None:
            continue
        parameters = list(signature(construct).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind not in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def _check_options(transform: type, spec: Spec) -> None:
    known = options_of(transform)
    for name in spec.kwargs:
        if name not in known:
            raise SpecError(
                f"{spec}: no option {name!r}.{did_you_mean(name, known)} "
                f"{transform.__name__} takes {', '.join(known)}"
            )
