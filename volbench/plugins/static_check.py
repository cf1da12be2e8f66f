"""Static check of a component's source with `ast`, without importing it.

What is visible to the eye is found here; what only running the code shows, ``probe`` finds.
"""

import ast
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint
from pathlib import Path

UNREADABLE = (OSError, SyntaxError, ValueError, RecursionError, MemoryError)


def defect(entry: EntryPoint) -> str | None:
    """What can be seen to be wrong with a component before it is imported."""
    if EntryPoint.pattern.match(entry.value) is None:
        return f"is declared as {entry.value!r}, not as module:name"
    spec = locate(entry.module)
    if spec is None:
        return f"has no module {entry.module!r}"
    try:
        tree = _parsed(spec)
    except UNREADABLE as error:
        return f"has an unreadable module {entry.module!r} ({type(error).__name__})"
    if tree is None:  # compiled
        return None
    for needed in _needed(tree):
        if not _is_there(needed):
            return f"needs the module {needed!r}, which is not installed"
    top = entry.attr.partition(".")[0]
    if top and not _defines(tree, top):
        return f"is not there: module {entry.module!r} has no {top!r}"
    return None


def summary(entry: EntryPoint) -> str:
    """First docstring line of what ``entry`` names; empty where it cannot be read unimported."""
    return "" if defect(entry) else _summary(entry.module, entry.attr)


def _defines(tree: ast.Module, name: str) -> bool:
    """Whether a module may have a name; ``__getattr__`` and ``import *`` may give it any."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=found) | ast.FunctionDef(name=found):
                if found in (name, "__getattr__"):
                    return True
            case ast.Name(id=found, ctx=ast.Store()) | ast.alias(asname=str() as found):
                if found == name:
                    return True
            case ast.alias(name=found):
                if found in ("*", name) or found.partition(".")[0] == name:
                    return True
            case ast.Call(func=ast.Name(id="globals" | "vars" | "setattr" | "exec")):
                return True
    return False


def _needed(tree: ast.Module) -> Iterator[str]:
    """Top-level modules that must be there for a module to be imported."""
    for node in tree.body:  # an import inside try, if or a function may be one it can do without
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str() as module, level=0):
                yield module.partition(".")[0]


@cache
def _is_there(top: str) -> bool:
    return top in sys.modules or top in sys.builtin_module_names or locate(top) is not None


def _summary(module: str, attribute: str, hops: int = 3) -> str:
    """Follow at most ``hops`` re-exports from ``module`` to the definition of ``attribute``."""
    spec = locate(module)
    try:
        tree = _parsed(spec) if spec else None
    except UNREADABLE:  # of a module re-exported from
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
    spec = locate(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, node.module] if node.module else kept)


def _parsed(spec: ModuleSpec) -> ast.Module | None:
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return _parse_file(spec.origin)


@cache  # eleven encoders may live in one file
def _parse_file(path: str) -> ast.Module:
    return ast.parse(Path(path).read_bytes())


def locate(module: str) -> ModuleSpec | None:
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
