import base64
import hashlib
import json
import re
import shlex
import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from tests.report.made_runs import RECIPE, write_run
from tests.report.page_reading import Page
from volbench.cli.main import main
from volbench.data.preprocessing.options import Preprocessing, with_settings
from volbench.leaderboard import load_run
from volbench.leaderboard.statistics.compare import compare_runs
from volbench.report import make_report
from volbench.report.report_row import report_rows
from volbench.report.text import conclusion

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>$x^2$&amp;\x07"
SECTIONS = (
    "The question and the protocol",
    "Leaderboard",
    "ROC curves",
    "Calibration",
    "Clinical use",
    "Fold by fold",
    "Differences",
    "Confusion matrices",
    "Strata",
    "Learning curves",
    "Speed and size",
    "Cases that were hard for all",
    "What the networks looked at",
    "Provenance",
)


def report(*arguments):
    result = CliRunner().invoke(main, ["report", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def page_of(*paths):
    return make_report([load_run(path) for path in paths])


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    strong = write_run(folder, "strong", skill=2.5, encoder="rmc5")
    return strong, write_run(folder, "weak", skill=0.2, encoder="r2d")


@pytest.fixture(scope="module")
def two(pair):
    return page_of(*pair)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Names of everything that others choose are as bad as they can be."""
    folder = tmp_path_factory.mktemp("hostile")
    # A slash cannot be in a folder's name; everything else of it can.
    name = HOSTILE.replace("/", "").replace("\x07", "")
    path = write_run(
        folder,
        name,
        classes=(HOSTILE, "b"),
        site=(HOSTILE, "y"),
        done=4,
        failed=(1,),
        error=HOSTILE,
        source=HOSTILE,
        encoder=HOSTILE,
    )
    other = write_run(folder, "plain", classes=(HOSTILE, "b"), source=HOSTILE, loss=HOSTILE)
    return make_report([load_run(path), load_run(other)], title=HOSTILE)


@pytest.fixture(scope="module", params=["two", "hostile"])
def text(request):
    return request.getfixturevalue(request.param)


def test_the_report_points_to_a_look_at_the_volumes(tmp_path):
    write_run(tmp_path, "one", source="phantom(patients=9)")
    page = Page(make_report([load_run(tmp_path / "one")]))
    assert "volbench data show 'phantom(patients=9)'" in page.words


def test_that_look_has_the_preprocessing_of_the_networks(tmp_path):
    path = write_run(tmp_path, "one", source="phantom(patients=9)") / "experiment.json"
    wide = Preprocessing(size=48, crop="box", box_mm=30, normalize="window", window=(-160, 240))
    values = json.loads(path.read_text())
    values["recipe"] = {**values.get("recipe", {}), "preprocessing": wide.values()}
    path.write_text(json.dumps(values))
    said = Page(make_report([load_run(tmp_path / "one")])).words
    words = shlex.split(said.partition("masks and crops: ")[2].partition(" Leaderboard")[0])
    assert words[:4] == ["volbench", "data", "show", "phantom(patients=9)"]
    settings = words[5::2]
    assert with_settings(Preprocessing(), settings).digest == wide.digest


def test_the_contents_lead_to_every_section(two):
    page = Page(two)
    headings = {attributes["id"] for tag, attributes in page.elements if tag == "h3"}
    links = [link["href"] for link in page.all("a")]
    assert len(links) == len(SECTIONS)
    assert {link.removeprefix("#") for link in links} == headings


def test_the_curves_of_several_candidates_lie_over_one_another(two, pair):
    labels = [svg["aria-label"] for svg in Page(two).all("svg") if "aria-label" in svg]
    (together,) = [label for label in labels if label.startswith("Mean ROC curves of 2")]
    assert "1. rmc5: AUC" in together
    assert "2. r2d: AUC" in together
    assert "Mean ROC curves" not in page_of(pair[0])


def test_a_stratum_too_small_for_any_area_is_a_name_and_no_table_of_dashes(tmp_path):
    many = [f"site{number}" for number in range(30)]
    page = Page(page_of(write_run(tmp_path, "a", site=many, cases=60)))
    assert "Too few cases of a class in every group: " in page.words
    assert not any(row[0].startswith("site") for table in page.tables for row in table)


def test_images_can_be_left_out(pair):
    page = make_report([load_run(pair[0])], images=False)
    assert "<img" not in page
    assert "Images were left out of this page." in page


def test_every_section_is_there_in_order_and_headings_skip_no_level(two):
    page = Page(two)
    places = [two.index(f'">{name}</h3>') for name in SECTIONS]
    assert places == sorted(places)
    assert page.headings[:2] == [1, 2]
    steps = np.diff(page.headings)
    assert steps.max() <= 1
    assert page.headings.count(1) == 1


def test_tags_match_and_ids_are_unique(text):
    page = Page(text)
    assert not page.problems
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 10


def test_what_a_figure_refers_to_is_in_the_page(text):
    page = Page(text)
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', text))
    assert used
    assert used <= ids


def test_every_figure_and_picture_can_be_heard(text):
    page = Page(text)
    assert len(page.all("svg")) >= 6
    for attributes in page.all("svg"):
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"]) > 40
        assert re.search(r"\d\.\d", attributes["aria-label"])
    assert all(attributes["alt"] for attributes in page.all("img"))


def test_every_table_has_a_caption_and_its_headers_a_scope(text):
    page = Page(text)
    assert len(page.all("caption")) == len(page.all("table")) >= 5
    assert all(attributes["scope"] in ("row", "col") for attributes in page.all("th"))


def test_nothing_is_fetched_and_nothing_runs(text):
    page = Page(text)
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "form", "base")
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
    assert not re.search(r"https?://|@import|url\((?!#)", text)


def test_the_policy_allows_this_style_sheet_and_data_images_only(two):
    (policy,) = [a["content"] for a in Page(two).all("meta") if "http-equiv" in a]
    style = re.search(r"<style>(.*?)</style>", two, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    assert "script-src" not in rules
    assert "unsafe" not in policy


def test_hostile_names_are_shown_as_they_are(hostile):
    page = Page(hostile)
    assert page.words.count("<script>alert(1)</script>") > 5
    assert "<img src=x onerror=alert(2)>$x^2$&amp;" in page.words
    assert not [a for a in page.all("img") if a.get("src") == "x"]


def test_the_leaderboard_has_the_numbers_of_compare_and_of_the_files(pair, two):
    comparison = compare_runs([load_run(path) for path in pair])
    table = Page(two).tables[0]
    assert table[0][:4] == ["candidate", "encoder", "aggregator", "loss"]
    for whole, candidate in zip(table[1:], comparison.rows, strict=True):
        assert whole[1:4] == [candidate.encoder, candidate.aggregator, candidate.loss]
        row = [whole[0], *whole[4:]]
        rows = [one for fold in candidate.runs[0].predictions.values() for one in fold]
        areas = [
            roc_auc_score(
                [one.label == "T3" for one in rows if one.fold == fold],
                [one.probabilities[1] for one in rows if one.fold == fold],
            )
            for fold in range(5)
        ]
        assert row[2] == f"{np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f}"
        score = candidate.score("auc")
        assert row[3] == f"{score.low:.3f} to {score.high:.3f}"
        assert row[1] == candidate.letters


def test_the_conclusion_is_that_of_the_pair(pair, two):
    (found,) = compare_runs([load_run(path) for path in pair]).pairs
    assert found.verdict == "better"
    assert (
        f"Candidate 1 (rmc5) is better than candidate 2 (r2d): by {found.difference:+.3f} in AUC "
        f"(95 % interval {found.low:+.3f} to {found.high:+.3f}, p" in Page(two).words
    )


def test_two_that_are_alike_are_not_ranked(tmp_path):
    alike = [write_run(tmp_path, name, skill=1.0, encoder=name) for name in ("r2d", "r3d")]
    comparison = compare_runs([load_run(path) for path in alike])
    first, second, *_ = conclusion(comparison, report_rows(comparison))
    best, other = (row.encoder for row in comparison.rows)
    assert first == f"No difference between candidates 1 ({best}) and 2 ({other}) was shown."
    detectable = comparison.design.detectable
    assert f"could have detected a true difference of {detectable:.2f} in AUC" in second


def test_of_several_the_best_is_named_with_those_it_beats_and_those_it_does_not(tmp_path):
    skills = {"r2d": 4.0, "r3d": 3.9, "mc3": -0.5}
    runs = [write_run(tmp_path, name, skill=skill, encoder=name) for name, skill in skills.items()]
    comparison = compare_runs([load_run(path) for path in runs])
    rows = report_rows(comparison)
    first, second, *_ = conclusion(comparison, rows)
    assert first == (
        f"Candidate 1 ({rows[0].label}) has the highest mean AUC; it is better than candidate 3."
    )
    assert second == "No difference between it and candidate 2 was shown."


def test_the_protocol_is_told_in_plain_words(two):
    words = Page(two).words
    assert "Which of two candidates tells T2 and T3 apart best on made?" in words
    assert "60 cases of 60 patients (30 T2 and 30 T3)" in words
    assert "Five models were trained for each candidate" in words
    assert "on patients it had never seen" in words
    assert "15 % were set aside; the epoch with the lowest loss" in words


def test_a_confusion_matrix_counts_what_the_files_hold(pair, two):
    rows = [row for fold in load_run(pair[0]).predictions.values() for row in fold]
    found = [t for t in Page(two).tables if t[0] == ["true", "called T2", "called T3"]]
    for label, line in zip(("T2", "T3"), found[0][1:], strict=True):
        called = [row.probabilities[1] >= 0.5 for row in rows if row.label == label]
        right = len(called) - sum(called), sum(called)
        cells = [f"{count} ({100 * count / len(called):.0f} %)" for count in right]
        assert line == [label, *cells]


def test_the_hardest_case_is_the_one_with_the_least_mean_probability(pair, two):
    runs = [load_run(path) for path in pair]
    truth = {}
    for run in runs:
        for row in (row for fold in run.predictions.values() for row in fold):
            truth.setdefault(row.case, []).append(row.probabilities[("T2", "T3").index(row.label)])
    hardest = min(truth, key=lambda case: np.mean(truth[case]))
    (table,) = [t for t in Page(two).tables if t[0][:2] == ["case", "patient"]]
    assert table[1][0] == hardest
    assert table[1][3] == f"{np.mean(truth[hardest]):.2f}"
    both = sum(max(values) < 0.5 for values in truth.values())
    assert f"{both} case" in Page(two).words


def test_one_run_is_compared_with_nothing(pair):
    words = Page(page_of(pair[0])).words
    assert "How well does rmc5 · average · focal tell T2 and T3 apart on made?" in words
    assert "It is the only complete candidate" in words
    assert "so there is no difference to show" in words


def test_an_incomplete_and_a_failed_run_say_so(tmp_path):
    part = write_run(tmp_path, "part", encoder="r2d", done=3)
    broken = write_run(tmp_path, "broken", encoder="r3d", failed=(2,), error="out of memory")
    nothing = write_run(tmp_path, "nothing", encoder="mc3", done=0)
    page = Page(page_of(part, broken, nothing))
    assert not page.problems
    assert "No candidate has finished all of its folds" in page.words
    cells = {row[1]: row for row in page.tables[0][1:]}
    assert "3/5, incomplete" in cells["r2d"]
    assert "4/5, 1 failed" in cells["r3d"]
    assert "0/5, incomplete" in cells["mc3"]
    assert "fold 2: out of memory" in page.words


def test_folds_from_different_hardware_are_told_with_the_machine(tmp_path):
    path = write_run(tmp_path, "mixed")
    other = '{"schema": 1, "device": "NVIDIA T4", "cores": 8, "platform": "Linux"}'
    (path / "folds/02/environment.json").write_text(other)
    told = make_report([load_run(path)], images=False)
    assert "The folds of mixed come from different hardware: " in told
    assert re.search(r"a CPU, .*: 0, 1, 3, 4; NVIDIA T4, .*: 2<", told)


def test_the_leaderboard_shows_settings_in_which_candidates_differ_and_no_folder(tmp_path):
    training = {"epochs": 5, "augmentation": "none"}
    one = write_run(tmp_path, "focal-1f3a", recipe={**RECIPE, "training": training})
    other = {**RECIPE, "training": {**training, "augmentation": "rectal"}}
    page = Page(page_of(one, write_run(tmp_path, "focal-77bc", recipe=other)))
    heading, *rows = page.tables[0]
    assert heading[:5] == ["candidate", "encoder", "aggregator", "loss", "augmentation"]
    assert {row[4] for row in rows} == {"none", "rectal"}
    assert not any("1f3a" in cell for table in page.tables for row in table for cell in row)
    assert "1 (augmentation " in page.words


def test_several_classes_and_slices_have_a_page_too(tmp_path):
    many = write_run(tmp_path, "many", classes=("a", "b", "c"), site=("x",))
    page = Page(page_of(many))
    assert not page.problems
    assert "mean of each one against the rest" in page.words
    assert ["true", "called a", "called b", "called c"] in [table[0][:4] for table in page.tables]
    sliced = write_run(tmp_path, "sliced", slices=3, digest="e" * 64)
    page = Page(page_of(sliced))
    assert not page.problems
    assert "Every representative slice is scored on its own" in page.words
    assert "one score per slice" in page.words


@pytest.mark.slow
def test_ten_runs_stay_under_two_megabytes(tmp_path):
    paths = [
        write_run(
            tmp_path, f"run{n}", encoder=f"r{n}", cases=100, folds=10, epochs=100, skill=n / 4
        )
        for n in range(10)
    ]
    text = page_of(*paths)
    assert len(text.encode()) < 2_000_000
    assert "Candidate 1 (r" in Page(text).words


def test_the_command_writes_one_file_whose_bytes_follow_from_the_runs(pair, two, tmp_path):
    output = tmp_path / "new" / "page.html"
    code, out, err = report(*pair, "--output", output, "--title", "A & B")
    assert (code, err) == (0, "rendering: made\n")
    written = output.read_text(encoding="utf-8")
    assert out == f"wrote {output}: 2 runs, {len(written.encode()) / 1e6:.1f} MB\n"
    assert written == two.replace("Comparison on made", "A &amp; B")
    assert 5 * len(two.encode()) < 2_000_000  # ten like them would fit


def test_other_data_is_refused_by_name_and_apart_in_a_folder(pair, tmp_path):
    runs = tmp_path / "runs"
    one, other = write_run(runs, "one"), write_run(runs, "other", digest="e" * 64)
    output = tmp_path / "page.html"
    code, _, err = report(one, other, "--output", output)
    assert code == 5
    assert "different data; their numbers cannot be compared" in err
    assert "volbench compare pairs their patients" in err
    assert not output.exists()
    code, _, _ = report(runs, "--output", output)
    assert code == 0
    page = Page(output.read_text(encoding="utf-8"))
    assert page.headings.count(2) == 2
    assert "Numbers of different sections cannot be compared" in page.words
    assert not page.problems


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Missing argument"),
        (["nowhere"], 2, "nowhere does not exist"),
        (["RUN", "--data", "."], 2, "--data . is no prepared folder"),
    ],
    ids=["nothing", "nowhere", "no data"],
)
def test_wrong_arguments_are_one_line(pair, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    found, _, err = report(*[pair[0] if word == "RUN" else word for word in arguments])
    assert found == code
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_changed_file_is_refused(tmp_path):
    path = write_run(tmp_path, "changed")
    (path / "folds" / "01" / "history.csv").write_text("epoch,train_loss\n1,0\n")
    code, _, err = report(path, "--output", tmp_path / "page.html")
    assert code == 5
    assert "was changed after the run wrote it" in err


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_browser_shows_it_without_a_complaint(text, tmp_path):
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={tmp_path / 'page.png'}",
            "--window-size=1280,2000",
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (tmp_path / "page.png").stat().st_size > 50_000
    assert "CONSOLE" not in done.stderr


def test_copies_that_were_let_through_are_findings_of_the_run_they_are_in(tmp_path):
    several = [["case001", "case017"], ["b", "c"], ["scan 9", "case020"], ["case003", "fourth"]]
    written = {
        "careless": (2.5, several),
        "one": (1.0, [["left", "right"]]),
        "clean": (0.2, []),
    }
    paths = []
    for name, (skill, duplicates) in written.items():
        paths.append(write_run(tmp_path, name, skill=skill))
        data = json.loads((paths[-1] / "data.json").read_text())
        if duplicates:
            data["duplicates"] = duplicates
        (paths[-1] / "data.json").write_text(json.dumps(data))
    comparison = compare_runs([load_run(path) for path in paths])
    said = conclusion(comparison, report_rows(comparison))
    notes = [text for text in said if "equal volumes" in text]
    assert notes == [
        "Duplicates: careless was allowed 4 pairs of equal volumes in training and held-out parts, "
        "so its AUC may be too high: case001 = case017, b = c, scan 9 = case020 and 1 more.",
        "Duplicates: one was allowed 1 pair of equal volumes in training and held-out parts, "
        "so its AUC may be too high: left = right.",
    ]
    text = " ".join(page_of(*paths).split())
    for note in notes:
        assert text.count(note) >= 1, note
    assert "clean was allowed" not in text
    assert "fourth" not in " ".join(notes)
