"""Plan and train an experiment in one call, with the options of the command line."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from volbench._api.runs import AnyPath
from volbench.crossval.open_run import Outcome
from volbench.crossval.plan import DEFAULT_DATA, make_plan
from volbench.crossval.run_cross_validation import run as run_plan
from volbench.crossval.tabular import column_names
from volbench.experiment.experiment import Level, Precision


def run(
    *,
    encoder: str,
    loss: str,
    aggregator: str | None = None,
    data: Any = DEFAULT_DATA,
    level: Level = "volume",
    recipe: AnyPath = "standard",
    overrides: Sequence[str] = (),
    folds: int | AnyPath = 10,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    tabular: Sequence[str] = (),
    jobs: int | None = None,
    out: AnyPath = "runs",
    name: str | None = None,
    track: Sequence[str] = (),
    allow_duplicates: bool = False,
) -> Outcome:
    """Train and score one candidate over all folds, as ``volbench run`` does.

    The same call again continues: finished folds are kept, failed ones are tried again. In a
    script, call it under ``if __name__ == "__main__":``, as folds run in processes of their own.

    Args:
        encoder: Spec, such as ``rmc5``.
        loss: Sum of specs, such as ``focal+0.5*triplet``.
        aggregator: Spec; None at slice level.
        data: A data set's spec, a manifest.csv, a prepared folder, a ``torchio.SubjectsDataset``
            whose subjects have a ``label``, or a ``Dataset``.
        level: ``volume`` or ``slice``.
        recipe: A recipe's name or its file.
        overrides: Keys of the recipe, as in ``training.epochs=30``.
        folds: Number of folds, ``official``, or a CSV with case,fold.
        seed: Every random number follows from it.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        tabular: Clinical columns of the data set: scored alone, and fused with the network, in
            two more runs.
        jobs: Folds at a time.
        out: Folder of runs.
        name: Folder in ``out``; by default named after the experiment.
        track: Trackers that curves are sent to, such as ``tensorboard``.
        allow_duplicates: Accept equal volumes in training and held-out parts, and record them.

    Returns:
        Its folder, ``path``, how its folds ended, ``results``, and the same of ``tabular``.

    Raises:
        VolbenchError: the same errors as on the command line.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     run(
    ...         encoder="r2d(width=2)",
    ...         aggregator="average",
    ...         loss="cross_entropy",
    ...         data="phantom(patients=12, size=16, slices=3)",
    ...         overrides=["training.epochs=1", "selection.checkpoint=last"],
    ...         folds=2,
    ...         jobs=1,
    ...         out=folder,
    ...     ).failed
    []
    """
    plan = make_plan(
        encoder=encoder,
        aggregator=aggregator,
        loss=loss,
        data=str(data) if isinstance(data, PathLike) else data,
        level=level,
        recipe=str(recipe),
        overrides=tuple(overrides),
        folds=str(folds),
        seed=seed,
        precision=precision,
        tabular=column_names(tabular) if tabular else (),
        jobs=jobs,
        allow_duplicates=allow_duplicates,
    )
    return run_plan(plan, out=Path(out), name=name, device=device, jobs=jobs, track=track)
