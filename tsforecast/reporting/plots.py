"""Plots in one line: axes of matplotlib, with times and names, and series over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import DataError, nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = 7.2, 3.4  # inches of a new figure
SHOWN = 6  # series in a notebook
DAY = np.timedelta64(1, "D")


def axes_of(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """Return the axes, or new ones of pyplot, which a notebook shows at the end of a cell.

    The figure is not made within `in_style`, which would undo the interactive mode that pyplot begins with there.
    """
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    from tsforecast.reporting.figures import in_style

    figure = plt.figure(figsize=size, layout="constrained")
    with in_style():
        axes: Axes = figure.subplots()
    return axes


def time_axis(axes: Axes, times: NDArray[Any]) -> None:
    """Label an axis of times, with the names of days where there are few, or of steps."""
    if times.dtype.kind != "M":
        axes.set_xlabel("step")
        return
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    span, step = times[-1] - times[0], times[1:] - times[:-1]
    few = len(step) > 0 and step.min() >= DAY and span <= 21 * DAY
    form = DateFormatter("%a %-d %b") if few else ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(form)
    axes.set_xlabel("")


def times_of(panel: Any, i: int, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return the times of rows of a series, which may lie after its end."""
    stamps: NDArray[Any] = panel.stamps(i, rows)
    return stamps.astype("datetime64[ns]") if panel.kind == "datetime" else stamps


def named(name: object, unit: str) -> str:
    """Return the label of an axis of numbers."""
    return f"{name} ({unit})" if unit else str(name)


class SeriesPlots:
    """Base of panels: a plot of some of their series, and what a notebook shows of them."""

    def _repr_html_(self: Any) -> str:
        from tsforecast.reporting.notebook import facts_html
        from tsforecast.reporting.tables import Grid

        columns = {
            role: ", ".join(map(str, getattr(self.roles, role))) for role in ("target", "past", "future", "static")
        }
        facts = {role: names for role, names in columns.items() if names} | {"group": self.roles.group or ""}
        rows = []
        for i in range(min(len(self), SHOWN)):
            length = int(self.lengths[i])
            first, last = (self.label(stamp) for stamp in self.stamps(i, np.array([0, length - 1])))
            rows.append((self.ids[i], length, first, last))
        grid = Grid.of("series", ("series", "steps", "first", "last"), rows)
        title = repr(self) + (f"; the first {SHOWN}:" if len(self) > SHOWN else "")
        return facts_html(title, [(name, fact) for name, fact in facts.items() if fact], grid)

    def plot(
        self: Any, series: Any = None, *, target: Any = None, last: int | None = None, unit: str = "", ax: Any = None
    ) -> Any:
        """Draw series over time, a line for each.

        Parameters
        ----------
        series : name or list of names, optional
            The first five unless given.
        target : name of a column, optional
            Any column of numbers; the first target unless given.
        last : int, optional
            Number of last steps; all unless given.
        unit : str, optional
            Of the numbers, for the label of the axis.
        ax : matplotlib.axes.Axes, optional
            New ones unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        DataError
            When there is no such series or column.

        Examples
        --------
        >>> from tsforecast import Panel
        >>> axes = Panel.of(np.arange(30.0)).plot(unit="cm")
        >>> axes.get_ylabel(), len(axes.lines)
        ('y (cm)', 1)
        """
        from tsforecast.reporting.figures import COLOURS, INK, MAX_LINES, brief, in_style

        chosen = places(self, series)[: MAX_LINES if series is None else None]
        column = column_of(self, target)
        axes = axes_of(ax)
        with in_style():
            for number, i in enumerate(chosen):
                length = int(self.lengths[i])
                rows = np.arange(max(0, length - (last or length)), length)
                times = times_of(self, i, rows)
                values = np.asarray(self.series(i)[rows, column], dtype=np.float64)
                colour = INK if len(chosen) == 1 else COLOURS[number % len(COLOURS)]
                axes.plot(times, values, lw=1.2, color=colour, label=brief(self.ids[i]))
                time_axis(axes, times)
            axes.set_ylabel(named(self.roles.varying[column], unit))
            if len(chosen) > 1:
                axes.legend(frameon=False, ncols=min(len(chosen), 5), loc="lower left", bbox_to_anchor=(0, 1))
            elif len(self) > 1:
                axes.set_title(brief(self.ids[chosen[0]]), loc="left")
            if series is None and len(self) > len(chosen):
                axes.set_title(f"{len(chosen)} of {len(self)} series", loc="right", fontsize="small")
        return axes


def places(panel: Any, series: Any) -> list[int]:
    """Return the positions of series by name, all of them unless some are named."""
    names = panel.ids.tolist()
    if series is None:
        return [*range(len(names))]
    wanted = list(series) if isinstance(series, (list, tuple, set)) else [series]
    if strange := [name for name in wanted if name not in names]:
        raise DataError(f"the panel must have the series to draw: got {strange[0]!r}; {nearest(strange[0], names)}")
    return [names.index(name) for name in wanted]


def column_of(panel: Any, name: Any, among: Sequence[Any] | None = None) -> int:
    """Return the position of a column of numbers, that of the first target unless one is named."""
    columns = list(panel.roles.varying if among is None else among)
    if name is None:
        return 0
    if name not in columns:
        raise DataError(f"the panel must have the column to draw: got {name!r}; {nearest(name, columns)}")
    return columns.index(name)
