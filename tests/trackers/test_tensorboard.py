import importlib.util

import pytest

from volbench.errors import PluginError
from volbench.interfaces import TrackedRun
from volbench.testing import TrackerContract
from volbench.trackers import tensorboard


class TestTensorBoard(TrackerContract):
    spec = "tensorboard"


def test_each_fold_has_its_curves(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = tensorboard.TensorBoard(folder=str(tmp_path))
    tracker.start(TrackedRun("run", tmp_path / "runs/run", {"encoder": "r2d"}))
    for epoch, loss in ((1, 0.5), (2, 0.25)):
        tracker.log(3, epoch, {"train/loss": loss})
    tracker.finish(3, {"auc": 0.75})
    tracker.close()
    found = EventAccumulator(str(tmp_path / "run/fold-03")).Reload()
    points = [(event.step, event.value) for event in found.Scalars("train/loss")]
    assert points == [(1, 0.5), (2, 0.25)]
    assert [event.value for event in found.Scalars("result/auc")] == [0.75]


def test_it_says_which_command_shows_the_curves():
    pytest.importorskip("tensorboard")
    assert tensorboard.TensorBoard().how_to_view() == "tensorboard --logdir tensorboard"
    mine = tensorboard.TensorBoard(folder="my curves")
    assert mine.how_to_view() == "tensorboard --logdir 'my curves'"


def test_without_the_package_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'volbench\[tensorboard\]'"):
        tensorboard.TensorBoard()
    assert importlib.util.find_spec("volbench")
