"""Candidates over several data sets, from run folders to the table."""

import json

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
