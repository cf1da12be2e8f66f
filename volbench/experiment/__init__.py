"""Experiments: components, recipe, splits and search spaces, as frozen values."""

from volbench._utils.lazy import lazy_attributes

_SOURCES = {
    **dict.fromkeys(
        ("Experiment", "Level", "Precision", "differing_keys", "parse_components", "short_source"),
        "volbench.experiment.experiment",
    ),
    **dict.fromkeys(("Recipe", "load_recipe", "recipe_names"), "volbench.experiment.recipe"),
    **dict.fromkeys(("choose_split", "make_split"), "volbench.experiment.split_designs"),
    "Split": "volbench.experiment.splits",
}
"""Imported when used: listing recipes needs none of them."""

__getattr__, __dir__ = lazy_attributes(__name__, _SOURCES)
