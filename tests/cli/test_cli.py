"""The command line: starts fast, helps everywhere, ends an error as one line and an exit code."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner

from volbench import errors
from volbench.cli.main import Volbench, main
from volbench.plugins.registry import REGISTRIES
from volbench.plugins.torchio_transforms import random_names

HEAVY = ["torch", "numpy", "pandas", "sklearn", "scipy", "SimpleITK", "torchio", "kornia", "timm"]
HEAVY += ["optuna", "statsmodels", "rich", "pydantic", "safetensors", "matplotlib"]

EXIT_CODES = {
    errors.UsageError: 2,
    errors.DataError: 3,
    errors.SpecError: 4,
    errors.UnknownComponentError: 4,
    errors.StateError: 5,
    errors.StorageError: 6,
    errors.PluginError: 7,
    errors.TrainingError: 1,
    errors.PreemptedError: 143,
    errors.ExecutorError: 6,
    errors.OutOfMemoryError: 1,
}


def volbench(*arguments, **options):
    """Run the command as a person does, in a process of its own."""
    code = "from volbench.cli.main import main; import sys; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def commands(group=main, path=()):
    """Every command and group below ``group``, with the words that name it."""
    context = click.Context(group)
    yield path, group
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--json"], ["--version"]])
def test_help_and_list_import_nothing_heavy(arguments):
    code = (
        "import json, sys\n"
        "from volbench.cli.main import main\n"
        f"main({arguments!r})\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout
    assert json.loads(done.stderr.splitlines()[-1]) == []


def test_the_package_itself_imports_nothing_heavy():
    code = f"import sys, volbench; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_helps_and_says_what_it_and_its_options_do():
    for path, command in commands():
        shown = CliRunner().invoke(main, [*path, "--help"])
        assert shown.exit_code == 0, path
        assert shown.output.startswith("Usage: "), path
        assert command.help, path
        assert "\\b" not in shown.output, path  # a mark for click, to be used and not shown
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, (path, parameter.name)


def test_the_commands_are_those_of_the_manual():
    assert [path for path, command in commands() if not isinstance(command, click.Group)] == [
        ("run",),
        ("compare",),
        ("tune",),
        ("report",),
        ("site",),
        ("clinical",),
        ("suite", "run"),
        ("suite", "show"),
        ("status",),
        ("logs",),
        ("merge",),
        ("predict",),
        ("evaluate",),
        ("export",),
        ("list",),
        ("info",),
        ("data", "manifest"),
        ("data", "check"),
        ("data", "describe"),
        ("data", "prepare"),
        ("data", "show"),
        ("data", "audit"),
        ("data", "phantom"),
        ("plan",),
        ("features",),
        ("plugin", "new"),
        ("plugin", "check"),
    ]


def test_every_error_class_has_its_exit_code():
    found = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and value is not errors.VolbenchError
    }
    assert {error: error.exit_code for error in found} == EXIT_CODES


def failing(error):
    """The top of the command line over one command that raises ``error``."""

    @click.command("fail")
    def fail():
        raise error

    group = Volbench("volbench", modules={})
    group.get_command = lambda ctx, name: fail
    return group


@pytest.mark.parametrize("kind", EXIT_CODES, ids=lambda kind: kind.__name__)
def test_an_error_ends_as_one_line_and_its_exit_code(kind, capsys):
    with pytest.raises(SystemExit) as caught:
        failing(kind("the thing is 3\nmend it")).main(["fail"])
    assert caught.value.code == EXIT_CODES[kind]
    assert capsys.readouterr().err == "volbench: the thing is 3 mend it\n"


WAY_OUT = ": free some, or use another --device"


def test_what_nobody_foresaw_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="odd"):
        failing(RuntimeError("odd")).main(["fail"])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted; rerun the same command to resume"),
        (click.Abort(), 130, "interrupted; rerun the same command to resume"),
        (OSError(28, "No space left on device", "runs/x"), 6, "No space left on device: runs/x"),
        (PermissionError(13, "Permission denied", "runs"), 6, "Permission denied: runs"),
        (OSError("odd"), 6, "odd"),
        (OSError(12, "Cannot allocate memory"), 1, f"[Errno 12] Cannot allocate memory{WAY_OUT}"),
        (MemoryError(), 1, f"out of memory{WAY_OUT}"),
        (
            RuntimeError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
                "15.78 GiB of which 3.75 MiB is free."
            ),
            1,
            f"CUDA out of memory. Tried to allocate 2.00 GiB{WAY_OUT}",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_the_system_does_ends_as_one_line_too(error, code, line, capsys):
    with pytest.raises(SystemExit) as caught:
        failing(error).main(["fail"])
    assert caught.value.code == code
    assert capsys.readouterr().err.strip() == f"volbench: {line}"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["lst"], r"volbench: No such command 'lst'\..* \(see volbench --help\)"),
        (
            ["list", "--nope"],
            r"volbench: No such option '?--nope'?\.? \(see volbench list --help\)",
        ),
        (
            ["list", "nonsense"],
            r"volbench: Invalid value for .*'nonsense' is not one of 'encoders'.*",
        ),
        (["list", "losses", "more"], r"volbench: Got unexpected extra argument \(more\).*"),
        (["data", "chek"], r"volbench: No such command 'chek'\..* \(see volbench data --help\)"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_two(arguments, line):
    done = volbench(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    shown = last.replace("volbench: ", "", 1).replace("-c ", "volbench ")
    assert re.fullmatch(line, f"volbench: {shown}"), last


def test_without_a_word_the_help_is_shown():
    done = volbench()
    assert done.returncode == 2
    assert "Usage:" in done.stderr
    assert "compare" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminated_command_says_so_and_returns_143():
    code = (
        "import click, time\n"
        "from volbench.cli.main import Volbench\n"
        "@click.command()\n"
        "def wait():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "group = Volbench('volbench', modules={})\n"
        "group.get_command = lambda ctx, name: wait\n"
        "group.main(['wait'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 143
    assert complaint == "volbench: terminated; rerun the same command to resume\n"


def listed(*arguments):
    done = CliRunner().invoke(main, ["list", *arguments])
    assert done.exit_code == 0
    return done.stdout


def first_line(thing):
    return thing.__doc__.strip().splitlines()[0].strip()


@pytest.mark.parametrize("kinds", REGISTRIES)
def test_list_names_every_component_with_its_origin_and_its_docstring(kinds):
    """The one place where the docstrings read from source meet those of the imported objects."""
    records = {item["name"]: item for item in json.loads(listed(kinds, "--json"))[kinds]}
    bridged = set(random_names()) if kinds == "augmentations" else set()
    assert set(records) == {*REGISTRIES[kinds], *bridged}
    for name, factory in REGISTRIES[kinds].items():
        origin = REGISTRIES[kinds].origins[name][0]
        assert records[name]["distribution"] == origin.distribution
        assert records[name]["version"] == origin.version
        line, of_module = map(first_line, (factory, sys.modules[factory.__module__]))
        assert records[name]["summary"] == (of_module if "$" in line else line)
        assert "$" not in records[name]["summary"], "an equation is nothing for a terminal"
    lines = listed(kinds).splitlines()
    assert [line.split()[0] for line in lines] == sorted(records)
    for line, name in zip(lines, sorted(records), strict=True):
        assert line.endswith(records[name]["summary"])


def test_list_without_a_kind_shows_all_of_them():
    sections = [line for line in listed().splitlines() if line and not line.startswith(" ")]
    assert sections == [*REGISTRIES, "recipes", "plugins"]
    assert list(json.loads(listed("--json"))) == sections


def test_list_shows_recipes_with_their_summary_and_plugins_with_what_they_provide():
    recipes = {item["name"]: item for item in json.loads(listed("recipes", "--json"))["recipes"]}
    assert "validation" in recipes["standard"]["summary"]
    first = json.loads(listed("plugins", "--json"))["plugins"][0]
    assert first["distribution"] == "volbench"
    assert "rmc5" in first["components"]["encoders"]
    assert set(first["components"]) == set(REGISTRIES)


def test_list_is_a_table_on_a_terminal_and_plain_in_a_pipe():
    code = "from volbench.cli.main import main; main(['list', 'aggregators'])"
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm-256color"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=child, env=environment):
        os.close(child)
        shown = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                piece = os.read(parent, 4096)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(parent)
    assert b"bilinear" in shown
    assert b"\x1b[" in shown
    assert "\x1b" not in listed("aggregators")


def test_list_into_a_pipe_that_closes_early_is_no_traceback():
    code = "from volbench.cli.main import main; import sys; sys.exit(main(['list']))"
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=closed, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
