"""What tells T2 from T3 in the phantom without a look at the front.

    python benchmarks/phantom_baselines.py [SPEC]...

SPEC is a data set's spec such as "phantom(patients=567, size=64, difficulty=1)". Every AUC but the
first is of out-of-fold predictions: ten stratified folds, five times, mean over the five.
"""

import sys

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from volbench.datasets.phantom import Phantom, PhantomVolume
from volbench.interfaces import Dataset
from volbench.plugins.registry import datasets

REPEATS, FOLDS = 5, 10
PERCENTILES = (0.1, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)


def features(volume: PhantomVolume) -> dict[str, np.ndarray]:
    patient, scan = volume.patient, volume.render()
    assert scan.mask is not None
    voxels = scan.image.ravel()
    scaled = (voxels - voxels.mean()) / voxels.std()
    histogram = np.histogram(scaled, 20, (-3, 4))[0] / scaled.size
    roi = scan.mask.sum() * np.prod(scan.spacing_mm)
    return {
        "tumour volume": np.log([patient.tumour_volume_cm3]),
        "slice thickness and pixel spacing": np.array(scan.spacing_mm[:2]),
        "number of slices": np.array([patient.slices]),
        "volume of the region of interest": np.log([roi]),
        "intensities": np.r_[
            voxels.mean(), voxels.std(), np.percentile(scaled, PERCENTILES), histogram
        ],
    }


def cross_validated(model: object, values: np.ndarray, positive: np.ndarray) -> float:
    scores = []
    for repeat in range(REPEATS):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat)
        found = cross_val_predict(model, values, positive, cv=folds, method="predict_proba")
        scores.append(roc_auc_score(positive, found[:, 1]))
    return float(np.mean(scores))


def main(specs: list[str]) -> None:
    for spec in specs:
        phantom = datasets.build(spec, Dataset)
        assert isinstance(phantom, Phantom)
        rows = [features(volume) for volume in phantom.volumes]
        positive = np.array([case.label == "T3" for case in phantom.cases()])
        table = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
        forest = RandomForestClassifier(300, min_samples_leaf=3, random_state=0)
        print(f"{spec}: {len(rows)} cases")
        plain = roc_auc_score(positive, table["tumour volume"][:, 0])
        print(f"| tumour volume itself | {plain:.3f} |")
        for name, values in table.items():
            print(f"| {name}, regression | {cross_validated(regression, values, positive):.3f} |")
        trees = cross_validated(forest, table["intensities"], positive)
        print(f"| intensities, forest | {trees:.3f} |")


if __name__ == "__main__":
    main(sys.argv[1:] or ["phantom"])
