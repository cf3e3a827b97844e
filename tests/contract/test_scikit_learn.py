"""Every forecaster is an ordinary regressor of scikit-learn: its own checks pass, and its tools take ours."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes HalvingGridSearchCV importable
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.helpers.forecasters import SMALL, wave
from tsforecast.data.samples import SupervisedPanel
from tsforecast.data.splits import RollingOrigin
from tsforecast.errors import DataError, DataWarning, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.estimators.registry import MODEL_NAMES, make
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.naive import MeanForecaster, NaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster, NeuralForecaster

QUICK = {name: value for name, value in SMALL.items() if name not in ("window", "season_length")}

# What cannot hold, and why. Each is tested in another way below.
CANNOT_APPLY = {
    "check_sample_weight_equivalence_on_dense_data": (
        "networks draw batches of rows, and keep the last rows for validation: rows that are repeated make other "
        "batches and another validation part than rows that count twice",
        NeuralForecaster,
    )
}


def every_forecaster() -> list[Forecaster]:
    """Return each public forecaster, with settings by which it is fitted some hundred times in a moment."""
    networks, orders = (
        EnsembleForecaster(make("rnn", **QUICK), seeds=2),
        {"order": (1, 0, 0), "seasonal_order": (0, 0, 0)},
    )
    return [*(make(name, **QUICK, **orders) for name in MODEL_NAMES), NeuralForecaster(**QUICK), networks]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::tsforecast.errors.DataWarning")  # their y is of another kind than X
@pytest.mark.filterwarnings("ignore:.*demand must be 0 or more:tsforecast.errors.FitWarning")  # it may be below
@parametrize_with_checks(every_forecaster())
def test_scikit_learns_own_checks_pass(estimator: Forecaster, check: Any) -> None:
    reason, kind = CANNOT_APPLY.get(check.func.__name__, ("", type(None)))
    made_of = getattr(estimator, "forecasters", estimator)
    if isinstance(made_of, kind):
        pytest.skip(reason)
    check(estimator)


def test_at_most_two_checks_cannot_apply() -> None:
    assert len(CANNOT_APPLY) <= 2


def rows(window: int = 24, horizon: int = 3, steps: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return windows of a wave without trend, (n, W), and what follows them, (n, H)."""
    level = wave(steps) - 0.05 * np.arange(steps)
    every = np.lib.stride_tricks.sliding_window_view(level, window + horizon)
    return every[:, :window].copy(), every[:, window:].copy()


def network(**settings: Any) -> GRUForecaster:
    return GRUForecaster(**{"units": 16, "batch_size": 16, "learning_rate": 0.01, "random_state": 0, **settings})


def test_x_and_y_of_every_shape_are_answered_in_the_shape_of_y(forecaster: Forecaster) -> None:
    X, y = rows(window=12)
    several = np.stack([X, X + 1, -X], axis=2)  # (n, W, C)
    model = clone(forecaster)
    assert model.fit(X, y[:, 0]).predict(X[:7]).shape == (7,)
    assert model.fit(X, y).predict(X[:7]).shape == (7, 3)
    assert model.fit(X, y[..., None]).predict(X[:7]).shape == (7, 3, 1)
    assert model.fit(several, y).predict(several[:7]).shape == (7, 3)
    two = np.stack([y, y + 1], axis=2)  # (n, H, 2)
    assert model.fit(several, two).predict(several[:7]).shape == (7, 3, 2)
    assert model.n_features_in_ == 12


def test_naive_forecasts_of_windows_are_those_of_each_row() -> None:
    X, y = rows()
    assert np.array_equal(NaiveForecaster().fit(X, y).predict(X), np.repeat(X[:, -1:], 3, axis=1))
    assert np.allclose(MeanForecaster().fit(X, y[:, 0]).predict(X), X.mean(axis=1))


