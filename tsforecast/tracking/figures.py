"""Figures of one fit, drawn from plain numbers in a thread: no global setting of matplotlib changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.supervised import SupervisedPanel
from tsforecast.forecasters.base import Forecaster
from tsforecast.reporting.figures import COLOURS, INK, QUIET, brief
from tsforecast.training.history import Epoch, best_epoch

SHOWN = 3  # horizons, or seasons, of the past that a forecast stands beside


@dataclass(frozen=True, eq=False)
class Ahead:
    """A forecast beside the end of its series.

    Attributes
    ----------
    series, target : str
    past, forecast : (times, numbers)
    """

    series: str
    target: str
    past: tuple[NDArray[Any], NDArray[np.float64]]
    forecast: tuple[NDArray[Any], NDArray[np.float64]]

    @classmethod
    def of(cls, model: Forecaster, panel: Panel) -> Ahead | None:
        """Forecast the first series of a panel; None where more must be known ahead than the panel tells."""
        first = panel.select([0])
        if isinstance(panel, SupervisedPanel) or panel.roles.given.future:
            return None
        from tsforecast.data.context import with_future

        forecast = model.forecast(Context.at_end(first, lambda: with_future(first, model.horizon_)), model.horizon_)[
            0, :, 0
        ]
        length = int(first.lengths[0])
        at = np.arange(max(0, length - SHOWN * max(model.horizon_, panel.season_length, 12)), length)
        values = first.series(0)[at, 0].astype(np.float64)
        times, later = _times(first, at), _times(first, length + np.arange(model.horizon_))
        return cls(str(first.ids[0]), first.roles.target[0], (times, values), (later, forecast))


def draw(place: Path, ahead: Ahead | None, history: list[Epoch]) -> None:
    """Write the figures that a fit has to a folder."""
    if ahead is not None:
        _forecast(ahead).savefig(place / "forecast.png", dpi=110)
    if len(history) > 1:
        _training(history).savefig(place / "training.png", dpi=110)


def _forecast(ahead: Ahead) -> Figure:
    figure, axes = _canvas(f"{brief(ahead.target)}: {len(ahead.forecast[1])} steps ahead")
    alone = "o" if len(ahead.forecast[1]) < 4 else None  # a line of few points is hardly one
    axes.plot(*ahead.past, color=INK, lw=1.1, label="fitted")
    axes.plot(*ahead.forecast, color=COLOURS[1], lw=1.4, marker=alone, ms=3, label="forecast")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def _training(history: list[Epoch]) -> Figure:
    figure, axes = _canvas("loss of each epoch")
    for name, colour in (("train_loss", QUIET), ("valid_loss", COLOURS[0])):
        points = [(epoch.number, getattr(epoch, name)) for epoch in history if getattr(epoch, name) is not None]
        if points:
            word = "training" if name == "train_loss" else "validation"
            axes.plot(*zip(*points, strict=True), color=colour, lw=1.4, marker="o", ms=3, label=word)
    best = best_epoch(history)
    if best.valid_loss is not None:
        axes.plot(best.number, best.valid_loss, "o", ms=8, mfc="none", color=COLOURS[1], label="best")
    axes.set_xlabel("epoch", color=QUIET, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return figure


def _canvas(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 3.4))
    axes = figure.add_axes((0.09, 0.14, 0.88, 0.76))
    axes.set_title(title, loc="left", fontsize=11, parse_math=False)
    axes.tick_params(labelsize=9, colors=QUIET)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _times(panel: Panel, steps: NDArray[np.int64]) -> NDArray[Any]:
    stamps = panel.stamps(0, steps)
    return stamps.astype("datetime64[ns]") if panel.kind == "datetime" else stamps
