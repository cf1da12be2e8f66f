"""The end-to-end benchmark: pipelines that train the same network on the same batches."""

import json
import time
from dataclasses import replace

import end_to_end
import numpy as np
import pytest
import torch
import trainers

from volbench.training.device_and_precision import Compute

TOY = ["--toy", "--device", "cpu", "--precision", "float32"]


@pytest.fixture(scope="module")
def plan():
    arguments = end_to_end.read_options([*TOY])
    return end_to_end.plan_of(arguments)


def test_the_script_prints_each_pipelines_speed_and_auc(capsys, tmp_path):
    file = tmp_path / "speed.json"
    status = end_to_end.main(
        [*TOY, "--workers", "0", "--pipelines", "authors'", "--json", str(file)]
    )
    assert status == 0
    printed = capsys.readouterr().out
    assert "one epoch, 6 cases of 32 x 32, rmc5 + bilinear + focal, float32" in printed
    assert "AUC of 6 held-out cases after 2 epochs" in printed
    (table,) = json.loads(file.read_text())["tables"]
    assert set(table["candidates"]) == {"volbench", "authors'"}
    for candidate in table["candidates"].values():
        assert len(candidate["seconds"]) == 1
        assert 0 <= float(candidate["AUC"]) <= 1
        assert 0 < candidate["its batches s"] < 60
    assert "less volbench's (95 %)" in table["candidates"]["authors'"]


def test_what_compiles_for_too_long_is_measured_without(monkeypatch):
    """A peer that never ends is left out, and takes nothing along."""

    class Trainer:
        def __init__(self, seconds):
            self.epoch = lambda: time.sleep(seconds)

    def build(name, plan, arguments, *, compiles):
        built.append((name, compiles))
        return Trainer(60 if compiles or name == "authors'" else 0)

    built = []
    monkeypatch.setattr(end_to_end, "build", build)
    arguments = end_to_end.read_options(
        [*TOY, "--compile", "--limit", "0.05", "--pipelines", "MONAI", "authors'"]
    )
    found, notes = end_to_end.warmed_up(None, arguments)
    assert built == [("volbench", False), ("MONAI", True), ("MONAI", False), ("authors'", False)]
    assert list(found) == ["volbench", "MONAI"]
    assert [note.partition(":")[0] for note in notes] == ["MONAI, compiled", "authors'"]


def test_areas_are_compared_case_by_case():
    labels = np.array([0, 0, 1, 1, 0, 1])
    right = np.array([0.1, 0.2, 0.8, 0.9, 0.3, 0.7])
    swapped = np.array([0.1, 0.8, 0.2, 0.9, 0.3, 0.7])  # 6 of 9 pairs stay in order
    scored = {name: np.stack([1 - p, p], 1) for name, p in (("volbench", right), ("x", swapped))}
    columns = end_to_end.areas(labels, scored)
    assert columns["AUC"] == {"volbench": "1.000", "x": "0.667"}
    assert list(columns["less volbench's (95 %)"]) == ["x"]
    assert columns["less volbench's (95 %)"]["x"].startswith("-0.333 (")


def test_areas_of_three_classes_stand_alone():
    labels = np.array([0, 1, 2, 0, 1, 2])
    columns = end_to_end.areas(labels, {"volbench": np.eye(3)[labels]})
    assert columns == {"AUC": {"volbench": "1.000"}}


def test_peers_train_as_volbench_does_where_nothing_is_augmented(plan):
    compute = Compute("cpu", "float32", 1)
    still = plan.experiment.recipe.model_copy(
        update={
            "training": plan.experiment.recipe.training.model_copy(update={"augmentation": "none"})
        }
    )
    plan = replace(plan, experiment=replace(plan.experiment, recipe=still))

    def batches(sampler):
        return _Reread(plan, sampler)

    peer = trainers.Peer(plan, compute, "wall", batches, channels_last=False)
    ours = trainers.Ours(plan, compute, "wall")
    for _ in range(2):
        ours.epoch()
        peer.epoch()
    theirs, own = peer.probabilities(), ours.probabilities()
    np.testing.assert_allclose(theirs, own, atol=0.02)
    assert np.ptp(own) > 0.01
    history = [row["train_loss"] for row in ours.history]
    np.testing.assert_allclose(peer.losses, history, rtol=1e-3)
    assert peer.losses[0] != peer.losses[1]


class _Reread:
    def __init__(self, plan, sampler):
        self.plan, self.sampler = plan, sampler

    def __iter__(self):
        for drawn in self.sampler:
            yield trainers.collate([trainers.read(self.plan, index) for index in drawn])


def test_what_stops_volbenchs_training_is_raised_where_it_is_waited_for(plan, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no such fold")

    monkeypatch.setattr(trainers, "FoldTrainer", broken)
    with pytest.raises(RuntimeError, match="no such fold"):
        trainers.Ours(plan, Compute("cpu", "float32", 1), "wall")


def test_peers_pad_cases_with_empty_slices():
    short, long = torch.ones(1, 2, 3, 3), torch.ones(1, 3, 3, 3)
    batch = trainers.collate([(short, 0), (long, 1)])
    assert batch.volume.shape == (2, 1, 3, 3, 3)
    assert batch.mask.tolist() == [[True, True, False], [True, True, True]]
    assert batch.volume[0, :, 2].abs().sum() == 0
    assert batch.labels.tolist() == [0, 1]


def test_one_epoch_alone_leaves_nothing_to_time(capsys):
    with pytest.raises(SystemExit):
        end_to_end.read_options(["--epochs", "1"])
    assert "--epochs 1: at least 2, since the first is not timed" in capsys.readouterr().err


@pytest.mark.slow
def test_every_installed_pipeline_runs(capsys):
    pytest.importorskip("torchio")
    assert end_to_end.main([*TOY, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "TorchIO" in printed
    assert "authors'" in printed
