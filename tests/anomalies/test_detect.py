"""Anomalies of fitted and unfitted models of any kind, in frames and arrays; nothing looks ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast import (
    Anomalies,
    ConformalForecaster,
    DataError,
    Detector,
    GRUForecaster,
    MeanForecaster,
    NaiveForecaster,
    Panel,
    ParameterError,
    ReductionForecaster,
    SeasonalNaiveForecaster,
    detect,
)
from tsforecast.forecasters.base import Forecaster


def table(count: int = 700, shops: int = 1, seed: int = 0) -> pd.DataFrame:
    """Return hourly sales of some shops, with a point at hour 620 and a run at hours 650 to 690 of the first."""
    t, random = np.arange(count), np.random.default_rng(seed)
    frames = []
    for number in range(shops):
        sales = (10 + np.sin(2 * np.pi * t / 24) + 0.1 * random.normal(size=count)) * 10.0**number
        if not number:
            sales[620] += 3
            sales[650:690] += 0.35
        hours = pd.date_range("2024-01-01", periods=count, freq="h")
        frames.append(pd.DataFrame({"shop": f"s{number}", "hour": hours, "sales": sales}))
    return pd.concat(frames, ignore_index=True)


def panel_of(frame: pd.DataFrame) -> Panel:
    return Panel.from_frame(frame, time="hour", id="shop", target="sales")


def until(frame: pd.DataFrame, hour: int) -> pd.DataFrame:
    return frame[frame["hour"] < frame["hour"].min() + pd.Timedelta(hours=hour)]


MODELS: list[Forecaster] = [
    SeasonalNaiveForecaster(horizon=24),
    ReductionForecaster(horizon=24, window=48),
    ConformalForecaster(ReductionForecaster(window=48), horizon=24, calibration=0.3),
    GRUForecaster(horizon=24, window=48, units=4, max_epochs=2, random_state=0),
]


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_point_and_a_run_are_found_by_models_of_any_kind(model: Forecaster) -> None:
    frame = table()
    found = detect(panel_of(frame), model, level=0.05, step=24, learn=500)
    assert isinstance(found, Anomalies)
    events = found.to_frame()
    hours = (events[["start", "end"]] - frame["hour"].min()) / pd.Timedelta(hours=1)
    points = hours[events["kind"] == "point"]
    assert (points["start"].le(620) & points["end"].ge(620)).any()
    runs = hours[events["kind"] == "collective"]
    assert (runs["start"].between(630, 670) & runs["end"].between(655, 700)).any()
    assert len(found.rows) == 200


def test_rows_hold_forecasts_errors_and_the_reach_of_a_point_as_by_hand() -> None:
    frame = table(shops=2)
    model = SeasonalNaiveForecaster(horizon=2).fit(panel_of(until(frame, 500)))
    found = detect(panel_of(frame), model, step=2)
    first = frame[frame["shop"] == "s0"]["sales"].to_numpy()
    rows = found.rows[found.rows["series"] == "s0"]
    assert rows["row"].tolist() == list(range(500, 700))
    assert rows["y"].to_numpy() == pytest.approx(first[500:])
    assert rows["forecast"].to_numpy() == pytest.approx(first[476:676])
    moves = np.abs(first[24:] - first[:-24])
    units = [moves[: row - 2 + 1 - 24].mean() for row in range(500, 700)]
    assert rows["error"].to_numpy() == pytest.approx((first[500:] - first[476:676]) / units)
    alone = (rows["y"] < rows["low"]) | (rows["y"] > rows["high"])
    assert rows.loc[alone, "anomaly"].all()
    assert alone.any()
    assert found.facts.tests == 200
    assert str(found) == found.headline


@pytest.mark.long
def test_rows_that_come_one_after_the_other_have_the_anomalies_of_rows_that_come_at_once() -> None:
    frame = table(shops=2)
    model = SeasonalNaiveForecaster(horizon=3).fit(panel_of(until(frame, 590)))
    detector, once = Detector(model, level=0.05, step=3), detect(panel_of(frame), model, level=0.05, step=3)
    for hour in (*range(591, 640), 670, 670, 700):
        new = until(frame, hour)
        found = detector.read(panel_of(new[new["hour"] >= new["hour"].max() - pd.Timedelta(hours=40)]))
    pd.testing.assert_frame_equal(found.rows, once.rows)
    pd.testing.assert_frame_equal(found.to_frame(), once.to_frame())
    assert set(once.to_frame()["kind"]) == {"point", "collective"}


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS[:2], ids=lambda model: type(model).__name__)
def test_what_is_found_up_to_a_time_does_not_depend_on_what_follows(model: Forecaster) -> None:
    frame, cut = table(shops=2), 640
    fitted = model.fit(panel_of(until(frame, 500)))
    other = frame.copy()
    later = other["hour"] >= other["hour"].min() + pd.Timedelta(hours=cut)
    other.loc[later, "sales"] = np.random.default_rng(1).normal(50, 30, later.sum())
    whole, changed = (detect(panel_of(each), fitted, level=0.05, step=5) for each in (frame, other))
    short = detect(panel_of(until(frame, cut)), fitted, level=0.05, step=5)
    before = [found.rows[found.rows["row"] < cut].reset_index(drop=True) for found in (whole, changed, short)]
    for each in before[1:]:
        pd.testing.assert_frame_equal(before[0], each, check_exact=True)
    assert before[0]["anomaly"].any()
    assert changed.rows["anomaly"].sum() > whole.rows["anomaly"].sum()


def test_arrays_are_given_as_a_whole_and_lists_of_series_share_their_residuals() -> None:
    walks = [np.cumsum(np.random.default_rng(seed).normal(size=400)) for seed in range(3)]
    walks[1][350:] += 30
    found = detect(walks, NaiveForecaster(), learn=0.7).to_frame()
    assert found[["kind", "series", "start"]].values.tolist()[0] == ["point", 1, 350]
    fitted = NaiveForecaster().fit([walk[:280] for walk in walks])
    pd.testing.assert_frame_equal(detect(walks, fitted).to_frame(), found)


def test_missing_numbers_are_not_judged_and_targets_are_judged_apart() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=400), "a": random.normal(size=400)})
    frame["b"] = random.normal(5, 2, 400)
    frame.loc[300, "a"] = np.nan
    frame.loc[320, "b"] = 60.0
    panel = Panel.from_frame(frame, time="day", target=["a", "b"], nan_policy="mask")
    found = detect(panel, MeanForecaster())
    rows = found.rows
    assert rows.loc[rows["p_value"].isna(), ["target", "row"]].values.tolist() == [["a", 300]]
    assert found.to_frame()[["target", "start"]].values.tolist() == [["b", pd.Timestamp("2024-11-16")]]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"level": 0}, "level must be a number in (0, 1): got 0"),
        ({"step": 0}, "step must be a whole number >= 1: got 0"),
        ({"memory": 0}, "memory must be a whole number >= 1 or None: got 0"),
        ({"tail": "powr"}, "tail must be one of 'power', 'exponential', None: got 'powr'; did you mean 'power'?"),
        (
            {"step": 4},
            "step must be at most the horizon of the model: got 4, the model forecasts 3 steps; fit a longer horizon",
        ),
    ],
)
def test_parameters_that_cannot_work_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError) as error:
        detect(np.arange(90.0), NaiveForecaster(horizon=3).fit(np.arange(80.0)), **settings)
    assert str(error.value) == sentence


@pytest.mark.long
def test_data_that_do_not_follow_on_are_refused() -> None:
    frame = table(shops=2)
    model = NaiveForecaster().fit(panel_of(until(frame, 600)))
    gap = frame[frame["hour"] > frame["hour"].min() + pd.Timedelta(hours=610)]
    with pytest.raises(DataError, match="new rows must follow on: series 's0' has 2024-01-26 next, and the table"):
        detect(gap, model)
    with pytest.raises(DataError, match="known rows must stay as they were: series 's0' had"):
        detect(frame.assign(sales=1.0), model)
    detector = Detector(model)
    detector.read(frame[frame["shop"] == "s0"])
    with pytest.raises(DataError, match="rows of all series must come in order of time: series 's1' has new ones at a"):
        detector.read(frame[frame["shop"] == "s1"])
    with pytest.raises(DataError, match=r"anomalies must have 40 residuals .* did not learn from have 2"):
        detect(np.arange(60.0), ReductionForecaster(window=3), learn=0.2)
    with pytest.raises(ParameterError, match="learn must be a share"):
        detect(np.arange(60.0), NaiveForecaster(), learn=0)


def test_where_no_row_can_be_found_alone_a_sentence_has_the_numbers() -> None:
    numbers = np.random.default_rng(0).normal(size=500)
    found = detect(numbers, MeanForecaster(), tail=None)
    count = found.facts.residuals
    assert found.facts.sentences[2] == (
        f"No row is found alone: {count} residuals show no p-value below {1 / (count + 1):.2g}, and a level of 0.01 "
        "among 100 rows needs 0.0001; use a tail, a shorter memory, or longer series"
    )
    usual = detect(numbers, MeanForecaster()).facts
    assert len(usual.sentences) == 3
    assert usual.sentences[2].startswith("With fewer than 400 residuals that depend on each other, false collective")
    assert len(replace(usual, residuals=400).sentences) == 2
    assert not np.isfinite(found.rows["high"]).any()


def test_a_plot_has_the_observations_and_circles_at_the_points_of_one_series() -> None:
    found = detect(panel_of(table(shops=2)), SeasonalNaiveForecaster(horizon=24), level=0.05, step=24, learn=500)
    axes, other = found.plot(), found.plot("s1")
    lines = {line.get_label(): line for line in axes.lines}
    rows = found.rows[found.rows["series"] == "s0"]
    np.testing.assert_array_equal(lines["observed"].get_ydata(), rows["y"])
    assert len(lines["point"].get_xdata()) == rows["anomaly"].sum() > 0
    assert len(axes.patches) == (found.to_frame()["kind"] == "collective").sum() > 0
    assert other.lines[1].get_ydata().min() > 50
    assert "collective" in found._repr_html_()
    with pytest.raises(DataError, match="series must be one of which rows were judged: got 's9'; choose from"):
        found.plot("s9")
