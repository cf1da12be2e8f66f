"""Built-in recipes, as TOML files beside this module."""

import tomllib
from importlib.resources import files

from volbench import __version__
from volbench.plugins.catalog import Item


def built_in_recipes() -> list[Item]:
    """List the recipes that come with volbench, by name, without importing the recipe schema.

    >>> "standard" in [recipe.name for recipe in built_in_recipes()]
    True
    """
    found = [
        Item(
            file.name.removesuffix(".toml"),
            "volbench",
            __version__,
            str(tomllib.loads(file.read_text(encoding="utf-8")).get("summary", "")),
        )
        for file in files(__name__).iterdir()
        if file.name.endswith(".toml")
    ]
    return sorted(found, key=lambda item: item.name)
