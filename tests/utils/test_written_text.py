"""Any text that is written can be read back or is shown as it is, in every format there is."""

import html
import json
import re
from html.parser import HTMLParser
from unicodedata import category

from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.helpers.small import small_case
from tests.helpers.written_runs import write_rival
from volbench._utils.atomic_io import json_text
from volbench._utils.text import BIDIRECTIONAL, INVISIBLE, printable
from volbench.audit import Audit, AuditRow
from volbench.cli.main import main
from volbench.experiment.splits import Split
from volbench.leaderboard.render.html import page
from volbench.leaderboard.render.latex import ESCAPES, escape, latex
from volbench.leaderboard.render.over_datasets import TextTable
from volbench.model_card.markdown import SPECIAL, safe
from volbench.runs.cases_file import cases_csv, read_cases
from volbench.runs.folder import read_json
from volbench.runs.predictions_file import Prediction
from volbench.runs.splits_file import read_splits, splits_csv
from volbench.spec import Spec, parse

ANY = st.text(max_size=12)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
MANY = settings(max_examples=200, deadline=None)
HOSTILE = "\x00\x1b[31m\u202e<script>&amp;</td>|`*_[x](y)$\\end{table}%#~^{}'\"\r\n=1\u2028"


def shown(text):
    """What is left of a text in one line: every control character as an escape."""
    return printable(" ".join(text.split()))


def is_safe(text):
    return not any(category(one) in INVISIBLE or one in BIDIRECTIONAL for one in text)


@MANY
@example({"\udcff": ["\ud800", "\x00", "é"]})
@given(st.dictionaries(ANY, st.lists(ANY)))
def test_json_reads_back_to_the_character(value):
    text = json_text(value)
    assert json.loads(text.encode("utf-8")) == value


def test_json_without_odd_characters_stays_readable():
    assert "é" in json_text({"a": "é"})


@MANY
@example(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
@given(NAME, NAME, NAME, NAME)
def test_tables_of_a_run_read_back_for_every_name(tmp_path_factory, case, patient, label, stratum):
    one = small_case(0, patient=patient, strata={stratum: label})
    one = type(one)(**{**vars(one), "name": case})
    split = Split((one,), ("0",))
    (row,) = read_cases(cases_csv(split, [label, "other"]))
    assert (row.case, row.patient, row.label, row.strata) == (
        case,
        patient,
        label,
        {stratum: label},
    )
    path = tmp_path_factory.getbasetemp() / "splits.csv"
    path.write_bytes(splits_csv(split, [label, "other"]).encode())
    (row,) = read_splits(path)
    assert (row.case, row.patient, row.label, row.fold) == (case, patient, label, "0")
    predicted = (Prediction(case, patient, label, 0, None, (0.25, 0.75)),)
    audit = Audit((label, "other"), (AuditRow(stratum, "logistic", label, predicted),))
    assert Audit.from_csv(audit.to_csv()) == audit


class Cells(HTMLParser):
    """Text of the cells, and every tag there is."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.inside = set(), [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.inside = tag in ("td", "th") or (tag == "br" and self.inside)
        if tag in ("td", "th"):
            self.cells.append("")
        elif tag == "br":
            self.cells[-1] += "\n"

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


@MANY
@example(HOSTILE)
@given(TEXT)
def test_html_shows_every_text_as_it_is(text):
    section = TextTable(text, {"name": [text], text: ["1"]}, [text])
    written = page([section], title=text)
    plain = page([TextTable("t", {"name": ["a"], "b": ["1"]}, ["n"])], title="t")
    found = Cells(written)
    assert found.tags <= Cells(plain).tags | {"br"}
    cells = [cell for cell in found.cells if cell not in ("name", "1")]
    for cell in cells:
        assert cell == text or cell == printable(text, keep="\n")


def unescaped(text):
    """Read LaTeX back as far as `escape` writes it."""
    known = sorted(((said, sign) for sign, said in ESCAPES.items()), key=lambda each: -len(each[0]))
    found = ""
    while text:
        for said, sign in known:
            if text.startswith(said):
                found, text = found + sign, text[len(said) :]
                break
        else:
            found, text = found + text[0], text[1:]
    return found


@MANY
@example(HOSTILE)
@given(TEXT)
def test_latex_reads_back_and_keeps_its_structure(text):
    assert unescaped(escape(text)) == shown(text)
    written = latex(text, {"encoder": [text]}, [text])
    assert written.count(r"\begin{") == written.count(r"\end{") == 2
    assert len(re.findall(r"(?<!\\)[{}]", written)) % 2 == 0
    assert is_safe(written.replace("\n", ""))


@MANY
@example(HOSTILE)
@given(TEXT)
def test_markdown_reads_back_and_has_no_sign_of_its_own(text):
    written = safe(text)
    assert (
        html.unescape(SPECIAL.sub(lambda sign: sign[0], re.sub(r"\\(.)", r"\1", written)))
        == shown(text)
        or "&" in text
    )
    bare = re.sub(r"\\.", "", written)
    assert not SPECIAL.search(bare)
    assert "<" not in bare
    assert is_safe(written)


@MANY
@given(st.dictionaries(st.sampled_from(["a", "gamma", "x_1"]), ANY))
def test_a_spec_reads_back_for_every_text(options):
    spec = Spec("name", tuple(sorted(options.items())))
    assert parse(str(spec)) == spec


def test_names_of_runs_reach_no_terminal_raw(tmp_path):
    for name in ("plain", "red\x1b[31m\u202egnik"):
        write_rival(tmp_path, name, noise=len(name))
    for style in ("table", "md", "latex", "html"):
        done = CliRunner().invoke(main, ["compare", str(tmp_path), "--format", style])
        assert done.exit_code == 0
        assert is_safe(re.sub(r"[\n\t]", "", done.stdout)), style


def test_json_of_a_name_that_no_encoding_has_is_written_and_read(tmp_path):
    from volbench._utils.atomic_io import write_json

    write_json(tmp_path / "a.json", {"path": "\udcff/x"})
    assert read_json(tmp_path / "a.json") == {"path": "\udcff/x"}
