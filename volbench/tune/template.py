"""Experiment template: components and recipe keys with search spaces as values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from volbench._utils.text import nearest
from volbench.errors import SpecError, UsageError
from volbench.experiment.experiment import Level
from volbench.experiment.search_space import Space, is_search_space, read_space, search_space_in
from volbench.plugins.registry import Registry, aggregators, encoders, losses
from volbench.plugins.signatures import SEARCH_SPACES
from volbench.spec import Spec, Value, parse, parse_terms, show_value

WEIGHT = Spec("loguniform", (("high", 10), ("low", 0.01)))
"""Where to look for the weight of a bare loss beside a first one: two orders down, one up."""

Fill = Callable[[str, Space], Value]
"""Gives the value that takes the place of a named search space."""


@dataclass(frozen=True)
class TriedCandidate:
    """Components and overrides as text, ready for an experiment."""

    encoder: str
    aggregator: str | None
    loss: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """Components and overrides whose values may be search spaces.

    Attributes:
        encoder: Its spec; of a bare name, with the search space that the component declares.
        aggregator: The same; None at slice level.
        loss: Weight, None where none is written, and spec of each term.
        overrides: Recipe keys with their text, in the order given.
    """

    encoder: Spec
    aggregator: Spec | None
    loss: tuple[tuple[float | Spec | None, Spec], ...]
    overrides: tuple[tuple[str, str], ...]

    @cached_property
    def spaces(self) -> Mapping[str, Space]:
        """The search spaces by name, such as ``triplet.margin``, ``triplet.weight``."""
        found: dict[str, Space] = {}

        def note(name: str, space: Space) -> Value:
            found[name] = space
            return space.middle

        self._filled(note)
        return found

    def candidate(self, values: Mapping[str, Value]) -> TriedCandidate:
        """Put a value in the place of each search space."""
        return self._filled(lambda name, space: values[name])

    def middle(self) -> TriedCandidate:
        """A candidate to check everything else with."""
        return self._filled(lambda name, space: space.middle)

    def shown(self) -> Mapping[str, str | None]:
        """Components with a question mark for each value that is searched for."""
        shown = self._filled(lambda name, space: "?")
        return {
            "encoder": _marked(shown.encoder),
            "aggregator": None if shown.aggregator is None else _marked(shown.aggregator),
            "loss": _marked(shown.loss),
        }

    def _filled(self, fill: Fill) -> TriedCandidate:
        taken: dict[str, int] = {}

        def walk(spec: Spec) -> tuple[str, Spec]:
            taken[spec.name] = taken.get(spec.name, 0) + 1
            again = taken[spec.name]
            prefix = spec.name if again == 1 else f"{spec.name}{again}"
            return prefix, _replaced(spec, prefix, fill)

        _, encoder = walk(self.encoder)
        aggregator = None if self.aggregator is None else walk(self.aggregator)[1]
        terms = []
        for weight, spec in self.loss:
            prefix, term = walk(spec)
            if isinstance(weight, Spec):
                weight = fill(f"{prefix}.weight", read_space(weight))  # type: ignore[assignment]
            terms.append(f"{term}" if weight in (None, 1) else f"{show_value(weight)}*{term}")
        overrides = []
        for key, text in self.overrides:
            space = search_space_in(text)
            given = text if space is None else _plain(fill(key, read_space(space)))
            overrides.append(f"{key}={given}")
        pooling = None if aggregator is None else str(aggregator)
        return TriedCandidate(str(encoder), pooling, "+".join(terms), tuple(overrides))


def read_template(
    encoder: str, aggregator: str | None, loss: str, overrides: tuple[str, ...], level: Level
) -> Template:
    """Read components and overrides; a bare name gets the search space that it declares.

    The weight of a bare loss after the first one is searched for too.

    Raises:
        SpecError: one of them cannot be read, or a search space is not one.
        PluginError: a component declares no proper search space.
        UsageError: there is nothing to search for, or where it cannot be.
    """
    terms = []
    for position, (weight, spec) in enumerate(parse_terms(loss)):
        bare = weight is None and not spec.arguments
        terms.append((WEIGHT if bare and position else weight, _opened(spec, losses)))
        if isinstance(weight, Spec) and not is_search_space(weight):
            raise UsageError(f"--loss {weight}*{spec}: a weight is a number or a search space")
    template = Template(
        encoder=_opened(parse(encoder), encoders),
        aggregator=None if aggregator is None else _opened(parse(aggregator), aggregators),
        loss=tuple(terms),
        overrides=tuple(map(_override, overrides)),
    )
    for name in template.spaces:
        if name.startswith("preprocessing."):
            raise UsageError(
                f"--set {name}: volumes are prepared once, before the search; compare two "
                "preparations with two runs"
            )
    if not template.spaces:
        _refuse_misspelt(template)
        raise UsageError(
            "there is nothing to tune: give a search space, as in --loss "
            "'focal(gamma=uniform(low=0, high=5))', or the bare name of a component that declares "
            "one, as in --loss focal; volbench run trains a candidate that is given in full"
        )
    return template


def _refuse_misspelt(template: Template) -> None:
    parts = [template.encoder, template.aggregator, *(spec for _, spec in template.loss)]
    for spec in parts:
        for key, value in () if spec is None else spec.arguments:
            if isinstance(value, Spec) and (meant := nearest(value.name, SEARCH_SPACES)):
                raise SpecError(
                    f"{key}={value} in {spec and spec.name}: unknown search space {value.name!r}. "
                    f"Did you mean {meant!r}?"
                )


def _opened(spec: Spec, registry: Registry) -> Spec:
    if spec.arguments:
        return spec
    return Spec(spec.name, tuple(sorted(registry.search_space(spec.name).items())))


def _override(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.strip(), value.strip()


def _replaced(spec: Spec, prefix: str, fill: Fill) -> Spec:
    def value_of(value: Value, name: str) -> Value:
        if is_search_space(value):
            return fill(name, read_space(value))
        if isinstance(value, Spec):
            return _replaced(value, name, fill)
        if isinstance(value, tuple):
            return tuple(value_of(each, f"{name}.{n}") for n, each in enumerate(value))
        return value

    arguments = tuple((key, value_of(value, f"{prefix}.{key}")) for key, value in spec.arguments)
    return Spec(spec.name, arguments)


def _plain(value: Value) -> str:
    """A value as ``--set`` reads it: texts without quotes, the words of TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else show_value(value)


def _marked(text: str) -> str:
    return text.replace("'?'", "?")
