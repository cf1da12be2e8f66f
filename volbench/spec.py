"""Specs: components written as text, e.g. ``focal(gamma=2)+0.5*triplet(margin=0.2)``.

A spec is a small subset of a Python expression, so ``ast`` parses it; nothing is evaluated:

    sum   := term ("+" term)*
    term  := [number "*"] call
    call  := dotted ["(" name "=" value {"," name "=" value} ")"]
    dotted := name {"." name}
    value := call | number | string | True | False | None | true | false | tuple of values

``str()`` of what is read is canonical: arguments sorted, numbers normalised. It names the component
in tables, in caches and in the id of an experiment.
"""

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

from volbench.errors import SpecError

# A tuple holds values again; checkers at run time cannot resolve an alias that names itself.
Value: TypeAlias = "Spec | int | float | str | bool | tuple[Any, ...] | None"


@dataclass(frozen=True)
class Spec:
    """A component's name and its keyword arguments, sorted by keyword.

    >>> str(parse("triplet( normalize=True, margin=.20 )"))
    'triplet(margin=0.2, normalize=True)'
    """

    name: str
    arguments: tuple[tuple[str, Value], ...] = ()

    @property
    def kwargs(self) -> Mapping[str, Value]:
        """The arguments as keywords."""
        return dict(self.arguments)

    def __str__(self) -> str:
        inner = ", ".join(f"{key}={_show(value)}" for key, value in self.arguments)
        return f"{self.name}({inner})" if inner else self.name


@dataclass(frozen=True)
class Term:
    """One ``weight * spec`` of a sum."""

    weight: float
    spec: Spec

    def __str__(self) -> str:
        return str(self.spec) if self.weight == 1 else f"{_show(self.weight)}*{self.spec}"


@dataclass(frozen=True)
class Sum:
    """A weighted sum of specs, in the order written.

    >>> str(parse_sum("focal(gamma=2.0) + .5*triplet"))
    'focal(gamma=2)+0.5*triplet'
    """

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.terms))


def parse(text: str) -> Spec:
    """Read one spec.

    Raises:
        SpecError: with the column where reading stopped.

    >>> str(parse("focal( gamma = 2.0 )"))
    'focal(gamma=2)'
    """
    return _Reader(text).call(_tree(text))


def parse_sum(text: str) -> Sum:
    """Read a weighted sum of specs.

    Raises:
        SpecError: with the column where reading stopped.

    >>> [(term.weight, term.spec.name) for term in parse_sum("focal + 0.5*triplet").terms]
    [(1, 'focal'), (0.5, 'triplet')]
    """
    terms = []
    for weight, spec in parse_terms(text):
        if isinstance(weight, Spec):
            raise SpecError(
                f"{weight}*{spec}: a weight must be a number, unless volbench tune searches for it"
            )
        terms.append(Term(1 if weight is None else weight, spec))
    return Sum(tuple(terms))


def parse_terms(text: str) -> list[tuple[float | Spec | None, Spec]]:
    """Read a weighted sum whose weights may be calls, as in ``uniform(low=0, high=1)*triplet``.

    Returns:
        Each term's weight, None where none is written, and its spec.

    Raises:
        SpecError: with the column where reading stopped.
    """
    try:
        return list(_Reader(text).terms(_tree(text)))
    except RecursionError:
        raise _error(text, "too many terms", 0) from None


def show_value(value: Value) -> str:
    """Write a value as it stands in a canonical spec.

    >>> show_value((1, "a"))
    "(1, 'a')"
    """
    return _show(value)


def parse_value(text: str) -> Value:
    """Read one value, as it may stand behind ``name=``.

    >>> parse_value("(1, 2.50)")
    (1, 2.5)
    """
    return _Reader(text).value(_tree(text))


def _tree(text: str) -> ast.expr:
    if not text.strip():
        raise _error(text, "it is empty; write a name, or name(key=value, ...)", 0)
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise _error(text, error.msg, (error.offset or 1) - 1) from None
    except (ValueError, RecursionError, MemoryError):
        raise _error(text, "too deeply nested, or not plain text", 0) from None


class _Reader:
    """Walks the syntax tree of one text; holds the text for its messages only."""

    def __init__(self, text: str) -> None:
        self.text = text

    def terms(self, node: ast.expr) -> Iterator[tuple[float | Spec | None, Spec]]:
        match node:
            case ast.BinOp(left, ast.Add(), right):
                yield from self.terms(left)
                yield from self.terms(right)
            case ast.BinOp(ast.Constant(weight), ast.Mult(), right) if _is_number(weight):
                if not (_is_finite(weight) and weight > 0):
                    raise self.error("a weight must be a positive finite number", node)
                yield _normalised(weight), self.call(right)
            case ast.BinOp(ast.Call() as weight, ast.Mult(), right):
                yield self.call(weight), self.call(right)
            case _:
                yield None, self.call(node)

    def call(self, node: ast.expr) -> Spec:
        function = node.func if isinstance(node, ast.Call) else node
        name = _dotted(function)
        if name is None:
            raise self.error("expected name or name(key=value, ...)", node)
        if not isinstance(node, ast.Call):
            return Spec(name)
        if node.args:
            raise self.error("arguments must be named, as in name(key=value)", node.args[0])
        return Spec(name, self.arguments(node.keywords, node))

    def arguments(
        self, keywords: list[ast.keyword], node: ast.expr
    ) -> tuple[tuple[str, Value], ...]:
        found: dict[str, Value] = {}
        for keyword in keywords:
            if keyword.arg is None:
                raise self.error("** is not allowed", node)
            if keyword.arg in found:  # ast reads a repeated keyword; only compile() objects
                raise self.error(f"{keyword.arg!r} is given twice", keyword.value)
            found[keyword.arg] = self.value(keyword.value)
        return tuple(sorted(found.items()))

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Call():
                return self.call(node)
            case ast.Tuple(items) | ast.List(items):
                return tuple(self.value(item) for item in items)
            case ast.Constant(None | bool() | str() as constant):
                return constant
            case ast.Name("true" | "false" as written):  # as TOML and JSON write them
                return written == "true"
            case ast.Constant(number) if _is_number(number):
                return self.number(number, node)
            case ast.UnaryOp(ast.USub(), ast.Constant(number)) if _is_number(number):
                return self.number(-number, node)
            case _:
                raise self.error("expected a number, a quoted string, a tuple or name(...)", node)

    def number(self, number: float, node: ast.expr) -> float:
        if not _is_finite(number):
            raise self.error("a number must be finite", node)
        return _normalised(number)

    def error(self, problem: str, node: ast.expr) -> SpecError:
        return _error(self.text, problem, node.col_offset)


def _dotted(node: ast.expr) -> str | None:
    """Read a name or names with dots between them; None if it is anything else."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(inside, name) if (before := _dotted(inside)) is not None:
            return f"{before}.{name}"
        case _:
            return None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer that no float can hold
        return False


def _normalised(number: float) -> float:
    """One value, one text: 2.0 and 2 are the same argument."""
    return int(number) if float(number).is_integer() and abs(number) < 2**53 else number


def _show(value: Value) -> str:
    match value:
        case Spec():
            return str(value) if value.arguments else f"{value}()"
        case tuple():
            inner = ", ".join(map(_show, value))
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        case _:
            return repr(value)


def _error(text: str, problem: str, column: int) -> SpecError:
    shown = " ".join(text.split())
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return SpecError(f"cannot read spec {shown!r} at column {column + 1}: {problem}")
