"""Models of the shortcut baselines: logistic regression and random forest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from volbench.audit.columns import Column

Matrix = Float[np.ndarray, "case feature"]
Probabilities = Float[np.ndarray, "case class"]

LOGISTIC, FOREST = "logistic", "forest"
MODELS = (LOGISTIC, FOREST)

RARE = 5
"""Levels with fewer training cases are one level, which unseen ones join."""

TREES = 15
"""A hundred gain 0.01 AUC at most on a thousand cases, and take four times as long."""


def encode(
    columns: Sequence[Column], train: Sequence[int], test: Sequence[int]
) -> tuple[Float[np.ndarray, "train feature"], Float[np.ndarray, "test feature"]]:
    """Turn columns into matrices; medians, scales and levels are those of the training cases.

    Numbers are standardised and their gaps filled with the median, beside a column that says where
    the gaps were. Levels become one column each.

    Returns:
        One row per training case, and one per test case.
    """
    parts = [(np.zeros((len(train), 0)), np.zeros((len(test), 0)))]
    train, test = list(train), list(test)  # a tuple would index axes
    numbers = [column.numbers for column in columns if column.numbers is not None]
    if numbers:
        table = np.stack(numbers, axis=1)
        imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
        scaler = StandardScaler()
        fitted = scaler.fit_transform(imputer.fit_transform(table[train]))
        parts.append((fitted, scaler.transform(imputer.transform(table[test]))))
    levels = [column.levels for column in columns if column.levels is not None]
    if levels:
        words = np.array(levels, dtype=object).T
        encoder = OneHotEncoder(
            min_frequency=_rare(words[train]),
            handle_unknown="infrequent_if_exist",
            sparse_output=False,
        )
        fitted = encoder.fit_transform(words[train])
        parts.append((fitted, encoder.transform(words[test])))
    first, second = zip(*parts, strict=True)
    return np.concatenate(first, axis=1), np.concatenate(second, axis=1)


def fit(
    model: str, features: Matrix, labels: Int[np.ndarray, " case"], seed: int
) -> LogisticRegression | RandomForestClassifier | DummyClassifier:
    """Fit one of ``MODELS``, every class weighing the same.

    Where there is nothing to learn from (no column, one class) the shares of the classes are all
    that it knows.
    """
    chosen: Any
    if features.shape[1] == 0 or len(np.unique(labels)) < 2:
        chosen = DummyClassifier(strategy="prior")
    elif model == LOGISTIC:
        chosen = LogisticRegression(class_weight="balanced", max_iter=2000)
    else:
        chosen = RandomForestClassifier(
            TREES,
            min_samples_leaf=_leaf(len(labels)),
            class_weight="balanced",
            random_state=seed % 2**32,
        )
    return chosen.fit(features, labels)


def fit_tree(
    features: Matrix, labels: Int[np.ndarray, " case"], classes: int
) -> DecisionTreeClassifier | DummyClassifier:
    """Fit a tree of few leaves, for a single column: it follows what no straight line does."""
    if features.shape[1] == 0 or len(np.unique(labels)) < 2:
        return DummyClassifier(strategy="prior").fit(features, labels)
    return DecisionTreeClassifier(
        max_leaf_nodes=2 * classes,
        min_samples_leaf=_leaf(len(labels)),
        class_weight="balanced",
        random_state=0,
    ).fit(features, labels)


def _rare(words: np.ndarray) -> int:
    """From how many training cases on a level stands for itself.

    Where that would leave a column without any two levels, as in a fold of four against four cases,
    every level does.
    """
    kept = [sum(np.unique(column, return_counts=True)[1] >= RARE) for column in words.T]
    several = [len(np.unique(column)) > 1 for column in words.T]
    lost = any(count == 0 for count, more in zip(kept, several, strict=True) if more)
    return 1 if lost and len(words) < 4 * RARE else RARE


def _leaf(cases: int) -> int:
    """Training cases that a leaf holds at least."""
    return int(np.clip(cases // 50, min(5, max(1, cases // 8)), 20))


def probabilities(fitted: Any, features: Matrix, classes: int) -> Probabilities:
    """Predict; a class that was not there in training has probability 0."""
    found = np.zeros((len(features), classes))
    found[:, fitted.classes_] = fitted.predict_proba(features)
    return found
