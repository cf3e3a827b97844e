"""Rows that look at their neighbours: windows, filters, fillings and joins that reach across the cutoff."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import savgol_filter

from tests.leakage.gallery.entry import (
    AtCutoffs,
    Floats,
    following,
    least_squares,
    nearest_mean,
    real,
    windows,
)

# Shuffle windows ------------------------------------------------------------------------------------------------


def shuffled_windows(series: Floats, cutoff: int) -> Floats:
    """Four fifths of all windows, drawn at random, train: some begin within the window that is tested."""
    X, Y = windows(series, 8, 8)
    tested = cutoff + 1 - 8
    order = np.random.default_rng(cutoff).permutation(len(X))
    train = order[order != tested][: 4 * len(X) // 5]
    return nearest_mean(X[train], Y[train], X[tested], 3)


def windows_in_order(series: Floats, cutoff: int) -> Floats:
    """Windows train whose targets end at the cutoff."""
    X, Y = windows(series[: cutoff + 1], 8, 8)
    return nearest_mean(X, Y, series[cutoff + 1 - 8 : cutoff + 1], 3)


# Centred rolling mean -------------------------------------------------------------------------------------------


def _with_feature(feature: Floats, series: Floats, cutoff: int) -> Floats:
    """Forecast the next step from the last two values and a feature of the last one's row."""
    X = np.column_stack([series, np.roll(series, 1), feature])[4 : cutoff + 1]
    return least_squares(X[:-1], series[5 : cutoff + 1, None], X[-1])


def centred_mean(series: Floats, cutoff: int) -> Floats:
    """A feature of each row is the mean of it, the two before and the two after."""
    return _with_feature(pd.Series(series).rolling(5, center=True).mean().to_numpy(), series, cutoff)


def trailing_mean(series: Floats, cutoff: int) -> Floats:
    """A feature of each row is the mean of it and the four before."""
    return _with_feature(pd.Series(series).rolling(5).mean().to_numpy(), series, cutoff)


# Off by one -----------------------------------------------------------------------------------------------------


def window_that_ends_at_the_target(series: Floats, cutoff: int) -> Floats:
    """The window ends one step late: its last value is the target."""
    X, Y = windows(series[: cutoff + 1], 12, 1)
    return least_squares(np.hstack([X[:, 1:], Y]), Y, series[cutoff + 2 - 12 : cutoff + 2])


def window_that_ends_before_the_target(series: Floats, cutoff: int) -> Floats:
    """The window ends at the cutoff."""
    X, Y = windows(series[: cutoff + 1], 12, 1)
    return least_squares(X, Y, series[cutoff + 1 - 12 : cutoff + 1])


# Feed true values back ------------------------------------------------------------------------------------------


def true_values_fed_back(series: Floats, cutoff: int) -> Floats:
    """Each of twelve steps is forecast from the true values before it, though they come after the cutoff."""
    X, Y = windows(series[: cutoff + 1], 12, 1)
    later = range(cutoff + 1, cutoff + 13)
    return np.concatenate([least_squares(X, Y, series[at - 12 : at]) for at in later])


def forecasts_fed_back(series: Floats, cutoff: int) -> Floats:
    """Each of twelve steps is forecast from the forecasts before it."""
    X, Y = windows(series[: cutoff + 1], 12, 1)
    known = series[: cutoff + 1]
    for _ in range(12):
        known = np.append(known, least_squares(X, Y, known[-12:]))
    return known[cutoff + 1 :]


# Fill holes from behind -----------------------------------------------------------------------------------------


def elnino_with_holes() -> pd.Series:
    """Return monthly sea temperatures, by date; every fifth quarter is missing."""
    series = pd.Series(real("elnino-monthly", 360), pd.date_range("1981-01-01", periods=360, freq="MS"))
    return series.mask(missing(np.arange(360)))


def missing(month: Any) -> Any:
    """Tell whether a month, counted from January 1981, is one of three in fifteen that are missing."""
    return month // 3 % 5 == 4


