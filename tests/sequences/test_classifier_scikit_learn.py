"""Every classifier is an ordinary classifier of scikit-learn: its own checks pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import check_class_weight_classifiers, parametrize_with_checks

from tests.helpers.classifiers import quick
from tsforecast.sequences.baselines import MajorityClassifier, NearestNeighborClassifier
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.ensemble import EnsembleClassifier
from tsforecast.sequences.neural import Conv1DClassifier, GRUClassifier
from tsforecast.sequences.rocket import RocketClassifier

# The other cells differ in nothing that is checked here; the contract runs over all of them.
CHECKED = [
    quick(GRUClassifier, units=4),
    quick(Conv1DClassifier, units=16),
    MajorityClassifier(),
    NearestNeighborClassifier(),
    EnsembleClassifier([NearestNeighborClassifier(), MajorityClassifier()], weights="validation"),
    RocketClassifier(features=672, random_state=0),
]


@pytest.mark.thorough
@parametrize_with_checks(CHECKED)
def test_scikit_learns_own_checks_pass(estimator: Classifier, check: Any) -> None:
    check(estimator)


@pytest.mark.thorough
@pytest.mark.parametrize("norm", ["batch", None])
def test_weights_of_classes_that_are_far_apart_decide_without_smoothing(norm: Any) -> None:
    settings = {"residual": True, "head_layers": 2, "focal": 1.0, "mixup": 0.4, "label_smoothing": 0.0}
    check_class_weight_classifiers("GRUClassifier", quick(GRUClassifier, norm=norm, **settings))


@pytest.mark.thorough
def test_a_pipeline_and_a_grid_search_take_it() -> None:
    random = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = np.sin(np.arange(20) * (1 + y[:, None])) + 0.1 * random.normal(size=(40, 20))
    pipeline = make_pipeline(Normalizer(), quick(GRUClassifier))
    search = GridSearchCV(pipeline, {"gruclassifier__max_epochs": [0, 30]}, cv=2).fit(X, y)
    assert search.best_params_ == {"gruclassifier__max_epochs": 30}
    assert search.score(X, y) == 1.0
