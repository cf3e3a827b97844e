"""Forecasts have the types of the data that came in, so that they can be joined to them and put below them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tsforecast import NaiveForecaster, Panel
from tsforecast.data.values import distinct
from tsforecast.estimators.persistence import load, save
from tsforecast.leakage.perturb import perturbed_frame

LONG = 89_314_404_000_000_000_012  # a SIM card, beyond 64 bits
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(i) for i in range(10)]
NEXT = [dt.date(2024, 1, 11), dt.date(2024, 1, 12)]
COLUMNS: dict[str, list[Any]] = {"id": ["b"] * 10 + ["a"] * 10, "t": DAYS * 2, "y": list(map(float, range(20)))}
COUNTED = {"t": [*range(10)] * 2}
PLAIN = {"level_0": "id", "level_1": "t", "index": "t", 2: "id", 0: "t", 1: "y"}  # columns without a name of their own
NUMBERED = {"id": [7] * 10 + [3] * 10}
SIMS = {"id": [LONG] * 10 + [LONG + 1] * 10}


def _polars() -> Iterator[tuple[str, pl.DataFrame]]:
    frame = pl.DataFrame(COLUMNS)
    for kind in (pl.String(), pl.Categorical(), pl.Enum(["a", "b", "c"])):
        yield f"id {kind}", frame.with_columns(frame["id"].cast(kind))
    for whole in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Int128):
        yield f"id {whole}", frame.with_columns(pl.Series("id", NUMBERED["id"], dtype=whole))
        yield f"time {whole}", frame.with_columns(pl.Series("t", COUNTED["t"], dtype=whole))
    yield "id of 20 digits", frame.with_columns(pl.Series("id", SIMS["id"], dtype=pl.Int128))
    yield "id of 64 bits", frame.with_columns(pl.Series("id", [2**64 - 1] * 10 + [1] * 10, dtype=pl.UInt64))
    yield "id of decimals", frame.with_columns(pl.Series("id", [1.5] * 10 + [2.5] * 10, dtype=pl.Float32))
    yield "id of flags", frame.with_columns(pl.Series("id", [True] * 10 + [False] * 10))
    yield "time of dates", frame
    units: tuple[Any, ...] = ("ms", "us", "ns")
    for unit in units:
        for zone in (None, "UTC", "Europe/Berlin", "America/New_York"):
            stamps = frame["t"].cast(pl.Datetime(unit)).dt.replace_time_zone(zone)
            yield f"time in {unit} {zone}", frame.with_columns(stamps)
    yield "float32", frame.with_columns(frame["y"].cast(pl.Float32))


def _pandas() -> Iterator[tuple[str, pd.DataFrame]]:
    frame = pd.DataFrame(COLUMNS).assign(t=pd.to_datetime(COLUMNS["t"]))
    ordered = pd.CategoricalDtype(["c", "b", "a"], ordered=True)
    large = pd.ArrowDtype(pa.large_string())
    for kind in ("str", "object", "category", ordered, "string", pd.StringDtype("python"), large):
        yield f"id {kind!r}", frame.assign(id=frame["id"].astype(kind))
    for kind in ("int8", "int32", "int64", "uint64", "Int32", "Int64", "int32[pyarrow]"):
        yield f"id {kind}", frame.assign(id=pd.array(NUMBERED["id"], dtype=kind))
        yield f"time {kind}", frame.assign(t=pd.array(COUNTED["t"], dtype=kind))
    yield "id of numbered categories", frame.assign(id=pd.Categorical(NUMBERED["id"]))
    yield "id of 20 digits", frame.assign(id=pd.Series(SIMS["id"], dtype=object))
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "Europe/Berlin", "America/New_York"):
            yield f"time in {unit} {zone}", frame.assign(t=frame["t"].dt.as_unit(unit).dt.tz_localize(zone))
    for kind in ("timestamp[us][pyarrow]", "date32[pyarrow]", "period[D]"):
        yield f"time {kind}", frame.assign(t=frame["t"].astype(kind))
    yield "time of Python's dates", frame.assign(t=pd.Series(COLUMNS["t"], dtype=object))
    for kind in ("float32", "Float32", "Float64", "double[pyarrow]"):
        yield f"y {kind}", frame.assign(y=frame["y"].astype(kind))
    yield "index of id and time", frame.set_index(["id", "t"])
    yield "index of time and id", frame.set_index(["t", "id"])
    yield "index without names", frame.set_index(["id", "t"]).rename_axis([None, None])
    yield "index of categories", frame.assign(id=frame["id"].astype("category")).set_index(["id", "t"])
    yield "index of ids", frame.set_index("id")
    yield "index of numbered ids", frame.assign(**NUMBERED).set_index("id")
    yield "index of time beside an id", frame.set_index("t")
    yield "index without a name", frame.set_index("t").rename_axis(None)
    yield "columns with numbers", frame.set_axis([2, 0, 1], axis=1)


def _arrow() -> Iterator[tuple[str, pa.Table]]:
    def table(**columns: Any) -> pa.Table:
        return pa.table(COLUMNS | columns)

    ids, days = pa.array(COLUMNS["id"]), pa.array(COLUMNS["t"])
    words = (pa.string(), pa.large_string())
    for kind in (*words, *(pa.dictionary(size, pa.string()) for size in (pa.int8(), pa.int32()))):
        yield f"id {kind}", table(id=ids.cast(kind))
    for kind in (pa.int8(), pa.int32(), pa.uint16(), pa.int64()):
        yield f"id {kind}", table(id=pa.array(NUMBERED["id"], kind))
        yield f"time {kind}", table(t=pa.array(COUNTED["t"], kind))
    zoned = [pa.timestamp("ns", "UTC"), pa.timestamp("us", "Europe/Berlin")]
    for kind in (*map(pa.timestamp, ("s", "ms", "us", "ns")), *zoned):
        yield f"time {kind}", table(t=days.cast(pa.timestamp("us")).cast(kind))
    yield "time of dates", table()
    yield "float", table(y=pa.array(COLUMNS["y"], pa.float32()))


FRAMES = [(f"{name}: {what}", frame) for name, of in (("polars", _polars), ("pandas", _pandas), ("arrow", _arrow))
          for what, frame in of()]  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("past", [frame for _, frame in FRAMES], ids=[name for name, _ in FRAMES])
def test_forecasts_of_a_frame_can_be_put_below_it(past: Any, tmp_path: Path) -> None:
    roles: dict[str, Any] = {"id": "id", "time": "t", "target": "y"}
    if isinstance(past, pd.DataFrame):
        names = {*map(str, past.columns), *map(str, past.index.names)}
        roles = {role: name for role, name in roles.items() if name in past.columns} if "y" in names else {}
    model = NaiveForecaster(horizon=2).fit(Panel.from_frame(past, **roles))
    ahead = model.predict()
    save(model, tmp_path / "model")
    again = load(tmp_path / "model").predict()
    if isinstance(past, pl.DataFrame):
        assert ahead.schema == past.schema == again.schema
        both = pl.concat([past, ahead])
        table = both.to_dict(as_series=False)
        assert past.join(ahead, on=["id", "t"], how="full").height == 24
    elif isinstance(past, pa.Table):
        assert ahead.schema == past.schema == again.schema
        table = pa.concat_tables([past, ahead]).to_pydict()
        assert past.join(ahead, ["id", "t"], join_type="full outer").num_rows == 24
    else:
        ahead = ahead[past.columns]
        pd.testing.assert_frame_equal(ahead, again[past.columns])
        assert past.index.names == ahead.index.names
        both = pd.concat([past, ahead])
        assert both.dtypes.to_dict() == past.dtypes.to_dict() == ahead.dtypes.to_dict()
        moved = past.index.names != [None] or isinstance(past.index, pd.DatetimeIndex)
        assert both.index.dtype == past.index.dtype
        flat = (both.reset_index() if moved else both).rename(columns=PLAIN)
        table = {name: flat[name].tolist() for name in ("id", "t", "y")}
    first, second = (table["id"][:20][at] for at in (0, 10))
    assert table["y"][20:] == [9.0, 9.0, 19.0, 19.0]
    assert table["id"][20:] == [first, first, second, second]
    times = [10, 11] if table["t"][0] == 0 else [str(day) for day in NEXT]
    assert [when if when in (10, 11) else str(when)[:10] for when in table["t"][20:22]] == times


INDEX = pd.date_range("2024-01-31", periods=20, freq="D")


@pytest.mark.parametrize("name", [0, False, None, "", 0.0, "0", 5, "load"])
def test_a_series_keeps_its_name_whatever_that_is(name: Any, tmp_path: Path) -> None:
    series = pd.Series(np.arange(20.0), index=INDEX, name=name)
    model = NaiveForecaster(horizon=3).fit(series)
    save(model, tmp_path / "model")
    for ahead in (model.predict(), load(tmp_path / "model").predict()):
        assert (ahead.name, type(ahead.name)) == (name, type(name))
        assert pd.concat([series, ahead]).name == name
    if isinstance(name, str):
        assert NaiveForecaster(horizon=3).fit(pl.Series(name, np.arange(20.0))).predict().name == name


@pytest.mark.sample(5)
@pytest.mark.parametrize(
    "freq", ["D", "h", "15min", "2D", "B", "W", "W-WED", "MS", "ME", "QS", "QE", "QS-FEB", "YS", "YE-JUN"]
)
@pytest.mark.parametrize("named", [None, "when"])
def test_an_index_keeps_its_frequency_and_its_name(freq: str, named: str | None) -> None:
    index = pd.date_range("2024-01-31", periods=23, freq=freq, name=named)
    series = pd.Series(np.arange(20.0), index=index[:20])
    pd.testing.assert_index_equal(NaiveForecaster(horizon=3).fit(series).predict().index, index[20:])
    assert NaiveForecaster(horizon=3).fit(series).predict().index.freq == index.freq
    bare = series.set_axis(pd.DatetimeIndex([*series.index], name=named))
    assert NaiveForecaster(horizon=3).fit(bare).predict().index.freq is None


@pytest.mark.parametrize("freq", ["D", "h", "M", "Q", "Y", "W", "min"])
def test_an_index_of_periods_goes_on(freq: str) -> None:
    index = pd.period_range("2024-01-31", periods=23, freq=freq)
    ahead = NaiveForecaster(horizon=3).fit(pd.Series(np.arange(20.0), index=index[:20])).predict()
    pd.testing.assert_index_equal(ahead.index, index[20:])


def test_a_time_that_grows_out_of_its_type_gets_a_wider_one() -> None:
    frame = pl.DataFrame({"t": pl.Series(range(117, 127), dtype=pl.Int8), "y": np.arange(10.0)})
    ahead = NaiveForecaster(horizon=2).fit(Panel.from_frame(frame, time="t")).predict()
    assert ahead["t"].to_list() == [127, 128]


@pytest.mark.parametrize("name", [0, None, "load"])
def test_a_series_of_any_name_is_audited(name: Any) -> None:
    series = pd.Series(np.arange(20.0), index=INDEX, name=name)
    changed = perturbed_frame(series, np.arange(20) > 15, "NaN", np.random.default_rng(0))
    assert changed.name == name
    assert changed.isna().sum() == 4


def test_roles_are_named_by_numbers_where_columns_are() -> None:
    frame = pd.DataFrame({0: np.arange(20.0), 1: DAYS * 2, 2: COLUMNS["id"], 3: 1.0})
    roles: dict[str, Any] = {"target": 0, "time": 1, "id": 2, "past": [3]}
    ahead = NaiveForecaster(horizon=1).fit(Panel.from_frame(frame, **roles)).predict()
    assert ahead.to_dict("list") == {2: ["b", "a"], 1: [NEXT[0]] * 2, 0: [9.0, 19.0]}


@pytest.mark.parametrize("name", [None, "day"])
@pytest.mark.parametrize("kind", ["str", "object"])
def test_an_index_of_dates_in_text_is_the_time(name: str | None, kind: str) -> None:
    index = pd.Index([str(day) for day in DAYS], dtype=kind, name=name)
    frame = pd.DataFrame({"y": np.arange(10.0)}, index=index)  # as read_csv(index_col=0) returns it
    for data in (frame, frame["y"]):
        model = NaiveForecaster(horizon=2).fit(data)
        assert (model.panel_.season_length, model.predict().index.name) == (7, name)
        assert [*model.predict().index.date] == NEXT
    dated = frame.assign(when=pd.date_range("2020-01-01", periods=10, freq="MS"))
    assert str(Panel.of(dated).frequency) == "MS"
    texts = dated.reset_index(drop=True).set_index(index.rename("shop"))
    assert len(Panel.from_frame(texts, time="when")) == 1


def test_dates_and_times_of_python_come_back_as_such() -> None:
    for whole in (dt.datetime(2024, 1, 1, 6), dt.date(2024, 1, 1)):
        days = [whole + dt.timedelta(i) for i in range(10)]
        for frame in (
            pd.DataFrame({"t": pd.Series(days, dtype=object), "y": 1.0}),
            pd.DataFrame({"y": 1.0}, index=pd.Index(days, dtype=object, name="t")),
        ):
            ahead = NaiveForecaster(horizon=1).fit(frame).predict()
            held = ahead.get("t", ahead.index)
            assert (held.dtype, held[0]) == (object, days[-1] + dt.timedelta(1))


@pytest.mark.parametrize(
    "texts",
    [
        *([], ["a"], [None], ["a"] * 9 + [None] * 9 + [""] * 9 + ["a"] * 9, [None, "b", "a", "b"]),
        [text for text in ("shop 1", "shop 2", "thop 2", "shop 1", "", "0", "0\0") for _ in range(9)],
        [text for text in ("the shop in the north", "the shop in the south", "shop 1") for _ in range(9)],
    ],
)
def test_texts_are_numbered_as_they_first_appear(texts: list[str | None]) -> None:
    column = pl.Series("id", texts, dtype=pl.String)
    cut = pl.concat([pl.Series("id", ["b", "c"]), column])[2:]
    for given in (column, cut, pl.concat([column[:7], column[7:]], rechunk=False)):  # runs go on from chunk to chunk
        held, places = distinct(given)
        assert held.to_list() == list(dict.fromkeys(texts))
        assert held.gather(places()).to_list() == texts


@pytest.mark.parametrize("order", [["day", "shop", "sales"], ["sales", "day", "shop"], ["shop", "day", "sales"]])
def test_forecasts_have_the_columns_of_the_history_in_its_order(order: list[str], tmp_path: Path) -> None:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=day) for day in range(5)]
    columns = {"day": days * 2, "shop": ["a"] * 5 + ["b"] * 5, "sales": [1.0, 2.0, 3.0, 4.0, 5.0] * 2}
    past = pl.DataFrame(columns).select(order)
    model = NaiveForecaster(horizon=1).fit(past)
    save(model, tmp_path / "model")
    for each in (model, load(tmp_path / "model")):
        assert pl.concat([past, each.predict()]).rows()[-1] == past.with_columns(
            pl.col("day") + pl.duration(days=1)
        ).row(-1)
    arrow = past.to_arrow()
    assert pa.concat_tables([arrow, NaiveForecaster(horizon=1).fit(arrow).predict()]).num_rows == 12
    told = past.with_columns(weather=pl.lit(1.0)).select("weather", *order)  # columns without a forecast are left out
    assert NaiveForecaster(horizon=1).fit(Panel.from_frame(told, target="sales")).predict().columns == order
    wide = pl.DataFrame({"b": [1.0, 2.0, 3.0], "day": days[:3], "a": [1.0, 2.0, 3.0]})
    assert NaiveForecaster(horizon=1).fit(Panel.from_wide(wide)).predict().columns == ["b", "day", "a"]
    indexed = past.to_pandas().set_index(["shop", "day"])
    assert pd.concat([indexed, NaiveForecaster(horizon=1).fit(indexed).predict()]).shape == (12, 1)


def test_decimals_of_pandas_and_batches_of_arrow_are_read_as_numbers_and_tables() -> None:
    days = pd.date_range("2024-01-01", periods=4)
    amounts = [Decimal("1.5"), None, Decimal("2.25"), Decimal("3.5")]
    frame = pd.DataFrame({"day": days, "y": pd.Series(amounts, dtype=object)})
    panel = Panel.from_frame(frame, nan_policy="forward_fill")
    assert panel.values.ravel().tolist() == [1.5, 1.5, 2.25, 3.5]
    assert NaiveForecaster(horizon=1).fit(panel).predict().y.tolist() == [3.5]
    batch = pa.RecordBatch.from_pydict({"day": list(days), "y": [1.0, 2.0, 3.0, 4.0]})
    found = NaiveForecaster(horizon=1).fit(batch).predict()
    assert isinstance(found, pa.Table)
    assert found["y"].to_pylist() == [4.0]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("columns", [("y",), ("y", "z")])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_panel_cannot_be_changed_from_outside(library: str, columns: tuple[str, ...], kind: type) -> None:
    given = {name: np.arange(10, dtype=kind) for name in columns}
    frames = {"pandas": lambda: pd.DataFrame(given, copy=False), "polars": lambda: pl.DataFrame(given)}
    panel = Panel.from_frame(frames.get(library, lambda: pa.table(given))(), target=columns)
    before = panel.values.copy()
    for name in columns:
        given[name][:] = 99
    assert np.array_equal(panel.values, before)
