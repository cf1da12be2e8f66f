"""The tables of Lee et al. 2022 beside ours: values, layout, rank agreement, partial runs."""

import csv
import io
import json
import math
import os
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.written_runs import write_folds
from volbench._utils.atomic_io import write_json
from volbench.cli.main import main
from volbench.errors import StateError, UsageError
from volbench.leaderboard import load_run
from volbench.leaderboard.published.references import load_reference, reference_names
from volbench.leaderboard.published.side_by_side import (
    PublishedRow,
    agreement,
    cells,
    components,
    resolvable,
)
from volbench.runs.folder import RunFolder
from volbench.runs.predictions_file import Prediction

PUBLISHED = Path(__file__).parents[2] / "volbench/leaderboard/published/tables/rectal2022.csv"
ENCODERS = ["r2d", "r3d", "r2plus1d", "mc2", "mc3", "mc4", "mc5", "rmc2", "rmc3", "rmc4", "rmc5"]
NEGATIVES = 10


def published(table):
    with PUBLISHED.open() as stream:
        return [row for row in csv.DictReader(stream) if row["table"] == table]


def write_run(
    out, encoder, aggregator, loss, aucs, *, folds=10, classes=("T2", "T3"), name=None, failed=()
):
    """A run's folder as if it had been trained: a fold per AUC, which is a number of tenths.

    One positive case of probability 0.6 stands among ten negative ones; so many are below it.
    """
    name = name or f"{encoder}-{aggregator or 'slice'}-{loss}"
    folder = RunFolder(out / name)
    experiment = {
        "encoder": encoder,
        "aggregator": aggregator,
        "loss": loss,
        "level": "volume" if aggregator else "slice",
        "data_digest": "d" * 64,
        "split_digest": "e" * 64,
        "folds": folds,
        "source": "somewhere",
        "seed": 0,
    }
    write_json(folder.path / "experiment.json", {"schema": 1, **experiment})
    environment = {"schema": 1, "device": "cpu", "precision": "float32"}
    write_json(folder.path / "environment.json", environment)
    cases = [(f"{fold}-{n}", fold, n) for fold in range(folds) for n in range(NEGATIVES + 1)]
    rows = (f"{case},{case},{classes[n == NEGATIVES]},{fold}\n" for case, fold, n in cases)
    (folder.path / "splits.csv").write_text("case,patient,label,fold\n" + "".join(rows))

    def held_out(fold):
        below = round(aucs[fold] * NEGATIVES)
        probabilities = [0.1] * below + [0.9] * (NEGATIVES - below)
        for n, p in enumerate([*probabilities, 0.6]):
            yield Prediction(
                case=f"{fold}-{n}",
                patient=f"{fold}-{n}",
                label=classes[n == NEGATIVES],
                fold=fold,
                slice=None if aggregator else 0,
                probabilities=(1 - p, p, *([0.0] * (len(classes) - 2))),
            )

    measured = {"seconds": 1.0, "samples_per_second": 1.0, "peak_memory_mb": 1.0, "parameters": 5}
    write_folds(
        folder,
        classes,
        held_out,
        finished=range(len(aucs)),
        failed=failed,
        measured=lambda fold: measured,
    )
    return folder.path


@cache
def compare(*arguments):
    done = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def section(shown, table):
    """The text of one table, up to the next title."""
    return re.split(
        r"^(?:\*\*)?(?:Table \d|How to read)", shown.partition(f"Table {table}:")[2], flags=re.M
    )[0]


@pytest.fixture(scope="module", autouse=True)
def _quick_files():
    """Hundreds of small files need not survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All of Table 4, two rows of Table 2, of which one is Table 3's, and a run of neither."""
    out = tmp_path_factory.mktemp("reference")
    tenths = {"average": 0.9, "max": 0.6, "bilinear": 0.8, "attention": 0.7}
    for aggregator, auc in tenths.items():
        write_run(out, "rmc5", aggregator, "focal+triplet", [auc - 0.1, auc + 0.1] * 5)
    write_run(out, "r2d(width=8)", None, "focal(gamma=1)", [0.5] * 10)
    write_run(out, "rmc5", None, "focal", [0.6] * 10)
    write_run(out, "rmc5", "lse", "cross_entropy", [0.3] * 10)
    return out


