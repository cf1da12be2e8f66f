"""Report of runs as HTML text."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from volbench._utils.machine_paths import short_paths
from volbench.leaderboard.statistics.compare import compare_runs, tables_of
from volbench.predict.external import ExternalEvaluation
from volbench.report.external_section import evaluations_of, external_section
from volbench.report.page import render
from volbench.report.prepared_data import check_folders
from volbench.report.section import build_section
from volbench.runs.load import LoadedRun


def make_report(
    runs: Iterable[LoadedRun],
    *,
    title: str | None = None,
    data: Sequence[Path] = (),
    images: bool = True,
    external: Sequence[ExternalEvaluation] = (),
    on_section: Callable[[str], object] | None = None,
) -> str:
    """Write a page about runs; those on other data or other folds get a section of their own.

    Equal runs give equal text, whatever the day.

    Args:
        runs: From :func:`volbench.leaderboard.load_run`.
        title: Of the page.
        data: Prepared folders to take images from; the cache is searched in any case.
        images: Whether slices of scans are shown.
        external: Evaluations of some of the runs on patients of elsewhere; a section each.
        on_section: Called with the name of the data before each section is made.

    Raises:
        UsageError: a folder of ``data`` is no prepared data.
        DataError: an evaluation is of none of the runs.
        StateError: a run is damaged.

    >>> import volbench
    >>> page = make_report(volbench.load_runs("runs").loaded, images=False)
    >>> page[:15]
    '<!DOCTYPE html>'
    """
    check_folders(data)
    runs = list(runs)
    externals = [
        external_section(found, number)
        for number, found in enumerate(evaluations_of(runs, external), start=1)
    ]
    sections = []
    for number, table in enumerate(tables_of(runs), start=1):
        if on_section:
            on_section(table[0].data)
        sections.append(build_section(compare_runs(table), number, data, images=images))
    names = list(dict.fromkeys(section.comparison.first_run.data for section in sections))
    title = title or f"Comparison on {', '.join(names)}"
    return short_paths(render(sections, externals, title=title))
