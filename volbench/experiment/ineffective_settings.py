"""Settings that were given but change nothing, because another setting has not the value they need.

A side of a box without ``crop=box`` is the common one: the run would be the same without it, and
whoever set it believes otherwise.
"""

from collections.abc import Callable, Iterable
from typing import Any

from volbench.data.preprocessing.options import BELONGING, OTHER_NAMES, Preprocessing
from volbench.experiment.recipe import Recipe

_PLATEAU = ("schedule.name", lambda name: name == "plateau", "plateau")
_CHOSEN = ("selection.checkpoint", lambda name: name == "validation", "validation")

NEEDED: dict[str, tuple[str, Callable[[Any], bool], str]] = {
    "schedule.factor": _PLATEAU,
    "schedule.patience": _PLATEAU,
    "schedule.stop_rate": _PLATEAU,
    "schedule.reload_best": _PLATEAU,
    "selection.metric": _CHOSEN,
    "selection.validation_fraction": _CHOSEN,
    "tta.augmentation": ("tta.passes", lambda passes: passes > 0, "10"),
    "regularization.mixup_on": ("regularization.mixup", lambda share: share > 0, "0.2"),
}
"""Key of a recipe: the one it depends on, whether it has an effect then, and a value that helps."""


def ineffective_settings(given: Iterable[str], recipe: Recipe) -> tuple[str, ...]:
    """Say which of the given settings change nothing, and what would make them count.

    Args:
        given: Keys, or texts as after ``--set``; what depends on no other is passed over.
        recipe: What follows from them, where known with the data set's own crop.

    >>> from volbench.experiment.recipe import load_recipe
    >>> ineffective_settings(["schedule.factor=0.5"], load_recipe("standard"))
    ('schedule.factor has no effect with schedule.name=cosine; it needs schedule.name=plateau',)
    """
    notes = list(ineffective_options(given, recipe.preprocessing))
    for key in _keys(given):
        if key in NEEDED:
            other, has_effect, wanted = NEEDED[key]
            section, _, name = other.partition(".")
            value = getattr(getattr(recipe, section), name)
            if not has_effect(value):
                notes.append(_note(key, other, value, wanted))
    return tuple(notes)


def ineffective_options(given: Iterable[str], options: Preprocessing) -> tuple[str, ...]:
    """The same for preprocessing alone, as `volbench data` has it.

    >>> (note,) = ineffective_options(["preprocessing.box_mm=40"], Preprocessing(crop="roi"))
    >>> note.partition("; ")[2]
    'it needs preprocessing.crop=box'
    """
    notes = []
    for key in _keys(given):
        section, _, name = key.partition(".")
        if section != "preprocessing" or name not in BELONGING:
            continue
        other, wanted = BELONGING[name]
        value = getattr(options, other)
        may_become = value == "auto" and wanted == "roi"  # auto never cuts a box
        if value != wanted and not may_become:
            notes.append(_note(key, f"preprocessing.{other}", value, wanted))
    return tuple(notes)


def _keys(given: Iterable[str]) -> list[str]:
    names = (text.partition("=")[0].strip() for text in given)
    return list(dict.fromkeys(OTHER_NAMES.get(name, name) for name in names))


def _note(key: str, other: str, value: object, wanted: object) -> str:
    as_given = str(value).lower() if isinstance(value, bool) else value
    needed = str(wanted).lower() if isinstance(wanted, bool) else wanted
    return f"{key} has no effect with {other}={as_given}; it needs {other}={needed}"