@pytest.mark.thorough
def test_a_network_learns_from_windows_what_it_learns_from_their_series() -> None:
    X, y = rows()
    train, test = slice(0, 140), slice(140, None)
    model = network().fit(X[train], y[train])
    naive = np.abs(X[test, -1:] - y[test]).mean()
    assert np.abs(model.predict(X[test]) - y[test]).mean() < 0.6 * naive
    assert model.score(X[test], y[test]) > 0.5


def test_each_window_counts_once_and_its_y_alone_is_a_target() -> None:
    X, y = rows(window=24)
    model = network(window=8, validation=None, max_epochs=1)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsforecast.estimators.network.train", lambda net, windows, *rest: seen.append(windows) or [])
        patch.setattr("tsforecast.estimators.network.best_epoch", lambda history: type("Epoch", (), {"number": 0}))
        model.fit(X, y)
    (windows,) = seen
    assert len(windows) == len(X)
    import torch

    scaling = model.inputs_.scaling
    batch = windows.batch(torch.arange(len(X)))
    assert np.allclose(scaling.inverse(batch.future.numpy().astype(float), 0)[..., 0], y, rtol=1e-5)
    assert np.allclose(scaling.inverse(batch.past.numpy().astype(float), 0)[..., 0], X[:, -8:], rtol=1e-5)


@pytest.mark.thorough
def test_rows_that_validate_choose_no_scale_and_a_row_alone_trains() -> None:
    X, y = rows()
    spoiled_X, spoiled_y = X.copy(), y.copy()
    spoiled_X[-30:], spoiled_y[-30:] = 1e6, 1e6
    model, other = network(validation=30).fit(X, y), network(validation=30).fit(spoiled_X, spoiled_y)
    assert np.array_equal(model.inputs_.scaling.location, other.inputs_.scaling.location)
    assert model.resolved_["validation"] == 30
    assert network(max_epochs=1).fit(X[:1], y[:1]).resolved_["validation"] == 0


def test_rows_of_weight_zero_teach_nothing_and_double_weight_is_twice_the_row() -> None:
    X, y = rows()
    model = network(validation=None, batch_size=1000, max_epochs=5, weight_decay=0.0)
    spoiled = y.copy()
    spoiled[::3] *= 50
    weights = np.ones(len(X))
    weights[::3] = 0
    clean = clone(model).fit(np.delete(X, np.s_[::3], axis=0), np.delete(y, np.s_[::3], axis=0)).predict(X)
    assert np.allclose(clone(model).fit(X, spoiled, sample_weight=weights).predict(X), clean, rtol=1e-3)
    assert not np.allclose(clone(model).fit(X, spoiled).predict(X), clean, rtol=1e-3)
    twice = clone(model).fit(np.repeat(X, 2, axis=0)[1:], np.repeat(y, 2, axis=0)[1:]).predict(X)
    weights = np.full(len(X), 2.0)
    weights[0] = 1
    assert np.allclose(clone(model).fit(X, y, sample_weight=weights).predict(X), twice, rtol=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "conv1d"])
def test_what_is_said_of_a_window_does_not_depend_on_its_batch_mates(cell: str) -> None:
    X, y = rows(window=48, horizon=12, steps=500)
    model = make(cell, units=64, max_epochs=1, random_state=0, segment=1).fit(X, y)
    together, order = model.predict(X), np.random.default_rng(0).permutation(len(X))
    assert np.array_equal(model.predict(X[order]), together[order])
    assert np.array_equal(np.concatenate([model.predict(X[i : i + 1]) for i in range(20)]), together[:20])
    assert np.array_equal(model.predict(X[5:82]), together[5:82])


@pytest.mark.thorough
def test_a_pipeline_scales_windows_and_forecasts() -> None:
    X, y = rows()
    pipeline = make_pipeline(StandardScaler(), network(anchor="none"))
    mean = X.mean()  # what comes before the forecaster must do the same to X and y
    assert pipeline.fit(X[:140] - mean, y[:140] - mean).score(X[140:] - mean, y[140:] - mean) > 0.3


