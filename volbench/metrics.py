"""Metrics of held-out predictions: every number in a table is computed here, from probabilities."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import f1_score, roc_auc_score

LabelArray = Int[np.ndarray, " item"]
ProbabilityArray = Float[np.ndarray, "item class"]

CALIBRATION_BINS = 10


def area_under_curve(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Area under the ROC curve; over several classes the mean of one against the rest.

    NaN where a class is missing, because the area is not defined then.
    """
    classes = probabilities.shape[1]
    if len(np.unique(labels)) < classes:
        return float("nan")
    if classes == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    each = [roc_auc_score(labels == index, probabilities[:, index]) for index in range(classes)]
    return float(np.mean(each))


def predicted_class(probabilities: ProbabilityArray) -> LabelArray:
    """Most probable class; of two classes the second from probability 0.5 on."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= 0.5).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def recall(labels: LabelArray, predicted: LabelArray, index: int) -> float:
    """Share of a class that is found; NaN where the class is missing."""
    of_class = labels == index
    return float((predicted[of_class] == index).mean()) if of_class.any() else float("nan")


def brier(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Brier (1950) score: squared error of the probabilities; of two classes, of the second one."""
    if probabilities.shape[1] == 2:
        return float(((probabilities[:, 1] - labels) ** 2).mean())
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def calibration_error(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Expected calibration error (Guo et al., 2017) of the predicted class, ten equal bins."""
    predicted = predicted_class(probabilities)
    confidence = probabilities[np.arange(len(labels)), predicted]
    correct = predicted == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gap = 0.0
    for index in np.unique(bins):
        inside = bins == index
        gap += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(gap)


def balanced_log_loss(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Mean over the classes present of the mean negative log probability of the true class."""
    floor = np.finfo(np.float32).eps
    cost = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], floor))
    return float(np.mean([cost[labels == index].mean() for index in np.unique(labels)]))


def score(
    labels: LabelArray, probabilities: ProbabilityArray, classes: Sequence[str]
) -> dict[str, float]:
    """Compute every metric of one set of predictions.

    Args:
        labels: Index of the true class.
        probabilities: One column per class.
        classes: Names of the classes, for the keys ``recall_<class>``.
    """
    predicted = predicted_class(probabilities)
    average = "binary" if len(classes) == 2 else "macro"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        f1 = float(f1_score(labels, predicted, average=average, zero_division=0))
    recalls = {
        f"recall_{name}": recall(labels, predicted, index) for index, name in enumerate(classes)
    }
    return {
        "auc": area_under_curve(labels, probabilities),
        "accuracy": float((predicted == labels).mean()),
        **recalls,
        "f1": f1,
        "brier": brier(labels, probabilities),
        "ece": calibration_error(labels, probabilities),
    }
