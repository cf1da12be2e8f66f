"""The bar of a table: the best shortcut of each kind, and which rows are shown to be above it."""

import numpy as np
import pytest

from tests.evaluation.rows import CLASSES, row
from volbench.audit import Audit
from volbench.audit.result import AuditRow
from volbench.leaderboard.statistics.shortcut_test import against_bar, best_shortcuts


def audit_row(features, sharpness, seed=0):
    """A baseline of 40 patients in two folds, the better the sharper."""
    random = np.random.default_rng(seed)
    predictions = []
    for number in range(40):
        label = number // 2 % 2
        probability = 1 / (1 + np.exp(-sharpness * (label - 0.5) - random.normal()))
        predictions.append(row(f"c{number}", CLASSES[label], float(probability), fold=number % 2))
    return AuditRow(features, "logistic", "", tuple(predictions))


def test_columns_are_one_kind_and_leave_the_others_their_places():
    rows = [audit_row(f"stratum column {n}", 1.0 + 0.1 * n, seed=n) for n in range(5)]
    rows += [audit_row("geometry", 1.5, seed=6), audit_row("intensity", 1.0, seed=7)]
    rows += [audit_row("all strata", 1.2, seed=8)]
    found = best_shortcuts([Audit(tuple(CLASSES), tuple(rows))], unit="case", folds=2, ddof=1)
    names = [each.shortcut.features for each in found]
    assert sum(name.startswith("stratum ") for name in names) == 1
    assert {"geometry", "intensity"} < set(names)
    means = [each.shortcut.auc.mean for each in found]
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize(
    ("gains", "beaten"),
    [([0.20, -0.15, 0.12], False), ([0.20, 0.21, 0.19], True), ([-0.20, -0.21, -0.19], False)],
)
def test_a_row_is_above_the_bar_only_if_folds_show_it(gains, beaten):
    bar = np.array([[0.60, 0.65, 0.55]])
    (found,) = against_bar([bar + gains], bar, alpha=0.05, test_to_train=0.5)
    assert found.difference == pytest.approx(np.mean(gains))
    assert found.beaten is beaten
