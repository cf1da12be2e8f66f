"""What is installed: components, recipes and plugins, described without importing any of them.

A component's line is the first line of its docstring, read from its source with ``ast``: listing
names must not cost the import of torch, nor run a stranger's code.
"""

import ast
import importlib.util
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path

from volbench import __version__
from volbench.registry import REGISTRIES, installed


@dataclass(frozen=True)
class Item:
    """One thing that can be named: a component or a recipe.

    Attributes:
        name: As it is written in a spec or an option.
        distribution: Who provides it.
        version: Of the distribution.
        summary: One line; empty where the source does not say.
    """

    name: str
    distribution: str
    version: str
    summary: str


@dataclass(frozen=True)
class Plugin:
    """A distribution that provides components, volbench's own among them."""

    distribution: str
    version: str
    components: dict[str, tuple[str, ...]]


def components(kinds: str) -> list[Item]:
    """List one kind of component (a key of ``registry.REGISTRIES``), by name."""
    return [
        Item(name, origin.distribution, origin.version, summary(origin.entry))
        for name, origins in sorted(REGISTRIES[kinds].origins.items())
        for origin in origins
    ]


def recipes() -> list[Item]:
    """List the recipes that come with volbench, by name."""
    found = [
        Item(
            file.name.removesuffix(".toml"),
            "volbench",
            __version__,
            str(tomllib.loads(file.read_text(encoding="utf-8")).get("summary", "")),
        )
        for file in files("volbench.recipes").iterdir()
        if file.name.endswith(".toml")
    ]
    return sorted(found, key=lambda item: item.name)


def plugins() -> list[Plugin]:
    """List the distributions that provide components, volbench first."""
    found: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for kinds, registry in REGISTRIES.items():
        for name, origins in sorted(registry.origins.items()):
            for origin in origins:
                provided = found.setdefault((origin.distribution, origin.version), {})
                provided[kinds] = (*provided.get(kinds, ()), name)
    ordered = sorted(found.items(), key=lambda item: (item[0][0] != "volbench", item[0]))
    return [Plugin(*distribution, provided) for distribution, provided in ordered]


def warnings() -> list[str]:
    """Say what is broken: one line for each broken distribution and each name provided twice."""
    found = list(installed().warnings)
    broken: dict[str, list[str]] = {}
    for registry in REGISTRIES.values():
        for name, origins in sorted(registry.origins.items()):
            if len(origins) > 1:
                found.append(
                    f"two distributions provide the {registry.kind} {name!r}: "
                    f"{' and '.join(map(str, origins))}; uninstall one"
                )
            for origin in origins:
                if reason := _defect(origin.entry):
                    broken.setdefault(str(origin), []).append(f"{registry.kind} {name!r} {reason}")
    for distribution, problems in broken.items():
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        found.append(f"{distribution} is broken: {problems[0]}{more}; update or uninstall it")
    return found


def _defect(entry: EntryPoint) -> str | None:
    """What can be seen to be wrong with a component before it is imported."""
    if EntryPoint.pattern.match(entry.value) is None:
        return f"is declared as {entry.value!r}, not as module:name"
    if _locate(entry.module) is None:
        return f"has no module {entry.module!r}"
    try:
        _parsed(entry.module)
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        return f"has an unreadable module {entry.module!r} ({type(error).__name__})"
    return None


def summary(entry: EntryPoint) -> str:
    """First docstring line of what ``entry`` names; empty where it cannot be read unimported."""
    return "" if _defect(entry) else _summary(entry.module, entry.attr)


def _summary(module: str, attribute: str, hops: int = 3) -> str:
    """Follow at most ``hops`` re-exports from ``module`` to the definition of ``attribute``."""
    try:
        tree = _parsed(module)
    except (OSError, SyntaxError, ValueError, RecursionError):  # of a module re-exported from
        return ""
    if tree is None or hops < 0:
        return ""
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) if name == attribute:
                line = _first_line(ast.get_docstring(node))
                # An equation is for the manual; the module's first line says it in words.
                return _first_line(ast.get_docstring(tree)) if "$" in line else line
            case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)) if (
                name == attribute
            ):
                match after:
                    case ast.Expr(ast.Constant(str() as text)):
                        return _first_line(text)
                return ""
            case ast.ImportFrom(names=names):
                for alias in names:
                    if (alias.asname or alias.name) == attribute:
                        return _summary(_absolute(module, node), alias.name, hops - 1)
    return ""


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """Name the module that ``from … import`` means when written in ``module``."""
    if node.level == 0:
        return node.module or ""
    spec = _locate(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, node.module] if node.module else kept)


def _parsed(module: str) -> ast.Module | None:
    spec = _locate(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return _parse_file(spec.origin)


@cache  # eleven encoders may live in one file
def _parse_file(path: str) -> ast.Module:
    return ast.parse(Path(path).read_bytes())


def _locate(module: str) -> ModuleSpec | None:
    """Find a module; unlike ``importlib.util.find_spec`` this does not import its parents."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
        name = top
        for part in rest:
            name = f"{name}.{part}"
            where: Sequence[str] | None = spec.submodule_search_locations if spec else None
            spec = PathFinder.find_spec(name, where) if where is not None else None
    except (ImportError, ValueError):
        return None
    return spec


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0].strip()
