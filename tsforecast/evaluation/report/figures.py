"""Figures of a leaderboard: forecasts, errors, skill, ranks and training losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, shorten
from tsforecast.evaluation.calibration import BARS, LEVELS, below, histogram
from tsforecast.evaluation.metrics import word
from tsforecast.evaluation.phrasing import size
from tsforecast.evaluation.record import times_of
from tsforecast.evaluation.results import ForecastResults
from tsforecast.evaluation.scores import INTERVALS
from tsforecast.files import new_file
from tsforecast.reporting.figures import (
    COLOURS,
    INK,
    MAX_LINES,
    PAPER,
    QUIET,
    REFERENCE,
    brief,
    canvas,
    fan,
    in_style,
    percent_axis,
    rows_canvas,
)

SKILL_FLOORS = (-0.25, -0.5)  # left ends of an axis of skill, where that is enough for all models but naive ones
MIN_SKILL = -1.0  # skill below which a model has no line of its own: it would squeeze the rest


@dataclass(frozen=True, eq=False)
class View:
    """Results and everything that figures derive from them, computed once for a whole page."""

    results: ForecastResults
    _errors: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    @cached_property
    def ranked(self) -> list[str]:
        """Models other than the reference that have an error, the best first."""
        table, results = self.results.table, self.results
        return [str(name) for name in table.loc[table[results.metric].notna(), "model"] if name != results.reference]

    @cached_property
    def drawn(self) -> list[str]:
        """Models with a line of their own: the best few that come near the reference, or at least the best."""
        skill = self.results.table.set_index("model")["skill"]
        return [name for name in self.ranked[:MAX_LINES] if skill[name] > MIN_SKILL] or self.ranked[:1]

    def styles(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Return the line styles of the reference and of other models, by name."""
        reference = self.results.reference
        first = {"color": REFERENCE, "linestyle": "--", "label": f"{brief(reference)} (reference)"}
        others = {
            name: {"color": colour, "linestyle": "-", "label": brief(name)}
            for name, colour in zip(names, COLOURS, strict=False)
        }
        return {reference: first, **others}

    def errors(self, key: str) -> pd.DataFrame:
        """Return the metric by a key of the rows, a column for each model; see `ForecastResults.by`."""
        if key not in self._errors:
            self._errors[key] = self.results.by(key)
        return self._errors[key]

    def gains(self, key: str) -> pd.DataFrame:
        """Return the skill of each model for each value of a key, without values at which one is not finite."""
        errors = self.errors(key)
        gains = 1 - errors[self.ranked].div(errors[self.results.reference], axis=0)
        return gains[np.isfinite(gains).all(axis=1)]

    def rows_of_model(self, name: str) -> pd.DataFrame:
        """Return the rows of one model."""
        return self.results.rows[self.results.rows["model"] == name]

    def omitted(self, count: int | None = None) -> str:
        """Return a sentence that names the models without a line, where the best `count` drawn ones have one."""
        rest = [name for name in self.ranked if name not in self.drawn[:count]]
        return f" Left out: {', '.join(rest)}." if rest else ""


MAX_CUTOFFS = 4  # of a figure of forecasts
MAX_MODELS = 3  # of a figure of forecasts, beside the reference
MAX_GROUPS = 20  # rows of a figure of groups
MAX_NAMES = 12  # of phases along an axis: further ones would touch
MAX_GAP = 4  # usual steps that a line bridges; a weekend without trade is shorter


@in_style()
def plot_forecasts(results: ForecastResults, panel: Panel, series: object = None) -> Figure:
    """Draw actual values and forecasts from each cutoff, for the reference and some of the best models.

    The panel is the one behind the results; the first target is drawn, of the first series unless given.
    """
    view, rows = View(results), results.rows
    chosen, target = rows["series"].iloc[0] if series is None else series, panel.roles.target[0]
    rows = rows_of(results, chosen, target)
    cutoffs, total = disjoint_cutoffs(rows), rows["cutoff"].nunique()
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.subplots()
    _draw(axes, view, rows, _first_target(panel, chosen), cutoffs, 2 * panel.season_length, view.ranked[:MAX_MODELS])
    limits = [f"{len(cutoffs)} of {total} cutoffs"] if len(cutoffs) < total else []
    if len(view.ranked) > MAX_MODELS:
        limits.append(f"best {MAX_MODELS} of {len(view.ranked)} models and the reference")
    title = f"{chosen}: forecasts {int(rows['step'].max())} steps ahead" + (f" ({', '.join(limits)})" if limits else "")
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_ylabel(results.wording.titled(target))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


