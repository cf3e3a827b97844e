"""Faulty and patterned inputs: one line for each kind of fault, and one call or command that repairs all of it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError

DAYS = pd.date_range("2024-01-01", periods=40)  # a Monday
CALL = "one call repairs all of it: Panel.from_frame(..., "


def shops() -> pd.DataFrame:
    parts = [pd.DataFrame({"shop": name, "day": DAYS, "y": np.arange(40.0)}) for name in "abc"]
    return pd.concat(parts, ignore_index=True)


def swapped(frame: pd.DataFrame) -> pd.DataFrame:
    order = np.arange(len(frame))
    order[[50, 51]] = order[[51, 50]]
    return frame.iloc[order].reset_index(drop=True)


def doubled(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame.iloc[:10], frame.iloc[[9]], frame.iloc[10:]], ignore_index=True)


def pierced(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(y=frame["y"].where(~frame.index.isin([3, 4, 70])))


def gapped(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(index=[20, 21, 90]).reset_index(drop=True)


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(frac=1, random_state=0, ignore_index=True)


ORDER = "time stamps must go forward: series 'b' breaks this at 1 place, first at row "
TWICE = "each time stamp must occur once: series 'a' breaks this at 1 place, first at row 10 (2024-01-10 -> 2024-01-10)"
GAPS = (
    "time stamps must have no gaps: 2 of 3 series break this at 2 places (3 stamps missing; 1.7% of the rows), first in"
)
NAN = "column 'y' must be complete: 2 of 3 series have 3 NaN (2.5% of the rows), first in series 'a' at row 3 "

CASES = {
    "order": ([swapped], [ORDER], "sort=True"),
    "twice": ([doubled], [TWICE], "duplicates='last'"),
    "gaps": ([gapped], [GAPS], "fill_gaps=True, nan_policy='mask'"),
    "NaN": ([pierced], [NAN], "nan_policy='mask'"),
    "order, twice": ([swapped, doubled], [ORDER, TWICE], "sort=True, duplicates='last'"),
    "order, gaps": ([gapped, swapped], [ORDER, GAPS], "sort=True, fill_gaps=True, nan_policy='mask'"),
    "order, NaN": ([pierced, swapped], [ORDER, "3 NaN (2.5% of the rows)"], "sort=True, nan_policy='mask'"),
    "twice, gaps": ([gapped, doubled], [TWICE, "3 stamps missing"], "duplicates='last', fill_gaps=True, nan_policy="),
    "shuffled": (
        [pierced, gapped, doubled, shuffled],
        [
            "time stamps must go forward: 3 of 3 series",
            "each time stamp must occur once: series 'a' breaks this at 1 place, first at row ",
            "2 of 3 series break this at 2 places (3 stamps missing; 1.7% of the rows)",
            "2 of 3 series have 3 NaN",
        ],
        "sort=True, duplicates='last', fill_gaps=True, nan_policy='mask'",
    ),
    "all": (
        [pierced, gapped, swapped, doubled],
        [ORDER, TWICE, "3 stamps missing", "3 NaN"],
        "sort=True, duplicates='last', fill_gaps=True, nan_policy='mask'",
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", CASES)
def test_each_kind_of_fault_is_one_line_and_one_call_repairs_all(kind: str, tmp_path: Path) -> None:
    steps, lines, repair = CASES[kind]
    frame = shops()
    for step in steps:
        frame = step(frame)
    with pytest.raises(DataError) as caught:
        Panel.from_frame(frame)
    assert len(caught.value.problems) == len(lines)
    for line, problem in zip(lines, caught.value.problems, strict=True):
        assert line in problem
    last = str(caught.value).split("\n")[-1]
    assert last.startswith(CALL + repair)
    frame.to_csv(tmp_path / "my shops.csv", index=False)
    refused = tsforecast("leaderboard", "my shops.csv", "--models", "naive", "--horizon", "2", cwd=tmp_path)
    assert refused.returncode == 2
    if not repair:
        return
    arguments = dict(re.findall(r"(\w+)=(?:'(\w+)'|True)", last))
    panel = Panel.from_frame(frame, **{name: value or True for name, value in arguments.items()})
    assert panel.lengths.tolist() == [40, 40, 40]
    command = refused.stderr.strip().split("\n")[-1].removeprefix("one command repairs all of it: tsforecast ")
    assert command.startswith("leaderboard 'my shops.csv' --models naive --horizon 2 --")
    assert tsforecast(*shlex.split(command), cwd=tmp_path).returncode == 0


def test_a_fault_that_nothing_repairs_ends_without_a_call() -> None:
    frame = gapped(swapped(shops())).assign(y=np.r_[np.inf, np.zeros(116)])
    with pytest.raises(DataError) as caught:
        Panel.from_frame(frame)
    assert len(caught.value.problems) == 3
    assert CALL not in str(caught.value)


def test_many_columns_with_one_fault_are_one_line() -> None:
    columns = {f"x{i}": np.r_[np.nan, np.zeros(39)] for i in range(12)}
    with pytest.raises(DataError) as caught:
        Panel.from_frame(pd.DataFrame({"day": DAYS, "y": 1.0, **columns}), target="y", past=list(columns))
    assert str(caught.value).startswith(
        "columns 'x0', 'x1', 'x2', 'x3', 'x4', 'x5', 'x6', 'x7' and 4 more must be complete: series 'y' has 12 NaN, "
        "first at row 0 (2024-01-01)"
    )


@pytest.mark.parametrize(
    ("frequency", "closed", "words"),
    [
        ("D", lambda times: times.day_of_week == 6, "5 missing time stamps, all on Sundays"),
        ("D", lambda times: times.day_of_week >= 5, ""),  # business days are a frequency of their own
        ("D", lambda times: times.day_of_week.isin([0, 3]), "all on Mondays, Thursdays"),
        ("D", lambda times: times.day == 7, ""),  # one Sunday of several
        ("D", lambda times: (times.day_of_week == 6) | (times.day == 3), "5 on Sundays"),
        ("h", lambda times: times.hour < 2, "all at the hours 0:00, 1:00"),
        ("h", lambda times: times.hour == 5, "all at the hours 5:00"),
        ("15min", lambda times: times.hour == 5, "all at the hours 5:00"),
        ("h", lambda times: times.day == 2, ""),
    ],
)
def test_steps_that_no_row_ever_has_are_noted_as_a_pattern(frequency: str, closed: object, words: str) -> None:
    count = {"D": 42, "h": 240, "15min": 960}[frequency]
    times = pd.date_range("2024-01-01", periods=count, freq=frequency)
    times = times[~closed(times)]  # type: ignore[operator]
    frame = pd.DataFrame({"time": times, "y": np.arange(len(times)) * 1.0})
    notes = Panel.from_frame(frame, fill_gaps=True, nan_policy="mask").notes
    tail = "; nan_policy 'mask' keeps such steps out of training and errors; forecasts of them mean nothing"
    if words:
        (note,) = notes
        assert f"{words}, which no row has: closed then, as it seems{tail}" in note
        with pytest.raises(DataError, match=r"stamps missing, .* which no row has: closed then, as it seems"):
            Panel.from_frame(frame)
    else:
        assert not any("closed" in note for note in notes)


def test_series_that_are_closed_on_days_of_their_own_are_named_in_a_panel() -> None:
    days = pd.date_range("2024-01-01", periods=42, freq="D")
    shops = {"open": [], "sundays": [6], "mondays": [0, 2]}
    parts = [pd.DataFrame({"day": days[~days.day_of_week.isin(of)], "shop": name}) for name, of in shops.items()]
    frame = pd.concat(parts).assign(y=1.0)
    (note,) = Panel.from_frame(frame, id="shop", fill_gaps=True, nan_policy="mask").notes
    assert note == (
        "inserted 16 missing time stamps; 2 of 3 series are closed, as it seems: 'sundays' on Sundays, 'mondays' on "
        "Mondays, Wednesdays; nan_policy 'mask' keeps such steps out of training and errors; forecasts of them mean "
        "nothing"
    )
    other = frame[frame.shop == "open"].drop(index=[3, 9]).assign(shop="gaps")  # of two weekdays
    (note,) = Panel.from_frame(
        pd.concat([parts[0].assign(y=1.0), other]), id="shop", fill_gaps=True, nan_policy="mask"
    ).notes
    assert note == "inserted 2 missing time stamps"


def test_gaps_of_more_years_than_nanoseconds_can_count_are_filled() -> None:
    days = pd.to_datetime(["1700-01-01", "1700-01-02", "1700-01-03", "2200-01-01"])
    frame = pd.DataFrame({"day": days, "y": [1.0, 2, 3, 4]})
    panel = Panel.from_frame(frame, fill_gaps=True, nan_policy="mask", frequency="D")
    assert panel.lengths.tolist() == [(days[-1] - days[0]).days + 1]
    with pytest.raises(DataError, match=r"at 1 place \(182618 stamps missing\), first at row 3"):
        Panel.from_frame(frame, frequency="D")


def test_check_describes_a_file_without_training(tmp_path: Path) -> None:
    frame = shops()
    frame.loc[frame["shop"] == "c", "y"] = 3.0
    old = pd.DataFrame({"shop": "old", "day": DAYS[:15], "y": np.arange(15.0)})
    pd.concat([frame, old]).to_csv(tmp_path / "shops.csv", index=False)
    found = tsforecast("check", "shops.csv", "--horizon", "2", cwd=tmp_path, width=200)
    assert (found.returncode, found.stderr) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in found.stdout.split("\n") if "│" in line]
    assert rows == [
        ["columns", "time 'day'"],
        ["", "id 'shop'"],
        ["", "target 'y'"],
        ["series", "4: 'a', 'b', 'c', 'old'"],
        ["steps", "15 to 40, 40 in the median, 2024-01-01 to 2024-02-09"],
        ["frequency, season", "D, 7"],
        ["constant", "1 of 4: 'c'"],
        ["ended", "1 of 4: 'old'"],
        ["leaderboard", "horizon 2, the oldest of 10 cutoffs at 2024-01-29; tests 3 of 4 series"],
        ["fit", "horizon 2, window 7, anchor blend, value_transform None, validation 6"],
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["shops.csv"]


def test_check_counts_faults_and_its_last_line_repairs_them(tmp_path: Path) -> None:
    frame = doubled(swapped(gapped(pierced(shops()))))
    frame.to_csv(tmp_path / "shops.csv", index=False)
    found = tsforecast("check", "shops.csv", cwd=tmp_path, width=200)
    assert found.returncode == 1
    assert found.stdout.count("fault: ") == 4
    assert "dropped 1 duplicate time stamp, kept the last of each" in found.stdout
    assert "│ missing numbers   │ 6 (5.0%) in 3 of 3 series" in found.stdout
    command = found.stdout.strip().split("\n")[-1].removeprefix("one command repairs all of it: tsforecast ")
    assert command == "check shops.csv --sort --duplicates last --fill-gaps --nan mask"
    assert tsforecast(*command.split(), cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("day,y,z\n2024-01-01,1,2\n2024-01-02,2,3\n", [], "'y', 'z' hold numbers; name one with --target y"),
        ("day,y\n2024-01-01,1\n2024-01-02,much\n2024-01-03,4\n", ["--target", "y"], "line 3 holds 'much'"),
        ("day,y\n", [], "the file must have rows"),
    ],
)
def test_check_refuses_what_it_cannot_read(text: str, words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    found = tsforecast("check", "a.csv", *words, cwd=tmp_path)
    assert found.returncode == 2
    assert message in found.stderr
    assert found.stdout == ""


def test_check_of_a_file_that_is_too_short_states_why_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("day,y\n2024-01-01,1\n2024-01-02,3\n")
    found = tsforecast("check", "a.csv", "--horizon", "5", cwd=tmp_path, width=250)
    assert found.returncode == 1
    assert found.stdout.count("refused: ") == 2


@pytest.mark.parametrize(
    ("repair", "message"),
    [
        (
            {"fill_gaps": "ffill"},
            "fill_gaps must be True or False: got 'ffill'; pass fill_gaps=True and nan_policy='forward_fill'",
        ),
        ({"fill_gaps": "yes", "sort": 1}, "fill_gaps must be True or False: got 'yes'"),
        ({"nan_policy": "ffill"}, "got 'ffill'; did you mean 'forward_fill'?"),
    ],
)
def test_a_repair_in_the_words_of_pandas_is_answered_with_the_one_to_use(repair: dict[str, str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        Panel.from_frame(shops(), **repair)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_hours_on_a_clock_that_changes_are_no_pattern() -> None:
    times = pd.date_range("2024-01-01", periods=240, freq="h", tz="Europe/Berlin")
    times = times[times.hour >= 2]
    frame = pd.DataFrame({"time": times, "y": np.arange(len(times)) * 1.0})
    notes = Panel.from_frame(frame, fill_gaps=True, nan_policy="mask").notes
    assert (
        notes[-1] == "inserted 18 missing time stamps"
    )  # before the first row none is missing: nine nights of two hours
