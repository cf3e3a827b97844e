"""Regressors: fit on recordings with a number, or several, for each; predict those of new ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score

from tsforecast.checks import whole
from tsforecast.data.panel import Panel
from tsforecast.data.quality import TOO_LARGE
from tsforecast.data.scaling import TINY, Scaling, ScalingRecipe
from tsforecast.distributions.base import Distribution
from tsforecast.distributions.families import Normal
from tsforecast.distributions.parametric import Parametric
from tsforecast.distributions.predictions import asked_levels
from tsforecast.errors import DataError, ParameterError, Problem, counted, nearest
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.saving.codec import under
from tsforecast.sequences.base import Floats, SequenceEstimator
from tsforecast.sequences.network import NeuralSequenceEstimator
from tsforecast.sequences.targets import Numbers, Target

TRUTH = "truth."  # before the names of the arrays that scale it


class Regressor(MultiOutputMixin, RegressorMixin, SequenceEstimator):  # type: ignore[misc]
    """Base of all regressors of recordings; see `SequenceEstimator`.

    Subclasses implement `_fit` and `_answers`, P numbers for each of the M that are learned, (N, M, P); the first is
    the prediction.

    Attributes
    ----------
    n_outputs_ : int
        Numbers for each recording (M).
    single_ : bool
        Whether they came as one for each, (N,), as predictions then do.
    """

    n_outputs_: int
    single_: bool

    def fit(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Self:
        """Learn from recordings and the numbers of each, (N,) or (N, M); see `SequenceEstimator.fit`.

        Of a panel `y` is the name of a static column, or a list of names.

        Examples
        --------
        >>> recordings = [np.zeros((3, 1)), np.ones((5, 1)), np.ones((2, 1))]
        >>> MeanRegressor().fit(recordings, [1.0, 2.0, 6.0]).predict(recordings).tolist()
        [3.0, 3.0, 3.0]
        """
        return super().fit(X, y, groups)

    def predict(
        self, X: Any, *, quantiles: Sequence[float] = (), interval: float | Sequence[float] | None = None
    ) -> Floats:
        """Return the numbers of each recording, (N,) or (N, M) as fitted; `X` as in `fit`.

        Parameters
        ----------
        X : as in `fit`
        quantiles : sequence of float, optional
            Levels between 0 and 1 of quantiles to return with the mean, of networks for loss "normal".
        interval : float or sequence of float, optional
            Shares of outcomes, such as 0.8, that central intervals are to hold, whose ends are returned with it.

        Returns
        -------
        array
            With quantiles or intervals it has a last axis more: the mean, the quantiles and the ends.

        Raises
        ------
        NotFittedError, ParameterError, DataError
        """
        levels = asked_levels(quantiles, interval)
        if not levels:
            numbers = self.predicted(X)[1][..., 0]
            return numbers[:, 0] if self.single_ else numbers
        found = self.predict_distribution(X)
        order, place = np.unique([*levels.values()], return_inverse=True)
        numbers = np.concatenate([found.mean()[..., None], found.quantiles(order)[..., place]], axis=-1)[:, 0]
        return np.asarray(numbers[:, 0] if self.single_ else numbers)

    def predict_distribution(self, X: Any) -> Distribution:
        """Return the distributions of the numbers of recordings, of shape (N, 1, M).

        Raises
        ------
        NotFittedError, DataError
        ParameterError
            When a network was fitted with another loss than "normal", and has no distribution.
        """
        raise NotImplementedError(f"{type(self).__name__} must have distributions")

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination, R², at most 1; that of the mean of `y` is 0.

        Parameters
        ----------
        X, y : as in `fit`
        sample_weight : array of shape (N,), optional

        Raises
        ------
        NotFittedError
        DataError
            Also when `y` has more or fewer numbers for each recording than were fitted.
        """
        predicted = self.predict(X)
        truth = numbers_of(X, y, len(predicted))
        if truth.ndim == 1:
            truth = truth[:, None]
        if truth.shape[1] != self.n_outputs_:
            raise DataError(_other_count(self.n_outputs_, truth.shape[1]))
        return float(r2_score(truth, predicted.reshape(truth.shape), sample_weight=sample_weight))

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        if whole("n_outputs_", plain["n_outputs_"], 1) or not isinstance(plain["single_"], bool):
            raise ValueError(f"a regressor must have numbers to predict: got {plain['n_outputs_']!r}")
        super().set_state(plain, arrays)

    def _given(self, X: Any, y: Any, panel: Panel) -> Floats:
        return numbers_of(X, y, len(panel))

    def _coded(self, given: Floats, head: str) -> tuple[Floats, dict[str, Any], list[str]]:
        """Return the numbers as a table, (N, M), their shape, and problems."""
        table = given[:, None] if given.ndim == 1 else given
        count = table.shape[1]
        other = head == "keep" and count != self.n_outputs_
        problems = [f"{_other_count(self.n_outputs_, count)}; use head='new'"] if other else []
        return table, {"n_outputs_": count, "single_": given.ndim == 1}, problems


