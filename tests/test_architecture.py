"""The shape of the code: imports point down, heavy libraries stay where they belong, no pickle."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "volbench"
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def part_of(module: str) -> str:
    """The part of the package a module belongs to: ``data`` for ``volbench.data.reading``."""
    _, _, inside = module.partition(".")
    return inside.partition(".")[0] or "__init__"


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, at the top or inside a function, in absolute terms."""
    package = module_of(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            kept = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*kept, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in MODULES else base


def own_imports(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] == "volbench"}


def foreign(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)} - {"volbench"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_imports_keep_the_contracts():
    """Layers, independence of the registries and the walks: the contracts in pyproject.toml."""
    from importlinter.cli import lint_imports

    assert lint_imports(str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


def test_there_is_no_circle_of_imports():
    graph = {module_of(path): own_imports(path) - {module_of(path)} for path in FILES}
    while leaves := {name for name, needs in graph.items() if not needs & graph.keys()}:
        for name in leaves:
            del graph[name]
    assert not graph, "these import one another, or something that does"


@pytest.mark.parametrize(
    ("libraries", "parts"),
    [
        ({"click", "rich"}, {"cli", "leaderboard", "report"}),
        ({"SimpleITK"}, {"data", "datasets"}),
        ({"torchio"}, {"data", "datasets", "augmentations", "plugins"}),
        ({"pydicom", "nibabel"}, {"data", "datasets"}),
        ({"timm"}, {"encoders"}),
        ({"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}, set()),
    ],
    ids=["terminal", "images", "subjects", "headers", "timm", "pickle"],
)
def test_a_library_stays_in_the_parts_that_may_use_it(libraries, parts):
    stray = [
        f"{relative(path)} imports {', '.join(found)}"
        for path in FILES
        if (found := foreign(path) & libraries) and part_of(module_of(path)) not in parts
    ]
    assert not stray


def test_the_dependencies_are_those_that_are_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = {normal(text) for text in project["dependencies"]}
    optional = {normal(text) for name in extras for text in extras[name]}
    providers = packages_distributions()
    used = {
        normal(distribution)
        for path in FILES
        for library in foreign(path) - sys.stdlib_module_names
        for distribution in providers.get(library, [library])[:1]
    }
    assert required - used <= {"torchio"}, "declared, and imported by no module"
    assert used - required - optional == set(), "imported, and declared nowhere"


def normal(requirement: str) -> str:
    """The name of a distribution in a requirement, as registries compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~ ;]", requirement)[0]).lower()


def test_heavy_libraries_are_imported_inside_functions_of_the_command_line():
    heavy = {"torch", "numpy", "pandas", "sklearn", "scipy", "SimpleITK", "torchio", "kornia"}
    heavy |= {"timm", "optuna", "statsmodels", "pydantic", "safetensors", "matplotlib", "jinja2"}
    stray = []
    for path in FILES:
        if part_of(module_of(path)) != "cli":
            continue
        for node in parsed(path).body:
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            stray += [f"{relative(path)}: {n}" for n in names if n.split(".")[0] in heavy]
    assert not stray


def at_import(path: Path) -> set[str]:
    """What importing a file imports; what its functions import is left out."""
    statements = [
        node for node in parsed(path).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = set()
    for node in statements:
        base = [] if isinstance(node, ast.Import) else [node.module or ""]
        names |= {*base, *(".".join([*base, alias.name]) for alias in node.names)}
    return names


@pytest.mark.parametrize("start", ["volbench.leaderboard", "volbench.audit"])
def test_comparing_runs_never_waits_for_torch(start):
    # Seconds of import, for tables and tests that need none of it.
    files = {module_of(path): path for path in FILES}
    reached: dict[str, str] = {}
    waiting = {start: start}
    while waiting:
        name, way = waiting.popitem()
        if name in reached:
            continue
        reached[name] = way
        parent = name.rpartition(".")[0]
        needed = at_import(files[name]) if name in files else set()
        waiting |= {one: f"{way} > {one}" for one in {*needed, parent} - reached.keys() if one}
    assert "numpy" in reached
    assert not [way for name, way in reached.items() if name.split(".")[0] == "torch"]


def test_every_module_says_what_it_is():
    assert not [relative(path) for path in FILES if not ast.get_docstring(parsed(path))]


PICKLING_CALLS = {"torch.load", "torch.save", "torch.jit.load", "torch.jit.save"}
PICKLING_METHODS = {"read_pickle", "to_pickle"}


def test_nothing_is_pickled():
    found = []
    for path in FILES:
        tensors_only: set[ast.expr] = set()  # torch.load(..., weights_only=True) runs no code
        for node in ast.walk(parsed(path)):
            match node:
                case ast.Call(func=ast.Attribute() as load, keywords=keywords) if any(
                    one.arg == "weights_only" and ast.unparse(one.value) == "True"
                    for one in keywords
                ):
                    tensors_only.add(load)
                case ast.Attribute() if node in tensors_only:
                    pass
                case ast.Attribute(attr=name) if (
                    name in PICKLING_METHODS or ast.unparse(node) in PICKLING_CALLS
                ):
                    found.append(f"{relative(path)}:{node.lineno}: {ast.unparse(node)}")
                case ast.keyword(arg="allow_pickle", value=value) if ast.unparse(value) != "False":
                    found.append(f"{relative(path)}:{node.lineno}: allow_pickle")
    assert not found


def test_annotations_can_be_checked_at_run_time():
    """The checker of shapes in tests can resolve neither of these."""
    future = "from __future__ import annotations"
    found = [
        relative(path)
        for path in FILES
        if future in (text := path.read_text(encoding="utf-8"))
        or re.search(r"typing import .*\bSelf\b", text)
    ]
    assert not found


def tracked() -> list[Path]:
    """The files of the repository; of the folder, where it is no repository (an sdist)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    found = [ROOT / name for name in names if name] or list(PACKAGE.rglob("*"))
    return [path for path in found if path.is_file()]


# Put together here, so that this file does not find itself.
MACHINE_PATHS = tuple("/" + name + "/" for name in ("work", "root", "home/[a-z]+"))


def test_no_file_speaks_of_a_path_of_one_machine():
    pattern = re.compile(rf"(?<![\w.:/-])({'|'.join(MACHINE_PATHS)})")
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image
        found += [f"{relative(path)}: {match[0]}" for match in pattern.finditer(text)]
    assert not found


def test_constraints_pin_exact_versions_of_the_registry():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", pin) for pin in pins)
    assert {"torch==2.11.0", "torchvision==0.26.0"} <= set(pins)
