"""Frames as in notebooks: one long table of shops and days, features in columns, a model at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeRegressor
from statsmodels.tsa.filters.hp_filter import hpfilter

from tests.leakage.gallery.entry import AtCutoffs, Floats
from tsforecast import backtest

DAY = pd.Timedelta(days=1)
DAYS, SHOPS = 140, ("mall", "port", "town")


def shops() -> pd.DataFrame:
    """Return three shops over 140 days: sales, visitors counted at the door, offers known ahead, a monthly report."""
    random, t = np.random.default_rng(12), np.arange(DAYS)
    days = pd.date_range("2024-01-01", periods=DAYS)
    weather = np.convolve(random.normal(size=DAYS + 2), [1.0, 0.7, 0.4], "valid")  # the same for all shops
    level = np.repeat(random.normal(size=DAYS // 20), 20)  # of each twenty days
    parts = []
    for i, shop in enumerate(SHOPS):
        offer = (random.random(DAYS) < 0.2).astype(float)
        mean = 40 + 10 * i + 4 * np.array([0, 0, 1, 1, 2, 4, 3])[t % 7] + 5 * weather + 6 * level + 6 * offer
        sales = mean + 2 * random.normal(size=DAYS)
        visitors = np.where(random.random(DAYS) < 0.4, np.nan, 3 * sales + 4 * random.normal(size=DAYS))
        report = np.where(t % 20 == 19, 40 + 10 * i + 6 * level + random.normal(size=DAYS), np.nan)
        columns = {"shop": shop, "day": days, "sales": sales, "visitors": visitors, "offer": offer, "report": report}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def next_day(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Return the sales of the day after the cutoff, of each shop."""
    return np.asarray(frame.loc[frame["day"] == cutoff + DAY].sort_values("shop")["sales"].to_numpy())


def from_features(frame: pd.DataFrame, features: list[str], cutoff: pd.Timestamp) -> Floats:
    """Forecast the next day of each shop from columns of this one, its sales and those of six days before."""
    by_shop = frame.groupby("shop")["sales"]
    frame = frame.assign(target=by_shop.shift(-1), week=by_shop.shift(6))
    X = frame[["sales", "week", *features]].to_numpy()
    train, now = (frame["day"] < cutoff).to_numpy(), (frame["day"] == cutoff).to_numpy()
    train = train & np.isfinite(X).all(axis=1)
    return np.asarray(LinearRegression().fit(X[train], frame["target"].to_numpy()[train]).predict(X[now]))


def sales_of(frame: pd.DataFrame) -> Any:
    """Return the sales by shop."""
    return frame.groupby("shop")["sales"]


# Windows and shifts ---------------------------------------------------------------------------------------------