@pytest.mark.thorough
@pytest.mark.parametrize("splitter", [TimeSeriesSplit(2), RollingOrigin(20, origins=2)], ids=str)
@pytest.mark.parametrize("search", [GridSearchCV, HalvingGridSearchCV])
def test_a_grid_search_finds_the_better_setting(search: Any, splitter: Any) -> None:
    X, y = rows()
    extra = {"min_resources": 100} if search is HalvingGridSearchCV else {}
    found = search(network(), {"max_epochs": [0, 20]}, cv=splitter, **extra).fit(X, y)
    assert found.best_params_ == {"max_epochs": 20}
    assert found.predict(X).shape == y.shape


@pytest.mark.process
def test_cross_validation_scores_each_fold() -> None:
    X, y = rows()
    scores = cross_val_score(network(), X, y, cv=TimeSeriesSplit(3), n_jobs=2)
    assert scores.shape == (3,)
    assert np.array_equal(scores, cross_val_score(network(), X, y, cv=TimeSeriesSplit(3)))


@pytest.mark.thorough
def test_others_combine_it() -> None:
    X, y = rows()
    each = MultiOutputRegressor(network()).fit(X, y)
    assert np.array_equal(each.predict(X)[:, 1], network().fit(X, y[:, 1]).predict(X))
    vote = VotingRegressor([("gru", network()), ("ridge", Ridge())]).fit(X, y[:, 0])
    parts = [network().fit(X, y[:, 0]).predict(X), Ridge().fit(X, y[:, 0]).predict(X)]
    assert np.allclose(vote.predict(X), np.mean(parts, axis=0))


@pytest.mark.process
def test_processes_and_copies_say_the_same(forecaster: Forecaster) -> None:
    X, y = rows(window=12)
    fitted = forecaster.fit(X, y)
    said = fitted.predict(X[:9])
    for again in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(again.predict(X[:9]), said)
    others = Parallel(n_jobs=2)(delayed(fitted.predict)(X[i : i + 3]) for i in (0, 3, 6))
    assert np.array_equal(np.concatenate(others), said)


def test_a_pickle_of_another_version_is_warned_of_as_scikit_learn_does(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = rows(window=12)
    fitted = NaiveForecaster().fit(X, y)
    kept = pickle.dumps(fitted)
    assert pickle.loads(kept).score(X, y) == fitted.score(X, y)  # pytest makes a warning an error
    monkeypatch.setattr("tsforecast.estimators.base.__version__", "9.9.9")
    with pytest.warns(InconsistentVersionWarning, match="a pickled NaiveForecaster of tsforecast 0.1.0 is read"):
        again = pickle.loads(kept)
    assert "_tsforecast_version" not in vars(again)


@pytest.mark.thorough
def test_an_ensemble_learns_its_weights_from_windows() -> None:
    X, y = rows()
    members = [NaiveForecaster(), network()]
    model = EnsembleForecaster(members, weights="validation").fit(X, y)
    assert model.weights_[1] > 0.7
    assert model.predict(X).shape == y.shape


def test_a_y_in_other_units_than_x_is_warned_of() -> None:
    X, y = rows(window=12)
    with pytest.warns(DataWarning, match="y should continue X in the same units, but lies .* times the"):
        make_pipeline(StandardScaler(), NaiveForecaster()).fit(X + 100, y + 100)
    NaiveForecaster().fit(X + 100, y + 100)  # pytest makes a warning an error


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler(), MaxAbsScaler()], ids=str)
def test_windows_that_a_pipeline_scales_without_y_are_warned_of(scaler: Any) -> None:
    X, y = rows(window=12)
    other = 3 + 2 * X, 3 + 2 * y
    with pytest.warns(DataWarning, match="y should continue X in the same units, but .* leave the scaler out"):
        make_pipeline(scaler, NaiveForecaster()).fit(*other)
    NaiveForecaster().fit(*other)  # pytest makes a warning an error
    NaiveForecaster().fit(X[:1], y[:1] + 3)  # one row shows no scaler
    season = np.lib.stride_tricks.sliding_window_view(np.sin(2 * np.pi * np.arange(104) / 7), 35)[:70]
    NaiveForecaster().fit(season[:, :28], season[:, 28:])  # whole seasons: all columns have the same numbers
    both = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
    NaiveForecaster().fit(*both)