@in_style()
def forecasts(view: View, series: object, target: object, cutoffs: NDArray[Any]) -> Figure:
    """Draw actual values and forecasts of one series from some cutoffs in order of time, small.

    The record holds the actual values before the oldest cutoff.
    """
    rows, actual = rows_of(view.results, series, target), _actual(view.results, series, target)
    figure, axes = canvas()
    _draw(axes, view, rows, actual, cutoffs, 2 * int(rows["step"].max()), view.drawn[:MAX_MODELS])
    axes.set_ylabel(brief(view.results.wording.titled(target)))
    return figure


@in_style()
def newest_forecasts(results: ForecastResults, axes: Axes, series: object = None, target: object = None) -> Axes:
    """Draw actual values and forecasts of one series around its newest cutoffs, with a legend."""
    view, rows = View(results), results.rows
    chosen = rows["series"].iloc[0] if series is None else series
    named = rows["target"].iloc[0] if target is None else target
    rows = rows_of(results, chosen, named)
    if rows.empty:
        raise DataError(
            f"rows must have the series and target to draw: there is no {named!r} of {chosen!r}; series are "
            f"{shorten([repr(name) for name in results.rows['series'].unique()])}"
        )
    cutoffs = disjoint_cutoffs(rows)[-MAX_CUTOFFS:]
    least = 2 * int(rows["step"].max())
    _draw(axes, view, rows, _actual(results, chosen, named), cutoffs, least, view.drawn[:MAX_MODELS])
    shaded = f"; shades: 50, 80 and 95% intervals of {brief(fanned(view))}" if "lo80" in rows else ""
    axes.set_title(f"{chosen}: forecasts {int(rows['step'].max())} steps ahead{shaded}", loc="left", fontsize=11)
    axes.set_ylabel(results.wording.titled(named))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False, fontsize=9)
    return axes


@in_style()
def ahead(view: View, series: object, target: object, model: str) -> Figure:
    """Draw the end of a series and the forecast of the steps after it, with its intervals."""
    results = view.results
    actual = _actual(results, series, target)
    mine = ahead_of(results, series, target, model)
    actual = actual.iloc[-max(2 * len(mine), 12) :]
    figure, axes = canvas()
    axes.plot(*_broken(actual), color=INK, lw=1.2, label="actual")
    look: dict[str, Any] = {
        "color": COLOURS[0],
        "label": brief(model),
        "marker": "o" if len(mine) < 4 else None,
        "ms": 3,
    }
    axes.plot(mine["time"], mine["forecast"], **look)
    _fan(axes, mine, COLOURS[0])
    _time_axis(axes, actual, results)
    axes.set_ylabel(brief(results.wording.titled(target)))
    return figure


def ahead_of(results: ForecastResults, series: object, target: object, model: str) -> pd.DataFrame:
    """Return the forecast of one model after the end of one series and target; empty where it has none."""
    known = results.record.ahead if results.record else None
    if known is None:
        return pd.DataFrame(columns=["time", "forecast"])
    return known[(known["model"] == model) & (known["series"] == series) & (known["target"] == target)]


def _actual(results: ForecastResults, series: object, target: object) -> pd.Series:
    """Return the values of one series and target by time, as far as rows and record hold them."""
    rows, record = rows_of(results, series, target), results.record
    actual = rows.drop_duplicates("time").set_index("time")["y"]
    if record and record.past is not None:
        past = record.past
        before = past[(past["series"] == series) & (past["target"] == target)].set_index("time")["y"]
        actual = pd.concat([before, actual])
    return actual[~actual.index.duplicated()].sort_index()


def fanned(view: View) -> str:
    """Return the model whose intervals are shaded beside lines of others: the best one, or the reference alone."""
    return next(iter(view.drawn), view.results.reference)


