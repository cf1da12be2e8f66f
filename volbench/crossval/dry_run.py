"""Dry run of a plan: every component on a few real cases, in a process of its own."""

import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path

from volbench._utils.out_of_memory import is_out_of_memory, tell_out_of_memory
from volbench._utils.subprocesses import Answer, run_in_subprocess, serve
from volbench.crossval.fold_task import Task
from volbench.crossval.open_run import fold_tasks
from volbench.crossval.plan import Plan
from volbench.crossval.settings import RunSettings
from volbench.data.cache.packed_voxels import open_prepared
from volbench.errors import OutOfMemoryError, PluginError, VolbenchError
from volbench.runs.folder import RunFolder
from volbench.training.component_check import TrialCost, try_components
from volbench.training.device_and_precision import Compute, choose_compute
from volbench.training.fold import FoldTrainer

LIMIT_S = 300.0


def try_plan(plan: Plan, *, device: str = "auto") -> TrialCost:
    """Take a small batch of the plan's data forward and back; nothing is written.

    Components run in a process of their own, which one of them may end or hang.

    Raises:
        VolbenchError: a component fails, returns what it must not, or ends its process.
    """
    compute = choose_compute(device, plan.experiment.precision, jobs=1)
    with tempfile.TemporaryDirectory(prefix="volbench-trial-") as folder:
        fold = plan.split.folds[0]
        (task,) = fold_tasks(plan, RunFolder(Path(folder)), [fold], compute, RunSettings())
        ((_, answer),) = run_in_subprocess(__name__, [task.to_json()], limit_s=LIMIT_S)
    if died := answer.get("died"):
        names = [plan.experiment.encoder, plan.experiment.aggregator, plan.experiment.loss]
        tried = ", ".join(str(name) for name in names if name is not None)
        raise PluginError(f"a component of {tried} {died}; volbench plugin check says which")
    if "error" in answer:
        error = PluginError(answer["error"])
        error.exit_code = answer["exit_code"]
        error.add_note(answer["traceback"])
        raise error
    return TrialCost(**answer)


def main(pipe: int) -> None:
    """Serve ``try_plan``."""
    serve(pipe, _try)


def _try(values: Answer) -> Answer:
    task = Task.from_json(values)
    assert isinstance(task.compute, Compute)
    try:
        trainer = FoldTrainer(
            task.experiment,
            open_prepared(task.prepared),
            task.part,
            task.fold,
            task.compute,
            checkpoint=task.run / "none",
            on_epoch=lambda report: None,
        )
        return asdict(try_components(trainer))
    except VolbenchError as error:
        return _failure(str(error), error.exit_code)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return _failure(tell_out_of_memory(error), OutOfMemoryError.exit_code)


def _failure(reason: str, exit_code: int) -> Answer:
    return {"error": reason, "exit_code": exit_code, "traceback": traceback.format_exc()}
