import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePosixPath

import pytest
from click.testing import CliRunner

from tests.report.made_runs import write_run
from tests.report.page_reading import Page
from volbench.cli.main import main
from volbench.errors import UsageError
from volbench.leaderboard import load_run
from volbench.leaderboard.statistics.compare import compare_runs
from volbench.report.page import page_policy
from volbench.report.report_row import report_rows
from volbench.site import make_site, write_site
from volbench.site.compute_hours import hours_of
from volbench.site.make_site import run_pages, safe_name
from volbench.site.pareto import front_of, pareto_figures
from volbench.site.place_range import place_ranges

HOSTILE = "<script>alert(1)<script>\"'&amp;$x^2$"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [
        write_run(folder, "strong", skill=3.0, encoder="rmc5", cases=80),
        write_run(folder, "equal", skill=3.0, encoder="mc5", cases=80),
        write_run(folder, "weak", skill=0.0, encoder="r2d", cases=80),
        write_run(folder, "half", skill=1.0, encoder="r3d", cases=80, done=2),
        write_run(folder, HOSTILE, source=HOSTILE, encoder=HOSTILE, digest="e" * 64, failed=(1,)),
    ]


@pytest.fixture(scope="module")
def loaded(runs):
    return [load_run(path) for path in runs]


@pytest.fixture(scope="module")
def pages(loaded):
    return make_site(loaded, title="Board")


def html(pages):
    return {path: text for path, text in pages.items() if path.endswith(".html")}


def test_every_page_is_well_formed_and_loads_nothing(pages):
    for path, text in html(pages).items():
        page = Page(text)
        assert not page.problems, path
        assert not re.search(r'(?:src|href)="(?:https?:)?//', text), path
        assert all(later <= earlier + 1 for earlier, later in pairwise(page.headings)), path


def test_every_link_leads_to_a_page_or_a_heading_of_the_site(pages):
    for path, text in html(pages).items():
        page = Page(text)
        anchors = {attributes.get("id") for _, attributes in page.elements}
        for link in page.all("a"):
            target, _, anchor = link["href"].partition("#")
            if not target:
                assert anchor in anchors, (path, anchor)
                continue
            parts: list[str] = []
            for part in (PurePosixPath(path).parent / target).parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            assert "/".join(parts) in pages, (path, target)


def test_what_the_browser_may_run_is_the_one_script_of_the_page(pages):
    text = pages["index.html"]
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert Page(text).all("meta")[1]["content"] == page_policy(style, script)
    assert "unsafe" not in page_policy(style, script)
    reports = [each for path, each in html(pages).items() if path.startswith("runs/")]
    assert not any("<script" in each for each in reports)


def test_names_that_others_chose_are_text_and_no_markup(pages):
    for path, text in html(pages).items():
        assert "<script>alert" not in text, path
        assert HOSTILE not in path
    assert any("&lt;script&gt;alert(1)" in text for text in pages.values())


def test_rows_and_numbers_are_those_of_compare(pages, loaded):
    board = Page(pages["index.html"]).tables[0]
    comparison = compare_runs(loaded[:4])
    assert [row[0] for row in board[1:]] == [row.title for row in report_rows(comparison)]
    auc = board[0].index("AUC")
    means = [float(row[auc].split(" ")[0]) for row in board[1:]]
    assert means == [round(row.score("auc").mean, 3) for row in comparison.rows]
    tables = json.loads(pages["leaderboard.json"])["tables"]
    assert [len(table["rows"]) for table in tables] == [4, 1]


def test_rows_that_cannot_be_told_apart_share_their_range_of_places(loaded):
    comparison = compare_runs(loaded[:4])
    places = place_ranges(comparison)
    by_name = {comparison.rows[place].name: str(found) for place, found in places.items()}
    assert by_name == {"strong": "1–2", "equal": "1–2", "weak": "3"}


def test_a_row_that_no_test_has_seen_has_no_place(pages):
    board = Page(pages["index.html"]).tables[0]
    place = board[0].index("place")
    assert [row[place].strip() for row in board[1:] if "r3d" in row[0]] == ["–"]


def test_with_a_salt_no_page_holds_a_name_of_a_case_and_the_numbers_stay(loaded, pages):
    salted = make_site(loaded, title="Board", salt="pepper")
    assert any("case0" in text and "patient0" in text for text in pages.values())
    assert not any("case0" in text or "patient0" in text for text in salted.values())
    assert salted["index.html"] == pages["index.html"]
    assert salted["leaderboard.csv"] == pages["leaderboard.csv"]
    (weak,) = [run for run in loaded if run.name == "weak"]
    one, other = (make_site([weak], salt=salt) for salt in ("pepper", "sugar"))
    assert one["runs/weak.html"] != other["runs/weak.html"]


def test_the_error_of_a_fold_is_shown_unless_it_may_name_a_case(loaded, pages):
    salted = make_site(loaded[4:], salt="pepper")
    (path,) = [path for path in salted if path.startswith("runs/")]
    assert "the loss is not a number" in pages[path]
    assert "the loss is not a number" not in salted[path]
    assert "fold 1: the reason is left out" in salted[path]


def test_an_empty_salt_is_refused(loaded):
    with pytest.raises(UsageError, match="--salt must not be empty"):
        make_site(loaded, salt="")


def test_the_front_holds_what_nothing_cheaper_beats():
    points = [(3.0, 0.9), (1.0, 0.7), (2.0, 0.6), (2.0, 0.8), (4.0, 0.9)]
    assert sorted(front_of(points)) == [0, 1, 3]


def test_auc_is_drawn_against_compute_on_one_machine_only(loaded):
    rows = report_rows(compare_runs(loaded[:4]))
    (drawn,) = pareto_figures(rows, name="p")
    assert "AUC against CPU-hours" in drawn.figure
    assert "r3d" not in drawn.figure  # it is not complete
    assert hours_of(rows[0].candidate).hours == pytest.approx(5 * 12.5 / 3600)
    moved = replace(rows[1].candidate, cost=replace(rows[1].candidate.cost, machine=("another",)))
    assert not pareto_figures([rows[0], replace(rows[1], candidate=moved)], name="p")


def test_equal_names_get_pages_of_their_own(tmp_path):
    first = write_run(tmp_path / "a", "run", cases=20, folds=2)
    second = write_run(tmp_path / "b", "run", cases=20, folds=2)
    found = run_pages([load_run(first), load_run(second)])
    assert list(found.values()) == ["runs/run.html", "runs/run-2.html"]
    assert safe_name("../../etc/passwd") == "etc-passwd"


def test_a_site_replaces_the_one_before_and_nothing_else(tmp_path):
    folder = tmp_path / "public"
    write_site({"index.html": "1", "runs/a.html": "a"}, folder)
    (folder / "CNAME").write_text("example.org")
    write_site({"index.html": "2"}, folder)
    assert (folder / "index.html").read_text() == "2"
    assert not (folder / "runs/a.html").exists()
    assert (folder / "CNAME").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.html").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        write_site({"index.html": "3"}, tmp_path / "thesis")


def test_the_command_says_what_it_wrote_and_whether_names_are_shown(runs, tmp_path):
    def site(*options):
        command = ["site", str(runs[0]), "--out", str(tmp_path / "public"), *options]
        return CliRunner().invoke(main, command)

    shown = site()
    assert shown.exit_code == 0
    assert "index.html: 1 run, 5 files" in shown.stdout
    assert shown.stdout.startswith("wrote ")
    assert "names of cases are shown; --salt" in shown.stderr
    assert "names of cases" not in site("--salt", "pepper").stderr
    assert site("--data", str(tmp_path)).exit_code == 2
