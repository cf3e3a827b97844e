"""Intermittent demand: Croston's method and its corrections by hand, counts as distributions, anchors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsforecast.catalog.synthetic import intermittent
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import DataWarning, FitWarning
from tsforecast.estimators.persistence import load, save
from tsforecast.estimators.registry import INTERMITTENT, make
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.auto import _anchor_error
from tsforecast.forecasters.statistical import croston
from tsforecast.forecasters.statistical.fit import FittedModel

Y = np.array([0.0, 2, 0, 0, 4, 0, 3])


def rate(method: str, y: np.ndarray, *smoothing: float) -> float:
    found = croston.forecast(FittedModel({"method": method}, list(smoothing)), y, 2)
    assert found[0] == found[1]
    return float(found[0])


def slow(method: str, y: np.ndarray, alpha: float, beta: float) -> float:
    """The published recursions, one step after another."""
    size = interval = share = None
    since = 0
    for value in y:
        since += 1
        occurs = float(value != 0)
        share = occurs if share is None else share + beta * (occurs - share)
        if occurs:
            size = value if size is None else size + alpha * (value - size)
            interval = since if interval is None else interval + beta * (since - interval)
            since = 0
    if size is None:
        return 0.0
    if method == "tsb":
        return size * share
    return size / interval * (1 - alpha / 2 if method == "sba" else 1)


def test_rates_are_those_worked_out_by_hand() -> None:
    # Sizes 2, 4, 3: levels 2, 2.2, 2.28; intervals 2, 3, 2: levels 2, 2.1, 2.09.
    assert rate("croston", Y, 0.1) == pytest.approx(2.28 / 2.09)
    assert rate("sba", Y, 0.1) == pytest.approx(0.95 * 2.28 / 2.09)
    assert rate("tsb", Y, 0.1, 0.1) == pytest.approx(2.28 * 0.240049)  # shares 0, .1, .09, .081, .1729, .15561, .240049
    assert rate("tsb", np.r_[Y, 0, 0], 0.1, 0.2) < rate("tsb", Y, 0.1, 0.2)
    assert rate("croston", np.r_[Y, 0, 0], 0.1) == rate("croston", Y, 0.1)
    assert rate("croston", np.zeros(4), 0.1) == 0


def test_sizes_are_as_likely_as_smoothing_weighs_them() -> None:
    found = croston.quantiles(FittedModel({"method": "croston"}, [0.1]), Y, 1)[0]
    share = 1 / 2.09  # of steps with a demand, whose sizes 2, 4, 3 have the weights 0.81, 0.09, 0.1
    mass = {0.0: 1 - share, 2.0: 0.81 * share, 3.0: 0.1 * share, 4.0: 0.09 * share}
    assert {value: (found == value).mean() for value in mass} == pytest.approx(mass, abs=0.006)


@pytest.mark.parametrize("method", INTERMITTENT)
def test_rates_equal_the_published_recursions(method: str) -> None:
    for seed in range(10):
        y = intermittent(60, share=0.3, seed=seed).past
        beta = 0.23 if method == "tsb" else 0.12
        given = (0.12, beta) if method == "tsb" else (0.12,)
        assert rate(method, y, *given) == pytest.approx(slow(method, y, 0.12, beta))


@pytest.mark.parametrize("method", INTERMITTENT)
def test_smoothing_has_the_smallest_squared_error_of_its_range(method: str) -> None:
    y = intermittent(120, share=0.3, ends=60, seed=1).past
    first = int(np.flatnonzero(y)[0]) + 1

    def squared(alpha: float, beta: float) -> float:
        return sum((y[t] - slow(method, y[:t], alpha, beta)) ** 2 for t in range(first, len(y)))

    grid = [(a, b) for a in croston.GRID for b in (croston.GRID if method == "tsb" else [a])]
    best = min(grid, key=lambda pair: squared(*pair))
    found = croston.choose(y, method).parameters
    assert squared(found[0], found[-1]) == pytest.approx(squared(*best), rel=1e-9)
    assert (croston.GRID[0], croston.GRID[-1]) == pytest.approx((0.05, 0.2))


@pytest.mark.parametrize("method", INTERMITTENT)
def test_the_distribution_has_whole_numbers_zeros_and_the_rate_as_mean(method: str) -> None:
    model = make(method, horizon=3).fit(intermittent(300, share=0.3, seed=2).past)
    past = Context.at_end(model.panel_)
    found = model.distribution(past, 3)
    values = found.grid().values
    assert values.min() == 0
    assert (values == values.round()).all()
    assert found.mean() == pytest.approx(model.forecast(past, 3), rel=0.05)
    fine = found.quantiles(np.linspace(0.001, 0.999, 997))
    assert (fine == fine.round()).all()
    assert (np.diff(fine, axis=-1) >= 0).all()
    drawn = model.sample(100, random_state=0)
    assert (drawn == drawn.round()).all()
    assert drawn.min() == 0
    assert found.steps(slice(1, None)).quantiles([0.7134])[0, 0, 0, 0] == found.quantiles([0.7134])[0, 1, 0, 0]
    assert (found.cdf(np.zeros((1, 3, 1))) - found.below(np.zeros((1, 3, 1))) > 0.5).all()


@pytest.mark.thorough
@pytest.mark.parametrize("method", INTERMITTENT)
def test_intervals_of_counts_hold_as_many_outcomes_as_asked(method: str) -> None:
    series = [intermittent(200, horizon=6, share=0.3, seed=seed) for seed in range(500)]
    panel, future = Panel.from_array([one.past for one in series]), np.stack([one.future for one in series])[..., None]
    found = make(method, horizon=6, n_jobs=1).fit(panel).distribution(Context.at_end(panel), 6)
    at = np.random.default_rng(0).random(future.shape)
    below, upto = found.below(future), found.cdf(future)
    places = below + at * (upto - below)  # uniform, where the distribution is right
    assert np.mean(places < 0.8) == pytest.approx(0.8, abs=0.03)
    assert np.mean(places < 0.95) == pytest.approx(0.95, abs=0.03)


def test_demand_that_ends_is_forecast_lower_by_the_one_method_that_sees_it() -> None:
    y = intermittent(200, share=0.5, ends=150, seed=3).past
    croston_, tsb = (float(make(name).fit(y).predict()[0]) for name in ("croston", "tsb"))
    assert tsb < croston_ / 2


@pytest.mark.parametrize("method", INTERMITTENT)
def test_a_model_is_saved_and_loaded(method: str, tmp_path: Path) -> None:
    fitted = make(method, horizon=3).fit(intermittent(80).past)
    save(fitted, tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").predict(interval=0.8), fitted.predict(interval=0.8))


def test_a_series_without_demand_is_forecast_as_zero() -> None:
    panel = Panel.from_array([np.zeros(40), intermittent(40).past])
    with pytest.warns(DataWarning, match="1 of 2 series never moved"):
        ends = make("croston", horizon=2).fit(panel).predict(interval=0.8)
    assert (ends[0] == 0).all()
    assert (ends[1][:, 0] > 0).all()


@pytest.mark.long
def test_methods_for_intermittent_demand_beat_the_naive_family_where_most_steps_are_zero() -> None:
    panel = Panel.from_array([intermittent(90, share=0.15 + 0.02 * i, seed=i).past for i in range(12)], season_length=7)
    board = leaderboard(["croston", "sba", "tsb"], panel, horizon=7, origins=4, metric="crps")
    rows = board.rows
    scores = rows.groupby("model")["crps"].mean()
    squares = ((rows["y"] - rows["forecast"]) ** 2).groupby(rows["model"]).mean()
    for found in (scores, squares):
        assert found[["croston", "sba", "tsb"]].max() < found[["naive", "seasonal-naive", "drift"]].min()
    assert set(board.table["model"]) >= {"mean", "window-average"}
    assert board.notes[0] == "75% of the numbers are 0, so that mean and window-average are naive rivals as well"


@pytest.mark.long
def test_naive_levels_are_rivals_where_most_steps_are_zero_alone() -> None:
    sparse, dense = (intermittent(90, share=share, seed=0).past for share in (0.2, 0.8))
    board = leaderboard(["mean", "theta"], sparse, horizon=3, origins=3, metric="rmse")
    assert set(board.table["model"]) == {"naive", "seasonal-naive", "drift", "mean", "window-average", "theta"}
    note = (
        "84% of the numbers are 0, so that window-average is a naive rival as well; croston, sba, tsb are methods for"
    )
    assert board.notes[0].startswith(note)
    assert board.reference in ("mean", "window-average")  # chosen before the test
    ahead = leaderboard("theta", sparse, horizon=3, origins=3, metric="rmse", forecast=True).record.ahead
    assert set(ahead["model"]) == {"theta", board.reference}
    board = leaderboard("theta", dense, horizon=3, origins=3)
    assert set(board.table["model"]) == {"naive", "seasonal-naive", "drift", "theta"}
    assert not board.notes


@pytest.mark.parametrize("method", INTERMITTENT)
def test_a_series_with_negative_numbers_is_no_demand_and_forecast_by_the_seasonal_naive(method: str) -> None:
    demand, returns = intermittent(40).past, intermittent(40).past
    returns[[3, 9]] = -2.0, -1.0
    with pytest.warns(FitWarning) as heard:
        model = make(method, horizon=2).fit(Panel.from_array([demand, returns]))
    assert str(heard[0].message) == (
        f"{method} could not be fitted for 1 of 2 series ('1'): its forecast is the seasonal naive one; the first "
        "because demand must be 0 or more: 2 of its 40 numbers are negative, the first is -2; set returns to 0, or "
        "use ets"
    )
    found = model.predict()
    assert (found[1] == returns[-1]).all()
    assert (found[0] == make(method, horizon=2).fit(demand).predict()).all()
    with pytest.warns(FitWarning, match="demand must be 0 or more: 1 of its 41 numbers"):
        model.predict([np.append(demand, -1.0), demand])


def resolved(series: list[np.ndarray], season: int) -> dict[str, object]:
    panel = Panel.from_array(series, season_length=season)
    return make("reduction", horizon=3).fit(panel).resolved_


def test_networks_and_reduction_do_not_correct_the_last_value_of_intermittent_demand() -> None:
    flat = [intermittent(140, share=0.2, seed=seed).past for seed in range(5)]
    found = resolved(flat, 1)
    assert found["anchor"] == "none"
    assert found["zero_share"] == pytest.approx(0.8, abs=0.05)
    assert resolved(flat, 7)["anchor"] == "none"  # seven values say less than the mean of all
    begins = [np.r_[np.zeros(70), intermittent(70, share=0.8, seed=seed).past] for seed in range(5)]
    assert resolved(begins, 7)["anchor"] == "average"


def test_nights_without_sun_are_no_intermittent_demand() -> None:
    day = np.maximum(np.sin(np.arange(24) * np.pi / 12) - 0.3, 0)
    found = resolved([np.tile(day, 20) * np.repeat(np.random.default_rng(0).uniform(0.9, 1.1, 20), 24)], 24)
    assert found["zero_share"] > 0.5
    assert found["anchor"] not in ("last", "average", "none")


def test_errors_of_anchors_are_squared_where_most_numbers_are_zero() -> None:
    y = intermittent(140, share=0.2).past
    panel, last, no_lags = Panel.from_array(y), np.array([[1]]), np.zeros((1, 0), dtype=np.int64)
    assert _anchor_error(panel, no_lags, 0) == pytest.approx(1.0)
    assert _anchor_error(panel, last, 1) == pytest.approx((np.diff(y) ** 2).mean() / y.var())


def test_an_anchor_that_was_given_stays_and_other_series_have_the_usual_ones() -> None:
    sparse, dense = (intermittent(140, share=share, seed=0).past for share in (0.2, 0.9))
    assert "zero_share" not in resolved([dense], 7)
    given = make("reduction", horizon=3, anchor="last").fit(sparse).resolved_
    assert given["anchor"] == "last"
    assert "zero_share" not in given
