"""Known future covariates are dates of the horizon and future columns, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.forecasters import wave
from tsforecast.data.calendar import CALENDAR, calendar_features
from tsforecast.data.context import Context, with_future
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import StaticEncoder
from tsforecast.errors import DataError

DAYS = pd.date_range("2024-01-01", periods=40)


def shops(days: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    """Two shops with a holiday flag that is known ahead."""
    parts = [pd.DataFrame({"shop": name, "day": days, "sales": wave(len(days), i)}) for i, name in enumerate("ab")]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(price=np.arange(len(frame)) / 10, holiday=(frame["day"].dt.day % 7 == 0).astype(float))


ROLES = {"time": "day", "id": "shop", "target": "sales", "past": "price", "future": "holiday"}


def known(days: pd.DatetimeIndex) -> pd.DataFrame:
    return shops(days)[["shop", "day", "holiday"]]


@pytest.mark.parametrize("library", ["pandas", "polars", "shuffled"])
def test_the_rows_ahead_hold_the_future_columns_alone(library: str) -> None:
    panel = Panel.from_frame(shops(DAYS[:30]), **ROLES)
    future = known(DAYS[25:38])  # more than is needed
    future = {"pandas": future, "polars": pl.from_pandas(future), "shuffled": future.sample(frac=1, random_state=0)}[
        library
    ]
    extended = with_future(panel, 5, future)
    assert extended.lengths.tolist() == [35, 35]
    for i in range(2):
        assert np.array_equal(extended.series(i)[:30], panel.series(i))
        assert np.isnan(extended.series(i)[30:, :2]).all()
        assert extended.series(i)[30:, 2].tolist() == [float(day.day % 7 == 0) for day in DAYS[30:35]]
    past = Context(extended, np.arange(2), panel.lengths)
    assert np.array_equal(past.future_known(5)[..., 0], extended.values.reshape(2, 35, 3)[:, 30:, 2])


def test_missing_dates_are_named() -> None:
    panel = Panel.from_frame(shops(DAYS[:30]), **ROLES)
    with pytest.raises(DataError) as caught:
        with_future(panel, 5, known(DAYS[30:33]))
    assert str(caught.value) == (
        "future columns 'holiday' must be known for the 5 steps after each series: series 'a' lacks 2, "
        "from 2024-02-03 on (and 1 more of 2 series likewise); add them to future="
    )
    with pytest.raises(DataError, match=r"nothing was given; pass future=, a frame from 2024-01-31 to 2024-02-04"):
        with_future(panel, 5)
    with pytest.raises(DataError, match="future= must have each time stamp of a series once"):
        with_future(panel, 5, pd.concat([known(DAYS[30:36])] * 2))
    with pytest.raises(DataError, match=r"^future column 'holiday' does not exist"):
        with_future(panel, 5, known(DAYS[30:36]).drop(columns="holiday"))


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_number_ahead_is_refused(value: float) -> None:
    future = known(DAYS[30:36])
    future.loc[2, "holiday"] = value
    with pytest.raises(DataError) as caught:
        with_future(Panel.from_frame(shops(DAYS[:30]), **ROLES), 5, future)
    assert str(caught.value) == (
        f"future column 'holiday' must hold finite numbers: row 2 of future= holds {value}; correct it"
    )


def zoned(alias: str, zone: str | None, first: int, last: int) -> pd.DataFrame:
    """Return rows of a column `on` that counts the steps of one axis, on the clocks of `zone`."""
    stamps = pd.date_range("2024-03-25", periods=60, freq=alias, tz="Europe/Berlin")[first:last]
    stamps = stamps.tz_convert(zone) if zone else stamps.tz_localize(None)
    return pd.DataFrame({"when": stamps, "y": 1.0, "on": np.arange(60.0)[first:last]})


@pytest.mark.parametrize("alias", ["h", "D"])
@pytest.mark.parametrize(("zone", "other"), [(None, "Europe/Berlin"), ("Europe/Berlin", None)])
def test_stamps_with_and_without_a_zone_are_not_taken_for_each_other(
    alias: str, zone: str | None, other: str | None
) -> None:
    panel = Panel.from_frame(zoned(alias, zone, 0, 40), target="y", future="on")
    words = {None: "no zone", "Europe/Berlin": "the zone Europe/Berlin"}
    with pytest.raises(DataError) as caught:
        with_future(panel, 5, zoned(alias, other, 40, 45))
    assert str(caught.value) == (
        f"future= must have time stamps like those of the data, which have {words[zone]}: got {words[other]}; "
        "localize or convert them first"
    )


@pytest.mark.parametrize("alias", ["h", "D"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "America/New_York"])
@pytest.mark.parametrize("horizon", [1, 20])
def test_stamps_of_another_zone_are_the_same_moments(alias: str, zone: str, horizon: int) -> None:
    panel = Panel.from_frame(zoned(alias, "Europe/Berlin", 0, 40), target="y", future="on")
    extended = with_future(panel, horizon, zoned(alias, zone, 40, 40 + horizon))
    assert extended.values[40:, 1].tolist() == list(range(40, 40 + horizon))


def test_nan_in_the_future_is_called_nan_and_not_a_missing_row() -> None:
    panel = Panel.from_frame(shops(DAYS[:30]), **ROLES)
    future = known(DAYS[30:36])
    future.loc[(future["shop"] == "b") & (future["day"] == DAYS[32]), "holiday"] = np.nan
    with pytest.raises(DataError) as caught:
        with_future(panel, 5, future)
    assert str(caught.value) == (
        "future column 'holiday' must be complete in future=: series 'b' has 1 NaN or infinite value, first at "
        "row 8 (2024-02-02); replace them by numbers"
    )
    untimed = Panel.from_frame(pd.DataFrame({"y": wave(20), "on": np.arange(20.0)}), target="y", future="on")
    with pytest.raises(DataError, match=r"has 1 NaN or infinite value, first at row 1; replace them by numbers"):
        with_future(untimed, 2, pd.DataFrame({"on": [7.0, np.nan]}))


def test_a_future_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(DataError, match="the panel has no future columns"):
        with_future(Panel.of(wave()), 3, known(DAYS))


def test_without_time_stamps_the_rows_of_the_future_are_taken_in_order() -> None:
    frame = pd.DataFrame({"y": wave(20), "on": np.arange(20.0)})
    panel = Panel.from_frame(frame, target="y", future="on")
    assert with_future(panel, 3, pd.DataFrame({"on": [7.0, 8.0, 9.0]})).values[20:, 1].tolist() == [7.0, 8.0, 9.0]
    with pytest.raises(DataError, match="future= must have 3 rows for each of 1 series: got 2 rows"):
        with_future(panel, 3, pd.DataFrame({"on": [7.0, 8.0]}))


def test_the_past_door_shows_the_future_of_future_columns_only() -> None:
    panel = Panel.from_frame(shops(), **ROLES)
    past = Context(panel, np.array([0, 1]), np.array([20, 25]))
    ahead = past.future_known(4)
    assert ahead.shape == (2, 4, 1)
    assert np.array_equal(ahead[0, :, 0], panel.series(0)[20:24, 2])
    assert np.array_equal(ahead[1, :, 0], panel.series(1)[25:29, 2])


def test_calendar_columns_go_on_by_themselves() -> None:
    panel = Panel.from_frame(shops(DAYS[:30])[["shop", "day", "sales"]]).with_calendar("weekday", "yearday")
    whole = Panel.from_frame(shops()[["shop", "day", "sales"]]).with_calendar("weekday", "yearday")
    extended = with_future(panel, 10)
    assert np.array_equal(extended.values[:, 1:], whole.values[:, 1:])
    assert panel.roles.future == ("weekday_sine", "weekday_cosine", "yearday_sine", "yearday_cosine")
    assert panel.read_like(shops(DAYS[:35])[["shop", "day", "sales"]]).roles == panel.roles


@pytest.mark.parametrize("name", CALENDAR)
def test_a_calendar_feature_repeats_with_its_cycle_and_nothing_else(name: str) -> None:
    hours = pd.date_range("2023-01-01", periods=3 * 8766, freq="h").astype("datetime64[ns]").astype("int64").to_numpy()
    if name == "minute":
        hours = hours[:200] + np.arange(200) * 60 * 10**9
    features = calendar_features(hours, [name])
    assert np.allclose((features**2).sum(axis=1), 1)
    index = pd.DatetimeIndex(hours.astype("datetime64[ns]"))
    key = getattr(index, {"weekday": "day_of_week", "yearday": "day_of_year"}.get(name, name))
    groups = pd.DataFrame(features.round(9)).groupby(np.asarray(key)).nunique()
    assert (groups == 1).all(axis=None)
    assert len(np.unique(features.round(9), axis=0)) == len(np.unique(key))


def test_the_calendar_of_a_zone_is_that_of_its_clocks() -> None:
    index = pd.date_range("2024-03-30", periods=72, freq="h", tz="Europe/Berlin")
    panel = Panel.of(pd.Series(wave(72), index=index)).with_calendar("hour")
    angle = 2 * np.pi * index.hour / 24
    assert np.allclose(panel.values[:, 1], np.sin(angle))
    assert np.allclose(panel.values[:, 2], np.cos(angle))


def test_a_calendar_needs_dates_and_known_names() -> None:
    with pytest.raises(DataError, match="calendar features need dates: the time axis has none"):
        Panel.of(wave()).with_calendar("hour")
    with pytest.raises(DataError) as caught:
        Panel.of(pd.Series(wave(40), index=DAYS)).with_calendar("weekday", "day", "weekday")
    assert str(caught.value) == "calendar feature 'weekday' must be named once: got it 2 times"
    with pytest.raises(DataError, match="calendar feature 'weekdy' does not exist; did you mean 'weekday'"):
        Panel.of(pd.Series(wave(40), index=DAYS)).with_calendar("weekdy")


def test_categories_are_learned_from_training_series_and_others_share_a_bucket() -> None:
    train = {"region": np.array(["n", "s", "n"], dtype=object), "size": np.array([1.0, 2.0, 3.0])}
    encoder = StaticEncoder.fit(train, ["region", "size"])
    assert encoder.width == 4
    test = {"region": np.array(["s", "west", "east"], dtype=object), "size": np.array([2.0, np.nan, 9.0])}
    encoded = encoder.encode(test, 3)
    assert encoded[:, :3].tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert encoded[:2, 3].tolist() == [0.0, 0.0]
    assert StaticEncoder.fit({}, []).encode({}, 5).shape == (5, 0)


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_what_is_missing_in_a_static_column_is_one_and_the_same_category(library: type) -> None:
    def facts(kinds: list[object], sizes: list[object]) -> dict[str, np.ndarray]:
        columns = {"id": list("aabbcc"), "y": wave(6), "kind": np.repeat(np.array(kinds, dtype=object), 2).tolist()}
        columns["size"] = np.repeat(np.array(sizes, dtype=object), 2).tolist()
        frame = library(columns)
        return Panel.from_frame(frame, id="id", target="y", static=["kind", "size"], season_length=6).statics

    encoder = StaticEncoder.fit(facts(["n", None, None], [1, None, 3]), ["kind", "size"])
    assert encoder.columns == (("kind", 0.0, 1.0, ("None", "n")), ("size", 2.0, 1.0, ()))
    again = encoder.encode(facts([None, "n", "other"], [None, 1, 3]), 3)
    assert again.tolist() == [[1, 0, 0, 0], [0, 1, 0, -1], [0, 0, 1, 1]]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_every_way_to_write_that_a_category_is_missing_means_the_same(missing: object) -> None:
    frame = pd.DataFrame({"id": list("aabb"), "y": wave(4), "kind": pd.Series(["n", "n", missing, None], dtype=object)})
    facts = Panel.from_frame(frame, id="id", target="y", static="kind", season_length=6).statics
    assert facts["kind"].tolist() == ["n", None]
