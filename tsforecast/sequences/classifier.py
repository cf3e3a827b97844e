"""Classifier: fit on labelled recordings, predict the labels of new ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin

from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, DataWarning, counted, nearest, raise_any, shorten
from tsforecast.sequences import steps
from tsforecast.sequences.base import Floats, SequenceEstimator, missing

if TYPE_CHECKING:
    import pandas as pd

Labels = NDArray[np.int64]
TABLE = "a table of 1 and 0, (N, L), which MultiLabelBinarizer of scikit-learn makes"
ONE = "for one label of several classes give y with shape (N,)"


class Classifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc]
    """Base of all classifiers of recordings; see `SequenceEstimator`.

    Subclasses implement `_fit` and `_answers`, the probability of each class.

    Attributes
    ----------
    classes_ : array of shape (K,)
        The labels, sorted; where a recording may have several, the names of their columns, else 0 to L - 1.
    multilabel_ : bool
        Whether a recording may have several labels, or none.
    channels_ : int
        Numbers in a step (C).
    columns_ : tuple of str or None
        Their names, where they came in a panel or in frames: columns of others are put into this order.
    n_features_in_ : int
        Steps of each recording (T), where they came as one array: then all others must have as many.
    """

    classes_: NDArray[Any]
    multilabel_: bool
    label_column_: str | None  # of a panel, with a label for each step
    _several: ClassVar[bool] = False  # whether recordings may have several labels

    @property
    def at_steps(self) -> bool:
        """Whether there is a label for each step of a recording, rather than one for each recording."""
        return getattr(self, "output", "recording") == "step"

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect of `fit`."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self._several
        return tags

    def fit(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Self:
        """Learn from labelled recordings; see `SequenceEstimator.fit`.

        Where a recording may have several labels, or none, y is a table, (N, L), of 1 for a label that it has and 0
        for any other; of a panel, the names of L static columns.

        With ``output="step"`` y is a list of (T,) arrays, a label for each step of each recording, an array (N, T), or
        the name of a column of a panel, which is no channel then; None, NaN and "" are steps without a label.

        Examples
        --------
        >>> from tsforecast.sequences.baselines import MajorityClassifier
        >>> recordings = [np.zeros((3, 1)), np.ones((5, 1)), np.ones((2, 1))]
        >>> MajorityClassifier().fit(recordings, ["rest", "wave", "wave"]).predict(recordings).tolist()
        ['wave', 'wave', 'wave']
        """
        return super().fit(X, y, groups)

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each recording, (N,); `X` as in `fit`.

        Where it may have several, 1 for each that is more probable than not, else 0, (N, L).
        With ``output="step"`` that of each step: a list of (T,) arrays; (N, T) where X is one array.

        Raises
        ------
        NotFittedError, DataError
        """
        panel, probabilities = self.predicted(X)
        if self.multilabel_:
            return np.asarray((probabilities > 0.5).astype(np.int64))
        labels = np.asarray(self.classes_[self._decided(probabilities)])
        return steps.as_given(X, labels, panel.lengths) if self.at_steps else labels

    def _decided(self, probabilities: Floats) -> Labels:
        """Return the position of the class that probabilities, (rows, K), are for."""
        return np.asarray(probabilities.argmax(axis=1))

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class of `classes_`, (N, K), or of each label, (N, L); `X` as in `fit`.

        With ``output="step"`` those of each step: a list of (T, K) arrays; (N, T, K) where X is one array.

        Raises
        ------
        NotFittedError, DataError
        """
        panel, probabilities = self.predicted(X)
        return steps.as_given(X, probabilities, panel.lengths) if self.at_steps else probabilities

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of recordings whose label is predicted (accuracy), or all of whose labels are.

        With ``output="step"`` the share of labelled steps.

        Parameters
        ----------
        X, y : as in `fit`
        sample_weight : array of shape (N,), optional
            Of each recording.

        Raises
        ------
        NotFittedError, DataError

        Warns
        -----
        DataWarning
            Of labels that were not fitted: they cannot be predicted, and count as wrong.
        """
        if self.at_steps:
            return self._score_of_steps(*steps.labels_apart(X, y), sample_weight)
        predicted = self.predict(X)
        if self.multilabel_:
            table = table_of(X, y, len(predicted))
            if table is None:
                raise DataError(
                    f"y must be a table of the {len(self.classes_)} labels that were fitted, 0 or 1 in each"
                )
            raise_any(self._other_names(table))
            right = (predicted == table.to_numpy()).all(axis=1)
            return float(np.average(right, weights=sample_weight))
        truth = labels_of(X, y, len(predicted))
        right = self._right(predicted, truth, "fit on recordings of every class, or leave those out")
        return float(np.average(right, weights=sample_weight))

    def _score_of_steps(self, X: Any, y: Any, sample_weight: Any) -> float:
        panel, probabilities = self.predicted(X)
        given = steps.step_labels(y, panel.lengths)
        known = ~np.ma.getmaskarray(given)
        weights = None if sample_weight is None else np.repeat(sample_weight, panel.lengths)[known]
        predicted = self.classes_[self._decided(probabilities)][known]
        right = self._right(predicted, given.compressed(), 'leave those out: "" is no label', "steps")
        return float(np.average(right, weights=weights))

    def _right(
        self, predicted: NDArray[Any], truth: NDArray[Any], remedy: str, several: str = "recordings"
    ) -> NDArray[np.bool_]:
        """Return which predictions are right; labels that were not fitted are wrong, with a warning."""
        if len(truth) and isinstance(truth[0], str) != isinstance(self.classes_[0], str):
            kinds = ["texts" if isinstance(labels[0], str) else "numbers" for labels in (self.classes_, truth)]
            raise DataError(f"y must hold {kinds[0]}, as the labels that were fitted: got {kinds[1]}; convert them")
        if strange := _strange(truth, self.classes_, several):
            named = f"labels that were not fitted count as wrong: {shorten(strange)}; {remedy}"
            warnings.warn(named, DataWarning, stacklevel=3)
        return np.asarray(predicted == truth)

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        if not isinstance(plain["classes_"], np.ndarray):
            raise ValueError(f"a classifier must have classes: got {plain['classes_']!r}")
        super().set_state({"multilabel_": False} | plain, arrays)

    def _checked(
        self, X: Any, y: Any, groups: Any, reset: bool = True, head: str = "new"
    ) -> tuple[Panel, NDArray[Any], NDArray[Any] | None]:
        if self.at_steps:
            name = y if isinstance(y, str) else None
            X, y = steps.labels_apart(X, y)
            self.label_column_ = name if reset or name else getattr(self, "label_column_", None)
        return super()._checked(X, y, groups, reset, head)

    def _read(self, X: Any, reset: bool) -> Panel:
        if self.at_steps and not reset and isinstance(X, Panel) and (name := getattr(self, "label_column_", None)):
            X = steps.without_column(X, name)
        return super()._read(X, reset)

    def _given(self, X: Any, y: Any, panel: Panel) -> Any:
        if self.at_steps:
            return steps.step_labels(y, panel.lengths)
        table = table_of(X, y, len(panel))
        return labels_of(X, y, len(panel)) if table is None else table

    def _coded(self, given: Any, head: str) -> tuple[Labels, dict[str, Any], list[str]]:
        """Return the positions of labels in the classes, or a table of them, the classes, and problems."""
        several = not isinstance(given, np.ndarray)
        if head == "keep" and several != self.multilabel_:
            held = f"a table of {len(self.classes_)} labels" if self.multilabel_ else "one label for each recording"
            return given, {}, [f"y must be as it was fitted, {held}; use head='new', or labels of that form"]
        if several:
            return self._coded_table(given, head)
        things = "steps" if self.at_steps else "recordings"
        labels = given.compressed() if isinstance(given, np.ma.MaskedArray) else given
        classes = np.unique(labels) if head == "new" else self.classes_
        if head == "keep":
            problems = unfitted(labels, classes, "use head='new', or leave those out", things)
        else:
            problems = one_class(labels, classes, things)
        at_steps = isinstance(given, np.ma.MaskedArray)
        codes = steps.codes_of(given, classes) if at_steps else np.searchsorted(classes, given).astype(np.int64)
        return codes, {"classes_": classes, "multilabel_": False}, problems

    def _coded_table(self, table: pd.DataFrame, head: str) -> tuple[Labels, dict[str, Any], list[str]]:
        """Return which labels recordings have, (N, L), the names of labels, and problems."""
        if not self._several:
            must = f"{type(self).__name__} must have one label for each recording: got a table of {table.shape[1]}"
            return table.to_numpy(), {}, [f"{must}; fit one model for each label, or use a GRUClassifier"]
        problems = self._other_names(table) if head == "keep" else []
        names = np.array(table.columns.tolist())
        return table.to_numpy(), {"classes_": names, "multilabel_": True}, problems

    def _other_names(self, table: pd.DataFrame) -> list[str]:
        """Return a problem where a table has other labels than those that were fitted."""
        known, names = self.classes_.tolist(), table.columns.tolist()
        if names == known or (len(names) == len(known) and names == list(range(len(names)))):
            return []
        if len(names) == len(known) and known == list(range(len(known))):
            return []
        wanted, got = (shorten([repr(name) for name in some]) for some in (known, names))
        return [f"y must have the columns of labels that were fitted, {wanted}: got {got}"]


