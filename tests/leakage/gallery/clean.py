"""Clean procedures in users' styles: none uses what must not be seen, though its numbers may differ between runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import scipy.fft
import scipy.signal
from sklearn.cluster import KMeans
from sklearn.ensemble import BaggingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge, SGDRegressor
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_validate, train_test_split
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from statsmodels.tsa.holtwinters import ExponentialSmoothing

import tsforecast
from tests.leakage.gallery.entry import Floats, least_squares, windows
from tsforecast import AuditReport

STEPS, CUTOFF, LAGS = 200, 159, 12
Procedure = Callable[..., Any]


@dataclass(frozen=True)
class Clean:
    """A procedure of the data that is audited at one cutoff, or one of data and cutoff that is audited at several."""

    name: str
    procedure: Procedure
    data: Callable[[], Any]
    told: Mapping[str, Any] = field(default_factory=dict)  # arguments of the audit
    unseeded: bool = False  # whether equal runs differ by more than rounding
    threads: bool = False  # whether they may differ by rounding
    cutoffs: Sequence[Any] = ()  # that the procedure is called with

    @property
    def cases(self) -> list[Clean]:
        """The procedure at each of its cutoffs."""
        return [self.at(cutoff) for cutoff in self.cutoffs] or [self]

    def at(self, cutoff: Any) -> Clean:
        """Return the procedure at a cutoff that it is called with."""
        given = partial(_called_at, self.procedure, cutoff)
        return replace(self, procedure=given, told={**self.told, "cutoff": cutoff}, cutoffs=())

    def audit(self, **more: Any) -> AuditReport:
        """Audit it once."""
        told = {"procedure": self.procedure, "data": self.data(), "cutoff": CUTOFF, **self.told, **more}
        return tsforecast.audit_procedure(**told)


def _called_at(procedure: Procedure, cutoff: Any, data: Any) -> Any:
    return procedure(data, cutoff)


def series() -> Floats:
    """Return a season of twelve steps, a trend and noise."""
    t, random = np.arange(STEPS), np.random.default_rng(3)
    return np.asarray(100 + 0.1 * t + 10 * np.sin(2 * np.pi * t / 12) + random.normal(size=STEPS))


def days() -> pd.DataFrame:
    """Return the series with dates."""
    return pd.DataFrame({"day": pd.date_range("2024-01-01", periods=STEPS), "y": series()})


def weeks() -> pd.DataFrame:
    """Return three shops one below the other, with the number of the week."""
    parts = [
        pd.DataFrame({"shop": name, "week": np.arange(60), "y": series()[:60] + i}) for i, name in enumerate("abc")
    ]
    return pd.concat(parts, ignore_index=True)


def users() -> pd.DataFrame:
    """Return two recordings of each of four users."""
    parts = [
        pd.DataFrame({"id": f"{u}{i}", "user": u, "y": series()[i : i + 40] * ord(u)}) for u in "abcd" for i in (0, 1)
    ]
    return pd.concat(parts, ignore_index=True)


LAST_DAY = "2024-06-08"  # row CUTOFF
SEEN = slice(None, CUTOFF + 1)


def known(data: Floats) -> tuple[Floats, Floats, Floats]:
    """Return windows and the step after each up to the cutoff, and the last window."""
    X, Y = windows(data[SEEN], LAGS, 1)
    return X, Y[:, 0], data[SEEN][-LAGS:]


def _fitted(model: Any, data: Floats) -> Floats:
    X, y, last = known(data)
    return np.asarray(model.fit(X, y).predict(last[None]))


# Rounding -------------------------------------------------------------------------------------------------------


def forest_on_two_threads(data: Floats) -> Floats:
    X, y, _ = known(data)
    return np.asarray(RandomForestRegressor(20, n_jobs=2, random_state=0).fit(X, y).predict(X))


def filtered_by_fft(data: Floats) -> Floats:
    """Multiply spectra of all rows, padded, by that of a kernel of past steps; cut afterwards."""
    size, kernel = 2 * len(data), 0.8 ** np.arange(30)
    smooth = np.fft.irfft(np.fft.rfft(data, size) * np.fft.rfft(kernel / kernel.sum(), size), size)
    return np.asarray(smooth[30 : CUTOFF + 1])


def filtered_by_scipy(data: Floats) -> Floats:
    smooth = scipy.signal.fftconvolve(data, np.full(7, 1 / 7))[: len(data)][SEEN]
    return least_squares(*windows(smooth, LAGS, 1), smooth[-LAGS:])


def filtered_in_single_precision(data: Floats) -> Floats:
    size, kernel = 2 * len(data), np.full(7, 1 / 7, dtype=np.float32)
    spectrum = scipy.fft.rfft(data.astype(np.float32), size) * scipy.fft.rfft(kernel, size)
    return np.asarray(scipy.fft.irfft(spectrum, size)[7 : CUTOFF + 1], dtype=np.float64)


def share_of_the_planned_length(data: Floats) -> Floats:
    share = np.arange(CUTOFF + 2) / len(data)
    X = np.stack([share, share**2], axis=1)
    return least_squares(X[:-1], data[SEEN], X[-1]).reshape(1)


def total_less_the_rest(data: Floats) -> Floats:
    """Take the sum up to each row as the sum of all rows without those after it."""
    after = np.cumsum(data[::-1])[::-1] - data
    return np.asarray((after[0] + data[0] - after)[SEEN] / np.arange(1, CUTOFF + 2))


def summed_as_threads_end(data: Floats) -> float:
    with ThreadPoolExecutor(4) as pool:
        parts = [pool.submit(np.sum, np.sin(data[i : CUTOFF + 1 : 8])) for i in range(8)]
        return float(sum(part.result() for part in as_completed(parts)))


# Zeros times numbers --------------------------------------------------------------------------------------------


def masked(data: Floats) -> float:
    mask = (np.arange(len(data)) <= CUTOFF).astype(float)
    return float((data * mask).sum() / mask.sum())


def weights_of_zero(data: Floats) -> Floats:
    X, Y = windows(data, LAGS, 1)
    weights = (np.arange(len(X)) + LAGS <= CUTOFF).astype(float)
    return np.asarray(Ridge().fit(X, Y[:, 0], weights).predict(data[SEEN][-LAGS:][None]))


# Numbers of rows ------------------------------------------------------------------------------------------------


def first_four_fifths(data: Floats) -> Floats:
    seen = data[: int(0.8 * len(data))]
    return least_squares(*windows(seen, LAGS, 1), seen[-LAGS:])


# Causal features of all rows, cut afterwards --------------------------------------------------------------------


def lags_by_shift(frame: pd.DataFrame) -> Floats:
    for lag in (1, 2, 7):
        frame[f"lag {lag}"] = frame["y"].shift(lag)
    train = frame[frame["day"] <= LAST_DAY].dropna()
    X = train[["lag 1", "lag 2", "lag 7"]].to_numpy()
    return np.asarray(make_pipeline(StandardScaler(), Ridge()).fit(X, train["y"]).predict(X[-1:]))


def trailing_means(frame: pd.DataFrame) -> pd.DataFrame:
    frame["week"], frame["so far"] = frame["y"].rolling(7).mean(), frame["y"].expanding().mean()
    frame["fading"] = frame["y"].ewm(span=9).mean()
    return frame.loc[frame["day"] <= LAST_DAY, ["week", "so far", "fading"]].dropna()


def recursive_filter(data: Floats) -> Floats:
    b, a = scipy.signal.butter(2, 0.2)
    return np.asarray(scipy.signal.lfilter(b, a, data)[SEEN])


def difference_of_sums(data: Floats) -> Floats:
    total = np.cumsum(data)
    return np.asarray((total[LAGS:] - total[:-LAGS])[: CUTOFF + 1 - LAGS] / LAGS)


def by_polars(frame: pl.DataFrame) -> Floats:
    wide = frame.with_columns(pl.col("y").rolling_mean(4).over("shop").alias("mean"))
    return np.asarray(wide.filter(pl.col("week") <= 45)["mean"].drop_nulls().to_numpy())


def by_week(frame: pd.DataFrame) -> pd.Series:
    return frame[frame["week"] <= 45].groupby("shop")["y"].mean()


def week_by_week(frame: pd.DataFrame) -> list[float]:
    table = frame.pivot(index="week", columns="shop", values="y")
    return [float(table.loc[:45, shop].tail(4).mean()) for shop in table]


def waves_of_the_calendar(frame: pd.DataFrame) -> Floats:
    angle = 2 * np.pi * frame["day"].dt.day_of_year.to_numpy() / 365
    X = np.stack([np.sin(angle), np.cos(angle), np.arange(len(frame))], axis=1)
    return least_squares(X[SEEN], frame["y"].to_numpy()[SEEN], X[CUTOFF + 1])


# Fitted on the rows that were seen ------------------------------------------------------------------------------


def holt_winters(data: Floats) -> Floats:
    model = ExponentialSmoothing(data[SEEN], trend="add", seasonal="add", seasonal_periods=12)
    return np.asarray(model.fit().forecast(12))


def cross_validated(data: Floats) -> Any:
    X, y, _ = known(data)
    return cross_validate(Ridge(), X, y, cv=TimeSeriesSplit(4), scoring="neg_mean_absolute_error")


def searched(data: Floats) -> Floats:
    return _fitted(GridSearchCV(KNeighborsRegressor(), {"n_neighbors": [1, 3, 9]}, cv=TimeSeriesSplit(3)), data)


def boosted(data: Floats) -> Floats:
    return _fitted(HistGradientBoostingRegressor(max_iter=20, early_stopping=False), data)


def others_on_the_watch(frame: pd.DataFrame) -> float:
    return float(frame.loc[frame["user"] != "a", "y"].mean() + frame.loc[frame["id"] == "a0", "y"].iloc[:20].mean())


# Without a seed -------------------------------------------------------------------------------------------------


def random_setting(data: Floats) -> Floats:
    window = int(np.random.default_rng().choice([6, 12, 18, 24]))
    return least_squares(*windows(data[SEEN], window, 1), data[SEEN][-window:])


def rarely_another_setting(data: Floats) -> Floats:
    window = 24 if np.random.default_rng().random() < 0.15 else 12
    return least_squares(*windows(data[SEEN], window, 1), data[SEEN][-window:])


def random_columns(data: Floats) -> Floats:
    X, y, last = known(data)
    columns = np.random.default_rng().choice(LAGS, 6, replace=False)
    return least_squares(X[:, columns], y, last[columns]).reshape(1)


def random_search(data: Floats) -> dict[str, float]:
    """Return the best of a few settings at random, which is often the same, and its error."""
    X, y, _ = known(data)
    random, found = np.random.default_rng(), []
    for k in random.choice(30, 4, replace=False) + 1:
        model = KNeighborsRegressor(int(k)).fit(X[:100], y[:100])
        found.append((float(np.abs(model.predict(X[100:]) - y[100:]).mean()), float(k)))
    return dict(zip(("mae", "k"), min(found), strict=True))


def bagged(data: Floats) -> Floats:
    return _fitted(BaggingRegressor(Ridge(), 5), data)


def descended(data: Floats) -> Floats:
    return _fitted(make_pipeline(StandardScaler(), SGDRegressor(max_iter=200)), data)


def split_at_random(data: Floats) -> Floats:
    """Choose the number of neighbours on a random part of the windows before the cutoff."""
    X, y, last = known(data)
    one, other, y_one, y_other = train_test_split(X, y, test_size=0.3)
    models = [KNeighborsRegressor(k).fit(one, y_one) for k in (1, 2, 4, 8)]
    best = min(models, key=lambda model: float(np.abs(model.predict(other) - y_other).mean()))
    return np.asarray(best.predict(last[None]))


def clustered(data: Floats) -> Floats:
    """Return the centre that is nearest to the last window."""
    X, _, last = known(data)
    centres = KMeans(4, n_init=1).fit(X).cluster_centers_
    return np.asarray(centres[np.argmin(((centres - last) ** 2).sum(axis=1))])


def dithered(data: Floats) -> Floats:
    return np.asarray(data[SEEN][-12:] + np.random.default_rng().normal(size=12))


def heavy_tails(data: Floats) -> Floats:
    return np.asarray(data[SEEN][-12:] + np.random.default_rng().standard_cauchy(size=12))


CALLS = count()


def with_its_number_and_time(data: Floats) -> dict[str, float]:
    began = time.perf_counter()
    mean = float(data[SEEN].mean())
    return {"mean": mean, "call": float(next(CALLS)), "fit_seconds": time.perf_counter() - began}


CLEAN = [
    Clean("seeded forest on two threads", forest_on_two_threads, series, threads=True),
    Clean("causal filter by FFT over all rows", filtered_by_fft, series),
    Clean("scipy.signal.fftconvolve over all rows", filtered_by_scipy, series),
    Clean("FFT in single precision over all rows", filtered_in_single_precision, series),
    Clean("share of the planned length", share_of_the_planned_length, series),
    Clean("sum of all rows less the later ones", total_less_the_rest, series),
    Clean("sum in the order in which threads end", summed_as_threads_end, series, threads=True),
    Clean("zeros for later rows times numbers", masked, series),
    Clean("weights of zero for later rows", weights_of_zero, series),
    Clean("four fifths of a planned number of rows", first_four_fifths, series, {"planned_length": True}),
    Clean("lags by shift", lags_by_shift, days, {"cutoff": LAST_DAY}),
    Clean("trailing, expanding and fading means", trailing_means, days, {"cutoff": LAST_DAY}),
    Clean("recursive filter over all rows", recursive_filter, series),
    Clean("differences of running sums", difference_of_sums, series),
    Clean("weeks of a panel in polars", by_polars, lambda: pl.from_pandas(weeks()), {"cutoff": 45, "time": "week"}),
    Clean("weeks of a panel in pandas", by_week, weeks, {"cutoff": 45, "time": "week", "id": "shop"}),
    Clean("weeks of a panel as a wide table", week_by_week,
          lambda: weeks().sort_values(["week", "shop"], ignore_index=True), {"cutoff": 45, "time": "week"}),
    Clean("waves of the calendar", waves_of_the_calendar, days, {"cutoff": LAST_DAY}),
    Clean("Holt and Winters on the rows seen", holt_winters, series),
    Clean("cross-validation in order of time", cross_validated, series),
    Clean("grid search in order of time", searched, series),
    Clean("gradient boosting on all threads", boosted, series, threads=True),
    Clean("people on one side", others_on_the_watch, users,
          {"cutoff": 19, "tested": "a0", "id": "id", "group": "user"}),
    Clean("setting at random", random_setting, series, unseeded=True),
    Clean("another setting once in a while", rarely_another_setting, series, unseeded=True),
    Clean("columns at random", random_columns, series, unseeded=True),
    Clean("random search", random_search, series, unseeded=True),
    Clean("bootstrap without a seed", bagged, series, unseeded=True),
    Clean("gradient descent without a seed", descended, series, unseeded=True),
    Clean("validation part at random", split_at_random, series, unseeded=True),
    Clean("clusters from random centres", clustered, series, unseeded=True),
    Clean("normal noise", dithered, series, unseeded=True),
    Clean("noise with heavy tails", heavy_tails, series, unseeded=True),
    Clean("a count of calls and a duration", with_its_number_and_time, series, unseeded=True),
]  # fmt: skip
