"""Creation of a plugin package from templates."""

import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from volbench.errors import UsageError
from volbench.plugins.registry import REGISTRIES

NAME = re.compile(r"[a-z][a-z0-9]*([-_.][a-z0-9]+)*", re.IGNORECASE)
PREFIX = "volbench"

# Names a template imports or defines: a class called like one of them would hide it.
TAKEN = {
    "Aggregator",
    "Augmentation",
    "Card",
    "Case",
    "CaseGenerator",
    "Dataset",
    "Embedding",
    "Encoder",
    "Executor",
    "ExecutorEvent",
    "ExecutorTask",
    "Generated",
    "Labels",
    "Loss",
    "Output",
    "Problem",
    "Scalar",
    "Scan",
    "Sequence",
    "SliceMask",
    "Square",
    "Tokens",
    "TrackedRun",
    "Tracker",
    "Volume",
}

CALLS = {
    "encoder": "volbench run --encoder {name} --agg bilinear --loss focal",
    "aggregator": "volbench run --encoder rmc5 --agg {name} --loss focal",
    "loss": "volbench run --encoder rmc5 --agg bilinear --loss {name}",
    "augmentation": "volbench run --encoder rmc5 --agg bilinear --loss focal "
    "--set training.augmentation={name}",
    "dataset": "volbench run --data {name} --encoder rmc5 --agg bilinear --loss focal",
    "executor": "volbench run --on {name} --encoder rmc5 --agg bilinear --loss focal",
    "tracker": "volbench run --track {name} --encoder rmc5 --agg bilinear --loss focal",
}


@dataclass(frozen=True)
class Names:
    """What one word is called in each place.

    >>> Names.of("log-sum-exp").distribution, Names.of("volbench-lse").component
    ('volbench-log-sum-exp', 'lse')
    """

    distribution: str
    package: str
    component: str

    @staticmethod
    def of(text: str) -> "Names":
        """Derive them; a leading ``volbench-`` is of the distribution, not of the component.

        Raises:
            UsageError: the text cannot be the name of a distribution or of a component.
        """
        if not NAME.fullmatch(text):
            raise UsageError(
                f"{text!r} cannot name a plugin; begin with a letter and go on with letters, "
                "digits and single hyphens, as in log-sum-exp"
            )
        words = re.split(r"[-_.]", text.lower())
        words = words[1:] if words[0] == PREFIX else words
        component = "_".join(words)
        if not component or component[0].isdigit() or keyword.iskeyword(component):
            raise UsageError(
                f"{text!r} would name the component {component!r}, which no spec can say; "
                "choose another name"
            )
        distribution = "-".join([PREFIX, *words])
        return Names(distribution, distribution.replace("-", "_"), component)

    def class_of(self, kind: str) -> str:
        """The name of its class, which must be no word of Python's or of the template's."""
        name = "".join(word.capitalize() for word in self.component.split("_"))
        taken = keyword.iskeyword(name) or name in TAKEN
        return f"{name}{kind.capitalize()}" if taken else name


def write_plugin(text: str, kind: str, into: Path) -> Path:
    """Write a new plugin and return its folder.

    Args:
        text: What it is called; see ``Names``.
        kind: encoder, aggregator, loss, augmentation, dataset, executor or tracker.
        into: The folder that gets the plugin's folder.

    Raises:
        UsageError: a name that cannot be, or a folder that exists already.
    """
    names = Names.of(text)
    folder = into / names.distribution
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists already; choose another name or another --into")
    kinds = next(kinds for kinds, registry in REGISTRIES.items() if registry.kind == kind)
    values = {
        "name": names.component,
        "title": names.component.replace("_", " ").capitalize(),
        "distribution": names.distribution,
        "package": names.package,
        "class_": names.class_of(kind),
        "kind": kind,
        "a_kind": f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}",
        "kinds": kinds,
        "contract": f"{kind.capitalize()}Contract",
        "run": CALLS[kind].format(name=names.component),
    }
    for target, template in {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        ".github/workflows/test.yml": "test.yml",
        f"{names.package}/__init__.py": "init.py",
        f"{names.package}/{names.component}.py": f"{kind}.py",
        f"tests/test_{names.component}.py": "test.py",
    }.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_fill(template, values), encoding="utf-8")
    return folder


def providers_of(text: str, kind: str) -> list[str]:
    """The distributions that provide the very component already."""
    component = Names.of(text).component
    registry = next(registry for registry in REGISTRIES.values() if registry.kind == kind)
    return [str(origin) for origin in registry.origins.get(component, ())]


def _fill(template: str, values: dict[str, str]) -> str:
    text = (files("volbench.plugins") / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(values)
