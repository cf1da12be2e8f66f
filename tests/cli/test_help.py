"""Help texts: every command and option has one, none is cut, and they are written alike."""

import re

import click
import pytest

from volbench.cli.main import main

FIRST_WORD = re.compile(r"[A-Z][\w'-]*")


def commands(command=main, parent=None, name="volbench"):
    """Every command of the tree with its context."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=80)
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            yield from commands(command.get_command(context, child), context, child)


CONTEXTS = list(commands())
NAMES = [context.command_path for context in CONTEXTS]
GROUPS = [context for context in CONTEXTS if isinstance(context.command, click.Group)]


def test_every_subcommand_is_reached():
    assert {"volbench run", "volbench data check", "volbench plugin new"} <= set(NAMES)
    assert len(NAMES) >= 20


@pytest.mark.parametrize("context", CONTEXTS, ids=NAMES)
def test_every_command_and_option_has_a_help_text(context):
    assert context.command.help
    missing = [
        parameter.name
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not missing


@pytest.mark.parametrize("context", CONTEXTS, ids=NAMES)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_no_option_takes_for_a_number_what_is_none(context, text):
    for option in context.command.params:
        if isinstance(option.type, click.types.FloatParamType | click.types.IntParamType):
            with pytest.raises(click.BadParameter):
                option.type.convert(text, option, context)


@pytest.mark.parametrize("context", GROUPS, ids=[context.command_path for context in GROUPS])
def test_no_short_help_is_cut_at_eighty_columns(context):
    shown = context.command.get_help(context)
    listed = shown.partition("Commands:\n")[2]
    names = context.command.list_commands(context)
    assert re.findall(r"^  (\S+) ", listed, re.MULTILINE) == names
    assert "..." not in listed
    assert len(listed.strip().splitlines()) == len(names), "one line each"


@pytest.mark.parametrize("context", CONTEXTS, ids=NAMES)
def test_help_texts_are_sentences(context):
    texts = [context.command.help.split("\n\n")[0]]
    texts += [
        option.help
        for option in context.command.get_params(context)
        if isinstance(option, click.Option)
    ]
    for text in texts:
        assert FIRST_WORD.match(text), text
        assert re.search(r"[.\]]$", text.rstrip()), text


@pytest.mark.parametrize("context", CONTEXTS, ids=NAMES)
def test_no_line_of_a_help_page_is_wider_than_its_terminal(context):
    examples = re.compile(r"^  volbench ")
    wide = [
        line
        for line in context.command.get_help(context).splitlines()
        if len(line) > 80 and not examples.match(line)
    ]
    assert not wide
