"""Classifier: fit on labelled sequences, predict the labels of new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin

from tsforecast.checks import whole
from tsforecast.data import sequences
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import Scaling, ScalingRecipe
from tsforecast.errors import DataError, ParameterError, counted, nearest, raise_any, shorten
from tsforecast.estimators.base import Estimator
from tsforecast.events import observed
from tsforecast.saving.folder import GOLDEN_INPUTS, GOLDEN_OUTPUTS

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
GOLDEN_STEPS = 24  # of the golden waves, unless sequences have one length


class Classifier(ClassifierMixin, Estimator):  # type: ignore[misc]
    """Base of all classifiers of sequences.

    Subclasses implement `_fit` and `_probabilities`, and list problems with their parameters in `_problems`.

    Attributes
    ----------
    classes_ : array of shape (K,)
        The labels, sorted.
    channels_ : int
        Numbers in a step (C).
    columns_ : tuple of str or None
        Their names, where they came in a panel.
    n_features_in_ : int
        Steps of each sequence (T), where they came as one array: then all others must have as many.
    """

    classes_: NDArray[Any]
    channels_: int
    columns_: tuple[str, ...] | None
    scaler: Any  # of a classifier that scales, with what it learned
    scaling_: Scaling
    scaled_on_: dict[str, Any]
    _fitted_attribute, _fit_call = "channels_", "fit(X, y)"
    # Where scikit-learn routes metadata, a search or a vote hands the groups on: whole groups validate there as well.
    __metadata_request__fit = {"groups": True}  # noqa: RUF012

    def fit(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Self:
        """Learn from labelled sequences.

        Parameters
        ----------
        X : list of (T, C) or (T,) arrays, array of shape (N, T, C) or (N, T), or Panel
            Recordings; with T alone they have one channel.
        y : array of shape (N,), or str
            A label for each; of a panel also the name of the static column that holds it.
        groups : array of shape (N,), optional
            Person or thing that each sequence is of. Whole groups validate, where any do; a panel brings its own.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            When parameters cannot work; all of them are listed.
        DataError
            When the data cannot be used; every problem is listed.

        Examples
        --------
        >>> from tsforecast.sequences.baselines import MajorityClassifier
        >>> sequences = [np.zeros((3, 1)), np.ones((5, 1)), np.ones((2, 1))]
        >>> MajorityClassifier().fit(sequences, ["rest", "wave", "wave"]).predict(sequences).tolist()
        ['wave', 'wave', 'wave']
        """
        panel, labels, sides = self._checked(X, y, groups)
        with observed(self, panel):
            self._fit(panel, labels, sides)
            self.channels_ = panel.values.shape[1]
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each sequence, (N,); `X` as in `fit`.

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
        self.check_fitted()
        panel = self._read(X, reset=False)
        raise_any(self.recording_problems(panel))
        return self._probabilities(panel)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of sequences whose label is predicted (accuracy).

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

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect of `fit`."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _checked(
        self, X: Any, y: Any, groups: Any, reset: bool = True, head: str = "new"
    ) -> tuple[Panel, Labels, NDArray[Any] | None]:
        """Check parameters and read the data of `fit`; labels become numbers.

        Without `reset` sequences must be like those that were fitted, and with the `head` kept their labels, too.
        """
        raise_any(self._problems(), ParameterError)
        panel = self._read(X, reset=reset)
        given = labels_of(X, y, len(panel))
        problems = self.recording_problems(panel)
        classes = np.unique(given) if head == "new" else self.classes_
        if head == "keep":
            problems += _unfitted(given, classes, "use head='new', or leave those out")
        else:
            problems += one_class(given, classes)
        sides, wrong = groups_of(panel, groups)
        raise_any(problems + wrong)
        self.__dict__.pop("channels_", None)  # not fitted until it is again
        self.classes_, self.fitted_on_ = classes, learned_from(panel, given)
        if sides is not None:
            self.fitted_on_["groups"] = len(set(map(str, sides.tolist())))
        return panel, np.searchsorted(classes, given).astype(np.int64), sides

    def _read(self, X: Any, reset: bool) -> Panel:
        """Read sequences; rows of one array with the checks, and the messages, of scikit-learn."""
        if sequences.is_ragged(X) or (isinstance(X, (list, tuple)) and not X):
            if reset:
                self._forget_array()
            panel = sequences.read(X)
        else:
            rows = self._read_array(X, reset, ensure_all_finite=False)
            if rows.ndim > 3:
                raise DataError(f"X must be {sequences.FORMS}: got shape {rows.shape}")
            panel = sequences.read(list(rows))
        channels, columns = panel.values.shape[1], panel.roles.varying if isinstance(X, Panel) else None
        if reset:
            self.columns_ = columns
        elif columns and self.columns_ and columns != self.columns_:
            raise DataError(f"X must have the columns that were fitted, {self.columns_}: got {columns}")
        if not reset and hasattr(self, "channels_") and channels != self.channels_:
            raise DataError(f"X must have the {self.channels_} channels that were fitted: got {channels}")
        return panel

    def golden(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the prediction for two waves of the size of the fitted sequences; see `Estimator.golden`."""
        steps = getattr(self, "n_features_in_", None) or max(GOLDEN_STEPS, self._least_steps())
        time, phases = np.linspace(0, 2 * np.pi, steps)[:, None], np.arange(self.channels_)
        waves = np.stack([np.sin(time + phases), np.cos(3 * time - phases)])  # (2, T, C)
        if hasattr(self, "scaling_"):
            waves = np.stack([self.scaling_.inverse(wave, 0) for wave in waves])
        return {}, {GOLDEN_INPUTS: waves, GOLDEN_OUTPUTS: self.golden_outputs({}, {GOLDEN_INPUTS: waves})}

    def golden_outputs(self, question: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Floats:
        """Return the probabilities of the golden waves, (2, K); see `Estimator.golden_outputs`."""
        with np.errstate(all="ignore"):
            return self._probabilities(sequences.read(list(arrays[GOLDEN_INPUTS])))

    def _scale(self, panel: Panel, labels: NDArray[Any]) -> None:
        """Learn scales, one for each channel, on the sequences that train."""
        recipe = ScalingRecipe(None, self.scaler, per_series=False)
        self.scaling_ = recipe.fit(panel.values, panel.offsets[[0, -1]], panel.n_targets)
        self.scaled_on_ = learned_from(panel, labels)

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        scaling = plain.pop("scaling_", None)
        return plain, arrays | (scaling.numbers() if scaling else {})

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        if whole("channels_", plain["channels_"], 1) or not isinstance(plain["classes_"], np.ndarray):
            raise ValueError(f"a classifier must have channels and classes: got {plain['channels_']!r} channels")
        super().set_state(plain, arrays)
        if hasattr(self, "scaler"):
            self.scaling_ = Scaling.from_numbers(arrays, False, 1, self.channels_, self.channels_)

    def _fit(self, panel: Panel, labels: Labels, groups: NDArray[Any] | None) -> None:
        """Learn from sequences, and labels that are positions in `classes_`."""
        raise NotImplementedError(f"{type(self).__name__} must implement _fit")

    def _probabilities(self, panel: Panel) -> Floats:
        """Return the probability of each class, (N, K)."""
        raise NotImplementedError(f"{type(self).__name__} must implement _probabilities")

    def _least_steps(self) -> int:
        """Return the least number of steps of a sequence."""
        return 1

    def recording_problems(self, panel: Panel) -> list[str]:
        """Return problems of sequences that have the right form."""
        return []


def learned_from(panel: Panel, labels: NDArray[Any]) -> dict[str, Any]:
    """Return a summary of sequences: their number, lengths and fingerprint."""
    return panel.origin(labels) | {"lengths": [int(panel.lengths.min()), int(panel.lengths.max())]}


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
    missing = _missing(np.asarray(y, dtype=object) if isinstance(y, (list, tuple)) else labels)  # numpy: NaN is "nan"
    if missing:
        held = f"{counted(len(missing), 'is', 'are')} NaN"
        raise DataError(f"y must have a label for each recording: {held}, the first at {missing[0]}")
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


def groups_of(panel: Panel, groups: Any) -> tuple[NDArray[Any] | None, list[str]]:
    """Return the group of each sequence, a panel's own unless given, and problems of those."""
    found = panel.groups if groups is None else np.asarray(groups)
    if found is None:
        return None, []
    if found.shape != (len(panel),):
        return found, [f"groups must be one for each recording, ({len(panel)},): got shape {found.shape}"]
    missing = _missing(found)
    if not missing:
        return found, []
    return found, [
        f"groups must have the user of each recording: {len(missing)} of {len(found)} are missing, the first at "
        f"position {missing[0]}; name these users, or leave their recordings out"
    ]


def _missing(values: NDArray[Any]) -> list[int]:
    """Return the positions of None and NaN."""
    return [i for i, value in enumerate(values.tolist()) if value is None or value != value]


def _unfitted(labels: NDArray[Any], classes: NDArray[Any], remedy: str) -> list[str]:
    """Return problems of labels that are not among the fitted classes."""
    strange = {label: int((labels == label).sum()) for label in dict.fromkeys(labels[~np.isin(labels, classes)])}
    if not strange:
        return []
    named = shorten([f"{str(label)!r} ({count} recordings)" for label, count in strange.items()])
    return [f"y must hold labels that were fitted: {len(strange)} were not, {named}; {remedy}"]
