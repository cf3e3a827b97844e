"""Strategies for whatever people may hand over: frames and arrays of any library, kind, size and naming."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

EXTREMES = [0.0, -0.0, 1e308, -1e308, 1e101, 5e-324, 1e-310, np.inf, -np.inf, np.nan, 1e16, 2**53 + 1.0, -1e30, 1e-30]
DTYPES = [
    "int8",
    "uint8",
    "int16",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bool",
    "complex128",
    "longdouble",
]
DTYPES += ["datetime64[ns]", "timedelta64[s]", "U3", "S3", "object", "V4"]
KINDS = ["number", "number", "number", "whole", "dtype", "text", "category", "decimal", "object", "date", "zoned"]
KINDS += ["period", "delta", "list", "nullable", "far"]
ODD = [
    *(None, 3, 3.5, "text", b"bytes", {}, {"y": [1.0]}, {1, 2}, [], [[]], (), [None], ["a"], [1, "a"], range(20)),
    *([[1.0], [2.0, 3.0]], [1.0, [2.0]], iter([1.0]), object(), np.float64(3), np.ma.masked_array([1.0, 2.0], [1, 0])),
    *([decimal.Decimal(i) for i in range(20)], [datetime.date(2024, 1, 1)], [10**400, 1], [True] * 20),
    *(memoryview(b"abc"), [np.zeros((3, 2)), np.zeros((4, 3))], np.rec.array([(1.0, 2)], dtype="f8,i4")),
]
NAMES = st.one_of(
    st.sampled_from(["day", "time", "id", "y", "sales", "größe", "数", "a b", "", " ", "y0", "\u202e", "x" * 300]),
    st.text(max_size=4),
)
MOST = 36  # rows: fits must be quick


def numbers(rows: int) -> st.SearchStrategy[np.ndarray]:
    """Plain numbers mostly, and sometimes the strangest there are."""
    plain = st.floats(-100, 100, width=32)
    tame = st.lists(plain, min_size=rows, max_size=rows)
    wild = st.lists(st.one_of(plain, st.sampled_from(EXTREMES), st.floats()), min_size=rows, max_size=rows)
    scale = st.sampled_from([1.0, 1.0, 1.0, 1e99, 1e-99, 1e-310, 1e15])
    tamed = st.tuples(tame, scale).map(lambda pair: np.array(pair[0], dtype=np.float64) * pair[1])
    constant = plain.map(lambda value: np.full(rows, value))
    return st.one_of(tamed, tamed, constant, wild.map(lambda items: np.array(items, dtype=np.float64)))


@st.composite
def columns(draw: st.DrawFn, rows: int) -> Any:
    """A column of any kind, for pandas."""
    kind = draw(st.sampled_from(KINDS))
    if kind == "number":
        return draw(numbers(rows))
    if kind == "whole":
        return np.array(draw(st.lists(st.integers(-(2**40), 2**40), min_size=rows, max_size=rows)), dtype=np.int64)
    if kind == "dtype":
        dtype = draw(st.sampled_from([name for name in DTYPES if name not in ("V4", "S3", "longdouble")]))
        return pd.Series(draw(hnp.arrays(dtype, rows)) if dtype != "object" else [None] * rows)
    if kind == "text":
        return pd.Series(
            draw(st.lists(st.sampled_from(["a", "b", "1", "1,5", "2024-01-01", "", "ä"]), min_size=rows, max_size=rows))
        )
    if kind == "category":
        return pd.Categorical(draw(st.lists(st.sampled_from(["a", "b", None]), min_size=rows, max_size=rows)))
    if kind == "decimal":
        some = st.sampled_from(
            [decimal.Decimal("1.5"), decimal.Decimal("-7"), decimal.Decimal("NaN"), decimal.Decimal("1e999")]
        )
        return pd.Series(draw(st.lists(some, min_size=rows, max_size=rows)), dtype=object)
    if kind == "object":
        some = st.one_of(
            st.none(), st.integers(), st.floats(), st.text(max_size=2), st.booleans(), st.just([1]), st.just({})
        )
        return pd.Series(draw(st.lists(some, min_size=rows, max_size=rows)), dtype=object)
    if kind == "date":
        return stamps(draw, rows)
    if kind == "zoned":
        return pd.Series(stamps(draw, rows)).dt.tz_localize(
            draw(st.sampled_from(["UTC", "Europe/Berlin"])), ambiguous="NaT", nonexistent="NaT"
        )
    if kind == "period":
        return pd.Series(pd.period_range("2000", periods=rows, freq=draw(st.sampled_from(["M", "D", "Y", "h"]))))
    if kind == "delta":
        return pd.Series(pd.to_timedelta(np.arange(rows), unit="s"))
    if kind == "list":
        return pd.Series([[1.0, 2.0]] * rows, dtype=object)
    if kind == "nullable":
        some = draw(st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=rows, max_size=rows))
        return pd.array(some, dtype=draw(st.sampled_from(["Int64", "Float64"])))
    years = draw(st.lists(st.integers(1, 9999), min_size=rows, max_size=rows))
    if draw(st.booleans()):
        return pd.Series([datetime.date(year, 1, 1) for year in years], dtype=object)
    return np.array([f"{year:04}-01-01" for year in years], dtype="datetime64[s]")


def stamps(draw: st.DrawFn, rows: int) -> pd.Series:
    """Dates: regular mostly, else with gaps, doubled, or in any order."""
    first = draw(st.sampled_from(["2024-01-01", "1969-12-31 23:59", "1700-01-01", "2261-12-01", "2024-03-31 02:30"]))
    step = draw(st.sampled_from(["D", "h", "s", "us", "W", "MS", "ME", "B", "YE", "QS", "7min"]))
    try:
        regular = pd.Series(pd.date_range(first, periods=rows, freq=step))
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        regular = pd.Series(pd.date_range("2024-01-01", periods=rows, freq=step))
    way = draw(st.sampled_from(["regular"] * 6 + ["gaps", "doubled", "any order", "missing", "far apart"]))
    if way == "regular" or rows < 3:
        return regular
    if way == "gaps":
        regular.iloc[-1] += (regular.iloc[-1] - regular.iloc[-2]) * 3
    elif way == "doubled":
        regular.iloc[1] = regular.iloc[0]
    elif way == "any order":
        regular = regular.sample(frac=1, random_state=0).reset_index(drop=True)
    elif way == "missing":
        regular.iloc[0] = pd.NaT
    else:
        regular.iloc[-1] = pd.Timestamp("2200-01-01")
    return regular


@st.composite
def frames(draw: st.DrawFn, plain: bool = False) -> Any:
    """A frame of pandas, polars or arrow, or a Series; a plain one has columns that may well be forecast."""
    rows = draw(st.sampled_from([*range(4), *range(8, MOST), *range(8, MOST)]))
    if plain or draw(st.booleans()):
        parts: dict[str, Any] = {"day": stamps(draw, rows)} if plain or draw(st.booleans()) else {}
        if draw(st.integers(0, 2)) == 0:
            parts["shop"] = pd.Series(["a", "b"] * rows)[:rows].sort_values(ignore_index=True)
        parts["sales"] = draw(numbers(rows))
        if plain and draw(st.booleans()):
            parts["price"] = draw(numbers(rows))
        frame = pd.DataFrame(parts)
    else:
        odd = [draw(columns(rows)) for _ in range(draw(st.integers(0, 4)))]
        frame = pd.DataFrame(dict(enumerate(odd)), index=None if odd else range(rows))
        frame.columns = [draw(st.one_of(NAMES, st.integers(0, 2))) for _ in odd]
    form = draw(st.sampled_from(["pandas", "polars", "lazy", "arrow", *([] if plain else ["series", "index", "wide"])]))
    if form == "wide":
        count = draw(st.sampled_from([1, 30, 10_000] if rows < 4 else [1, 30]))
        return pd.DataFrame(np.arange(rows * count, dtype=np.float64).reshape(rows, count))
    if form == "series":
        return frame.iloc[:, -1] if len(frame.columns) else pd.Series(dtype=np.float64)
    if form == "index" and len(frame.columns) > 1:
        first = frame.iloc[:, 0]
        return frame.set_axis(pd.Index(first, name=first.name, tupleize_cols=False)).iloc[:, 1:]
    if form in ("polars", "lazy", "arrow"):
        try:
            table = pa.Table.from_pandas(frame.rename(columns=str), preserve_index=False)
            return (
                table if form == "arrow" else pl.from_arrow(table) if form == "polars" else pl.from_arrow(table).lazy()
            )
        except (
            pa.ArrowException,
            pl.exceptions.PolarsError,
            ValueError,
            TypeError,
            NotImplementedError,
            OverflowError,
        ):
            return frame  # what these libraries do not hold
    return frame


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Numbers without names: arrays of any type and shape, lists, and what is neither."""
    way = draw(st.sampled_from(["series", "series", "channels", "panel", "ragged", "any", "odd"]))
    if way == "series":
        return draw(numbers(draw(st.integers(0, MOST))))
    if way == "channels":
        rows, width = draw(st.integers(1, MOST)), draw(st.integers(1, 3))
        with np.errstate(over="ignore"):
            both = np.stack([draw(numbers(rows)) for _ in range(width)], axis=1)
            return both.astype(draw(st.sampled_from(["f4", "f8"])))
    if way == "panel":
        return draw(
            hnp.arrays(
                np.float64, draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=9)), elements=st.floats(-9, 9)
            )
        )
    if way == "ragged":
        return [draw(numbers(draw(st.integers(0, MOST)))) for _ in range(draw(st.integers(0, 3)))]
    if way == "any":
        dtype = draw(st.sampled_from(DTYPES))
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
        if dtype == "object":
            return np.full(shape, None)
        return np.ones(shape, dtype) if dtype in ("longdouble", "V4") else draw(hnp.arrays(dtype, shape))
    return draw(st.sampled_from(ODD))
