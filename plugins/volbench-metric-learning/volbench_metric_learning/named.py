"""Losses of the library under names of their own: a table entry each, read here.

An entry is a class that names the library's loss and its options where it is declared, and a
docstring. Everything else of a component (signature, search space, bounds) follows from it.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pytorch_metric_learning.losses.mixins import WeightRegularizerMixin
from torch import nn
from volbench.interfaces import Problem
from volbench.spec import Spec

from volbench_metric_learning.mined import Mined


@dataclass(frozen=True)
class Option:
    """An option of a loss.

    Attributes:
        default: Also its type; a float option takes whole numbers too.
        above: Exclusive lower bound, if it has one.
        between: Inclusive bounds, if it has them.
        search: Where its author would look for good values, as text of a spec.
        passed_as: The library's name of it, if that is another.

    Example:
        >>> Option(0.1, above=0).check("temperature", -1)
        Traceback (most recent call last):
            ...
        ValueError: temperature must be above 0, but got temperature=-1
    """

    default: float
    above: float | None = None
    between: tuple[float, float] | None = None
    search: str | None = None
    passed_as: str | None = None

    def check(self, name: str, value: float) -> None:
        """Refuse a value out of bounds.

        Raises:
            ValueError: names the option, its bounds and the value.
        """
        if self.above is not None and not value > self.above:
            raise ValueError(f"{name} must be above {self.above:g}, but got {name}={value!r}")
        if self.between is not None and not self.between[0] <= value <= self.between[1]:
            low, high = self.between
            raise ValueError(f"{name} must be from {low:g} to {high:g}, but got {name}={value!r}")


class NamedLoss(Mined):
    """Base of the table's entries; only subclasses are losses.

    A loss with weights of its own (a vector or proxies per class) looks at single cases; every
    other one takes a miner, which picks the pairs that count.

    Args:
        problem: Gives the number of classes and the length of the embedding.
        options: Those of the entry, and ``miner`` where it takes one.

    Raises:
        ValueError: an option is out of bounds, or there is no such miner.
    """

    library: ClassVar[type[nn.Module]]
    options: ClassVar[Mapping[str, Option]]
    search_space: ClassVar[Mapping[str, str]]

    def __init_subclass__(cls, *, library: type[nn.Module], **options: Option) -> None:
        """Take an entry: its loss of the library, and its options in the order of the signature."""
        super().__init_subclass__()
        cls.library, cls.options = library, options
        cls.search_space = {
            name: option.search for name, option in options.items() if option.search
        }
        # What `inspect.signature` answers, and with it `volbench info` and the check of types.
        cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    "problem", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Problem
                ),
                *(
                    inspect.Parameter(
                        name,
                        inspect.Parameter.KEYWORD_ONLY,
                        default=option.default,
                        annotation=type(option.default),
                    )
                    for name, option in options.items()
                ),
                *([] if cls.has_weights() else [MINER]),
            ]
        )

    def __init__(
        self, problem: Problem, *, miner: Spec | str | None = None, **options: float
    ) -> None:
        bound = inspect.signature(type(self)).bind(
            problem, **options, **({} if miner is None else {"miner": miner})
        )
        bound.apply_defaults()
        arguments: dict[str, object] = {}
        for name, option in self.options.items():
            option.check(name, bound.arguments[name])
            arguments[option.passed_as or name] = bound.arguments[name]
        if self.has_weights():
            arguments |= {
                "num_classes": problem.num_classes,
                "embedding_size": problem.num_features,
            }
        super().__init__(self.library(**arguments), miner)

    @classmethod
    def has_weights(cls) -> bool:
        """Whether the loss trains weights of its own."""
        return issubclass(cls.library, WeightRegularizerMixin)


MINER = inspect.Parameter(
    "miner",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Spec | str | None,
)
