"""Where a command's result goes and in which format: the same two options everywhere."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from volbench._utils.output_formats import SUFFIXES
from volbench._utils.text_table import (
    NARROWEST,
    Column,
    draw_table,
    fold,
    is_narrow,
    output_width,
    paragraph,
    stderr_width,
)

Function = TypeVar("Function", bound=Callable[..., Any])

SCHEMA = 1


def output_options(*formats: str, alias: bool = False) -> Callable[[Function], Function]:
    """Add ``--format`` (as ``style``, None if not given) and ``--output``.

    Args:
        formats: The first is the default.
        alias: Keep ``--json`` of earlier versions, as ``as_json``, without showing it.
    """

    def add(function: Function) -> Function:
        options = [
            click.option(
                "style",
                "--format",
                type=click.Choice(formats),
                help=f"Output format; default: from the suffix of --output, else {formats[0]}.",
            ),
            click.option(
                "--output",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE",
                help="Output file; default: the terminal.",
            ),
        ]
        if alias:
            options.append(
                click.option(
                    "--json",
                    "as_json",
                    is_flag=True,
                    hidden=True,
                    help="Write the JSON of version 0.1.",
                )
            )
        for option in reversed(options):
            function = option(function)
        return function

    return add


def chosen_format(style: str | None, output: Path | None, formats: Sequence[str]) -> str:
    """The format that was asked for, else that of the file's suffix, else the first.

    Raises:
        UsageError: the suffix tells a format that the command does not write.
    """
    if style is not None or output is None:
        told = None if output is None else SUFFIXES.get(output.suffix.lower())
        if style is not None and told not in (None, style, "table"):
            echo_note(f"note: {output} will hold {style}, as --format says, not {told}")
        return style or formats[0]
    found = SUFFIXES.get(output.suffix.lower(), formats[0])
    if found not in formats:
        raise click.UsageError(
            f"--output {output}: this command writes {', '.join(formats)}, not {found}; name a "
            "file that ends so, or say --format"
        )
    return found


def emit(text: str, output: Path | None) -> None:
    """Print a result; or write it and say so in a line on stderr."""
    from volbench._utils.atomic_io import write_atomic

    text = text if text.endswith("\n") else f"{text}\n"
    if output is None:
        click.echo(text, nl=False)
        return
    write_atomic(output, text)
    click.echo(f"wrote {output} ({len(text.encode()) / 1000:.1f} kB)", err=True)


def echo_curves(track: Sequence[str]) -> None:
    """Print how to look at the curves of a run that was tracked."""
    if track:
        from volbench.crossval.tracking import how_to_view

        for way in how_to_view(track):
            click.echo(f"curves: {way}")


def echo_note(text: str) -> None:
    """Print a line of prose on stderr; in a terminal it is folded between words."""
    width = stderr_width()
    folded = text if width is None or width < NARROWEST else "\n".join(paragraph(text, width))
    click.echo(folded, err=True)


def json_text(values: Mapping[str, Any], *, schema: int = SCHEMA) -> str:
    """A JSON object with its schema first; what is undefined must be None."""
    document = {"schema": schema, **values}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def table_text(columns: Sequence[Column], *, to_file: bool = False) -> str:
    """Draw a table as wide as the output, and say what was left out for lack of room."""
    width = output_width()
    color = not to_file and sys.stdout.isatty()
    drawn, left_out = draw_table(columns, width, color=color)
    if not left_out:
        return f"{drawn}\n"
    return f"{drawn}\n\nLeft out at {width} columns: {left_out}; --format json has everything.\n"


def facts_text(facts: Sequence[tuple[str, str]], *, least: int = 0) -> str:
    """Names and values in two columns; long values are folded where the output has a width."""
    name_width = max([least, *(len(name) + 2 for name, _ in facts)])
    width = max(output_width() - name_width, 20)
    lines = []
    for name, value in facts:
        folded = fold(value, width) if is_narrow() else [value]
        lines += [f"{name:<{name_width}}{folded[0]}".rstrip()]
        lines += [" " * name_width + line for line in folded[1:]]
    return "\n".join(lines) + "\n"


def positive_note(classes: Sequence[str]) -> str:
    """Which of two classes scores are about, in brackets; nothing of more.

    >>> positive_note(["T2", "T3"])
    ' (positive: T3)'
    """
    return f" (positive: {classes[-1]})" if len(classes) == 2 else ""
