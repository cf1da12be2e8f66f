"""Candidates over several data sets, from run folders to the table."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.written_runs import write_rival
from volbench.cli.main import main
from volbench.errors import UsageError
from volbench.evaluation.statistics.meta_analysis import over_data_sets
from volbench.leaderboard import compare_runs, load_run
from volbench.leaderboard.statistics.over_datasets import compare_over_data_sets

ENCODERS = {"rmc5": 2.5, "r2d": 0.3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two candidates on three data sets; on the third one a candidate of its own."""
    out = tmp_path_factory.mktemp("runs")
    for place, data in enumerate("abc"):
        for noise, (encoder, signal) in enumerate(ENCODERS.items()):
            write_rival(
                out, f"{encoder}-{data}", encoder=encoder, signal=signal,
                noise=10 * place + noise, data=data, split=data,
            )  # fmt: skip
    write_rival(out, "alone", encoder="mc3", data="c", split="c")
    return out


def tables(folder):
    return [
        compare_runs(
            [load_run(path) for path in sorted(folder.iterdir()) if path.name in names],
            resamples=100,
        )
        for names in (
            {"rmc5-a", "r2d-a"}, {"rmc5-b", "r2d-b"}, {"rmc5-c", "r2d-c", "alone"}
        )
    ]  # fmt: skip


def test_pairs_are_matched_by_their_components_and_combined(folder):
    compared = tables(folder)
    found = compare_over_data_sets(compared)
    assert [name[0] for name in found.candidates] == ["rmc5", "r2d"], "mc3 is on one data set only"
    (pair,) = found.pairs
    each = []
    for table in compared:
        means = {row.encoder: row.score("auc").mean for row in table.rows}
        (of_both,) = (
            p for p in table.pairs
            if {table.rows[p.first].encoder, table.rows[p.second].encoder} == {"rmc5", "r2d"}
        )  # fmt: skip
        each.append((means["rmc5"] - means["r2d"], of_both.standard_error))
    differences, errors = np.array(each).T
    assert pair.each == pytest.approx(tuple(differences))
    assert pair.overall == over_data_sets(differences, errors)
    assert pair.verdict == "better"
    assert list(found.groups.values()) == ["a", "b"]
    best = {name[0]: chance for name, chance in found.best.items()}
    assert best["rmc5"] == pytest.approx(1 - pair.overall.rope.worse, abs=0.01)
    assert best["r2d"] == pytest.approx(1 - pair.overall.rope.better, abs=0.01)


def test_one_data_set_is_no_answer_over_data_sets(folder):
    first, second, _ = tables(folder)
    with pytest.raises(UsageError, match="1 tables of 1 data sets"):
        compare_over_data_sets([first])
    with pytest.raises(UsageError, match="2 tables of 1 data sets"):
        compare_over_data_sets([second, second])


def test_the_command_shows_the_answer_and_writes_it_as_json(folder):
    shown = CliRunner().invoke(main, ["compare", str(folder), "--over-datasets"])
    assert shown.exit_code == 0, shown.output
    assert "3 data sets" in shown.output
    assert "better" in shown.output
    assert max(map(len, shown.output.splitlines())) <= 100
    written = CliRunner().invoke(
        main, ["compare", str(folder), "--over-datasets", "--format", "json"]
    )
    (pair,) = json.loads(written.stdout)["pairs"]
    assert pair["data_sets"] == 3
    first, second = json.loads(written.stdout)["candidates"]
    assert first["p_practically_best"] > 0.9 > second["p_practically_best"]
    assert "P(best): probability of being practically best" in " ".join(shown.output.split())
    refused = CliRunner().invoke(
        main, ["compare", str(folder), "--over-datasets", "--format", "csv"]
    )
    assert refused.exit_code == 2


EPOCHS = {6: 0.3, 12: 2.5}


@pytest.fixture(scope="module")
def by_epochs(tmp_path_factory):
    """One network trained for 6 and for 12 epochs on two data sets, which are prepared differently.

    A second network was trained for other numbers of epochs on either.
    """
    out = tmp_path_factory.mktemp("epochs")
    for place, data in enumerate("ab"):
        own = {"preprocessing": {"size": 32 + 16 * place}}
        for noise, (epochs, signal) in enumerate(EPOCHS.items()):
            name = f"rmc5-{epochs}-{data}"
            write_rival(out, name, signal=signal, noise=10 * place + noise, data=data, split=data)
            edit(out / name, {**own, "training": {"epochs": epochs}}, seed=noise)
        write_rival(out, f"r2d-{data}", encoder="r2d", noise=30 + place, data=data, split=data)
        edit(out / f"r2d-{data}", {**own, "training": {"epochs": 20 + place}})
    return out


def edit(run, recipe, **values):
    path = run / "experiment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "recipe": recipe, **values}))


def of_each(out):
    runs = [load_run(path) for path in sorted(out.iterdir())]
    return [
        compare_runs([run for run in runs if run.name[-1] == data], resamples=100) for data in "ab"
    ]


def test_rows_with_the_same_components_are_told_apart_by_the_settings_in_which_they_differ(
    by_epochs,
):
    found = compare_over_data_sets(of_each(by_epochs))
    assert {name.text for name in found.candidates} == {
        "rmc5, bilinear, focal+triplet, epochs 6",
        "rmc5, bilinear, focal+triplet, epochs 12",
        "r2d, bilinear, focal+triplet",
    }
    assert found.candidates[0].settings == (("epochs", "12"),)
    assert len(found.pairs) == 3
    assert not any(np.isnan(pair.each).any() for pair in found.pairs)
    (trained_longer,) = (
        pair for pair in found.pairs if {pair.first.encoder, pair.second.encoder} == {"rmc5"}
    )
    assert trained_longer.first.settings == (("epochs", "12"),)
    assert min(trained_longer.each) > 0


def test_settings_that_tell_candidates_apart_are_shown(by_epochs):
    shown = CliRunner().invoke(main, ["compare", str(by_epochs), "--over-datasets"])
    assert shown.exit_code == 0, shown.output
    assert "epochs" in shown.output.split("Over data sets")[0]
    assert "epochs 12" in " ".join(shown.output.split())
    written = CliRunner().invoke(
        main, ["compare", str(by_epochs), "--over-datasets", "--format", "json"]
    )
    settings = [each["settings"] for each in json.loads(written.stdout)["candidates"]]
    assert {"epochs": "6"} in settings
    assert {} in settings


def test_rows_that_differ_in_the_seed_only_are_one_candidate(by_epochs, tmp_path):
    for run in ("rmc5-6-a", "rmc5-6-b"):
        shutil.copytree(by_epochs / run, tmp_path / run)
        shutil.copytree(by_epochs / run, tmp_path / f"again-{run}")
        again = json.loads((by_epochs / run / "experiment.json").read_text())
        edit(tmp_path / f"again-{run}", again["recipe"], seed=7)
    with pytest.raises(UsageError, match=r"are one candidate \(rmc5, bilinear.* add --repeats"):
        compare_over_data_sets(of_each(tmp_path))
