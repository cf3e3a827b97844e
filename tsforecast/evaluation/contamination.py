"""Contamination: does a model that was trained before lose more on twins of the data than on the data themselves?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from tsforecast.adapters.protocol import as_forecaster, label_of
from tsforecast.checks import whole
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.data.scaling import by_part
from tsforecast.errors import DataError, ParameterError, Problem, counted, raise_any, shorten
from tsforecast.evaluation.backtest import Backtest
from tsforecast.evaluation.entries import Models, named_with_notes
from tsforecast.evaluation.leaderboard import panel_and_protocol
from tsforecast.evaluation.metrics import losses_of_rows
from tsforecast.evaluation.runner import run_all
from tsforecast.evaluation.significance import holm
from tsforecast.evaluation.verdict import SIGNIFICANCE
from tsforecast.events import unobserved
from tsforecast.forecasters.auto import RECIPES
from tsforecast.forecasters.base import Forecaster, Pretraining, pretraining_of
from tsforecast.reporting.tables import as_text, markdown

Floats = NDArray[np.float64]
RIVALS = ("naive", "seasonal-naive", "drift", "theta", "reduction", "gru")  # that learn from these data alone
LEAST_RIVALS, LEAST_CASES = 3, 8  # whose changes are a scale; series or cutoffs, for a test
LEAST_SIDE = 5  # cutoffs on each side of the release
LEAST = math.log(1.25)  # of a change beyond those of rivals that counts
FLOOR = 1e-3  # of the mean loss of rivals, below which losses are alike
DRAWS = 4999  # of signs
DATA, AFTER = "the data", "after the release"
SET = {"set": ("set", "{}"), "loss": ("MASE", "{:.3f}"), "rivals": ("MASE of rivals", "{:.3f}")} | {
    "change": ("change", "{:.2f}"),
    "p_value": ("p", "{:.3f}"),
    "outcome": ("outcome", "{}"),
}
LIMITS = (
    "a twin differs from the data in more than being unseen, and a model may be less good on it for other reasons, "
    "which rivals show in part; one that kept little of the data, or saw other versions of them, shows nothing here"
)


@dataclass(frozen=True, eq=False, repr=False)
class ContaminationReport:
    """How the loss of a model changes from a set to its twins, compared with models that cannot have seen it.

    Attributes
    ----------
    model : str
    table : pandas.DataFrame
        One row for the data and each twin: ``set``, ``loss`` (MASE of the model), ``rivals`` (mean MASE of them),
        ``change`` (by how much the loss of the model, relative to that of rivals, is multiplied from the data to the
        twin), ``p_value`` (of no larger change than those of rivals, adjusted by Holm for the number of twins) and
        ``outcome`` ("memory", "nothing shown", or the reason why there is none).
    rivals : tuple of str
    cases : int
        Series or cutoffs that the test counts.
    unit : str
        Their kind.
    notes : tuple of str
        Rivals and twins that are left out.
    """

    model: str
    table: pd.DataFrame
    rivals: tuple[str, ...]
    cases: int
    unit: str
    notes: tuple[str, ...] = ()

    @property
    def suspected(self) -> bool:
        """Whether a twin shows memory of the data."""
        return bool((self.table["outcome"] == "memory").any())

    @property
    def sentence(self) -> str:
        """Finding in one sentence, without its full stop."""
        tested = self.table[self.table["p_value"].notna()]
        if tested.empty:
            return f"whether {self.model} remembers these data cannot be tested: {self.table['outcome'].iloc[-1]}"
        beside = f"compared with {len(self.rivals)} rivals that cannot have seen them, its loss is multiplied by"
        count = f"on {self.cases} {self.unit}"
        if self.suspected:
            found = tested[tested["outcome"] == "memory"]
            ways = [f"{line.change:.3g} {_where(line.set)} (p {_chance(line.p_value)})" for line in found.itertuples()]
            listed = " and ".join([", ".join(ways[:-1]), ways[-1]] if ways[1:] else ways)
            return f"{self.model} seems to remember these data: {beside} {listed}, {count}"
        most = tested.loc[tested["change"].idxmax()]
        return (
            f"nothing shows that {self.model} remembers these data: {beside} at most {most['change']:.3g}, "
            f"{_where(most['set'])} (p {_chance(most['p_value'])}), {count}"
        )

    def to_markdown(self) -> str:
        """Return table, finding and limits as Markdown."""
        shown = markdown(as_text(self.table, SET))
        notes = "".join(f"Note: {note}.\n\n" for note in self.notes)
        return f"{self.sentence}.\n\n{shown}\n\n{notes}Limits: {LIMITS}.\n"

    def __str__(self) -> str:
        return self.to_markdown()

    __repr__ = __str__


def _where(name: str) -> str:
    return name if name == AFTER else f"on the {name} twin"


def _chance(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def contamination_check(
    model: Any,
    panel: Any,
    *,
    rivals: Models | None = None,
    horizon: int | None = None,
    origins: int | None = None,
    release: str | None = None,
    random_state: int = 0,
) -> ContaminationReport:
    """Compare losses on data and on perturbed twins of them, where a model cannot know the numbers.

    A model that was trained on the data loses little on them, and more on twins that are as hard. Twins are shifted in
    level, rescaled, reversed in time, and resampled: level and season stay, and blocks of the rest change places. Where
    dates and release are known, and cutoffs lie on both sides, its losses after the release are compared with those
    before. The rise of its loss relative to that of rivals counts, since some twins are harder for all; and their own
    changes are the scale of what means nothing.

    Parameters
    ----------
    model : name, Forecaster, regressor, function or object
        A name as for `leaderboard`, or anything that `as_forecaster` takes. What it learns in `fit` is learned on each
        twin again.
    panel : anything that `Panel.of` reads, or the name of a dataset
    rivals : name or model, list of them, or dict of name to model, optional
        Models that cannot have seen the data before, three at least; as for `leaderboard`. Unless given, naive,
        seasonal naive, drift, Theta, a ridge regression and a GRU.
    horizon, origins : int, optional
        Steps to forecast, and cutoffs; see `leaderboard`.
    release : str, optional
        Date of the weights of the model, such as ``"2024-11-27"``; that of `Forecaster.pretraining` unless given.
    random_state : int
        Of shifts, factors, blocks and signs, and of rivals that are named.

    Returns
    -------
    ContaminationReport

    Raises
    ------
    ParameterError, DataError, UnknownNameError

    Examples
    --------
    >>> walks = np.random.default_rng(0).normal(size=(10, 60)).cumsum(axis=1)
    >>> known = {tuple(row[:48]): row[48:] for row in walks}
    >>> def memory(context, horizon):
    ...     return np.stack([known.get(tuple(row), row[-1:].repeat(12))[:horizon] for row in context[..., 0]])
    >>> names = ["naive", "drift", "mean", "theta"]
    >>> report = contamination_check(memory, walks[..., None], rivals=names, horizon=12, origins=1)
    >>> report.suspected, report.sentence[:40]
    (True, 'memory seems to remember these data: com')
    """
    raise_any(whole("random_state", random_state, 0), ParameterError)
    if isinstance(model, str):
        known = named_with_notes([model])[0]
        if model not in known:
            raise ParameterError(Problem("must be one model", f"got {model!r}", parameter="model"))
        name, forecaster = model, known[model]
    else:
        name, forecaster = label_of(model), as_forecaster(model)
    stated = pretraining_of(forecaster)
    release = Pretraining(release).release if release is not None else stated.release if stated else ""
    panel, protocol = panel_and_protocol(panel, horizon, origins, None, False, audit=None)
    panel = protocol.prepared(panel)
    others = _rivals(rivals, random_state)
    name = f"{name} (checked)" if name in others else name
    rows, failed = losses_on(
        {name: forecaster} | others, {DATA: panel} | twins(panel, protocol.horizon, random_state), protocol
    )
    if (name, DATA) in failed:
        raise DataError(f"{name} must forecast the data: {failed[name, DATA]}")
    if not np.isfinite(rows.loc[rows["set"] == DATA, "loss"]).any():
        raise DataError("some series must have a MASE: before the cutoffs all numbers, or seasons, are equal in each")
    left_out = {rival: why for (rival, _), why in failed.items() if rival != name}
    kept = _different(rows, [rival for rival in others if rival not in left_out])
    notes = [f"{rival} is no rival here: {why}" for rival, why in left_out.items()]
    if len(kept) < LEAST_RIVALS:
        must = f"at least {LEAST_RIVALS} different rivals must forecast the data and all twins: {len(kept)} did"
        raise DataError("; ".join([must, *notes]))
    skipped = {title: why for (who, title), why in failed.items() if who == name}
    return judge(rows, name, kept, release, skipped, notes, random_state)


def _rivals(given: Models | None, random_state: int) -> dict[str, Forecaster]:
    """Return rivals by name; ParameterError where one was trained before, or there are too few."""
    models, _ = named_with_notes(list(RIVALS) if given is None else given)
    if given is None:
        models["gru"].set_params(**RECIPES["fast"].settings, random_state=random_state)
    before = [rival for rival, each in models.items() if pretraining_of(each) is not None]
    if before:
        got, remedy = f"{shorten(before)} learned from others before", "name models that learn in fit alone"
        raise ParameterError(Problem("must be models that cannot have seen the data", got, remedy, parameter="rivals"))
    return models


def twins(panel: Panel, horizon: int, random_state: int = 0) -> dict[str, Panel]:
    """Return perturbed copies of a panel by name; covariates move with their rows, and stay as they are otherwise."""
    rng = np.random.default_rng(random_state)
    n, targets = len(panel), panel.n_targets
    owner = np.repeat(np.arange(n), panel.lengths)
    y = panel.values[:, :targets].astype(np.float64)
    low, high = (by_part(reduction, y, panel.offsets) for reduction in (np.fmin, np.fmax))  # (N, K)
    spread = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
    shift = rng.uniform(0.5, 1.5, size=(n, targets)) * spread
    factor = np.exp(rng.uniform(math.log(2), math.log(5), size=(n, targets)))
    backwards = panel.offsets[owner] + panel.offsets[owner + 1] - 1 - np.arange(len(y))
    return {
        "shifted": _with_targets(panel, y + shift[owner]),
        "rescaled": _with_targets(panel, y * factor[owner]),
        "reversed": replace(panel, values=panel.values[backwards]),
        "resampled": _with_targets(panel, _resampled(panel, y, low, max(horizon, panel.season_length, 4), rng)),
    }


def _with_targets(panel: Panel, y: Floats) -> Panel:
    return replace(panel, values=np.concatenate([y, panel.values[:, panel.n_targets :]], axis=1))


def _resampled(panel: Panel, y: Floats, low: Floats, block: int, rng: np.random.Generator) -> Floats:
    """Return numbers whose level and season stay, while blocks of the rest change places."""
    season, found = panel.season_length, np.empty_like(y)
    for i in range(len(panel)):
        part = slice(panel.offsets[i], panel.offsets[i + 1])
        for k in range(y.shape[1]):
            own = y[part, k]
            smooth = _smooth(own, season)
            rest = own - smooth
            known = rest[np.isfinite(rest)]
            if len(known):
                starts = rng.integers(len(known), size=len(own) // block + 1)
                drawn = known[(starts[:, None] + np.arange(block)).ravel()[: len(own)] % len(known)]
                drawn = smooth + drawn
                found[part, k] = np.where(np.isnan(own), np.nan, np.maximum(drawn, 0) if low[i, k] >= 0 else drawn)
            else:
                found[part, k] = own
    return found


def _smooth(own: Floats, season: int) -> Floats:
    """Return level and season of a series: a centred mean, and the mean at each position in the season beside it."""
    repeated = np.zeros(len(own))
    if 1 < season <= len(own) // 3:
        inner = np.arange(season // 2, len(own) - season // 2)  # where the mean holds each position once
        rest = pd.Series((own - _level(own, season))[inner])
        repeated = rest.groupby(inner % season).mean().fillna(0.0).to_numpy()[np.arange(len(own)) % season]
    return repeated + _level(own - repeated, season)


def _level(own: Floats, season: int) -> Floats:
    """Return the centred mean over a season, or five steps, without missing numbers; of fewer steps at the ends."""
    width = season if season > 4 else 5
    ones = np.ones(min(width, len(own)))
    if len(ones) % 2 == 0:  # half of the steps at both ends, which are at the same position
        ones = np.concatenate([[0.5], ones[1:], [0.5]])[: len(own)]
    there = np.isfinite(own)
    total, count = (np.convolve(each, ones, "same") for each in (np.where(there, own, 0.0), there.astype(float)))
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), 0.0)


@unobserved()
def losses_on(
    models: Mapping[str, Forecaster], sets: Mapping[str, Panel], protocol: Protocol
) -> tuple[pd.DataFrame, dict[tuple[str, str], str]]:
    """Return the MASE of each model on each set, series and cutoff, and the reason for each model and set without any.

    Columns are ``set, model, series, target, cutoff, loss, first``, the last the time of the first step.
    """
    parts, failed = [], dict[tuple[str, str], str]()
    keys = ["set", "model", "series", "target", "cutoff"]
    for title, panel in sets.items():
        for outcome in run_all(models, Backtest(panel, protocol)):
            name = outcome.fit.model
            if outcome.rows is None:
                failed[name, title] = outcome.fit.error
                continue
            rows = outcome.rows.assign(set=title, model=name, loss=losses_of_rows(outcome.rows, "mase"))
            if not np.isfinite(rows["forecast"]).all():
                failed[name, title] = "it has forecasts that are no finite numbers"
            found = rows.groupby(keys, observed=True).agg(loss=("loss", "mean"), first=("time", "min"))
            parts.append(found.reset_index())
    return pd.concat(parts, ignore_index=True), failed


def judge(
    rows: pd.DataFrame,
    name: str,
    rivals: Sequence[str],
    release: str = "",
    skipped: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    random_state: int = 0,
) -> ContaminationReport:
    """Return the report on one model, given rows of `losses_on`, its rivals, and the sets that it failed on."""
    rivals, skipped, rng = _different(rows, rivals), dict(skipped or {}), np.random.default_rng(random_state)
    names = [name, *rivals]
    rows = rows[rows["model"].isin(names)]
    sets = [title for title in rows["set"].unique() if title not in skipped]
    keys = ["set", "series", "target", "cutoff"]
    cases = rows[rows["set"].isin(sets)].pivot(index=keys, columns="model", values="loss")[names]
    cases = cases[np.isfinite(cases).all(axis=1)]
    shared = cases.groupby(level=keys[1:], observed=True)[name].transform("size") == len(sets)
    cases = cases[shared]
    if cases.empty:
        raise DataError("some series must have a MASE on the data and on each twin: none has")
    floor = FLOOR * cases[list(rivals)].groupby(level="set").mean().mean(axis=1)
    logs = np.log(cases.add(floor, axis=0, level="set"))
    series, cutoffs = (
        logs.groupby(level=keys[1:3], observed=True).ngroups,
        logs.index.get_level_values("cutoff").nunique(),
    )
    unit = ("series", ["series", "target"]) if series >= cutoffs else ("cutoffs", ["cutoff"])
    means = {title: logs.xs(title, level="set").groupby(level=unit[1], observed=True).mean() for title in sets}
    lines = []
    for title in rows["set"].unique():
        line = {"set": title, "outcome": f"not run: {skipped.get(title)}" if title in skipped else ""}
        if title in means:
            own = cases.xs(title, level="set").mean()
            line |= {"loss": own[name], "rivals": own[list(rivals)].mean()}
        if title in means and title != DATA:
            line |= _change(means[DATA].to_numpy(), means[title].to_numpy(), rng)
        lines.append(line)
    if release:
        lines.append(_since(logs.xs(DATA, level="set"), rows, release, rng))
    count = max(series, cutoffs)
    return ContaminationReport(name, _table(lines, count, unit[0]), tuple(rivals), count, unit[0], tuple(notes))


def _different(rows: pd.DataFrame, rivals: Sequence[str]) -> list[str]:
    """Return rivals without those that forecast as one before them, such as seasonal naive where there is no season."""
    losses = {rival: rows.loc[rows["model"] == rival, "loss"].to_numpy() for rival in rivals}
    return [
        rival
        for at, rival in enumerate(rivals)
        if not any(np.array_equal(losses[rival], losses[other], equal_nan=True) for other in rivals[:at])
    ]


def _change(data: Floats, twin: Floats, rng: np.random.Generator) -> dict[str, float]:
    """Return by how much a loss is multiplied beside those of rivals, and the chance of that without memory.

    Logarithms of losses, (U, M), are those of the model and its rivals in U cases. Two things must hold: the mean
    change over cases exceeds `LEAST`, by a test with drawn signs; and it is larger than that of one more rival would
    be. What is lost beyond the level of rivals does not count: memory is an advantage on the data, and no more.
    """
    ahead, behind = (each[:, 0] - each[:, 1:].mean(axis=1) for each in (data, twin))
    change = float((behind - ahead).mean())
    lost = behind - ahead - max(float(behind.mean()), 0.0)
    signs = rng.choice([-1.0, 1.0], size=(DRAWS, len(data)))
    above = lost - LEAST
    by_chance = (1 + int((signs @ above >= above.sum() - 1e-12).sum())) / (1 + DRAWS)
    like_rivals = _beyond(float(lost.mean()), (twin - data)[:, 1:].mean(axis=0))
    return {"change": math.exp(change), "p_value": max(by_chance, like_rivals)}


def _beyond(change: float, others: Floats) -> float:
    """Return the chance that one more of several changes, beside their mean, is as large, by Student's t."""
    count, spread = len(others), max(float(others.std(ddof=1)), 1e-9)
    return float(stdtr(count - 1, -change / (spread * math.sqrt(1 + 1 / count))))


