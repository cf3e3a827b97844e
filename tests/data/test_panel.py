"""A panel is the same whatever form the data came in, and wrong data are refused in sentences."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.data.preprocessing import Preprocessor
from tsforecast.data.scaling import ScalingRecipe
from tsforecast.data.series import Roles
from tsforecast.data.windows import Windows
from tsforecast.errors import DataError
from tsforecast.mapped import forward_fill, rows_between

DAYS = pd.date_range("2024-01-01", periods=30, freq="D")
BOTH = ("sales", "price")


def long_frame() -> pd.DataFrame:
    """Two series of 30 days with two number columns."""
    parts = [
        pd.DataFrame({"shop": name, "day": DAYS, "sales": wave(30, seed), "price": wave(30, seed + 5)})
        for seed, name in enumerate(["a", "b"])
    ]
    return pd.concat(parts, ignore_index=True)


def forms() -> dict[str, object]:
    frame = long_frame()
    shuffled = frame.sort_values(["day", "shop"], ignore_index=True)  # interleaved, as databases return it
    return {
        "pandas": frame,
        "pandas interleaved": shuffled,
        "pandas, one series in two pieces": pd.concat([frame[:15], frame[30:], frame[15:30]], ignore_index=True),
        "pandas with index": frame.set_index(["shop", "day"]),
        "polars": pl.from_pandas(frame),
        "polars lazy": pl.from_pandas(frame).lazy(),
        "arrow": pa.Table.from_pandas(frame, preserve_index=False),
        "numpy": np.stack([frame.loc[frame.shop == name, ["sales", "price"]].to_numpy() for name in "ab"]),
        "list": [frame.loc[frame.shop == name, ["sales", "price"]].to_numpy() for name in "ab"],
    }


def one_column_forms() -> dict[str, list[Panel]]:
    """Return the sales of both shops as one panel, or one for each shop, from every form of one column."""
    frame = long_frame().drop(columns="price")
    wide = frame.pivot(index="day", columns="shop", values="sales").rename_axis(columns=None)
    counted = frame.assign(day=np.tile(np.arange(7, 37), 2))
    monthly = frame.assign(day=np.tile(pd.date_range("2024-01-01", periods=30, freq="MS"), 2))
    one = {name: frame.loc[frame["shop"] == name].set_index("day")["sales"] for name in "ab"}
    berlin = frame.assign(day=frame["day"].dt.tz_localize("Europe/Berlin"))
    hourly = np.tile(pd.date_range("2024-03-30", periods=30, freq="h", tz="Europe/Berlin"), 2)
    return {
        "long": [Panel.of(frame)],
        "wide": [Panel.from_wide(wide)],
        "wide polars": [Panel.from_wide(pl.from_pandas(wide.reset_index()))],
        "wide arrow": [Panel.from_wide(pa.Table.from_pandas(wide.reset_index(), preserve_index=False))],
        "wide without dates": [Panel.from_wide(wide.reset_index(drop=True))],
        "Series": [Panel.of(part) for part in one.values()],
        "Series of periods": [Panel.of(part.to_period("D")) for part in one.values()],
        "Series of polars": [Panel.of(pl.Series("sales", part.to_numpy())) for part in one.values()],
        "Series in a zone": [Panel.of(part.tz_localize("Asia/Tokyo")) for part in one.values()],
        "zone": [Panel.of(berlin)],
        "zone polars": [Panel.of(pl.from_pandas(berlin))],
        "hours in a zone": [Panel.of(frame.assign(day=pd.DatetimeIndex(hourly)))],
        "periods": [Panel.of(monthly.assign(day=monthly["day"].dt.to_period("M")))],
        "integers": [Panel.from_frame(counted, time="day", id="shop")],
        "integers polars": [Panel.from_frame(pl.from_pandas(counted), time="day", id="shop")],
        "text": [Panel.of(frame.assign(day=frame["day"].dt.strftime("%Y-%m-%d")))],
        "numpy": [Panel.of(np.stack([part.to_numpy() for part in one.values()])[..., None])],
        "list": [Panel.of([part.to_numpy() for part in one.values()])],
    }


def tensors(panel: Panel) -> list[bytes]:
    """Return every window that a network would read and learn from, as bytes."""
    inputs = Preprocessor.fit(panel, ScalingRecipe("log"))
    values, truth = inputs.rows(panel)
    windows = Windows(values, truth, panel.offsets, 5, 3, static=inputs.static(panel))
    batch = windows.batch(torch.arange(len(windows)))
    assert batch.past.shape == (len(panel) * 23, 5, panel.n_targets)
    parts = (batch.past, batch.ahead, batch.static, batch.future)
    return [np.ascontiguousarray(part.reshape(len(panel), -1)).tobytes() for part in parts]


def read(data: object) -> Panel:
    """Return the panel of one of the forms; both number columns of a frame are targets."""
    return Panel.of(data) if isinstance(data, (np.ndarray, list)) else Panel.from_frame(data, target=BOTH)


@pytest.mark.sample(3)
@pytest.mark.parametrize("form", list(forms()))
def test_every_form_gives_the_same_numbers_and_windows_to_the_bit(form: str) -> None:
    panel = read(forms()[form])
    expected = long_frame()[["sales", "price"]].to_numpy()
    assert np.array_equal(panel.values, expected)
    assert panel.offsets.tolist() == [0, 30, 60]
    assert tensors(panel) == tensors(read(long_frame()))


@pytest.mark.thorough
@pytest.mark.parametrize("form", list(one_column_forms()))
def test_every_form_of_one_column_gives_the_same_windows_to_the_bit(form: str) -> None:
    panels = one_column_forms()[form]
    expected = Panel.of(long_frame().drop(columns="price"))
    alone = [expected.select([i]) for i in range(2)] if len(panels) == 2 else [expected]
    assert [tensors(panel) for panel in panels] == [tensors(panel) for panel in alone]


@pytest.mark.parametrize("form", ["pandas", "pandas with index", "polars", "polars lazy", "arrow"])
def test_an_answer_comes_back_in_the_library_and_columns_that_came_in(form: str) -> None:
    data = forms()[form]
    answer = read(data).to_native(np.arange(8.0).reshape(2, 2, 2))
    expected_type = pl.DataFrame if form == "polars lazy" else type(data)
    assert type(answer) is expected_type
    frame = answer.to_pandas() if form in ("polars", "polars lazy", "arrow") else answer
    frame = frame.reset_index() if form == "pandas with index" else frame
    assert list(frame.columns) == ["shop", "day", "sales", "price"]
    assert frame.index.tolist() == [0, 1, 2, 3]
    assert frame["shop"].tolist() == ["a", "a", "b", "b"]
    assert frame["day"].astype(str).tolist() == ["2024-01-31", "2024-02-01"] * 2
    assert frame["sales"].tolist() == [0.0, 2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("data", "shape"),
    [(np.zeros(9), (4,)), (np.zeros((9, 2)), (4, 2)), (np.zeros((3, 9, 2)), (3, 4, 2))],
)
def test_an_array_is_answered_by_an_array_with_the_horizon_in_place_of_time(data: np.ndarray, shape: tuple) -> None:
    panel = Panel.of(data)
    assert panel.to_native(np.zeros((len(panel), 4, panel.n_targets))).shape == shape


def test_a_list_of_ragged_arrays_is_answered_by_a_list() -> None:
    answer = Panel.of([np.zeros(5), np.zeros(7)]).to_native(np.zeros((2, 4, 1)))
    assert [part.shape for part in answer] == [(4,), (4,)]


def test_a_series_is_answered_by_a_series_with_its_name_and_later_stamps() -> None:
    series = pd.Series(wave(30), index=DAYS, name="load")
    answer = Panel.of(series).to_native(np.ones((1, 2, 1)))
    assert answer.name == "load"
    assert answer.index.astype(str).tolist() == ["2024-01-31", "2024-02-01"]
    assert Panel.of(pl.Series("load", wave(30))).to_native(np.ones((1, 2, 1))).to_list() == [1.0, 1.0]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("alias", ["h", "D"])
def test_time_zones_survive_a_change_of_the_clocks(zone: str, alias: str) -> None:
    index = pd.date_range("2024-03-25", periods=60, freq=alias, tz=zone)  # clocks change on the 31st in Berlin
    answer = Panel.of(pd.Series(wave(40), index=index[:40])).to_native(np.zeros((1, 20, 1)))
    assert (answer.index == index[40:]).all()


@pytest.mark.parametrize("form", ["pandas", "polars", "wide"])
@pytest.mark.parametrize(
    ("start", "expected"),
    [
        # On March 31st the clocks of Berlin go from 2 to 3, on October 27th they show 2:30 twice.
        ("2024-03-26 02:30", ["2024-03-31T03:00+02:00", "2024-04-01T02:30+02:00"]),
        ("2024-10-22 02:30", ["2024-10-27T02:30+02:00", "2024-10-28T02:30+01:00"]),
    ],
)
def test_a_forecast_for_an_hour_that_clocks_skip_or_show_twice_has_a_stamp(
    form: str, start: str, expected: list[str]
) -> None:
    frame = pd.DataFrame({"day": pd.date_range(start, periods=5, tz="Europe/Berlin"), "y": wave(5)})
    panel = Panel.from_wide(frame) if form == "wide" else Panel.of(pl.from_pandas(frame) if form == "polars" else frame)
    answer = panel.to_native(np.zeros((1, 2, 1)))
    days = answer["day"].to_list()
    assert [day.isoformat(timespec="minutes") for day in days] == expected


def test_periods_and_dates_come_back_as_periods_and_dates() -> None:
    months = pd.period_range("2024-01", periods=6, freq="M")
    answer = Panel.of(pd.Series(wave(6), index=months)).to_native(np.zeros((1, 2, 1)))
    assert answer.index.tolist() == [pd.Period("2024-07", "M"), pd.Period("2024-08", "M")]
    dates = pl.DataFrame({"day": [datetime.date(2024, 1, d) for d in (1, 2, 3)], "y": [1.0, 2.0, 3.0]})
    assert Panel.of(dates).to_native(np.zeros((1, 1, 1)))["day"].to_list() == [datetime.date(2024, 1, 4)]


def test_integer_time_goes_on_in_its_own_steps() -> None:
    frame = pd.DataFrame({"tick": [10, 15, 20], "y": [1.0, 2.0, 3.0]})
    panel = Panel.from_frame(frame, time="tick", target="y")
    assert panel.to_native(np.zeros((1, 2, 1)))["tick"].tolist() == [25, 30]


def test_text_dates_are_read_as_dates() -> None:
    panel = Panel.of(pd.DataFrame({"month": ["1949-01", "1949-02", "1949-03"], "n": [1, 2, 3]}))
    assert str(panel.frequency) == "MS"


def test_a_wide_frame_gives_a_series_for_each_column_without_its_ragged_ends() -> None:
    wide = pd.DataFrame({"day": DAYS[:4], "a": [1.0, 2, 3, 4], "b": [np.nan, 5, 6, np.nan]})
    panel = Panel.from_wide(wide)
    assert panel.ids.tolist() == ["a", "b"]
    assert panel.series(1).ravel().tolist() == [5.0, 6.0]
    assert panel.label(panel.stamps(1, 0)) == "2024-01-02"


@pytest.mark.parametrize("library", ["pandas", "index", "polars", "no dates"])
def test_a_wide_frame_is_answered_by_a_wide_frame(library: str) -> None:
    wide = pd.DataFrame({"day": DAYS[:6], "a": np.arange(6.0), "b": [np.nan, 1.0, 2.0, 3.0, 4.0, np.nan]})
    data = {
        "pandas": wide,
        "index": wide.set_index("day"),
        "polars": pl.from_pandas(wide),
        "no dates": wide[["a", "b"]],
    }[library]
    panel = Panel.from_wide(data)
    answer = panel.to_native(np.array([[[10.0], [11.0]], [[20.0], [21.0]]]))
    assert type(answer) is type(data)
    if library == "no dates":
        assert answer.to_numpy().tolist() == [[10.0, 20.0], [11.0, 21.0]]
        return
    frame = answer.to_pandas() if library == "polars" else answer.reset_index() if library == "index" else answer
    assert list(frame.columns) == ["day", "a", "b"]
    assert frame["day"].astype(str).tolist() == ["2024-01-06", "2024-01-07", "2024-01-08"]  # b ends a day earlier
    assert frame["a"].fillna(0).tolist() == [0, 10, 11]
    assert frame["b"].fillna(0).tolist() == [20, 21, 0]
    assert np.array_equal(panel.read_like(data).values, panel.values)


def test_a_panel_cannot_be_changed_by_changing_the_array_it_came_from() -> None:
    numbers = np.arange(5.0)
    panel = Panel.of(numbers)
    numbers[0] = 99
    assert panel.values[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        panel.values[0, 0] = 1


def test_columns_are_left_out_whatever_their_role_and_all_else_stays() -> None:
    frame = pd.DataFrame({"id": list("aabb"), "day": [1, 2, 1, 2], "y": range(4), "heat": range(4, 8), "open": 1.0})
    frame["kind"], frame["who"] = ["old", "old", "new", "new"], list("xxyy")
    roles = {"target": "y", "past": "heat", "future": "open", "static": "kind", "group": "who"}
    panel = Panel.from_frame(frame, time="day", id="id", **roles)
    bare = panel.without("heat", "kind", "who")
    assert bare.roles == Roles(("y",), future=("open",))
    assert bare.values.tolist() == frame[["y", "open"]].to_numpy().tolist()
    assert (bare.statics, bare.groups, bare.ids.tolist()) == ({}, None, ["a", "b"])
    assert panel.without().roles == panel.roles
    with pytest.raises(DataError) as caught:
        panel.without("y", "haet")
    must = "a column to leave out must be a past, future, static or group column: got "
    assert caught.value.problems == (
        f"{must}'y'; choose from 'heat', 'open', 'kind', 'who'",
        f"{must}'haet'; did you mean 'heat'?",
    )
    with pytest.raises(DataError, match="got 'y'; there are none"):
        Panel.of(np.zeros(5)).without("y")


def test_the_past_of_a_panel_holds_no_way_back_to_the_future() -> None:
    past = Panel.of(np.arange(10.0)).until(np.array([4]))
    assert past.values.base is None or len(past.values.base) == 4
    assert past.values.ravel().tolist() == [0, 1, 2, 3]


def test_forward_fill_takes_the_number_before_and_never_the_one_after() -> None:
    frame = pd.DataFrame({"day": DAYS[:5], "y": [1.0, np.nan, np.nan, 4.0, np.nan]})
    assert Panel.from_frame(frame, nan_policy="forward_fill").values.ravel().tolist() == [1, 1, 1, 4, 4]


def test_forward_fill_of_several_series_and_columns_is_that_of_each_by_pandas() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 9, 40)
    values = np.where(random.uniform(size=(lengths.sum(), 3)) < 0.5, np.nan, random.normal(size=(lengths.sum(), 3)))
    owner = np.repeat(np.arange(40), lengths)
    slow = pd.DataFrame(values).groupby(owner).ffill().to_numpy()
    assert np.array_equal(forward_fill(values, np.append(0, np.cumsum(lengths))), slow, equal_nan=True)


@pytest.mark.parametrize("lengths", [[7] * 5, [7], [3, 7, 5]], ids=str)
def test_rows_that_are_cut_out_are_a_copy_of_each_part(lengths: list[int]) -> None:
    offsets = np.append(0, np.cumsum(lengths))
    values = np.arange(2.0 * offsets[-1]).reshape(-1, 2)
    for first, last in ((0, 3), (1, 3), (2, 2)):
        found = rows_between(values, offsets[:-1] + first, offsets[:-1] + last)
        assert np.array_equal(found, np.concatenate([values[begin + first : begin + last] for begin in offsets[:-1]]))
        assert not np.shares_memory(found, values)


def test_a_panel_of_which_nothing_is_cut_is_itself() -> None:
    panel = Panel.from_array([wave(10), wave(12)])
    assert panel.until(panel.lengths) is panel
    assert panel.select([0, 1]) is panel
    assert panel.select([1, 0]).ids.tolist() == [1, 0]
    assert panel.until(np.array([10, 11])).lengths.tolist() == [10, 11]


def test_scaled_rows_are_the_same_whether_series_are_alike_or_not() -> None:
    alike = Panel.from_array([wave(30, seed) + 5 for seed in range(4)])
    ragged = Panel.from_array([*(alike.series(i)[:, 0] for i in range(4)), wave(20)])
    recipe = ScalingRecipe("log")
    one, other = (Preprocessor.fit(panel, recipe).rows(panel)[0] for panel in (alike, ragged))
    assert np.array_equal(one, other[:120])


def test_gaps_are_filled_on_request_and_counted() -> None:
    frame = long_frame().drop(index=[4, 5, 40])
    panel = Panel.from_frame(frame, target=BOTH, fill_gaps=True, nan_policy="mask")
    assert panel.notes == ("inserted 3 missing time stamps",)
    assert panel.lengths.tolist() == [30, 30]
    assert np.flatnonzero(np.isnan(panel.values[:, 0])).tolist() == [4, 5, 40]


def test_drop_series_drops_those_with_nan_and_says_how_many() -> None:
    frame = long_frame()
    frame.loc[3, "sales"] = np.nan
    panel = Panel.from_frame(frame, target=BOTH, nan_policy="drop_series")
    assert panel.ids.tolist() == ["b"]
    assert panel.notes == ("dropped 1 series with NaN",)
    assert np.array_equal(panel.values, frame.loc[30:, ["sales", "price"]].to_numpy())


@pytest.mark.parametrize(("policy", "filled"), [("mask", np.nan), ("forward_fill", 1.0)])
def test_nan_in_an_array_is_treated_as_in_a_frame(policy: str, filled: float) -> None:
    numbers = np.array([1.0, np.nan, 3.0])
    panel = Panel.from_array(numbers, nan_policy=policy)
    assert np.array_equal(panel.values.ravel(), [1.0, filled, 3.0], equal_nan=True)
    assert np.array_equal(panel.read_like(numbers).values, panel.values, equal_nan=True)


@pytest.mark.parametrize("data", [np.array([[[1.0], [2.0]], [[np.nan], [4.0]]]), [[1.0, 2.0], [np.nan]]])
def test_drop_series_drops_series_of_an_array(data: object) -> None:
    panel = Panel.from_array(data, nan_policy="drop_series")
    assert panel.values.ravel().tolist() == [1.0, 2.0]
    assert panel.ids.tolist() == [0]
    assert np.shape(panel.to_native(np.zeros((1, 3, 1))))[:2] == (1, 3)


def test_duplicates_and_order_are_mended_on_request() -> None:
    frame = pd.DataFrame({"day": DAYS[[2, 1, 1, 0]], "y": [3.0, 2.0, 2.5, 1.0]})
    panel = Panel.from_frame(frame, sort=True, duplicates="last")
    assert panel.values.ravel().tolist() == [1.0, 2.5, 3.0]


def refused(frame: pd.DataFrame, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        Panel.from_frame(frame, **{"target": BOTH, **options})
    return str(caught.value)


@pytest.mark.parametrize("season", [0, "12", 7.5, True])
def test_a_season_that_is_no_whole_number_is_refused(season: object) -> None:
    for door, data in ((Panel.from_frame, pd.DataFrame({"y": np.zeros(5)})), (Panel.from_array, np.zeros(5))):
        with pytest.raises(DataError) as caught:
            door(data, season_length=season)
        assert str(caught.value) == f"season_length must be a whole number >= 1 or 'auto': got {season!r}"


def test_an_empty_frame_is_refused() -> None:
    assert refused(long_frame().iloc[:0]).startswith("the frame must have rows: it has none (columns: shop, day, sales")


def test_nan_is_refused_with_counts_place_and_remedy() -> None:
    frame = long_frame()
    frame.loc[[33, 35], "sales"] = np.nan
    assert refused(frame) == (
        "column 'sales' must be complete: series 'b' has 2 NaN (3.3% of the rows), first at row 33 (2024-01-04); "
        "pass nan_policy='forward_fill', 'mask' or 'drop_series' to Panel.from_frame or Panel.from_array, or fill them "
        "first\none call repairs all of it: Panel.from_frame(..., nan_policy='mask')"
    )


def test_infinite_values_are_refused_under_every_policy() -> None:
    frame = long_frame()
    frame.loc[2, "price"] = np.inf
    for policy in (None, "forward_fill", "mask", "drop_series"):
        assert "column 'price' must be complete: series 'a' has 1 infinite value" in refused(frame, nan_policy=policy)


def test_numbers_too_large_to_square_are_refused_like_infinite_ones() -> None:
    frame = long_frame()
    frame.loc[33, "sales"] = -1e200
    for policy in (None, "mask"):
        assert refused(frame, nan_policy=policy) == (
            "column 'sales' must be within ±1e+100: series 'b' has 1 larger number, first at row 33 (2024-01-04); "
            "replace them by NaN, or divide the column first"
        )


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        Panel.of(np.zeros(9, dtype=complex))
    assert str(caught.value) == (
        "the array must hold real numbers: it holds complex128; pass its real part or its size"
    )
    assert "column 'sales' must hold numbers: row 0 holds " in refused(long_frame().assign(sales=1j))


def test_a_name_in_place_of_data_is_answered_with_what_reads_it() -> None:
    with pytest.raises(DataError) as caught:
        Panel.of("co2-weekly")
    assert str(caught.value) == (
        "data must be a frame, a Series, numbers or a Panel: got the text 'co2-weekly'; pass "
        "load_dataset('co2-weekly') if that is a dataset's name, and read a file first, for example with "
        "pandas.read_csv"
    )


def test_an_option_that_a_wide_frame_does_not_have_is_named() -> None:
    with pytest.raises(TypeError, match=r"Panel.from_wide\(\) got an unexpected keyword argument 'nan_polcy'"):
        Panel.from_wide(pd.DataFrame({"a": [1.0, 2.0]}), nan_polcy="mask")


def test_unsorted_stamps_are_refused_with_the_first_place() -> None:
    frame = long_frame().iloc[[1, 0, *range(2, 60)]]
    message = refused(frame)
    assert "time stamps must go forward: series 'a' breaks this at 1 place, first at row 1 " in message
    assert "(2024-01-02 -> 2024-01-01); sort by time first, or pass sort=True" in message


def test_a_column_that_would_bring_order_is_proposed_as_the_id() -> None:
    frame = long_frame().assign(shop=np.repeat([7, 9], 30))
    assert refused(frame, target="sales").endswith(
        "first at row 30 (2024-01-30 -> 2024-01-01); sort by time first, pass sort=True, "
        "or name the id column: id='shop'"
    )
    by_day = frame.sort_values("day", ignore_index=True)
    assert refused(by_day, target="sales").endswith(
        "first at row 1 (2024-01-01 -> 2024-01-01); drop the extra rows, pass duplicates='last', "
        "or name the id column: id='shop'"
    )


def test_duplicate_stamps_are_refused_with_count_and_place() -> None:
    frame = long_frame()
    frame.loc[8, "day"] = frame.loc[7, "day"]
    message = refused(frame)
    assert "each time stamp must occur once: series 'a' breaks this at 1 place, first at row 8" in message
    assert "duplicates='last'" in message


def test_gaps_are_refused_with_how_many_stamps_are_missing() -> None:
    message = refused(long_frame().drop(index=[4, 5, 40]))
    assert message == (
        "time stamps must have no gaps: 2 of 2 series break this at 2 places (3 stamps missing; 3.5% of the rows), "
        "first in series 'a' at row 4 (2024-01-04 -> 2024-01-07); pass fill_gaps=True to insert them, with a "
        "nan_policy\n"
        "one call repairs all of it: Panel.from_frame(..., fill_gaps=True, nan_policy='mask')"
    )


def test_stamps_off_the_grid_are_refused() -> None:
    frame = long_frame()
    frame.loc[7, "day"] += pd.Timedelta(hours=5)
    assert (
        "time stamps must keep the step of D: series 'a' breaks this at 2 places (3.3% of the rows), first at row 7"
        in refused(frame)
    )


def test_all_problems_of_a_frame_are_reported_at_once() -> None:
    frame = long_frame().drop(index=[44])
    frame.loc[3, "sales"] = np.nan
    frame.loc[50, "price"] = -np.inf
    message = refused(frame)
    assert message.startswith("3 problems:")
    for part in ("series 'b' breaks this at 1 place (1 stamp missing)", "has 1 NaN", "has 1 infinite value"):
        assert part in message


def test_a_column_that_does_not_exist_is_answered_with_the_nearest_one() -> None:
    assert refused(long_frame(), target="sale") == "target column 'sale' does not exist; did you mean 'sales'?"


def test_text_in_a_number_column_is_shown_with_its_row() -> None:
    frame = long_frame().astype({"sales": object})
    frame.loc[9, "sales"] = "n/a"
    assert refused(frame, id="shop", target="sales") == (
        "column 'sales' must hold numbers: row 9 holds 'n/a'; convert the column to numbers, or name another one"
    )


def test_one_column_of_numbers_is_the_target_and_several_are_refused_by_name() -> None:
    assert Panel.of(long_frame().drop(columns="price")).roles.target == ("sales",)
    assert refused(long_frame(), target=None) == (
        "which column to forecast must be clear: 'sales', 'price' hold numbers; name one with target='sales', "
        "or several with target=['sales', 'price']"
    )


def test_a_counter_and_numbers_of_series_are_said_to_be_what_they_look_like() -> None:
    frame = long_frame().assign(shop=np.repeat([7, 9], 30), day=np.tile(np.arange(30), 2))
    assert refused(frame, target=None) == (
        "which column to forecast must be clear: 'shop', 'day', 'sales', 'price' hold numbers; name one with "
        "target='sales', or several with target=['sales', 'price']; 'shop' repeats few values and may be id='shop'; "
        "'day' counts up by equal steps and may be time='day'"
    )
    assert "may be" not in refused(frame.assign(flag=np.arange(60) % 2), target=None, id="shop", time="day")
    dated = long_frame().assign(row=np.arange(60))  # the index of a file that was saved with it
    assert refused(dated, target=None).endswith("; 'row' counts up by equal steps and may be no more than a row number")
    anew = pd.DataFrame({"ts": 1_704_067_200 + 3600 * np.arange(96), "y": 100 + np.arange(96) % 24})
    with pytest.raises(DataError) as caught:
        Panel.of(anew)
    assert str(caught.value).endswith(
        "target='y', or several with target=[...]; 'ts' counts up by equal steps and may be time='ts'"
    )


def test_several_columns_of_numbers_beside_dates_may_be_series() -> None:
    wide = pd.DataFrame(
        {"a": [1.5, 2.25, 3.5], "b": [4.5, 1.5, 6.0]}, pd.date_range("2024-01-01", periods=3, name="day")
    )
    for frame in (wide, wide.reset_index()):
        with pytest.raises(DataError) as caught:
            Panel.of(frame)
        assert str(caught.value).endswith("or several with target=['a', 'b'], or all with Panel.from_wide")
    assert Panel.from_wide(wide).lengths.tolist() == [3, 3]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_text_among_numbers_is_shown_with_its_row_when_nothing_is_named(library: str) -> None:
    frame = pd.DataFrame({"day": DAYS, "sales": [f"{n:.1f}" for n in wave(30)]})
    frame.loc[9, "sales"] = "n/a"
    data = frame if library == "pandas" else pl.from_pandas(frame)
    assert refused(data, target=None) == (
        "column 'sales' must hold numbers: row 9 holds 'n/a'; convert the column to numbers, or name another one"
    )
    assert refused(frame.assign(n=1.5), target=None) == (
        "which column to forecast must be clear: 'sales', 'n' hold numbers; name one with target='n', "
        "or several with target=[...]; 'sales' holds 'n/a' in row 9"
    )


def test_text_that_is_no_iso_date_is_refused_with_row_and_value() -> None:
    frame = pd.DataFrame({"day": DAYS.strftime("%d/%m/%Y"), "y": wave(30)})
    assert refused(frame, target=None) == (
        "time column 'day' must hold dates like 2024-01-31 (ISO 8601): row 0 holds '01/01/2024'; "
        "convert it first with pandas.to_datetime(..., format='%d/%m/%Y')"
    )
    spoilt = frame.assign(day=DAYS.strftime("%Y-%m-%d"))
    spoilt.loc[7, "day"] = "soon"
    assert refused(spoilt, target=None) == (
        "time column 'day' must hold dates like 2024-01-31 (ISO 8601): row 7 holds 'soon'; correct or drop that row"
    )


def test_two_columns_of_dates_must_be_told_apart_by_the_caller() -> None:
    frame = long_frame().assign(entered=DAYS[0])
    assert refused(frame, target=None) == "columns 'day', 'entered' all hold dates; name one with time=..."


def test_an_array_of_four_dimensions_is_refused_with_its_shape() -> None:
    with pytest.raises(
        DataError, match=r"an array must have shape \(T,\), \(T, C\) or \(N, T, C\): got \(1, 2, 3, 4\)"
    ):
        Panel.of(np.zeros((1, 2, 3, 4)))


@pytest.mark.parametrize("empty", [np.zeros(0), np.zeros((0, 2)), [], [np.zeros(3), np.zeros(0)]])
def test_data_without_steps_are_refused(empty: object) -> None:
    with pytest.raises(DataError, match="must have at least one step and one channel"):
        Panel.of(empty)


def test_a_context_with_other_columns_is_refused() -> None:
    panel = Panel.from_frame(long_frame(), target=BOTH)
    with pytest.raises(DataError, match=r"target column 'price' does not exist"):
        panel.read_like(long_frame().drop(columns="price"))
    with pytest.raises(DataError, match=r"the context must have the form of the data that were fitted \(frame\)"):
        panel.read_like(np.zeros((5, 2)))


def test_dates_that_pandas_holds_as_objects_are_dates() -> None:
    dates = [datetime.date(2024, 1, 1) + datetime.timedelta(days) for days in range(30)]
    column = pd.DataFrame({"day": dates, "y": wave(30)})
    index = pd.DataFrame({"y": wave(30)}, index=pd.Index(dates, name="day"))
    for data in (column, index, index["y"]):
        panel = Panel.of(data)
        assert (len(panel), str(panel.frequency)) == (1, "D")
        assert panel.label(panel.starts[0]) == "2024-01-01"


def test_an_index_that_counts_goes_on_counting() -> None:
    years = pd.RangeIndex(1900, 1930, name="year")
    answer = Panel.of(pd.DataFrame({"y": wave(30)}, index=years)).to_native(np.zeros((1, 2, 1)))
    assert (answer.index.tolist(), answer.index.name) == ([1930, 1931], "year")
    assert Panel.of(pd.Series(wave(30), index=range(5, 35))).to_native(np.zeros((1, 2, 1))).index.tolist() == [35, 36]
    rows = pd.DataFrame({"day": DAYS[5:], "y": wave(25)}, index=range(5, 30))  # rows cut from a longer frame
    assert Panel.of(rows).kind == "datetime"


@pytest.mark.parametrize("unit", ["ns", "us", "ms"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_stamps_come_back_in_the_unit_that_they_came_in(unit: str, zone: str | None) -> None:
    frame = pd.DataFrame({"day": DAYS.tz_localize(zone).as_unit(unit), "y": wave(30)})
    for data in (frame, pl.from_pandas(frame)):
        answer = Panel.of(data).to_native(np.zeros((1, 2, 1)))
        assert str(answer["day"].dtype) == str(data["day"].dtype)


def test_a_wide_frame_with_text_is_refused() -> None:
    with pytest.raises(DataError, match="a wide frame must hold numbers besides its time: column 'note'"):
        Panel.from_wide(pd.DataFrame({"day": DAYS, "a": wave(30), "note": "x"}))


@pytest.mark.parametrize("data", [np.array(["1", "2"]), DAYS.to_numpy(), np.array([b"a"])], ids=str)
def test_an_array_of_something_else_than_numbers_is_refused(data: np.ndarray) -> None:
    with pytest.raises(DataError, match="the array must hold numbers: it holds"):
        Panel.of(data)


@pytest.mark.parametrize("data", [None, {}, 5, {1.0, 2.0}])
def test_what_is_no_data_is_refused(data: object) -> None:
    with pytest.raises(DataError, match="data must be a frame, a Series, an array, a list of arrays or a Panel: got"):
        Panel.of(data)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_all_rows_come_back_as_a_frame_that_is_read_as_the_same_panel(library: str) -> None:
    days = pd.date_range("2024-03-30", periods=4, tz="Europe/Berlin")  # clocks move on the second
    table = pd.DataFrame({"shop": ["a"] * 4 + ["b"] * 4, "day": [*days, *days], "y": np.arange(8) + 0.1})
    table = table.assign(kind=["x"] * 4 + ["z"] * 4, promo=[*"ppqqppqq"], price=np.arange(8.0)).drop(index=2)
    roles: dict[str, Any] = {"id": "shop", "target": "y", "static": "kind", "future": ["price", "promo"]}
    given = pl.from_pandas(table) if library == "polars" else table
    panel = Panel.from_frame(given, fill_gaps=True, nan_policy="mask", **roles)
    frame = panel.to_frame()
    assert type(frame) is type(given)
    assert (len(frame), [*frame.columns]) == (8, ["shop", "day", "y", "price", "promo", "kind"])
    again = Panel.from_frame(frame, nan_policy="mask", **roles)
    assert again.fingerprint() == panel.fingerprint()


def test_arrays_and_wide_frames_come_back_as_long_frames() -> None:
    arrays = Panel.from_array([[1.0, 2.0], [3.0]]).to_frame()
    assert arrays.to_dict("list") == {"id": [0, 0, 1], "y": [1.0, 2.0, 3.0]}
    days = pd.date_range("2024-01-01", periods=3)
    wide = Panel.from_wide(pd.DataFrame({"day": days, "a": [1.0, 2, 3], "b": [np.nan, 2, 3]})).to_frame()
    assert wide.to_dict("list") == {"day": [*days, *days[1:]], "id": [*"aaabb"], "value": [1.0, 2, 3, 2, 3]}
