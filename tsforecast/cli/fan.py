"""Fan charts in plain characters: the end of a series, its point forecast and the intervals around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 80, 9  # characters and lines of a chart
CHARTS = 6  # at most
PAST, LEAST = 2, 24  # horizons of the past that a forecast stands beside, and steps of it where there are as many
SEEN, POINT, SHADES = "•", "o", "░▒▓"  # the widest interval is the lightest
PLAIN = str.maketrans("•░▒▓│└┴─", "*.:#|++-")  # for a terminal that knows ASCII alone
SAMPLES = 8  # of a line in each column, at least


def fans(panel: Panel, frame: Any, levels: Mapping[str, float], width: int = WIDTH) -> list[str]:
    """Return the lines of charts of the forecasts of a panel, and of a legend.

    `frame` is the polars frame of the points and of `levels`, whose suffixes name intervals: ``lo80`` and ``hi80``.
    """
    shares = sorted((suffix[2:] for suffix in levels if suffix.startswith("lo")), key=float, reverse=True)
    lines, more = list[str](), len(panel) * panel.n_targets - CHARTS
    for i, k in islice(product(range(len(panel)), range(panel.n_targets)), CHARTS):
        points, *ends = (
            _numbers(panel, frame, i, k, suffix)
            for suffix in ("", *(f"_{end}{share}" for share in shares for end in ("lo", "hi")))
        )
        past = panel.series(i)[-max(PAST * len(points), LEAST) :, k].astype(np.float64)
        chart = fan(past, points, list(zip(ends[::2], ends[1::2], strict=True)), width)
        length = int(panel.lengths[i])
        steps = [length - len(past), length, length + len(points) - 1]
        dates = [str(panel.label(stamp)) for stamp in panel.stamps(i, np.array(steps))]
        own = [str(panel.ids[i])] * (len(panel) > 1) + [panel.roles.target[k]] * (panel.source.form != "wide")
        lines += ["", ", ".join(own)[:width], *chart, _axis(chart, dates)]
    marks = [f"{SEEN} seen", f"{POINT} forecast"]
    marks += [f"{SHADES[min(at, len(SHADES) - 1)]} {share} % interval" for at, share in enumerate(shares)]
    return [*lines, "", "   ".join(marks), *[f"{more} more are not drawn"] * (more > 0)]


def fan(past: Floats, points: Floats, bands: Sequence[tuple[Floats, Floats]], width: int = WIDTH) -> list[str]:
    """Return the lines of a chart: a past (T,), a forecast (H,) and intervals, two of (H,) each, the widest first.

    NaN leave a gap. Under a line of the time the forecast begins at ``┴``.

    Examples
    --------
    >>> rising, ahead = np.arange(6.0), np.array([6.0, 7.0, 8.0])
    >>> for line in fan(rising, ahead, [(ahead - 1, ahead + 1)], width=30)[:2]:
    ...     print(line.rstrip())
    9 │                        ░░░
      │                   ░░░░░ooo
    """
    every = np.concatenate([past, points, *(end for band in bands for end in band)])
    every = every[np.isfinite(every)]
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 0.0)
    room = max(len(f"{low:.4g}"), len(f"{high:.4g}"))
    columns = max(width - room - 3, 2)
    ahead = min(max(round(columns * len(points) / (len(past) + len(points))), 1), columns - 1)
    table = np.full((HEIGHT, columns), " ")

    def draw(lower: Floats, upper: Floats, first: int, mark: str) -> None:
        for column, (bottom, top) in enumerate(zip(lower, upper, strict=True), first):
            if np.isfinite(bottom) and np.isfinite(top):
                upmost, lowest = (round((high - each) / (high - low or 1) * (HEIGHT - 1)) for each in (top, bottom))
                table[upmost : lowest + 1, column] = mark

    for at, (lower, upper) in enumerate(bands):
        draw(_reach(lower, ahead)[0], _reach(upper, ahead)[1], columns - ahead, SHADES[min(at, len(SHADES) - 1)])
    middle = np.mean(_reach(points, ahead), axis=0)  # a line would hide the intervals of a steep forecast
    draw(middle, middle, columns - ahead, POINT)
    draw(*_reach(past, columns - ahead), 0, SEEN)
    numbers = {0: f"{high:.4g}", HEIGHT - 1: f"{low:.4g}"}
    lines = [f"{numbers.get(at, ''):>{room}} │ {''.join(row)}" for at, row in enumerate(table)]
    return [*lines, f"{'':>{room}} └─{'─' * (columns - ahead)}┴{'─' * (ahead - 1)}"]


def _numbers(panel: Panel, frame: Any, i: int, k: int, suffix: str) -> Floats:
    """Return one column of the forecasts of a series and a target, (H,)."""
    target = panel.roles.target[k]
    if panel.source.form == "wide":
        column = frame[f"{panel.ids[i]}{suffix}"].to_numpy()
        return np.asarray(column[~np.isnan(column)], dtype=np.float64)
    shown = None if suffix else panel.source.names.get(target)
    column = frame[f"{target}{suffix}" if shown is None else str(shown)].to_numpy()
    return np.asarray(column.reshape(len(panel), -1)[i], dtype=np.float64)


def _reach(values: Floats, columns: int) -> tuple[Floats, Floats]:
    """Return the lowest and the highest point, in each of some columns, of a line through `values`."""
    many = max(SAMPLES, -(-2 * len(values) // columns))
    at = np.linspace(0, len(values) - 1, columns * many)
    parts = np.interp(at, np.arange(len(values)), values).reshape(columns, many)
    return np.fmin.reduce(parts, axis=1), np.fmax.reduce(parts, axis=1)


def _axis(chart: Sequence[str], dates: Sequence[str]) -> str:
    """Return the line under a chart: the first date, that of the first forecast and the last, where there is room."""
    axis, (first, begin, last) = chart[-1], dates
    width = len(axis)
    line = f"{'':{axis.index('└')}}{first}"
    at = min(axis.index("┴") - len(begin) // 2, width - len(last) - len(begin) - 2)
    line = f"{line:{at}}{begin}" if len(line) < at and begin != last else line
    return f"{line:{width - len(last)}}{last}" if len(line) < width - len(last) else line
