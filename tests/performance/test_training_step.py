"""The benchmark of whole training steps runs, with and without what only a GPU can do."""

import json

import pytest
import training_step

TOY = ["--toy", "--rounds", "1", "--encoders", "r2d"]


def test_it_prints_a_table_and_keeps_it(capsys, tmp_path):
    file = tmp_path / "steps.json"
    assert training_step.main([*TOY, "--device", "cpu", "--json", str(file)]) == 0
    assert "a training step of r2d, bfloat16, 2 x 3 slices of 16 x 16" in capsys.readouterr().out
    (table,) = json.loads(file.read_text())["tables"]
    assert set(table["candidates"]) == {"as it is"}


@pytest.mark.gpu
def test_on_a_gpu_a_step_is_also_recorded(capsys):
    assert training_step.main([*TOY, "--device", "cuda"]) == 0
    assert "recorded" in capsys.readouterr().out
