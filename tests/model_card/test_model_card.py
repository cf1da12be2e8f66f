"""The model card and the checklists of written runs, against numbers worked out from the files."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from tests.helpers.written_runs import CASES, CLASSES, DATA, HOSTILE, write_run
from volbench import model_card as package
from volbench.errors import StateError
from volbench.model_card.answers import model
from volbench.model_card.checklist import BOX
from volbench.model_card.claim import CLAIM
from volbench.model_card.markdown import safe
from volbench.model_card.run_facts import gather_facts
from volbench.model_card.tripod import TRIPOD_AI
from volbench.runs.load import load_run

SECTIONS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
    "Checklist: CLAIM 2024 Update",
    "Checklist: TRIPOD+AI",
]

# As published: Collins et al. 2024, the table of the statement.
TRIPOD_NUMBERS = [
    *("1", "2", "3a", "3b", "3c", "4", "5a", "5b", "6a", "6b", "6c", "7", "8a", "8b", "8c"),
    *("9a", "9b", "9c", "10", "11", "12a", "12b", "12c", "12d", "12e", "12f", "12g", "13"),
    *("14", "15", "16", "17", "18a", "18b", "18c", "18d", "18e", "18f", "19", "20a", "20b"),
    *("20c", "21", "22", "23a", "23b", "24", "25", "26", "27a", "27b", "27c"),
]


def card_markdown(run, **options):
    """A card whose intervals are coarse, as this suite has no time for fine ones."""
    return package.card_markdown(run, resamples=100, **options)


def section(card, title):
    """Text below a heading, up to the next."""
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(line):
    """Cells of a row of a Markdown table; a pipe behind a backslash belongs to a cell."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def tables(text):
    """Rows of all tables of a text, headings left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = [place for place, line in enumerate(lines) if set(line) <= set("|-: ")]
    return [cells(line) for place, line in enumerate(lines) if {place, place + 1}.isdisjoint(rules)]


def items(card, title="Checklist: CLAIM 2024 Update"):
    """Status and answer of each item, by number."""
    return {row[0]: (row[3], row[4]) for row in tables(section(card, title))}


def held_out(run, fold=None):
    """Rows of predictions.csv, read with the csv module."""
    pattern = "*" if fold is None else f"{fold:02d}"
    rows = []
    for path in sorted(run.path.glob(f"folds/{pattern}/predictions.csv")):
        with path.open(newline="") as stream:
            rows += list(csv.DictReader(stream))
    return rows


def areas(run, folds=(0, 1, 2)):
    found = []
    for fold in folds:
        rows = held_out(run, fold)
        truth = [row["label"] == "T3" for row in rows]
        found.append(roc_auc_score(truth, [float(row["prob_T3"]) for row in rows]))
    return np.array(found)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("card") / "mine", audit=True)


@pytest.fixture(scope="module")
def card(run):
    return card_markdown(run)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A run without cases.csv and audit.csv."""
    run = write_run(tmp_path_factory.mktemp("bare") / "bare")
    (run.path / "cases.csv").unlink()
    return replace(run, case_rows=[])


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """One fold finished, one failed, one never begun."""
    return write_run(tmp_path_factory.mktemp("broken") / "broken", finished=(0,), failed=(1,))


def test_the_sections_are_those_of_a_model_card_and_two_checklists(card):
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == SECTIONS
    assert card.startswith("# Model card: mine\n")
    assert "Research software; not for clinical use." in card


def test_every_item_of_both_lists_stands_there_once_and_in_order(card):
    claim = [row[0] for row in tables(section(card, SECTIONS[-2]))]
    tripod = [row[0] for row in tables(section(card, SECTIONS[-1]))]
    assert claim == [str(number) for number in range(1, 45)]
    assert tripod == TRIPOD_NUMBERS
    assert len({item.asks for item in (*CLAIM, *TRIPOD_AI)}) > 80, "each asks for its own"


def test_the_counts_on_top_are_those_of_the_tables(card):
    for name, title, total in (
        ("CLAIM 2024 Update", SECTIONS[-2], 44),
        ("TRIPOD+AI", SECTIONS[-1], 52),
    ):
        statuses = [status for status, _ in items(card, title).values()]
        filled, partly, left = (statuses.count(word) for word in ("filled", "partly", "author"))
        said = (
            f"- {name}: {total} items, {filled} filled by the run, {partly} in part, "
            f"{left} left to the author."
        )
        assert said in card
        assert min(filled, partly, left) > 3


