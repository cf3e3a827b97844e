"""Figures of labels of steps: what was true and what was predicted along the time of one recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tsforecast.evaluation.classification import REFERENCE
from tsforecast.evaluation.steps import StepResults
from tsforecast.reporting.figures import COLOURS, RULE, brief, in_style, rows_canvas
from tsforecast.reporting.page import CaptionedFigure, captioned

MAX_SHOWN = 24  # true segments of a recording, the first ones: more cannot be told apart on a phone
MODELS = 2  # the best ones, each with a figure of the same recording


def timeline_figures(results: StepResults, names: list[str]) -> list[CaptionedFigure]:
    """Return a recording along time by the best models, the one that the best of them is right about at the median."""
    recording, user, share = median_recording(results, names[0])
    whose = "" if pd.isna(user) else f" of {user}"
    found: list[CaptionedFigure] = []
    for name in [name for name in names if name != REFERENCE][:MODELS] or names[:1]:
        runs, whole = _shown(results.along_time(recording, name))
        caption = (
            f"Recording {recording}{whose}: for {names[0]} {share:.1%} of its steps are right, the median of all "
            f"recordings. Wide bars are the truth; narrow ones, at the class that {name} predicted, are blue where it "
            f"is right and orange where it is wrong.{'' if whole else f' Shown are the first {MAX_SHOWN} segments.'}"
        )
        figure = timeline_figure(runs)
        found.append(captioned(f"time-{len(found)}", f"Truth and prediction of {name}", figure, caption))
    return found


def median_recording(results: StepResults, model: str) -> tuple[Any, Any, float]:
    """Return the recording at the median of a model's accuracy, its user, and that accuracy."""
    rows = results.of(results.protocols[0])
    rows = rows[rows["model"] == model]
    right = rows["count"].where(rows["true"] == rows["predicted"], 0)
    keys = [rows["recording"], rows["group"]]
    shares = right.groupby(keys, dropna=False).sum() / rows["count"].groupby(keys, dropna=False).sum()
    ranked = shares.sort_values(kind="stable")
    (recording, user), share = ranked.index[len(ranked) // 2], ranked.iloc[len(ranked) // 2]
    return recording, user, float(share)


def _shown(runs: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Return the runs of the first true segments of a recording, and whether these are all."""
    ends = (runs["begin"] + runs["count"]).shift(fill_value=-1)
    number = ((runs["true"] != runs["true"].shift()) | (runs["begin"] != ends)).cumsum()
    kept = runs[number <= MAX_SHOWN]
    return kept, len(kept) == len(runs)


@in_style()
def timeline_figure(runs: pd.DataFrame) -> Figure:
    """Draw the true class of each step as a wide bar, and the predicted one as a narrow bar, a row for each class."""
    classes = sorted({*runs["true"], *runs["predicted"]})
    row = {label: at for at, label in enumerate(classes)}
    figure, axes = rows_canvas([str(label) for label in classes], room=0.2)
    right = (runs["true"] == runs["predicted"]).to_numpy()
    begin, count = runs["begin"].to_numpy(), runs["count"].to_numpy()
    true, predicted = (np.array([row[label] for label in runs[name]]) for name in ("true", "predicted"))
    axes.barh(true, count, left=begin, height=0.86, color=RULE, lw=0, label="truth")
    for which, colour, word in ((right, COLOURS[0], "right"), (~right, COLOURS[1], "wrong")):
        if which.any():
            axes.barh(predicted[which], count[which], left=begin[which], height=0.4, color=colour, lw=0, label=word)
    axes.set_xlim(begin.min(), (begin + count).max())
    axes.set_xlabel("step")
    axes.set_yticks(range(len(classes)), [brief(label) for label in classes])
    return figure
