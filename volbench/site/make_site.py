"""Static site of runs: a leaderboard, a page per data set, a page per run."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from volbench.leaderboard.render.show import show
from volbench.leaderboard.statistics.compare import compare_runs, tables_of
from volbench.leaderboard.statistics.comparison import Comparison
from volbench.report.page import PageLink, render
from volbench.report.prepared_data import check_folders
from volbench.report.report_row import report_rows
from volbench.report.section import ReportSection, build_section
from volbench.report.text import conclusion, protocol, question
from volbench.runs.load import LoadedRun
from volbench.site.leaderboard_table import SiteTable, site_table
from volbench.site.page import render_site
from volbench.site.pareto import ParetoFigure, pareto_figures
from volbench.site.pseudonyms import Pseudonyms

INDEX = "index.html"
SAFE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST_NAME = 60


@dataclass(frozen=True)
class DataSetPage:
    """One table of the leaderboard and what is said of it.

    Attributes:
        anchor: Unique on the first page.
        page, report: Paths from the root of the site; of a single run the report is its page.
        table: Links are paths from the root.
    """

    anchor: str
    title: str
    page: str
    report: str
    question: str
    protocol: Sequence[str]
    conclusion: Sequence[str]
    table: SiteTable
    comparison: Comparison
    pareto: Sequence[ParetoFigure]


def make_site(
    runs: Iterable[LoadedRun],
    *,
    title: str = "Leaderboard",
    salt: str | None = None,
    images: bool = False,
    data: Sequence[Path] = (),
    on_page: Callable[[str], object] | None = None,
) -> dict[str, str]:
    """Write the pages of a site about runs; equal runs give equal pages, whatever the day.

    Runs on other data or other folds get a table of their own, as in ``volbench compare``, from
    which ``leaderboard.csv`` and ``leaderboard.json`` are written too.

    Args:
        runs: From :func:`volbench.leaderboard.load_run`.
        title: Of the first page.
        salt: Names of cases and patients are replaced by hashes keyed with it; None shows them.
        images: Whether reports hold slices of scans.
        data: Prepared folders to take images from; the cache is searched in any case.
        on_page: Called with the path of each page before it is made.

    Returns:
        Texts by path from the root of the site.

    Raises:
        UsageError: the salt is empty, or a folder of ``data`` is no prepared data.
        StateError: a run is damaged.
    """
    check_folders(data)
    pseudonyms = None if salt is None else Pseudonyms(salt)
    compared = [compare_runs(table) for table in tables_of(runs)]
    links = run_pages(run for comparison in compared for run in comparison.runs)
    tell = on_page or (lambda path: None)

    def report(comparison: Comparison, path: str, title: str, back: Sequence[PageLink]) -> str:
        tell(path)
        section: ReportSection = build_section(comparison, 1, data, images=images)
        shown = section if pseudonyms is None else pseudonyms.in_section(section)
        return render([shown], title=title, back=back)

    sets = [data_set_page(each, number, links) for number, each in enumerate(compared, start=1)]
    pages = {INDEX: render_site("index.html", title=title, sets=sets, root="")}
    home = PageLink(title, f"../{INDEX}")
    for each in sets:
        pages[each.page] = render_site(
            "data.html", title=each.title, sets=[each], root="../", home=home
        )
        back = [home, PageLink(each.title, f"../{each.page}")]
        for row in each.comparison.rows:
            run = row.runs[0]
            alone = each.comparison if len(each.comparison.rows) == 1 else compare_runs([run])
            pages[links[str(run.path)]] = report(alone, links[str(run.path)], run.name, back)
        if len(each.comparison.rows) > 1:
            pages[each.report] = report(each.comparison, each.report, each.title, back)
    if compared:
        pages["leaderboard.csv"] = show(compared, "csv")
        pages["leaderboard.json"] = show(compared, "json")
    return pages


def data_set_page(comparison: Comparison, number: int, links: dict[str, str]) -> DataSetPage:
    """Lay out one table and what may be concluded from it."""
    rows = report_rows(comparison)
    run = comparison.first_run
    name = f"data/{number:02d}-{safe_name(run.data)}"
    digest, split = run.protocol
    return DataSetPage(
        anchor=f"t{number}",
        title=f"{run.data}: {run.cases} cases, data {digest[:8]}, split {split[:8]}",
        page=f"{name}.html",
        report=f"{name}-report.html" if len(rows) > 1 else links[str(run.path)],
        question=question(comparison, rows),
        protocol=protocol(comparison, rows),
        conclusion=conclusion(comparison, rows),
        table=site_table(comparison, rows, links),
        comparison=comparison,
        pareto=pareto_figures(rows, name=f"t{number}"),
    )


def run_pages(runs: Iterable[LoadedRun]) -> dict[str, str]:
    """A page for each run, by the path of its folder; equal names are told apart by a number."""
    pages: dict[str, str] = {}
    taken: set[str] = set()
    for run in runs:
        name, count = safe_name(run.name), 1
        while (page := f"runs/{name}{f'-{count}' if count > 1 else ''}.html").lower() in taken:
            count += 1
        taken.add(page.lower())  # some file systems do not tell capitals
        pages[str(run.path)] = page
    return pages


def safe_name(text: str) -> str:
    """A file's name that every file system and every address knows.

    >>> safe_name('timm(name="a b")/c'), safe_name("…")
    ('timm-name-a-b-c', 'run')
    """
    return SAFE.sub("-", text).strip("-.")[:LONGEST_NAME].rstrip("-.") or "run"
