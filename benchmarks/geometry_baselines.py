"""What a case's geometry, or one column of the manifest, says about its label, without any voxel.

    python benchmarks/geometry_baselines.py PREPARED [--column diameter_mm] [--folds 10] [--seed 0]

PREPARED is what ``volbench data prepare --out`` wrote. The folds are those of ``volbench run`` with
the same ``--folds`` and ``--seed``, so the figures may stand beside its table. A network that does
not beat them has not shown that it looks at the picture.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from volbench.data.cache import Prepared, PreparedCase, open_prepared
from volbench.metrics import area_under_curve
from volbench.splits import choose_split


def geometry(case: PreparedCase) -> list[float]:
    """Shape and spacing as stored, and the physical size that follows."""
    shape, spacing = case.stored_shape, case.stored_spacing_mm
    return [*shape, *spacing, *(n * mm for n, mm in zip(shape, spacing, strict=True))]


def models() -> dict[str, ClassifierMixin]:
    """A straight one and a crooked one."""
    return {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
        "random forest": RandomForestClassifier(500, min_samples_leaf=5, random_state=0),
    }


def fold_areas(
    prepared: Prepared, features: np.ndarray, model: ClassifierMixin, folds: str, seed: int
) -> list[float]:
    """Area under the ROC curve of every held-out fold."""
    labels = np.array([case.label for case in prepared.cases])
    split = choose_split(folds, prepared.cases, seed)
    areas = []
    for fold in split.folds:
        part = split.part(fold, validation_fraction=None, seed=seed)
        train, test = list(part.train), list(part.test)
        model.fit(features[train], labels[train])
        areas.append(area_under_curve(labels[test], model.predict_proba(features[test])))
    return areas


def main() -> None:
    """Print one row per baseline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--column", action="append", default=[], help="a numeric stratum")
    parser.add_argument("--folds", default="10")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    prepared = open_prepared(given.prepared)
    print(f"{len(prepared.cases)} cases, {given.folds} folds, seed {given.seed}; AUC, mean ± std")
    sets = {"shape and spacing": np.array([geometry(case) for case in prepared.cases])}
    for column in given.column:
        sets[column] = np.array([[float(case.strata[column])] for case in prepared.cases])
    if all(case.roi_mm3 is not None for case in prepared.cases):
        sets["volume of the region"] = np.array([[case.roi_mm3] for case in prepared.cases])
    for name, features in sets.items():
        for kind, model in models().items():
            areas = fold_areas(prepared, features, model, given.folds, given.seed)
            print(f"{name:24s}{kind:22s}{np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f}")


if __name__ == "__main__":
    main()
