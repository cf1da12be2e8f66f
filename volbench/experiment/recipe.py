"""Training recipes as validated TOML: everything about training that is not a component."""

import math
import tomllib
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    model_serializer,
)

from volbench._utils.regular_file import read_regular
from volbench._utils.text import did_you_mean, printable
from volbench._utils.toml_text import read_toml, shown
from volbench.data.preprocessing.options import (
    OTHER_NAMES,
    Preprocessing,
    canonical_transforms,
    without_later_defaults,
)
from volbench.errors import SpecError, VolbenchError
from volbench.experiment.search_space import refuse_search_space_text
from volbench.spec import parse_value

MOST = 1e9
"""No count and no factor of a recipe is larger."""
Positive = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False, strict=True)]
NotNegative = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, le=10**6, strict=True)]
Patience = Annotated[int, Field(ge=0, le=10**6, strict=True)]


class RecipeSection(BaseModel):
    """Part of a recipe: unknown keys are refused, values never change.

    Keys in ``later`` came after the first release. One that has its default is not written down,
    so that experiments that do without it keep their text and their id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        values = dump(self)
        for name in self.later:
            if getattr(self, name) == type(self).model_fields[name].default:
                values.pop(name, None)
        return values


class Training(RecipeSection):
    """How long, in which batches, with what augmentation.

    Attributes:
        epochs: Passes; one has as many batches as the training cases fill.
        batch_size: Cases per step.
        sampler: ``balanced`` takes equally many cases of every class (what triplet mining needs),
            ``weighted`` draws with the inverse class frequency, ``weighted_slices`` with that of
            the class among representative slices, ``natural`` takes each case once.
        augmentation: Spec of an augmentation.
        clip_norm: Largest norm of the gradient; 0 leaves it as it is.
        one_seed: Whether all folds start from the same weights and draw with the same seed, so that
            a lucky start helps in all of them.
    """

    later = frozenset({"one_seed"})

    epochs: Count
    batch_size: Annotated[int, Field(ge=2, le=10**6, strict=True)]
    sampler: Literal["balanced", "weighted", "weighted_slices", "natural"]
    augmentation: str
    clip_norm: NotNegative
    one_seed: bool = False


class Optimizer(RecipeSection):
    """Optimiser; biases and normalisation are not decayed under ``adamw``.

    Attributes:
        encoder_lr_scale: What the rate of the encoder is multiplied by. None is 1, but for an
            encoder that starts from ``weights=`` and is trained with all of them: then 0.1.
        layer_decay: What each of the encoder's layer groups has of the rate of the one after it;
            the last has this share of the head's.
    """

    later = frozenset({"encoder_lr_scale", "layer_decay"})

    name: Literal["adamw", "sgd"]
    lr: Positive
    weight_decay: NotNegative
    momentum: Annotated[float, Field(ge=0, lt=1, strict=True)]
    encoder_lr_scale: Positive | None = None
    layer_decay: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0


class Schedule(RecipeSection):
    """Learning rate over the steps, and when to stop before the last epoch.

    Attributes:
        name: After a linear warm-up, ``cosine`` falls to zero, ``constant`` stays, ``plateau``
            multiplies by ``factor`` whenever the training loss stops falling.
        warmup_fraction: Share of all steps over which the rate rises.
        factor: What the rate is multiplied by (``plateau``).
        patience: Epochs without a lower training loss before that (``plateau``).
        stop_rate: Training ends once the rate is below this (``plateau``); 0: never.
        stop_patience: Training ends after so many epochs without a lower training loss; 0: never.
        reload_best: Whether the best weights so far, and the optimiser's averages of that epoch,
            are loaded whenever the rate is multiplied (``plateau``).
    """

    name: Literal["cosine", "constant", "plateau"]
    warmup_fraction: Annotated[float, Field(ge=0, lt=1, strict=True)]
    factor: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.3
    patience: Patience = 10
    stop_rate: NotNegative = 0.0
    stop_patience: Patience = 0
    reload_best: bool = False

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """Leave ``reload_best`` out where it is off, so that experiments keep their ids."""
        values: dict[str, Any] = handler(self)
        if not self.reload_best:
            del values["reload_best"]
        return values


class Selection(RecipeSection):
    """Which epoch's weights are scored on the held-out fold.

    Attributes:
        checkpoint: ``validation`` takes the best epoch on an inner validation part of the training
            fold, ``training_loss`` the lowest training loss, ``last`` the last epoch.
        metric: What "best" means on the validation part.
        validation_fraction: Share of the training fold's patients held back for it.
        patience: Training ends after so many epochs without a better ``metric`` on the validation
            part (early stopping); 0: never.
    """

    later = frozenset({"patience"})

    checkpoint: Literal["validation", "training_loss", "last"]
    metric: Literal["auc", "loss"]
    validation_fraction: Annotated[float, Field(gt=0, le=0.5, strict=True)]
    patience: Patience = 0


class TestTime(RecipeSection):
    """What the scored predictions average over (test-time augmentation).

    Attributes:
        passes: Random views of each case whose probabilities are averaged; 0: the case itself.
        augmentation: ``train``: views are drawn as in training. A spec such as ``crop``: drawn by
            that augmentation from the volume that evaluation sees.
    """

    passes: Patience = 0
    augmentation: str = "train"


class Regularization(RecipeSection):
    """What keeps a network from fitting its few training cases too well; all of it is off.

    Attributes:
        mixup: Parameter of the Beta distribution from which the share of a case is drawn that is
            mixed with another of as many slices (Zhang et al., 2018, arXiv:1710.09412); 0: none.
        mixup_on: Whether their voxels are mixed or their tokens.
        slice_dropout: Share of a case's tokens that the aggregator is not shown in training.
        token_noise: Deviation of the noise added to tokens in training, in units of their root
            mean square.
        ema: Share of the averaged weights that each step keeps; the averaged ones are validated
            and scored. 0: the weights themselves.
    """

    mixup: NotNegative = 0.0
    mixup_on: Literal["volume", "token"] = "volume"
    slice_dropout: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0
    token_noise: NotNegative = 0.0
    ema: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0


class Recipe(RecipeSection):
    """A complete recipe."""

    later = frozenset({"regularization"})

    summary: str
    preprocessing: Preprocessing
    training: Training
    optimizer: Optimizer
    schedule: Schedule
    selection: Selection
    tta: TestTime = TestTime()
    regularization: Regularization = Regularization()

    @field_serializer("preprocessing", mode="wrap")
    def _without_what_is_not_used(
        self, value: Preprocessing, dump: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """Leave out later options that do nothing: an experiment's text is as it always was."""
        return without_later_defaults(dump(value))


