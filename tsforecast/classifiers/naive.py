"""The naive baseline of classification: always the most frequent class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.classifiers.base import Classifier, Floats, Labels
from tsforecast.data.panel import Panel


class MajorityClassifier(Classifier):
    """Say the most frequent class of training, whatever the recording; of equals the first.

    Attributes
    ----------
    shares_ : array of shape (K,)
        How frequent each class is; what `predict_proba` says of every recording.

    Examples
    --------
    >>> model = MajorityClassifier().fit(np.zeros((4, 5)), ["a", "b", "b", "b"])
    >>> model.predict(np.ones((1, 5))).tolist(), model.predict_proba(np.ones((1, 5))).tolist()
    (['b'], [[0.25, 0.75]])
    """

    shares_: Floats

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect of `fit`."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def _fit(self, panel: Panel, labels: Labels, groups: NDArray[Any] | None) -> None:
        self.shares_ = np.bincount(labels, minlength=len(self.classes_)) / len(labels)

    def _probabilities(self, panel: Panel) -> Floats:
        return np.tile(self.shares_, (len(panel), 1))
