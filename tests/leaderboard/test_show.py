"""How comparisons are written: widths, words, formats, nothing injected, one line per mistake."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

from tests.helpers.written_runs import rename_source, write_rival
from volbench.cli.main import main
from volbench.leaderboard import compare_runs, load_run

LONG = (
    "rmc5(blocks=(2, 2, 2, 2), width=8)",
    "bilinear(normalize='signed_square_root')",
    "focal(reduction='sum')+0.00390625*triplet(margin=256, mining='hard', normalize=False)",
)


def invoke(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def compare(*arguments):
    done = invoke(*arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def flat(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two complete runs of which one beats the audit, a failed one, and one of slices."""
    out = tmp_path_factory.mktemp("runs")
    write_rival(out, "strong", signal=3.0, audit=0.2, patients=120)
    write_rival(out, "weak", encoder="r3d", signal=0.2, noise=1, patients=120, seconds=50.0)
    write_rival(out, "slices", aggregator=None, signal=0.5, noise=2, patients=120)
    write_rival(out, "broken", aggregator="max", failed=(1,), noise=3, patients=120)
    return out


def test_the_table_says_what_is_shown_and_what_is_not(runs):
    shown = compare(runs)
    text = flat(shown)
    rows = {
        line.split()[0] + line.split()[1]: line
        for line in shown.splitlines()
        if re.match(r" (rmc5|r3d) .*\d/5", line)
    }
    assert " a " in rows["rmc5bilinear"]
    assert not re.search(r"5 +\S*a\S* ", rows["r3dbilinear"])
    assert "4/5" in rows["rmc5max"]
    assert not re.search(r"5 +[ab] ", rows["rmc5max"]), "no letter where nothing was tested"
    for words in (
        "ddof 1",
        "one score per case",
        "95 % interval over patients",
        "2000 bootstrap draws",
        "rows that share a letter cannot be told apart",
        "cross-validated z-test",
        "Holm over 3 pairs",
        "level 0.05",
        "found with a chance of 80 %",
        "Sharing one does not mean equal",
        "All rows: loss focal+triplet",
        "all are compared per case here, the mean over its slices",
        "Incomplete: broken has 4 of 5 folds, 1 failed",
        "it is not tested",
        "Failed: broken fold 1: TrainingError: the loss is not a number",
        "Shortcut baselines (no image used)",
        "† not shown to beat geometry alone",
        "Against rmc5, bilinear, focal+triplet",
        "not about training again",
    ):
        assert words in text, words
    assert "†" not in rows["rmc5bilinear"]
    assert "†" in rows["r3dbilinear"]
    assert len(re.findall(r"^ (r3d|rmc5) .* worse$", shown, re.MULTILINE)) == 2
    timid = compare(runs, "--test", "corrected-t")
    assert "corrected t-test on folds" in flat(timid)
    assert len(re.findall(r"^ rmc5 .* no difference shown$", timid, re.MULTILINE)) == 1


def test_one_run_speaks_of_no_pair(runs):
    text = flat(compare(runs / "strong"))
    for word in ("group", "Against", "Holm over", "could be seen"):
        assert word not in text
    assert re.search(r"\.\d{3} to 1?\.\d{3}", text)


