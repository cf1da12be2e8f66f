"""`volbench status`: state of the folds of runs, on any machine."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench._utils.text_table import Column, is_narrow
from volbench.cli.options import FiniteRange
from volbench.cli.output import chosen_format, emit, output_options, table_text

if TYPE_CHECKING:
    from volbench.executors.status import FoldStatus

ORDER = ("running", "stale", "failed", "waiting", "done")
HEAD_AND_FOOT = 6
"""Lines of a screen beside the folds: heads, what was left out, counts, and the prompt."""
STYLES = {"done": "green", "failed": "red", "running": "cyan", "stale": "yellow", "waiting": "dim"}


@click.command("status")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Repeat until nothing runs or waits; Ctrl-C to leave.")
@click.option(
    "--every",
    type=FiniteRange(0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Interval of --watch.",
)
@output_options("table", "json")
def command(
    runs: tuple[Path, ...], watch: bool, every: float, style: str | None, output: Path | None
) -> None:
    """Show the folds of runs: waiting, running, stale, failed, done.

    RUNS are run folders or folders of runs; default: runs. Stale folds have lost their process;
    whichever process works on the run takes them over. In a pipe each fold is a plain line, unless
    COLUMNS gives the width of a table.

    \b
    volbench status runs --watch
    volbench status runs/a --format json
    """
    from volbench.executors.status import StatusReader, to_json
    from volbench.runs.load import find_runs

    paths = find_runs(runs or (Path("runs"),))
    if chosen_format(style, output, ("table", "json")) == "json":
        emit(to_json(StatusReader().read(paths)), output)
        return
    if output is not None:
        states = StatusReader().read(paths)
        emit("\n".join([*map(_line, states), _summary(states)]), output)
        return
    with suppress(KeyboardInterrupt) if watch else nullcontext():  # it only looks: that is its end
        _show(paths, watch=watch, every=every)


def _show(paths: Sequence[Path], *, watch: bool, every: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from volbench.executors.status import StatusReader

    console = Console(highlight=False)
    reader = StatusReader()
    states = reader.read(paths)
    if not watch and is_narrow():
        click.echo(_table(states))
        click.echo(_summary(states))
        return
    if not (watch and console.is_terminal):
        before: set[FoldStatus] = set()
        while True:
            for state in states:
                if state not in before:
                    click.echo(_line(state))
            if not (watch and _is_open(states)):
                break
            time.sleep(every)
            before, states = set(states), reader.read(paths)
        click.echo(_summary(states))
        return

    def screen() -> Text:
        # A table longer than the screen is cut by the terminal, and what runs might be cut off.
        shown = _most_telling(states, console.height - HEAD_AND_FOOT)
        left = f"\n... and {len(states) - len(shown)} more" if len(shown) < len(states) else ""
        return Text.from_ansi(f"{_table(shown)}{left}\n{_summary(states)}")

    with Live(screen(), console=console, auto_refresh=False) as live:
        while _is_open(states):
            time.sleep(every)
            states = reader.read(paths)
            live.update(screen(), refresh=True)


def _most_telling(states: "Sequence[FoldStatus]", room: int) -> "list[FoldStatus]":
    """So many folds as have room, in order: first those that run, are stale or failed."""
    ranked = sorted(range(len(states)), key=lambda place: ORDER.index(states[place].state))
    return [states[place] for place in sorted(ranked[: max(room, 1)])]


def _is_open(states: "Sequence[FoldStatus]") -> bool:
    return any(state.state not in ("done", "failed") for state in states)


def _summary(states: "Sequence[FoldStatus]") -> str:
    counts: Counter[str] = Counter(state.state for state in states)
    return ", ".join(f"{counts[name]} {name}" for name in STYLES if counts[name])


def _cells(state: "FoldStatus") -> list[str]:
    where = " ".join(filter(None, (state.host, state.device)))
    epoch = f"{state.epoch}/{state.epochs}" if state.epochs else ""
    left = "" if state.minutes_left is None else f"{state.minutes_left:g} min left"
    attempt = f"attempt {state.attempt}" if state.attempt else ""
    reason = state.reason
    if state.state == "failed" and state.log:
        reason = f"{reason} ({state.log})"
    return [state.run, f"fold {state.fold}", state.state, where, attempt, epoch, left, reason]


def _line(state: "FoldStatus") -> str:
    return "  ".join(filter(None, _cells(state)))


def _table(states: "Sequence[FoldStatus]") -> str:
    rows = [[*_cells(state)[:-1], state.reason] for state in states]
    heads = ("run", "fold", "state", "where", "attempt", "epoch", "left", "reason")
    texts = ("run", "reason")
    spare = {"where": 3, "attempt": 2, "left": 1}
    columns = [
        Column(name, cells, "text" if name in texts else "word", spare=spare.get(name, 0))
        for name, *cells in zip(heads, *rows, strict=True)
        if name in heads[:3] or any(cells)
    ]
    return table_text(columns)
