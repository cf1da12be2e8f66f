"""A dry run where the machine, not a component, is at fault."""

import pytest

from tests.crossval.test_profile import plan_for
from tests.helpers.small import write_small
from volbench.crossval import dry_run
from volbench.crossval.open_run import fold_tasks
from volbench.crossval.settings import RunSettings
from volbench.errors import PluginError
from volbench.runs.folder import RunFolder
from volbench.training.device_and_precision import Compute


def test_no_component_is_blamed_for_memory_that_runs_out(tmp_path, monkeypatch):
    plan = plan_for(write_small(tmp_path / "data", cases=12).folder)
    (task,) = fold_tasks(
        plan, RunFolder(tmp_path), [0], Compute("cpu", "float32", 1), RunSettings()
    )

    def trainer(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has no more.")

    monkeypatch.setattr(dry_run, "FoldTrainer", trainer)
    answer = dry_run._try(task.to_json())
    assert answer["error"].startswith("CUDA out of memory. Tried to allocate 2.00 GiB: free some")
    monkeypatch.setattr(dry_run, "run_in_subprocess", lambda *_, **__: iter([(0, answer)]))
    with pytest.raises(PluginError, match="out of memory") as caught:
        dry_run.try_plan(plan, device="cpu")
    assert caught.value.exit_code == 1
    assert "component" not in str(caught.value)
