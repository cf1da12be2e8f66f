"""`volbench report`: an HTML report of runs, or a model card."""

from pathlib import Path

import click

from volbench._utils.text import plural
from volbench.cli.options import prepared_option
from volbench.cli.output import emit


@click.command("report")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN|FOLDER..."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    show_default="report.html; with --card, the terminal",
    metavar="FILE",
    help="Output HTML file.",
)
@click.option(
    "--card",
    is_flag=True,
    help="Write a model card with reporting checklists of one run, as Markdown.",
)
@click.option("--title", metavar="TEXT", help="Title of the report; default: the data set.")
@click.option(
    "--external",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="JSON file of volbench evaluate: adds a section; repeatable.",
)
@prepared_option
def command(
    paths: tuple[Path, ...],
    output: Path | None,
    card: bool,
    title: str | None,
    external: tuple[Path, ...],
    data: tuple[Path, ...],
) -> None:
    """Write a self-contained HTML report, or a model card.

    The file needs no network and holds no script, so it can be mailed and archived. It shows
    patient identifiers and image slices if the data has them: treat it like the data.

    Runs on different data or folds get separate sections; given together by name they are refused,
    because their numbers are not comparable.

    With --card, write a model card of one run and its answers to the items of CLAIM 2024 and
    TRIPOD+AI as Markdown; items that only the author can answer are marked.

    \b
    volbench report runs
    volbench report runs/first runs/second --output first-second.html
    volbench report runs --external other-hospital.json
    volbench report runs/first --card --output card.md
    """
    if card:
        _card(paths, output, other=bool(title or data or external))
        return
    from volbench._utils.atomic_io import write_atomic
    from volbench.leaderboard import find_runs, load_run
    from volbench.leaderboard.selection import check_named_together
    from volbench.leaderboard.statistics.compare import tables_of
    from volbench.report import make_report
    from volbench.report.external_json import read_external

    output = output or Path("report.html")
    found = find_runs(paths)
    runs = [load_run(path) for path in found]
    tables = tables_of(runs)
    if set(found) <= set(paths):
        check_named_together(tables)
    text = make_report(
        runs,
        title=title,
        data=data,
        external=[read_external(path) for path in external],
        on_section=lambda name: click.echo(f"rendering: {name}", err=True),
    )
    write_atomic(output, text)
    click.echo(f"wrote {output}: {plural(len(runs), 'run')}, {len(text.encode()) / 1e6:.1f} MB")


def _card(paths: tuple[Path, ...], output: Path | None, *, other: bool) -> None:
    from volbench.errors import UsageError
    from volbench.leaderboard import find_runs, load_run
    from volbench.model_card import card_markdown

    if other:
        raise UsageError(
            "--title, --data and --external apply to the HTML report; leave them out with --card"
        )
    found = find_runs(paths)
    if len(found) > 1:
        raise UsageError(f"--card takes one run, but got {len(found)}; name one of them")
    text = card_markdown(load_run(found[0]))
    emit(text, output)
