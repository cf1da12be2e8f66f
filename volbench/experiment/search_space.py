"""Search spaces: where to look for a value, written as a spec where the value would stand.

    uniform(low=0, high=5)   loguniform(low=1e-4, high=0.1)
    integer(low=1, high=8)   integer(low=1, high=64, log=True)   choice(among=("mean", "sum"))

Only ``volbench tune`` accepts them; everything else wants a value.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from volbench.errors import SpecError
from volbench.plugins.signatures import SEARCH_SPACES, check_types
from volbench.spec import Spec, Value, parse, show_value

DIGITS = 4
"""Significant digits of a number that is tried: nobody tells 1.2345 from 1.23456."""


@dataclass(frozen=True)
class Space:
    """A range of numbers or a choice.

    Attributes:
        spec: As it is written.
        low: Smallest number; 0 for a choice.
        high: Largest number; 0 for a choice.
        whole: Whole numbers only.
        log: Equal ratios are equally likely, not equal differences.
        among: The values of a choice; empty for a range.
    """

    spec: Spec = field(default_factory=lambda: Spec(""))
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False
    among: tuple[Value, ...] = ()

    def __str__(self) -> str:
        return str(self.spec)

    @property
    def middle(self) -> Value:
        """A value to check the rest with: the middle of a range, the first of a choice."""
        if self.among:
            return self.among[0]
        return self.tidy(
            math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The values of a choice as text, which any storage keeps as it is."""
        return tuple(map(show_value, self.among))

    def value(self, drawn: float | str) -> Value:
        """Turn what a sampler drew, a number or the text of a choice, into the value to try."""
        if isinstance(drawn, str):
            return self.among[self.texts.index(drawn)]
        return self.tidy(drawn)

    def tidy(self, number: float) -> float:
        """Round to what is worth writing down, without leaving the range."""
        if self.whole:
            return round(number)
        rounded = min(max(float(f"{number:.{DIGITS}g}"), self.low), self.high)
        return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded


def is_search_space(value: object) -> TypeGuard[Spec]:
    """Whether a value of a spec has the name of a search space."""
    return isinstance(value, Spec) and value.name in SEARCH_SPACES


def read_space(spec: Spec) -> Space:
    """Understand a search space.

    Raises:
        SpecError: an argument is missing, unknown or out of order.
    """
    bounds = _READERS[spec.name]
    try:
        inspect.signature(bounds).bind(**spec.kwargs)
        check_types(bounds, spec)
        return replace(bounds(**spec.kwargs), spec=spec)
    except (TypeError, ValueError) as error:
        options = ", ".join(f"{name}=..." for name in SEARCH_SPACES[spec.name])
        raise SpecError(
            f"search space {spec}: {error}; it is written {spec.name}({options})"
        ) from None


def refuse_search_spaces(spec: Spec) -> None:
    """Refuse a spec with a search space in it.

    Raises:
        SpecError: names it, and the command that accepts it.
    """
    for key, value in spec.arguments:
        for each in value if isinstance(value, tuple) else (value,):
            if is_search_space(each):
                raise _refusal(f"{key}={each} in {spec.name}")
            if isinstance(each, Spec):
                refuse_search_spaces(each)


def refuse_search_space_text(text: str, where: str) -> None:
    """Refuse text that is a search space.

    Raises:
        SpecError: names where it stands, and the command that accepts it.
    """
    if search_space_in(text) is not None:
        raise _refusal(where)


def search_space_in(text: str) -> Spec | None:
    """Read text as a search space; None where it is something else."""
    if text.partition("(")[0].strip() not in SEARCH_SPACES:
        return None
    spec = parse(text)
    return spec if spec.arguments else None


def _refusal(where: str) -> SpecError:
    return SpecError(f"{where} is a search space, not a value; give a value or use volbench tune")


def _range(low: float, high: float, *, whole: bool = False, log: bool = False) -> Space:
    if not low < high:
        raise ValueError(f"low must be below high, but got {low=} and {high=}")
    if log and low <= 0:
        raise ValueError(f"low must be positive for equal ratios, but got {low=}")
    return Space(low=low, high=high, whole=whole, log=log)


def _uniform(*, low: float, high: float) -> Space:
    return _range(low, high)


def _loguniform(*, low: float, high: float) -> Space:
    return _range(low, high, log=True)


def _integer(*, low: int, high: int, log: bool = False) -> Space:
    return _range(low, high, whole=True, log=log)


def _choice(*, among: tuple[Any, ...]) -> Space:
    if len(set(map(show_value, among))) < max(2, len(among)):
        raise ValueError(f"it takes two different values or more, but got among={among!r}")
    return Space(among=among)


_READERS: Mapping[str, Callable[..., Space]] = {
    "uniform": _uniform,
    "loguniform": _loguniform,
    "integer": _integer,
    "choice": _choice,
}
