"""Figures of one fit, drawn from plain numbers in a thread: no global setting of matplotlib changes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tsforecast.data.context import Context, with_future
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.errors import DataError
from tsforecast.evaluation.scores import ENDS, INTERVALS
from tsforecast.explanations.explanation import Explanation
from tsforecast.forecasters.base import Forecaster
from tsforecast.reporting.figures import COLOURS, INK, QUIET, brief
from tsforecast.training.history import Epoch, best_epoch

SHOWN = 3  # horizons, or seasons, of the past that a forecast stands beside


Line = tuple[NDArray[Any], NDArray[np.float64]]  # times and numbers


@dataclass(frozen=True)
class Fan:
    """The first target of a panel: the end of its first series, and the forecast of the steps that follow."""

    target: str
    past: Line
    ahead: Line
    intervals: dict[int, NDArray[np.float64]]  # (H, 2) by the percent of outcomes; of a model with distributions


def forecast(model: Forecaster, panel: Panel) -> Fan | None:
    """Return what a fitted model forecasts; None where more must be known ahead than the panel holds."""
    if isinstance(panel, SupervisedPanel) or panel.roles.given.future:
        return None
    first, horizon = panel.select([0]), model.horizon_
    past = Context.at_end(first, lambda: with_future(first, horizon))
    ahead, intervals = model.forecast(past, horizon)[0, :, 0], dict[int, NDArray[np.float64]]()
    if model.learns_distribution:
        levels = sorted(ENDS.values())
        found = dict(zip(levels, model.distribution(past, horizon).quantiles(levels)[0, :, 0].T, strict=True))
        for held in INTERVALS:
            intervals[held] = np.stack([found[ENDS[f"{end}{held}"]] for end in ("lo", "hi")], axis=1)
    length = int(first.lengths[0])
    at = np.arange(max(0, length - SHOWN * max(horizon, panel.season_length, 12)), length)
    seen = _times(first, at), first.series(0)[at, 0].astype(np.float64)
    return Fan(first.roles.target[0], seen, (_times(first, length + np.arange(horizon)), ahead), intervals)


def explanation(model: Forecaster, panel: Panel) -> Explanation | None:
    """Return what the parts of a fitted model add, where rows were held out of its fit: no other is fitted."""
    if isinstance(panel, SupervisedPanel) or not model.has_parts or not (model.learned_rows() < panel.lengths).any():
        return None
    with suppress(DataError):  # too few cutoffs
        return model.explain()
    return None


def draw(place: Path, forecast: Fan | None, history: list[Epoch], explanation: Explanation | None = None) -> None:
    """Write the figures that a fit has to a folder, and the table of an explanation."""
    if explanation is not None:
        explanation.plot().savefig(place / "explanation.png", dpi=220)
        explanation.table().to_csv(place / "explanation.csv", index=False)
    if forecast is not None:
        _forecast(forecast).savefig(place / "forecast.png", dpi=110)
    if len(history) > 1:
        _training(history).savefig(place / "training.png", dpi=110)


def _forecast(fan: Fan) -> Figure:
    times, points = fan.ahead
    figure, axes = _canvas(f"{brief(fan.target)}: {len(points)} steps ahead")
    alone = "o" if len(points) < 4 else None  # a line of few points is hardly one
    axes.plot(*fan.past, color=INK, lw=1.1, label="fitted")
    axes.plot(*fan.ahead, color=COLOURS[1], lw=1.4, marker=alone, ms=3, label="forecast")
    for low, high in (ends.T for ends in fan.intervals.values()):  # the narrowest is the darkest: others lie on it
        if len(points) == 1:
            axes.vlines(times, low, high, color=COLOURS[1], alpha=0.2, lw=9)
        else:
            axes.fill_between(times, low, high, color=COLOURS[1], alpha=0.2, lw=0)
    if fan.intervals:
        axes.plot([], [], color=COLOURS[1], alpha=0.4, lw=9, label=f"{', '.join(map(str, fan.intervals))} % intervals")
    axes.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=3)  # beside the title
    return figure


def _training(history: list[Epoch]) -> Figure:
    figure, axes = _canvas("loss of each epoch")
    for name, label, colour in (("train_loss", "training", QUIET), ("valid_loss", "validation", COLOURS[0])):
        points = [(epoch.number, getattr(epoch, name)) for epoch in history if getattr(epoch, name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, lw=1.4, marker="o", ms=3, label=label)
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