def test_names_of_columns_are_kept_and_must_stay() -> None:
    X, y = rows(window=12)
    frame = pd.DataFrame(X, columns=[f"lag{12 - i}" for i in range(12)])
    model = NaiveForecaster().fit(frame, y)
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"lag1": "lag_1"}))


def test_the_two_doors_do_not_get_mixed_up() -> None:
    X, y = rows(window=12)
    model = network(max_epochs=1).fit(X, y)
    with pytest.raises(ParameterError, match="predict takes windows of that form and no more"):
        model.predict()
    with pytest.raises(ParameterError, match="predict takes windows of that form and no more"):
        model.predict(X, horizon=5)
    model.fit(wave())
    assert not hasattr(model, "n_features_in_")
    with pytest.raises(ParameterError, match="judge series with backtest or leaderboard"):
        model.score(X, y)
    with pytest.raises(ParameterError, match="sample_weight belongs to supervised windows"):
        model.fit(wave(), sample_weight=np.ones(90))
    assert len(model.predict()) == 1  # its own horizon again


def test_bad_windows_are_refused_in_the_words_of_scikit_learn() -> None:
    X, y = rows(window=12)
    model = network(max_epochs=1)
    with pytest.raises(NotFittedError, match="must be fitted first"):
        model.predict(X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.fit(np.where(X.mean() < X, np.nan, X), y)
    with pytest.raises(ValueError, match="X has 11 features, but GRUForecaster is expecting 12"):
        model.fit(X, y).predict(X[:, 1:])
    with pytest.raises(DataError, match=r"windows must have shape \(n, W\) or .*: got \(186, 12, 1, 1\)"):
        model.fit(X[..., None, None], y[: len(X)])
    with pytest.raises(DataError, match="at most as many targets as X has channels: got 2 and 1"):
        model.fit(X, np.stack([y, y], axis=2))
    with pytest.raises(DataError, match="X must have the 2 channels that were fitted: got 3"):
        model.fit(np.stack([X, X], 2), y).predict(np.stack([X, X, X], 2))
    with pytest.raises(DataError, match="window must fit in the rows of X: needs 20 steps, they have 12; use window"):
        network(window=20).fit(X, y)
    with pytest.raises(ParameterError, match="per_series=True must have series to learn scales from"):
        network(per_series=True).fit(X, y)
    with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero number"):
        model.fit(X, y, sample_weight=np.zeros(len(X)))
    with pytest.raises(DataError, match="validation must leave a window to train on: takes 176 of 176 windows"):
        network(validation=176).fit(X[:176], y[:176])


def test_a_panel_of_windows_keeps_rows_and_weights_together() -> None:
    X, y = rows(window=12)
    panel = SupervisedPanel.from_rows(X, y, np.arange(len(X), dtype=float))
    part = panel.select([3, 7])
    assert part.weights is not None
    assert part.weights.tolist() == [3, 7]
    assert np.array_equal(part.series(1).ravel(), np.concatenate([X[7], y[7]]))


def test_whole_numbers_beyond_a_float_are_refused() -> None:
    with pytest.raises(DataError, match="X must hold numbers that a float can hold: int too large"):
        NaiveForecaster().fit([[10**400, 1], [1, 2]], [1.0, 2.0])
    with pytest.raises(DataError, match="y must hold numbers that a float can hold: int too large"):
        NaiveForecaster().fit([[3, 1], [1, 2]], [10**400, 2])
