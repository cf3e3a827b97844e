"""Conformal intervals hold what they claim, are calibrated before the test only, and follow shifts where asked to."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from tests.helpers.forecasters import small, wave
from tsforecast import (
    ConformalForecaster,
    DataError,
    MeanForecaster,
    NaiveForecaster,
    Panel,
    ParameterError,
    SeasonalNaiveForecaster,
    audit,
    backtest,
    load,
    save,
)
from tsforecast.data.context import Context
from tsforecast.distributions.base import LEVELS
from tsforecast.distributions.conformal import Calibration, adaptive, needed
from tsforecast.forecasters.base import Forecaster

Floats = Any


class Remembers(Forecaster):
    """The truth of all rows that were fitted, and the mean of the past beyond: no error where it learned."""

    def __init__(self, horizon: int = 1) -> None:
        self.horizon = horizon

    def _fit(self, panel: Panel) -> None:
        self.rows_ = panel.series(0)[:, 0].copy()

    def forecast(self, past: Context, horizon: int) -> Floats:
        means = np.array([past.history(i)[:, 0].mean() for i in range(len(past))])
        steps = past.rows[:, None] + np.arange(horizon)
        known = self.rows_[np.minimum(steps, len(self.rows_) - 1)]
        return np.where(steps < len(self.rows_), known, means[:, None])[..., None]


def noise(steps: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=steps)


def held(model: Forecaster, y: Floats, first: int, shares: tuple[float, ...] = (0.8, 0.95)) -> list[float]:
    """Return the coverage of one-step intervals at every cutoff from `first` on."""
    cutoffs = np.arange(first, len(y))
    past = Context(Panel.from_array(y), np.zeros_like(cutoffs), cutoffs)
    levels = sorted(end for share in shares for end in ((1 - share) / 2, (1 + share) / 2))
    ends = model.distribution(past, 1).quantiles(levels)[:, 0, 0]
    pairs = [(len(shares) - 1 - i, len(shares) + i) for i in range(len(shares))]
    return [float(np.mean((ends[:, low] <= y[first:]) & (y[first:] <= ends[:, high]))) for low, high in pairs]


@pytest.mark.parametrize("refit", [True, False])
def test_intervals_hold_their_share_of_outcomes_although_the_forecaster_remembers_what_it_learned(refit: bool) -> None:
    found = []
    for seed in range(30):
        y = noise(400, seed)
        found.append(held(ConformalForecaster(Remembers(), refit=refit).fit(y[:300]), y, 300))
    assert np.mean(found, axis=0) == pytest.approx([0.8, 0.95], abs=0.03)


@pytest.mark.thorough
@pytest.mark.parametrize("shift", ["level", "spread"])
def test_adaptive_intervals_hold_their_share_after_a_shift_where_split_ones_lose_it(shift: str) -> None:
    found: dict[str, list[list[float]]] = {"split": [], "adaptive": []}
    for seed in range(8):
        y = noise(500, seed)
        y[300:] = y[300:] + 3 if shift == "level" else 3 * y[300:]
        for method, rates in found.items():
            rates.append(held(ConformalForecaster(MeanForecaster(), method=method).fit(y[:300]), y, 300))  # type: ignore[arg-type]
    assert np.mean(found["adaptive"], axis=0) == pytest.approx([0.8, 0.95], abs=0.03)
    assert (np.mean(found["split"], axis=0) < [0.7, 0.85]).all()


def test_quantiles_are_those_of_the_errors_at_the_cutoffs_that_calibrate() -> None:
    y = wave(300)
    model = ConformalForecaster(NaiveForecaster(), horizon=2, refit=False)
    model.fit(Panel.from_array(y, season_length=1))
    cutoffs = np.arange(240, 299)
    errors = np.stack([y[cutoffs + h] - y[cutoffs - 1] for h in range(2)], axis=1)
    scale = np.array([np.abs(np.diff(y[:c])).mean() for c in cutoffs])
    expected = np.quantile(errors / scale[:, None], [0.1, 0.9], axis=0, method="weibull") * np.abs(np.diff(y)).mean()
    assert model.calibration_.cutoffs.tolist() == cutoffs.tolist()
    assert model.predict(interval=0.8)[:, 1:] == pytest.approx(y[-1] + expected.T)
    assert np.array_equal(model.predict(), NaiveForecaster(horizon=2).fit(y).predict())


def test_the_level_of_a_quantile_moves_after_each_error_that_is_known() -> None:
    errors, rate, warm, window = noise(120, 1).reshape(60, 2, 1), 0.1, 20, 30
    found, reached = adaptive(errors, np.arange(100, 160), np.arange(100, 163), rate, warm, window)
    hits = []
    for step in range(2):
        e, levels, made = errors[:, step, 0], LEVELS.copy(), {}
        for now in range(63):
            known = min(max(now - step, 0), 60)  # the error of the first step is known one step after its cutoff
            if 0 < now - step <= 60 and (at := now - step - 1) - step >= warm:
                levels = np.clip(levels + rate * (LEVELS - (e[at] <= made[at])), -rate, 1 + rate)
            bank = np.sort(e[max(0, known - window) : known])
            if len(bank):
                place = np.clip(levels * (len(bank) + 1) - 1, 0, len(bank) - 1)
                made[now] = np.interp(place, np.arange(len(bank)), bank)
                assert found[now, step, 0] == pytest.approx(np.sort(made[now]))
        ends = [np.sort(made[at])[[19, 179]] for at in range(warm + step, 60)]
        hits += [low <= error <= high for (low, high), error in zip(ends, e[warm + step :], strict=True)]
    assert reached[0.8] == pytest.approx(np.mean(hits))


def test_adaptive_quantiles_come_from_the_past_of_their_own_cutoff_alone() -> None:
    y = noise(330, 3)
    model = ConformalForecaster(NaiveForecaster(), horizon=2, method="adaptive").fit(y[:300])
    later, earlier = y.copy(), y.copy()
    later[320:] += 50
    earlier[310:315] += 50

    def ends(series: Floats, cutoffs: list[int]) -> Floats:
        at = np.array(cutoffs)
        return model.distribution(Context(Panel.from_array(series), np.zeros_like(at), at), 2).quantiles([0.1, 0.9])

    assert np.array_equal(ends(later, [320])[0], ends(y, [320])[0])
    assert np.array_equal(ends(y, [320, 329])[0], ends(y, [320])[0])
    assert np.array_equal(ends(y, [305, 320])[1], ends(y, [320])[0])
    points = model.forecast(Context(Panel.from_array(y), np.array([0]), np.array([320])), 2)[0]
    moved = model.forecast(Context(Panel.from_array(earlier), np.array([0]), np.array([320])), 2)[0]
    assert np.array_equal(points, moved)
    assert not np.array_equal(ends(earlier, [320]), ends(y, [320]))


def test_where_truth_is_missing_for_long_the_latest_quantiles_stay() -> None:
    errors = np.r_[noise(50, 0), np.full(50, np.nan)].reshape(100, 1, 1)
    found, _ = adaptive(errors, np.arange(100), np.array([60, 70, 79, 100]), rate=0.02, warm=10, window=30)
    assert np.isfinite(found).all()
    assert np.array_equal(found[3], found[2])


def test_the_coverage_that_was_reached_is_reported() -> None:
    reached = [ConformalForecaster(MeanForecaster(), method="adaptive").fit(noise(600, i)).coverage_ for i in range(5)]
    assert np.mean([one[0.8] for one in reached]) == pytest.approx(0.8, abs=0.06)
    assert np.mean([one[0.95] for one in reached]) == pytest.approx(0.95, abs=0.04)


def shops(steps: int = 260) -> Panel:
    """Return four shops of two owners; the second owner's sell 5 times as unevenly for their seasonal errors."""
    parts = []
    for i, shop in enumerate("abcd"):
        calm = np.where(np.arange(steps) < steps - 60, 1.0, 1.0 if i < 2 else 5.0)
        days = pd.date_range("2024-01-01", periods=steps)
        parts.append(pd.DataFrame({"shop": shop, "owner": "xy"[i // 2], "day": days, "sales": calm * noise(steps, i)}))
    return Panel.from_frame(pd.concat(parts), group="owner", id="shop", target="sales", season_length=1)


@pytest.mark.parametrize(("method", "by"), [("mondrian", None), ("split", "series"), ("adaptive", None)])
def test_groups_or_series_are_calibrated_apart(method: Any, by: Any) -> None:
    frame = ConformalForecaster(MeanForecaster(), method=method, by=by).fit(shops()).predict(interval=0.8)
    width = (frame["sales_hi80"] - frame["sales_lo80"]).to_numpy()
    assert width[2:].min() > 3 * width[:2].max()
    alike = ConformalForecaster(MeanForecaster(), by=None).fit(shops().without("owner")).predict(interval=0.8)
    assert (alike["sales_hi80"] - alike["sales_lo80"]).max() < 2 * width[:2].max() + width[2:].min() / 2


def test_a_series_that_was_not_fitted_takes_the_errors_of_all() -> None:
    panel, new = shops(), shops().select([3])
    for method in ("mondrian", "adaptive"):
        model = ConformalForecaster(MeanForecaster(), method=method).fit(panel.select([0, 1, 2]))  # type: ignore[arg-type]
        errors = model.calibration_.quantiles(1)
        found = model.distribution(Context.at_end(new), 1)
        unit = np.abs(np.diff(new.values[:, 0])).mean()
        point = new.values[:, 0].mean()
        owner = errors if method == "adaptive" else model.calibration_.of(model.calibration_.series == 2).quantiles(1)
        expected = errors if method == "mondrian" else owner
        assert found.grid().values[0] == pytest.approx(point + unit * expected)


@pytest.mark.parametrize("settings", [{"refit": False}, {"method": "adaptive"}, {"method": "mondrian", "by": "series"}])
def test_a_conformal_forecaster_is_cloned_saved_loaded_and_pickled(tmp_path: Any, settings: Any) -> None:
    model = ConformalForecaster(small("theta"), horizon=2, **settings).fit(wave(300))
    longer = wave(320)
    expected = model.predict(longer, interval=(0.8, 0.95))
    save(model, tmp_path / "model")
    for again in (load(tmp_path / "model"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(again.predict(longer, interval=(0.8, 0.95)), expected)
        assert again.coverage_ == model.coverage_
    fresh = clone(model).set_params(forecaster__season_length=6)
    assert not hasattr(fresh, "calibration_")
    assert fresh.get_params()["forecaster__season_length"] == 6


def test_windows_have_intervals() -> None:
    held = []
    for seed in range(8):
        every = np.lib.stride_tricks.sliding_window_view(noise(400, seed), 14)
        X, y = every[:, :12], every[:, 12:]
        ends = ConformalForecaster(MeanForecaster()).fit(X[:300], y[:300]).predict(X[300:], interval=0.8)
        assert ends.shape == (87, 2, 3)
        held.append(np.mean((ends[..., 1] <= y[300:]) & (y[300:] <= ends[..., 2])))
    assert np.mean(held) == pytest.approx(0.8, abs=0.05)


def test_settings_that_cannot_work_are_refused_in_a_sentence() -> None:
    assert (needed(0.95), needed(0.8), needed(0.99)) == (39, 9, 199)
    with pytest.raises(DataError) as short:
        ConformalForecaster(NaiveForecaster()).fit(wave(60))
    assert str(short.value) == (
        "an interval of 95 % must have 39 residuals of each step: the calibration part has 12; give longer series, or "
        "a larger share as calibration, or use coverage <= 0.84"
    )
    with pytest.raises(DataError, match=r"of series 'c' has 1\d;"):
        ConformalForecaster(NaiveForecaster(), by="series").fit(shops(80).select([2]))
    with pytest.raises(DataError, match="by needs a group column: the data have none; name one when the data are read"):
        ConformalForecaster(NaiveForecaster(), by="group").fit(wave(300))
    with pytest.raises(DataError, match="calibration must hold a whole horizon: takes 3 steps, the horizon is 5"):
        ConformalForecaster(NaiveForecaster(), horizon=5, calibration=3).fit(wave(300))
    with pytest.raises(ParameterError) as wrong:
        ConformalForecaster(NaiveForecaster(horizon=0), method="adaptive", by="group", rate=2, coverage=0).fit(wave())
    assert len(wrong.value.problems) == 4
    with pytest.raises(ParameterError, match=r"forecaster must be a forecaster, such as .*: got 3"):
        ConformalForecaster(3).fit(wave())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have a series and a cutoff each"):
        Calibration(np.zeros((3, 1, 1)), np.zeros(2, dtype=int), np.zeros(3, dtype=int))


class CalibratedOnTheTest(ConformalForecaster):
    """A wrapper that takes the width of its intervals from the rows after the cutoff, and nothing else."""

    def distribution(self, past: Context, horizon: int) -> Any:
        found = super().distribution(past, horizon).grid()
        panel = past._panel
        rows = [panel.series(at)[end : end + horizon, 0] for at, end in zip(past.series, past.rows, strict=True)]
        spread = np.array(
            [np.abs(part - point[:, 0]).max() for part, point in zip(rows, self.forecast(past, horizon), strict=True)]
        )
        points = self.forecast(past, horizon)[..., None]
        return type(found)(points + np.nan_to_num(spread)[:, None, None, None] * np.sign(found.values - points))


@pytest.mark.sample(2)
@pytest.mark.parametrize("method", ["split", "adaptive"])
def test_an_audit_finds_intervals_that_were_calibrated_on_the_test(method: Any) -> None:
    honest = audit(ConformalForecaster(SeasonalNaiveForecaster(), horizon=2, method=method), wave(300), cutoffs=1)
    assert honest.outcome == "passed (fit)"
    report = audit(CalibratedOnTheTest(SeasonalNaiveForecaster(), horizon=2, method=method), wave(300), cutoffs=1)
    assert report.outcome == "LEAK (fit)"
    assert (
        set(report.findings.loc[~report.findings["passed"], "what"]) == {"quantiles"}
        if "what" in report.findings
        else True
    )


def test_networks_have_distributions_of_their_own_by_their_loss_and_errors_are_taken_in_units_of_their_width() -> None:
    points, normal = small("gru"), small("gru").set_params(loss="normal")
    assert (points.learns_distribution, normal.learns_distribution) == (False, True)
    model = ConformalForecaster(normal, refit=False).fit(wave(300))
    past = Context.at_end(Panel.from_array(wave(300)))
    width = np.diff(model.members_[0].distribution(past, 3).quantiles([0.1, 0.9]))[0, :, 0, 0]
    ends = model.predict(interval=0.8)
    low, high = model.calibration_.quantiles(3)[:, 0, [19, 179]].T
    assert ends[:, 1:] == pytest.approx(ends[:, [0]] + np.stack([low, high], axis=1) * width[:, None])


def test_a_conformal_forecaster_is_backtested_as_any_other() -> None:
    rows = backtest(ConformalForecaster(SeasonalNaiveForecaster(), method="adaptive"), wave(330), horizon=3, origins=3)
    plain = backtest(SeasonalNaiveForecaster(), wave(330), horizon=3, origins=3)
    assert rows["forecast"].tolist() == plain["forecast"].tolist()
    assert rows["leak_audit"].unique().tolist() == ["passed (data)"]
