"""Plots in one line have the data, names and units; HTML of a notebook is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.compare_classifiers import compare_classifiers
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.forecasters.naive import SeasonalNaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.leakage.audit import audit
from tsforecast.search.search import RaySearch
from tsforecast.sequences.baselines import NearestNeighborClassifier
from tsforecast.sequences.neural import GRUClassifier
from tsforecast.sequences.rocket import RocketClassifier

EVIL = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close figures of pyplot."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


def shops(names: tuple[str, ...] = ("north", "south"), **roles: Any) -> Panel:
    days, random = pd.date_range("2024-01-01", periods=80), np.random.default_rng(0)
    parts = [
        pd.DataFrame({"shop": name, "day": days, "sales": 50 + np.arange(80) % 7 + random.normal(size=80), "price": i})
        for i, name in enumerate(names)
    ]
    return Panel.from_frame(pd.concat(parts), id="shop", time="day", target="sales", past=["price"], **roles)


def test_a_panel_draws_its_last_steps_by_name_with_a_unit() -> None:
    panel = shops()
    axes = panel.plot(last=10, unit="EUR")
    assert [line.get_label() for line in axes.lines] == ["north", "south"]
    assert axes.lines[1].get_ydata().tolist() == panel.series(1)[-10:, 0].tolist()
    assert axes.get_ylabel() == "sales (EUR)"
    assert [*pd.to_datetime(axes.lines[0].get_xdata())][-1] == pd.Timestamp("2024-03-20")
    axes.figure.canvas.draw()
    assert axes.get_xticklabels()[0].get_text().split()[0] in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    assert panel.plot("south", target="price").get_title(loc="left") == "south"
    with pytest.raises(DataError, match="must have the series to draw: got 'nort'; did you mean 'north'"):
        panel.plot("nort")
    assert len(shops(tuple("abcdefg")).plot().lines) == 5


def test_a_forecaster_draws_what_it_predicts_into_given_axes() -> None:
    panel = shops()
    model = SeasonalNaiveForecaster(horizon=7).fit(panel)
    _, mine = plt.subplots()
    axes = model.plot(series="south", interval=[0.5, 0.8], unit="EUR", ax=mine)
    assert axes is mine
    truth = model.predict(interval=[0.5, 0.8]).query("shop == 'south'")
    past, ahead = axes.lines
    np.testing.assert_allclose(ahead.get_ydata(), truth["sales"])
    assert pd.to_datetime(ahead.get_xdata()).tolist() == truth["day"].tolist()
    np.testing.assert_allclose(past.get_ydata(), panel.series(1)[-36:, 0])
    lows = [band.get_paths()[0].vertices[:, 1].min() for band in axes.collections]
    assert sorted(lows) == pytest.approx(sorted([truth["sales_lo50"].min(), truth["sales_lo80"].min()]))
    with pytest.raises(ParameterError, match="plot must be of a forecaster of series"):
        SeasonalNaiveForecaster(season_length=2).fit(np.ones((9, 4)), np.ones(9)).plot()
    with pytest.raises(ParameterError, match="plot_history must be of a model that is trained by epochs"):
        model.plot_history()


@pytest.mark.long
def test_boards_networks_and_comparisons_draw_their_numbers() -> None:
    panel = shops()
    network = GRUForecaster(horizon=3, units=4, max_epochs=3, random_state=0).fit(panel)
    history = network.plot_history()
    losses = [epoch.valid_loss for epoch in network.history_]
    valid = next(line for line in history.lines if line.get_label() == "validation")
    assert valid.get_ydata().tolist() == losses
    board = leaderboard(["theta"], panel, horizon=3, origins=3)
    assert [text.get_text() for text in board.plot().get_yticklabels()][:1] == ["theta"]
    assert board.plot_forecasts("south").get_title(loc="left").startswith("south: forecasts 3 steps ahead")
    waves = [np.sin(np.arange(12) * (1 + i % 2) + i / 9) for i in range(12)]
    found = compare_classifiers([NearestNeighborClassifier()], waves, ["slow", "fast"] * 6, protocol="random")
    assert [text.get_text() for text in found.plot_confusion().get_yticklabels()] == ["fast", "slow"]
    assert "srcdoc=" in found.show()._repr_html_()


@pytest.mark.long
def test_html_of_a_notebook_has_facts_and_no_script() -> None:
    panel = shops((EVIL, "south"))
    model = GRUForecaster(horizon=3, units=4, max_epochs=1, random_state=0).fit(panel)
    for shown in (panel, model, audit(SeasonalNaiveForecaster(horizon=3), panel, horizon=3, cutoffs=1)):
        assert "<script" not in shown._repr_html_()
    assert "&lt;script" in panel._repr_html_()
    assert "1 epochs" in model._repr_html_()
    assert model._repr_mimebundle_()["text/html"] == model._repr_html_()
    assert "GRUForecaster" in GRUForecaster()._repr_html_()  # the diagram of scikit-learn before a fit
    board = leaderboard(["mean"], panel, horizon=3, origins=3)
    frame = board.show(300)._repr_html_()
    assert frame.startswith('<iframe srcdoc="&lt;!doctype html')
    assert "height: 300px" in frame


@pytest.mark.long
def test_a_search_draws_its_trials() -> None:
    search = RaySearch(GRUForecaster(max_epochs=1, horizon=3), {"units": [4, 8]}, trials=2).fit(shops())
    axes = search.plot()
    assert axes.get_xlabel() == "trial, in order of their start"
    assert "best settings" in search._repr_html_()


@pytest.mark.long
def test_objects_in_a_notebook_are_shown_once_with_all_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)  # as in a kernel, where rich displays what it prints
    board = leaderboard(["mean"], shops(), horizon=3, origins=3)
    assert "mean" in repr(board)
    assert board.headline in unescape(board._repr_html_())
    waves = [np.sin(np.arange(12) * (1 + i % 2) + i / 9) for i in range(24)]
    models = {"one": NearestNeighborClassifier(), "two": RocketClassifier(random_state=0)}
    found = compare_classifiers(models, waves, ["slow", "fast"] * 12, np.repeat([*"abcdef"], 4))
    assert {verdict.outcome for verdict in found.verdicts.values()} == {"better", "reference"}
    assert "one" in repr(found)
    html = unescape(found._repr_html_())
    assert all(verdict.sentence in html for verdict in found.verdicts.values())
    network = GRUClassifier(units=4, max_epochs=2, random_state=0).fit(waves, ["slow", "fast"] * 12)
    assert "naive" not in network._repr_html_()