NUMBERS = {"size", "margin", "box_mm", "slice_margin", "max_slices", "n4_shrink"}
"""Options of preprocessing that are numbers."""

ALIASES = {"paper": "lee2022", "authors": "lee2022_code"}
"""Names of version 0.1."""

FORMER_SUMMARIES = {
    "Ours, honest: an inner validation part of each training fold picks the checkpoint": "standard",
}
"""What runs of earlier versions say of a recipe whose summary has changed."""


def recipe_names() -> list[str]:
    """Names of the recipes that come with volbench."""
    folder = resources.files("volbench.experiment.recipes")
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_recipe(
    name: str,
    overrides: tuple[str, ...] = (),
    *,
    preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 (frozen)
) -> Recipe:
    """Load a recipe by name or path and apply ``section.key=value`` overrides.

    A recipe file may start from another one: ``base = "standard"``.

    Args:
        name: Name of a recipe that comes with volbench, or path of a TOML file.
        overrides: The last of a key counts.
        preprocessing: What holds where neither the recipe nor an override says anything.

    Raises:
        SpecError: no such recipe, no TOML, an unknown key or a value out of range.
    """
    values = _merged({"preprocessing": preprocessing.values()}, _read(name, seen=()))
    for override in overrides:
        _override(values, override)
    _rename(values)
    try:
        _read_transforms(values["preprocessing"])
        _require_numbers(values["preprocessing"])
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise _explain(name, error) from None
    except VolbenchError as error:
        raise SpecError(f"recipe {name!r}: {error}") from None
    selection = recipe.selection
    if selection.patience and selection.checkpoint != "validation":
        raise SpecError(
            f"recipe {name!r}: selection.patience={selection.patience} watches the validation "
            f"part, which selection.checkpoint={selection.checkpoint!r} does without; use "
            "schedule.stop_patience, or selection.checkpoint=validation"
        )
    return recipe


