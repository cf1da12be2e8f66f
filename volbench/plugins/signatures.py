"""Options of a component: signature, validation of spec values, search space."""

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from volbench.errors import SpecError
from volbench.spec import Spec, Value, parse

SEARCH_SPACES: Mapping[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "loguniform": ("low", "high"),
    "integer": ("low", "high"),
    "choice": ("among",),
}
"""What a search space may be called, and the arguments it must have."""

PLAIN: Mapping[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a quoted string",
    Spec: "name(...)",
    types.NoneType: "None",
    None: "None",
}


def option_types(factory: Callable[..., object]) -> Mapping[str, object]:
    """Annotations of the keyword-only options, those that can be understood."""
    plain = inspect.unwrap(factory)
    function = vars(plain).get("__init__", plain) if isinstance(plain, type) else plain
    names = getattr(inspect.unwrap(function), "__globals__", {})
    found = {}
    for parameter in inspect.signature(factory).parameters.values():
        annotation = parameter.annotation
        if parameter.kind is not parameter.KEYWORD_ONLY or annotation is parameter.empty:
            continue
        if isinstance(annotation, str):  # postponed, as a module may ask for
            try:
                annotation = eval(annotation, dict(names))
            except Exception:  # names that exist only for a type checker, for instance
                continue
        found[parameter.name] = annotation
    return found


def check_types(factory: Callable[..., object], spec: Spec) -> None:
    """Refuse a value of another type than its option's; annotations not known pass everything.

    Raises:
        ValueError: names the option, what it takes and what it got.
    """
    expected = option_types(factory)
    for name, value in spec.arguments:
        if name in expected and not fits(value, expected[name]):
            shown = str(Spec(spec.name, ((name, value),)))[len(spec.name) + 1 : -1]
            raise ValueError(f"{name} must be {describe_type(expected[name])}, but got {shown}")


def fits(value: Value, annotation: object) -> bool:
    """Whether a value of a spec is of an annotated type, or the annotation says nothing.

    >>> fits(2, float), fits(2.5, int), fits(True, float), fits((1, 2), tuple[int, int])
    (True, False, False, True)
    """
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Union or origin is types.UnionType:
        return any(fits(value, one) for one in inside)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inside)
    if annotation is tuple or origin is tuple:
        if not isinstance(value, tuple) or not inside:
            return isinstance(value, tuple)
        types_ = inside[:1] * len(value) if inside[-1] is Ellipsis else inside
        return len(types_) == len(value) and all(map(fits, value, types_))
    if annotation is float or annotation is int:
        number = int if annotation is int else (int, float)
        return isinstance(value, number) and not isinstance(value, bool)
    if annotation in (None, types.NoneType):
        return value is None
    if isinstance(annotation, type) and annotation in PLAIN:
        return isinstance(value, annotation)
    return True


def describe_type(annotation: object) -> str:
    """Say in words what an option takes.

    >>> describe_type(tuple[int, ...] | None)
    'a tuple of whole numbers or None'
    """
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Union or origin is types.UnionType:
        return " or ".join(map(describe_type, inside))
    if origin is Literal:
        return " or ".join(map(repr, inside))
    if origin is tuple and inside and inside[-1] is Ellipsis:
        one = describe_type(inside[0])
        plural = {"a whole number": "whole numbers", "a number": "numbers"}
        return f"a tuple of {plural.get(one, f'values, each {one}')}"
    if origin is tuple:
        return f"({', '.join(map(describe_type, inside))})"
    if isinstance(annotation, type | None) and annotation in PLAIN:
        return PLAIN[annotation]
    return "a tuple" if annotation is tuple else inspect.formatannotation(annotation)


def declared_search_space(factory: Callable[..., Any]) -> Mapping[str, Spec]:
    """Where to look for good values of a component's options, as its author says.

    Raises:
        ValueError: ``search_space`` does not map options to search spaces; says which and why.
    """
    declared: object = getattr(factory, "search_space", {})
    if not isinstance(declared, Mapping):
        raise ValueError(f"search_space must map options to text, but is {declared!r}")
    options = [
        parameter.name
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    found = {}
    for name, text in declared.items():
        if name not in options:
            raise ValueError(f"search_space names {name!r}, which is no option")
        try:
            space = parse(text)
        except (SpecError, AttributeError, TypeError) as error:
            raise ValueError(f"search_space of {name!r}: {error}") from None
        wanted = SEARCH_SPACES.get(space.name)
        if wanted is None or set(wanted) - set(space.kwargs):
            known = ", ".join(
                f"{one}({', '.join(f'{a}=' for a in SEARCH_SPACES[one])})" for one in SEARCH_SPACES
            )
            raise ValueError(f"search_space of {name!r} is {text!r}, but must be one of {known}")
        found[name] = space
    return found