def test_the_file_has_every_row_of_the_four_tables():
    assert [row["encoder"] for row in published("2")] == ENCODERS
    assert [row["loss"] for row in published("3")] == ["focal", "focal+center", "focal+triplet"]
    pooling = ["average", "max", "bilinear", "attention"]
    assert [row["aggregator"] for row in published("4")] == pooling
    assert len(published("5")) == 3
    assert [float(row["auc_mean"]) for row in published("4")] == [0.821, 0.815, 0.831, 0.817]
    assert "rectal2022" in reference_names()


@pytest.mark.parametrize("table", ["2", "3", "4"])
def test_the_rows_shown_are_those_of_the_file(runs, table):
    shown = section(compare(runs, "--reference", "rectal2022", "--format", "md"), table)
    lines = [line.split("|") for line in shown.splitlines() if line.startswith("|")][2:]
    assert len(lines) == len(published(table))
    for line, row in zip(lines, published(table), strict=True):
        texts = [cell.strip() for cell in line[1:-1]]
        auc = f"{float(row['auc_mean']):.3f}±{float(row['auc_std']):.3f}".replace("±0.", "±.")
        percent = [f"{float(row[key]):.1f}" for key in ("accuracy_mean", "recall_t2_mean")]
        assert texts[-7] == auc
        assert [texts[-5], texts[-3]] == percent
        assert texts[-1] == f"{float(row['recall_t3_mean']):.1f}"


def test_ours_stand_beside_with_the_population_deviation(runs):
    """Ten folds, half of them at 0.8 and half at 1.0: mean 0.9, deviation 0.1 when divided by n."""
    shown = section(compare(runs, "--reference", "rectal2022"), "4")
    (row,) = re.findall(r"^ average .*$", shown, re.MULTILINE)
    accuracy = (8 + 1 + 10 + 1) / 2 / 11
    assert row.split()[1:6] == [
        "10/10",
        "0.900±.100",
        "0.821±.055",
        f"{100 * accuracy:.1f}",
        "76.0",
    ]
    assert np.std([0.8, 1.0] * 5, ddof=1) == pytest.approx(0.1054, abs=1e-4), "would be .105"
    text = " ".join(compare(runs, "--reference", "rectal2022").split())
    assert "population standard deviation over folds (ddof 0" in text


def test_names_correspond_whatever_their_options_and_order(runs):
    assert components("rmc5(width=8)", None, "0.5*triplet(margin=1)+focal") == (
        *("rmc5", ""),
        "focal+triplet",
    )
    shown = section(compare(runs, "--reference", "rectal2022"), "2")
    assert re.search(r"^ r2d\(width=(8\))? .*10/10 .*0\.500±\.000 +0\.798±\.042", shown, re.M)
    assert len(re.findall("not run", shown)) == 9


def test_slice_and_volume_level_never_correspond(tmp_path):
    write_run(tmp_path, "rmc5", "average", "focal", [0.5] * 10)
    shown = compare(tmp_path, "--reference", "rectal2022")
    assert "rectal2022: no run has the components of a row of its tables" in shown
    assert "Table" not in shown


def test_rank_agreement_is_that_of_the_formulas(runs):
    """Ranks ours 4 1 3 2, theirs 3 1 4 2: rho = 1 - 6 * 2 / (4 * 15), tau = (5 - 1) / 6."""
    text = " ".join(section(compare(runs, "--reference", "rectal2022"), "4").split())
    assert "Spearman 0.80, Kendall 0.67" in text
    assert "n = 4 rows. This describes these rows; it is no test" in text
    document = json.loads(compare(runs, "--reference", "rectal2022", "--format", "json"))
    tables = {t["table"]: t for t in document["tables"][0]["reference"]["tables"]}
    assert tables["4"]["agreement"]["n"] == 4
    assert tables["4"]["agreement"]["spearman"] == pytest.approx(0.8)
    assert tables["4"]["agreement"]["kendall"] == pytest.approx(2 / 3)
    assert tables["2"]["agreement"] is None, "two rows have no order to speak of"


