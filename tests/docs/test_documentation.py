"""The manual keeps its word: its code runs, its commands exist, its lists are complete."""

import html
import inspect
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import click
import pytest

from volbench import errors
from volbench.cli.main import main
from volbench.datasets.manifest import Manifest
from volbench.errors import SpecError
from volbench.experiment.recipe import load_recipe, recipe_names
from volbench.plugins.registry import REGISTRIES, aggregators
from volbench.spec import parse, parse_sum
from volbench.testing.aggregators import AggregatorContract

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = DOCS / "reference" / "generated"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    if GENERATED not in path.parents
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILT_IN = {kinds: set(PROJECT["entry-points"][f"volbench.{kinds}"]) for kinds in REGISTRIES}
PLUGINS = [
    tomllib.loads(path.read_text(encoding="utf-8"))["project"]["entry-points"]
    for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))
]
KNOWN = {
    kinds: BUILT_IN[kinds].union(*(plugin.get(f"volbench.{kinds}", ()) for plugin in PLUGINS))
    for kinds in REGISTRIES
}


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def plugin_of(text):
    """The entry point's name and the class that a page's first module defines."""
    (described,) = blocks(text, "toml")
    ((name, value),) = tomllib.loads(described)["project"]["entry-points"][
        "volbench.aggregators"
    ].items()
    module, _, attribute = value.partition(":")
    assert f"`{module.replace('.', '/')}.py`" in text
    defined = types.ModuleType(module)
    exec(compile(blocks(text, "python")[0], f"{module}.py", "exec"), vars(defined))
    return name, defined, getattr(defined, attribute)


class TestPluginOfTheReadme(AggregatorContract):
    spec = "lse(r=4)"
    page = ROOT / "README.md"

    @pytest.fixture(autouse=True)
    def _installed(self, monkeypatch):
        name, module, factory = plugin_of(PAGES[self.page])
        monkeypatch.setitem(sys.modules, module.__name__, module)
        with aggregators.adding(**{name: factory}):
            yield


class TestPluginOfTheGuide(TestPluginOfTheReadme):
    page = DOCS / "how-to" / "write-a-plugin.md"


def test_the_plugin_of_the_readme_is_a_handful_of_lines():
    code = [line for line in blocks(README, "python")[0].splitlines() if line.strip()]
    assert len(code) <= 13
    assert blocks(README, "python")[0].count('"""') == 4


