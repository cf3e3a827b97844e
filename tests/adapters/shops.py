"""Data and checks of models of other libraries: forecasts, boards, leaks and quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsforecast.adapters.names import make
from tsforecast.adapters.protocol import as_forecaster
from tsforecast.data.panel import Panel
from tsforecast.errors import UnknownNameError
from tsforecast.evaluation.backtest import backtest
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.leakage.audit import audit

DAYS = pd.date_range("2024-01-01", periods=100, freq="D")
DRAWN = np.random.default_rng(0)
PRICES = DRAWN.normal(size=180)
SALES = 10 + np.tile([0.0, 1, 2, 3, 4, 9, 7], 26)[:180] + 2 * PRICES + DRAWN.normal(size=180) / 4
SHOPS = pd.DataFrame({"shop": ["b"] * 100 + ["a"] * 80, "day": [*DAYS, *DAYS[20:]], "sales": SALES, "price": PRICES})
PANEL = Panel.from_frame(SHOPS, id="shop", time="day", target="sales")  # of unequal lengths
PRICED = Panel.from_frame(SHOPS, id="shop", time="day", target="sales", future="price")
AHEAD = pd.DataFrame(
    {
        "shop": np.repeat(["b", "a"], 3),
        "day": [*DAYS[-1] + pd.to_timedelta([1, 2, 3], "D")] * 2,
        "price": np.arange(6.0),
    }
)
B, A = SALES[:100], SALES[100:]
LEVELS = (0.1, 0.5, 0.9)
HORIZON = 3


def forecasts_of(model: Any, panel: Panel = PANEL, future: Any = None) -> np.ndarray:
    """Return the forecasts of the three steps after b and a, (2, 3)."""
    fitted = as_forecaster(model).set_params(horizon=HORIZON).fit(panel)
    made = fitted.predict(future=future)
    return np.stack([made.loc[made["shop"] == shop, "sales"] for shop in "ba"])


def check_on_a_board(models: dict[str, Any], panel: Panel = PANEL) -> None:
    """Compare models with the naive family: each has a line without an error."""
    board = leaderboard(models, panel, horizon=HORIZON, origins=2, audit=None)
    lines = board.table.set_index("model")
    assert set(models) < set(lines.index)
    assert "naive" in " ".join(lines.index).lower()
    assert np.isfinite(lines.loc[list(models), "mase"]).all(), board.errors


def check_that_the_future_moves_nothing(model: Any, panel: Panel = PANEL) -> None:
    """Forecast from one cutoff, with and without other numbers after it."""
    changed = SHOPS.assign(sales=np.where(SHOPS["day"] > DAYS[96], 1e4, SHOPS["sales"]))
    other = Panel.from_frame(changed, id="shop", time="day", target="sales", future=panel.roles.future)
    one, two = (backtest(as_forecaster(model), each, horizon=HORIZON, origins=1, audit=None) for each in (panel, other))
    assert one["cutoff"].unique().tolist() == [DAYS[96]]
    np.testing.assert_array_equal(one["forecast"], two["forecast"])
    found = audit(as_forecaster(model).set_params(horizon=HORIZON), panel, horizon=HORIZON, level="fit")
    assert found.passed, str(found)


def check_quantiles(model: Any) -> np.ndarray:
    """Return quantiles (2, 3, levels), which increase and differ."""
    fitted = as_forecaster(model).set_params(horizon=HORIZON).fit(PANEL)
    assert fitted.learns_distribution
    made = fitted.predict(quantiles=LEVELS)
    found = np.stack([made.loc[made["shop"] == shop].iloc[:, -len(LEVELS) :] for shop in "ba"])
    assert (np.diff(found, axis=-1) > 0).all()
    return found


def check_names(library: str, name: str, wrong: str, season: str) -> None:
    """Make one model by name, with the season of the data, and refuse another with the nearest."""
    fives = Panel.from_frame(SHOPS, id="shop", time="day", target="sales", season_length=5)
    assert getattr(make(f"{library}:{name}").made(fives), season) == 5
    check_on_a_board({f"{library}:{name}": make(f"{library}:{name}")})
    with pytest.raises(UnknownNameError, match=f"{library} has no model '{wrong}'; .*'{name}'"):
        make(f"{library}:{wrong}")
