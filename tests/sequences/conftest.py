"""Fixtures of the tests of classifiers."""

from __future__ import annotations

import pytest

from tests.helpers.classifiers import NETWORKS, quick
from tsforecast.sequences.baselines import MajorityClassifier, NearestNeighborClassifier
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.ensemble import EnsembleClassifier
from tsforecast.sequences.rocket import RocketClassifier


@pytest.fixture(params=[*NETWORKS, MajorityClassifier, NearestNeighborClassifier, RocketClassifier, EnsembleClassifier])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    """Each classifier of the package."""
    return quick(request.param)


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> type[Classifier]:
    """Each classifier that is a network."""
    return request.param
