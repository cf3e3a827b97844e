"""An aggregate follows the best of its members within the bound that its docstring states."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from tests.helpers.forecasters import small, wave
from tsforecast import (
    AggregateForecaster,
    DataError,
    DriftForecaster,
    NaiveForecaster,
    Panel,
    ParameterError,
    audit,
    load,
    save,
)
from tsforecast.data.context import Context
from tsforecast.evaluation.backtest import backtest
from tsforecast.forecasters.meta.aggregate import Rounds

Floats = Any


def streams(steps: int, horizon: int, members: int) -> list[Floats]:
    """Return losses (T, H, 1, M): uniform, with one good member, in turn, with a leader that falls back, and heavy."""
    random = np.random.default_rng(0)
    shape = (steps, horizon, 1, members)
    uniform = random.uniform(size=shape)
    good = uniform.copy()
    good[..., 1] *= 0.5
    turns = np.zeros(shape)
    for i in range(steps):
        turns[i, ..., i % members] = 1.0
    late = np.zeros(shape)
    late[: steps // 2, ..., 0] = late[steps // 2 :, ..., 1:] = 1.0
    blocks = np.zeros(shape)
    for i in range(steps):  # as long as the delay, so that what is known is always wrong
        blocks[i, ..., (i // horizon) % 2] = 1.0
    heavy = np.abs(random.standard_t(2, size=shape))
    return [uniform, good, turns, late, blocks, heavy, 1e6 * uniform, 1e-9 * late]


@pytest.mark.long
@pytest.mark.parametrize("members", [2, 5])
@pytest.mark.parametrize("horizon", [1, 6])
def test_the_regret_is_within_its_bound_whatever_the_losses(members: int, horizon: int) -> None:
    steps = 300
    delay = 2 * np.arange(1, horizon + 1) - 1
    closest = 0.0
    for losses in streams(steps, horizon, members):
        cutoffs = np.arange(100, 100 + steps)
        rounds = Rounds(losses, cutoffs)
        weights = rounds.shares(cutoffs)
        assert weights.min() >= 0
        assert weights.sum(axis=-1) == pytest.approx(1)
        regret = ((weights * losses).sum(axis=(0, 3)) - losses.sum(axis=0).min(axis=-1))[:, 0]  # (H,)
        size = (losses.max(axis=3) - losses.min(axis=3)).max(axis=0)[:, 0]
        bound = size * np.sqrt(delay * steps * np.log(members)) + 2 * delay * size
        assert np.all(regret <= 2 * rounds.end[1][:, 0] + 1e-9 * size)
        assert np.all(2 * rounds.end[1][:, 0] <= bound)
        closest = max(closest, float((regret / bound).max()))
    assert closest > 0.1  # streams that test it


def soft_least(total: Floats, gap: float) -> float:
    """Return the soft minimum of sums at the rate that a gap leads to."""
    rate = np.log(len(total)) / gap if gap else np.inf
    return float(-np.log(np.mean(np.exp(-total * rate))) / rate if gap else total.min())


def test_weights_are_those_of_a_plain_loop_over_what_is_known() -> None:
    random = np.random.default_rng(1)
    losses, cutoffs = random.exponential(size=(25, 3, 1, 4)), np.sort(random.choice(60, 25, replace=False))
    losses[4, 1, 0, 2] = np.nan
    asked = np.array([cutoffs[0], 20, 41, 90])
    found = Rounds(losses, cutoffs).shares(asked)
    for step in range(3):
        numbers = np.where(np.isnan(losses[:, step, 0]).any(axis=1)[:, None], 0, losses[:, step, 0])
        gaps: list[float] = []
        expected: dict[int, Floats] = {}
        for i, moment in enumerate([*cutoffs.tolist(), *asked.tolist()]):
            known = int((cutoffs + step + 1 <= moment).sum())
            total, gap = numbers[:known].sum(axis=0), sum(gaps[:known])
            raw = np.exp(-(total - total.min()) * np.log(4) / gap) if gap else np.ones(4)
            expected[moment] = raw / raw.sum()
            if i < len(cutoffs):
                mixed = soft_least(numbers[: i + 1].sum(axis=0), gap) - soft_least(numbers[:i].sum(axis=0), gap)
                gaps.append(max(float(expected[moment] @ numbers[i]) - mixed, 0.0))
        for at, moment in enumerate(asked.tolist()):
            assert found[at, step, 0] == pytest.approx(expected[moment], rel=1e-6, abs=1e-9)


def test_weights_go_on_from_the_past_of_each_cutoff_and_from_no_later_row() -> None:
    y = np.r_[np.arange(200.0), np.full(60, 199.0)]  # the drift is right, then the last value
    model = AggregateForecaster(DriftForecaster(), horizon=2).fit(y[:200])
    names = [type(member).__name__ for member in model.members_]
    assert names[0] == "DriftForecaster"
    assert len(names) == 5
    assert model.weights_[0] == pytest.approx(1, abs=1e-3)

    def at(series: Floats, *cutoffs: int) -> Floats:
        rows = np.array(cutoffs)
        return model.forecast(Context(Panel.from_array(series), np.zeros_like(rows), rows), 3)[..., 0]

    assert at(y, 200)[0] == pytest.approx([200, 201, 202], abs=0.01)
    follows = at(y, 200, 230, 260)
    assert follows[2] == pytest.approx(199, abs=0.2)
    assert abs(follows[0] - 199).max() > abs(follows[2] - 199).max()
    later = y.copy()
    later[230:] = -50.0
    assert np.array_equal(at(later, 200, 230)[1], follows[1])
    assert np.array_equal(at(y, 230)[0], follows[1])
    earlier = y.copy()
    earlier[205:230] = np.arange(205.0, 230.0)  # the drift is right for longer
    assert at(earlier, 260) == pytest.approx(199.7 + 0.8 * np.arange(3)[None], abs=0.2)
    assert at(y, 260) == pytest.approx(199, abs=0.01)


def test_the_aggregate_is_close_to_the_best_of_members_over_series_that_differ() -> None:
    random = np.random.default_rng(0)
    walks = np.cumsum(random.normal(size=(2, 300)), axis=1)
    seasons = np.tile([0.0, 3.0, 9.0, 4.0, 6.0, 2.0], 50) + random.normal(size=(2, 300))
    panel = Panel.from_array(np.r_[walks, seasons][..., None], season_length=6)
    rows = backtest(AggregateForecaster(NaiveForecaster()), panel, horizon=3, origins=30, step=1)
    error = (rows["y"] - rows["forecast"]).abs().groupby(rows["series"]).mean().to_numpy()
    best = []
    for name in ("naive", "seasonal-naive", "mean", "window-average", "drift"):
        own = backtest(small(name), panel, horizon=3, origins=30, step=1)
        best.append((own["y"] - own["forecast"]).abs().groupby(own["series"]).mean().to_numpy())
    assert np.all(error < 1.1 * np.min(best, axis=0))
    assert set(rows["leak_audit"]) == {"passed (data)"}


def test_an_aggregate_is_cloned_saved_loaded_and_copied(tmp_path: Any) -> None:
    model = AggregateForecaster([small("croston"), small("naive")], horizon=2).fit(wave(90))
    expected = model.predict(wave(120))
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    for one in (again, copy.deepcopy(model)):
        assert np.array_equal(one.predict(wave(120)), expected)
        assert one.weights_ == model.weights_
    fresh = clone(model).set_params(validation=0.3)
    assert not hasattr(fresh, "losses_")
    assert fresh.get_params(deep=False).keys() == {"forecasters", "horizon", "validation", "random_state"}
    new = Panel.from_array(wave(50, 4))
    each = np.stack([member.forecast(Context.at_end(new), 2)[0, :, 0] for member in model.members_])
    mean = model._mean_shares()[:, 0].T
    assert model.predict(wave(50, 4)) == pytest.approx((each * mean).sum(axis=0))


def test_windows_have_the_weights_of_all_rows_and_audits_pass() -> None:
    every = np.lib.stride_tricks.sliding_window_view(wave(200), 14)
    X, y = every[:, :12], every[:, 12:]
    model = AggregateForecaster(small("naive")).fit(X[:150], y[:150])
    assert len(model.weights_) == 5
    assert model.predict(X[150:]).shape == (37, 2)
    assert audit(AggregateForecaster(small("drift"), horizon=2), wave(60), cutoffs=1).outcome == "passed (fit)"


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(TypeError, match="AggregateForecaster has no setting 'seeds'"):
        AggregateForecaster(NaiveForecaster(), seeds=2)  # type: ignore[call-arg]
    with pytest.raises(ParameterError, match="forecasters must be a forecaster or a list of them: got 3"):
        AggregateForecaster(3).fit(wave())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="use validation >= 7, or forecasters without an aggregate"):
        AggregateForecaster(NaiveForecaster(), horizon=7, validation=2).fit(wave())
