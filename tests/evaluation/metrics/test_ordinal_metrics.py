import numpy as np
import pytest
from scipy.stats import somersd
from sklearn.metrics import cohen_kappa_score, mean_absolute_error, roc_auc_score

from volbench.evaluation.metrics import metrics_for, score

GENERATOR = np.random.default_rng(4)
LABELS = GENERATOR.integers(0, 4, 60)
FOUND = GENERATOR.dirichlet(np.ones(4), 60).round(2)
FOUND[:, 3] = 1 - FOUND[:, :3].sum(axis=1)
CLASSES = ("T1", "T2", "T3", "T4")


def test_kappa_and_grade_error_are_those_of_scikit_learn() -> None:
    values = score(LABELS, FOUND, CLASSES, ordered=True)
    decided = FOUND.argmax(axis=1)
    kappa = cohen_kappa_score(LABELS, decided, weights="quadratic")
    assert values["quadratic_kappa"] == pytest.approx(kappa)
    assert values["grade_error"] == pytest.approx(mean_absolute_error(LABELS, decided))


def test_the_ordinal_c_index_is_somers_d_and_of_two_grades_the_auc() -> None:
    values = score(LABELS, FOUND, CLASSES, ordered=True)
    expected = FOUND @ np.arange(4)
    # Somers' D counts pairs that differ in its first argument: C = (D + 1) / 2.
    assert values["ordinal_c_index"] == pytest.approx((somersd(LABELS, expected).statistic + 1) / 2)
    from volbench.evaluation.metrics.ordinal import ordinal_c_index

    two = FOUND[:, :2] / FOUND[:, :2].sum(axis=1, keepdims=True)
    assert ordinal_c_index(LABELS % 2, two) == pytest.approx(roc_auc_score(LABELS % 2, two[:, 1]))


def test_metrics_of_grades_are_there_for_ordered_classes_only() -> None:
    names = {"quadratic_kappa", "grade_error", "ordinal_c_index"}
    assert names <= metrics_for(CLASSES, ordered=True).keys()
    assert not names & metrics_for(CLASSES).keys()
    assert not names & metrics_for(("benign", "malignant"), ordered=True).keys()


def test_one_grade_alone_has_neither_kappa_nor_order() -> None:
    values = score(np.zeros(3, np.int64), np.eye(4)[[0, 0, 0]], CLASSES, ordered=True)
    assert np.isnan(values["quadratic_kappa"])
    assert np.isnan(values["ordinal_c_index"])
    assert values["grade_error"] == 0