def numbers_of(X: Any, y: Any, count: int) -> Floats:
    """Return the numbers of `count` recordings, (N,) or (N, M), or raise DataError; as in `Regressor.fit`."""
    if y is None:
        raise DataError("fit requires y to be passed, but the target y is None: give a number for each recording")
    if isinstance(X, Panel):
        names = [y] if isinstance(y, str) else y
        if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
            if strange := [name for name in names if name not in X.statics]:
                raise DataError(f"the panel must have a static column {strange[0]!r}; {nearest(strange[0], X.statics)}")
            y = X.statics[y] if isinstance(y, str) else np.stack([X.statics[name] for name in names], axis=1)
    try:
        given = np.asarray(y)
        if given.dtype.kind in "OUS" and any(isinstance(value, (str, bytes)) for value in given.ravel().tolist()):
            text = next(value for value in given.ravel().tolist() if isinstance(value, (str, bytes)))
            raise DataError(
                f"y must hold a number for each recording: it holds text such as {text!r}; use a classifier for labels"
            )
        if given.dtype.kind == "c":
            raise DataError("y must hold a number for each recording. Complex data not supported: give real numbers")
        if given.dtype.kind in "mM":
            raise DataError("y must hold a number for each recording: it holds dates or durations; give days, or hours")
        numbers = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"y must hold a number for each recording, (N,), or several, (N, M): {error}") from error
    if numbers.ndim not in (1, 2) or (numbers.ndim == 2 and not numbers.shape[1]):
        raise DataError(f"y must hold a number for each recording, (N,), or several, (N, M): got shape {numbers.shape}")
    if len(numbers) != count:
        raise DataError(f"y must have a number for each recording: got {len(numbers)} for {count} recordings")
    unknown = np.flatnonzero(np.isnan(numbers.reshape(count, -1)).any(axis=1))
    if len(unknown):
        held = f"{counted(len(unknown), 'is', 'are')} NaN"
        raise DataError(f"y must have a number for each recording: {held}, the first at {unknown[0]}; leave those out")
    large = np.flatnonzero((np.abs(numbers.reshape(count, -1)) > TOO_LARGE).any(axis=1))
    if len(large):
        infinite = bool(np.isinf(numbers).any())
        raise DataError(
            f"y must hold finite numbers within ±{TOO_LARGE:g}: got {'inf' if infinite else 'larger ones'} for "
            f"{len(large)} of {count} recordings, the first at {large[0]}; leave those out, or divide y first"
        )
    return np.asarray(numbers)


def _other_count(fitted: int, got: int) -> str:
    return f"y must have as many numbers for each recording as were fitted, {fitted}: got {got}"


@keyword_settings
class MeanRegressor(Regressor):
    """Predict the mean of training for every recording: the baseline, whose R² is 0 at most.

    Its quantiles and intervals are those of a normal distribution with the standard deviation of training.

    Attributes
    ----------
    mean_ : array of shape (M,)
    deviation_ : array of shape (M,)
        Standard deviation of training.

    Examples
    --------
    >>> model = MeanRegressor().fit(np.zeros((4, 5)), [1.0, 2.0, 3.0, 6.0])
    >>> model.predict(np.ones((2, 5))).tolist()
    [3.0, 3.0]
    >>> model.predict(np.ones((1, 5)), interval=0.8).round(1).tolist()  # mean, low end, high end
    [[3.0, 0.6, 5.4]]
    """

    mean_: Floats = dataclasses.field(init=False)
    deviation_: Floats = dataclasses.field(init=False)

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags

    def _fit(self, panel: Panel, truth: Floats, groups: NDArray[Any] | None) -> None:
        self.mean_, self.deviation_ = truth.mean(axis=0), truth.std(axis=0)

    def predict_distribution(self, X: Any) -> Distribution:
        """Return the normal distributions of training, one for each recording, of shape (N, 1, M).

        Raises
        ------
        NotFittedError, DataError
        ParameterError
            When an older version has fitted it, which kept no deviation.
        """
        self.check_fitted()
        if not hasattr(self, "deviation_"):
            raise ParameterError(
                "this MeanRegressor must have the standard deviation of training for quantiles, intervals and "
                "distributions: an older version has fitted it; fit it again"
            )
        panel, count = self._read(X, reset=False), len(self.mean_)
        spread = np.maximum(self.deviation_, TINY)  # where all numbers of training are the same
        outputs = np.tile(np.stack([self.mean_, spread], axis=-1), (len(panel), 1, 1, 1))  # (N, 1, M, 2)
        unscaled = ScalingRecipe(scaler=None).fit(np.zeros((1, count)), np.array([0, 1]), count)
        return Parametric(Normal(), outputs, unscaled.take(np.zeros(len(panel), dtype=np.int64)))

    def _answers(self, panel: Panel) -> Floats:
        return np.tile(self.mean_[:, None], (len(panel), 1, 1))


