"""Statistics of all rows: scales, means, codes, columns and components that know the test part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge

from tests.leakage.gallery.entry import AtCutoffs, Floats, following, least_squares, real, windows

# Scale, then split ----------------------------------------------------------------------------------------------


def scaled_by(part: Floats, seen: Floats) -> Floats:
    """Forecast 26 weeks with an output between 0 and 1, as a sigmoid gives it, of values scaled by `part`."""
    low, high = part.min(), part.max()
    scaled = np.clip((seen - low) / (high - low), 0.01, 0.99)
    X, Y = windows(np.log(scaled / (1 - scaled)), 52, 26)
    said = least_squares(X[::4], Y[::4], np.log(scaled / (1 - scaled))[-52:])
    return np.asarray(low + (high - low) / (1 + np.exp(-said)))


def scale_then_split(series: Floats, cutoff: int) -> Floats:
    """Minimum and maximum are those of all rows: the scale tells how high the series is going to climb."""
    return scaled_by(series, series[: cutoff + 1])


def split_then_scale(series: Floats, cutoff: int) -> Floats:
    """Minimum and maximum of the rows that were seen."""
    return scaled_by(series[: cutoff + 1], series[: cutoff + 1])


# Statistics of each series as features --------------------------------------------------------------------------


def sensors() -> list[Floats]:
    """Return 60 sensors that each stray about a level of their own, 30 steps each."""
    random = np.random.default_rng(4)
    return [level + random.normal(size=30) for level in 3 * random.normal(size=60)]


def _by_level(levels: list[Floats], seen: list[Floats]) -> Floats:
    """Forecast the next step of each series from its last three values and its level at that step."""
    pairs = list(zip(seen, levels, strict=True))
    X = [[*part[i - 3 : i], level[i - 1]] for part, level in pairs for i in range(3, len(part))]
    model = Ridge().fit(X, np.concatenate([part[3:] for part in seen]))
    return np.asarray(model.predict([[*part[-3:], level[-1]] for part, level in pairs]))


def mean_of_the_whole_series(series: list[Floats], cutoff: int) -> Floats:
    """The mean of each series, a feature, is taken over all its rows, those to forecast among them."""
    seen = [part[: cutoff + 1] for part in series]
    return _by_level([np.full(len(part), whole.mean()) for part, whole in zip(seen, series, strict=True)], seen)


def mean_so_far(series: list[Floats], cutoff: int) -> Floats:
    """The mean of each series up to each step."""
    seen = [part[: cutoff + 1] for part in series]
    return _by_level([np.cumsum(part) / np.arange(1, len(part) + 1) for part in seen], seen)


# Impute by the mean ---------------------------------------------------------------------------------------------


def holes() -> Floats:
    """Return two thirds of the carbon dioxide of ten years; the other weeks are missing."""
    series = real("co2-weekly", 520)
    series[np.random.default_rng(1).random(520) < 1 / 3] = np.nan
    return series


def _from_imputed(seen: Floats, imputer: SimpleImputer) -> Floats:
    X, Y = windows(imputer.transform(seen[:, None])[:, 0], 8, 1)
    return np.asarray(Ridge().fit(X, Y).predict(np.append(X[-1, 1:], Y[-1])[None])).ravel()


def impute_by_the_mean_of_all(series: Floats, cutoff: int) -> Floats:
    """What is missing becomes the mean of all rows, which lies higher the more the series climbs later."""
    return _from_imputed(series[: cutoff + 1], SimpleImputer().fit(series[:, None]))


def impute_by_the_mean_seen(series: Floats, cutoff: int) -> Floats:
    """What is missing becomes the mean of the rows that were seen."""
    return _from_imputed(series[: cutoff + 1], SimpleImputer().fit(series[: cutoff + 1, None]))


# Choose columns -------------------------------------------------------------------------------------------------


def noise() -> Floats:
    """Return 120 steps of a target, column 0, and 300 columns that have nothing to do with it."""
    return np.random.default_rng(2).normal(size=(120, 301))


def _with_best_columns(table: Floats, rows: int, cutoff: int) -> Floats:
    """Forecast the next target from the five columns that went before it best in the first `rows`."""
    X, y = table[:-1, 1:], table[1:, 0]  # each row comes before the target
    tightness = [abs(np.corrcoef(X[: rows - 1, i], y[: rows - 1])[0, 1]) for i in range(X.shape[1])]
    best = np.argsort(tightness)[-5:]
    return np.asarray(least_squares(X[:cutoff, best], y[:cutoff], table[cutoff, 1:][best])).ravel()


def columns_chosen_on_all_rows(table: Floats, cutoff: int) -> Floats:
    """The columns are chosen once, by their correlation with the target in all rows."""
    return _with_best_columns(table, len(table), cutoff)


def columns_chosen_on_rows_seen(table: Floats, cutoff: int) -> Floats:
    """The columns are chosen on the rows that were seen."""
    return _with_best_columns(table[: cutoff + 1], cutoff + 1, cutoff)


# Components -----------------------------------------------------------------------------------------------------


def stations() -> Floats:
    """Return 40 stations that follow three common swings, each with noise, over 90 steps."""
    random, t = np.random.default_rng(3), np.arange(90)
    swings = np.stack([np.sin(2 * np.pi * t / period + shift) for period, shift in ((9, 0), (14, 1), (23, 2))], axis=1)
    return np.asarray(swings @ random.normal(size=(3, 40)) + 1.5 * random.normal(size=(90, 40)))


def _from_components(components: PCA, seen: Floats) -> Floats:
    scores = components.transform(seen)
    return least_squares(np.hstack([scores[1:-1], scores[:-2]]), seen[2:], np.hstack([scores[-1], scores[-2]]))


def components_of_all_rows(table: Floats, cutoff: int) -> Floats:
    """The principal components are those of all rows."""
    return _from_components(PCA(3, svd_solver="full").fit(table), table[: cutoff + 1])


def components_of_rows_seen(table: Floats, cutoff: int) -> Floats:
    """The principal components are those of the rows that were seen."""
    return _from_components(PCA(3, svd_solver="full").fit(table[: cutoff + 1]), table[: cutoff + 1])


# Encode a category by the target --------------------------------------------------------------------------------


def shops() -> pd.DataFrame:
    """Return 60 shops in 40 towns, 14 days each."""
    random = np.random.default_rng(5)
    towns = random.integers(40, size=60)
    level = 5 * random.normal(size=40)
    days = pd.date_range("2024-03-01", periods=14)
    return pd.concat(
        [
            pd.DataFrame({"day": days, "shop": f"shop {i:02d}", "town": f"town {town:02d}"}).assign(
                sales=20 + level[town] + 3 * random.normal(size=14)
            )
            for i, town in enumerate(towns)
        ],
        ignore_index=True,
    )


def _by_town(frame: pd.DataFrame, encoded: pd.DataFrame, cutoff: Any) -> Floats:
    """Forecast the next day of each shop from the mean of its town in `encoded` and its last day."""
    seen = frame[frame["day"] <= cutoff].sort_values(["shop", "day"])
    code = seen["town"].map(encoded.groupby("town")["sales"].mean()).to_numpy()
    before = seen.groupby("shop")["sales"].shift().to_numpy()
    learn = before == before
    model = Ridge().fit(np.column_stack([code, before])[learn], seen["sales"].to_numpy()[learn])
    last = (seen["day"] == cutoff).to_numpy()
    return np.asarray(model.predict(np.column_stack([code, seen["sales"]])[last]))


def towns_encoded_on_all_rows(frame: pd.DataFrame, cutoff: Any) -> Floats:
    """A town is coded by the mean of its sales on all days, those to forecast among them."""
    return _by_town(frame, frame, cutoff)


def towns_encoded_on_rows_seen(frame: pd.DataFrame, cutoff: Any) -> Floats:
    """A town is coded by the mean of its sales up to the cutoff."""
    return _by_town(frame, frame[frame["day"] <= cutoff], cutoff)


def _next_day(frame: pd.DataFrame, cutoff: Any) -> Floats:
    return frame[frame["day"] == cutoff + pd.Timedelta(days=1)].sort_values("shop")["sales"].to_numpy()


ENTRIES = [
    AtCutoffs("scale, then split", scale_then_split, split_then_scale, lambda: real("co2-weekly", 520),
              range(320, 490, 8), following(26)),
    AtCutoffs("mean of the whole series as a feature", mean_of_the_whole_series, mean_so_far, sensors,
              range(6, 28), lambda series, at: [part[at + 1] for part in series]),
    AtCutoffs("impute by the mean of all rows", impute_by_the_mean_of_all, impute_by_the_mean_seen, holes,
              range(320, 518, 4), lambda _, at: real("co2-weekly", 520)[at + 1 : at + 2]),
    AtCutoffs("choose columns on all rows", columns_chosen_on_all_rows, columns_chosen_on_rows_seen, noise,
              range(70, 118, 2), lambda table, at: table[at + 1, :1]),
    AtCutoffs("principal components of all rows", components_of_all_rows, components_of_rows_seen, stations,
              range(30, 88, 2), lambda table, at: table[at + 1]),
    AtCutoffs("category coded by the target of all rows", towns_encoded_on_all_rows, towns_encoded_on_rows_seen, shops,
              pd.date_range("2024-03-05", periods=9), _next_day),
]  # fmt: skip