def test_incomplete_and_doubled_runs_do_not_count_towards_the_order(runs, tmp_path):
    reference = load_reference("rectal2022")
    rows = [
        PublishedRow(
            "rmc5",
            pooling,
            "focal+triplet",
            run=load_run(runs / f"rmc5-{pooling}-focal+triplet"),
            reported=reference.find("rmc5", pooling, "focal+triplet"),
        )
        for pooling in ("average", "max", "bilinear", "attention")
    ]
    assert agreement(rows).n == 4
    assert agreement([*rows, rows[0]]).n == 3
    part = load_run(write_run(tmp_path, "rmc5", "max", "focal+triplet", [0.5] * 9))
    assert (
        agreement(
            [
                *rows[:1],
                PublishedRow("rmc5", "max", "focal+triplet", run=part, reported=rows[1].reported),
                *rows[2:],
            ]
        ).n
        == 3
    )
    assert agreement(rows[:2]) is None


def test_equal_means_have_no_order_and_warn_nobody(tmp_path):
    for aggregator in ("average", "max", "bilinear"):
        write_run(tmp_path, "rmc5", aggregator, "focal+triplet", [0.5] * 10)
    text = " ".join(compare(tmp_path, "--reference", "rectal2022").split())
    assert "Spearman nan, Kendall nan" in text
    document = json.loads(compare(tmp_path, "--reference", "rectal2022", "--format", "json"))
    (table,) = document["tables"][0]["reference"]["tables"]
    assert table["agreement"] == {"n": 3, "spearman": None, "kendall": None}


def test_what_ten_folds_can_tell_apart():
    """The 97.5th percentile of Student's t with nine degrees of freedom is 2.262157."""
    assert resolvable(10) == pytest.approx(2.262157 * math.sqrt(1 / 10 + 1 / 9), abs=1e-5)


def test_the_readers_stand_beneath_table_4_only(runs, tmp_path):
    shown = compare(runs, "--reference", "rectal2022")
    assert shown.index("Table 4:") < shown.index("Table 5: radiologists") < shown.index("How to")
    assert "Maas et al. 2012 (3.0T)" in shown
    assert "reported, other data" in shown
    assert "above about 1.04 times the standard deviation" in " ".join(shown.split())
    write_run(tmp_path, "r3d", None, "focal", [0.5] * 10)
    alone = compare(tmp_path, "--reference", "rectal2022")
    assert "Table 2:" in alone
    assert not re.search("Table [345]", alone)


def test_everything_fits_a_hundred_columns(runs, tmp_path):
    assert max(map(len, compare(runs, "--reference", "rectal2022").splitlines())) <= 100
    loss = "focal(reduction='sum')+0.00390625*triplet(margin=256, mining='hard', normalize=False)"
    for encoder in ("rmc5", "rmc5(width=8)"):
        name = f"a-long-name-for-a-run-that-somebody-chose-{encoder}"
        write_run(tmp_path, encoder, None, loss, [1.0] * 10, name=name)
    shown = compare(tmp_path, "--reference", "rectal2022")
    assert max(map(len, shown.splitlines())) <= 100
    assert "1.000±.000" in shown
    assert "100.0" in shown


def test_partial_and_failed_runs_are_said_to_be_so(tmp_path):
    write_run(tmp_path, "rmc5", "max", "focal+triplet", [0.5] * 3, failed=[3])
    write_run(tmp_path, "rmc5", "average", "focal+triplet", [], failed=[0])
    shown = section(compare(tmp_path, "--reference", "rectal2022"), "4")
    assert re.search(r"^ average .*0/10 +no fold done +0\.821", shown, re.MULTILINE)
    assert re.search(r"^ max .*3/10 +0\.500±\.000 +0\.815", shown, re.MULTILINE)
    assert "has 3 of 10 folds; its means are over those only" in " ".join(shown.split())


