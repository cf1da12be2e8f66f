"""The tokens of a frozen encoder as a task: computed where the data and the device are."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from volbench._utils.cache_location import cache_root
from volbench.crossval.features import OnCase, frozen_encoder, store_features
from volbench.crossval.fold_task import require_prepared
from volbench.crossval.on_node import OnNode
from volbench.crossval.settings import EXECUTOR, RunSettings
from volbench.data.cache.features import StoredFeatures, open_features
from volbench.data.cache.packed_voxels import Prepared, open_prepared
from volbench.encoders.building import with_absolute_weights
from volbench.executors.run_tasks import OnLine, error_of, run_tasks
from volbench.experiment.experiment import Precision
from volbench.interfaces import Executor, ExecutorTask, TaskContext

REPORT_S = 1.0
"""Shortest time between two reports of a task."""


def features_task(
    encoder: str, prepared: Prepared, executor: Executor, *, device: str, precision: Precision
) -> ExecutorTask:
    """What computes the tokens on a machine that sees the same cache.

    Args:
        encoder: Its spec; a file of weights is named by its whole path.
        prepared: The data.
        executor: Where it will run.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``float32`` or ``bfloat16``.

    Raises:
        SpecError: the encoder's spec or its file of weights cannot be read.
    """
    spec, _ = frozen_encoder(encoder, prepared)
    on_node = OnNode.of(RunSettings(device=device), executor)
    payload = {
        "encoder": str(with_absolute_weights(spec)),
        "prepared": str(prepared.folder.resolve()),
        "on_node": on_node.to_json(),
        "precision": precision,
        "cache": str(cache_root().resolve()),
    }
    key = f"features/{prepared.digest[:12]}-{spec.name}"
    return ExecutorTask(key, f"{__name__}:{compute_features.__name__}", payload)


def store_features_on(
    executor: Executor,
    task: ExecutorTask,
    prepared: Prepared,
    *,
    on_case: OnCase,
    on_line: OnLine,
) -> tuple[StoredFeatures, Precision]:
    """Run `features_task`; then open what it stored.

    Returns:
        The tokens, and the precision that the machine computed them with.

    Raises:
        VolbenchError: of the class that the task raised.
        ExecutorError: the executor cannot be reached, or lost the task twice.
    """
    ended = run_tasks(
        executor,
        [task],
        executor_folder(),
        on_progress=lambda value: on_case(value["done"], value["total"]),
        on_line=on_line,
    )[task.key]
    if (error := error_of(ended)) is not None:
        raise error
    return open_features(Path(ended.value["folder"]), prepared), ended.value["precision"]


def executor_folder() -> Path:
    """What executors keep of the tasks that compute tokens, for logs and to attach again."""
    return cache_root() / "features" / EXECUTOR


def compute_features(payload: Mapping[str, Any], context: TaskContext) -> dict[str, Any]:
    """Compute and store tokens: the function that the task names."""
    prepared = open_prepared(require_prepared(Path(payload["prepared"])))
    compute = OnNode.from_json(payload["on_node"]).choose(payload["precision"])
    told = 0.0

    def report(done: int, total: int) -> None:
        nonlocal told
        if done == total or time.monotonic() - told > REPORT_S:
            told = time.monotonic()
            context.report({"done": done, "total": total})

    stored = store_features(
        payload["encoder"], prepared, compute, root=Path(payload["cache"]), on_case=report
    )
    return {"folder": str(stored.folder), "precision": compute.precision}
