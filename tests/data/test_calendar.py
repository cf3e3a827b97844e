"""Frequencies are inferred, advanced and named as pandas does it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsforecast.data.calendar import Frequency, best_frequency, even_step
from tsforecast.errors import DataError

ALIASES = ["ns", "5ms", "s", "min", "5min", "30min", "h", "6h", "D", "2D", "W", "B", "MS", "QS", "YS", "ME", "QE", "YE"]


def stamps(alias: str, periods: int = 60, start: str = "2019-12-27 00:00") -> np.ndarray:
    return pd.date_range(start, periods=periods, freq=alias).astype("datetime64[ns]").astype("int64").to_numpy()


@pytest.mark.parametrize("alias", ALIASES)
def test_the_frequency_of_a_pandas_range_is_found_and_goes_on_as_pandas_does(alias: str) -> None:
    whole = stamps(alias)
    found = best_frequency(whole[:40], np.array([0, 40]), "datetime")[0]
    assert found == Frequency.parse(alias)
    assert np.array_equal(found.advance(whole[0], np.arange(60)), whole)


@pytest.mark.parametrize("alias", ALIASES)
def test_splitting_and_joining_stamps_changes_nothing(alias: str) -> None:
    frequency = Frequency.parse(alias)
    assert np.array_equal(frequency.join(*frequency.split(stamps(alias))), stamps(alias))


def test_the_name_of_a_frequency_reads_as_it_was_written() -> None:
    assert [str(Frequency.parse(alias)) for alias in ALIASES] == ALIASES


@pytest.mark.parametrize(
    ("alias", "season"),
    [
        ("h", 24),
        ("30min", 48),
        ("5min", 288),
        ("D", 7),
        ("B", 5),
        ("W", 52),
        ("MS", 12),
        ("QS", 4),
        ("YS", 1),
        ("s", 1),
    ],
)
def test_the_season_is_the_one_that_people_expect(alias: str, season: int) -> None:
    assert Frequency.parse(alias).season_length == season


def test_a_hole_in_hourly_stamps_does_not_change_the_frequency() -> None:
    holed = np.delete(stamps("h"), [5, 6, 30])
    assert best_frequency(holed, np.array([0, len(holed)]), "datetime")[0] == Frequency.parse("h")


def test_stamps_on_the_31st_and_30th_are_month_ends_not_thirty_days() -> None:
    ends = np.array(["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"], dtype="datetime64[ns]").astype("int64")
    assert str(best_frequency(ends, np.array([0, 4]), "datetime")[0]) == "ME"


def test_single_rows_have_no_frequency() -> None:
    assert best_frequency(stamps("h", 2), np.array([0, 1, 2]), "datetime")[0] is None


def test_an_unknown_alias_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(DataError, match=r"frequency '30mni' is not known; did you mean 'min'\?"):
        Frequency.parse("30mni")


def test_the_step_that_all_rows_keep_is_the_one_of_each_pair() -> None:
    random = np.random.default_rng(0)
    found = set()
    for _ in range(300):
        lengths = random.integers(0, 4, 3) if random.random() < 0.3 else random.integers(1, 5, 2)
        lengths[0] += not lengths.sum()
        parts = [random.integers(0, 9) + random.choice([1, 2]) * np.arange(length) for length in lengths]
        if random.random() < 0.3:
            parts[0] = parts[0] * random.integers(-1, 2)
        stamps, offsets = np.concatenate(parts).astype(np.int64), np.cumsum([0, *lengths])
        steps = {int(step) for part in parts for step in np.diff(part)}
        expected = steps.pop() if len(steps) == 1 and min(steps) > 0 else None
        assert even_step(stamps, offsets) == expected
        found.add(expected)
    assert found == {None, 1, 2}