def table_of(X: Any, y: Any, count: int) -> pd.DataFrame | None:
    """Return which labels each of `count` recordings has, (N, L), 0 or 1; None where `y` is one label for each.

    DataError is raised for a table that cannot be used; `X` and `y` as in `Classifier.fit`.
    """
    import pandas as pd

    names: Any = getattr(y, "columns", None)
    named = isinstance(y, (list, tuple)) and len(y) > 1 and all(isinstance(name, str) for name in y)
    if isinstance(X, Panel) and named and set(y) <= X.statics.keys():
        names, y = y, np.stack([X.statics[name] for name in y], axis=1)
    held = y.toarray() if hasattr(y, "toarray") else y  # a sparse one
    try:
        values = np.asarray(held)
    except ValueError:  # ragged: a label for each step, or nothing
        return None
    if values.ndim != 2 or values.shape[1] < 2:
        return None
    names = list(range(values.shape[1])) if names is None else list(names)
    if len(values) != count:
        raise DataError(f"y must have a row of labels for each recording: got {len(values)} for {count} recordings")
    wrong = np.argwhere(~np.isin(values, (0, 1)))
    if len(wrong):
        row, column = wrong[0]
        first = values.tolist()[row][column]
        remedy = f"give lists of labels as {TABLE}" if isinstance(first, str) and not hasattr(y, "columns") else ONE
        raise DataError(
            f"y must be 1 for each label that a recording has and 0 for any other: {len(wrong)} of {values.size} are "
            f"neither, the first is {first!r} of label {names[column]!r} in row {row}; {remedy}"
        )
    if len(set(names)) < len(names):
        raise DataError(f"columns of y must have names of their own: got {shorten([repr(name) for name in names])}")
    return pd.DataFrame(values.astype(np.int64), columns=names)


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
    several: Any = y[0] if isinstance(y, (list, tuple)) and len(y) else None
    ragged = isinstance(several, (list, tuple, np.ndarray)) and len({np.size(each) for each in y}) > 1
    if ragged or isinstance(several, (set, frozenset)):
        raise DataError(
            f"y must have one label for each recording: the first has {len(several)}; give several as {TABLE}; labels "
            "of steps are for networks and the majority, with output='step'"
        )
    held = np.asarray(y, dtype=object)  # numpy makes NaN among texts "nan", and numbers texts
    if held.ndim == 1 and len(held) == count:
        empty = [i for i, value in enumerate(held.tolist()) if isinstance(value, str) and not value]
        for what, unknown in (("NaN", missing(held)), ('""', empty)):
            if unknown:
                found = f"{counted(len(unknown), 'is', 'are')} {what}"
                raise DataError(f"y must have a label for each recording: {found}, the first at {unknown[0]}")
        texts = [isinstance(value, str) for value in held.tolist()]
        if any(texts) and not all(texts):
            mixed = shorten([repr(np.asarray(held[texts.index(kind)]).item()) for kind in (True, False)])
            raise DataError(f"labels must be texts or numbers, not both: got {mixed}")
    labels = column_or_1d(y, warn=True)
    if len(labels) != count:
        raise DataError(f"y must have one label for each recording: got {len(labels)} for {count} recordings")
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    try:
        check_classification_targets(labels)
    except ValueError as error:
        raise DataError(f"{error} For a number for each recording use a GRURegressor.") from None
    return np.asarray(labels)


def one_class(labels: NDArray[Any], classes: Sequence[Any] | NDArray[Any], several: str = "recordings") -> list[str]:
    """Return a problem where the labels, of `several` things, are all the same."""
    if len(classes) > 1:
        return []
    return [
        f"y must have two classes at least: got 1 class, {str(classes[0])!r}, for all {len(labels)} {several}; "
        f"give {several} of another class as well"
    ]


def unfitted(labels: NDArray[Any], classes: NDArray[Any], remedy: str, several: str = "recordings") -> list[str]:
    """Return problems of labels, of `several` things, that are not among the fitted classes."""
    strange = _strange(labels, classes, several)
    were = counted(len(strange), "was", "were")
    must = f"y must hold labels that were fitted: {were} not, {shorten(strange)}"
    return [f"{must}; {remedy}"] if strange else []


def _strange(labels: NDArray[Any], classes: NDArray[Any], several: str) -> list[str]:
    """Return each label that is not among the fitted classes, in words with the number of `several` things."""
    found = {label: int((labels == label).sum()) for label in dict.fromkeys(labels[~np.isin(labels, classes)])}
    return [f"{str(label)!r} ({counted(count, several.removesuffix('s'))})" for label, count in found.items()]
