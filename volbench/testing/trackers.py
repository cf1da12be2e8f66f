"""Contract of a tracker: subclass ``TrackerContract`` and set ``spec``.

from volbench.testing import TrackerContract

class TestLab(TrackerContract):
    spec = 'lab(project="volumes")'
"""

from pathlib import Path

import pytest
import torch

from volbench.interfaces import TrackedRun, Tracker
from volbench.plugins.registry import trackers
from volbench.testing.component import ComponentContract

SETTINGS = {"encoder": 'timm(name="resnet18")', "loss": "focal+0.5*triplet", "seed": "0"}
VALUES = {"train/loss": 0.5, "train/loss_terms/0.5*triplet": 0.1, "validation/auc": 0.75}


class TrackerContract(ComponentContract):
    """What every tracker must do; it writes into the folder of the test.

    Attributes:
        spec: The tracker under test.

    >>> class TestLab(TrackerContract):  # pytest collects its tests
    ...     spec = 'lab(project="volumes")'
    >>> any(name.startswith("test_") for name in dir(TestLab))
    True
    """

    registry = trackers
    context = 0

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        self.path = tmp_path / "runs" / "a run (of two)"

    def build(self, *, seed: int) -> Tracker:
        """Build ``spec``."""
        torch.manual_seed(seed)
        return trackers.build(self.spec, Tracker)

    def use(self, component: Tracker) -> object:
        """Track a run of two folds, of which one is cut off."""
        component.start(TrackedRun(self.path.name, self.path, SETTINGS))
        for epoch in (1, 2):
            for fold in (0, 1):
                component.log(fold, epoch, VALUES)
        component.finish(0, {"auc": 0.8})
        component.close()
        return None

    def test_a_run_is_tracked_from_start_to_end(self) -> None:
        """Folds side by side, one of which does not finish."""
        self.use(self.build(seed=0))

    def test_closing_twice_or_without_a_run_does_no_harm(self) -> None:
        """A run may fail before its first epoch."""
        tracker = self.build(seed=0)
        tracker.close()
        tracker.close()

    def test_a_fold_that_resumes_goes_on(self) -> None:
        """Epochs that were tracked before are told by another process, not again."""
        for epochs in ((1, 2), (3, 4)):
            tracker = self.build(seed=0)
            tracker.start(TrackedRun(self.path.name, self.path, SETTINGS))
            for epoch in epochs:
                tracker.log(0, epoch, VALUES)
            tracker.close()

    def test_it_draws_no_random_number(self) -> None:
        """Tracking must not change what is trained."""
        tracker = self.build(seed=0)
        before = torch.get_rng_state()
        self.use(tracker)
        assert torch.equal(before, torch.get_rng_state()), self.says(
            "draws from PyTorch's generator; use one of its own"
        )
