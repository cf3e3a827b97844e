"""Clean procedures of users' customs: seeds, global generators, orders of rows and dicts, clocks, known futures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge, SGDRegressor
from sklearn.model_selection import KFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from tests.leakage.gallery.clean import Clean, series
from tests.leakage.gallery.entry import Floats, windows
from tests.leakage.gallery.notebooks import DAY, SHOPS, sales_of, shops
from tsforecast import Panel, backtest

SOME_ROWS = (79, 140, 190)
SOME_DAYS = tuple(pd.to_datetime(["2024-03-06", "2024-04-12", "2024-05-14"]))


def _pairs(data: Floats, at: int) -> tuple[Floats, Floats, Floats]:
    X, Y = windows(data[: at + 1], 12, 1)
    return X, Y[:, 0], data[at - 11 : at + 1][None]


def seen(frame: pd.DataFrame, at: pd.Timestamp) -> pd.DataFrame:
    """Return the rows up to a day."""
    return frame[frame["day"] <= at]


# Chance ---------------------------------------------------------------------------------------------------------


def trees_with_a_seed(data: Floats, at: int) -> Floats:
    X, y, last = _pairs(data, at)
    return np.asarray(ExtraTreesRegressor(5, random_state=0).fit(X, y).predict(last))


def descended_with_a_seed(data: Floats, at: int) -> Floats:
    X, y, last = _pairs(data, at)
    return np.asarray(make_pipeline(StandardScaler(), SGDRegressor(random_state=3)).fit(X, y).predict(last))


def bootstrapped_with_a_seed(data: Floats, at: int) -> Floats:
    X, y, last = _pairs(data, at)
    random = np.random.default_rng(1)
    drawn = [random.integers(len(X), size=len(X)) for _ in range(4)]
    return np.quantile([Ridge().fit(X[rows], y[rows]).predict(last) for rows in drawn], [0.1, 0.9])


def global_generator_with_a_seed(data: Floats, at: int) -> Floats:
    np.random.seed(4)  # noqa: NPY002
    return np.asarray(data[at] + np.random.normal(size=5))  # noqa: NPY002


def global_generator(data: Floats, at: int) -> Floats:
    """Draw paths of past steps, without a seed."""
    steps = np.diff(data[: at + 1])
    return np.asarray(data[at] + np.cumsum(np.random.choice(steps, 3)))  # noqa: NPY002


# Order ----------------------------------------------------------------------------------------------------------


def dict_in_any_order(frame: pd.DataFrame, at: pd.Timestamp) -> dict[str, Floats]:
    """Return the last days by shop, the shops in another order each time."""
    order = np.random.default_rng().permutation(SHOPS)
    return {str(shop): seen(frame, at).query("shop == @shop")["sales"].tail(3).to_numpy() for shop in order}


def groups_of_polars(frame: pl.DataFrame, at: pd.Timestamp) -> dict[str, float]:
    """Return means by group, which polars has in any order."""
    groups = frame.filter(pl.col("day") <= at.to_pydatetime()).group_by("shop").agg(pl.col("sales").tail(7).mean())
    return dict(groups.iter_rows())


def newest_first(frame: pd.DataFrame, at: pd.Timestamp) -> pd.Series:
    """Take means of a week, by day, of rows the newest of which comes first."""
    return seen(frame, at)[::-1].groupby("shop")["sales"].apply(lambda sales: sales.tail(7).mean())


def rows_in_any_order(frame: pd.DataFrame, at: pd.Timestamp) -> Floats:
    wide = frame.pivot(index="day", columns="shop", values="sales").sort_index()
    return np.asarray(wide.shift(6).loc[at].to_numpy())


# Clocks ---------------------------------------------------------------------------------------------------------


def by_two_indexes(frame: pd.DataFrame, at: pd.Timestamp) -> pd.DataFrame:
    """Unstack shops from an index of shop and day."""
    return frame["sales"].unstack("shop").rolling(7).mean().loc[:at].tail(2)


def by_period(sales: pd.Series, at: str) -> pd.Series:
    return sales.loc[:at].ewm(halflife=4).mean().tail(3)


def by_local_time(load: pd.Series, at: pd.Timestamp) -> pd.Series:
    """Take the mean of each hour of the day, in a zone that changes to summer time between the hours."""
    past = load[:at]
    return past.groupby(past.index.hour).mean()


def by_number_of_step(frame: pd.DataFrame, at: int) -> pd.Series:
    past = frame[frame["step"] <= at]
    return past.groupby("shop")["sales"].last()


# Known ahead ----------------------------------------------------------------------------------------------------


def offers_known_ahead(frame: pd.DataFrame, at: pd.Timestamp) -> Floats:
    """The offers of the day to forecast are planned: they are not in `columns`."""
    past, later = seen(frame, at), frame[frame["day"] == at + DAY]
    X = np.column_stack([past["offer"], sales_of(past).shift(7).fillna(past["sales"])])
    before = frame.loc[frame["day"] == at - 6 * DAY, "sales"]
    return np.asarray(Ridge().fit(X, past["sales"]).predict(np.column_stack([later["offer"], before])))


def offers_of_a_board(frame: pd.DataFrame, at: pd.Timestamp) -> Floats:
    """A function f(context, horizon, future) on a backtest of what was known, with the planned offers."""

    def raised(context: pd.DataFrame, horizon: int, future: pd.DataFrame) -> dict[str, Floats]:
        last = context.groupby("shop")["sales"].last()
        return {shop: last[shop] + 6 * part["offer"].to_numpy() for shop, part in future.groupby("shop")}

    panel = Panel.from_frame(
        seen(frame, at)[["shop", "day", "sales", "offer"]], id="shop", time="day", target="sales", future="offer"
    )
    return np.asarray(backtest(raised, panel, horizon=2, origins=1, audit=None)["forecast"].to_numpy())


# Limits, codes and files ----------------------------------------------------------------------------------------


def clipped_at_quantiles_so_far(frame: pd.DataFrame, at: pd.Timestamp) -> Floats:
    """Clip each day at the quantiles up to it, over all rows, and cut afterwards."""
    sales = frame.pivot(index="day", columns="shop", values="sales")
    low, high = sales.expanding(14).quantile(0.05), sales.expanding(14).quantile(0.95)
    return np.asarray(sales.clip(low, high).loc[:at].tail(5).to_numpy())


def encoded_within_folds(frame: pd.DataFrame, at: pd.Timestamp) -> Floats:
    """Score a pipeline whose codes are fitted within each fold, in order of time."""
    past = seen(frame, at).sort_values("day", kind="stable")
    X = pd.DataFrame({"shop": past["shop"], "weekday": past["day"].dt.day_of_week.astype(str)})
    model = make_pipeline(TargetEncoder(smooth=1.0, cv=KFold(3)), Ridge())
    return np.asarray(cross_val_score(model, X, past["sales"], cv=TimeSeriesSplit(2)))


def through_a_file(frame: pd.DataFrame, at: pd.Timestamp) -> Floats:
    """Write what was seen to a file, and go on from there: each run writes its own."""
    path = Path(tempfile.gettempdir(), "tsforecast-through-a-file.csv")
    seen(frame, at).to_csv(path, index=False)
    again = pd.read_csv(path)
    return np.asarray(sales_of(again).mean().to_numpy())


def hours() -> pd.Series:
    """Return a load by hour, through the change to summer time in Berlin."""
    index = pd.date_range("2024-03-28", periods=120, freq="h", tz="Europe/Berlin")
    return pd.Series(series()[:120], index)


def _by_day(name: str, procedure: Any, data: Any = shops, told: Any = None) -> Clean:
    return Clean(name, procedure, data, told or {}, cutoffs=SOME_DAYS)


def _by_row(name: str, procedure: Any, unseeded: bool = False) -> Clean:
    return Clean(name, procedure, series, unseeded=unseeded, cutoffs=SOME_ROWS)


CUSTOMS = [
    _by_row("trees with a seed", trees_with_a_seed),
    _by_row("gradient descent with a seed", descended_with_a_seed),
    _by_row("bootstrap with a seed", bootstrapped_with_a_seed),
    _by_row("global generator of numpy with a seed", global_generator_with_a_seed),
    _by_row("global generator of numpy without a seed", global_generator, unseeded=True),
    _by_day("dict in any order", dict_in_any_order),
    _by_day("groups of polars in any order", groups_of_polars, lambda: pl.from_pandas(shops())),
    _by_day("rows with the newest first", newest_first, lambda: shops()[::-1]),
    _by_day("rows in any order", rows_in_any_order, lambda: shops().sample(frac=1, random_state=0)),
    _by_day("index of shop and day", by_two_indexes, lambda: shops().set_index(["shop", "day"])),
    Clean("index of periods", by_period, lambda: pd.Series(series(), pd.period_range("2020-01", periods=200, freq="M")),
          cutoffs=("2024-01", "2030-06", "2036-01")),
    Clean("index of local time", by_local_time, hours,
          cutoffs=tuple(hours().index[[36, 75, 110]])),
    Clean("number of the step", by_number_of_step,
          lambda: shops().assign(step=lambda frame: 1000 + frame.groupby("shop").cumcount())[["shop", "step", "sales"]],
          {"time": "step", "id": "shop"}, cutoffs=(1040, 1090, 1130)),
    _by_day("offers known ahead", offers_known_ahead, told={"columns": ["sales", "visitors", "report"]}),
    _by_day("offers known ahead, on a board", offers_of_a_board, told={"columns": ["sales", "visitors", "report"]}),
    _by_day("clipped at quantiles so far", clipped_at_quantiles_so_far),
    _by_day("codes within folds", encoded_within_folds),
    _by_day("through a file", through_a_file),
]  # fmt: skip