def centred_week(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The mean of a week about each day; `min_periods` hides that the last windows are cut."""
    frame["mean"] = sales_of(frame).transform(lambda sales: sales.rolling(7, center=True, min_periods=1).mean())
    return from_features(frame, ["mean"], cutoff)


def trailing_week(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The mean of the week up to each day."""
    frame["mean"] = sales_of(frame).transform(lambda sales: sales.rolling(7, min_periods=1).mean())
    return from_features(frame, ["mean"], cutoff)


def visitors_of_tomorrow(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The visitors of the day to forecast, by `shift(-1)`."""
    frame["tomorrow"] = frame["visitors"].ffill().groupby(frame["shop"]).shift(-1)
    return from_features(frame, ["tomorrow"], cutoff)


def visitors_of_today(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The visitors of the day of the cutoff."""
    frame["today"] = frame.groupby("shop")["visitors"].ffill().fillna(100.0)
    return from_features(frame, ["today"], cutoff)


def up_or_down_tomorrow(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """A flag: whether sales rise on the day to forecast. Only the direction comes through, no number."""
    frame["up"] = np.where(sales_of(frame).shift(-1) > frame["sales"], 1.0, 0.0)
    return from_features(frame, ["up"], cutoff)


def up_or_down_today(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """A flag: whether sales rose on the day of the cutoff."""
    frame["up"] = np.where(frame["sales"] > sales_of(frame).shift(1), 1.0, 0.0)
    return from_features(frame, ["up"], cutoff)


def lag_of_the_row_above(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Rows are sorted by day, and the lag is that of the row above: the shop before, on the same day."""
    frame = frame.sort_values(["day", "shop"])
    frame["lag"] = frame["sales"].shift(1)
    return _with_lag(frame, cutoff)


def lag_of_the_shop(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The lag is that of the day before, of the same shop."""
    frame["lag"] = sales_of(frame).shift(1)
    return _with_lag(frame, cutoff)


def _with_lag(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Forecast the rows of the next day from their lag and weekday, each shop by itself."""
    said = []
    for _, part in frame.groupby("shop"):
        X = np.column_stack([part["lag"], pd.get_dummies(part["day"].dt.day_of_week, dtype=float)])
        train = (part["day"] <= cutoff).to_numpy() & np.isfinite(X).all(axis=1)
        model = Ridge(0.1).fit(X[train], part["sales"].to_numpy()[train])
        said.append(model.predict(X[(part["day"] == cutoff + DAY).to_numpy()])[0])
    return np.array(said)


def lags_that_begin_in_the_shop_above(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Rows are sorted by shop: the first lags of a shop are the last days of the one above, which lie ahead."""
    frame["lag"] = frame["sales"].shift(7)
    return from_features(frame, ["lag"], cutoff)


def lags_within_the_shop(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Lags of each shop; its first days have none."""
    frame["lag"] = sales_of(frame).shift(7)
    return from_features(frame, ["lag"], cutoff)


# Fills and joins ------------------------------------------------------------------------------------------------


def visitors_filled_backwards(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Days without a count get the next one, which may lie ahead."""
    frame["count"] = frame.groupby("shop")["visitors"].bfill().ffill()
    return from_features(frame, ["count"], cutoff)


def visitors_filled_forwards(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Days without a count keep the last one."""
    frame["count"] = frame.groupby("shop")["visitors"].ffill().fillna(100.0)
    return from_features(frame, ["count"], cutoff)


def _joined(frame: pd.DataFrame, direction: Any) -> pd.DataFrame:
    reports = frame[["shop", "day", "report"]].dropna().sort_values("day")
    days = frame.drop(columns="report").sort_values("day")
    return pd.merge_asof(days, reports, on="day", by="shop", direction=direction).sort_values(["shop", "day"])


def report_of_the_running_month(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """`merge_asof(direction="forward")`: each day gets the report that is to come."""
    return from_features(_joined(frame, "forward"), ["report"], cutoff)


def report_of_the_last_month(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """`merge_asof` backwards: each day gets the last report."""
    return from_features(_joined(frame, "backward"), ["report"], cutoff)


# Filters --------------------------------------------------------------------------------------------------------


def _by_trend(frame: pd.DataFrame, smooth: Callable[[Floats], Floats], cutoff: pd.Timestamp) -> Floats:
    """Forecast from the trend of each shop, of all rows that are given."""
    frame["trend"] = sales_of(frame).transform(lambda sales: smooth(sales.to_numpy()))
    return from_features(frame, ["trend"], cutoff)


def hodrick_prescott(sales: Floats) -> Floats:
    """Return the trend of Hodrick and Prescott."""
    return np.asarray(hpfilter(sales, lamb=10.0)[1])


def haar(sales: Floats, levels: int = 3) -> Floats:
    """Shrink the details of Haar wavelets by the universal threshold of their own spread."""
    if levels == 0 or len(sales) < 2:
        return sales
    even = np.append(sales, sales[-1:]) if len(sales) % 2 else sales
    rough, detail = (even[::2] + even[1::2]) / np.sqrt(2), (even[::2] - even[1::2]) / np.sqrt(2)
    limit = np.median(np.abs(detail)) / 0.6745 * np.sqrt(2 * np.log(len(sales)))
    rough, detail = haar(rough, levels - 1), np.sign(detail) * np.maximum(np.abs(detail) - limit, 0.0)
    return np.stack([rough + detail, rough - detail], axis=1).ravel()[: len(sales)] / np.sqrt(2)


def trend_of_all_days(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The filter of Hodrick and Prescott runs over all days, so that the last trend bends towards the next ones."""
    return _by_trend(frame, hodrick_prescott, cutoff)


def trend_so_far(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The filter runs up to the cutoff."""
    return _by_trend(frame[frame["day"] <= cutoff].copy(), hodrick_prescott, cutoff)


def wavelets_of_all_days(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Wavelets take the noise from all days: a block of eight reaches across the cutoff."""
    return _by_trend(frame, haar, cutoff)


def wavelets_so_far(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Wavelets take the noise from the days up to the cutoff."""
    return _by_trend(frame[frame["day"] <= cutoff].copy(), haar, cutoff)


# Rows that go, and limits ---------------------------------------------------------------------------------------


def _recent_mean(seen: pd.DataFrame) -> Floats:
    """Forecast the mean of the last days of each shop."""
    return np.asarray(sales_of(seen).apply(lambda sales: sales.tail(5).mean()).to_numpy())


def outliers_dropped_of_all_days(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Days further than 1.2 deviations from the mean of all days are dropped before anything else."""
    z = sales_of(frame).transform(lambda sales: (sales - sales.mean()) / sales.std())
    return _recent_mean(frame[(z.abs() < 1.2) & (frame["day"] <= cutoff)])


def outliers_dropped_so_far(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Mean and deviation are those of the days up to the cutoff."""
    seen = frame[frame["day"] <= cutoff]
    z = sales_of(seen).transform(lambda sales: (sales - sales.mean()) / sales.std())
    return _recent_mean(seen[z.abs() < 1.2])


def climbing() -> pd.DataFrame:
    """Return a series by day that climbs, and levels off about the cutoffs."""
    random, t = np.random.default_rng(3), np.arange(160)
    level = 100 / (1 + np.exp(-(t - 100) / 16)) + np.convolve(random.normal(size=162), [1, 1, 1], "valid")
    return pd.DataFrame({"day": pd.date_range("2024-01-01", periods=160), "load": level})


def _clipped_line(frame: pd.DataFrame, limits: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Carry the line through the last two weeks on for two more, within the limits."""
    load = frame.loc[frame["day"] <= cutoff, "load"].to_numpy()[-14:]
    slope, start = np.polyfit(np.arange(14), load, 1)
    low, high = limits["load"].quantile([0.02, 0.9])
    return np.asarray(np.clip(start + slope * np.arange(14, 28), low, high))


def clipped_at_quantiles_of_all_days(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Forecasts end at the quantiles of all days, as if it were known where the series levels off."""
    return _clipped_line(frame, frame, cutoff)


def clipped_at_quantiles_so_far(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Forecasts end at the quantiles of the days up to the cutoff."""
    return _clipped_line(frame, frame[frame["day"] <= cutoff], cutoff)


# Models ---------------------------------------------------------------------------------------------------------


def _coded(frame: pd.DataFrame, learn: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Forecast by a pipeline whose codes of shop and weekday, and of the day, are learned from some rows."""
    columns, day = ["weekday", "of year"], frame["day"].dt
    frame[columns[0]] = frame["shop"] + day.day_of_week.astype(str)
    frame[columns[1]] = day.day_of_year.astype(str)
    learn = frame.loc[learn.index]
    encoder = TargetEncoder(smooth=0.5).fit(learn[columns], learn["sales"])
    train, later = frame[frame["day"] <= cutoff], frame[frame["day"] == cutoff + DAY].sort_values("shop")
    model = make_pipeline(StandardScaler(), Ridge()).fit(encoder.transform(train[columns]), train["sales"])
    return np.asarray(model.predict(encoder.transform(later[columns])))


def target_encoder_of_all_days(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """`TargetEncoder` is fitted before the split: the code of a day is the mean of its sales."""
    return _coded(frame, frame, cutoff)


def target_encoder_so_far(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """`TargetEncoder` is fitted on the days up to the cutoff; a new day has the mean of all."""
    return _coded(frame, frame[frame["day"] <= cutoff], cutoff)


class Profile:
    """The mean of the last weeks of each shop on each weekday: an object with fit and predict."""

    def fit(self, frame: pd.DataFrame) -> Self:
        """Learn the means."""
        recent = frame[frame["day"] > frame["day"].max() - 14 * DAY]
        self.means = recent.groupby(["shop", recent["day"].dt.day_of_week])["sales"].mean()
        return self

    def predict(self, day: pd.Timestamp) -> Floats:
        """Forecast each shop on a day."""
        return np.array([self.means[shop, day.weekday()] for shop in SHOPS])


def _by_tree(frame: pd.DataFrame, train: NDArray[np.bool_], cutoff: pd.Timestamp) -> Floats:
    """Forecast the change since a week ago by a tree that splits days, the same for all shops."""
    before = sales_of(frame).shift(7).to_numpy()
    X = frame[["day"]].assign(day=frame["day"].dt.day_of_year).to_numpy()
    train, later = train & ~np.isnan(before), (frame["day"] == cutoff + DAY).to_numpy()
    tree = DecisionTreeRegressor(min_samples_leaf=2, random_state=0)
    tree.fit(X[train], (frame["sales"].to_numpy() - before)[train])
    return np.asarray(before[later] + tree.predict(X[later]))


def split_by_row_number(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The first rows train, as many as are not later than the cutoff: of a frame sorted by shop, whole shops."""
    rows = int((frame["day"] <= cutoff).sum())
    return _by_tree(frame, np.arange(len(frame)) < rows, cutoff)


def split_by_date(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Rows up to the cutoff train."""
    return _by_tree(frame, (frame["day"] <= cutoff).to_numpy(), cutoff)


def fitted_by_date(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """Rows up to the cutoff are for training."""
    return Profile().fit(frame[frame["day"] <= cutoff]).predict(cutoff + DAY)


def fitted_up_to_the_end_of_the_test(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The object was fitted in a cell above, on all that comes before the end of the tested week."""
    return Profile().fit(frame[frame["day"] <= cutoff + 7 * DAY]).predict(cutoff + DAY)


def level_from_outside_a_function(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """A function for a board, f(context, horizon), reads the mean of the running week from a variable of all rows."""
    return _on_a_board(frame, frame.groupby(["shop", frame["day"].dt.day_of_year // 7])["sales"].mean(), cutoff)


def level_of_the_context(frame: pd.DataFrame, cutoff: pd.Timestamp) -> Floats:
    """The function computes the mean of the last week from its context."""
    return _on_a_board(frame, None, cutoff)


def _on_a_board(frame: pd.DataFrame, level: Any, cutoff: pd.Timestamp) -> Floats:
    """Return the forecasts of the day of the cutoff, made on the day before: they are known at the cutoff."""

    def of_the_week(context: pd.DataFrame, horizon: int) -> dict[str, Floats]:
        day = context["day"].max() + DAY
        recent = context[context["day"] >= day - 7 * DAY].groupby("shop")["sales"].mean()
        return {shop: np.repeat(recent[shop] if level is None else level[shop, day.day_of_year // 7], horizon)
                for shop in SHOPS}  # fmt: skip

    known = frame.loc[frame["day"] <= cutoff, ["shop", "day", "sales"]]
    rows = backtest(of_the_week, known, horizon=1, origins=1, audit=None)
    return np.asarray(rows.sort_values("series")["forecast"].to_numpy())


CUTOFFS = pd.date_range("2024-03-06", "2024-05-14", freq="3D")
# Some mistakes reach across some cutoffs only: where a count is missing, within a month of reports, within a week.
UNCOUNTED = [at for at in CUTOFFS if shops().query("day == @at")["visitors"].isna().any()]
WITHIN_A_MONTH = [at for at in CUTOFFS if (at.day_of_year - 1) % 20 != 19]
WITHIN_A_WEEK = [at for at in CUTOFFS if at.day_of_year % 7 != 6]


def _entry(name: str, leaky: Any, honest: Any) -> AtCutoffs:
    return AtCutoffs(name, leaky, honest, shops, CUTOFFS, next_day)


ENTRIES = [
    _entry("centred window with min_periods", centred_week, trailing_week),
    _entry("visitors of tomorrow by shift(-1)", visitors_of_tomorrow, visitors_of_today),
    _entry("up or down tomorrow, as a flag", up_or_down_tomorrow, up_or_down_today),
    _entry("lag of the row above", lag_of_the_row_above, lag_of_the_shop),
    _entry("lags that begin in the shop above", lags_that_begin_in_the_shop_above, lags_within_the_shop),
    AtCutoffs("gaps filled by bfill", visitors_filled_backwards, visitors_filled_forwards, shops, UNCOUNTED, next_day),
    AtCutoffs("report joined by a forward merge_asof", report_of_the_running_month, report_of_the_last_month, shops,
              WITHIN_A_MONTH, next_day),
    _entry("HP filter over all days", trend_of_all_days, trend_so_far),
    _entry("wavelets over all days", wavelets_of_all_days, wavelets_so_far),
    _entry("outliers dropped by the spread of all days", outliers_dropped_of_all_days, outliers_dropped_so_far),
    AtCutoffs("clipped at quantiles of all days", clipped_at_quantiles_of_all_days, clipped_at_quantiles_so_far,
              climbing, pd.date_range("2024-03-20", "2024-05-20", freq="2D"),
              lambda frame, at: frame.loc[frame["day"] > at, "load"].to_numpy()[:14]),
    _entry("TargetEncoder fitted before the split", target_encoder_of_all_days, target_encoder_so_far),
    _entry("cutoff by row number", split_by_row_number, split_by_date),
    _entry("object fitted up to the end of the test", fitted_up_to_the_end_of_the_test, fitted_by_date),
    AtCutoffs("variable of all rows in a function on a board", level_from_outside_a_function, level_of_the_context,
              shops, WITHIN_A_WEEK, lambda frame, at: next_day(frame, at - DAY)),
]  # fmt: skip