def test_the_status_agrees_with_what_is_said(card):
    for title in SECTIONS[-2:]:
        for number, (status, answer) in items(card, title).items():
            known, box, left = answer.partition(BOX)
            assert (bool(known.strip()), bool(box)) == {
                "filled": (True, False),
                "partly": (True, True),
                "author": (False, True),
            }[status], number
            assert bool(left.strip()) == bool(box)


def test_what_no_file_can_know_is_left_to_the_author(card):
    claim, tripod = items(card), items(card, SECTIONS[-1])
    for number in ("2", "3", "5", "8", "11", "15", "16", "18", "31", "34", "41", "44"):
        assert claim[number][0] == "author", number
    for number in ("2", "3a", "3b", "5b", "6b", "8c", "14", "17", "18a", "18d", "19", "25"):
        assert tripod[number][0] == "author", number
    known = " ".join(answer.split(BOX)[0] for _, answer in [*claim.values(), *tripod.values()])
    for word in ("prospective", "multi-cent", "multicent", "consent", "clinical use", "radiolog"):
        assert word not in known.lower(), word


def test_performance_is_that_of_the_files(run, card):
    found = areas(run)
    mean, std = f"{found.mean():.3f}", f"{found.std(ddof=1):.3f}"
    rows = {row[0]: row for row in tables(section(card, "Quantitative analyses"))}
    assert (rows["AUC"][1], rows["AUC"][3]) == (mean, std)
    for number in ("32", "37"):
        status, answer = items(card)[number]
        assert status == "filled"
        assert f"AUC {mean} (95 % interval " in answer
        assert f"standard deviation over folds {std})" in answer
    briers = [
        brier_score_loss(
            [row["label"] == "T3" for row in held_out(run, fold)],
            [float(row["prob_T3"]) for row in held_out(run, fold)],
        )
        for fold in range(3)
    ]
    assert rows["Brier"][1] == f"{np.mean(briers):.3f}"


def test_recalls_are_those_of_the_files_at_a_half(run, card):
    _, answer = items(card)["38"]
    for name, word in (("T3", "sensitivity"), ("T2", "specificity")):
        recalls = []
        for fold in range(3):
            mine = [row for row in held_out(run, fold) if row["label"] == name]
            recalls.append(np.mean([float(row[f"prob_{name}"]) >= 0.5 for row in mine]))
        assert f"{word}, recall {name} {100 * np.mean(recalls):.1f} % (95 % interval" in answer
    assert "threshold 0.5, fixed" in answer


def test_an_interval_holds_the_mean_and_has_a_width(card):
    rows = {row[0]: row for row in tables(section(card, "Quantitative analyses"))}
    low, high = map(float, rows["AUC"][2].split(" to "))
    assert low < float(rows["AUC"][1]) <= high
    assert rows["F1"][2] == "–", "none is given where none is known"


def test_partitions_and_sizes_are_those_of_the_files(run, card):
    with (run.path / "splits.csv").open(newline="") as stream:
        splits = list(csv.DictReader(stream))
    per_fold = {fold: [row for row in splits if row["fold"] == fold] for fold in "012"}
    assert {len(rows) for rows in per_fold.values()} == {12}
    _, answer = items(card)["19"]
    assert "3 folds: each is held out once, with 12 cases, 50 % of them T3" in answer
    assert "4 cases of each training part are kept as an inner validation part" in answer
    patients = {row["patient"] for row in splits}
    assert f"none of {len(patients)} patients is in two folds" in items(card)["20"][1]
    _, answer = items(card, SECTIONS[-1])["21"]
    assert "training 20 cases (T3: 10); inner validation 4 cases (T3: 2); held out 12" in answer
    by_class = {name: sum(row["label"] == name for row in splits) for name in CLASSES}
    assert f"36 cases of 18 patients (T2 {by_class['T2']}, T3 {by_class['T3']})" in card


def test_a_patient_in_two_folds_is_named_as_such(tmp_path):
    run = write_run(tmp_path / "torn")
    path = run.path / "splits.csv"
    path.write_text(path.read_text().replace("case000,p00,T2,0", "case000,p00,T2,1"))
    status, answer = items(card_markdown(run))["20"]
    assert status == "partly"
    assert "NOT disjoint in patients: 1 patient in several folds" in answer


def test_the_recipe_is_told_option_by_option(run, card):
    recipe = json.loads((run.path / "experiment.json").read_text())["recipe"]
    _, answer = items(card)["25"]
    for wanted in (
        f"epochs {recipe['training']['epochs']}",
        f"batch\\_size {recipe['training']['batch_size']}",
        f"augmentation {recipe['training']['augmentation']}",
        f"lr {recipe['optimizer']['lr']:g}",
        f"weight\\_decay {recipe['optimizer']['weight_decay']:g}",
        "name adamw",
        "sampler balanced",
        "name cosine",
        "Seed 0",
    ):
        assert wanted in answer, wanted
    assert "factor" not in answer, "it does nothing under this schedule"
    assert "1,234,567 parameters" in items(card)["22"][1]
    assert "volbench commit abc1234" in items(card)["23"][1]
    assert "torch 2.11.0" in items(card)["23"][1]
    assert "absent" not in items(card)["23"][1]
    assert "epochs chosen 2 to 4, median 3" in items(card)["26"][1]


