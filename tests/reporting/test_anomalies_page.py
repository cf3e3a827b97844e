"""The page of anomalies, opened in a real browser; whatever can be named is named like a script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser

from tests.reporting.conftest import EVIL
from tests.reporting.test_page import DESK, PHONE, opened
from tsforecast import Panel, SeasonalNaiveForecaster, detect


@pytest.fixture(name="path", scope="module")
def page_of_shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of two shops with a point and a run."""
    t, random = np.arange(2_500), np.random.default_rng(0)
    frames = []
    for name in ("a", EVIL):
        sales = 10 + np.sin(2 * np.pi * t / 24) + 0.1 * random.normal(size=len(t))
        sales[2_000] += 5
        sales[2_200:2_260] += 0.4
        hours = pd.date_range("2024-01-01", periods=len(t), freq="h")
        frames.append(pd.DataFrame({"shop": name, "hour": hours, f"sales {EVIL}": sales}))
    panel = Panel.from_frame(pd.concat(frames), time="hour", id="shop", target=f"sales {EVIL}")
    path = tmp_path_factory.mktemp("anomalies") / "found.html"
    detect(panel, SeasonalNaiveForecaster(horizon=24), step=24, level=0.05).to_html(path, f"Found {EVIL}")
    return path


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_page_has_a_table_and_a_figure_of_each_series_and_runs_no_script_of_the_data(
    browser: Browser, path: Path, size: int
) -> None:
    with opened(browser, path, size) as page:
        assert page.evaluate("window.hacked") is None
        assert page.locator("h2").all_inner_texts() == ["Anomalies", "Series", "How it was found"]
        assert page.locator("h1").inner_text() == f"Found {EVIL}"
        kinds = set(page.locator("tbody tr td:nth-child(2)").all_inner_texts())
        assert kinds == {"point", "collective"}
        assert page.locator("svg.chart").count() == 2
        legends = page.locator(".legend").all_inner_texts()
        assert all("forecast" in legend and "point" in legend for legend in legends)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.locator("svg.chart path").count() < 200
        page.get_by_role("button", name="p-value").click()
        page.get_by_role("button", name="score").click()
        assert page.wrong == []
        assert page.asked == [path.as_uri()]
