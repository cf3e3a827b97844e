"""Page of the overall standing over tasks: one self-contained HTML page, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tsforecast.errors import shorten
from tsforecast.reporting.figures import COLOURS, INK, PAPER, QUIET, REFERENCE, in_style, percent_axis, rows_canvas
from tsforecast.reporting.page import CaptionedFigure, captioned, page
from tsforecast.reporting.tables import MISSING, Grid

MAX_MODELS = 30  # with a row in a figure, the best ones
LEAST_SKILL = -1.0  # that is drawn
WORDS = {"skill": "skill", "win_rate": "win rate", "rank": "average rank"}


class Standing(Protocol):
    """Fields of `tsforecast.evaluation.overall.Overall` that the page reads."""

    @property
    def table(self) -> pd.DataFrame:
        """Numbers of each model, the best first."""

    @property
    def relative(self) -> pd.DataFrame:
        """Relative error of each task and model."""

    @property
    def errors(self) -> pd.DataFrame:
        """Error of each task and model."""

    @property
    def replaced(self) -> pd.DataFrame:
        """Whether the error of the reference counts."""

    @property
    def reference(self) -> str:
        """Model that errors are relative to."""

    @property
    def metrics(self) -> pd.Series:
        """Metric of each task."""

    @property
    def win_rates(self) -> pd.DataFrame:
        """Win rate of each model over each other."""

    @property
    def display_table(self) -> pd.DataFrame:
        """The table as text."""


def html_overall(
    standing: Standing,
    title: str | None = None,
    facts: Mapping[str, str] | None = None,
    failures: pd.DataFrame | None = None,
) -> str:
    """Render the standing of models as one self-contained HTML page; data are escaped.

    `failures` has the columns task, model and error; `facts` are shown by title.
    """
    models, reference = len(standing.table), standing.reference
    counted = f"{models} models on {len(standing.relative)} tasks"
    metrics = standing.metrics[standing.metrics != ""].value_counts()
    of = ", ".join(f"{name} of {count}" for name, count in metrics.items())
    return page(
        "overall.html.jinja",
        title=title or "Which models are best over all tasks?",
        standing=standing,
        summary=f"{counted}, compared with {reference}." + (f" Errors: {of} tasks." if of else ""),
        drawn=_figures(standing),
        numbers=Grid.of_frame("All models", standing.display_table, marked=reference),
        relative=relative_grid(standing),
        marks=_marks(standing),
        wins=_win_grid(standing) if models > 2 else None,
        failures=_failure_grid(failures),
        facts=facts or {},
    )


def relative_grid(standing: Standing) -> Grid:
    """Return the error of the reference on each task, and the relative one of each other model."""
    reference = standing.reference
    others = [name for name in standing.relative if name != reference]
    lines = []
    for task, line in standing.relative.iterrows():
        replaced = standing.replaced.loc[task]
        failed = standing.errors.loc[task].isna()
        cells = [_relative_cell(line[name], replaced[name], failed[name]) for name in others]
        lines.append(
            (task, standing.metrics.loc[task] or MISSING, f"{standing.errors.loc[task, reference]:.4g}", *cells)
        )
    return Grid.of("Relative errors of each task", ("task", "metric", reference, *others), lines, words=("metric",))


def _relative_cell(value: float, replaced: bool, failed: bool) -> str:
    return ("failed" if failed else "LEAK") if replaced else f"{value:.3f}"


def _marks(standing: Standing) -> str:
    if not standing.replaced.to_numpy().any():
        return ""
    return f"Where a model failed, or its leak audit found a leak, the error of {standing.reference} counts."


def _win_grid(standing: Standing) -> Grid:
    rates = standing.win_rates
    lines = [
        (name, *(MISSING if np.isnan(rate) else f"{rate:.0%}" for rate in line))
        for name, line in zip(rates.index, rates.to_numpy(), strict=True)
    ]
    return Grid.of("Win rate of each model over each other", ("model", *rates.columns), lines)


def _failure_grid(failures: pd.DataFrame | None) -> Grid | None:
    if failures is None or failures.empty:
        return None
    return Grid.of_frame("Failures", failures[["task", "model", "error"]], words=("model", "error"))


def _figures(standing: Standing) -> list[CaptionedFigure]:
    line = f"Lines are 95% intervals over {len(standing.relative)} tasks."
    if len(standing.relative) < 2:
        line = "One task gives no interval."
    more = len(standing.table) - MAX_MODELS
    left = f" {more} more models are in the table." if more > 0 else ""
    blue = " Blue is better than {} with its whole interval." if len(standing.relative) > 1 else ""
    hollow = " A hollow dot is a model with a leak." if (standing.table["leaks"] > 0).any() else ""
    beyond = [str(model) for model in standing.table.loc[standing.table["skill"] < LEAST_SKILL, "model"]]
    outside = f" Below the axis: {shorten(beyond, 8)}." if beyond else ""
    captions = {
        "skill": f"Share of {standing.reference}'s error that a model removes, by geometric mean over tasks. {line}"
        + blue.format(standing.reference)
        + hollow
        + outside,
        "win_rate": f"Share of comparisons with the other models that are won. {line}{blue.format('half')}",
        "rank": f"Rank among all models, averaged over tasks; 1 is best. {line}{blue.format('the middle rank')}",
    }
    return [
        captioned(name, text[:1].upper() + text[1:], standing_figure(standing, name), captions[name] + left)
        for name, text in WORDS.items()
        if standing.table[name].notna().any()
    ]


@in_style()
def standing_figure(standing: Standing, name: str) -> Figure:
    """Draw one of `WORDS` for each model with its interval, in the order of the table."""
    table = standing.table[standing.table[name].notna()].head(MAX_MODELS)
    figure, axes = rows_canvas([str(model) for model in table["model"]], room=0.28)
    neutral = {"skill": 0.0, "win_rate": 0.5, "rank": (1 + int(standing.table["rank"].notna().sum())) / 2}[name]
    axes.axvline(neutral, color=REFERENCE, lw=0.8)
    for row, (_, line) in enumerate(table.iterrows()):
        reference = line["model"] == standing.reference
        colour = QUIET if reference else COLOURS[0] if _beats(line, name, neutral) and not line["leaks"] else INK
        axes.plot([line[f"{name}_low"], line[f"{name}_high"]], [row, row], color=colour, lw=1.2)
        axes.plot(line[name], row, "o", ms=6, color=colour, mfc=PAPER if line["leaks"] else colour, mew=1.2)
    axes.set(xlabel=WORDS[name])
    _limit(axes, table, name)
    if name != "rank":
        percent_axis(axes.xaxis, top=1)
    return figure


def _beats(line: pd.Series, name: str, neutral: float) -> bool:
    """Return whether the whole interval of a model is on the better side."""
    return bool(line[f"{name}_high"] < neutral if name == "rank" else line[f"{name}_low"] > neutral)


def _limit(axes: Axes, table: pd.DataFrame, name: str) -> None:
    """Keep one model that is far worse from squeezing the others: a skill is drawn down to -1."""
    if name == "skill":
        low = float(np.nanmin(table[["skill", "skill_low"]].to_numpy()))
        if low < LEAST_SKILL:
            axes.set_xlim(left=LEAST_SKILL - 0.05)
