"""What an audit takes: frames of every library, arrays, lists, panels, groups; and what it says to all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.helpers.forecasters import wave
from tsforecast import DataError, GRUForecaster, NaiveForecaster, Panel, ParameterError, audit, audit_procedure

STEPS, CUTOFF = 30, 19
DAYS = pd.date_range("2024-01-01", periods=STEPS)
FRAME = pd.DataFrame({"day": DAYS, "y": wave(STEPS)})
TWO = pd.concat([FRAME.assign(id="a"), FRAME.assign(id="b", y=wave(STEPS, 1))], ignore_index=True)
LIMIT = "2024-01-20"

FORMS: dict[str, tuple[Any, Any]] = {
    "pandas": (FRAME, LIMIT),
    "pandas, text for dates": (FRAME.assign(day=FRAME["day"].dt.strftime("%Y-%m-%d")), LIMIT),
    "dates in the index": (FRAME.set_index("day"), pd.Timestamp(LIMIT)),
    "periods in the index": (FRAME.set_index(pd.PeriodIndex(DAYS, freq="D"))[["y"]], LIMIT),
    "series": (FRAME.set_index("day")["y"], LIMIT),
    "series without a name": (pd.Series(wave(STEPS), index=DAYS), LIMIT),
    "series without time": (pd.Series(wave(STEPS)), CUTOFF),
    "several indexes": (TWO.set_index(["id", "day"]), LIMIT),
    "two series": (TWO, LIMIT),
    "time zone": (FRAME.assign(day=DAYS.tz_localize("Europe/Berlin")), LIMIT),
    "time zone, cutoff in another": (
        FRAME.assign(day=DAYS.tz_localize("Europe/Berlin")),
        pd.Timestamp("2024-01-19 23:00", tz="UTC"),
    ),
    "whole numbers": (FRAME.assign(y=np.round(1000 * wave(STEPS)).astype(int)), LIMIT),
    "numbers that may be missing": (FRAME.assign(y=pd.array(np.arange(STEPS) ** 2, dtype="Int64")), LIMIT),
    "small numbers": (FRAME.assign(y=wave(STEPS).astype(np.float32)), LIMIT),
    "no time": (FRAME[["y"]], CUTOFF),
    "polars": (pl.from_pandas(FRAME), LIMIT),
    "polars, lazy": (pl.from_pandas(FRAME).lazy(), LIMIT),
    "polars series": (pl.Series("y", wave(STEPS)), CUTOFF),
    "arrow": (pa.Table.from_pandas(FRAME), LIMIT),
    "array": (wave(STEPS), CUTOFF),
    "array of whole numbers": (np.arange(STEPS) ** 2, CUTOFF),
    "array of small numbers": (wave(STEPS).astype(np.float32), CUTOFF),
    "two channels": (np.stack([wave(STEPS), wave(STEPS, 1)], axis=1), CUTOFF),
    "list of arrays": ([wave(STEPS), wave(STEPS - 5, 1)], CUTOFF),
    "panel": (Panel.of(FRAME), CUTOFF),
    "panel, cutoff by date": (Panel.of(FRAME), LIMIT),
    "panel without time": (Panel.from_array([wave(STEPS), wave(STEPS, 1)]), CUTOFF),
}


def column(data: Any) -> list[Any]:
    """Return the numbers of each series in any form."""
    if isinstance(data, Panel):
        return [data.series(i)[:, 0] for i in range(len(data))]
    if isinstance(data, list):
        return data
    if isinstance(data, np.ndarray):
        return [data.reshape(len(data), -1)[:, 0]]
    frame = nw.from_native(data, allow_series=True)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    values = frame.to_numpy() if isinstance(frame, nw.Series) else frame["y"].to_numpy()
    values = values.astype(np.float64) if values.dtype.kind != "f" else values
    both = isinstance(data, pd.DataFrame) and ("id" in data or isinstance(data.index, pd.MultiIndex))
    # Where rows are cut off, each series has as many.
    return np.split(values, 2) if both else [values]


def honest(data: Any) -> Any:
    return [np.sqrt(np.abs(part[: CUTOFF + 1])).sum() for part in column(data)]


def leaky(data: Any) -> Any:
    return [part[: CUTOFF + 2].sum() for part in column(data)]


@pytest.mark.sample(4)
@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_of_data_is_audited(form: str) -> None:
    data, cutoff = FORMS[form]
    before = column(data)[0].copy()

    def typed(given: Any) -> Any:
        assert type(given) is type(data)  # what was lazy stays lazy
        assert column(given)[0].dtype == (np.float32 if "small" in form else np.float64)
        return honest(given)

    report = audit_procedure(typed, data, cutoff)
    assert report.passed, str(report)
    assert report.findings["outcome"].tolist().count("passed") >= 5
    found = audit_procedure(leaky, data, cutoff).findings.set_index("perturbation")["outcome"]
    for how in ("other values", "NaN", "infinities", "cut off"):
        assert found[f"rows after the cutoff: {how}"] == "LEAK", how
    assert np.array_equal(column(data)[0], before)


def test_an_audit_of_a_function_hands_it_each_cutoff() -> None:
    report = audit(lambda frame, at: frame.loc[frame["day"] <= at, "y"].sum(), FRAME, cutoffs=[LIMIT, "2024-01-25"])
    assert report.passed
    assert report.findings["cutoff"].unique().tolist() == [LIMIT, "2024-01-25"]
    assert not audit(lambda series, at: series[: at + 2].sum(), wave(STEPS), cutoffs=[10, 20]).passed


def test_columns_that_may_name_series_are_left_and_said_to_be_unless_they_are_named() -> None:
    frame = FRAME.assign(sold=np.tile([1, 5, 7], 10))
    report = audit_procedure(lambda frame: frame["sold"].sum(), frame, LIMIT)
    row = report.findings.iloc[-1]
    assert (row["perturbation"], row["outcome"]) == ("columns left as they are", "not run")
    assert (
        row["note"] == "'sold' not perturbed: text, flags, or numbers that may name series or count; use columns=[...]"
    )
    assert not audit_procedure(lambda frame: frame["sold"].sum(), frame, LIMIT, columns=["sold"]).passed


def test_columns_that_are_not_named_may_be_known_ahead() -> None:
    frame = FRAME.assign(price=wave(STEPS, 3))

    def with_prices(frame: pd.DataFrame) -> np.ndarray:
        seen = int((frame["day"] <= LIMIT).sum())
        return frame["price"].to_numpy() + frame["y"].to_numpy()[seen - 1]

    assert audit_procedure(with_prices, frame, LIMIT, columns=["y"]).passed
    assert not audit_procedure(with_prices, frame, LIMIT).passed
    panel = Panel.from_frame(frame, target="y", future="price")
    assert audit_procedure(lambda panel: panel.values[CUTOFF + 1 :, 1], panel, CUTOFF).passed


def test_a_number_that_is_returned_for_some_data_only_has_moved() -> None:
    def alarm(series: np.ndarray) -> dict[str, float]:
        return {"first": series[0]} | ({} if np.isfinite(series).all() else {"missing": 1.0})

    found = audit_procedure(alarm, wave(STEPS), CUTOFF).findings.set_index("perturbation")
    assert found.loc["rows after the cutoff: NaN", ["outcome", "moved"]].tolist() == ["LEAK", "returned['missing']"]
    assert found.loc["rows after the cutoff: other values", "outcome"] == "passed"


def test_names_and_dates_beside_the_numbers_do_no_harm() -> None:
    def named(frame: pd.DataFrame) -> list[Any]:
        return [
            {"model": "mine", "at": pd.Timestamp(LIMIT), "until": frame["day"].max(), "y": frame["y"].iloc[0]},
            None,
        ]

    report = audit_procedure(named, FRAME, LIMIT)
    assert report.passed
    assert report.repeatable


# A series that is tested ----------------------------------------------------------------------------------------


def recordings(copies: bool = False) -> pd.DataFrame:
    """Return two recordings of each of three users, without time."""
    parts = [pd.DataFrame({"id": f"{u}{i}", "user": u, "y": wave(20, ord(u) + 9 * i)}) for u in "abc" for i in (0, 1)]
    if copies:
        parts[-1]["y"] = parts[0]["y"]
    return pd.concat(parts, ignore_index=True)


def mean_of(*users: str, own: int = 0, copy: bool = True) -> Callable[[Any], float]:
    """Return a procedure that takes the mean over users, and some rows of recording a0."""

    def procedure(data: Any) -> float:
        if isinstance(data, Panel):
            names = np.repeat(data.ids, data.lengths)
            data = pd.DataFrame({"id": names, "user": [name[0] for name in names], "y": data.values[:, 0]})
        kept = data["user"].isin(users) & (copy | (data["id"] != "c1"))
        return float(data.loc[kept, "y"].sum() + data.loc[data["id"] == "a0", "y"][:own].sum())

    return procedure


@pytest.mark.long
@pytest.mark.sample(3)
@pytest.mark.parametrize("form", [pd.DataFrame, pl.from_pandas, "panel"])
def test_other_recordings_of_the_tested_user_and_copies_must_not_matter(form: Any) -> None:
    def leaking(procedure: Any, copies: bool = False) -> set[str]:
        frame = recordings(copies)
        names: dict[str, Any] = {"id": "id", "group": "user"}
        if form == "panel":
            data, names = Panel.from_frame(frame, target="y", **names), {}
        else:
            data = form(frame)
        to_pandas = (lambda d: procedure(d.to_pandas())) if form is pl.from_pandas else procedure
        found = audit_procedure(to_pandas, data, 9, tested="a0", **names).findings
        return set(found.loc[found["outcome"] == "LEAK", "perturbation"])

    assert leaking(mean_of("b", "c", own=10)) == set()
    assert leaking(mean_of("a", "b", "c")) >= {
        f"other series of the tested group: {how}" for how in ("other values", "NaN", "left out")
    }
    assert "rows after the cutoff: other values" in leaking(mean_of("b", own=11))
    assert leaking(mean_of("b", "c"), copies=True) == {"copies of a tested series: left out"}
    assert leaking(mean_of("b", "c", copy=False), copies=True) == set()


def test_without_a_cutoff_only_groups_are_changed() -> None:
    report = audit_procedure(mean_of("a"), recordings(), tested="a0", id="id", group="user")
    assert {name.partition(":")[0] for name in report.findings["perturbation"]} == {"other series of the tested group"}
    with pytest.raises(
        Exception, match="what is returned for the tested series must not depend on other series of the te"
    ):
        report.raise_if_leaking()


# What cannot be audited -----------------------------------------------------------------------------------------

SERIES = wave(STEPS)
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "text": (lambda: audit_procedure(lambda s: "a forecast", SERIES, 9), DataError,
             "a procedure must return numbers, in arrays, frames, lists or dicts: got 'a forecast'"),
    "nothing": (lambda: audit_procedure(lambda s: [], SERIES, 9), DataError,
                "must return numbers, in arrays, frames, lists or dicts: got []"),
    "empty": (lambda: audit_procedure(lambda s: {}, SERIES, 9), DataError, "got {}"),
    "late": (lambda: audit_procedure(honest, SERIES, STEPS - 1), DataError,
             "the cutoff must be the number of a row, with rows on both sides: got 29 for 30 rows"),
    "negative": (lambda: audit_procedure(honest, SERIES, -1), DataError, "got -1 for 30 rows"),
    "date of an array": (lambda: audit_procedure(honest, SERIES, LIMIT), DataError, "got '2024-01-20' for 30 rows"),
    "date without dates": (lambda: audit_procedure(honest, FRAME[["y"]], LIMIT), DataError,
                           "without a column of dates the cutoff must be the number of a row: got '2024-01-20'"),
    "late date": (lambda: audit_procedure(honest, FRAME, "2025-01-01"), DataError,
                  "the cutoff must leave rows on both sides: 0 of 30 are later than '2025-01-01'"),
    "early date": (lambda: audit_procedure(honest, FRAME, "2023-01-01"), DataError, "30 of 30 are later"),
    "panel": (lambda: audit_procedure(honest, Panel.of(FRAME), "2025-01-01"), DataError,
              "the cutoff must leave rows on both sides: '2025-01-01'"),
    "date of a panel": (lambda: audit_procedure(honest, Panel.of(SERIES), LIMIT), DataError,
                        "a panel without dates needs a number as cutoff: got '2024-01-20'"),
    "column": (lambda: audit_procedure(honest, FRAME, LIMIT, columns=["Y", "price"]), DataError,
               "column 'Y' does not exist; did you mean 'y'"),
    "text column": (lambda: audit_procedure(honest, TWO, LIMIT, columns=["id"]), DataError,
                    "column 'id' must hold numbers to be replaced: it holds"),
    "no column": (lambda: audit_procedure(honest, FRAME[["day"]], LIMIT), DataError,
                  "there must be a column of numbers to replace: name it with columns=..."),
    "no data": (lambda: audit_procedure(honest, "series.csv", 9), DataError,
                "an audit takes a frame, a Panel, an array of numbers of shape (T,) or (T, C)"),
    "neither": (lambda: audit_procedure(honest, SERIES), ParameterError, "an audit needs cutoff=..."),
    "tested": (lambda: audit_procedure(mean_of("b"), recordings(), tested="a9", id="id"), DataError,
               "the series that is tested must exist: 'a9' does not; choose from 'a0', 'a1', 'b0'"),
    "tested without id": (lambda: audit_procedure(mean_of("b"), recordings(), tested="a0"), DataError,
                          "a series that is tested needs a Panel, or a frame with id=..."),
    "alone": (lambda: audit_procedure(mean_of("b"), recordings(), tested="a0", id="id"), DataError,
              "there is nothing to change: series 'a0' is the only one of its group"),
    "class": (lambda: audit(GRUForecaster, SERIES), ParameterError,
              "an audit takes a forecaster, an object with fit and predict, or a function: got <class"),
    "number": (lambda: audit(3, SERIES, cutoffs=[9]), ParameterError, "or a function: got 3"),
    "cutoffs of a function": (lambda: audit(lambda s, at: s, SERIES), ParameterError,
                              "the cutoffs that a function is called with must be given: pass cutoffs"),
    "cutoffs of a forecaster": (lambda: audit(NaiveForecaster(), SERIES, cutoffs=[9]), ParameterError,
                                "cutoffs of a forecaster must be a number, such as 2: got [9]"),
    "no cutoffs": (lambda: audit(NaiveForecaster(), SERIES, cutoffs=0), ParameterError,
                   "cutoffs must be a whole number >= 1: got 0"),
    "level": (lambda: audit(NaiveForecaster(), SERIES, level="deep"), ParameterError, "level must be"),  # type: ignore[arg-type]
    "level of a function": (lambda: audit(lambda s, at: s, SERIES, cutoffs=[9], level="data"), ParameterError,
                            'level="data" compares what forecasters of this package compute before they train'),
    "horizon": (lambda: audit(NaiveForecaster(), SERIES, horizon=0), ParameterError, "horizon must be a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(WRONG))
def test_what_cannot_be_audited_is_refused_in_a_sentence(case: str) -> None:
    call, error, sentence = WRONG[case]
    with pytest.raises(error) as caught:
        call()
    assert sentence in str(caught.value)


def test_windows_that_cannot_be_audited_are_refused_in_a_sentence() -> None:
    from sklearn.linear_model import Ridge

    X, y = np.ones((10, 3)), np.ones(10)
    with pytest.raises(ParameterError, match=r"is audited on windows: pass data=\(X, y\)"):
        audit(Ridge(), SERIES)
    with pytest.raises(DataError, match="X and y must have as many rows as each other: got 10 and 9"):
        audit(Ridge(), (X, y[:9]))
    with pytest.raises(ParameterError, match=r"cutoffs must be numbers of rows from 1 to 9, .*: got 0, 10"):
        audit(Ridge(), (X, y), cutoffs=[0, 5, 10])
    with pytest.raises(DataError, match="X must be rows of numbers or a list of recordings"):
        audit(Ridge(), (["a", "b"], y[:2]))
    with pytest.raises(DataError, match="a forecaster learns from windows: the rows of X must have equal lengths"):
        audit(NaiveForecaster(), ([np.ones(3), np.ones(4)] * 5, y))


# Time that is counted -------------------------------------------------------------------------------------------

WEEKS = pd.concat([FRAME[["y"]].assign(shop=name, week=np.arange(1, 31)) for name in "ab"])


def up_to(week: int) -> Callable[[Any], float]:
    """Return a procedure that takes the weeks of all shops up to one."""

    def procedure(frame: Any) -> float:
        frame = frame.to_pandas() if isinstance(frame, pl.DataFrame) else frame
        return float(frame.loc[frame["week"] <= week, "y"].sum())

    return procedure


@pytest.mark.thorough
@pytest.mark.parametrize("form", [pd.DataFrame, pl.from_pandas])
@pytest.mark.parametrize("order", [["shop", "week"], ["week", "shop"]])
def test_weeks_of_a_panel_are_compared_with_the_cutoff_where_they_are_named(form: Any, order: list[str]) -> None:
    data = form(WEEKS.sort_values(order, ignore_index=True))
    assert audit_procedure(up_to(20), data, 20, time="week").passed
    assert audit_procedure(up_to(20), data, 20, time="week", id="shop").passed
    assert "LEAK" in audit_procedure(up_to(21), data, 20, time="week").outcome
    assert audit(lambda frame, at: up_to(at)(frame), data, cutoffs=[10, 20], time="week", id="shop").passed
    with pytest.raises(DataError) as caught:
        audit_procedure(up_to(20), data, 20)
    assert str(caught.value) == (
        "the cutoff must be clear: 20 may be the number of a row or a value of 'week', which counts steps; pass "
        "time='week', or as time= a column that numbers the rows"
    )
    with pytest.raises(DataError, match="the cutoff must be clear: 20 may be the number of a row"):
        audit_procedure(up_to(20), data, 20, id="shop")  # row 20 of each shop is week 21


def test_where_rows_and_values_of_a_counter_agree_nothing_must_be_named() -> None:
    zero = WEEKS.assign(week=WEEKS["week"] - 1).reset_index(drop=True)
    assert audit_procedure(up_to(19), zero, 19, id="shop").passed
    assert audit_procedure(up_to(19), zero[zero["shop"] == "a"], 19).passed
    assert "LEAK" in audit_procedure(up_to(20), zero, 19, id="shop").outcome
    rows = WEEKS.assign(row=np.arange(60))
    assert audit_procedure(lambda frame: frame["y"].iloc[:40].sum(), rows, 39, time="row").passed


def test_one_of_two_columns_of_dates_is_time_where_it_is_named() -> None:
    frame = FRAME.assign(sent=DAYS + pd.Timedelta(days=3))
    with pytest.raises(DataError, match=r"columns 'day', 'sent' all hold dates; name one with time=\.\.\."):
        audit_procedure(honest, frame, LIMIT)
    assert audit_procedure(honest, frame, LIMIT, time="day").passed
    assert "LEAK" in audit_procedure(leaky, frame, LIMIT, time="day").outcome


def test_time_and_id_of_a_forecaster_are_those_of_its_panel() -> None:
    frame = WEEKS.assign(price=2.0)
    assert audit(NaiveForecaster(), frame[["shop", "week", "y"]], time="week", id="shop").passed
    with pytest.raises(DataError, match="which column to forecast must be clear"):
        audit(NaiveForecaster(), frame, time="week", id="shop")
    with pytest.raises(DataError, match="time= and id= name columns of a frame: got ndarray"):
        audit(NaiveForecaster(), SERIES, id="shop")


TIMED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "an array": (SERIES, {"time": "week"}, "time= and id= name columns of a frame: got ndarray"),
    "no such column": (WEEKS, {"time": "weak"}, "column 'weak' does not exist; did you mean 'week'"),
    "a date": (
        WEEKS,
        {"time": "week", "cutoff": LIMIT},
        "must be a number, since time holds numbers (1 ...): got '20",
    ),
    "a date as number": (FRAME, {"time": "day"}, "the cutoff must be a date, since the data have dates"),
}


@pytest.mark.parametrize("case", list(TIMED))
def test_a_time_that_cannot_be_compared_is_refused_in_a_sentence(case: str) -> None:
    data, told, sentence = TIMED[case]
    with pytest.raises(DataError) as caught:
        audit_procedure(honest, data, **{"cutoff": 9, **told})
    assert sentence in str(caught.value)


def test_durations_that_a_procedure_returns_are_left_out() -> None:
    calls = iter(range(1000))

    def timed(series: np.ndarray) -> dict[str, Any]:
        return {"mae": series[:10].mean(), "fit_time": float(next(calls)), "seconds": [float(next(calls))]}

    report = audit_procedure(timed, wave(STEPS), CUTOFF)
    assert report.outcome == "passed (procedure)"
    assert report.repeatable