def _read(name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    if name in seen:
        raise SpecError(f"recipe {name!r} is its own base: {' -> '.join((*seen, name))}")
    try:
        text = _text(name)
    except UnicodeDecodeError as error:
        raise SpecError(f"recipe {name!r} is not valid TOML: {error}") from None
    values = read_toml(text, f"recipe {name!r}")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise SpecError(f"recipe {name!r}: base must be the name of a recipe, but is {base!r}")
    return _merged(_read(base, (*seen, name)), values)


def own_keys(name: str) -> tuple[str, ...]:
    """Keys that a recipe file says itself, not through its base; none of a built-in recipe."""
    if not name.endswith(".toml"):
        return ()
    values = read_toml(_text(name), f"recipe {name!r}")
    sections = {key: value for key, value in values.items() if isinstance(value, dict)}
    return tuple(f"{section}.{key}" for section, keys in sections.items() for key in keys)


def _text(name: str) -> str:
    if name.endswith(".toml"):
        try:
            return read_regular(Path(name)).decode("utf-8")
        except OSError as error:
            raise SpecError(f"recipe {name!r} cannot be read: {error.strerror}") from None
    known = recipe_names()
    name = ALIASES.get(name, name)
    if name not in known:
        hint = did_you_mean(name, [*known, *ALIASES])
        raise SpecError(
            f"Unknown recipe {name!r}.{hint} Built in: {', '.join(known)}; or give a .toml file."
        )
    return (resources.files("volbench.experiment.recipes") / f"{name}.toml").read_text(
        encoding="utf-8"
    )


def _rename(values: dict[str, Any]) -> None:
    """Put options that have two names under the one that experiments keep."""
    for other, name in OTHER_NAMES.items():
        section, _, key = other.partition(".")
        there = values.get(section)
        if isinstance(there, dict) and key in there:
            place, _, kept = name.partition(".")
            values[place] = _merged(values.get(place, {}), {kept: there.pop(key)})
            if not there:
                del values[section]


def _read_transforms(preprocessing: object) -> None:
    """Give TorchIO's transforms their canonical texts; they may be one text or a list."""
    if isinstance(preprocessing, dict) and "transforms" in preprocessing:
        preprocessing["transforms"] = canonical_transforms(preprocessing["transforms"])


def _require_numbers(preprocessing: object) -> None:
    """Refuse what would be taken for a number: ``true`` for 1, a text for what it spells; NaN."""
    for key, value in preprocessing.items() if isinstance(preprocessing, dict) else ():
        wrong = isinstance(value, bool) or (isinstance(value, str) and value != "auto")
        wrong |= isinstance(value, float) and not math.isfinite(value)
        if wrong and key in NUMBERS:
            raise SpecError(f"preprocessing.{key}={shown(value)} is not a finite number")


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (equals and dot and section and name):
        raise SpecError(
            f"--set {override!r} is not section.key=value, as in --set training.epochs=30"
        )
    if section not in _sections():
        raise SpecError(
            f"--set {override!r}: unknown section {section!r}.{did_you_mean(section, _sections())} "
            f"One of {', '.join(_sections())}"
        )
    refuse_search_space_text(text.strip(), f"--set {override}")
    there = values.get(section, {})
    values[section] = _merged(
        there if isinstance(there, dict) else {}, {name: _parse(text.strip())}
    )


def _sections() -> list[str]:
    others = {name.partition(".")[0] for name in OTHER_NAMES}
    return [*(name for name in Recipe.model_fields if name != "summary"), *sorted(others)]


def _keys() -> list[tuple[str, str]]:
    """Every key, with its section."""
    kinds = ((name, field.annotation) for name, field in Recipe.model_fields.items())
    return [
        (section, name)
        for section, kind in kinds
        if section != "summary" and kind is not None
        for name in getattr(kind, "model_fields", None) or kind.__dataclass_fields__
    ]


def _parse(text: str) -> object:
    """Read a value as TOML does, or None, or else as spec text; other text stands for itself.

    Raises:
        SpecError: more than one line, of which all but the first would be lost.
    """
    if text != printable(text):
        raise SpecError(f"--set: the value {shown(text)} holds a line break or control character")
    if text == "None":  # which TOML cannot write; it undoes what a recipe sets
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        if not text.startswith("("):
            return text
    return parse_value(text)


def _explain(name: str, error: ValidationError) -> SpecError:
    """Name the key, the value and what was expected; pydantic's own text runs over many lines."""
    first, *others = error.errors()
    key = ".".join(map(str, first["loc"]))
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = [f"{section}.{field}" for section, field in _keys()]
        problem = f"unknown key {key!r}.{did_you_mean(key, known)}"
        problem += f" `volbench info {name}` lists all keys" if name in recipe_names() else ""
    elif first["type"].startswith("missing"):
        problem = f"{key} is missing"
    else:
        said = first["msg"][0].lower() + first["msg"][1:]
        problem = f"{key}={shown(first['input'])}: {said}"
    more = f" (and {len(others)} more)" if others else ""
    return SpecError(f"recipe {name!r}: {problem}{more}")


def names_by_summary(summary: str) -> list[str]:
    """Names, old ones too, of the built-in recipes that a run's summary stands for.

    >>> names_by_summary(load_recipe("lee2022").summary)
    ['lee2022', 'paper']
    """
    names = [name for name, known in _built_in_summaries().items() if known == summary]
    names += [FORMER_SUMMARIES[summary]] if summary in FORMER_SUMMARIES else []
    return [*names, *(old for old, new in ALIASES.items() if new in names)]


@cache
def _built_in_summaries() -> dict[str, str]:
    """By name; read once, since a table asks for the name of each row's recipe."""
    return {name: load_recipe(name).summary for name in recipe_names()}