def _fan(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Shade the intervals of rows that have them."""
    if "lo80" in rows:
        fan(axes, rows["time"], [(rows[f"lo{held}"], rows[f"hi{held}"]) for held in INTERVALS[::-1]], colour)


@in_style()
def probabilities(view: View) -> Figure:
    """Draw how often each tenth of the probability of the truth occurs, as lines with steps; one is calibrated."""
    figure, axes = canvas()
    edges = np.arange(BARS + 1) / BARS
    for name, look in view.styles(view.drawn).items():
        bars = histogram(view.rows_of_model(name))
        axes.plot(edges, [*bars, bars[-1]], drawstyle="steps-post", **look)
    axes.axhline(1, color=QUIET, lw=0.8, ls=":")
    axes.set_ylim(bottom=0)
    axes.set(xlabel="probability of less than the truth", ylabel="frequency (1: calibrated)")
    axes.grid(axis="y")
    return figure


@in_style()
def reliability(view: View) -> Figure:
    """Draw the share of outcomes below the quantile at each level."""
    figure, axes = canvas()
    for name, look in view.styles(view.drawn).items():
        axes.plot(LEVELS, below(view.rows_of_model(name), LEVELS), **look)
    axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls=":")
    axes.set(xlabel="level of the quantile", ylabel="outcomes below it", xlim=(0, 1), ylim=(0, 1))
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid()
    return figure


def rows_of(results: ForecastResults, series: object, target: object) -> pd.DataFrame:
    """Return the rows of one series and target."""
    rows = results.rows
    return rows[(rows["series"] == series) & (rows["target"] == target)]


def disjoint_cutoffs(rows: pd.DataFrame) -> NDArray[Any]:
    """Return cutoffs whose forecasts do not overlap, the newest among them."""
    ends = rows.groupby("cutoff")["time"].max()
    kept = [ends.index[-1]]
    for cutoff, end in zip(ends.index[::-1], ends[::-1], strict=True):
        if end <= kept[-1]:
            kept.append(cutoff)
    return np.array(kept[::-1])


def _draw(
    axes: Axes,
    view: View,
    rows: pd.DataFrame,
    actual: pd.Series,
    cutoffs: NDArray[Any],
    least: int,
    names: list[str],
) -> None:
    """Draw actual values, forecasts and cutoffs, from at least half of `least` steps before the first cutoff."""
    shown = rows[rows["cutoff"].isin(cutoffs)]
    first, last = actual.index.searchsorted(cutoffs[0]), actual.index.searchsorted(shown["time"].max())
    actual = actual.iloc[max(0, first - max(last - first, least) // 2) : last + 1]
    axes.plot(*_broken(actual), color=INK, lw=1.2, label="actual")
    keys = ["cutoff", *(["seed"] if "seed" in rows else [])]
    shaded: set[object] = set()
    alone = "o" if rows["step"].max() < 4 else None  # a line of few points is hardly one
    for name, look in view.styles(names).items():
        mine, label = shown[shown["model"] == name], look["label"]
        for _, part in mine.groupby(keys, dropna=False, observed=True):
            axes.plot(part["time"], part["forecast"], **{**look, "label": label}, marker=alone, ms=3)
            if name == fanned(view) and part["cutoff"].iloc[0] not in shaded:
                _fan(axes, part, str(look["color"]))
                shaded.add(part["cutoff"].iloc[0])  # once, whatever the number of seeds
            label = "_"  # one entry in the legend
    for cutoff in cutoffs:
        axes.axvline(cutoff, color=QUIET, lw=0.8, ls=":", label="cutoff" if cutoff == cutoffs[0] else "_")
    _time_axis(axes, actual, view.results)


def _time_axis(axes: Axes, actual: pd.Series, results: ForecastResults) -> None:
    """Label an axis of dates or of steps by the name of its column."""
    dates = actual.index.dtype.kind == "M"
    axes.set_xlabel(brief(results.wording.time or ("time" if dates else "step")))
    if dates:
        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _broken(actual: pd.Series) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return times and values with NaN where steps are missing, so that no line bridges them."""
    times, values = actual.index.to_numpy(), actual.to_numpy(dtype=np.float64)
    distances = np.diff(times)
    gaps = np.flatnonzero(distances > MAX_GAP * np.median(distances)) + 1 if len(distances) else np.empty(0, dtype=int)
    return np.insert(times, gaps, times[gaps]), np.insert(values, gaps, np.nan)


def _first_target(panel: Panel, chosen: object) -> pd.Series:
    """Return the first target of a series by time."""
    index = int(np.flatnonzero(panel.ids == chosen)[0])
    values = panel.series(index)[:, 0]
    return pd.Series(values, index=times_of(panel, panel.stamps(index, np.arange(len(values)))))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    with new_file(path) as unfinished, matplotlib.rc_context({"savefig.dpi": 130}):
        figure.savefig(unfinished, format="png")


@in_style()
def skill(view: View, axes: Axes | None = None) -> Figure:
    """Draw the skill of each model with its interval, and the reference as the line at zero.

    A filled dot is better than the reference. What lies left of the figure has an arrow at its edge.
    """
    models, floor = view.ranked, _skill_floor(view)
    figure, axes = rows_canvas(models, axes=axes)
    for row, verdict in enumerate(view.results.verdicts[name] for name in models):
        if verdict.skill < floor:
            far = size(verdict, interval=False) if np.isfinite(verdict.skill) else "without limit"
            axes.plot(floor, row, "<", ms=5, color=QUIET)
            look: dict[str, Any] = {"color": QUIET, "bbox": {"facecolor": PAPER, "edgecolor": "none", "pad": 1}}
            axes.annotate(far, (floor, row), (7, 0), textcoords="offset points", va="center", **look)
            continue
        better = verdict.outcome == "better"
        axes.plot([max(verdict.low, floor), verdict.high], [row, row], color=INK, lw=1.2)
        if verdict.low < floor:
            axes.plot(floor, row, "<", ms=5, color=INK)
        axes.plot(verdict.skill, row, "o", ms=6, color=INK, mfc=INK if better else PAPER, mew=1.2)
    _skill_axis(axes, view.results)
    return figure


def _skill_floor(view: View) -> float:
    """Return the left end of an axis of skill: as near to 0 as models that are no naive forecast allow."""
    verdicts = view.results.verdicts
    own = [verdicts[name] for name in view.ranked if verdicts[name].outcome != "naive"] or [
        verdicts[name] for name in view.ranked
    ]
    lows = [min(each.skill, each.low) for each in own if each.skill >= MIN_SKILL]
    return next((floor for floor in SKILL_FLOORS if all(low >= floor for low in lows)), MIN_SKILL)


@in_style()
def error_by(view: View, key: str, label: str) -> Figure:
    """Draw the error of the best models and the reference along a key of the rows in ascending order."""
    errors = view.errors(key)
    figure, axes = canvas()
    for name, look in view.styles(view.drawn).items():
        marker = "o" if len(errors) < 13 else None
        axes.plot(errors.index, errors[name], marker=marker, ms=3, **look)
    axes.set_ylim(bottom=0)
    _integer_axis(axes, label, word(view.results.metric))
    names = view.results.wording.names
    if key == "phase" and names:
        every = -(-len(names) // MAX_NAMES)
        axes.set_xticks(range(0, len(names), every), names[::every])
    return figure


def groups_shown(view: View) -> pd.DataFrame:
    """Return the errors of the groups in a figure: those where the best model gains least come first."""
    errors = view.errors("group")
    gain = 1 - errors[view.ranked[0]] / errors[view.results.reference]
    return errors.loc[gain.sort_values(kind="stable").index[:MAX_GROUPS]]


@in_style()
def error_by_group(view: View) -> Figure:
    """Draw the error of the best models in each group as dots, and that of the reference as a bar."""
    errors = groups_shown(view)
    figure, axes = rows_canvas([str(name) for name in errors.index])
    rows = np.arange(len(errors))
    for name, look in view.styles(view.drawn).items():
        mark: dict[str, Any] = (
            {"marker": "|", "ms": 13, "mew": 2} if name == view.results.reference else {"marker": "o", "ms": 5}
        )
        axes.plot(errors[name], rows, ls="", color=look["color"], label=look["label"], **mark)
    axes.set_xlim(left=0)
    axes.set_xlabel(word(view.results.metric))
    return figure


@in_style()
def spread_of_skill(view: View) -> Figure:
    """Draw how the skill of each model differs from series to series."""
    gains = view.gains("series").clip(lower=MIN_SKILL)
    figure, axes = rows_canvas(list(gains.columns), room=0.32)
    for row, name in enumerate(gains.columns):
        low, first, median, third, high = np.quantile(gains[name], [0.05, 0.25, 0.5, 0.75, 0.95])
        _ticks(axes, gains[name].to_numpy(), row)
        axes.plot([low, high], [row, row], color=INK, lw=0.8)
        axes.plot([first, third], [row, row], color=INK, lw=4, solid_capstyle="butt")
        axes.plot(median, row, "o", ms=6, color=INK, mfc=PAPER, mew=1.2)
    _skill_axis(axes, view.results)
    return figure


@in_style()
def ranks(view: View) -> Figure:
    """Draw the average rank of each model, and a line beside each run of models without a clear difference."""
    found = view.results.ranks
    names, places = [str(name) for name in found.average.index], found.average.to_numpy()
    figure, axes = rows_canvas(names)
    for row, (name, place) in enumerate(zip(names, places, strict=True)):
        axes.plot(place, row, "o", ms=6, color=REFERENCE if name == view.results.reference else INK)
    worst = len(names)
    for run, together in enumerate(found.ties, 1):
        beside = worst + 0.07 * run * max(worst - 1, 1)
        first, last = names.index(together[0]), names.index(together[-1])
        label = "no clear difference" if run == 1 else "_"
        axes.plot([beside, beside], [first - 0.25, last + 0.25], color=REFERENCE, lw=2.5, label=label)
    axes.set_xlim(1 - 0.04 * max(worst - 1, 1), worst + 0.07 * (len(found.ties) + 1) * max(worst - 1, 1))
    ticks = MaxNLocator(6, integer=True).tick_values(1, worst)
    near = max(2.0, 1 + 0.9 * (ticks[1] - ticks[0]))  # its label would touch that of 1
    axes.set_xticks([1, *(tick for tick in ticks if near <= tick <= worst)])
    axes.spines["bottom"].set_bounds(1, worst)  # the scale ends there, and lines of ties are its key
    axes.set_xlabel("average rank (1 is best)")
    return figure


@in_style()
def training(histories: Sequence[Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw the loss of one model by epoch, one line for each fit, with the epoch that was kept as a dot."""
    figure, axes = canvas()
    for fit, history in enumerate(histories):
        losses = pd.DataFrame(history).astype(float)
        label = ("validation", "training") if fit == 0 else ("_", "_")
        axes.plot(losses["number"], losses["train_loss"], color=QUIET, lw=0.8, ls=":", label=label[1])
        axes.plot(losses["number"], losses["valid_loss"], color=COLOURS[0], lw=1.2, label=label[0])
        if losses["valid_loss"].notna().any():
            kept = losses.loc[losses["valid_loss"].idxmin()]
            axes.plot(kept["number"], kept["valid_loss"], "o", ms=5, color=COLOURS[0], label=("_", "kept")[fit == 0])
    _integer_axis(axes, "epoch (0 is untrained)", "loss")
    return figure


def _integer_axis(axes: Axes, across: str, up: str) -> None:
    """Make the x axis one of whole numbers, and label both axes."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=across, ylabel=up)
    axes.grid(axis="y")


def _skill_axis(axes: Axes, results: ForecastResults) -> None:
    """Make the x axis one of skill, with the reference as its zero."""
    axes.axvline(0, color=REFERENCE, lw=1.4, ls="--", zorder=0.5)
    axes.text(
        0, 1, brief(results.reference), transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=QUIET
    )
    axes.set_xlabel(f"skill: share of {word(results.metric)} removed")
    percent_axis(axes.xaxis)


def _ticks(axes: Axes, values: np.ndarray, row: int) -> None:
    """Draw a short line for each value, all of them as one path: hundreds of them stay light."""
    x = np.repeat(values, 3)
    y = np.tile([row - 0.25, row + 0.25, np.nan], len(values))
    axes.plot(x, y, color=REFERENCE, lw=0.5, alpha=float(np.clip(60 / len(values), 0.15, 0.6)))