def _from_filled(filled: pd.Series, cutoff: Any) -> Floats:
    seen = filled[:cutoff].to_numpy()
    X, Y = windows(seen, 12, 1)
    return least_squares(X, Y, seen[-12:])


def interpolated(series: pd.Series, cutoff: Any) -> Floats:
    """Holes are filled along the line to the next value, which may lie after the cutoff."""
    return _from_filled(series.interpolate(), cutoff)


def filled_from_before(series: pd.Series, cutoff: Any) -> Floats:
    """Holes are filled with the last value before them."""
    return _from_filled(series.ffill(), cutoff)


def _next_month(_: pd.Series, cutoff: pd.Timestamp) -> Floats:
    whole = real("elnino-monthly", 360)
    at = (cutoff.year - 1981) * 12 + cutoff.month - 1
    return whole[at + 1 : at + 2]


# Smooth, then split ---------------------------------------------------------------------------------------------


def _from_smooth(smooth: Floats, seen: Floats) -> Floats:
    """Forecast two years from eleven years, the last of them smoothed."""
    X, Y = windows(seen, 11, 2)
    rough = np.lib.stride_tricks.sliding_window_view(smooth, 11)[: len(X)]
    return least_squares(rough, Y, smooth[-11:])


def smooth_then_split(series: Floats, cutoff: int) -> Floats:
    """The filter of Savitzky and Golay runs over the whole series, so that the last years know the next ones."""
    return _from_smooth(savgol_filter(series, 7, 2)[: cutoff + 1], series[: cutoff + 1])


def split_then_smooth(series: Floats, cutoff: int) -> Floats:
    """Each window is smoothed alone."""
    seen = series[: cutoff + 1]
    X, Y = windows(seen, 11, 2)
    return least_squares(savgol_filter(X, 7, 2, axis=1), Y, savgol_filter(seen[-11:], 7, 2))


# Decompose, then split ------------------------------------------------------------------------------------------


def _decomposed(series: Floats) -> tuple[Floats, Floats]:
    """Return the trend, a centred mean over a year carried on at both ends, and the mean of each month beside it."""
    trend = pd.Series(series).rolling(13, center=True).mean().ffill().bfill().to_numpy()
    return trend, np.array([np.mean((series - trend)[month::12]) for month in range(12)])


def decompose_then_split(series: Floats, cutoff: int) -> Floats:
    """The whole series is decomposed; what is forecast is the remainder, with nothing: trend and season are 'known'."""
    trend, season = _decomposed(series)
    return np.asarray([trend[at] + season[at % 12] for at in range(cutoff + 1, cutoff + 7)])


def split_then_decompose(series: Floats, cutoff: int) -> Floats:
    """What was seen is decomposed, and its last trend goes on."""
    trend, season = _decomposed(series[: cutoff + 1])
    return np.asarray([trend[-1] + season[at % 12] for at in range(cutoff + 1, cutoff + 7)])


# Join the mean of the day to its hours --------------------------------------------------------------------------


def hours() -> pd.DataFrame:
    """Return the load of 60 days, hour by hour; each day has a level of its own."""
    random = np.random.default_rng(6)
    t = np.arange(60 * 24)
    level = np.repeat(5 * random.normal(size=60), 24)
    load = 50 + 8 * np.sin(2 * np.pi * t / 24) + level + 3 * random.normal(size=len(t))
    return pd.DataFrame({"load": load}, index=pd.date_range("2024-01-01", periods=len(t), freq="h"))


def _with_mean_of_day(frame: pd.DataFrame, mean: pd.Series, cutoff: pd.Timestamp) -> Floats:
    """Forecast the next hour from this one, the one a day before it and a mean of the day."""
    table = pd.DataFrame({"now": frame["load"], "before": frame["load"].shift(23), "mean": mean})[:cutoff].dropna()
    target = frame["load"].shift(-1).reindex(table.index).to_numpy()[:-1]
    return least_squares(table.to_numpy()[:-1], target, table.to_numpy()[-1]).reshape(1)


