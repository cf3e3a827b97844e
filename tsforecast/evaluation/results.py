"""Forecast results: rows of several models, with the table, verdicts and ranks that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pandas as pd

from tsforecast.checks import one_of
from tsforecast.errors import DataError, ParameterError, Problem, UnknownNameError, nearest, raise_any, shorten
from tsforecast.estimators.registry import NAIVE_FAMILY
from tsforecast.evaluation import metrics
from tsforecast.evaluation.calibration import Calibration, calibrations
from tsforecast.evaluation.metrics import known_metrics, own_metrics, shown_metrics, word
from tsforecast.evaluation.notes import Exposure, exposures
from tsforecast.evaluation.phrasing import Wording, headline, times
from tsforecast.evaluation.record import ForecastRecord
from tsforecast.evaluation.scores import INTERVALS
from tsforecast.evaluation.storage import TARGET, Results, coverage_problems, join
from tsforecast.evaluation.summaries import (
    Ranks,
    average_ranks,
    errors,
    errors_by,
    errors_by_level,
    win_rates,
    without_distribution,
    without_percentage,
    without_scale,
)
from tsforecast.evaluation.verdict import MARGIN, Verdict, judge
from tsforecast.hierarchies.hierarchy import Hierarchy
from tsforecast.reporting.tables import as_text, markdown

# Column of the table -> its title and format where it is displayed, the most important first.
DISPLAY = {
    "mase": ("MASE", "{:.3f}"),
    "skill": ("skill", "{:+.1%}"),
    "crps": ("CRPS", "{:.3f}"),
    "crps_ratio": ("CRPS / seasonal naive", "{:.3f}"),
    "mae": ("MAE", "{:.4g}"),
    "rmse": ("RMSE", "{:.4g}"),
    "wql": ("WQL", "{:.4f}"),
    "msis": ("MSIS", "{:.2f}"),
    **{name: (f"within {held}%", "{:.1%}") for name, held in zip(metrics.COVERAGES, INTERVALS, strict=True)},
    **{name: (f"width {held}%", "{:.2f}") for name, held in zip(metrics.WIDTHS, INTERVALS, strict=True)},
    "fit_seconds": ("fit s", "{:.2f}"),
    "predict_seconds": ("predict s", "{:.3f}"),
    "smape": ("sMAPE", "{:.2f}"),
    "rmsse": ("RMSSE", "{:.3f}"),
    "owa": ("OWA", "{:.3f}"),
    "wape": ("WAPE", "{:.4f}"),
    "mape": ("MAPE", "{:.2f}"),
    "bias": ("bias", "{:+.4g}"),
    "release": ("release", "{}"),
    "trained_on": ("trained on", "{}"),
    "exposure": ("test part", "{}"),
    "leak_audit": ("leak audit", "{}"),
}
OWN_FORMAT = "{:.4g}"  # of a metric of the caller
SEASONAL = "seasonal-naive"  # whose CRPS a ratio divides by
UNSCALED = {
    "mase": "mae",
    "rmsse": "rmse",
    "owa": "smape",
    "wape": "mae",
    "mape": "mae",
    "crps": "wql",
    "msis": "wql",
}  # where no series has a scale


@dataclass(frozen=True, eq=False, repr=False)
class ForecastResults(Results):
    """Forecasts of several models for the same targets.

    Attributes
    ----------
    rows : pandas.DataFrame
        See `backtest`.
    metric : str
        The metric that ranks the models and that skill refers to.
    reference : str
        The model that skill is relative to. A leaderboard chooses the naive forecast that is best before its oldest
        cutoff; rows alone have the best one on their own cutoffs, against which a gain is harder to show.
    notes : tuple of str
        Imputed values, series without forecasts or without MASE, and series on which a model fell back on another one.
    record : ForecastRecord or None
        Data, protocol and fits behind the rows; None where only rows were kept.
    margin, independent_series, unit
        See `leaderboard`.
    """

    rows: pd.DataFrame
    metric: str
    reference: str
    notes: tuple[str, ...] = ()
    record: ForecastRecord | None = None
    margin: float = MARGIN
    independent_series: bool = False
    unit: str = ""

    _record_type = ForecastRecord
    _columns = (*TARGET, "forecast", "naive_mae", "naive_mse")
    _compared = ("y", "forecast")
    _kept = ("metric", "reference", "margin", "independent_series", "unit")
    _shared = (
        *("horizon", "gap", "origins", "step", "refit", "train_length", "min_past", "align", "groups"),
        "season_length",
    )
    _words = ("backtest", "leaderboard", "forecasts", "leaderboard")

    @classmethod
    def from_rows(
        cls,
        rows: pd.DataFrame,
        metric: str = "mase",
        reference: str | None = None,
        notes: tuple[str, ...] = (),
        record: ForecastRecord | None = None,
        margin: float = MARGIN,
        independent_series: bool = False,
        unit: str = "",
    ) -> Self:
        """Build results from rows of `backtest`.

        Where the past of every series is constant, so that MASE and RMSSE have no scale, MAE and RMSE rank; WQL in
        place of CRPS and MSIS.

        Parameters
        ----------
        rows, notes, record, margin, independent_series, unit
            See the attributes.
        metric : {"mase", "mae", "rmse", "smape", "rmsse", "wape", "mape", "owa", "crps", "wql", "msis"}
            Or the name of a metric of your own whose losses the rows hold.
        reference : str, optional
            The best naive model unless given.

        Raises
        ------
        DataError
            When the models were not tested on the same targets, or there is neither a naive model nor a reference.
        """
        # Joining rows of different models turns their categories into plain text; tables group faster by category.
        rows = rows.reset_index(drop=True).astype({"model": "category", "series": "category", "target": "category"})
        raise_any(one_of("metric", metric, known_metrics(rows)), ParameterError)
        raise_any(coverage_problems(rows))
        means = errors(rows, metrics=[metric]).groupby(level="model", observed=True, sort=False).mean()
        naive = means[[name in NAIVE_FAMILY for name in means.index]]
        if metric in UNSCALED and naive[metric].isna().all():
            return cls.from_rows(rows, UNSCALED[metric], reference, notes, record, margin, independent_series, unit)
        if reference is None:
            if naive.empty:
                raise DataError(
                    "results must include a naive forecast, or name a reference: the rows have "
                    f"{shorten([repr(str(name)) for name in means.index])} only; pass reference=..."
                )
            reference = str(naive[metric].idxmin())
        found = (*without_scale(rows), *without_distribution(rows, metric), *without_percentage(rows, metric))
        seen = [each.note for each in exposures(rows, record).values() if each.note]
        notes = tuple(dict.fromkeys((*notes, *found, *seen)))
        return cls(rows, metric, reference, notes, record, margin, independent_series, unit)

    @classmethod
    def from_parquet(cls, *paths: str | Path, metric: str | None = None, reference: str | None = None) -> Self:
        """Read and merge results, or rows of `backtest`, that were written to Parquet.

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
        return cls._joined(cls._read(paths), metric, reference)

    def merge(self, other: ForecastResults, reference: str | None = None) -> Self:
        """Return the models of both results side by side.

        Parameters
        ----------
        other : ForecastResults
        reference : str, optional
            Must be named where the two differ in theirs.

        Raises
        ------
        DataError
            When the two were not made from the same data in the same way; the message names each difference.
        """
        if not isinstance(other, ForecastResults):
            raise ParameterError(f"merge needs another ForecastResults: got {type(other).__name__}")
        return self._joined([self, other], None, reference)

    @classmethod
    def _joined(cls, parts: Sequence[ForecastResults], metric: str | None, reference: str | None) -> Self:
        chosen = {"metric": metric, "reference": reference}
        rows, notes, record = join(parts, [name for name, value in chosen.items() if value])
        if record is not None:
            known = [part.record for part in parts if part.record]
            record = record.with_ahead([each.ahead for each in known])
            explained = {name: plain for each in known[::-1] for name, plain in each.explained.items()}
            record = replace(record, explained=explained)
        # Plain rows of `backtest` have neither.
        metric, reference = metric or parts[0].metric, reference or parts[0].reference
        raise_any(one_of("metric", metric, known_metrics(rows), [None]), ParameterError)
        models = rows["model"].astype(str).unique()
        if reference is not None and reference not in models:
            raise UnknownNameError(f"reference {reference!r} is not among the models; {nearest(reference, models)}")
        first = parts[0]
        more = (first.margin, first.independent_series, first.unit)
        return cls.from_rows(rows, metric or "mase", reference, notes, record, *more)

    def _facts(self, other: Results) -> dict[str, tuple[Any, Any]]:
        facts = super()._facts(other) or {"horizon": (int(self.rows["step"].max()), int(other.rows["step"].max()))}
        ours, theirs = (_weights(each.rows) for each in (self, other))
        return facts if ours == theirs else facts | {"weights": (ours, theirs)}

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each model, the best first; those that read the future go behind them, and failed ones last.

        Errors are averaged over the steps and cutoffs of each series and target, then over those, then over seeds;
        `spread` is the standard deviation of the ranking metric over seeds, NaN where there is one.
        `fit_seconds` is the time of one fit, `predict_seconds` of one forecast from all cutoffs of it. Where a model
        was trained before, `release` and `trained_on` are what it states, and `exposure` how far it may have seen the
        test part then.
        """
        shown = shown_metrics(self.rows, self.metric)
        by_seed = errors(self.rows, metrics=shown).groupby(level="model", observed=True, sort=False)
        table = by_seed.mean()
        table["spread"] = by_seed[self.metric].std()
        best = table.loc[self.reference]
        if "owa" not in table:
            both = table[["smape", "mase"]].to_numpy()
            table["owa"] = [metrics.owa(smape, mase, best["smape"], best["mase"]) for smape, mase in both]
        table["skill"] = [metrics.skill(error, best[self.metric]) for error in table[self.metric]]
        if "crps" in table and SEASONAL in table.index:
            table["crps_ratio"] = metrics.divide(table["crps"], table.loc[SEASONAL, "crps"])
        times = self.rows.groupby("model", observed=True)[["fit_seconds", "predict_seconds"]].mean()
        table = table.join(times.astype(float)).join(_audits(self.rows))
        for name, each in self.exposures.items():
            stated = [each.release or "not known", shorten(each.trained_on) or "not known", each.outcome]
            table.loc[name, ["release", "trained_on", "exposure"]] = stated
        table = table.reindex(pd.Index([*map(str, table.index), *self.failures], name="model")).reset_index()
        table["leak_audit"] = table["leak_audit"].fillna("not run")
        # A model that forecasts NaN has no error to rank and goes last, with those that failed.
        order = pd.DataFrame({"last": table[self.metric].isna(), "leak": table["leak_audit"].str.startswith("LEAK")})
        order = order.join(table[[self.metric, "model"]]).sort_values(["last", "leak", self.metric, "model"])
        return table.loc[order.index].reset_index(drop=True)

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Verdict on each model against the reference, by name; see `judge`."""
        errors, leaks = self._errors, self.leaking
        found = judge(
            self.rows, errors.drop(index=leaks), self.metric, self.reference, self.margin, self.independent_series
        )
        why = "{} is not ranked: its leak audit found that rows after the cutoff move its forecasts"
        found |= {name: Verdict(name, "leak", why.format(name)) for name in leaks}
        for name, each in self.exposures.items():
            if name in found and each.claim:
                found[name] = replace(found[name], sentence=f"{found[name].sentence}; {each.claim}")
        failed = {name: Verdict(name, "failed", f"{name} failed: {error}") for name, error in self.failures.items()}
        return found | failed

    @cached_property
    def exposures(self) -> dict[str, Exposure]:
        """How far each model that was trained before may have seen the test part then, by name."""
        return exposures(self.rows, self.record)

    @property
    def leaking(self) -> list[str]:
        """Models, other than the reference, whose leak audit found that they read the future."""
        leaks = self.table.loc[self.table["leak_audit"].str.startswith("LEAK"), "model"]
        return [name for name in leaks if name != self.reference]

    @cached_property
    def calibrations(self) -> dict[str, Calibration]:
        """Verdicts on the intervals of each model, by name in the order of the table; none without distributions."""
        found = calibrations(self.rows, self.independent_series) if "crps" in self.rows else {}
        return {name: found[name] for name in self.table["model"] if name in found}

    def by(self, key: str) -> pd.DataFrame:
        """Return the metric for each value of a key, in rows, and each model, in columns; see `errors_by`.

        Parameters
        ----------
        key : {"step", "series", "group", "phase", "cutoff"}

        Examples
        --------
        >>> import numpy as np
        >>> from tsforecast import leaderboard
        >>> results = leaderboard([], np.arange(20.0), horizon=2, origins=3)
        >>> results.by("step")["naive"].tolist()
        [1.0, 2.0]
        """
        return errors_by(self.rows, key, self.metric)[list(self._errors.index)]

    def by_level(self, hierarchy: Hierarchy) -> pd.DataFrame:
        """Return the metric for each level of a hierarchy, in rows from the top down, and each model, in columns.

        It is the mean over the series or sums of a level.

        Parameters
        ----------
        hierarchy : Hierarchy

        Raises
        ------
        DataError
            When a series of these results is none of the hierarchy.

        Examples
        --------
        >>> import numpy as np
        >>> from tsforecast import Hierarchy, leaderboard
        >>> tree = Hierarchy.of({"both": ["0", "1"]})
        >>> panel = tree.with_sums([np.arange(20.0), 2 * np.arange(20.0)])
        >>> leaderboard([], panel, horizon=1, origins=3, metric="mae").by_level(tree)["naive"].tolist()
        [3.0, 1.5]
        """
        if not isinstance(hierarchy, Hierarchy):
            got = f"got {type(hierarchy).__name__}"
            raise ParameterError(
                Problem("must be a Hierarchy", got, "make one with Hierarchy.of", parameter="hierarchy")
            )
        return errors_by_level(self.rows, hierarchy.level_of, self.metric)[list(self._errors.index)]

    @cached_property
    def win_rates(self) -> pd.DataFrame:
        """Share of trials on which the model of a row has a lower loss than that of a column; see `win_rates`."""
        return win_rates(self._ranked, self.metric)

    @cached_property
    def ranks(self) -> Ranks:
        """Average ranks with their critical difference; see `average_ranks`."""
        return average_ranks(self._ranked, self.metric)

    @property
    def _ranked(self) -> pd.DataFrame:
        """Rows of models that do not read the future."""
        leaks = self.leaking
        if not leaks:
            return self.rows
        kept = self.rows[~self.rows["model"].isin(leaks)]
        return kept.assign(model=kept["model"].cat.remove_unused_categories())

    @property
    def _errors(self) -> pd.Series:
        """The metric of each model that did not fail."""
        return self.table.set_index("model")[self.metric].drop(index=list(self.failures))

    @cached_property
    def summary_line(self) -> str:
        """Series, targets, cutoffs, horizon and the meaning of skill, in one sentence without its full stop."""
        rows = self.rows[self.rows["model"] == self.reference]
        per_series = rows.groupby("series", observed=True)["cutoff"].nunique()
        counts = {"series": len(per_series), "target": rows["target"].nunique(), "cutoff": int(per_series.max())}
        words = [f"{n} {word}" + "s" * (n > 1 and word != "series") for word, n in counts.items()]
        seeds = int(self.rows.groupby("model", observed=True)["seed"].nunique().max()) if "seed" in self.rows else 1
        words[-1] += " counted from the end of each series" * (self.record is not None and self.record.align == "end")
        words[0] += " by their weights" * (metrics.WEIGHT in self.rows)
        spread = f"; ± is the standard deviation over {seeds} seeds" if seeds > 1 else ""
        return (
            f"{', '.join(words)}, horizon {int(rows['step'].max())}; "
            f"skill is the share of {self.reference}'s {word(self.metric)} that a model removes{spread}"
        )

    @cached_property
    def wording(self) -> Wording:
        """Words for steps, seasons, series and the unit of the target."""
        return Wording.of(self.rows, self.record, self.unit)

    @cached_property
    def headline(self) -> str:
        """Models that beat the reference, and by how much the best does, without the last full stop."""
        networks = {fit.model for fit in self.record.fits if fit.history} if self.record else set()
        claims = {name: each.claim for name, each in self.exposures.items()}
        errors = dict(zip(self.table["model"], self.table["mae"], strict=True)) if "mae" in self.table else {}
        return headline(self.verdicts.values(), self.reference, self.wording, errors, networks, claims)

    @property
    def audit_line(self) -> str:
        """Outcome of the leak audit, in one sentence without its full stop."""
        outcomes: dict[str, list[str]] = {}
        for model, outcome in zip(self.table["model"], self.table["leak_audit"], strict=True):
            if model not in self.failures:
                outcomes.setdefault(outcome, []).append(model)
        if len(outcomes) == 1:
            return f"Leak audit of all models: {next(iter(outcomes))}"
        return "Leak audit: " + "; ".join(f"{outcome}: {', '.join(models)}" for outcome, models in outcomes.items())

    @cached_property
    def display(self) -> dict[str, tuple[str, str]]:
        """Title and format of each column of the table, in the order in which they are displayed."""
        own = {name: (name, OWN_FORMAT) for name in own_metrics(self.rows) if name not in DISPLAY}
        return {"model": ("model", "{}"), self.metric: ("", "")} | own | DISPLAY

    @cached_property
    def display_table(self) -> pd.DataFrame:
        """The table as text: the ranking metric on the left, then the most important columns first."""
        cells = as_text(self.table, {name: look for name, look in self.display.items() if name in self.table})
        far = self.table["skill"] < -1  # percent are hard to read there
        cells.loc[far, "skill"] = [times(1 - skill) for skill in self.table.loc[far, "skill"]]
        title, digits = self.display[self.metric]
        cells[title] += [f" ± {digits.format(spread)}" if pd.notna(spread) else "" for spread in self.table["spread"]]
        return cells

    def to_markdown(self) -> str:
        """Return the table, the verdicts and the notes as Markdown."""
        verdicts = "\n".join(f"- {verdict}" for verdict in self.verdicts.values())
        notes = "".join(f"Note: {note}.\n\n" for note in self.notes)
        table = markdown(self.display_table)
        held = "".join(f"- {each}\n" for each in self.calibrations.values())
        intervals = f"Intervals:\n\n{held}\n" if held else ""
        return (
            f"{self.headline}.\n\n{table}\n\n{self.summary_line}.\n\n{notes}{verdicts}\n\n{intervals}"
            f"{self.audit_line}.\n"
        )


def _weights(rows: pd.DataFrame) -> str:
    """Return the weights of the series in words, for a comparison of two boards."""
    if metrics.WEIGHT not in rows:
        return "none"
    found = rows.groupby(rows["series"].astype(str), observed=True)[metrics.WEIGHT].first()
    return shorten([f"{name}: {weight:g}" for name, weight in found.items()], 8)


def _audits(rows: pd.DataFrame) -> pd.Series:
    """Return the outcome of the audit of each model; the worst where rows disagree."""
    if "leak_audit" not in rows:
        return pd.Series("not run", index=rows["model"].unique(), name="leak_audit")
    outcomes = rows["leak_audit"].astype(str).groupby(rows["model"], observed=True)
    return outcomes.agg(
        lambda found: min(found.unique(), key=lambda word: (not word.startswith("LEAK"), "not" not in word))
    )
