"""Settings in which experiments differ, as short columns: what tells the rows of a table apart."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from volbench.data.preprocessing.options import unused
from volbench.experiment.recipe import Recipe, names_by_summary

COMPONENTS = ("encoder", "aggregator", "loss")
PLAIN = ("precision", "seed")
"""Keys of an experiment beside components and recipe that decide numbers."""
SLICES = "(slices)"
"""What stands for the aggregator at slice level."""
SEVERAL = 4
"""From so many keys on that follow from the recipe, its name stands for them."""
UNKNOWN = object()
"""Value of a setting that an experiment does not tell."""
HEADINGS = {
    "aggregator": "agg",
    "recipe": "recipe",
    "train_share": "train share",
    "tuning": "tuned",
    "optimizer.name": "optimizer",
    "optimizer.lr": "rate",
    "schedule.name": "schedule",
    "selection.checkpoint": "checkpoint",
    "selection.metric": "chosen by",
    "selection.patience": "early stopping",
    "training.batch_size": "batch",
    "tta.passes": "TTA passes",
    "tta.augmentation": "TTA augmentation",
}


@dataclass(frozen=True)
class Setting:
    """A key in which experiments differ.

    Attributes:
        key: Dotted, as after ``--set``: ``training.augmentation``; or ``encoder``, ``seed``, ...
        heading: A word or two.
        values: One per experiment; `UNKNOWN` where it is not known, or has no effect.
    """

    key: str
    heading: str
    values: tuple[Any, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The values for a reader; empty where they are not known.

        >>> Setting("optimizer.lr", "rate", (0.001, 1e-05, UNKNOWN)).texts
        ('0.001', '1e-05', '')
        """
        return tuple(map(_shown, self.values))

    @property
    def phrases(self) -> tuple[str, ...]:
        """The values behind the heading; empty where they are not known.

        >>> Setting("preprocessing.box_mm", "box mm", (32.0, UNKNOWN)).phrases
        ('box mm 32', '')
        """
        return tuple(text and f"{self.heading} {text}" for text in self.texts)

    @property
    def known(self) -> tuple[Any, ...]:
        """The values as JSON can hold them; None where they are not known."""
        return tuple(
            None if value is UNKNOWN else list(value) if isinstance(value, tuple) else value
            for value in self.values
        )


def differing_settings(experiments: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Find the settings in which experiments differ, and only those.

    Components come first, then the recipe, then what else decides numbers. Where several keys
    follow from which recipe was named, its name stands for them.

    Args:
        experiments: Contents of experiment.json, or as much of it as is known. A key that is
            missing, or preprocessing that is still ``auto`` or has no effect (the side of a box
            where none is cut), is unknown and makes no difference.

    >>> one, other = {"encoder": "r2d", "seed": 0}, {"encoder": "r2d", "seed": 1}
    >>> [(setting.heading, setting.texts) for setting in differing_settings([one, other])]
    [('seed', ('0', '1'))]
    """
    flat = [dict(_settings(experiment)) for experiment in experiments]
    keys = [
        key
        for key in dict.fromkeys(key for settings in flat for key in settings)
        if len({_hashable(settings[key]) for settings in flat if key in settings}) > 1
    ]
    recipes = [_recipe_name(experiment) for experiment in experiments]
    following = [key for key in keys if "." in key and _follows(key, flat, recipes)]
    if len(set(recipes)) > 1 and len(following) >= SEVERAL:
        first = keys.index(following[0])
        keys = [key for key in keys if key not in following]
        keys.insert(min(first, len(keys)), "recipe")
        flat = [{**one, "recipe": name} for one, name in zip(flat, recipes, strict=True)]
    return [
        Setting(key, heading(key), tuple(settings.get(key, UNKNOWN) for settings in flat))
        for key in keys
    ]


def heading(key: str) -> str:
    """Name a key in a word or two, differently from every other key.

    >>> heading("training.epochs"), heading("optimizer.lr"), heading("schedule.patience")
    ('epochs', 'rate', 'patience')
    """
    if key in HEADINGS or "." not in key:
        return HEADINGS.get(key, key)
    section, _, name = key.partition(".")
    taken = Counter(other.partition(".")[2] for other in recipe_keys() if other not in HEADINGS)
    words = name if taken[name] <= 1 or section == "training" else f"{section} {name}"
    return words.replace("_", " ")


def recipe_keys() -> list[str]:
    """Every key of a recipe, dotted, in the order in which a recipe is written."""
    return [
        f"{section}.{name}"
        for section, field in Recipe.model_fields.items()
        if section != "summary"
        for name in _names(field.annotation)
    ]


def _names(section: Any) -> list[str]:
    if isinstance(section, type) and issubclass(section, BaseModel):
        return list(section.model_fields)
    return list(section.__dataclass_fields__)


def _settings(experiment: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in COMPONENTS:
        if key in experiment:
            value = experiment[key]
            yield key, SLICES if value is None and key == "aggregator" else value
    for section, values in _whole_recipe(experiment.get("recipe", {})).items():
        if not isinstance(values, Mapping):
            continue
        silent = unused(values) if section == "preprocessing" else set()
        for name, value in values.items():
            if section != "preprocessing" or (value != "auto" and name not in silent):
                yield f"{section}.{name}", value
    for key in PLAIN:
        if key in experiment:
            yield key, experiment[key]
    yield "train_share", experiment.get("train_share", 1.0)  # written where it is less
    yield "tuning", "yes" if experiment.get("tuning") else "no"


def _whole_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with the defaults of keys that were left out, if it can be read."""
    try:
        read = Recipe.model_validate({"summary": "", **recipe})
    except ValidationError:  # of another version, or not all of it
        return dict(recipe)
    sections = {name: getattr(read, name) for name in Recipe.model_fields if name != "summary"}
    return {
        name: {key: getattr(section, key) for key in _names(type(section))}
        for name, section in sections.items()
    }


def _recipe_name(experiment: Mapping[str, Any]) -> str:
    summary = str(experiment.get("summary", ""))
    return next(iter(names_by_summary(summary)), summary.partition(":")[0][:24])


def _follows(key: str, flat: Sequence[Mapping[str, Any]], recipes: Sequence[str]) -> bool:
    """Whether the recipe's name alone says what the value is."""
    seen: dict[str, Any] = {}
    return all(
        seen.setdefault(name, _hashable(one.get(key))) == _hashable(one.get(key))
        for name, one in zip(recipes, flat, strict=True)
    )


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _shown(value: object) -> str:
    if value is UNKNOWN:
        return ""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "; ".join(map(_shown, value))
    return str(value)