@keyword_settings
class NeuralRegressor(NeuralSequenceEstimator, Regressor):
    """A small network, trained on recordings of any length, that predicts a number, or several, for new ones.

    Untrained it predicts the mean, or the median for loss "mae". Scales, those of `y` among them, are learned on the
    recordings that train only. Those that validate, whole groups where there are groups, choose the epoch; epoch 0, the
    mean itself, is a candidate. The prediction for a recording does not depend on its batch-mates.

    Attributes
    ----------
    n_outputs_ : int
        Numbers for each recording (M).
    single_ : bool
        Whether they came as one for each, (N,), as predictions then do.
    resolved_ : dict
        As of a `NeuralClassifier`.
    network_ : tsforecast.networks.sequence.SequenceNetwork
    scaling_, truth_scaling_ : Scaling
        Of the channels, and of `y`.
    history_ : list of Epoch
        Losses of scaled numbers; skill is the share of the mean's that the network removes, or for loss "normal" by
        how much higher the density is.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> y = random.uniform(0.2, 1.0, size=40)
    >>> recordings = [np.sin(step * np.arange(random.integers(20, 30))) for step in y]
    >>> model = NeuralRegressor("gru", units=16, layers=1, max_epochs=40, random_state=0).fit(recordings, y)
    >>> model.score(recordings, y) > 0.9
    True

    With a distribution, its quantiles and intervals are returned with the mean:

    >>> likely = NeuralRegressor("gru", units=8, max_epochs=2, loss="normal", random_state=0).fit(recordings, y)
    >>> likely.predict(recordings, quantiles=[0.1, 0.9]).shape
    (40, 3)
    """

    loss: Literal["mse", "mae", "huber", "normal"] = setting(
        default="mse",
        fixed=True,
        doc="Loss of scaled numbers: squared or absolute error, Huber's, or the negative logarithm of the likelihood "
        "of a normal distribution, whose deviation the network learns as well.",
    )
    truth_scaling_: Scaling = dataclasses.field(init=False)

    def predict_distribution(self, X: Any) -> Distribution:
        """Return the distributions of the numbers of recordings, of shape (N, 1, M), for loss "normal".

        Raises
        ------
        NotFittedError, DataError
        ParameterError
            When the network was fitted with another loss, and has no distribution.
        """
        self.check_fitted()
        if self.loss != "normal":
            must = "must be 'normal' for quantiles, intervals and distributions"
            raise ParameterError(Problem(must, f"got {self.loss!r}", "fit one with loss='normal'", parameter="loss"))
        panel, answers = self.predicted(X)  # (N, M, 2)
        own = self.truth_scaling_.take(np.zeros(len(panel), dtype=np.int64))
        location = (answers[..., 0] - own.location) / own.scale
        outputs = np.stack([location, answers[..., 1] / own.scale], axis=-1)
        return Parametric(Normal(), outputs[:, None], own)

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        scaling: Scaling = plain.pop("truth_scaling_")
        return plain, arrays | {f"{TRUTH}{name}": numbers for name, numbers in scaling.numbers().items()}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        count = plain["n_outputs_"]
        self.truth_scaling_ = Scaling.from_numbers(under(TRUTH, arrays), False, 1, count, count)
        super().set_state(plain, arrays)

    def _target(self) -> Target:
        return Numbers(self.n_outputs_, self.loss, getattr(self, "truth_scaling_", None))

    def _scale(self, panel: Panel, labels: NDArray[Any]) -> None:
        super()._scale(panel, labels)
        recipe = ScalingRecipe(per_series=False)
        self.truth_scaling_ = recipe.fit(labels, np.array([0, len(labels)]), labels.shape[1])


@keyword_settings
class RNNRegressor(NeuralRegressor):
    """Predict numbers with an Elman network: a `NeuralRegressor` with ``cell="rnn"``."""

    cell: Literal["rnn"] = setting(default="rnn", init=False)


@keyword_settings
class GRURegressor(NeuralRegressor):
    """Predict numbers with gated recurrent units: a `NeuralRegressor` with ``cell="gru"``.

    Examples
    --------
    >>> GRURegressor(units=8).get_params()["units"]
    8
    """

    cell: Literal["gru"] = setting(default="gru", init=False)


@keyword_settings
class LSTMRegressor(NeuralRegressor):
    """Predict numbers with long short-term memory: a `NeuralRegressor` with ``cell="lstm"``."""

    cell: Literal["lstm"] = setting(default="lstm", init=False)


@keyword_settings
class Conv1DRegressor(NeuralRegressor):
    """Predict numbers with dilated convolutions: a `NeuralRegressor` with ``cell="conv1d"``."""

    cell: Literal["conv1d"] = setting(default="conv1d", init=False)
