"""Words of other tools, and of our other commands, lead to what volbench calls it."""

import shlex

import click
import pytest
from click.testing import CliRunner

from volbench.cli.main import main
from volbench.cli.other_words import COMMANDS, OPTIONS, WITHIN, WRITTEN
from volbench.experiment.setting_differences import recipe_keys
from volbench.spec import parse


def commands(group: click.Group = main, before: str = "") -> dict[str, click.Command]:
    """Every command by its path, groups too."""
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found[f"{before}{name}"] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{before}{name} ")
    return found


def said(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments, prog_name="volbench")
    assert result.exit_code == 2, result.output
    return result.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("typed", "way_out"),
    [
        ("run --runs x", "Did you mean '--out'?"),
        ("run --output x", "Did you mean '--out'?"),
        ("run -o x", "Did you mean '--out'?"),
        ("run --epochs 3", "Write --set training.epochs=VALUE; volbench info standard"),
        ("run --batch-size 3", "Write --set training.batch_size=VALUE;"),
        ("run --lr 0.1", "Write --set optimizer.lr=VALUE;"),
        ("run --backbone r2d", "Did you mean '--encoder'?"),
        ("run --pooling max", "Did you mean '--agg'?"),
        ("run --gpu 0", "Did you mean '--device'?"),
        ("run --cv 5", "Did you mean '--folds'?"),
        ("run --dry_run", "Did you mean '--dry-run'?"),
        ("run --early-stopping", "Write --set selection.patience=EPOCHS."),
        ("run --class-weights balanced", "Write --loss 'focal(class_weight=\"balanced\")'."),
        ("run --resume", "Rerun the same command to resume."),
        ("run --encodr r2d", "Did you mean '--encoder'?"),
        ("run --sort auc", "It is an option of volbench compare."),
        ("compare --out x", "Did you mean '--output'?"),
        ("compare --baseline x", "Did you mean '--against'?"),
        ("plan --runs x", "Did you mean '--from'?"),
        ("train", "Did you mean 'volbench run'?"),
        ("eval", "Did you mean 'volbench evaluate'?"),
        ("leaderboard", "Did you mean 'volbench compare'?"),
        ("audit", "Did you mean 'volbench data audit'?"),
        ("check", "Did you mean 'volbench data check' or 'volbench plugin check'?"),
        ("model-card", "Did you mean 'volbench report --card'?"),
        ("comare", "Did you mean 'compare'?"),
        ("data compare", "Did you mean 'volbench compare'?"),
        ("data stats", "Did you mean 'describe'?"),
        ("data chek", "Did you mean 'check'?"),
    ],
)
def test_what_a_newcomer_types_is_answered_with_the_way_out(typed: str, way_out: str) -> None:
    assert way_out in said(*shlex.split(typed))


@pytest.mark.parametrize("typed", ["run --xyzzy", "xyzzy"])
def test_a_word_that_means_nothing_is_answered_with_no_guess(typed: str) -> None:
    assert "Did you mean" not in said(*typed.split())


def test_what_is_missing_is_shown_by_an_example() -> None:
    expected = "For example: volbench run --encoder rmc5 --agg bilinear --loss focal+triplet"
    assert f"Missing option '--encoder'. {expected}" in said("run")


def test_every_option_that_is_suggested_exists() -> None:
    there = {name for command in commands().values() for one in command.params for name in one.opts}
    assert there >= set(OPTIONS)


def test_every_command_that_is_suggested_exists() -> None:
    there = set(commands())
    for name in (*COMMANDS, *(f"{group} {one}" for group, each in WITHIN.items() for one in each)):
        path = " ".join(part for part in name.split() if not part.startswith("-"))
        assert path in there or path in ("", "info standard", "list datasets"), name


def test_no_name_of_a_command_is_taken_for_another_word() -> None:
    names = {path.split()[-1] for path in commands()}
    assert not names & {word for words in COMMANDS.values() for word in words}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_to_be_written_can_be_read(text: str) -> None:
    option, value = shlex.split(text)
    assert any(option in one.opts for one in commands()["run"].params)
    if option == "--set":
        assert value.partition("=")[0] in recipe_keys()
    elif option in ("--encoder", "--loss"):
        assert parse(value).name in ("r2d", "timm", "focal", "triplet")
