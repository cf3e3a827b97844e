"""Calendars as people have them: short series, dates as whole numbers, zones whose clocks change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsforecast import NaiveForecaster
from tsforecast.data.panel import Panel

SHORT = {  # the first stamps, and the two that follow
    "year starts": ("2021-01-01 2022-01-01 2023-01-01 2024-01-01", "2025-01-01 2026-01-01"),
    "year ends": ("2020-12-31 2021-12-31 2022-12-31 2023-12-31", "2024-12-31 2025-12-31"),
    "years to the end of February": ("2021-02-28 2022-02-28 2023-02-28", "2024-02-29 2025-02-28"),
    "two years": ("2022-12-31 2023-12-31", "2024-12-31 2025-12-31"),
    "years on a day in May": ("2021-05-17 2022-05-17", "2023-05-17 2024-05-17"),
    "every fourth year": ("2012-07-01 2016-07-01 2020-07-01", "2024-07-01 2028-07-01"),
    "month starts": ("2024-07-01 2024-08-01 2024-09-01", "2024-10-01 2024-11-01"),
    "month starts around a new year": ("2023-12-01 2024-01-01 2024-02-01", "2024-03-01 2024-04-01"),
    "month ends": ("2024-06-30 2024-07-31 2024-08-31", "2024-09-30 2024-10-31"),
    "month ends at the last minute": ("2024-06-30T23:59 2024-07-31T23:59", "2024-08-31T23:59 2024-09-30T23:59"),
    "the 15th": ("2024-07-15 2024-08-15 2024-09-15", "2024-10-15 2024-11-15"),
    "quarter starts": ("2023-07-01 2023-10-01 2024-01-01", "2024-04-01 2024-07-01"),
    "quarter ends": ("2023-06-30 2023-09-30", "2023-12-31 2024-03-31"),
    "half years": ("2022-01-01 2022-07-01", "2023-01-01 2023-07-01"),
    "a month of 28 days": ("2023-02-01 2023-03-01", "2023-04-01 2023-05-01"),
    "28 days": ("2023-01-01 2023-01-29 2023-02-26", "2023-03-26 2023-04-23"),
    "30 days": ("2023-01-01 2023-01-31", "2023-03-02 2023-04-01"),
    "91 days": ("2023-01-02 2023-04-03 2023-07-03", "2023-10-02 2024-01-01"),
    "weeks": ("2023-01-01 2023-01-08 2023-01-15", "2023-01-22 2023-01-29"),
    "days": ("2023-01-01 2023-01-02 2023-01-03", "2023-01-04 2023-01-05"),
    "business days": ("2024-01-04 2024-01-05 2024-01-08 2024-01-09", "2024-01-10 2024-01-11"),
}


def forecast(frame: pd.DataFrame, horizon: int = 2) -> pd.DataFrame:
    return NaiveForecaster(horizon=horizon).fit(frame).predict()


@pytest.mark.parametrize("kind", SHORT)
def test_a_short_series_goes_on_by_its_calendar(kind: str) -> None:
    past, ahead = (pd.DatetimeIndex(text.split()) for text in SHORT[kind])
    found = forecast(pd.DataFrame({"t": past, "y": np.arange(len(past)) * 1.0}))
    assert found.t.tolist() == ahead.tolist()
    assert found.y.tolist() == [len(past) - 1.0] * 2


@pytest.mark.parametrize("kind", SHORT)
def test_thirty_short_series_go_on_by_their_calendar(kind: str) -> None:
    past, ahead = (pd.DatetimeIndex(text.split()) for text in SHORT[kind])
    firms = [pd.DataFrame({"firm": f"f{i}", "t": past, "y": 1.0 * i}) for i in range(30)]
    assert forecast(pd.concat(firms)).t.tolist() == ahead.tolist() * 30


@pytest.mark.parametrize(
    ("stamps", "note"),
    [
        ("2023-02-01 2023-03-01", "the time stamps fit the frequencies MS and 4W: MS was taken"),
        ("2023-04-03 2023-07-03", "the time stamps fit the frequencies QS and 13W: QS was taken"),
        ("2024-01-01 2024-01-02 2024-01-03", "the time stamps fit the frequencies D and B: D was taken"),
        ("2023-07-01 2023-08-01", None),
        ("2023-02-01 2023-03-01 2023-04-01", None),
        ("2024-01-05 2024-01-06 2024-01-07", None),
    ],
)
def test_stamps_that_fit_two_calendars_are_noted(stamps: str, note: str | None) -> None:
    frame = pd.DataFrame({"t": pd.DatetimeIndex(stamps.split()), "y": 1.0})
    assert list(Panel.of(frame).notes) == ([note] if note else [])
    assert not Panel.from_frame(frame, frequency=str(Panel.of(frame).frequency)).notes