@pytest.mark.parametrize(
    ("encoder", "status", "said"),
    [
        ("r2d(width=2)", "filled", "Kaiming normal"),
        ("timm(name='resnet18')", "filled", "as timm does it"),
        ("timm(name='resnet18', pretrained=True)", "partly", "pretrained weights that timm gives"),
        (f"r2d(freeze=True, weights='w.pth#{'a' * 16}')", "partly", "frozen; the rest at random"),
        ("somebody(depth=3)", "partly", "how the encoder somebody is initialised"),
    ],
)
def test_initialisation_is_claimed_for_known_encoders_only(encoder, status, said, tmp_path):
    run = write_run(tmp_path / "run", encoder=encoder, finished=())
    found = model.initialization(gather_facts(run))
    assert found.status == status
    assert said in f"{found.known} {found.left}"
    assert ("Kaiming" in found.known) == encoder.startswith("r2d(width")


def test_folds_from_different_hardware_are_told(tmp_path):
    run = write_run(tmp_path / "run")
    path = run.path / "folds/01/environment.json"
    path.write_text('{"schema": 1, "device": "NVIDIA T4", "python": "3.12.1"}')
    said = model.software(gather_facts(load_run(run.path))).known
    assert "The folds of run come from different hardware: " in said
    assert "NVIDIA T4" in said
    assert "Python 3.12.1" in said


def test_subgroups_have_their_numbers_and_their_n(run, card):
    rows = {(row[0], row[1]): row for row in tables(section(card, "Quantitative analyses"))}
    assert ("slice\\_mm", "3") in rows
    with (run.path / "cases.csv").open(newline="") as stream:
        site = {row["case"]: row["stratum_site"] for row in csv.DictReader(stream)}
    for name in ("north", "south"):
        mine = [row for row in held_out(run) if site[row["case"]] == name]
        truth = [row["label"] == "T3" for row in mine]
        area = roc_auc_score(truth, [float(row["prob_T3"]) for row in mine])
        found = rows["site", name]
        assert found[2] == str(len(mine))
        assert found[6] == f"{area:.3f}"
        low, high = map(float, found[7].split(" to "))
        assert low <= area <= high


def test_a_place_is_named_where_a_column_says_it_and_only_there(card, tmp_path):
    assert "column site: north 24, south 12" in items(card, SECTIONS[-1])["6a"][1]
    assert "site: AUC" in items(card, SECTIONS[-1])["23b"][1]
    assert "slice\\_mm" not in items(card, SECTIONS[-1])["23b"][1]
    other = card_markdown(write_run(tmp_path / "other", strata=lambda n: {"stage": str(n % 2)}))
    for number in ("6a", "12d", "23b"):
        assert items(other, SECTIONS[-1])[number][0] == "author"


def test_the_surest_mistakes_are_named(run, card):
    wrong = sorted(
        (float(row[f"prob_{row['label']}"]), row["case"])
        for row in held_out(run)
        if float(row[f"prob_{row['label']}"]) < 0.5
    )
    status, answer = items(card)["39"]
    assert status == "partly"
    assert answer.startswith(f"{len(wrong)} of {CASES} cases called wrong")
    assert [*re.findall(r"case\d+", answer)] == [case for _, case in wrong[:5]]
    assert f"{wrong[0][0]:.3f}" in answer


def test_the_audit_is_told_and_whether_it_is_beaten(run, card):
    assert "Shortcut audit" in section(card, "Quantitative analyses")
    assert "the model is NOT shown to be better" in section(card, "Caveats and recommendations")
    assert "geometry (logistic) has AUC" in items(card)["30"][1]


def test_a_run_without_cases_and_audit_claims_nothing_of_them(bare):
    card = card_markdown(bare)
    found = items(card)
    for number in ("13", "30"):
        assert found[number][0] == "author"
    assert "without a value" not in found["12"][1]
    assert "Subgroups" not in section(card, "Quantitative analyses")
    caveats = section(card, "Caveats and recommendations")
    assert "No shortcut audit stands beside these scores." in caveats
    assert "no subgroup is shown" in caveats
    tripod = items(card, SECTIONS[-1])
    assert {tripod[n][0] for n in ("6a", "9b", "12d", "23b")} == {"author"}


