"""Classifier: fit on labelled recordings, predict the labels of new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin

from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, counted, nearest, raise_any, shorten
from tsforecast.sequences.base import Floats, SequenceEstimator, missing

Labels = NDArray[np.int64]


class Classifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc]
    """Base of all classifiers of recordings; see `SequenceEstimator`.

    Subclasses implement `_fit` and `_answers`, the probability of each class.

    Attributes
    ----------
    classes_ : array of shape (K,)
        The labels, sorted.
    channels_ : int
        Numbers in a step (C).
    columns_ : tuple of str or None
        Their names, where they came in a panel.
    n_features_in_ : int
        Steps of each recording (T), where they came as one array: then all others must have as many.
    """

    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Self:
        """Learn from labelled recordings; see `SequenceEstimator.fit`.

        Examples
        --------
        >>> from tsforecast.sequences.baselines import MajorityClassifier
        >>> recordings = [np.zeros((3, 1)), np.ones((5, 1)), np.ones((2, 1))]
        >>> MajorityClassifier().fit(recordings, ["rest", "wave", "wave"]).predict(recordings).tolist()
        ['wave', 'wave', 'wave']
        """
        return super().fit(X, y, groups)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each recording, (N,); `X` as in `fit`.

        Raises
        ------
        NotFittedError, DataError
        """
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class of `classes_`, (N, K); `X` as in `fit`.

        Raises
        ------
        NotFittedError, DataError
        """
        return self.predicted(X)[1]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of recordings whose label is predicted (accuracy).

        Parameters
        ----------
        X, y : as in `fit`
        sample_weight : array of shape (N,), optional

        Raises
        ------
        NotFittedError
        DataError
            Also when there are labels that were not fitted, which cannot be predicted.
        """
        predicted = self.predict(X)
        truth = labels_of(X, y, len(predicted))
        raise_any(_unfitted(truth, self.classes_, "fit on recordings of every class, or leave those out"))
        return float(np.average(predicted == truth, weights=sample_weight))

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        if not isinstance(plain["classes_"], np.ndarray):
            raise ValueError(f"a classifier must have classes: got {plain['classes_']!r}")
        super().set_state(plain, arrays)

    def _given(self, X: Any, y: Any, panel: Panel) -> NDArray[Any]:
        return labels_of(X, y, len(panel))

    def _coded(self, given: NDArray[Any], head: str) -> tuple[Labels, dict[str, Any], list[str]]:
        """Return the positions of labels in the classes, these, and problems."""
        classes = np.unique(given) if head == "new" else self.classes_
        if head == "keep":
            problems = _unfitted(given, classes, "use head='new', or leave those out")
        else:
            problems = one_class(given, classes)
        return np.searchsorted(classes, given).astype(np.int64), {"classes_": classes}, problems


def labels_of(X: Any, y: Any, count: int) -> NDArray[Any]:
    """Return one label for each of `count` sequences, or raise DataError; `X` and `y` as in `Classifier.fit`."""
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import assert_all_finite, column_or_1d

    if y is None:
        raise DataError("fit requires y to be passed, but the target y is None: give one label for each recording")
    if isinstance(y, str) and isinstance(X, Panel):
        if y not in X.statics:
            raise DataError(f"the panel must have a static column {y!r}; {nearest(y, X.statics)}")
        y = X.statics[y]
    labels = column_or_1d(y, warn=True)
    if len(labels) != count:
        raise DataError(f"y must have one label for each recording: got {len(labels)} for {count} recordings")
    unknown = missing(np.asarray(y, dtype=object) if isinstance(y, (list, tuple)) else labels)  # numpy: NaN is "nan"
    if unknown:
        held = f"{counted(len(unknown), 'is', 'are')} NaN"
        raise DataError(f"y must have a label for each recording: {held}, the first at {unknown[0]}")
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    return np.asarray(labels)


def one_class(labels: NDArray[Any], classes: Sequence[Any] | NDArray[Any]) -> list[str]:
    """Return a problem where the labels are all the same."""
    if len(classes) > 1:
        return []
    return [
        f"y must have two classes at least: got 1 class, {str(classes[0])!r}, for all {len(labels)} recordings; "
        "give recordings of another class as well"
    ]


def _unfitted(labels: NDArray[Any], classes: NDArray[Any], remedy: str) -> list[str]:
    """Return problems of labels that are not among the fitted classes."""
    strange = {label: int((labels == label).sum()) for label in dict.fromkeys(labels[~np.isin(labels, classes)])}
    if not strange:
        return []
    named = shorten([f"{str(label)!r} ({count} recordings)" for label, count in strange.items()])
    return [f"y must hold labels that were fitted: {len(strange)} were not, {named}; {remedy}"]
