"""Every sentence with a number is read back and compared with the files: report and model card.

A sentence that no reader below knows fails the test, so that a new one needs a reader.
"""

import re
import tempfile
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import volbench
from tests.report.page_reading import Page
from tests.report.random_runs import drawn_runs, spread
from volbench.model_card import card_markdown
from volbench.report import make_report

WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBER = r"([+−-]?\d+(?:\.\d+)?)"
PARAGRAPH = re.compile(r"<(li|p)(?: [^>]*)?>((?:(?!<li|<p[ >]).)*?)</\1>", re.DOTALL)
EXPLAINED = (
    "Made with volbench ",
    "Of the cases decided with a probability of 0.8",
    "Of the cases given a probability of 0.8",
    "Calibration: 0 and 1 are perfect",
    "Decision curve: ",
    "Every line is one fold",
    "Each candidate against ",
    "Not shown for ",
    "Marks: ",
    "The AUC within groups",
    "Random numbers follow from seed 0.",
    "Of the patients to train on, 15 % were set aside",
    "Every case is scored once",
    "Rows are the true classes, columns the decisions",
    "Look at the volumes as the networks saw them",
)
"""Constant text, whose numbers are no results."""

HEARD = r"ROC curve of (\S+)(?: · .*)?, mean of (\d+) folds\. .*AUC (\S+),"

FEW = settings(
    max_examples=4,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
)
MANY = settings(FEW, max_examples=120)


def close(text, value, digits=3):
    """Whether a number as it is written is the value, rounded."""
    shown = float(text.replace("−", "-"))
    return abs(shown - value) <= 0.5000001 * 10**-digits


def written(drawn, folder):
    files = drawn.write(folder)
    page = make_report(volbench.load_runs(folder).loaded, images=False)
    return page, files


class Reader:
    """Reads one page; ``rows`` are the candidates in the order of the page, best first."""

    def __init__(self, page, files):
        self.page = Page(page)
        self.files = files
        by_encoder = {run.encoder: run for run in files}
        (table,) = [table for table in self.page.tables if table[0][:2] == ["candidate", "encoder"]]
        self.leaderboard = table
        self.rows = [by_encoder[line[1]] for line in table[1:]]
        self.complete = [run for run in self.rows if run.complete]
        self.sentences = [
            " ".join(unescape(re.sub("<[^>]+>", "", body)).split())
            for _, body in PARAGRAPH.findall(page)
        ]

    def run(self, number):
        return self.rows[int(number) - 1]

    def table(self, *start):
        return [table for table in self.page.tables if table[0][: len(start)] == list(start)]

    def mean(self, run):
        return float(np.mean(run.areas()))

    def difference(self, first, second):
        return self.mean(first) - self.mean(second)

    def verdicts(self):
        """Finding by the numbers of two candidates, from the table of all pairs."""
        (table,) = self.table("first", "second")
        return {(line[0].partition(".")[0], line[1].partition(".")[0]): line for line in table[1:]}

    # One method per sentence; the name of its pattern says which.

    def read_data(self, cases, patients, counts):
        run = self.files[0]
        assert int(cases) == len(run.split)
        assert int(patients) == len({row["patient"] for row in run.split})
        assert {name: int(n) for n, name in re.findall(r"(\d+) (grade\d)", counts)} == run.counts

    def read_question(self, count):
        assert WORDS.index(count) == len(self.files)

    def read_question_of_one(self, encoder, rest):
        assert [run.encoder for run in self.files] == [encoder]

    def read_folds(self, count, models):
        assert WORDS.index(count) == WORDS.index(models.lower()) == self.files[0].folds

    def read_only(self, encoder, mean, low, high):
        (run,) = self.complete
        assert encoder.split(" · ")[0] == run.encoder
        assert close(mean, self.mean(run))
        if low:
            assert float(low) <= self.mean(run) + 5e-4
            assert self.mean(run) - 5e-4 <= float(high) <= 1

    def read_better(self, better, label, other, other_label, size, low, high, p):
        first, second = self.run(better), self.run(other)
        assert (label, other_label) == (first.encoder, second.encoder)
        assert len(self.complete) == 2
        assert close(size, self.difference(first, second))
        assert float(low.replace("−", "-")) <= float(size.replace("−", "-"))
        assert float(size.replace("−", "-")) <= float(high.replace("−", "-"))
        assert float(p) < 0.05

    def read_no_difference(self, first, label, second, other):
        assert (label, other) == (self.run(first).encoder, self.run(second).encoder)
        assert {self.run(first), self.run(second)} == set(self.complete)
        (line,) = self.verdicts().values()
        assert line[-1] == "no difference shown"

    def read_no_difference_at_all(self, count):
        assert WORDS.index(count) == len(self.complete)
        assert {line[-1] for line in self.verdicts().values()} == {"no difference shown"}

    def read_best(self, number, label, better, worse, but, alike):
        best = self.run(number)
        assert label == best.encoder
        assert self.mean(best) == max(map(self.mean, self.complete))
        for listed, verdict in ((worse, "better"), (alike, "no difference shown")):
            for other in re.findall(r"\d+", listed or ""):
                assert self.finding(number, other) == verdict

    def read_alike(self, listed):
        assert all(self.run(other).complete for other in re.findall(r"\d+", listed))

    def finding(self, first, second):
        verdicts = self.verdicts()
        if (first, second) in verdicts:
            return verdicts[first, second][-1]
        turned = {"better": "worse", "worse": "better"}
        found = verdicts[second, first][-1]
        return turned.get(found, found)

    def read_rest(self, count):
        shown = [pair for pair, line in self.verdicts().items() if "no diff" not in line[-1]]
        best = str(self.rows.index(max(self.complete, key=self.mean)) + 1)
        others = [pair for pair in shown if best not in pair]
        assert WORDS.index(count.lower()) == len(others)

    def read_also(self, number, listed):
        best = str(self.rows.index(max(self.complete, key=self.mean)) + 1)
        assert best != number
        for other in re.findall(r"\d+", listed):
            assert self.finding(number, other) == "better"

    def read_power(self, size):
        assert 0 < float(size) <= 0.5

    def read_power_none(self):
        assert self.verdicts()

    def read_incomplete(self, number, label, done, total, failed):
        run = self.run(number)
        assert (label, int(done), int(total)) == (run.encoder, len(run.rows), run.folds)
        assert int(failed or 0) == run.failed
        assert not run.complete

    def read_none_complete(self):
        assert not self.complete

    def read_hard(self, count):
        wrong = [set(run.wrong()) for run in self.complete]
        assert int(count) == len(set.intersection(*wrong))

    def read_never_wrong(self):
        assert not any(run.wrong() for run in self.complete)


