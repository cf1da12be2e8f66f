"""`volbench site`: static leaderboard pages of runs."""

from pathlib import Path

import click

from volbench._utils.text import plural
from volbench.cli.options import prepared_option


@click.command("site")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN|FOLDER]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of the site: new, empty, or one that holds a site, which is replaced.",
)
@click.option("--title", default="Leaderboard", show_default=True, metavar="TEXT", help="Title.")
@click.option(
    "--salt",
    metavar="TEXT",
    help="Replace the names of cases and patients by hashes keyed with this text.",
)
@click.option("--images", is_flag=True, help="Show slices of scans, which by default are left out.")
@prepared_option
def command(
    paths: tuple[Path, ...],
    out: Path,
    title: str,
    salt: str | None,
    images: bool,
    data: tuple[Path, ...],
) -> None:
    """Write a leaderboard to publish: static pages.

    A sortable leaderboard per data set with ranges of places instead of ranks, AUC against
    GPU-hours, a page per data set and a report per run; all runs in runs/, or those given. The
    pages load nothing, so they work from a disk and from any web server.

    Pages show names of cases unless --salt hides them, and no scans unless --images asks for them.

    \b
    volbench site --out public
    volbench site runs --out public --salt "$(cat salt.txt)" --title "Rectal MR"
    """
    from volbench.errors import UsageError
    from volbench.leaderboard import find_runs, load_run
    from volbench.site import make_site, write_site
    from volbench.site.write_site import check_folder

    if data and not images:
        raise UsageError("--data is where images are found; give --images too")
    check_folder(out)
    runs = [load_run(path) for path in find_runs(paths or (Path("runs"),))]
    pages = make_site(
        runs,
        title=title,
        salt=salt,
        images=images,
        data=data,
        on_page=lambda path: click.echo(f"rendering: {path}", err=True),
    )
    write_site(pages, out)
    if salt is None:
        click.echo("names of cases are shown; --salt TEXT replaces them by hashes", err=True)
    megabytes = sum(len(text.encode()) for text in pages.values()) / 1e6
    click.echo(
        f"wrote {out / 'index.html'}: {plural(len(runs), 'run')}, {plural(len(pages), 'file')}, "
        f"{megabytes:.1f} MB"
    )