def shown_commands():
    for path, text in PAGES.items():
        for block in blocks(text, "console"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    yield path.relative_to(ROOT), shlex.split(line[2:], comments=True)


def test_every_command_shown_exists_with_its_options():
    seen = 0
    for page, words in shown_commands():
        program, *rest = words
        if Path(program).name != "volbench":
            continue
        seen += 1
        command, context = main, click.Context(main, info_name="volbench")
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            command, rest = command.get_command(context, rest[0]), rest[1:]
            assert command is not None, (page, words)
            context = click.Context(command, parent=context)
        command.make_parser(context).parse_args(args=[*rest])  # raises what a user would see
        for option in rest:
            if option.startswith("--"):
                known = {o for p in command.get_params(context) for o in p.opts}
                assert option.partition("=")[0] in known, (page, words)
    assert seen > 15


def test_every_spec_shown_on_a_command_line_can_be_read(tmp_path):
    for page, words in shown_commands():
        for option, value in itertools.pairwise(words):
            if option in ("--encoder", "--agg", "--loss"):
                assert parse_sum(value), page
                for term in parse_sum(value).terms:
                    kinds = {"--encoder": "encoders", "--agg": "aggregators", "--loss": "losses"}
                    assert term.spec.name in KNOWN[kinds[option]] | {"lse"}, (page, words)
            if option == "--recipe" and value.endswith(".toml"):  # a file that the page writes
                text = PAGES[ROOT / page]
                assert f"`{value}`" in text, page
                (tmp_path / value).write_text(blocks(text, "toml")[0], encoding="utf-8")
                load_recipe(str(tmp_path / value))
            elif option == "--recipe":
                assert value in recipe_names(), page


def test_every_make_target_shown_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    shown = {
        match for text in PAGES.values() for match in re.findall(r"[`$] ?make ([a-z-]+)", text)
    }
    assert {"demo", "test", "docs"} <= shown <= targets
    demo = re.search(r"^demo:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    first, second = (line.strip().removeprefix("$(BIN)/") for line in demo.splitlines())
    tutorial = PAGES[DOCS / "tutorial" / "first-comparison.md"]
    assert f"```console\n$ {first}\n$ {second}\n```" in tutorial


def test_the_first_screen_of_the_readme_has_a_question_an_image_and_five_lines_of_use():
    first_screen, _, _ = README.partition("\n## ")
    assert re.search(r"^\*\*.*\?\*\*$", first_screen.partition("\n!")[0], re.DOTALL | re.MULTILINE)
    (image,) = re.findall(r"^!\[(.+)\]\((.+)\)$", first_screen, re.MULTILINE)
    assert "0.874" in image[0], "the image's words for who cannot see it"
    assert (ROOT / image[1]).is_file()
    assert len(blocks(first_screen, "console")[0].splitlines()) == 5
    assert "(docs/index.md)" in first_screen


def test_the_image_of_the_readme_loads_nothing_and_shows_the_numbers_of_the_tutorial():
    image = (DOCS / "images" / "leaderboard.svg").read_text(encoding="utf-8")
    assert not re.search(r"url\((?!#)|@import|<script|href=", image)
    shown = html.unescape(re.sub(r"<[^>]+>", " ", image)).replace("\xa0", " ")
    tutorial = PAGES[DOCS / "tutorial" / "real-data.md"]
    rows = re.findall(r"^\| (r2d|rmc5), .* \| (0\.\d+) ± 0?(\.\d+) \|", tutorial, re.MULTILINE)
    compared = dict([(name, (mean, spread)) for name, mean, spread in rows][-2:])
    assert set(compared) == {"r2d", "rmc5"}, "the last table of the page that has both"
    for mean, spread in compared.values():
        assert f"{mean}±{spread}" in shown


def test_the_readme_lists_what_is_built_in_and_nothing_else():
    listed = {}
    _, _, built_in = README.partition("\n## What is built in\n")
    for row in re.findall(r"^\| (\w+) \| (.*) \|$", built_in, re.MULTILINE):
        words = re.findall(r"`([^`]+)`", row[1])
        listed[row[0]] = {word for word in words if word.isidentifier()}
    listed.pop("kind", None)
    assert listed == {**BUILT_IN, "recipes": set(recipe_names())}


def test_every_link_leads_somewhere():
    broken = []
    for path, text in PAGES.items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
            if "://" in target:
                continue
            there = (path.parent / target).resolve()
            if GENERATED in there.parents:
                there = DOCS / "components.py" if is_generated(there) else there
            if not there.exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert not broken


@pytest.fixture(scope="module")
def components():
    """The extension that writes the reference pages."""
    sys.path.insert(0, str(DOCS))
    try:
        import components

        yield components
    finally:
        sys.path.remove(str(DOCS))
        sys.modules.pop("components", None)


def is_generated(path):
    kinds = path.relative_to(GENERATED).parts[0].removesuffix(".md")
    return kinds in {*REGISTRIES, "commands", "recipes"}


def test_every_built_in_component_has_a_page_and_every_index_leads_to_it(components):
    pages = components.pages()
    for kinds, names in BUILT_IN.items():
        for name in names:
            by_hand = DOCS / "reference" / kinds / f"{name}.md"
            page = f"../{kinds}/{name}" if by_hand.is_file() else f"{kinds}/{name}"
            index = pages[f"{kinds}.md"].splitlines()
            assert page in index, "the table of contents leads to it"
            assert any(f"[`{name}`]({page}.md)" in line for line in index)
            text = PAGES[by_hand] if by_hand.is_file() else pages[f"{kinds}/{name}.md"]
            assert text.startswith("# ")
            assert len(text) > 100


def test_every_command_and_recipe_is_in_the_reference(components):
    pages = components.pages()
    for heading in ("run", "compare", "list", "info", "data check", "data prepare"):
        assert f"\n## volbench {heading}\n" in pages["commands.md"]
    assert "--encoder SPEC" in pages["commands.md"]
    for name in recipe_names():
        assert f"\n## `{name}`\n" in pages["recipes.md"]
    assert "[optimizer]" in pages["recipes.md"]


@pytest.mark.parametrize("kinds", REGISTRIES)
def test_every_option_of_a_built_in_component_is_explained(kinds, components):
    unexplained = []
    for name in sorted(BUILT_IN[kinds]):
        factory = REGISTRIES[kinds][name]
        summary, _, sections = components.documentation(factory)
        assert summary, name
        explained = dict(components.entries(sections.get("Args", "")))
        unexplained += [
            f"{name}({parameter.name}=)"
            for parameter in inspect.signature(factory).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
            and not explained.get(parameter.name)
        ]
    assert not unexplained


NEED_MORE_THAN_VOLBENCH = {"medmnist", "ray", "slurm"}
"""A downloaded file or a cluster: their pages show a command instead."""


@pytest.mark.parametrize("kinds", REGISTRIES)
def test_every_built_in_component_has_an_example_that_runs_as_a_doctest(kinds):
    without = [
        name
        for name in sorted(BUILT_IN[kinds] - NEED_MORE_THAN_VOLBENCH)
        if ">>> " not in inspect.getdoc(REGISTRIES[kinds][name])
    ]
    assert not without


def test_a_docstring_is_taken_apart_into_text_options_and_sections(components):
    def factory(first, *, width: int = 3, name: str):
        r"""Summary.

        Text with $x$.

        >>> 1 + 1
        2

        Args:
            first: Not an option.
            width: How wide,
                in pixels.

        Columns:
            a: One.
            Any other is kept.

        More text.
        """

    summary, body, sections = components.split_docstring(inspect.getdoc(factory))
    assert summary == "Summary."
    assert body == "Text with $x$.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore text."
    assert components.bullets(sections["Columns"]) == "- `a`: One.\n- Any other is kept."
    assert components.required_options(factory) == "(name=...)"
    assert list(components.describe_options(factory, sections["Args"])) == [
        "- `width` (`int`, default `3`): How wide, in pixels.",
        "- `name` (`str`, required): ",
    ]


def test_the_exit_codes_are_those_of_the_manual():
    page = PAGES[DOCS / "reference" / "exit-codes.md"]
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    raised = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, Exception)
    }
    assert listed == raised | {0, 130, 143}


