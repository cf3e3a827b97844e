"""A local model of several series is one forecaster for each, fitted on that series alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import small, wave
from tsforecast import LocalForecaster, Panel, audit, leaderboard, load
from tsforecast.data.context import Context
from tsforecast.errors import DataError, ParameterError
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import DriftForecaster

DAYS = pd.date_range("2024-01-01", periods=60)
FRAME = pd.concat(
    [
        pd.DataFrame({"shop": shop, "day": DAYS, "sales": wave(60, i) * (i + 1), "kind": shop, "size": 1.0 * i})
        for i, shop in enumerate("abc")
    ]
)
SHOPS = Panel.from_frame(FRAME, time="day", id="shop", target="sales", static="size", group="kind", season_length=6)


@pytest.mark.parametrize("name", ["gru", "ets", "reduction", "seasonal-naive"])
def test_each_series_is_forecast_as_by_a_model_of_its_own(name: str, tmp_path: Path) -> None:
    settings = {"kernels": "on"} if name == "gru" else {}
    given = small(name).set_params(**settings)
    model = LocalForecaster(given).fit(SHOPS)
    past = Context.at_end(SHOPS).select(np.array([2, 0, 1, 0]))
    found = model.forecast(past, 3)
    quantiles = model.distribution(past, 3).quantiles([0.1, 0.9])
    for at, series in enumerate([2, 0, 1, 0]):
        alone = small(name).set_params(**settings).fit(SHOPS.select([series]).without("kind"))
        own = Context.at_end(alone.panel_)
        assert np.array_equal(found[at], alone.forecast(own, 3)[0])
        if name != "ets":  # whose numbers depend on how many are forecast at once, in the last digits
            assert np.allclose(quantiles[at], alone.distribution(own, 3).grid().quantiles([0.1, 0.9])[0])
    assert np.array_equal(model.is_fallback(past), np.zeros((4, 1), dtype=bool))
    assert [len(member.panel_) for member in model.members_] == [1, 1, 1]
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(again.forecast(past, 3), found)
    assert [member.panel_.ids.tolist() for member in again.members_] == [["a"], ["b"], ["c"]]
    assert again.learned_rows().tolist() == model.learned_rows().tolist()


def test_a_series_that_was_not_fitted_is_refused_with_a_remedy() -> None:
    model = LocalForecaster(small("drift")).fit(SHOPS)
    new = FRAME.assign(shop=FRAME["shop"].replace({"b": "x"}))
    with pytest.raises(
        DataError,
        match=r"a local model must forecast the series that were fitted: got 'x'; leave these out, or fit drift on all "
        "series without LocalForecaster",
    ):
        model.predict(new)


def test_a_series_that_cannot_be_fitted_is_named() -> None:
    short = FRAME[(FRAME["shop"] != "b") | (FRAME["day"] < DAYS[4])]
    with pytest.raises(DataError, match=r"^series 'b': "):
        LocalForecaster(small("gru")).fit(
            Panel.from_frame(short, time="day", id="shop", target="sales", static="size", season_length=6)
        )


def test_parameters_are_those_of_a_forecaster() -> None:
    with pytest.raises(
        ParameterError, match=r"forecaster must be a forecaster, such as ReductionForecaster\(\): got 3"
    ):
        LocalForecaster(3).fit(wave())  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="gru of each series: units must be"):
        LocalForecaster(small("gru").set_params(units=0)).fit(wave())
    assert LocalForecaster(small("gru", horizon=4)).fit(wave()).predict().shape == (4,)
    assert LocalForecaster(DriftForecaster(), horizon=2).fit(wave()).predict().shape == (2,)


def test_windows_are_one_series() -> None:
    X = np.lib.stride_tricks.sliding_window_view(wave(40), 9)
    model, alone = (each.fit(X[:, :6], X[:, 6:]) for each in (LocalForecaster(small("drift")), small("drift")))
    assert np.array_equal(model.predict(X[:, :6]), alone.predict(X[:, :6]))


def test_kernels_are_chosen_for_the_trainings_of_all_series(monkeypatch: pytest.MonkeyPatch) -> None:
    from tsforecast.networks.kernels import choice

    read: list[int] = []

    def pays(times: Any, reads: int, *sizes: int) -> bool:
        read.append(reads)
        return False

    monkeypatch.setattr(choice, "pays", pays)
    monkeypatch.setattr(choice, "FEWEST", 0.0)

    def reads(model: Forecaster) -> int:
        model.fit(SHOPS)
        return read[-1]

    network = small("gru").set_params(validation=6)
    LocalForecaster(network).fit(SHOPS)
    together = read[-1]
    small("gru").set_params(validation=6).fit(SHOPS.select([0]).without("kind"))
    assert together == 3 * read[-1]


def test_it_does_not_look_ahead_and_competes_in_a_leaderboard() -> None:
    assert audit(LocalForecaster(small("gru")), SHOPS.without("kind"), cutoffs=1, level="data").passed
    board = leaderboard({"local": LocalForecaster(small("gru"))}, SHOPS.without("kind"), 3, origins=2)
    assert set(board.rows.query("model == 'local'")["series"]) == {"a", "b", "c"}
