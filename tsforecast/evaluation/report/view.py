"""Forecast results as the figures and tables of a report use them: order of the models, errors by key, gains."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.evaluation.results import ForecastResults
from tsforecast.reporting.figures import COLOURS, MAX_LINES, REFERENCE, brief

MIN_SKILL = -1.0  # skill below which a model has no line of its own: it would squeeze the rest


@dataclass(frozen=True, eq=False)
class View:
    """Results and what figures derive from them, computed once for a whole page.

    Examples
    --------
    >>> from tsforecast import leaderboard
    >>> view = View(leaderboard([], np.arange(40.0).reshape(2, 20, 1) ** 2, horizon=2))
    >>> view.ranked, view.drawn, view.gains("series").shape
    (['naive', 'seasonal-naive'], ['naive'], (2, 2))
    """

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

    def omitted(self, count: int | None = None) -> str:
        """Return a sentence that names the models without a line, where the best `count` drawn ones have one."""
        rest = [name for name in self.ranked if name not in self.drawn[:count]]
        return f" Left out: {', '.join(rest)}." if rest else ""