@pytest.mark.parametrize("number", [1, 3, pytest.param(17, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "classes", [("T2", "T3"), tuple(f"adenocarcinoma grade {n}" for n in "1234")]
)
def test_nothing_is_wider_than_a_hundred_columns(tmp_path, number, classes):
    for n in range(number):
        write_rival(
            tmp_path,
            f"a-name-that-somebody-chose-to-tell-runs-apart-{n}",
            encoder=LONG[0],
            aggregator=LONG[1],
            loss=LONG[2] if n % 2 else "focal",
            noise=n,
            folds=2,
            patients=24,
            classes=classes,
            signal=n / 4,
        )
    shown = compare(tmp_path, "--by", "site", "--pairs", "all")
    assert max(map(len, shown.splitlines())) <= 100
    assert "…" not in shown, "nothing is cut off"
    everything = "auc,accuracy,balanced_accuracy,f1,mcc,brier,ece,log_loss,average_precision"
    shown = compare(tmp_path, "--metrics", everything)
    assert max(map(len, shown.splitlines())) <= 100
    assert "…" not in shown
    assert "log loss" in shown


def test_metrics_and_order_can_be_chosen(runs):
    shown = compare(runs, "--metrics", "brier,auc", "--format", "md")
    heading = shown.split("\n\n")[1].splitlines()[0]
    assert re.search(r"\| Brier \| AUC \| 95 % \|", heading)
    assert "recall" not in heading
    rows = json.loads(compare(runs, "--sort", "brier", "--format", "json"))["tables"][0]["rows"]
    complete = [row["brier_mean"] for row in rows if row["status"] == "complete"]
    assert complete == sorted(complete)
    names = json.loads(compare(runs, "--sort", "encoder", "--format", "json"))["tables"][0]["rows"]
    assert [row["encoder"] for row in names] == ["r3d", "rmc5", "rmc5", "rmc5"]


def test_filters_keep_what_they_name(runs):
    def kept(*conditions):
        arguments = [part for each in conditions for part in ("--where", each)]
        document = json.loads(compare(runs, *arguments, "--format", "json"))
        return {row["run"] for row in document["tables"][0]["rows"]}

    assert kept("encoder=r3d") == {"weak"}
    assert kept("encoder=rmc*", "level=volume") == {"strong", "broken"}
    assert kept("run=weak", "run=broken") == {"weak", "broken"}
    assert kept("agg=max") == {"broken"}
    assert kept("loss=focal+*", "data=*hospital*", "seed=0") == {
        "strong",
        "weak",
        "slices",
        "broken",
    }


def test_a_recipe_is_found_by_its_name(tmp_path):
    from volbench.experiment.recipe import load_recipe

    write_rival(tmp_path, "ours", summary=load_recipe("standard").summary)
    write_rival(tmp_path, "theirs", encoder="r3d", summary=load_recipe("paper").summary)
    shown = json.loads(compare(tmp_path, "--where", "recipe=paper", "--format", "json"))
    assert [row["run"] for row in shown["tables"][0]["rows"]] == ["theirs"]


def test_json_keeps_its_schema(runs):
    document = json.loads(
        compare(runs, "--format", "json", "--by", "site"), parse_constant=pytest.fail
    )
    assert (document["schema"], document["ddof"]) == (2, 1)
    (table,) = document["tables"]
    assert set(table) == {
        "data",
        "cases",
        "patients",
        "classes",
        "data_digest",
        "split_digest",
        "split_digests",
        "folds",
        "repeats",
        "unit",
        "threshold",
        "sort",
        "ddof",
        "test",
        "alpha",
        "margin",
        "resamples",
        "seed",
        "undefined_folds",
        "one_machine",
        "against",
        "design",
        "next_designs",
        "learning_curves",
        "differing",
        "rows",
        "pairs",
        "audit",
        "strata",
        "notes",
    }
    row = table["rows"][0]
    for key in (
        "run",
        "runs",
        "seeds",
        "encoder",
        "aggregator",
        "loss",
        "level",
        "status",
        "folds",
        "folds_total",
        "failed",
        "n",
        "group",
        "auc_mean",
        "auc_std",
        "auc_low",
        "auc_high",
        "recall_T3_low",
        "brier_high",
        "mcc_mean",
        "parameters",
        "seconds",
        "machine",
        "beats_audit",
        "audit_difference",
        "audit_p",
    ):
        assert key in row, key
    assert row["beats_audit"] is True
    assert row["mcc_low"] is None
    (pair, *rest) = table["pairs"]
    assert len(rest) == 2, "every pair, whatever is shown"
    assert set(pair) == {
        "run",
        "against",
        "run_label",
        "against_label",
        "difference",
        "low",
        "high",
        "std",
        "standard_error",
        "p",
        "p_holm",
        "p_delong",
        "p_bootstrap",
        "decided_by",
        "probability_worse",
        "probability_same",
        "probability_better",
        "verdict",
    }
    assert set(table["design"]) == {
        "folds",
        "std",
        "standard_error",
        "smallest_significant",
        "detectable",
        "detectable_holm",
    }
    assert {each["group"] for each in table["strata"][0]["rows"]} == set("ABC")
    total = pair["probability_worse"] + pair["probability_same"] + pair["probability_better"]
    assert total == pytest.approx(1)


def test_csv_tells_runs_pairs_audit_and_groups_apart(runs):
    rows = list(csv.DictReader(io.StringIO(compare(runs, "--format", "csv", "--by", "site"))))
    kinds = [row["kind"] for row in rows]
    assert [kinds.count(kind) for kind in ("run", "pair", "audit", "stratum")] == [4, 3, 1, 9]
    found = {row["verdict"] for row in rows if row["kind"] == "pair"}
    assert found <= {"better", "worse", "no difference shown"}
    assert {row["data_digest"] for row in rows} == {"d" * 64}


EVIL = "<script>alert(1)</script>"


@pytest.fixture
def evil(tmp_path):
    """Names, classes and strata that mean something to a spreadsheet, a browser or LaTeX."""
    classes = ("=HYPERLINK(1)", f"{EVIL}&|_%")
    for noise, name in enumerate(("=cmd|' !A0", "@SUM(1)", "-1+1 &_%$#{}~^\\ <img src=x>")):
        run = write_rival(
            tmp_path,
            name,
            classes=classes,
            noise=noise,
            encoder="=r3d",
            site=lambda i: ["+1", EVIL, "$\\input{x}"][(i // 2) % 3],
        )
        rename_source(run, f"{EVIL}\\write18{{ls}}")
    return tmp_path


def test_no_cell_of_the_csv_is_a_formula(evil):
    for row in csv.reader(io.StringIO(compare(evil, "--format", "csv", "--by", "site"))):
        for cell in row:
            assert not re.match(r"\s*[=@]", cell), cell
            assert not re.match(r"\s*[+-]", cell) or float(cell) is not None


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.open, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_a_page_that_runs_and_loads_nothing(evil):
    page = compare(evil, "--format", "html", "--by", "site", "--pairs", "all")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert set(tags.found) <= {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "section",
        "h2",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "br",
        "p",
    }
    assert EVIL in "".join(tags.text), "shown as text"
    assert "default-src 'none'" in page
    assert "http:" not in page
    assert "https:" not in page


def test_markdown_keeps_its_columns_and_holds_no_html(evil):
    text = compare(evil, "--format", "md", "--by", "site")
    assert "<script" not in text
    for part in text.split("\n\n"):
        lines = part.splitlines()
        if lines and lines[0].startswith("|"):
            counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
            assert len(counts) == 1


def test_latex_is_balanced_and_escaped(evil):
    text = compare(evil, "--format", "latex", "--by", "site")
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
    known = {
        "begin",
        "end",
        "centering",
        "caption",
        "small",
        "toprule",
        "midrule",
        "bottomrule",
        "par",
        "smallskip",
        "footnotesize",
        "textbackslash",
        "textasciitilde",
        "textasciicircum",
        "textless",
        "textgreater",
        "textbar",
        "textdagger",
        "textquotedbl",
        "pm",
        "usepackage",
    }
    body = text.split("\n", 1)[1]
    assert set(re.findall(r"\\([a-zA-Z]+)", body)) <= known
    bare = re.sub(r"\\[{}$&#%_\\]", "", body)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"[#%_~^]", bare)
    for tabular in re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end", body, re.DOTALL):
        columns, content = tabular
        for line in content.splitlines():
            if line.endswith(r"\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        (".md", "**hospital"),
        (".csv", "kind,"),
        (".json", "{"),
        (".tex", "% "),
        (".html", "<!doc"),
        (".txt", "hospital"),
    ],
)
def test_the_suffix_of_the_file_tells_the_format(runs, tmp_path, suffix, start):
    path = tmp_path / f"table{suffix}"
    assert compare(runs / "strong", "--output", path) == ""
    assert path.read_text().startswith(start)
    assert list(tmp_path.iterdir()) == [path], "nothing temporary is left"


def test_speed_of_several_machines_is_left_out_with_a_note(tmp_path):
    write_rival(tmp_path, "here")
    write_rival(tmp_path, "there", encoder="r3d", noise=1, environment={"processor": "B"})
    text = flat(compare(tmp_path))
    assert "s/fold" not in text
    assert "M par" in text
    assert "were not run on one machine" in text


def test_folds_of_less_than_a_second_are_not_free(tmp_path):
    write_rival(tmp_path, "quick", seconds=0.24)
    write_rival(tmp_path, "slow", encoder="r3d", noise=1, seconds=3.4)
    head, _, *rows = [
        [cell.strip() for cell in line.split("|")]
        for line in compare(tmp_path, "--format", "md").splitlines()
        if line.startswith("|")
    ]
    assert sorted(row[head.index("s/fold")] for row in rows[:2]) == ["0.2", "3"]


def test_strata_stand_in_tables_with_their_counts(runs):
    text = flat(compare(runs, "--by", "site", "--by", "slice_mm"))
    assert "AUC by site" in text
    assert "AUC by slice_mm" in text
    assert "20 T2 20 T2 20 T2" in text
    assert "20 T3 20 T3 20 T3" in text
    assert "Pooled over folds" in text
    assert "No difference between groups is tested" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sort", "acuracy"], "--sort 'acuracy' is not a column; did you mean 'accuracy'?"),
        (["--metrics", "auc,breir"], "--metrics: 'breir' is no metric here; did you mean 'brier'?"),
        (["--metrics", ","], "--metrics names no metric; there is auc"),
        (["--by", "sight"], "--by 'sight' is not a column of the cases of"),
        (["--where", "encodr=r3d"], "with a known key; did you mean 'encoder'?"),
        (["--where", "encoder"], "has no pattern; write encoder=PATTERN"),
        (["--where", "encoder=r3e"], "--where encoder=r3e leaves no run; did you mean 'r3d'?"),
        (["--against", "stong"], "--against 'stong' is not among the runs; did you mean 'strong'?"),
        (["--against", "broken"], "--against 'broken' has 4 of 5 folds and is not tested"),
        (["--threshold", "half"], "threshold 'half' is not a number from 0 to 1"),
        (["--unit", "slice"], "unit 'slice'"),
        (["--output", "table.xlsx"], "its suffix tells no format"),
        (["--seed", "-1"], "--seed"),
        (["--ddof", "2"], "--ddof"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_way_out(runs, arguments, words):
    done = invoke(runs, *arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert words in done.stderr


def test_a_rule_without_validation_predictions_is_refused_in_a_line(tmp_path):
    write_rival(tmp_path, "run", validation=False)
    done = invoke(tmp_path, "--threshold", "sensitivity=0.9")
    assert done.exit_code == 2
    assert "no validation predictions to choose it on; use 0.5" in done.stderr


def test_python_gets_the_same_numbers(runs):
    found = compare_runs([load_run(runs / "strong"), load_run(runs / "weak")])
    document = json.loads(compare(runs / "strong", runs / "weak", "--format", "json"))
    row = document["tables"][0]["rows"][0]
    assert row["auc_mean"] == found.rows[0].score("auc").mean
    assert row["auc_low"] == found.rows[0].score("auc").low


def with_settings(path, **recipe):
    file = path / "experiment.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "recipe": recipe}))


def test_rows_that_differ_in_settings_only_show_those_and_no_folder(tmp_path):
    for place, (epochs, augmentation) in enumerate([(6, "none"), (6, "rectal"), (12, "none")]):
        path = write_rival(tmp_path, f"rmc5-bilinear-focal-{place}a7c", noise=place, signal=place)
        with_settings(path, training={"epochs": epochs, "augmentation": augmentation, "lr": 1})
    heading, _, *rows = compare(tmp_path, "--format", "md").split("\n\n")[1].splitlines()
    assert heading.startswith("| epochs | augmentation | folds | group | AUC |")
    assert {tuple(row.split(" | ")[:2]) for row in rows} == {
        ("| 6", "none"), ("| 6", "rectal"), ("| 12", "none"),
    }  # fmt: skip
    shown = compare(tmp_path)
    assert "a7c" not in shown + compare(tmp_path, "--pairs", "all")
    assert "Against rmc5, bilinear, focal+triplet, epochs 12, augmentation none" in flat(shown)
    (table,) = json.loads(compare(tmp_path, "--format", "json"))["tables"]
    assert table["differing"] == ["training.epochs", "training.augmentation"]
    assert {row["training.epochs"] for row in table["rows"]} == {6, 12}
    lines = list(csv.DictReader(io.StringIO(compare(tmp_path, "--format", "csv"))))
    assert [row["training.augmentation"] for row in lines if row["kind"] == "run"].count(
        "rectal"
    ) == 1
    assert "epochs & augmentation & folds" in compare(tmp_path, "--format", "latex")


def test_runs_that_differ_in_nothing_are_told_apart_by_their_names(tmp_path):
    for name in ("first", "second"):
        with_settings(write_rival(tmp_path, name, signal=len(name)), training={"epochs": 6})
    assert "| run | folds |" in compare(tmp_path, "--format", "md")


def test_folds_from_different_hardware_are_told(tmp_path):
    write_rival(tmp_path, "here", folds=5)
    assert "different hardware" not in flat(compare(tmp_path))
    path = tmp_path / "here/folds/03/environment.json"
    path.write_text('{"schema": 1, "device": "NVIDIA T4", "processor": "B", "cores": 2}')
    text = flat(compare(tmp_path))
    assert "The folds of here come from different hardware: " in text
    assert ": 0, 1, 2, 4; NVIDIA T4 (" in text
    assert "were not run on one machine" in text


def test_folds_trained_with_different_versions_are_told(tmp_path):
    write_rival(tmp_path, "here", folds=3)
    assert "different versions" not in flat(compare(tmp_path))
    for fold in range(3):
        path = tmp_path / f"here/folds/{fold:02d}/environment.json"
        environment = json.loads(path.read_text()) if path.exists() else {"schema": 1}
        torch = "2.11.0" if fold == 2 else "2.10.0"
        environment["packages"] = {"numpy": "2.0", "torch": torch}
        path.write_text(json.dumps(environment))
    assert (
        "The folds of here were trained with different versions: torch 2.10.0: 0, 1; "
        "torch 2.11.0: 2. Numbers may differ between versions." in flat(compare(tmp_path))
    )