def mean_of_the_day_joined_back(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Each hour has the mean of its day as a feature, with the hours that are still to come."""
    daily = frame["load"].resample("D").mean()
    return _with_mean_of_day(frame, daily.reindex(frame.index, method="ffill"), cutoff)


def mean_of_the_day_so_far(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Each hour has the mean of its day so far."""
    by_day = frame["load"].groupby(frame.index.normalize())
    return _with_mean_of_day(frame, by_day.cumsum() / (by_day.cumcount() + 1), cutoff)


# Weather that was measured later --------------------------------------------------------------------------------


def days() -> pd.DataFrame:
    """Return 200 days of temperature, which strays, and of a load that follows it."""
    random = np.random.default_rng(7)
    temperature = 10 + np.cumsum(2 * random.normal(size=200)) * 0.5
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=200), "temperature": temperature})
    return frame.assign(load=100 - 2 * temperature + random.normal(size=200))


def _with_weather(frame: pd.DataFrame, weather: Floats, cutoff: pd.Timestamp) -> Floats:
    """Forecast the load of the next day from that of this day and `weather` of its row."""
    seen = int((frame["day"] <= cutoff).sum())
    X = np.column_stack([frame["load"], frame["temperature"], weather])[:seen]
    return least_squares(X[:-1], frame["load"].to_numpy()[1:seen], X[-1]).reshape(1)


def weather_as_it_turned_out(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The temperature of the day to forecast is a feature, as it was measured; a forecast of it is what there is."""
    return _with_weather(frame, frame["temperature"].shift(-1).to_numpy(), cutoff)


def weather_of_the_day_before(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The temperature of the day before the cutoff is a feature."""
    return _with_weather(frame, frame["temperature"].shift(1, fill_value=10.0).to_numpy(), cutoff)


def _after(frame: pd.DataFrame, time: pd.Series, cutoff: pd.Timestamp) -> Floats:
    return frame["load"].to_numpy()[np.asarray(time > cutoff)][:1]


ENTRIES = [
    AtCutoffs("shuffled windows", shuffled_windows, windows_in_order, lambda: real("co2-weekly", 520),
              range(320, 508, 5), following(8)),
    AtCutoffs("centred rolling mean", centred_mean, trailing_mean, lambda: real("sunspots-yearly"),
              range(200, 304, 2), following(1)),
    AtCutoffs("window that ends at the target", window_that_ends_at_the_target, window_that_ends_before_the_target,
              lambda: real("elnino-monthly", 360), range(240, 358, 3), following(1)),
    AtCutoffs("true values fed back", true_values_fed_back, forecasts_fed_back, lambda: real("elnino-monthly", 360),
              range(240, 346, 5), following(12)),
    AtCutoffs("interpolate across the cutoff", interpolated, filled_from_before, elnino_with_holes,
              [at for at in pd.date_range("2000-06-01", "2010-11-01", freq="MS")
               if missing((at.year - 1981) * 12 + at.month - 1)], _next_month),
    AtCutoffs("smooth, then split", smooth_then_split, split_then_smooth, lambda: real("sunspots-yearly"),
              range(200, 304, 2), following(2)),
    AtCutoffs("decompose, then split", decompose_then_split, split_then_decompose,
              lambda: real("elnino-monthly", 360), range(240, 350, 4), following(6)),
    AtCutoffs("mean of the day joined to its hours", mean_of_the_day_joined_back, mean_of_the_day_so_far, hours,
              [at for at in pd.date_range("2024-02-10 09:00", "2024-02-28", freq="11h") if at.hour != 23],
              lambda frame, at: _after(frame, frame.index, at)),
    AtCutoffs("weather as it turned out", weather_as_it_turned_out, weather_of_the_day_before, days,
              pd.date_range("2024-05-01", periods=60), lambda frame, at: _after(frame, frame["day"], at)),
]  # fmt: skip
