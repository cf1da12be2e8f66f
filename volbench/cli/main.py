"""The `volbench` command: dispatch to subcommands; errors become one line and an exit code."""

import errno
import io
import os
import re
import signal
import sys
import traceback
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from volbench import __version__
from volbench._utils.plain_signs import HANDLER
from volbench._utils.text import printable
from volbench.cli.groups import DEBUG_VARIABLE, LazyGroup
from volbench.errors import OutOfMemoryError, StorageError, UsageError, VolbenchError

_NO_NUMBER = re.compile(r"('[^']*') is not a valid (integer|float)(?: range)?\.")
"""What click says of a text that is no number, in the words of its own classes."""


class Volbench(LazyGroup):
    """Top-level group. Every error ends as one line on stderr and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command and exit with its code, or with that of its error."""
        signal.signal(signal.SIGTERM, _terminate)
        for stream in (sys.stdout, sys.stderr):  # an encoding may lack signs of a table
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=HANDLER)
        try:
            # Outside standalone mode click returns the code of an Exit instead of ending with it.
            if code := super().main(*args, **{**kwargs, "standalone_mode": False}):
                sys.exit(code)
        except NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            _end(_said(error), error.exit_code)
        except VolbenchError as error:
            _end(str(error), error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            _end("interrupted; rerun the same command to resume", 130)
        except Exception as error:
            told = _of_the_machine(error)
            if told is None:
                raise
            _end(*told)


def _of_the_machine(error: Exception) -> tuple[str, int] | None:
    """Line and exit code of what a disk or memory refuses; None if it is something else."""
    from volbench._utils.out_of_memory import is_out_of_memory, tell_out_of_memory

    if is_out_of_memory(error):
        return tell_out_of_memory(error), OutOfMemoryError.exit_code
    if not isinstance(error, OSError):
        return None
    where = f": {error.filename}" if error.filename else ""
    of_a_name = error.errno in (errno.ENAMETOOLONG, errno.ELOOP)  # says nothing of a disk
    code = UsageError.exit_code if of_a_name else StorageError.exit_code
    return f"{error.strerror or error}{where}", code


def _said(error: click.ClickException) -> str:
    """What is wrong with a command line, and the way out."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    if isinstance(error, click.NoSuchOption):
        from volbench.cli.other_words import option_hint

        message = error.message + option_hint(error.option_name, context)
    elif isinstance(error, click.MissingParameter):
        from volbench.cli.other_words import example

        shown = example(context)
        message += f" For example: {shown}" if shown else ""
    elif isinstance(error, click.BadParameter):
        message = _NO_NUMBER.sub(_as_number, message)
    return f"{message} (see {context.command_path} --help)"


def _as_number(found: re.Match[str]) -> str:
    text, kind = found.groups()
    told = f"{text} is not {'a whole number' if kind == 'integer' else 'a number'}"
    decimal = re.fullmatch(r"'([+-]?\d+),(\d+)'", text)
    point = f"{decimal[1]}.{decimal[2]}" if decimal and kind == "float" else ""
    return f"{told}; write {point}." if point else f"{told}."


def _terminate(number: int, frame: object) -> None:
    _end("terminated; rerun the same command to resume", 128 + number)


def _end(message: str, exit_code: int) -> None:
    from volbench.cli.output import echo_note

    if os.environ.get(DEBUG_VARIABLE) and sys.exc_info()[0] is not None:
        traceback.print_exc()
    echo_note(f"volbench: {printable(' '.join(message.splitlines()))}")
    sys.exit(exit_code)


@click.group(
    cls=Volbench,
    modules={
        "run": "volbench.cli.run",
        "compare": "volbench.cli.compare",
        "tune": "volbench.cli.tune",
        "report": "volbench.cli.report",
        "site": "volbench.cli.site",
        "clinical": "volbench.cli.clinical",
        "suite": "volbench.cli.suite",
        "status": "volbench.cli.status",
        "logs": "volbench.cli.logs",
        "merge": "volbench.cli.merge",
        "predict": "volbench.cli.predict",
        "evaluate": "volbench.cli.evaluate",
        "export": "volbench.cli.export",
        "list": "volbench.cli.list",
        "info": "volbench.cli.info",
        "data": "volbench.cli.data",
        "plan": "volbench.cli.plan",
        "features": "volbench.cli.features",
        "plugin": "volbench.cli.plugin",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, package_name="volbench")
def main() -> None:
    """Compare encoders, slice pooling and losses for thick-slice volumes on the same folds."""
