"""Every key of a recipe with its value, what it means, what is allowed and where to search."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin

from volbench.data.preprocessing.options import RULES, Preprocessing
from volbench.experiment.recipe import Recipe, load_recipe

SEARCH = {
    "training.epochs": "integer(low=10, high=100, log=True)",
    "training.batch_size": "choice(among=(4, 8, 16))",
    "training.augmentation": "choice(among=('none', 'flip', 'affine', 'lee2022'))",
    "optimizer.lr": "loguniform(low=1e-5, high=1e-2)",
    "optimizer.weight_decay": "loguniform(low=1e-4, high=0.3)",
    "schedule.warmup_fraction": "uniform(low=0, high=0.2)",
    "regularization.mixup": "uniform(low=0, high=0.5)",
    "regularization.slice_dropout": "uniform(low=0, high=0.5)",
    "regularization.token_noise": "uniform(low=0, high=0.3)",
    "regularization.ema": "choice(among=(0.0, 0.99, 0.999))",
}
"""Where we would look for good values of the keys that matter most."""

OTHER_MEANINGS = {
    "optimizer.name": "Optimiser; biases and normalisation are not decayed under adamw.",
    "optimizer.lr": "Largest learning rate, reached after the warm-up.",
    "optimizer.weight_decay": "Weight decay.",
    "optimizer.momentum": "Momentum (sgd); the first beta of adamw.",
}
BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "up to"}
ENTRY = re.compile(r"^ {8}(\w+(?:, \w+)*): (.*(?:\n {12,}.*|\n(?= {12}))*)", re.MULTILINE)


@dataclass(frozen=True)
class RecipeKey:
    """A key as after ``--set``.

    Attributes:
        default: Its value in the recipe.
        allowed: Choices or range, in words; empty for any text.
        search_space: Proposed for ``volbench tune``; empty where there is no proposal.
    """

    key: str
    default: Any
    meaning: str
    allowed: str
    search_space: str


def recipe_info(name: str) -> list[RecipeKey]:
    """Describe every key of a recipe, by its name or the path of a TOML file.

    Raises:
        SpecError: no such recipe.

    >>> next(each for each in recipe_info("standard") if each.key == "training.epochs").allowed
    'whole, at least 1'
    """
    recipe = load_recipe(name)
    return [
        RecipeKey(
            key := f"{section}.{field}",
            getattr(getattr(recipe, section), field),
            meanings.get(field) or OTHER_MEANINGS.get(key, ""),
            _allowed(annotation, metadata) or (RULES[field][0] if kind is Preprocessing else ""),
            SEARCH.get(key, ""),
        )
        for section, kind in _sections()
        for meanings in [_meanings(kind)]
        for field, annotation, metadata in _fields(kind)
    ]


def _sections() -> Iterator[tuple[str, type]]:
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and name != "summary":
            yield name, field.annotation


def _fields(kind: Any) -> Iterator[tuple[str, Any, list[Any]]]:
    if is_dataclass(kind):
        for each in fields(kind):
            yield each.name, each.type, []
        return
    for name, field in kind.model_fields.items():
        yield name, field.annotation, list(field.metadata)


def _meanings(kind: type) -> dict[str, str]:
    """What the docstring says of each attribute."""
    text = kind.__doc__ or ""
    found: dict[str, str] = {}
    for names, said in ENTRY.findall(text):
        meaning = " ".join(said.split()).replace("``", "")
        found |= dict.fromkeys(names.split(", "), meaning)
    return found


def _allowed(annotation: Any, metadata: list[Any]) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    if annotation is bool:
        return "true, false"
    words = ["whole"] if annotation is int and metadata else []
    for each in (part for one in metadata for part in getattr(one, "metadata", [one])):
        words += [
            f"{word} {getattr(each, name):g}"
            for name, word in BOUNDS.items()
            if getattr(each, name, None) is not None and abs(getattr(each, name)) < 10**6
        ]
    return ", ".join(words)
