"""Leaderboard: rows in, ranking and verdicts out; the naive family is always on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from tsforecast.checks import one_of
from tsforecast.data.groups import GroupKFold, LeaveGroupsOut
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, UnknownNameError, nearest, raise_any, shorten
from tsforecast.evaluation import metrics
from tsforecast.evaluation.backtest import backtest, option_problems
from tsforecast.evaluation.verdict import judge
from tsforecast.forecasters.base import Forecaster, require_forecaster
from tsforecast.forecasters.registry import MODEL_NAMES, NAIVE_FAMILY, make, model_name

METRICS = ("mase", "mae", "rmse", "smape", "rmsse")
ALWAYS = ("naive", "seasonal-naive", "drift")

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

Models = str | Forecaster | Iterable[str | Forecaster] | Mapping[str, Forecaster]


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
    """

    rows: pd.DataFrame
    metric: str
    reference: str
    notes: tuple[str, ...] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each model, the best first.

        Errors are averaged over the steps and cutoffs of each series and target, then over those.
        `fit_seconds` is the time of one fit, `predict_seconds` of one forecast from all cutoffs of it.
        """
        table = errors_by_model(self.rows)
        best = table.loc[self.reference]
        table["owa"] = [
            metrics.owa(row.smape, row.mase, best["smape"], best["mase"]) for row in table.itertuples(index=False)
        ]
        table["skill"] = [metrics.skill(error, best[self.metric]) for error in table[self.metric]]
        times = self.rows.groupby("model", observed=True)[["fit_seconds", "predict_seconds"]].mean()
        table = table.join(times.astype(float)).join(_audits(self.rows)).reset_index()
        # A model that forecasts NaN has no error to rank and goes last.
        return table.sort_values([self.metric, "model"], ignore_index=True, na_position="last")

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """One sentence for each model: beats the reference, does not, or cannot be told."""
        return judge(self.rows, self.table.set_index("model")[self.metric], self.metric, self.reference)

    @property
    def basis(self) -> str:
        """What was tested, in a sentence."""
        rows = self.rows[self.rows["model"] == self.reference]
        per_series = rows.groupby("series", observed=True)["cutoff"].nunique()
        counts = [len(per_series), rows["target"].nunique(), int(per_series.max())]
        words = [_count(n, word) for n, word in zip(counts, ("series", "target", "cutoff"), strict=True)]
        return (
            f"{words[0]}, {words[1]}, {words[2]}, horizon {int(rows['step'].max())}; "
            f"skill is the share of {self.reference}'s {self.metric.upper()} that a model removes"
        )

    @property
    def proof(self) -> str:
        """What the leak audit found, in a sentence."""
        outcomes: dict[str, list[str]] = {}
        for model, outcome in zip(self.table["model"], self.table["leak_audit"], strict=True):
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
        return pd.DataFrame({"model": self.table["model"], **cells})

    def to_markdown(self) -> str:
        """Return the table and the verdicts as Markdown."""
        shown = self.shown
        text = shown.to_markdown(
            index=False, disable_numparse=True, colalign=["left"] + ["right"] * (len(shown.columns) - 1)
        )
        verdicts = "\n".join(f"- {sentence}" for sentence in self.verdicts.values())
        notes = "".join(f"Note: {note}.\n\n" for note in self.notes)
        return f"{text}\n\n{self.basis}.\n\n{notes}{verdicts}\n\n{self.proof}.\n"

    def __repr__(self) -> str:  # at a prompt, what print shows
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def leaderboard(
    forecasters: Models,
    data: Any,
    horizon: int,
    origins: int = 1,
    step: int | None = None,
    gap: int = 0,
    refit: bool = False,
    metric: str = "mase",
    reference: str | None = None,
    groups: LeaveGroupsOut | GroupKFold | None = None,
    audit: Literal["data", "fit"] | None = "data",
    progress: Callable[[str], None] | None = None,
) -> Leaderboard:
    """Compare forecasters with the naive family on the same cutoffs.

    Parameters
    ----------
    forecasters : model name or forecaster, list of them, or dict of name to forecaster
        The name ``"all"`` stands for every model that has one. Naive, seasonal naive and drift are added where they
        are missing.
    data : anything that `Panel.of` reads
    horizon, origins, step, gap, refit, groups, audit
        See `backtest`.
    metric : {"mase", "mae", "rmse", "smape", "rmsse"}
        Ranks the models.
    reference : str, optional
        The model that skill is relative to; the best naive one unless given.
    progress : callable, optional
        Called with the name of each model before it starts.

    Raises
    ------
    UnknownNameError, ParameterError, DataError

    Examples
    --------
    >>> board = leaderboard(["mean"], np.arange(20.0), horizon=2, origins=3)
    >>> board.reference, board.table["model"].tolist()
    ('drift', ['drift', 'naive', 'seasonal-naive', 'mean'])
    """
    problems = one_of("metric", metric, METRICS) + option_problems(refit, groups, audit)
    if progress is not None and not callable(progress):
        problems.append(f"progress must be a function of a model's name: got {progress!r}")
    raise_any(problems, ParameterError)
    models = named(forecasters)
    if reference is not None and reference not in models:
        raise UnknownNameError(f"reference {reference!r} is not on the board; {nearest(reference, models)}")
    panel = Panel.of(data)
    parts = []
    for name, forecaster in models.items():
        if progress:
            progress(name)
        try:
            rows = backtest(forecaster, panel, horizon, origins, step, gap, refit, None, name, groups, audit)
        except (DataError, ParameterError) as error:
            raise type(error)([f"{name}: {problem}" for problem in error.problems]) from error
        parts.append(rows)
    notes = (*panel.notes, *_left_out(panel, parts[0]), *(note for part in parts for note in _replaced(part)))
    return from_rows(pd.concat(parts, ignore_index=True), metric, reference, notes)


def _left_out(panel: Panel, rows: pd.DataFrame) -> list[str]:
    """Say which series have no rows."""
    judged = set(rows["series"])
    missing = [repr(name) for name in map(str, panel.ids[[name not in judged for name in panel.ids]])]
    if not missing:
        return []
    has, are, reach = ("has", "is", "it") if len(missing) == 1 else ("have", "are", "them")
    return [
        f"{len(missing)} of {len(panel)} series {has} no past and target at any cutoff and {are} left out: "
        f"{shorten(missing, 8)}; more origins may reach {reach}"
    ]


def _audits(rows: pd.DataFrame) -> pd.Series:
    """Return the outcome of the audit of each model; the worst where rows disagree."""
    if "leak_audit" not in rows:
        return pd.Series("not run", index=rows["model"].unique(), name="leak_audit")
    outcomes = rows["leak_audit"].astype(str).groupby(rows["model"], observed=True)
    return outcomes.agg(lambda found: min(found.unique(), key=lambda word: not word.startswith("LEAK")))


def _replaced(rows: pd.DataFrame) -> list[str]:
    """Say which series one model does not forecast itself."""
    stands_in = rows.loc[rows["replaced"], "series"]
    names = [repr(str(name)) for name in stands_in.unique()]
    if not names:
        return []
    are = "is" if len(names) == 1 else "are"
    some = "" if len(stands_in) == rows["series"].isin(stands_in).sum() else " at some cutoffs"
    return [
        f"{rows['model'].iloc[0]}: {len(names)} of {rows['series'].nunique()} series {are} forecast by the seasonal "
        f"naive instead{some}: {shorten(names, 8)}"
    ]


def from_rows(
    rows: pd.DataFrame, metric: str = "mase", reference: str | None = None, notes: tuple[str, ...] = ()
) -> Leaderboard:
    """Draw up a leaderboard from rows that were kept.

    Where the past of every series is constant, so that MASE and RMSSE have no scale, MAE and RMSE rank.
    """
    # Joining rows of different models turns their categories into plain text; tables group faster by category.
    rows = rows.reset_index(drop=True).astype({"model": "category", "series": "category", "target": "category"})
    errors = errors_by_model(rows)
    naive = errors[[name in NAIVE_FAMILY for name in errors.index]]
    if metric in ("mase", "rmsse") and naive[metric].isna().all():
        metric = "mae" if metric == "mase" else "rmse"  # a constant past gives no scale
    if reference is None:
        reference = str(naive[metric].idxmin())
    return Leaderboard(rows, metric, reference, notes)


def named(forecasters: Models) -> dict[str, Forecaster]:
    """Return forecasters by name, with the naive ones that must not be missing first."""
    pairs: list[tuple[str, Forecaster]] = []
    if isinstance(forecasters, (str, Forecaster, type)):
        forecasters = [forecasters]
    if isinstance(forecasters, Mapping):
        pairs = list(forecasters.items())
    else:
        items = [name for item in forecasters for name in (MODEL_NAMES if item == "all" else [item])]
        unknown = [item for item in items if isinstance(item, str) and item not in MODEL_NAMES]
        raise_any(
            (f"model {name!r} does not exist; {nearest(name, MODEL_NAMES)}" for name in unknown), UnknownNameError
        )
        for item in items:
            pairs.append((item, make(item)) if isinstance(item, str) else (model_name(item), item))
    for _, forecaster in pairs:
        require_forecaster(forecaster)
    models: dict[str, Forecaster] = {name: make(name) for name in ALWAYS}
    taken: set[str] = set()
    for name, forecaster in pairs:
        again = 2
        unique = name
        while unique in taken:
            unique, again = f"{name}-{again}", again + 1
        taken.add(unique)
        models[unique] = forecaster
    return models


def errors_by_model(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of each model: over steps and cutoffs of a series and target, then over those."""
    y, forecast = rows["y"].to_numpy(), rows["forecast"].to_numpy()
    absolute = metrics.absolute_errors(y, forecast)
    parts = pd.DataFrame(
        {
            "mase": metrics.divide(absolute, rows["naive_mae"]),
            "mae": absolute,
            "rmse": absolute**2,
            "smape": metrics.symmetric_errors(y, forecast),
            "rmsse": metrics.divide(absolute**2, rows["naive_mse"]),
        }
    )
    keys = [rows[name] for name in ("model", "series", "target")]
    each = parts.groupby(keys, observed=True, sort=False).mean()
    # A model that forecasts NaN anywhere must not be ranked on the rest.
    failed = pd.Series(np.isnan(forecast)).groupby(rows["model"].to_numpy(), sort=False).any()
    each[["rmse", "rmsse"]] = np.sqrt(each[["rmse", "rmsse"]])
    table = each.groupby("model", observed=True, sort=False).mean()
    table[failed.reindex(table.index).to_numpy()] = np.nan
    return table


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 or word == "series" else f"{number} {word}s"
