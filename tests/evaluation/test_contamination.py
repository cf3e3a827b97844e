"""Memory of data is found on twins of them, models that learn here are not suspected, and the limits are stated."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from tsforecast import Panel, Pretraining, ThetaForecaster, contamination_check
from tsforecast.errors import DataError, ParameterError, UnknownNameError
from tsforecast.evaluation.contamination import twins
from tsforecast.forecasters.naive import MeanForecaster, NaiveForecaster

RIVALS = ["mean", "window-average", "reduction"]
WALKS = 50 + np.random.default_rng(0).normal(size=(12, 60)).cumsum(axis=1)
DAYS = pd.date_range("2024-01-01", periods=60, freq="D")


def memory(truth: np.ndarray, scaled: bool = False) -> Callable[..., Any]:
    """Return a model that has stored what follows each context of ten numbers, also in other units if `scaled`."""

    def key(last: np.ndarray) -> bytes:
        shape = (last - last.mean()) / (last.std() or 1.0) if scaled else last
        return bytes(np.round(shape, 6).tobytes())

    stored = {
        key(row[at - 10 : at]): (row[at - 10 : at], row[at : at + 6]) for row in truth for at in range(10, len(row))
    }

    def remembered(context: Any, horizon: int) -> np.ndarray:
        found = []
        for own in np.asarray(context)[..., 0]:
            last = own[-10:]
            past, future = stored.get(key(last), (last, np.full(6, last[-1])))
            if scaled:
                future = last.mean() + (future - past.mean()) * last.std() / past.std()
            found.append(np.resize(future, horizon))
        return np.stack(found)[..., None]

    return remembered


def check(model: Any, data: Any = WALKS[..., None], **options: Any) -> Any:
    given = {"rivals": RIVALS, "horizon": 6, "origins": 1} | options
    return contamination_check(model, data, **given)


def outcomes(report: Any) -> dict[str, str]:
    return dict(zip(report.table["set"], report.table["outcome"], strict=True))


@pytest.mark.long
def test_a_model_that_stored_the_numbers_is_found_on_all_twins() -> None:
    report = check(memory(WALKS))
    assert report.suspected
    assert outcomes(report) == {"the data": ""} | dict.fromkeys(
        ("shifted", "rescaled", "reversed", "resampled"), "memory"
    )
    assert report.sentence.startswith("remembered seems to remember these data: compared with ")
    assert report.sentence.endswith(", on 12 series")
    assert report.table["loss"].iloc[0] < 1e-9 < report.table["rivals"].iloc[0]


@pytest.mark.long
def test_a_model_that_stored_them_in_any_units_is_found_backwards_and_resampled() -> None:
    report = check(memory(WALKS, scaled=True))
    found = outcomes(report)
    assert {name for name, outcome in found.items() if outcome == "memory"} == {"reversed", "resampled"}
    assert found["shifted"] == found["rescaled"] == "nothing shown"


@pytest.mark.long
@pytest.mark.parametrize(
    "model", [ThetaForecaster(), NaiveForecaster(), MeanForecaster()], ids=lambda one: type(one).__name__
)
def test_models_that_learn_here_are_not_suspected(model: Any) -> None:
    report = check(model)
    assert not report.suspected
    assert report.sentence.startswith("nothing shows that ")
    change = report.table.set_index("set")["change"]
    assert change[["shifted", "rescaled"]].to_numpy() == pytest.approx(1.0, abs=0.02)


@pytest.mark.long
def test_a_model_that_is_no_better_than_its_rivals_on_the_data_is_not_suspected() -> None:
    """It is far off on data that grow, and farther where they run backwards."""
    growth = 50 * np.exp(0.01 * np.arange(96) + 0.03 * np.random.default_rng(0).normal(size=(16, 96)))
    report = check(MeanForecaster(), growth[..., None], rivals=["theta", "reduction", "anchor"], origins=2)
    assert report.table.set_index("set").loc["reversed", "change"] > 1.25
    assert not report.suspected


@pytest.mark.long
def test_a_model_is_known_by_its_name_as_well() -> None:
    report = check("drift")
    assert report.model == "drift (checked)"  # beside a rival of this name
    assert not report.suspected
    with pytest.raises(UnknownNameError, match="model 'drifft' does not exist; did you mean 'drift'"):
        check("drifft")
    with pytest.raises(ParameterError, match="model must be one model: got 'all'"):
        check("all")


@pytest.mark.long
def test_every_report_has_its_limits() -> None:
    report = check(NaiveForecaster())
    assert "a model may be less good on it for other reasons" in str(report)
    assert "kept little of the data" in repr(report)
    assert "| set " in str(report)


@pytest.mark.long
def test_the_same_seed_gives_the_same_report_and_another_seed_other_twins() -> None:
    one, two, other = (check(memory(WALKS), random_state=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one.table, two.table)
    assert one.table["loss"].tolist() != other.table["loss"].tolist()
    assert other.suspected


def dated(values: np.ndarray) -> pd.DataFrame:
    """Return series as a frame with days."""
    ids = np.repeat([f"s{i:02d}" for i in range(len(values))], values.shape[1])
    return pd.DataFrame({"id": ids, "day": np.tile(DAYS[: values.shape[1]], len(values)), "y": values.ravel()})


def until(release: str, values: np.ndarray) -> Any:
    """Return a model that knows each number until a day, and states that day as its release."""
    known = {day: values[:, at] for at, day in enumerate(DAYS)}

    def remembered(context: pd.DataFrame, horizon: int) -> pd.DataFrame:
        last = context["day"].max()
        own = context.groupby("id")["y"].last()
        ahead = [last + pd.Timedelta(days=step) for step in range(1, horizon + 1)]
        rows = []
        for place, (name, number) in enumerate(own.items()):
            rows += [(name, day, known[day][place] if day <= pd.Timestamp(release) else number) for day in ahead]
        return pd.DataFrame(rows, columns=["id", "day", "y"])

    made = partial(remembered)
    made.pretraining = Pretraining(release)  # type: ignore[attr-defined]
    return made


@pytest.mark.long
def test_losses_after_the_release_are_compared_with_those_before() -> None:
    report = check(until("2024-02-19", WALKS), dated(WALKS), horizon=1, origins=20)
    line = report.table.set_index("set").loc["after the release"]
    assert line["outcome"] == "memory"
    assert line["change"] > 100
    assert "after the release (p" in report.sentence
    honest = check(NaiveForecaster(), dated(WALKS), horizon=1, origins=20, release="2024-02-19")
    assert outcomes(honest)["after the release"] == "nothing shown"


@pytest.mark.long
@pytest.mark.parametrize(
    ("data", "release", "outcome"),
    [
        (WALKS[..., None], "2024-02-19", "not known: the data have no dates"),
        (
            dated(WALKS),
            "2024-02-26",
            "not known: 17 cutoffs before and 3 after are too few, 5 are needed on each side",
        ),
        (dated(WALKS), "2030-01-01", "not known: 20 cutoffs before and 0 after are too few, 5 are needed on each side"),
    ],
)
def test_without_cutoffs_on_both_sides_nothing_is_said_of_the_release(data: Any, release: str, outcome: str) -> None:
    report = check(NaiveForecaster(), data, horizon=1, origins=20, release=release)
    assert outcomes(report)["after the release"] == outcome


@pytest.mark.long
def test_a_twin_that_a_model_cannot_forecast_is_left_out_with_the_reason() -> None:
    def remembered(context: Any, horizon: int) -> Any:
        if np.asarray(context).max() > 100:
            raise ValueError("numbers above 100 are not known")
        return memory(WALKS)(context, horizon)

    report = check(remembered)
    assert outcomes(report)["rescaled"].startswith("not run: ValueError: numbers above 100 are not known")
    assert outcomes(report)["reversed"] == "memory"
    with pytest.raises(DataError, match="remembered must forecast the data: ValueError: numbers above 100"):
        check(remembered, 10 * WALKS[..., None])


@pytest.mark.long
def test_few_series_and_cutoffs_show_nothing() -> None:
    report = check(memory(WALKS), WALKS[:7, :, None])
    assert not report.suspected
    assert report.sentence == (
        "whether remembered remembers these data cannot be tested: not known: 7 series are too few, 8 are needed"
    )


@pytest.mark.long
def test_cutoffs_are_counted_where_they_are_more_than_series() -> None:
    report = check(memory(WALKS[:1]), WALKS[:1, :, None], origins=12, horizon=2)
    assert (report.cases, report.unit) == (12, "cutoffs")
    assert report.suspected


def test_rivals_cannot_have_seen_the_data() -> None:
    with pytest.raises(
        ParameterError, match="rivals must be models that cannot have seen the data: remembered learned"
    ):
        check(memory(WALKS), rivals=[*RIVALS, until("2024-02-19", WALKS)])
    with pytest.raises(DataError, match="at least 3 different rivals must forecast the data and all twins: 2 did"):
        check(memory(WALKS), rivals=[])  # without a season, seasonal naive is naive


@pytest.mark.long
def test_a_rival_that_fails_is_left_out_with_a_note() -> None:
    def failing(context: Any, horizon: int) -> Any:
        raise ValueError("no")

    report = check(memory(WALKS), rivals=[MeanForecaster(), ThetaForecaster(), failing])
    assert report.notes == ("failing is no rival here: ValueError: no",)
    assert "failing" not in report.rivals


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"random_state": -1}, "random_state must be a whole number >= 0"),
        ({"release": "soon"}, "release must be a date such as '2024-11-27'"),
        ({"rivals": ["gruu"]}, "model 'gruu' does not exist; did you mean 'gru'"),
        ({"horizon": 0}, "horizon must be a whole number >= 1"),
    ],
)
def test_mistakes_are_refused_before_anything_is_fitted(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ParameterError, DataError, KeyError), match=sentence):
        check(NaiveForecaster(), **options)


@pytest.mark.long
def test_constant_series_are_left_out_and_missing_numbers_stay() -> None:
    odd = WALKS.copy()
    odd[0] = 7.0
    report = check(memory(odd), odd[..., None])
    assert (report.cases, report.suspected) == (11, True)
    gaps = dated(WALKS)
    gaps.loc[gaps.index % 13 == 5, "y"] = np.nan
    panel = Panel.from_frame(gaps, nan_policy="mask")
    assert not check(MeanForecaster(), panel, rivals=["window-average", "reduction", "theta"]).suspected
    with pytest.raises(DataError, match="some series must have a MASE"):
        check(NaiveForecaster(), np.full((9, 60, 1), 3.0))


def test_twins_differ_in_what_they_promise_alone() -> None:
    season = 10 + 3 * np.sin(np.arange(48) * np.pi / 6) + 0.1 * np.random.default_rng(0).normal(size=(2, 48))
    frame = pd.concat(
        pd.DataFrame({"id": f"s{i}", "day": DAYS[:48], "y": row, "x": np.arange(48.0)}) for i, row in enumerate(season)
    )
    frame.loc[frame["day"] == DAYS[20], "y"] = np.nan
    panel = Panel.from_frame(frame, future="x", nan_policy="mask", season_length=12)
    made = twins(panel, horizon=6)
    y, x = panel.values.T
    for name, twin in made.items():
        assert twin.values.shape == panel.values.shape
        assert np.isnan(twin.values[:, 0]).sum() == 2
        if name != "reversed":
            assert np.array_equal(twin.values[:, 1], x)
    for i in range(2):
        own = slice(48 * i, 48 * i + 48)
        shift = (made["shifted"].values[own, 0] - y[own])[~np.isnan(y[own])]
        assert np.ptp(shift) < 1e-9
        assert shift[0] > 0.4 * np.nanmax(y[own]) - 0.4 * np.nanmin(y[own])
        factor = (made["rescaled"].values[own, 0] / y[own])[~np.isnan(y[own])]
        assert np.ptp(factor) < 1e-9
        assert 2 <= factor[0] <= 5
        assert np.array_equal(made["reversed"].values[own], panel.values[own][::-1], equal_nan=True)
        drawn = made["resampled"].values[own, 0]
        rest = drawn - y[own]
        assert 0.01 < np.nanstd(rest) < 0.25  # the season, of amplitude 3, stays
        assert np.nanmin(drawn) >= 0


def test_the_committed_rows_have_few_false_alarms_and_find_whole_memories() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "contamination.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    suspected, panels = Counter[str](), Counter[str]()
    for row in rows:
        suspected[row["model"]] += row["suspected"]
        panels[row["model"]] += row["panels"]
    honest = [name for name in panels if not name.startswith("memory")]
    assert {"naive", "seasonal-naive", "theta", "reduction", "gru"} <= set(honest)
    for name in honest:
        assert panels[name] >= 100
        assert suspected[name] / panels[name] <= 0.05
        assert binomtest(suspected[name], panels[name]).proportion_ci(method="exact").high < 0.07
    for name in ("memory, exact", "memory, any scale", "memory of half of the series"):
        assert suspected[name] == panels[name]
    page = (Path(__file__).parents[2] / "docs" / "concepts" / "contamination.md").read_text(encoding="utf-8")
    assert sum(suspected[name] for name in honest if name != "gru") == 0
    assert f"| GRU | {suspected['gru']} |" in page
    assert f"last season left | {suspected['memory, blurred by half']} |" in page
