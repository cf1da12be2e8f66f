"""Run folders written without training: any number of candidates, classes, folds and names."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.helpers.written_runs import write_folds
from volbench.runs.folder import RunFolder
from volbench.runs.predictions_file import Prediction

RECIPE = {
    "preprocessing": {},
    "selection": {"checkpoint": "validation", "metric": "loss", "validation_fraction": 0.15},
    "tta": {"passes": 0, "augmentation": "train"},
}


def write_run(
    folder: Path,
    name: str,
    *,
    classes: Sequence[str] = ("T2", "T3"),
    cases: int = 60,
    folds: int = 5,
    done: int | None = None,
    failed: Sequence[int] = (),
    skill: float = 1.5,
    slices: int = 0,
    epochs: int = 12,
    error: str = "the loss is not a number",
    site: Sequence[str] = ("north", "south"),
    digest: str = "d" * 64,
    **experiment: object,
) -> Path:
    """Write a run; ``skill`` shifts the true class's logit, so a larger one is a better run."""
    path = folder / name
    path.mkdir(parents=True)
    random = np.random.default_rng([*name.encode()])
    labels = [classes[number % len(classes)] for number in range(cases)]
    fold_of = [number // len(classes) % folds for number in range(cases)]
    rows = [[f"case{n:03d}", f"patient{n:03d}", labels[n], fold_of[n]] for n in range(cases)]
    write_csv(path / "splits.csv", ["case", "patient", "label", "fold"], rows)
    known = [*("slices", "rows", "columns", "slice_mm", "row_mm", "column_mm", "roi_mm3", "plane")]
    facts = [
        [*row, 5 + n % 9, 64, 64, 3 + n % 2, 0.5, 0.5, "", "axial", site[n % len(site)]]
        for n, row in enumerate(rows)
    ]
    header = ["case", "patient", "label", "fold", *known, "stratum_site"]
    write_csv(path / "cases.csv", header, facts)
    write_json(
        path / "experiment.json",
        {
            **{"schema": 1, "id": f"id-{name}"[:16], "source": "made", "summary": "", "seed": 0},
            **{"encoder": "rmc5", "aggregator": None if slices else "average", "loss": "focal"},
            **{"level": "slice" if slices else "volume", "recipe": RECIPE, "folds": folds},
            **{"data_digest": digest, "split_digest": "5" * 64, "precision": "auto"},
            **experiment,
        },
    )
    write_json(path / "data.json", {"schema": 1, "classes": list(classes), "channels": ["image"]})
    command = ["volbench", "run", "--encoder", "rmc5", "--name", name]
    settings = {"device": "a CPU", "precision": "float32", "threads": 1}
    machine = {"processor": "a CPU", "cores": 2, "platform": "Linux", "python": "3.11", **settings}
    versions = {"packages": {"volbench": "0.1.0", "torch": "2.11.0"}, "commit": "c" * 40}
    write_json(path / "environment.json", {"schema": 1, "command": command, **machine, **versions})

    def held_out(fold):
        for n in range(cases):
            if fold_of[n] == fold:
                for number, probabilities in drawn(random, classes, labels[n], skill, slices):
                    yield Prediction(*rows[n][:3], fold, number, probabilities)

    def history(_):
        return [
            {
                "epoch": n,
                "train_loss": 0.7 / n + random.normal() * 0.02,
                "validation_log_loss": 0.4 + 0.4 / n + n / 50 + random.normal() * 0.03,
            }
            for n in range(1, epochs + 1)
        ]

    taken = {"seconds": 12.5, "samples_per_second": 8.0, "peak_memory_mb": 900.0}
    reached = range(folds if done is None else done)
    write_folds(
        RunFolder(path),
        classes,
        held_out,
        finished=[fold for fold in reached if fold not in failed],
        failed=[fold for fold in reached if fold in failed],
        error=error,
        history=history,
        measured=lambda fold: {"parameters": 6_960_000, **taken, **settings},
    )
    return path


def drawn(random, classes, label, skill, slices):
    """Probabilities of a case, or of each of its slices."""
    for number in range(slices) if slices else (None,):
        logits = random.normal(size=len(classes))
        logits[classes.index(label)] += skill
        exact = np.exp(logits) / np.exp(logits).sum()
        yield number, tuple(map(float, exact))


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    path.write_text(text.getvalue(), encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