def test_recalls_are_shown_only_where_the_classes_are_those_of_the_paper(tmp_path):
    for classes in (("benign", "malignant"), ("a", "b", "c")):
        out = tmp_path / classes[0]
        write_run(out, "rmc5", "max", "focal+triplet", [0.5] * 10, classes=classes)
        shown = section(compare(out, "--reference", "rectal2022"), "4")
        heading, _, _ = shown.partition("───")
        assert "acc %" in heading
        assert "recall" not in heading
        rows = list(
            csv.DictReader(
                io.StringIO(compare(out, "--reference", "rectal2022", "--format", "csv"))
            )
        )
        assert not [name for name in rows[0] if "recall_T" in name]


def test_csv_says_which_rows_are_ours(runs):
    text = compare(runs, "--reference", "rectal2022", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    ours = [row for row in rows if row["source"] == "ours"]
    reported = [row for row in rows if row["source"] == "reported"]
    assert len(ours) == 7
    assert len(reported) == 11 + 3 + 4 + 3
    assert {float(row["ddof"]) for row in ours} == {1}
    assert {float(row["ddof"]) for row in reported} == {0}
    (row,) = [row for row in reported if row["table"] == "4" and row["aggregator"] == "bilinear"]
    assert (float(row["auc_mean"]), float(row["auc_std"])) == (0.831, 0.062)
    assert float(row["recall_T2_mean"]) == pytest.approx(0.621)
    assert float(row["accuracy_std"]) == pytest.approx(0.062)


def test_json_has_ours_and_reported_side_by_side(runs):
    document = json.loads(compare(runs, "--reference", "rectal2022", "--format", "json"))
    reference = document["tables"][0]["reference"]
    assert (reference["name"], reference["ddof"]) == ("rectal2022", 0)
    tables = {table["table"]: table for table in reference["tables"]}
    average = tables["4"]["rows"][0]
    assert average["ours"]["auc_mean"] == pytest.approx(0.9)
    assert average["ours"]["auc_std"] == pytest.approx(0.1)
    assert average["reported"]["auc_mean"] == 0.821
    assert tables["2"]["rows"][1]["ours"] is None
    assert len(reference["readers"]) == 3


def test_other_references_carry_their_rows_into_every_format(tmp_path):
    path = write_run(tmp_path, "rmc5", "max", "focal", [0.5] * 10)
    stored = json.loads((path / "experiment.json").read_text())
    stored["source"] = "medmnist(path='x/adrenalmnist3d.npz')"
    (path / "experiment.json").write_text(json.dumps(stored))
    text = compare(tmp_path, "--reference", "medmnist3d", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["source"] for row in rows] == ["ours"] + 6 * ["reported"]
    assert rows[3]["auc_mean"] == "0.839"
    document = json.loads(compare(tmp_path, "--reference", "medmnist3d", "--format", "json"))
    assert len(document["tables"][0]["reference"]["rows"]) == 6


def test_rows_without_anything_published_show_every_deviation(runs):
    row = PublishedRow(
        "rmc5", "lse", "cross_entropy", run=load_run(runs / "rmc5-lse-cross_entropy")
    )
    shown = cells([row], ddof=1)
    assert shown["AUC"] == ["0.300±.000"]
    assert "±" in shown["acc %"][0]
    assert {"recall T2 %", "recall T3 %"} <= shown.keys()


def test_a_misspelt_reference_is_answered():
    with pytest.raises(UsageError) as info:
        load_reference("rectal2020")
    assert str(info.value) == "unknown --reference 'rectal2020'; did you mean 'rectal2022'?"


def test_a_prediction_of_a_case_that_its_fold_was_trained_on_is_refused(tmp_path):
    path = write_run(tmp_path, "rmc5", "max", "focal", [0.9, 0.8], folds=2)
    splits = path / "splits.csv"
    splits.write_text(splits.read_text().replace("1-3,1-3,T2,1", "1-3,1-3,T2,0"))
    with pytest.raises(StateError, match=r"fold 1 predicts case '1-3', which splits\.csv does not"):
        load_run(path)