def test_a_failed_fold_is_said_first_and_no_interval_is_given(broken):
    card = card_markdown(broken)
    top = card.split("\n## ")[0]
    assert "**1 fold of 3 failed." in top
    assert "fold 1: out of memory \\| really &lt;now&gt;" in top
    assert "**1 fold of 3 not finished.**" in top
    for number in ("29", "32", "37", "38"):
        status, answer = items(card)[number]
        assert status == "partly"
        assert "95 % interval 0" not in answer
    assert f"AUC {areas(broken, folds=(0,))[0]:.3f} (no interval)" in items(card)["37"][1]
    assert "2 folds of 3 missing" in items(card)["37"][1]
    assert "12 of 36 cases were held out" in items(card)["12"][1]


def test_a_run_that_has_not_begun_has_no_scores(tmp_path):
    card = card_markdown(write_run(tmp_path / "none", finished=()))
    assert tables(section(card, "Quantitative analyses")) == []
    for number in ("32", "37", "38", "39"):
        assert items(card)[number] == (
            "author",
            f"{BOX} no fold is finished, so there is nothing to report yet",
        )
    assert items(card, SECTIONS[-1])["12g"][0] == "author"
    assert "3 folds of 3 not finished" in card.split("\n## ")[0]


def test_a_run_of_slices_is_scored_per_slice_and_says_so(tmp_path):
    run = write_run(tmp_path / "slices", aggregator=None)
    card = card_markdown(run)
    rows = held_out(run)
    assert len(rows) == 2 * CASES
    assert f"n = {len(rows)} slices" in items(card)["32"][1]
    assert f"AUC {areas(run).mean():.3f}" in items(card)["37"][1]
    assert "representative slices" in items(card)["10"][1]
    assert re.search(r"case\d+, slice \d", items(card)["39"][1])
    assert "per case " in section(card, "Quantitative analyses")


def test_a_threshold_by_rule_is_told_with_its_values(run):
    card = card_markdown(run, threshold="sensitivity=0.9")
    _, answer = items(card, SECTIONS[-1])["15"]
    assert re.search(r"sensitivity=0\.9 \(set on the inner validation part .*: 0\.\d+ to", answer)
    assert "fixed" not in answer


def test_a_recipe_without_validation_says_what_picked_the_epoch(tmp_path):
    run = write_run(tmp_path / "last", overrides=("selection.checkpoint=last",))
    card = card_markdown(run)
    assert "In each fold the last epoch" in items(card)["26"][1]
    assert "No inner validation part picked the epoch." in card
    assert "inner validation" not in items(card)["19"][1]


def test_hostile_names_stay_text(tmp_path):
    hostile = {**DATA, "title": HOSTILE, "licence": HOSTILE, "channels": [HOSTILE]}
    classes = ("a|b`", "<b>z")
    run = write_run(
        tmp_path / "x|<i>y`",
        data=hostile,
        classes=classes,
        strata=lambda n: {HOSTILE: HOSTILE + str(n % 2)},
    )
    card = card_markdown(run)
    assert "<" not in card.replace("<br>", ""), "no HTML"
    assert not re.search(r"(?<!\\)[`$]", card)
    assert not re.search(r"(?<!\\)\]\(", card), "no link"
    for title, wide in ((SECTIONS[-2], 5), (SECTIONS[-1], 5)):
        assert {len(row) for row in tables(section(card, title))} == {wide}
    assert [row[0] for row in tables(section(card, SECTIONS[-1]))] == TRIPOD_NUMBERS
    for line in card.splitlines():
        assert not line.startswith("# ") or line.startswith("# Model card: x")
    assert "alert(1)" in card, "it is shown"


def test_escaped_text_reads_back_as_it_was():
    docutils = pytest.importorskip("markdown_it")
    text = "a|b `c` <b>*d*_e_ [f](g) & #h ~i~ !j \\k"
    rendered = docutils.MarkdownIt().renderInline(safe(text))
    assert "<" not in rendered
    plain = rendered.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert plain == text


def test_a_damaged_run_is_refused(tmp_path):
    run = write_run(tmp_path / "damaged")
    (run.path / "splits.csv").write_text("case,patient\n")
    (run.path / "data.json").unlink()
    with pytest.raises(StateError, match=r"is not a run: it has no data\.json"):
        card_markdown(run)


def test_the_manual_says_how_many_items_such_a_run_fills(card):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "model-card.md").read_text("utf-8")
    shown = page.split("<!-- counts -->\n")[1].split("<!-- /counts -->")[0]
    assert shown in card
