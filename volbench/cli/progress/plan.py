"""Plan of a run as text: what is trained on what, and what that is expected to cost."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from volbench._utils.text import duration, plural
from volbench._utils.text_table import Column, draw_table, output_width
from volbench.cli.output import facts_text
from volbench.crossval.plan import Plan
from volbench.crossval.tabular import gaps
from volbench.data.cache.packed_voxels import PreparedCase
from volbench.experiment.splits import FoldPartition
from volbench.training.component_check import TrialCost

SCORING = 1 / 3
"""What a forward pass costs of a step, which also has a backward pass of about twice its work."""


def describe_plan(plan: Plan, path: Path, cost: TrialCost | None = None) -> str:
    """Plan of a run in a few lines, with its folds as a table and the cost if it was tried."""
    experiment, cases = plan.experiment, plan.prepared.cases
    recipe = experiment.recipe
    training, optimizer, size = recipe.training, recipe.optimizer, plan.prepared.preprocessing.size
    counts = Counter(plan.prepared.classes[case.label] for case in cases)
    classes = ", ".join(f"{counts[name]} {name}" for name in plan.prepared.classes)
    patients = plural(len({case.patient for case in cases}), "patient")
    slices = sorted(case.slices for case in cases)
    facts = [
        ("run", str(path)),
        ("encoder", str(experiment.encoder)),
        ("aggregator", str(experiment.aggregator or "none: each slice is predicted")),
        ("loss", str(experiment.loss)),
        ("parameters", f"{plan.parameters:,}"),
        ("data", f"{experiment.source}: {plural(len(cases), 'case')} ({classes}) of {patients}"),
        ("volumes", f"{slices[0]} to {slices[-1]} slices of {size} x {size}, "
                    f"{plural(len(plan.prepared.channels), 'channel')}"),
        ("recipe", recipe.summary),
        ("training", f"{plural(training.epochs, 'epoch')}, batches of {training.batch_size} "
                     f"({training.sampler}), augmentation {training.augmentation}"),
        ("rate", f"{optimizer.lr:g} ({optimizer.name}, {recipe.schedule.name}), "
                 f"weight decay {optimizer.weight_decay:g}"),
        ("checkpoint", _checkpoint(plan)),
        *_columns(plan),
        *(("note", note) for note in plan.notes),
        *([] if cost is None else _cost(plan, cost)),
    ]  # fmt: skip
    drawn, left_out = draw_table(fold_columns(plan), output_width())
    lines = [facts_text(facts, least=11), drawn]
    return "\n".join([*lines, *([f"Left out: {left_out}"] if left_out else [])])


def fold_columns(plan: Plan) -> list[Column]:
    """Cases, patients and slices of each class, in each part of each fold."""
    classes = plan.prepared.classes
    rows = []
    for fold in plan.split.folds:
        part = plan.part(fold)
        for name, indices in _parts(part):
            cases = [plan.prepared.cases[index] for index in indices]
            rows.append(
                [
                    str(fold),
                    name,
                    str(len(cases)),
                    *(_class(cases, label) for label in range(len(classes))),
                ]
            )
    heads = ("fold", "part", "cases", *(f"{name}\npatients, slices" for name in classes))
    columns: Sequence[Sequence[str]] = list(zip(*rows, strict=True))
    return [
        Column(head, cells, "word" if head == "part" else "number", lead=place < 2)
        for place, (head, cells) in enumerate(zip(heads, columns, strict=True))
    ]


def expected_seconds(plan: Plan, cost: TrialCost) -> float:
    """Seconds of all folds, one after another: epochs of steps, and scoring after each."""
    each = cost.seconds / max(cost.cases, 1)
    parts = [plan.part(fold) for fold in plan.split.folds]
    recipe = plan.experiment.recipe
    views = max(recipe.tta.passes, 1)
    per_epoch = sum(len(part.train) + SCORING * len(part.validation) for part in parts)
    at_the_end = sum(len(part.test) + len(part.validation) for part in parts) * SCORING * views
    return each * (recipe.training.epochs * per_epoch + at_the_end)


def expected_memory_mb(plan: Plan, cost: TrialCost) -> float:
    """Peak of a training process: that of the trial, its growth scaled to a whole batch."""
    lengths = [case.slices for case in plan.prepared.cases]
    whole = plan.experiment.recipe.training.batch_size * max(lengths) / fmean(lengths)
    growth = max(cost.memory_mb - cost.before_mb, 0.0)
    return cost.before_mb + growth * max(whole / max(cost.cases, 1), 1.0)


def _columns(plan: Plan) -> list[tuple[str, str]]:
    """Columns that are trained on, alone and with the network."""
    if plan.tabular is None:
        return []
    names = ", ".join(plan.tabular.columns)
    said = "; ".join(line.strip() for line in gaps(plan.tabular))
    return [("columns", f"{names}: alone, and with the network{f'; {said}' if said else ''}")]


def _cost(plan: Plan, cost: TrialCost) -> list[tuple[str, str]]:
    tried = f"from one step of {plural(cost.cases, 'case')}"
    return [
        ("tried", "one forward and backward pass of every component: sound"),
        ("time", f"about {duration(expected_seconds(plan, cost))} for all folds in one process "
                 f"({tried}); stopping early takes less"),
        ("memory", f"about {math.ceil(expected_memory_mb(plan, cost) / 100) / 10:.1f} GB in each "
                   f"training process ({tried})"),
    ]  # fmt: skip


def _checkpoint(plan: Plan) -> str:
    selection = plan.experiment.recipe.selection
    if selection.checkpoint == "validation":
        best = "highest AUC" if selection.metric == "auc" else "lowest loss"
        return f"{best} on {selection.validation_fraction:.0%} of the training patients"
    return {"last": "last epoch", "training_loss": "lowest training loss"}[selection.checkpoint]


def _parts(part: FoldPartition) -> Iterable[tuple[str, tuple[int, ...]]]:
    yield "training", part.train
    if part.validation:
        yield "validation", part.validation
    yield "held out", part.test


def _class(cases: Sequence[PreparedCase], label: int) -> str:
    mine = [case for case in cases if case.label == label]
    return f"{len({case.patient for case in mine})}, {sum(case.slices for case in mine)}"
