"""Anomalies: those that were found, by rank, with all rows that were judged, and their page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.anomalies.calibration import SumTail
from tsforecast.anomalies.report import draw, grid_of, html_anomalies
from tsforecast.errors import DataError, Problem, counted, nearest
from tsforecast.files import write_or_return
from tsforecast.provenance import __version__
from tsforecast.reporting.figures import in_style, percent
from tsforecast.reporting.notebook import facts_html
from tsforecast.reporting.plots import axes_of
from tsforecast.reporting.tables import json_text

COLUMNS = (
    *("rank", "kind", "series", "target", "start", "end", "rows"),
    *("time", "y", "forecast", "low", "high", "p_value", "score"),
)

PLENTY = 400  # residuals with which the rates are about the stated ones (benchmarks/anomalies.py)


@dataclass(frozen=True)
class Facts:
    """What anomalies are compared with; see `detect`."""

    model: str
    level: float
    step: int
    memory: int
    tests: int  # rows of all series and targets in that memory
    residuals: int  # of each target that were held out
    tail: str | None
    lone: bool  # whether a single row can be found

    @property
    def sentences(self) -> list[str]:
        """Return what the level means, and what limits the findings."""
        steps, share = counted(self.memory, "step"), percent(self.level)
        found = [
            f"Forecasts of {self.model}, {counted(self.step, 'step')} ahead, are compared with {self.residuals} "
            "residuals of rows that it did not learn from",
            f"Where residuals are like those, a stretch of {steps} has a false point with a probability of about "
            f"{share} or less, and so it has a false collective anomaly",
        ]
        if not self.lone:
            least = f"{self.residuals} residuals show no p-value below {1 / (self.residuals + 1):.2g}"
            needed = f"a level of {self.level:g} among {self.tests} rows needs {self.level / self.tests:.2g}"
            found.append(
                f"No row is found alone: {least}, and {needed}; use a tail, a shorter memory, or longer series"
            )
        if self.residuals < PLENTY:
            found.append(
                f"With fewer than {PLENTY} residuals that depend on each other, false collective ones are more "
                "frequent (with 100, in simulations, up to 8% in place of 1%); hold out more with ConformalForecaster"
            )
        return found


@dataclass(frozen=True, eq=False)
class Anomalies:
    """What `detect` has found.

    Attributes
    ----------
    rows : DataFrame
        All rows that were judged: ``series, target, time, row`` (position in the series), ``y, forecast``; ``low,
        high``, beyond which a row alone is an anomaly; ``p_value``; ``error`` in the unit of the forecast; ``anomaly``,
        whether the row is one; ``total``, the sum of errors that began at row ``since``, and ``alarm``, whether it
        passes its limit. Numbers are NaN where a row has no truth, or no forecast.
    facts : Facts
        Model, level and number of residuals.

    Examples
    --------
    >>> from tsforecast.anomalies.detector import detect
    >>> from tsforecast.forecasters.naive import MeanForecaster
    >>> series = np.random.default_rng(0).normal(size=500)
    >>> series[400], series[450:480] = 30.0, series[450:480] + 3
    >>> found = detect(series, MeanForecaster())
    >>> found.to_frame()[["kind", "start", "end"]].values.tolist()
    [['collective', 440, 474], ['point', 400, 400]]
    """

    rows: pd.DataFrame
    facts: Facts
    sum_tail: SumTail

    def to_frame(self) -> pd.DataFrame:
        """Return the anomalies, the rarest first.

        Returns
        -------
        DataFrame
            ``rank, kind`` (point or collective), ``series, target, start, end, rows``; ``time, y, forecast, low, high``
            of its rarest row, or of the end of a collective one; ``p_value``, of the rarest row, or the probability per
            step that a sum becomes as great; ``score``, the error in units of the forecast, or the sum.
        """
        return self._events.copy()

    @cached_property
    def _events(self) -> pd.DataFrame:
        rows = self.rows[self.rows["anomaly"] | self.rows["alarm"]]
        found = list[dict[str, Any]]()
        for _, own in rows.groupby(["series", "target"], observed=True, sort=False):
            found += self._points(own[own["anomaly"]]) + self._collective(own[own["alarm"]])
        events = pd.DataFrame(found, columns=list(COLUMNS))
        events["score"] = events["score"].astype(np.float64)
        order = np.lexsort((-events["score"].abs(), events["p_value"].astype(np.float64)))
        events = events.iloc[order].reset_index(drop=True)
        events["rank"] = np.arange(1, len(events) + 1)
        return events

    def _points(self, own: pd.DataFrame) -> list[dict[str, Any]]:
        """Return the points of one series and target: rows that are at most a step of the forecast apart are one."""
        found = []
        for _, event in own.groupby((own["row"].diff() > self.facts.step).cumsum()):
            rare = event[event["p_value"] == event["p_value"].min()]
            peak = rare.loc[rare["error"].abs().idxmax()]
            ends = {"start": event["time"].iloc[0], "end": event["time"].iloc[-1], "rows": len(event)}
            found.append(_event("point", peak, peak["p_value"], peak["error"]) | ends)
        return found

    def _collective(self, own: pd.DataFrame) -> list[dict[str, Any]]:
        """Return the collective anomalies of one series and target: sums that begin again at once are one."""
        sign, found = np.sign(own["total"]), list[dict[str, Any]]()
        anew = (own["since"] > own["row"].shift() + 1) | (sign != sign.shift())
        for _, event in own.groupby(anew.cumsum()):
            last, place = event.iloc[-1], int(event.index[-1])
            length = int(last["row"] - event["since"].iloc[0]) + 1
            score = event["total"].sum()  # as great as one that would not have begun again
            targets = self.rows["target"].cat
            which = self.rows["series"].cat.codes[place] * len(targets.categories) + targets.codes[place]
            p = self.sum_tail.p_value(int(which), abs(score)) / self.facts.memory
            # Rows of one series and target follow each other.
            ends = {"start": self.rows["time"].iloc[place - length + 1], "end": last["time"], "rows": length}
            found.append(_event("collective", last, p, score) | ends)
        return found

    @property
    def headline(self) -> str:
        """What was found, in words."""
        kinds = self._events["kind"].value_counts()
        points, runs = (int(kinds.get(kind, 0)) for kind in ("point", "collective"))
        judged = counted(int(self.rows["p_value"].notna().sum()), "number")
        if not len(self._events):
            return f"Nothing is found in {judged}"
        every = counted(len(self._events), "anomaly", "anomalies")
        return f"{every} in {judged}: {counted(points, 'point')} and {runs} collective"

    def __str__(self) -> str:
        return self.headline

    def plot(self, series: Any = None, target: Any = None, ax: Any = None) -> Any:
        """Draw numbers and forecasts of one series, with circles for points and shades for collective anomalies.

        Parameters
        ----------
        series, target : optional
            Those of the rarest anomaly unless given; of the first row where nothing is found.
        ax : matplotlib.axes.Axes, optional
            New ones unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        DataError
            When no row of the series or target was judged.
        """
        first = (self._events if len(self._events) else self.rows).iloc[0]
        wanted = {"series": first["series"] if series is None else series}
        wanted["target"] = first["target"] if target is None else target
        own, mine = self.rows, self._events
        for name, value in wanted.items():
            if value not in (judged := own[name].unique().tolist()):
                must = f"{name} must be one of which rows were judged"
                raise DataError(Problem(must, f"got {value!r}", nearest(value, judged)))
            own, mine = own[own[name] == value], mine[mine[name] == value]
        axes = axes_of(ax)
        with in_style():
            draw(own, mine, axes)
        axes.set_ylabel(str(wanted["target"]))
        axes.set_title(str(wanted["series"]), loc="left")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
        return axes

    def _repr_html_(self) -> str:
        facts = [("level", "; ".join(self.facts.sentences))]
        return facts_html(self.headline, facts, grid_of(self._events) if len(self._events) else None)

    def to_json(self, path: str | Path | None = None) -> str | None:
        """Return anomalies and what they are compared with as JSON, or write them to a file.

        Parameters
        ----------
        path : path, optional

        Returns
        -------
        str or None
        """
        found = {"headline": self.headline, "sentences": self.facts.sentences, "facts": asdict(self.facts)}
        return write_or_return(json_text(found | {"anomalies": self._events.to_dict("records")}), path)

    def to_html(self, path: str | Path | None = None, title: str = "Anomalies") -> str | None:
        """Return a page with a table and figures, or write it to a file.

        Parameters
        ----------
        path : path, optional
        title : str

        Returns
        -------
        str or None
        """
        facts = self.facts
        shown = {
            "Model": facts.model,
            "Forecast": f"{counted(facts.step, 'step')} ahead",
            "Level": f"{percent(facts.level)} in {counted(facts.memory, 'step')}",
            "Held-out residuals": str(facts.residuals),
            "Tail": facts.tail or "none: ranks alone",
            "Made by": f"tsforecast {__version__}",
        }
        text = html_anomalies(title, self.headline, facts.sentences, shown, self._events, self.rows)
        return write_or_return(text, path)


def _event(kind: str, row: pd.Series, p_value: float, score: float) -> dict[str, Any]:
    """Return an anomaly with the numbers of one of its rows."""
    return {name: row[name] for name in COLUMNS if name in row} | {"kind": kind, "p_value": p_value, "score": score}