def _since(logs: pd.DataFrame, rows: pd.DataFrame, release: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return the line on the cutoffs after the release, whose losses are compared with those of the others."""
    line: dict[str, Any] = {"set": AFTER}
    if not pd.api.types.is_datetime64_any_dtype(rows["first"]):
        return line | {"outcome": "not known: the data have no dates"}
    first = rows.groupby("cutoff", observed=True)["first"].min()
    by_cutoff = logs.groupby(level="cutoff", observed=True).mean()
    later = first.reindex(by_cutoff.index).to_numpy() >= np.datetime64(release) + np.timedelta64(1, "D")
    sides = int(later.sum()), int((~later).sum())
    if min(sides) < LEAST_SIDE:
        few = f"{counted(sides[1], 'cutoff')} before and {sides[0]} after"
        return line | {"outcome": f"not known: {few} are too few, {LEAST_SIDE} are needed on each side"}
    every = by_cutoff.to_numpy()
    ahead, moves = every[:, 0] - every[:, 1:].mean(axis=1), every[later].mean(axis=0) - every[~later].mean(axis=0)
    change = float(moves[0] - moves[1:].mean())
    least = LEAST + max(float(ahead[later].mean()), 0.0)  # see `_change`
    drawn = np.array([rng.permutation(later) for _ in range(DRAWS)])
    level = ahead - least * later
    gaps = (drawn @ level) / sides[0] - (~drawn @ level) / sides[1]
    by_chance = (1 + int((gaps >= change - least - 1e-12).sum())) / (1 + DRAWS)
    return line | {"change": math.exp(change), "p_value": max(by_chance, _beyond(change - least + LEAST, moves[1:]))}


def _table(lines: list[dict[str, Any]], count: int, unit: str) -> pd.DataFrame:
    """Return the table of a report, with p-values adjusted for the number of twins, and outcomes."""
    table = pd.DataFrame(lines, columns=list(SET))
    tested = table["p_value"].notna()
    if count < LEAST_CASES:
        table.loc[tested, "outcome"] = f"not known: {count} {unit} are too few, {LEAST_CASES} are needed"
        table.loc[tested, "p_value"] = np.nan
        return table
    table.loc[tested, "p_value"] = holm(table.loc[tested, "p_value"].tolist())
    shown = table["p_value"] < SIGNIFICANCE
    table.loc[tested, "outcome"] = np.where(shown[tested], "memory", "nothing shown")
    return table
