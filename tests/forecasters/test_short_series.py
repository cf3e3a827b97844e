"""Panels with series that are too short to train on: the others train, and every series is forecast."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, DataWarning, ParameterError
from tsforecast.estimators.persistence import load
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.naive import NaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.leakage.audit import audit

SHORT = {"new": 5, "newer": 1}
WARNED = (
    "2 of 5 series are too short to train on and left out of the training: 'new', 'newer'; up to 5 steps are "
    "too few for window 14 and horizon 3, the others have 60 or more; forecasts from less than a window are "
    "seasonal naive ones"
)


def shops(lengths: dict[str, int]) -> pd.DataFrame:
    """Return daily series that end together; the last `count` values of each begin with its length."""
    parts = []
    for number, (name, steps) in enumerate(lengths.items()):
        days = pd.date_range(end="2024-06-30", periods=steps)
        parts.append(pd.DataFrame({"shop": name, "day": days, "y": wave(steps, number)}))
    return pd.concat(parts, ignore_index=True)


def tiny(kind: str, **settings: Any) -> Any:
    if kind == "network":
        return GRUForecaster(units=4, max_epochs=1, window=14, horizon=3, random_state=0, **settings)
    return ReductionForecaster(window=14, horizon=3, **settings)


@pytest.mark.parametrize("kind", ["network", "reduction"])
def test_series_too_short_to_train_are_named_and_forecast_by_the_seasonal_naive(kind: str, tmp_path: Path) -> None:
    long = shops({"a": 60, "b": 70, "c": 80})
    data = pd.concat([long, shops(SHORT).assign(y=[1.0, 2, 3, 4, 5, 9])])
    with pytest.warns(DataWarning) as warned:
        model = tiny(kind).fit(data)
    assert [str(one.message) for one in warned] == [WARNED]
    assert model.learned_rows()[3:].tolist() == [0, 0]
    with pytest.warns(DataWarning, match="2 of 5 series are shorter than the window of 14 steps .* 'new', 'newer'"):
        found = model.predict()
    # Five steps are less than a week: the last value.
    assert found.loc[found["shop"] == "new", "y"].tolist() == [5, 5, 5]
    assert found.loc[found["shop"] == "newer", "y"].tolist() == [9, 9, 9]
    alone = tiny(kind).fit(long)
    assert alone.predict()["y"].tolist() == found["y"].tolist()[:9]
    model.save(tmp_path / "model")
    with pytest.warns(DataWarning, match="shorter than the window"):
        pd.testing.assert_frame_equal(load(tmp_path / "model").predict(), found)
    with pytest.raises(DataError, match="needs 14 steps, series 'new' has 5"):
        model.predict(data[data["shop"] == "new"])


def test_a_panel_whose_series_are_mostly_too_short_is_refused() -> None:
    with pytest.raises(DataError, match=r"needs 14 \+ 3 = 17 steps, series 'newer' has 1; so does 1 other series"):
        tiny("reduction").fit(shops({"a": 60, **SHORT}))


def test_a_leaderboard_with_short_series_has_forecasts_of_all_and_names_the_replaced() -> None:
    data = shops({"a": 60, "b": 70, "new": 8})
    with pytest.warns(DataWarning, match="1 of 3 series is too short to train on"):
        board = leaderboard({"ridge": tiny("reduction")}, data, horizon=3, origins=1)
    assert board.notes == ("ridge: 1 of 3 series is forecast by the seasonal naive instead: 'new'",)
    new = board.rows[board.rows["series"] == "new"].pivot_table("forecast", "step", "model")
    assert new["ridge"].tolist() == new["seasonal-naive"].tolist()


@pytest.mark.filterwarnings("ignore::tsforecast.errors.DataWarning")
def test_what_was_left_out_leaks_nothing() -> None:
    panel = Panel.of(shops({"new": 8, "a": 60, "b": 70}))
    assert audit(tiny("network"), panel, cutoffs=1, horizon=3, level="fit").passed
    assert audit(tiny("reduction"), panel, cutoffs=1, horizon=3, level="fit").passed


def test_series_that_all_train_are_fitted_as_ever() -> None:
    model = tiny("reduction").fit(shops({"a": 60, "b": 17}))
    assert "shortest" not in model.resolved_
    assert model.learned_rows().tolist() == [60, 17]
    assert not np.isnan(model.predict()["y"]).any()


def ended_shops() -> pd.DataFrame:
    """Return a shop that is open until 2024-06-30, one that closed on 2024-03-31, and one that closed a week ago."""
    open_, closed, lately = (shops({name: 60}) for name in ("open", "closed", "lately"))
    closed["day"] -= pd.Timedelta(days=91)
    lately["day"] -= pd.Timedelta(days=7)
    return pd.concat([open_, closed, lately])


def test_a_series_that_ended_long_ago_is_not_forecast_without_a_note() -> None:
    model = NaiveForecaster(horizon=2).fit(ended_shops())
    sentence = (
        "1 of 3 series ended long before the latest (2024-06-30) and is forecast from its own end: 'closed' "
        "(2024-03-31); the option ended decides: drop leaves them out, forecast keeps them without this note"
    )
    with pytest.warns(DataWarning, match=re.escape(sentence)):
        found = model.predict()
    assert found["day"].dt.strftime("%m-%d").tolist() == ["07-01", "07-02", "04-01", "04-02", "06-24", "06-25"]
    pd.testing.assert_frame_equal(model.predict(ended="forecast"), found)
    pd.testing.assert_frame_equal(model.predict(ended="drop"), found[found["shop"] != "closed"].reset_index(drop=True))
    pd.testing.assert_frame_equal(model.predict(ended_shops(), ended="drop"), model.predict(ended="drop"))
    with pytest.raises(ParameterError, match="ended must be one of 'forecast', 'drop', None: got 'keep'"):
        model.predict(ended="keep")  # type: ignore[arg-type]


def test_arrays_of_different_lengths_all_end_now() -> None:
    assert len(NaiveForecaster().fit([np.arange(90.0), np.arange(5.0)]).predict()) == 2


@pytest.mark.filterwarnings("always::tsforecast.errors.DataWarning")
def test_the_command_line_fits_short_series_and_leaves_out_ended_ones(tmp_path: Path) -> None:
    frame = pd.concat([ended_shops(), shops({"new": 5})])
    frame.to_csv(tmp_path / "shops.csv", index=False)
    fitted = tsforecast("fit", "shops.csv", "--model", "reduction", "--horizon", "6", "--out", "model", cwd=tmp_path)
    default = tsforecast("predict", "model", cwd=tmp_path)
    dropped = tsforecast("predict", "model", "--ended", "drop", cwd=tmp_path)
    refused = tsforecast("predict", "model", "--ended", "no", cwd=tmp_path)
    assert "1 of 4 series is too short to train on and left out of the training: 'new'" in fitted.stderr
    note = "1 of 4 series ended long before the latest (2024-06-30)"
    written = tsforecast("predict", "model", "--out", "next.csv", cwd=tmp_path)
    later = tsforecast("predict", "model", "--data", "shops.csv", cwd=tmp_path)
    assert all(note in each.stderr for each in (fitted, written, later))
    assert "ended" not in default.stderr + dropped.stderr  # what is printed is the table that `fit` announced
    assert [each.returncode for each in (fitted, default, dropped, refused)] == [0, 0, 0, 2]
    assert "--ended must be one of 'forecast', 'drop'" in refused.stderr
    shown, kept = (pd.read_csv(io.StringIO(each.stdout))["shop"].unique().tolist() for each in (default, dropped))
    assert (shown, kept) == (["open", "closed", "lately", "new"], ["open", "lately", "new"])