def test_the_specs_of_the_manual_can_be_read_and_its_error_is_what_is_said():
    page = PAGES[DOCS / "reference" / "specs.md"]
    examples = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(examples) >= 4
    for text in examples:
        assert str(parse_sum(text)).replace("'", '"') == text, "shown in its canonical form"
    with pytest.raises(SpecError) as caught:
        parse("focal(2)")
    assert f"\n{caught.value}\n" in page


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/your-own-data.md"])
def test_the_manifests_of_the_manual_are_manifests(page, tmp_path):
    shown = [text for text in blocks(PAGES[ROOT / page], "text") if text.startswith("image")]
    assert shown
    for text in shown:
        path = tmp_path / "manifest.csv"
        path.write_text(text, encoding="utf-8")
        dataset = Manifest(path=str(path))
        assert len(dataset.cases()) == len(text.strip().splitlines()) - 1
        assert len(dataset.classes) == 2


def test_the_columns_of_a_manifest_are_all_explained():
    from volbench.datasets import manifest

    page = PAGES[DOCS / "how-to" / "your-own-data.md"]
    explained = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(explained) == sorted(manifest.KNOWN)


def test_every_place_for_a_table_is_closed_and_nothing_is_left_to_do():
    for path, text in PAGES.items():
        for opening in re.findall(r"<!-- table: (\w+) -->", text):
            assert f"<!-- /table: {opening} -->" in text, path
        assert "TODO" not in text, path


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_refuses_an_old_python_with_one_line_and_leaves_nothing(tmp_path):
    old = tmp_path / "python"
    pretend = "import sys; sys.version_info = (3, 10, 0); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}" "$2"\n')
    old.chmod(0o755)
    venv = tmp_path / "venv"
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith("MAKE")
    }  # of an outer make
    done = subprocess.run(
        ["make", "demo", f"PYTHON={old}", f"VENV={venv}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == (
        "volbench needs Python 3.11 or newer and found 3.10; name another: make PYTHON=python3.12"
    )
    assert not venv.exists()
