"""Every public class and function has an example, and at least a line of it runs and is checked."""

import doctest
import inspect
from importlib import import_module

import pytest

from volbench.plugins.registry import REGISTRIES

ROOMS = (
    "volbench",
    "volbench.plot",
    "volbench.interfaces",
    "volbench.testing",
    "volbench.predict",
    "volbench.report",
    "volbench.model_card",
    "volbench.export",
    "volbench.data.preparation",
)
"""Modules whose names a user or the author of a plugin imports."""

OTHERS = (
    "volbench._api.listing:list_components",
    "volbench.audit:audit",
    "volbench.audit:score_audit",
    "volbench.audit:summarize",
    "volbench.spec:parse",
    "volbench.spec:parse_sum",
    "volbench.suite:load_suite",
)

EXCEPTIONS = {
    "volbench.export:export_onnx": "cannot be traced under the type checks of the tests; "
    "tests/export and the page on Python run it without them",
}
"""What needs no example, and why."""


def public_names():
    for room in ROOMS:
        module = import_module(room)
        own = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == room
        ]
        for name in getattr(module, "__all__", own):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{room}:{name}"
    yield from OTHERS


def built_in_components():
    for kinds, registry in REGISTRIES.items():
        for name, origins in registry.origins.items():
            if origins[0].is_built_in:
                yield kinds, name


def checked_lines(thing):
    """Lines of examples that run and do more than import."""
    finder = doctest.DocTestFinder(recurse=False)
    return [
        example.source
        for found in finder.find(inspect.unwrap(thing), "shown", globs={})
        for example in found.examples
        if not example.options.get(doctest.SKIP)
        and not example.source.startswith(("import ", "from "))
    ]


@pytest.mark.parametrize("path", sorted(set(public_names()) - set(EXCEPTIONS)))
def test_every_public_name_has_an_example_that_runs(path):
    module, _, name = path.partition(":")
    assert checked_lines(getattr(import_module(module), name)), f"{path} has no example that runs"


@pytest.mark.parametrize(("kinds", "name"), sorted(built_in_components()))
def test_every_built_in_component_has_an_example_that_runs(kinds, name):
    registry = REGISTRIES[kinds]
    factory = registry[name]
    built = inspect.signature(inspect.unwrap(factory)).return_annotation
    shown = checked_lines(factory) + (checked_lines(built) if inspect.isclass(built) else [])
    assert shown, f"{registry.kind} {name} has no example that runs"


def test_an_example_that_is_skipped_or_only_imports_is_none():
    def skipped():
        """>>> 1 + 1  # doctest: +SKIP
        2
        """

    def imports():
        """>>> import volbench"""

    assert not checked_lines(skipped)
    assert not checked_lines(imports)
