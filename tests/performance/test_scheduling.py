"""The benchmark of scheduling, at the size of a toy: nodes die and stall, no fold is lost."""

import pytest

scheduling = pytest.importorskip("scheduling")


def test_every_simulated_fold_is_published_though_nodes_die_and_stall(tmp_path):
    found = scheduling.measure(
        30, nodes=4, seconds=0.001, die=0.1, stall=0.1, compared=2, out=tmp_path
    )
    assert found["folds"] == 30
    assert found["died"] > 0
    assert found["stalled"] > 0
    assert 0 < found["lost_work"] < 1
    published = list(tmp_path.glob("run*/folds/*/result.json"))
    assert len(published) == 30
    assert len(list(tmp_path.glob("run*/attempts/*/0002"))) >= found["died"]
