"""Repeats, seeds, shares of patients and permuted labels: several runs of one command."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.small import small_case, write_small
from tests.helpers.written_runs import write_run
from volbench.cli.main import main
from volbench.crossval.variants import variants
from volbench.errors import UsageError
from volbench.experiment.permuted_labels import permute_labels
from volbench.experiment.split_designs import make_split
from volbench.leaderboard import compare_runs, load_run
from volbench.leaderboard.render.learning_curve import share_of
from volbench.leaderboard.render.show import show
from volbench.leaderboard.statistics.next_design import next_designs
from volbench.leaderboard.statistics.seed_variance import seed_variance
from volbench.leaderboard.text import permuted_notes
from volbench.report.learning_curve import patient_curves


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    write_small(folder / "data", cases=16)
    return folder


def volbench_run(folder, out, *options):
    done = CliRunner().invoke(
        main,
        [
            *("run", "--encoder", "r2d(width=2)", "--agg", "max", "--loss", "focal"),
            *("--data", str(folder / "data"), "--set", "training.epochs=1", "--folds", "2"),
            *("--jobs", "1", "--device", "cpu", "--out", str(folder / out), *options),
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    return [load_run(path) for path in sorted((folder / out).iterdir())], done.output


def test_repeats_are_runs_with_the_next_seeds_and_other_folds_and_finished_ones_are_kept(folder):
    first, _ = volbench_run(folder, "repeats", "--name", "a")
    loaded, said = volbench_run(folder, "repeats", "--name", "a", "--repeats", "2")
    assert "finished already: 2 folds" in said
    (compare,) = [line for line in said.splitlines() if line.startswith("compare with")]
    assert compare == f"compare with: volbench compare {folder / 'repeats'} --repeats"
    assert [run.name for run in loaded] == ["a", "a-repeat2"]
    assert len({run.experiment["split_digest"] for run in loaded}) == 2
    assert loaded[0].results == first[0].results  # kept, not trained again
    found = compare_runs(loaded, repeats=True, resamples=100)
    assert found.repeats == 2
    assert found.rows[0].status == "complete"
    assert seed_variance(found.rows[0]) is None


def test_shares_are_runs_of_one_executor_that_learn_from_fewer_patients(folder):
    loaded, said = volbench_run(
        folder, "shares", "--train-share", "0.5,1", "--name", "c", "--on", "local(jobs=1)"
    )
    assert [run.name for run in loaded] == ["c", "c-share0.5"]
    assert "train_share" not in loaded[0].experiment  # as it ever was
    assert loaded[1].experiment["train_share"] == 0.5
    assert len({run.experiment["split_digest"] for run in loaded}) == 1
    assert said.count("2 finished folds") == 2
    table = show([compare_runs(loaded, resamples=100)], "md").splitlines()
    head = next(line for line in table if "| AUC |" in line)
    assert "train share" in head  # rows that differ in it are told apart by it, not by hashes
    assert "run" not in head.replace("|", " ").split()


def test_permuted_labels_are_other_data_whose_name_every_table_shows(folder):
    (run,), _ = volbench_run(folder, "permuted", "--permute-labels")
    assert run.experiment["permuted"] is True
    assert run.experiment["data_digest"] != "d" * 64
    assert run.name.startswith("permuted-")
    assert show([compare_runs([run], resamples=100)], "md").count("permuted labels of small") == 1
    truth = {f"case{n:03d}": ("T2", "T3")[n % 2] for n in range(16)}
    predicted = {row.case: row.label for rows in run.predictions.values() for row in rows}
    assert predicted.keys() == truth.keys()
    assert 2 < sum(predicted[case] != truth[case] for case in truth) < 14


def test_plans_of_several_runs_are_shown_without_training(folder):
    done = CliRunner().invoke(
        main,
        [
            *("run", "--encoder", "r2d(width=2)", "--agg", "max", "--loss", "focal", "--dry-run"),
            *("--data", str(folder / "data"), "--folds", "2", "--seeds", "2", "--name", "d"),
            *("--out", str(folder / "dry"), "--device", "cpu"),
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    assert str(folder / "dry" / "d") in done.output
    assert str(folder / "dry" / "d-seed2") in done.output
    assert not (folder / "dry").exists()


def test_seeds_have_the_folds_of_the_first_one():
    asked = variants(**{**ONE_RUN, "seed": 7, "seeds": 3})
    assert [(each.seed, each.folds_seed, each.suffix) for each in asked] == [
        (7, 7, ""),
        (8, 7, "-seed2"),
        (9, 7, "-seed3"),
    ]


def test_the_spread_over_seeds_is_told_beside_that_over_patients(tmp_path):
    loaded = [write_run(tmp_path / f"s{seed}", seed=seed) for seed in range(3)]
    found = compare_runs(loaded, repeats=True, resamples=200)
    (row,) = found.rows
    known = seed_variance(row)
    means = [np.mean(scored.by_fold["auc"]) for scored in row.scored]
    assert known.of_seeds == pytest.approx(np.std(means, ddof=1))
    auc = row.score("auc")
    assert known.of_patients == pytest.approx((auc.high - auc.low) / 3.92)
    assert "over 3 seeds on the same folds, and by" in show([found], "md")
    (table,) = json.loads(show([found], "json"))["tables"]
    assert table["rows"][0]["auc_std_of_seeds"] == pytest.approx(known.of_seeds)


def test_labels_are_exchanged_between_patients_whole(folder, tmp_path):
    prepared = write_small(tmp_path / "several", cases=24)
    cases = tuple(
        small_case(n, slices=3 + n % 4, patient=f"p{n // 2:02d}", label=n // 2 % 2)
        for n in range(24)
    )
    found = permute_labels(replace(prepared, cases=cases), 1)
    labels = [case.label for case in found.cases]
    assert labels[::2] == labels[1::2]
    assert sorted(labels) == sorted(case.label for case in cases)
    assert labels != [case.label for case in cases]
    assert found.cases == permute_labels(replace(prepared, cases=cases), 1).cases


def test_shares_are_nested_by_patient_and_hold_out_the_same(folder):
    cases = [small_case(n, patient=f"p{n // 2}", label=n // 2 % 2) for n in range(80)]
    split = make_split(cases, 4, 0)
    parts = {
        share: split.part(1, validation_fraction=None, seed=0, train_share=share)
        for share in (0.25, 0.5, 1.0)
    }
    trained = {share: {cases[at].patient for at in part.train} for share, part in parts.items()}
    assert trained[0.25] < trained[0.5] < trained[1.0]
    assert [len(trained[share]) for share in (0.25, 0.5, 1.0)] == [8, 16, 30]
    assert len({part.test for part in parts.values()}) == 1
    assert parts[1.0] == split.part(1, validation_fraction=None, seed=0)


def test_a_learning_curve_is_a_table_of_shares(tmp_path):
    loaded = [
        write_run(tmp_path / f"c{share}", encoder="r2d(width=2)", train_share=share, seed=seed)
        for seed, share in enumerate((0.5, 1.0))
    ]
    for run in loaded:
        run.experiment["seed"] = 0
    found = compare_runs(loaded, resamples=100)
    text = show([found], "md")
    assert "Learning curve: r2d(width=2), bilinear" in text
    lines = text.splitlines()
    table = lines[lines.index(next(line for line in lines if "0.5 to 1" in line)) :]
    assert [line.split("|")[1].strip() for line in table[2:4]] == ["0.5", "1"]
    ((half, whole),) = json.loads(show([found], "json"))["tables"][0]["learning_curves"]
    assert (half["train_share"], whole["train_share"]) == (0.5, 1.0)
    assert half["auc_mean"] == pytest.approx(found.rows[learning_row(found, 0.5)].score("auc").mean)
    ((title, drawn),) = patient_curves(found, name="x")
    assert title == "r2d(width=2), bilinear, focal+triplet"
    assert f"50 %: {half['auc_mean']:.3f}, 100 %: {whole['auc_mean']:.3f}" in drawn


def learning_row(found, share):
    return next(place for place, row in enumerate(found.rows) if share_of(row) == share)


def test_permuted_rows_above_chance_are_named(tmp_path):
    above = write_run(tmp_path / "above", permuted=True)
    found = compare_runs([above], resamples=200)
    assert found.rows[0].score("auc").low > 0.5
    (note,) = permuted_notes(found)
    assert "The interval of above lies above it" in note
    plain = compare_runs([write_run(tmp_path / "plain")], resamples=100)
    assert permuted_notes(plain) == []


def test_what_to_run_next_costs_what_the_folds_took(tmp_path):
    runs = [
        write_run(tmp_path / name, seed=seed, loss=name)
        for seed, name in enumerate(("focal", "cross_entropy"))
    ]
    found = compare_runs(runs, resamples=100, test="corrected_t")
    designs = next_designs(found)
    assert designs
    for design in designs:
        assert design.detectable < 0.95 * found.design.detectable_holm
        assert design.seconds == pytest.approx(design.trainings * 11.0)
        assert design.trainings % 2 == 0
    assert designs[0].options in show([found], "md")


ONE_RUN = {"seed": 0, "folds": "10", "repeats": 1, "seeds": 1, "train_shares": (1.0,)}


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"repeats": 2, "seeds": 2}, "--repeats, --seeds and several shares"),
        ({"repeats": 2, "folds": "official"}, "the folds of --folds official are not drawn"),
        ({"repeats": 2, "folds": "random(splits=9)"}, "ask for more splits instead"),
        ({"train_shares": (0.5, 0.5)}, "a share is named twice"),
    ],
)
def test_variants_that_make_no_sense_are_refused(asked, reason):
    with pytest.raises(UsageError, match=reason):
        variants(**{**ONE_RUN, **asked})
