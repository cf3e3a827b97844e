"""A leaderboard is rows and what follows from them: ranking, verdicts, views; it draws itself from what was kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from tsforecast.checks import one_of
from tsforecast.errors import DataError, ParameterError, UnknownNameError, nearest, raise_any, shorten
from tsforecast.estimators.registry import NAIVE_FAMILY
from tsforecast.evaluation import metrics
from tsforecast.evaluation import summaries as views
from tsforecast.evaluation.record import Record
from tsforecast.evaluation.storage import Kept, coverage_problems, merged, write_rows
from tsforecast.evaluation.verdict import Verdict, judge
from tsforecast.files import write_or_return

# What a reader sees of a table: column -> title and digits, in the order of what matters.
SHOWN = {
    "mase": ("MASE", "{:.3f}"),
    "skill": ("skill", "{:+.1%}"),
    "mae": ("MAE", "{:.4g}"),
    "rmse": ("RMSE", "{:.4g}"),
    "fit_seconds": ("fit s", "{:.2f}"),
    "predict_seconds": ("predict s", "{:.3f}"),
    "smape": ("sMAPE", "{:.2f}"),
    "rmsse": ("RMSSE", "{:.3f}"),
    "owa": ("OWA", "{:.3f}"),
    "leak_audit": ("leak audit", "{}"),
}


@dataclass(frozen=True, eq=False, repr=False)
class Leaderboard:
    """Rows of several models on the same targets, and what follows from them.

    Attributes
    ----------
    rows : pandas.DataFrame
        See `backtest`.
    metric : str
        The metric that ranks and that skill is about.
    reference : str
        The model that skill is relative to: the best of the naive family on these cutoffs, unless
        another one was named.
    notes : tuple of str
        What was mended in the data, which series were never forecast, and which a model could not forecast itself.
    record : Record or None
        What was fitted on what; None where only rows were kept.
    """

    rows: pd.DataFrame
    metric: str
    reference: str
    notes: tuple[str, ...] = ()
    record: Record | None = None

    @classmethod
    def from_parquet(cls, *paths: str | Path, metric: str | None = None, reference: str | None = None) -> Leaderboard:
        """Read leaderboards, or rows of `backtest`, that were kept, and put several on one board.

        Parameters
        ----------
        paths : path
            Files, or folders with a ``rows.parquet``.
        metric, reference : str, optional
            Those of the files unless given.

        Raises
        ------
        DataError
            When a file holds no rows, or several were not made from the same data in the same way.
        UnknownNameError, ParameterError
        """
        if not paths:
            raise ParameterError("at least one file must be given: got none")
        return _board(merged([Kept.read(Path(path)) for path in paths], metric, reference))

    def to_parquet(self, path: str | Path) -> None:
        """Write rows, and the record beside them, to one file.

        Raises
        ------
        OutputError
        """
        record = self.record.plain() if self.record else None
        told = {"metric": self.metric, "reference": self.reference, "notes": self.notes, "record": record}
        write_rows(Path(path), self.rows, told)

    def merge(self, other: Leaderboard, reference: str | None = None) -> Leaderboard:
        """Return a board with the models of both.

        Parameters
        ----------
        other : Leaderboard
        reference : str, optional
            Must be named where the two differ in theirs.

        Raises
        ------
        DataError
            When the two were not made from the same data in the same way; the sentence names what differs.
        """
        return _board(merged([self, other], None, reference))

    @property
    def failures(self) -> dict[str, str]:
        """Why models have no forecasts, by name."""
        fits = self.record.fits if self.record else ()
        return {fit.model: fit.error for fit in reversed(fits) if fit.error}

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each model, the best first.

        Errors are averaged over the steps and cutoffs of each series and target, then over those, then over seeds;
        `spread` is the standard deviation of the metric that ranks over seeds, NaN where there is one.
        `fit_seconds` is the time of one fit, `predict_seconds` of one forecast from all cutoffs of it.
        """
        by_seed = views.errors(self.rows).groupby(level="model", observed=True, sort=False)
        table = by_seed.mean()
        table["spread"] = by_seed[self.metric].std()
        best = table.loc[self.reference]
        table["owa"] = [
            metrics.owa(row.smape, row.mase, best["smape"], best["mase"]) for row in table.itertuples(index=False)
        ]
        table["skill"] = [metrics.skill(error, best[self.metric]) for error in table[self.metric]]
        times = self.rows.groupby("model", observed=True)[["fit_seconds", "predict_seconds"]].mean()
        table = table.join(times.astype(float)).join(_audits(self.rows))
        table = table.reindex(pd.Index([*map(str, table.index), *self.failures], name="model")).reset_index()
        table["leak_audit"] = table["leak_audit"].fillna("not run")
        # A model that forecasts NaN has no error to rank and goes last, with those that failed.
        return table.sort_values([self.metric, "model"], ignore_index=True, na_position="last")

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """What can be said of each model: beats the reference, does not, or cannot be told."""
        found = judge(self.rows, self._errors.drop(index=list(self.failures)), self.metric, self.reference)
        failed = {name: Verdict(name, "failed", f"{name} failed: {error}") for name, error in self.failures.items()}
        return found | failed

    def by(self, key: str) -> pd.DataFrame:
        """Return the metric for each value of a key, in rows, and each model, in columns; see `views.errors_by`.

        Parameters
        ----------
        key : {"step", "series", "group", "phase", "cutoff"}

        Examples
        --------
        >>> import numpy as np
        >>> from tsforecast import leaderboard
        >>> board = leaderboard([], np.arange(20.0), horizon=2, origins=3)
        >>> board.by("step")["naive"].tolist()
        [1.0, 2.0]
        """
        return views.errors_by(self.rows, key, self.metric)[list(self._errors.index.drop(list(self.failures)))]

    @cached_property
    def win_rates(self) -> pd.DataFrame:
        """How often the model of a row has a smaller loss than that of a column; see `views.win_rates`."""
        return views.win_rates(self.rows, self.metric)

    @cached_property
    def ranks(self) -> views.Ranks:
        """Average ranks with their critical difference; see `views.average_ranks`."""
        return views.average_ranks(self.rows, self.metric)

    @property
    def _errors(self) -> pd.Series:
        return self.table.set_index("model")[self.metric]

    @property
    def basis(self) -> str:
        """What was tested, in a sentence."""
        rows = self.rows[self.rows["model"] == self.reference]
        per_series = rows.groupby("series", observed=True)["cutoff"].nunique()
        counts = [len(per_series), rows["target"].nunique(), int(per_series.max())]
        words = [_count(n, word) for n, word in zip(counts, ("series", "target", "cutoff"), strict=True)]
        seeds = int(self.rows.groupby("model", observed=True)["seed"].nunique().max()) if "seed" in self.rows else 1
        spread = f"; ± is the standard deviation over {seeds} seeds" if seeds > 1 else ""
        return (
            f"{words[0]}, {words[1]}, {words[2]}, horizon {int(rows['step'].max())}; "
            f"skill is the share of {self.reference}'s {self.metric.upper()} that a model removes{spread}"
        )

    @property
    def proof(self) -> str:
        """What the leak audit found, in a sentence."""
        outcomes: dict[str, list[str]] = {}
        for model, outcome in zip(self.table["model"], self.table["leak_audit"], strict=True):
            if model not in self.failures:
                outcomes.setdefault(outcome, []).append(model)
        if len(outcomes) == 1:
            return f"Leak audit of all models: {next(iter(outcomes))}"
        return "Leak audit: " + "; ".join(f"{outcome}: {', '.join(models)}" for outcome, models in outcomes.items())

    @cached_property
    def shown(self) -> pd.DataFrame:
        """The table as text, for a reader: the metric that ranks on the left, then what matters most."""
        names = sorted(SHOWN, key=lambda name: name != self.metric)
        cells = {
            SHOWN[name][0]: [SHOWN[name][1].format(value) if pd.notna(value) else "-" for value in self.table[name]]
            for name in names
        }
        title, digits = SHOWN[self.metric]
        spreads = [f" ± {digits.format(spread)}" if pd.notna(spread) else "" for spread in self.table["spread"]]
        cells[title] = [mean + spread for mean, spread in zip(cells[title], spreads, strict=True)]
        return pd.DataFrame({"model": self.table["model"], **cells})

    def to_markdown(self) -> str:
        """Return the table and the verdicts as Markdown."""
        shown = self.shown
        text = shown.to_markdown(
            index=False, disable_numparse=True, colalign=["left"] + ["right"] * (len(shown.columns) - 1)
        )
        verdicts = "\n".join(f"- {verdict}" for verdict in self.verdicts.values())
        notes = "".join(f"Note: {note}.\n\n" for note in self.notes)
        return f"{text}\n\n{self.basis}.\n\n{notes}{verdicts}\n\n{self.proof}.\n"

    def to_html(self, path: str | Path | None = None, title: str | None = None) -> str | None:
        """Write the report to a file, or return it: one page of HTML that needs no network.

        Raises
        ------
        OutputError
        """
        from tsforecast.evaluation.report.forecasts import (
            html_report,  # drawn from this board, so not known to it before
        )

        return write_or_return(html_report(self, title), path)

    def to_json(self, path: str | Path | None = None) -> str | None:
        """Write table, verdicts, views and record to a file, or return them; numbers that are none are null.

        Raises
        ------
        OutputError
        """
        from tsforecast.evaluation.report.forecasts import json_report

        return write_or_return(json_report(self), path)

    def __repr__(self) -> str:  # at a prompt, what print shows
        return self.to_markdown()

    def _repr_html_(self) -> str:
        from tsforecast.evaluation.report.forecasts import html_table

        return html_table(self)


