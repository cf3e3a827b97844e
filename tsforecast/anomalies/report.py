"""Page of anomalies: what was found, by rank, figures of the series, and what the level means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tsforecast.reporting.figures import COLOURS, INK, SHADE, brief, canvas, in_style
from tsforecast.reporting.page import CaptionedFigure, captioned, page
from tsforecast.reporting.plots import time_axis
from tsforecast.reporting.tables import Grid, cell

FIGURES = 6  # series of a page that are drawn
BINS = 500  # along time, of which the least and the greatest number are drawn: more cannot be told apart
DISPLAY = {"y": "{:.5g}", "forecast": "{:.5g}", "p_value": "{:.1e}", "score": "{:+.3g}"}


def html_anomalies(
    title: str,
    headline: str,
    sentences: Sequence[str],
    facts: Mapping[str, str],
    events: pd.DataFrame,
    rows: pd.DataFrame,
) -> str:
    """Return anomalies as one HTML page that needs nothing else; all data are escaped."""
    return page(
        "anomalies.html.jinja",
        title=title,
        headline=headline,
        sentences=sentences,
        facts=facts,
        table=grid_of(events) if len(events) else None,
        figures=figures_of(events, rows),
    )


def grid_of(events: pd.DataFrame) -> Grid:
    """Return anomalies as a table of text."""
    several = [name for name in ("series", "target") if events[name].nunique() > 1]
    shown = events[["rank", "kind", *several, "start", "end", "rows", *DISPLAY]].astype(object)
    for name, digits in DISPLAY.items():
        shown[name] = [cell(value, digits) for value in events[name]]
    columns = ["rank", "kind", *several, "start", "end", "rows", "y", "forecast", "p-value", "score"]
    words = ("kind", *several, "start", "end")
    return Grid.of("Anomalies, the rarest first", columns, list(shown.itertuples(index=False)), words=words)


def figures_of(events: pd.DataFrame, rows: pd.DataFrame) -> list[CaptionedFigure]:
    """Return a figure for each of the series whose anomalies rank first; of the first series where there are none."""
    names = ["series", "target"]
    chosen = (events if len(events) else rows)[names].drop_duplicates().head(FIGURES if len(events) else 1)
    found = []
    for number, (series, target) in enumerate(chosen.itertuples(index=False)):
        own, mine = (part[(part["series"] == series) & (part["target"] == target)] for part in (rows, events))
        count = len(mine)
        caption = f"{target}: observations are black, forecasts blue. " + (
            "Circles are points, and shades are collective anomalies." if count else "Nothing was found."
        )
        found.append(captioned(f"series-{number}", brief(series), _figure(own, mine), caption))
    return found


@in_style()
def _figure(rows: pd.DataFrame, events: pd.DataFrame) -> Figure:
    figure, axes = canvas()
    draw(rows, events, axes)
    return figure


def draw(rows: pd.DataFrame, events: pd.DataFrame, axes: Axes) -> None:
    """Draw observations, forecasts and anomalies of one series."""
    times, drawn = rows["time"].to_numpy(), _thinned(rows["y"].to_numpy(dtype=np.float64))
    axes.plot(times[drawn], rows["forecast"].to_numpy()[drawn], color=COLOURS[0], lw=0.7, label="forecast")
    axes.plot(times[drawn], rows["y"].to_numpy()[drawn], color=INK, lw=0.7, label="observed")
    points = rows[rows["anomaly"]]
    if len(points):
        look: dict[str, Any] = {"marker": "o", "ms": 5, "mfc": "none", "ls": "None", "color": COLOURS[1]}
        axes.plot(points["time"].to_numpy(), points["y"].to_numpy(), label="point", **look)
    for event in events[events["kind"] == "collective"].itertuples():
        axes.axvspan(event.start, event.end, color=COLOURS[3], alpha=SHADE, lw=0)
    time_axis(axes, times)


def _thinned(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the places of the least and the greatest number in each of some hundred bins, and of all where few."""
    if len(values) <= 2 * BINS:
        return np.arange(len(values))
    bins = np.array_split(np.arange(len(values)), BINS)
    filled = np.where(np.isnan(values), np.nanmean(values), values)
    return np.unique([part[place(filled[part])] for part in bins for place in (np.argmin, np.argmax)])