PATTERNS = {
    "data": r"The data are made: (\d+) cases of (\d+) patients \((.*)\)\.",
    "question": r"Which of (\w+) candidates tells .* apart best on made\?",
    "question_of_one": r"How well does (\S+)( · average · focal)? tell .* apart on made\?",
    "folds": r"The patients were divided into (\w+) parts, .* (\w+) models were trained .*",
    "only": rf"(.+) reaches a mean AUC of {NUMBER}(?: \(95 % interval {NUMBER} to {NUMBER}\))?\.",
    "better": rf"Candidate (\d) \((\S+)\) is better than candidate (\d) \((\S+)\): by {NUMBER} in "
    rf"AUC \(95 % interval {NUMBER} to {NUMBER}, p [=<] {NUMBER}\)\.",
    "no_difference": r"No difference between candidates (\d) \((\S+)\) and (\d) \((\S+)\) was "
    r"shown\.",
    "no_difference_at_all": r"No difference between any two of the (\w+) candidates was shown\.",
    "best": r"Candidate (\d) \((\S+)\) has the highest mean AUC(; it is better than candidates? "
    r"([\d, and]+)\.)?(, but no difference between it and candidates? ([\d, and]+) was shown\.)?",
    "alike": r"No difference between it and candidates? ([\d, and]+) was shown\.",
    "rest": r"(\w+) other pairs differ too\.",
    "also": r"Candidate (\d) is better than candidates? ([\d, and]+), too\.",
    "power": rf"This design could have detected a true difference of {NUMBER} in AUC .*",
    "power_none": r"With so few cases and folds this design cannot show any difference .*",
    "incomplete": r"Candidate (\d) \((\S+)\) is not complete \((\d) of (\d) folds(?:, (\d) "
    r"failed)?\): .*",
    "none_complete": r"No candidate has finished all of its folds, .*",
    "hard": r"(\d+) cases? (?:was|were) decided wrongly by every complete candidate\. .*",
    "never_wrong": r"Every complete candidate decided every case rightly\.",
}


def read_sentences(reader):
    """Read every sentence with a number; returns the names of those that were met."""
    met = set()
    for sentence in reader.sentences:
        for name, pattern in PATTERNS.items():
            if match := re.fullmatch(pattern, sentence):
                getattr(reader, f"read_{name}")(*match.groups())
                met.add(name)
                break
        else:
            constant = sentence.startswith(EXPLAINED) or re.match(r"1\. r2d.*Marks: ", sentence)
            tried = sentence.startswith("fold ") and "the loss is not a number" in sentence
            assert constant or tried or not re.search(r"\d", sentence), f"unread: {sentence}"
    return met


