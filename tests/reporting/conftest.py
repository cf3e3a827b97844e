"""A browser, and boards worth reporting."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.helpers.forecasters import SMALL
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.estimators.registry import make
from tsforecast.evaluation.leaderboard import Leaderboard, leaderboard
from tsforecast.forecasters.naive import NaiveForecaster

QUIET = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
EVIL = "<script>window.hacked = 1</script>"


def _browser() -> str:
    """Return where a browser lies; without one the tests of the page are skipped, unless one was promised."""
    named = os.environ.get("TSFORECAST_BROWSER")
    if named:
        assert shutil.which(named), f"TSFORECAST_BROWSER must name a browser: got {named!r}"
        return named
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return pytest.skip("the report is opened in Chromium: install it (apt install chromium) or set TSFORECAST_BROWSER")


@pytest.fixture(scope="module")  # not longer: what comes after must not meet the event loop of playwright
def browser() -> Iterator[Browser]:
    """A real browser without a window."""
    path = _browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*QUIET.split(), "--disable-sync"])
        yield browser
        browser.close()


class Broken(NaiveForecaster):
    """Fails with words that must stay words."""

    def fit(self, X: object, y: object = None) -> Broken:
        raise DataError(f"no fit for {EVIL}")


@pytest.fixture(scope="session")
def evil() -> Leaderboard:
    """Every section of the report; whatever can be named is named like a script."""
    days, t = pd.date_range("2024-01-01", periods=70), np.arange(70)
    frames = [
        pd.DataFrame(
            {
                "id": f"{EVIL} {i}",
                "user": f"$x_{i % 3}$ {EVIL}",
                "day": days,
                "<b>&amp;y": 10 + i + np.sin(2 * np.pi * t / 7) + 0.3 * np.random.default_rng(i).normal(size=70),
            }
        )
        for i in range(6)
    ]
    panel = Panel.from_frame(pd.concat(frames), time="day", id="id", target="<b>&amp;y", group="user")
    models = {f"gru {EVIL}": make("gru", **SMALL), "mean": make("mean"), "broken": Broken()}
    return leaderboard(models, panel, horizon=3, origins=2, seeds=2)
