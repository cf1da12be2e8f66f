"""The Python reference: a page per public class and function, from signatures and docstrings."""

import inspect
from importlib import import_module
from typing import Any

from components import SECTION, bullets, split_docstring

GROUPS = {
    "Run, load, compare": (
        "volbench:run",
        "volbench:load_runs",
        "volbench:Runs",
        "volbench:compare",
        "volbench:Ensemble",
        "volbench:load_prepared",
        "volbench:list",
        "volbench:info",
        "volbench:VolbenchError",
    ),
    "Plot": (
        "volbench.plot:leaderboard",
        "volbench.plot:roc",
        "volbench.plot:calibration",
        "volbench.plot:history",
    ),
    "Write": (
        "volbench.report:make_report",
        "volbench.model_card:card_markdown",
        "volbench.export:export_onnx",
    ),
    "Predict": ("volbench.predict:Predicted", "volbench.predict:InSample"),
    "Write a component": (
        "volbench:Encoder",
        "volbench:Aggregator",
        "volbench:Loss",
        "volbench:Augmentation",
        "volbench:Dataset",
        "volbench.interfaces:Executor",
        "volbench.interfaces:Problem",
        "volbench.interfaces:Case",
        "volbench.interfaces:Card",
        "volbench.interfaces:Files",
        "volbench.interfaces:Generated",
        "volbench.interfaces:SubjectSource",
        "volbench.interfaces:ExecutorTask",
        "volbench.interfaces:ExecutorEvent",
        "volbench.interfaces:TaskContext",
    ),
    "Test a component": (
        "volbench.testing:EncoderContract",
        "volbench.testing:AggregatorContract",
        "volbench.testing:LossContract",
        "volbench.testing:AugmentationContract",
        "volbench.testing:DatasetContract",
        "volbench.testing:ExecutorContract",
    ),
}


def api_pages() -> dict[str, str]:
    """All pages, by path below docs/reference/generated/."""
    found = {"python.md": index()}
    for paths in GROUPS.values():
        for path in paths:
            found[f"python/{slug(path)}.md"] = page(path)
    return found


def slug(path: str) -> str:
    return path.replace(":", ".")


def index() -> str:
    lines = [
        "# Python",
        "",
        "Every example on these pages runs as a test but that of `export_onnx`.",
        "",
    ]
    for title, paths in GROUPS.items():
        lines += [f"## {title}", "", "| name | what it is |", "| --- | --- |"]
        for path in paths:
            summary = (inspect.getdoc(thing(path)) or "").partition("\n")[0].replace("|", "\\|")
            lines.append(f"| [`{slug(path)}`](python/{slug(path)}.md) | {summary} |")
        lines.append("")
    pages = [f"python/{slug(path)}" for paths in GROUPS.values() for path in paths]
    return "\n".join([*lines, "```{toctree}", ":hidden:", *pages, "```", ""])


def thing(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def page(path: str) -> str:
    described = thing(path)
    summary, body, sections = split_docstring(inspect.getdoc(described) or "")
    lines = [
        f"# `{slug(path)}`",
        "",
        "```python",
        signature(path, described),
        "```",
        "",
        summary,
        "",
    ]
    lines += [body, ""]
    for title, text in sections.items():
        lines += [f"## {title}", "", bullets(text), ""]
    members = list(methods(described)) if inspect.isclass(described) else []
    if members:
        lines += ["## Methods", "", *members]
    return "\n".join(lines)


def signature(path: str, described: Any) -> str:
    name = path.partition(":")[2]
    try:
        parameters = [
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in inspect.signature(described).parameters.values()
        ]
    except ValueError:  # of an exception, which takes anything
        return name
    shown = str(inspect.Signature(parameters))
    if shown == "(*args, **kwargs)":  # of a class to subclass: its docstring says how it is built
        return f"class {name}"
    if len(name) + len(shown) < 90:
        return f"{name}{shown}"
    return f"{name}(\n    " + ",\n    ".join(shown[1:-1].split(", ")) + ",\n)"


def methods(described: type) -> "Any":
    """Public methods and properties of the class itself, a paragraph each."""
    for name, value in vars(described).items():
        documented = inspect.getdoc(value)
        plain = inspect.isfunction(value) or isinstance(value, property) or hasattr(value, "func")
        if name.startswith(("_", "test_")) or not plain or not documented:
            continue
        shown = name
        if inspect.isfunction(value):
            names = [each for each in inspect.signature(value).parameters if each != "self"]
            shown = f"{name}({', '.join(names)})"
        lines = documented.splitlines()
        text = []
        for line in lines:
            if SECTION.match(line) or line.startswith(">>>"):
                break
            text.append(line)
        yield from (f"`{shown}`", f": {' '.join(' '.join(text).split())}", "")