def read_tables(reader):
    for run, line in zip(reader.rows, reader.leaderboard[1:], strict=True):
        cells = dict(zip(reader.leaderboard[0], line, strict=True))
        state = f", {f'{run.failed} failed' if run.failed else 'incomplete'}"
        assert cells["folds"] == f"{len(run.rows)}/{run.folds}{'' if run.complete else state}"
        for heading, values, scale, digits in (
            ("AUC", run.areas(), 1, 3),
            ("acc %", run.accuracies(), 100, 1),
        ):
            if not run.rows:
                assert cells.get(heading, "–") == "–"  # no column where no row has a value
                continue
            mean, std = cells[heading].split(" ± ")
            assert close(mean, scale * np.mean(values), digits)
            assert std == "–" if len(values) == 1 else close(std, scale * spread(values), digits)
    finished = [run for run in reader.rows if run.rows]
    for run, table in zip(finished, reader.table("true"), strict=True):
        inside = [line[1 : 1 + len(run.classes)] for line in table[1:]]
        counts = [[int(cell.split()[0]) for cell in line] for line in inside]
        np.testing.assert_array_equal(counts, run.confusion())
    for table in reader.table("case", "patient"):
        truths = [run.truth() for run in reader.complete]
        wrongs = [run.wrong() for run in reader.complete]
        for line in table[1:]:
            assert close(line[3], np.mean([truth[line[0]] for truth in truths]), 2)
            assert all(close(line[4 + n], truth[line[0]], 2) for n, truth in enumerate(truths))
            wrong = sum(line[0] in each for each in wrongs)
            assert line[-1] == f"{wrong} of {len(reader.complete)}"
    for table in reader.table("candidate", "probability"):
        assert sum(int(line[2]) for line in table[1:]) == sum(len(r.all_rows) for r in finished)


def read_labels(reader):
    """What is heard of the figures of ROC curves: mean AUC and number of folds."""
    by_encoder = {run.encoder: run for run in reader.files}
    for attributes in reader.page.all("svg"):
        label = attributes.get("aria-label", "")
        if match := re.match(HEARD, label):
            run = by_encoder[match[1]]
            assert int(match[2]) == len(run.rows)
            assert close(match[3], reader.mean(run))


def check_report(drawn):
    with tempfile.TemporaryDirectory() as name:
        page, files = written(drawn, Path(name))
        reader = Reader(page, files)
        met = read_sentences(reader)
        read_tables(reader)
        read_labels(reader)
    assert "data" in met
    return met


@FEW
@given(drawn_runs())
def test_every_number_of_the_report_is_that_of_the_files(drawn):
    check_report(drawn)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # 120 examples, each a page that is made and read
@MANY
@given(drawn_runs())
def test_every_number_of_many_reports_is_that_of_the_files(drawn):
    check_report(drawn)


def markdown_tables(text):
    """Tables by their header."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [
            [cell.strip().replace("\\", "") for cell in line.strip("|").split("|")]
            for line in block.splitlines()
        ]
        found[tuple(lines[0])] = lines[2:]
    return found


def check_card(drawn):
    with tempfile.TemporaryDirectory() as name:
        (files,) = drawn.write(Path(name))
        (run,) = volbench.load_runs(name).loaded
        card = card_markdown(run, resamples=100)
    cases, done = len(files.split), len(files.rows)
    per_class = ", ".join(f"{name} {files.counts[name]}" for name in files.classes)
    assert f"{cases} cases of {cases} patients ({per_class});" in card
    assert f"none of {cases} patients is in two folds" in card
    assert f"{files.folds} folds: each is held out once" in card
    said = re.search(r"\*\*(\d+) folds? of (\d+) failed", card)
    assert (said and int(said[1]), bool(said)) == (files.failed or None, files.failed > 0)
    missing = files.folds - done - files.failed
    said = re.search(r"\*\*(\d+) folds? of \d+ not finished", card)
    assert (int(said[1]) if said else 0) == missing
    assert not re.search(r"\b1 (threads|folds|cases|patients|slices)\b", card)
    if not done:
        return
    number = re.search(r"Held-out cases of (\d+) finished folds?, n = (\d+);", card)
    assert (int(number[1]), int(number[2])) == (done, len(files.all_rows))
    tables = markdown_tables(card)
    metrics = {line[0]: line[1:] for line in tables["metric", "mean", "95 % interval", "std"]}
    assert close(metrics["AUC"][0], np.mean(files.areas()))
    accuracy = next(name for name in metrics if name.startswith("acc"))
    assert close(metrics[accuracy][0], 100 * np.mean(files.accuracies()), 1)
    if done > 1:
        assert close(metrics["AUC"][2], spread(files.areas()))
    (bins,) = [lines for header, lines in tables.items() if header[0] == "probability"]
    assert sum(int(line[1]) for line in bins) == len(files.all_rows)
    wrong = files.wrong()
    (shown,) = [lines for header, lines in tables.items() if header[0] == "case"] or [[]]
    assert len(shown) == min(10, len(wrong))
    assert all(close(line[3], wrong[line[0]]) for line in shown)


@FEW
@given(drawn_runs(most_runs=1))
def test_every_number_of_the_card_is_that_of_the_files(drawn):
    check_card(drawn)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # 120 examples, each a page that is made and read
@MANY
@given(drawn_runs(most_runs=1))
def test_every_number_of_many_cards_is_that_of_the_files(drawn):
    check_card(drawn)