def from_rows(
    rows: pd.DataFrame,
    metric: str = "mase",
    reference: str | None = None,
    notes: tuple[str, ...] = (),
    record: Record | None = None,
) -> Leaderboard:
    """Draw up a leaderboard from rows that were kept.

    Where the past of every series is constant, so that MASE and RMSSE have no scale, MAE and RMSE rank.

    Raises
    ------
    DataError
        When the models were not tested on the same targets.
    """
    # Joining rows of different models turns their categories into plain text; tables group faster by category.
    rows = rows.reset_index(drop=True).astype({"model": "category", "series": "category", "target": "category"})
    raise_any(coverage_problems(rows))
    errors = views.errors(rows).groupby(level="model", observed=True, sort=False).mean()
    naive = errors[[name in NAIVE_FAMILY for name in errors.index]]
    if metric in ("mase", "rmsse") and naive[metric].isna().all():
        metric = "mae" if metric == "mase" else "rmse"  # a constant past gives no scale
    if reference is None:
        if naive.empty:
            raise DataError(
                "a board must have a naive forecast, or a reference by name: the rows have "
                f"{shorten([repr(str(name)) for name in errors.index])} only; pass reference=..."
            )
        reference = str(naive[metric].idxmin())
    return Leaderboard(rows, metric, reference, notes, record)


def _board(kept: Kept) -> Leaderboard:
    raise_any(one_of("metric", kept.metric, views.METRICS, [None]), ParameterError)
    models = kept.rows["model"].astype(str).unique()
    if kept.reference is not None and kept.reference not in models:
        raise UnknownNameError(f"reference {kept.reference!r} is not on the board; {nearest(kept.reference, models)}")
    return from_rows(kept.rows, kept.metric or "mase", kept.reference, kept.notes, kept.record)


def _audits(rows: pd.DataFrame) -> pd.Series:
    """Return the outcome of the audit of each model; the worst where rows disagree."""
    if "leak_audit" not in rows:
        return pd.Series("not run", index=rows["model"].unique(), name="leak_audit")
    outcomes = rows["leak_audit"].astype(str).groupby(rows["model"], observed=True)
    return outcomes.agg(lambda found: min(found.unique(), key=lambda word: not word.startswith("LEAK")))


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 or word == "series" else f"{number} {word}s"
