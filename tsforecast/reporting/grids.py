"""Tables of a page: every cell as the text that a reader sees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tsforecast.evaluation.board import SHOWN, Leaderboard
from tsforecast.evaluation.record import Fit
from tsforecast.reporting.canvas import ranked
from tsforecast.reporting.charts import gains_by
from tsforecast.training.history import Epoch, best_epoch

MOST_ROWS = 200  # of a table that grows with the data; the rest is counted
NOTHING = "-"


@dataclass(frozen=True)
class Grid:
    """A table whose first column names its rows.

    Attributes
    ----------
    label : str
        What the table is, for those who cannot see it.
    columns : tuple of str
    rows : tuple of tuples of str
    words : tuple of str
        Columns after the first that hold words; the others hold numbers.
    marked : str
        Name of the row that the others are compared with.
    more : int
        How many rows there are beyond those shown.
    """

    label: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[str, ...] = ()
    marked: str = ""
    more: int = 0


def all_numbers(board: Leaderboard) -> Grid:
    """Return the table of a board.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> all_numbers(leaderboard([], range(20), horizon=2)).rows[0][:3]
    ('drift', '0.000', '-')
    """
    shown = board.shown
    words = (SHOWN["leak_audit"][0],)
    return Grid("Errors of all models", tuple(shown.columns), _rows(shown), words, board.reference)


def wins(board: Leaderboard) -> Grid:
    """Return how often each model has the smaller error than each other one.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> wins(leaderboard([], [1.0, 2.0, 4.0, 5.0, 7.0, 8.0, 10.0], horizon=1)).columns
    ('model', 'drift', 'naive', 'seasonal-naive')
    """
    rates = board.win_rates
    names = [name for name in board.table["model"] if name in rates.index]
    rows = [[name, *(_percent(rates.loc[name, other], name == other) for other in names)] for name in names]
    return Grid("Share of wins of each model over each other", ("model", *names), _rows(rows), marked=board.reference)


def every_series(board: Leaderboard) -> Grid:
    """Return the error on each series, those with the lowest skill of the best model first.

    Examples
    --------
    >>> import numpy as np
    >>> from tsforecast import leaderboard
    >>> every_series(leaderboard([], np.arange(20.0), horizon=2)).columns
    ('series', 'skill of naive', 'drift', 'naive', 'seasonal-naive')
    """
    models, errors = ranked(board), board.by("series")
    gains = gains_by(board, "series")[models[0]].reindex(errors.index).sort_values(kind="stable")
    digits = SHOWN[board.metric][1]
    rows = [
        [
            str(name),
            _cell(gain, "{:+.1%}"),
            *(_cell(errors.loc[name, model], digits) for model in [board.reference, *models]),
        ]
        for name, gain in gains.iloc[:MOST_ROWS].items()
    ]
    columns = ("series", f"skill of {models[0]}", board.reference, *models)
    return Grid(f"{board.metric.upper()} of each series", columns, _rows(rows), more=max(0, len(gains) - MOST_ROWS))


def fitted(fits: Sequence[Fit]) -> Grid:
    """Return what was fitted on what, one row for each fit, with the columns that say something.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> board = leaderboard([], range(20), horizon=2)
    >>> fitted(board.record.fits).rows[0][:5]
    ('naive', '0', '17', 'passed (data)', '1')
    """
    columns = ("model", "seed", "learned from", "to", "left out", "scaling", "leak audit", "error")
    counts = ("series", "steps", "epochs", "kept epoch", "fit s", "predict s")
    rows = [
        [
            fit.model,
            NOTHING if fit.seed is None else str(fit.seed),
            *fit.learned_from,
            ", ".join(map(str, fit.left_out)) or NOTHING,
            fit.scaling or NOTHING,
            fit.leak_audit or NOTHING,
            fit.error or NOTHING,
            str(fit.series),
            str(fit.steps),
            *_epochs(fit),
            _cell(fit.fit_seconds, "{:.2f}"),
            _cell(fit.predict_seconds, "{:.3f}"),
        ]
        for fit in fits[:MOST_ROWS]
    ]
    told = pd.DataFrame(rows, columns=[*columns, *counts])
    told = told.loc[:, (told != NOTHING).any()]
    more = max(0, len(fits) - MOST_ROWS)
    return Grid("What was fitted on what", tuple(told.columns), _rows(told), words=columns, more=more)


def _epochs(fit: Fit) -> tuple[str, str]:
    """Return how many epochs a network was trained for, and which one was kept."""
    if not fit.history:
        return NOTHING, NOTHING
    history = [Epoch(**epoch) for epoch in fit.history]
    return str(history[-1].number), str(best_epoch(history).number)


def _rows(rows: pd.DataFrame | Iterable[Sequence[Any]]) -> tuple[tuple[str, ...], ...]:
    lines = rows.itertuples(index=False) if isinstance(rows, pd.DataFrame) else rows
    return tuple(tuple(map(str, line)) for line in lines)


def _percent(share: float, same: bool) -> str:
    return NOTHING if same else _cell(share, "{:.0%}")


def _cell(value: float, digits: str) -> str:
    """Return a number as text, or a dash where there is none."""
    return NOTHING if value is None or math.isnan(value) else digits.format(value)
