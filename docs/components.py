"""A page per built-in component, per command and for the recipes, written at every build.

`pages()` gives them as text; `setup()` is the Sphinx extension that writes them to
``docs/reference/generated/``. A hand-written ``docs/reference/<kind>/<name>.md`` takes the place of
the generated page of that component.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from volbench.cli.main import main
from volbench.experiment.recipes import built_in_recipes
from volbench.plugins import catalog
from volbench.plugins.registry import REGISTRIES, Factory

REFERENCE = Path(__file__).parent / "reference"
SOURCE = Path(__file__).parent.parent
OPTION = {
    "encoders": "--encoder",
    "aggregators": "--agg",
    "losses": "--loss",
    "datasets": "--data",
    "executors": "--on",
    "trackers": "--track",
}
SECTION = re.compile(r"^([A-Z][a-z]+):$")
ENTRY = re.compile(r"^([\w*.`]+)(?: \([^)]*\))?:\s+(.+)$", re.DOTALL)


def built_ins(kinds: str) -> list[str]:
    """Names that volbench itself provides; a plugin in the same environment is not our manual's."""
    return [
        name
        for name, origins in sorted(REGISTRIES[kinds].origins.items())
        if origins[0].distribution == "volbench"
    ]


def pages() -> dict[str, str]:
    """All generated pages, by path below docs/reference/generated/."""
    from api_pages import api_pages  # which uses this module

    found = {"commands.md": commands_page(), "recipes.md": recipes_page(), **api_pages()}
    for kinds in REGISTRIES:
        found[f"{kinds}.md"] = index_page(kinds)
        for name in built_ins(kinds):
            if not (REFERENCE / kinds / f"{name}.md").is_file():
                found[f"{kinds}/{name}.md"] = component_page(kinds, name)
    return found


def index_page(kinds: str) -> str:
    summaries = {item.name: item.summary for item in catalog.components(kinds)}
    where = {
        name: f"../{kinds}/{name}"
        if (REFERENCE / kinds / f"{name}.md").is_file()
        else f"{kinds}/{name}"
        for name in built_ins(kinds)
    }
    rows = [f"| [`{name}`]({page}.md) | {summaries[name]} |" for name, page in where.items()]
    return "\n".join(
        [
            f"# {kinds.capitalize()}",
            "",
            "| name | what it is |",
            "| --- | --- |",
            *rows,
            "",
            "```{toctree}",
            ":hidden:",
            *where.values(),
            "```",
            "",
        ]
    )


def component_page(kinds: str, name: str) -> str:
    factory = REGISTRIES[kinds][name]
    summary, body, sections = documentation(factory)
    source = inspect.getsourcefile(inspect.unwrap(factory))  # tests wrap it to check shapes
    module = inspect.getmodule(factory)
    if source is None or module is None:
        raise TypeError(f"{kinds}/{name} has no source")
    origin = (inspect.getdoc(module) or "").partition("\n")[0]
    lines = [f"# `{name}`", "", summary, ""]
    spec = name + required_options(factory)
    option = f"{OPTION[kinds]} {spec}" if kinds in OPTION else f"--set training.augmentation={spec}"
    lines += ["```console", f"$ volbench run {option} ...", "```", ""]
    lines += [body, ""]
    options = list(describe_options(factory, sections.pop("Args", "")))
    if options:
        lines += ["## Options", "", *options, ""]
    for title, text in sections.items():
        lines += [f"## {title}", "", bullets(text), ""]
    relative = Path(source).relative_to(SOURCE)
    lines += ["## Source", "", f"`{relative}`: {origin}", ""]
    return "\n".join(lines)


def documentation(factory: Factory) -> tuple[str, str, dict[str, str]]:
    """What is said of a factory; a short function leaves the rest to the class that it returns."""
    summary, body, sections = split_docstring(inspect.getdoc(factory) or "")
    built = inspect.signature(factory).return_annotation
    if inspect.isfunction(factory) and inspect.isclass(built):
        general, more, shared = split_docstring(inspect.getdoc(built) or "")
        body = "\n\n".join(filter(None, [body, general, more]))
        sections = {**shared, **sections}
    return summary, body, sections


def required_options(factory: Factory) -> str:
    """The options without which a spec is refused, ready to be filled in."""
    names = [
        parameter.name
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.default is inspect.Parameter.empty
    ]
    return f"({', '.join(f'{name}=...' for name in names)})" if names else ""


def describe_options(factory: Factory, documented: str) -> Iterator[str]:
    """One bullet per option a spec can set: name, type, default, meaning."""
    meanings = dict(entries(documented))
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            kind = inspect.formatannotation(parameter.annotation)
            required = parameter.default is inspect.Parameter.empty
            default = "required" if required else f"default `{parameter.default!r}`"
            meaning = meanings.get(parameter.name, "")
            yield f"- `{parameter.name}` (`{kind}`, {default}): {meaning}"


def split_docstring(docstring: str) -> tuple[str, str, dict[str, str]]:
    """Take a Google docstring apart: the first paragraph, the text, the sections by title."""
    body: list[str] = []
    sections: dict[str, list[str]] = {}
    current = body
    for line in docstring.splitlines():
        if match := SECTION.match(line):
            current = sections.setdefault(match[1], [])
        else:
            if current is not body and line and not line.startswith(" "):
                current = body
            current.append(line)
    summary, _, text = "\n".join(body).partition("\n\n")
    found = {title: textwrap.dedent("\n".join(lines)).strip() for title, lines in sections.items()}
    return summary, fence_doctests(text.strip()), found


def fence_doctests(text: str) -> str:
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        f"```pycon\n{part}\n```" if part.lstrip().startswith(">>>") else part for part in paragraphs
    )


def entries(section: str) -> Iterator[tuple[str, str]]:
    """The ``name: meaning`` entries of a section, which may go on, indented; or nameless ones."""
    for part in re.split(r"\n(?=\S)", section):
        match = ENTRY.match(part)
        name, meaning = match.groups() if match else ("", part)
        yield name.strip("`*"), " ".join(meaning.split())


def bullets(section: str) -> str:
    return "\n".join(
        f"- `{name}`: {meaning}" if name else f"- {meaning}" for name, meaning in entries(section)
    )


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        elif command is not None:
            yield f"{path} {name}", command


def commands_page() -> str:
    lines = ["# Commands", ""]
    for path, command in commands(main, "volbench"):
        context = click.Context(command, info_name=path, max_content_width=90, terminal_width=90)
        lines += [f"## {path}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


def recipes_page() -> str:
    lines = ["# Recipes", "", "A recipe is everything about training that is no component.", ""]
    for recipe in built_in_recipes():
        text = (files("volbench.experiment.recipes") / f"{recipe.name}.toml").read_text(
            encoding="utf-8"
        )
        lines += [f"## `{recipe.name}`", "", recipe.summary, "", "```toml", text.strip(), "```", ""]
    return "\n".join(lines)


def write_pages(app: Any) -> None:
    """Write what changed only, so that Sphinx builds only that."""
    folder = REFERENCE / "generated"
    wanted = pages()
    for path in folder.rglob("*.md"):
        if str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
