"""Simulated studies as runs that have just been read, to be compared as volbench compares runs."""

from pathlib import Path

import numpy as np
from studies import Study

from volbench.leaderboard import LoadedRun
from volbench.runs.predictions_file import Prediction


def runs_of(study: Study) -> list[LoadedRun]:
    """The two candidates of a study."""
    probabilities = probabilities_of(study.scores)
    return [
        _run_of(study, each, encoder)
        for encoder, each in zip(("r2d", "r3d"), probabilities, strict=True)
    ]


def probabilities_of(scores: np.ndarray) -> np.ndarray:
    """Turn scores into probabilities of each class, in the same order: [candidate, item, class]."""
    if scores.ndim == 3:
        return np.asarray(np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True))
    return np.stack([1 / (1 + np.exp(scores)), 1 / (1 + np.exp(-scores))], axis=2)


def _run_of(study: Study, probabilities: np.ndarray, encoder: str) -> LoadedRun:
    folds = sorted(set(study.folds.tolist()))
    experiment = {
        "source": "simulated",
        "encoder": encoder,
        "aggregator": "max",
        "loss": "focal",
        "level": "volume",
        "recipe": {},
        "precision": "auto",
        "data_digest": "d",
        "split_digest": "s",
        "folds": len(folds),
        "seed": 0,
    }
    rows = [
        Prediction(
            f"c{n:04}", f"p{patient:04}", str(label), int(fold), None, tuple(values.tolist())
        )
        for n, (patient, label, fold, values) in enumerate(
            zip(study.patients, study.labels, study.folds, probabilities, strict=True)
        )
    ]
    return LoadedRun(
        path=Path(encoder),
        experiment=experiment,
        environment={},
        results={},
        predictions={fold: [row for row in rows if row.fold == fold] for fold in folds},
        validation={},
        case_rows=(),
        classes=tuple(map(str, range(probabilities.shape[1]))),
        cases=len(rows),
        patients=len(set(study.patients)),
    )
