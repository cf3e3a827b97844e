"""Forecasts that were made elsewhere: read from long frames, checked against the truth, and turned into rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.adapters.base import grid_of
from tsforecast.data import frames
from tsforecast.data.panel import Panel
from tsforecast.data.seasons import resolved
from tsforecast.data.series import Roles
from tsforecast.distributions.base import Grid
from tsforecast.errors import DataError, ParameterError, counted, nearest, raise_any, shorten
from tsforecast.evaluation.backtest import Cutoffs, rows_of, truth_after
from tsforecast.evaluation.record import ForecastFit, ForecastRecord, past_of
from tsforecast.evaluation.scores import SCORES, scores, scores_of
from tsforecast.forecasters.base import Forecaster

Floats = NDArray[np.float64]
NAMES = {
    "id": ("unique_id", "item_id", "series", "series_id", "id"),
    "time": ("ds", "timestamp", "time", "date"),
    "cutoff": ("cutoff",),
    "model": ("model",),
    "forecast": ("forecast", "predictions", "prediction", "mean", "yhat"),
    "y": ("y", "target", "actual"),
}
# A level after any name, or none: "0.1", "q0.1", "sales_q0.1"; the end of an interval: "lo-90", "sales_hi80".
LEVEL = re.compile(r"(?:.*[-_])?(?:(?:ql?|quantile_)?(?P<level>0?\.\d+)|(?P<end>lo|hi)-?(?P<held>\d+(?:\.\d+)?))")
# The model of a column whose point forecast has no column of its own: "NHITS-median", "NHITS-lo-90.0", "NHITS_ql0.1".
OWNER = re.compile(r"(.+?)(?:-median|[-_](?:lo|hi)-?\d+(?:\.\d+)?|[-_](?:ql?|quantile_)0?\.\d+)")
STEP = "step after the cutoff"  # of forecasts that came as lists
SAME = 1e-4  # of its size, by which a repeated truth may differ: numbers may have had 32 bits


@dataclass(frozen=True, eq=False)
class Given:
    """Forecasts of several models at the same cutoffs, of a panel with one target."""

    panel: Panel
    cutoffs: Cutoffs
    gap: int
    horizon: int
    oldest: NDArray[np.int64]  # rows of each series before its oldest cutoff, (N,)
    values: dict[str, Floats]  # point forecasts of each model, (n, H, 1); NaN where there is no truth
    quantiles: dict[str, dict[float, Floats]]  # by model and level, (n, H, 1)
    notes: tuple[str, ...]

    @cached_property
    def truth(self) -> Floats:
        """The truth after each cutoff, (n, H, 1)."""
        return truth_after(self.panel, self.cutoffs, self.horizon)

    def rows(self) -> Iterator[tuple[pd.DataFrame, ForecastFit]]:
        """Yield the rows of each model, with a record."""
        for name, forecasts in self.values.items():
            columns = {"y": self.truth, "forecast": forecasts}
            if self.has_quantiles:
                columns |= self._scores(name)
            fallback = np.zeros((len(forecasts), 1), dtype=np.bool_)
            fit = self.record(name, "forecasts that were given")
            yield rows_of(self.panel, self.cutoffs, columns, fallback, fit), fit

    def named(self, name: str) -> Given:
        """Return the forecasts of one model under another name."""
        (values,), (quantiles,) = self.values.values(), self.quantiles.values()
        return replace(self, values={name: values}, quantiles={name: quantiles})

    def at(self, panel: Panel, cutoffs: Cutoffs, gap: int, horizon: int) -> Given:
        """Return these forecasts at the cutoffs of a board on the same series.

        Raises
        ------
        DataError
            When some of them were not forecast.
        """
        own = pd.Index(self.panel.ids).get_indexer(panel.ids[cutoffs.series])
        known = pd.MultiIndex.from_arrays([self.cutoffs.series, self.cutoffs.seen])
        pair = known.get_indexer(pd.MultiIndex.from_arrays([own, cutoffs.seen]))
        step = np.arange(horizon) + gap - self.gap
        inside = (pair >= 0)[:, None] & (step >= 0) & (step < self.horizon)
        lacking = ~inside & ~np.isnan(truth_after(panel, cutoffs, horizon)[..., 0])
        if lacking.any():
            i, ahead = np.argwhere(lacking)[0]
            row = {"i": cutoffs.series[i], "cutoff": cutoffs.seen[i] - 1, "step": gap + ahead}
            raise DataError(self._lacks(f"{int(lacking.sum())} of {lacking.size}", _place(panel, row)))

        def placed(values: Floats) -> Floats:
            return np.where(inside[..., None], values[pair[:, None], np.where(inside, step, 0)], np.nan)

        values = {name: placed(each) for name, each in self.values.items()}
        quantiles = {
            name: {level: placed(each) for level, each in known.items()} for name, known in self.quantiles.items()
        }
        oldest = pd.Series(cutoffs.seen).groupby(cutoffs.series).min().reindex(np.arange(len(panel)))
        seen = oldest.fillna(oldest.min()).to_numpy(dtype=np.int64)
        return Given(panel, cutoffs, gap, horizon, seen, values, quantiles, self.notes)

    def _lacks(self, count: str, first: str) -> str:
        """Return a sentence about cutoffs of a board that were not forecast."""
        series, seen = self.cutoffs.series, self.cutoffs.seen
        longest = np.bincount(series).argmax()
        own = np.sort(seen[series == longest])
        span = [self.panel.label(int(self.panel.stamps(int(longest), at - 1))) for at in (own[0], own[-1])]
        apart = f", {counted(int(np.diff(own).min()), 'step')} apart" if len(own) > 1 else ""
        return (
            f"forecasts of {shorten([repr(name) for name in self.values], 4)} must be of the cutoffs of the board: "
            f"{count} are missing, the first for {first}; there are {counted(len(own), 'cutoff')} from {span[0]} to "
            f"{span[1]}{apart}, of steps {self.gap + 1} to {self.gap + self.horizon}: choose horizon, origins and step "
            "of the board accordingly"
        )

    def rows_of_model(self, name: str, forecaster: Forecaster) -> tuple[pd.DataFrame, ForecastFit]:
        """Return the rows of a forecaster that is fitted before the oldest cutoffs, with a record."""
        ahead = self.gap + self.horizon
        model = forecaster.set_params(horizon=ahead).fit(self.panel.until(self.oldest))
        past = self.cutoffs.past(self.panel)
        columns = {"y": self.truth, "forecast": model.forecast_on_the_wall(past, ahead)[:, self.gap :]}
        if self.has_quantiles:
            columns |= scores_of(model.distribution_on_the_wall, past, self.gap, self.truth)
        fit = self.record(name, repr(forecaster))
        return rows_of(self.panel, self.cutoffs, columns, model.is_fallback(past), fit), fit

    def record(self, name: str, settings: str) -> ForecastFit:
        """Return the record of one model."""
        panel = self.panel
        first = panel.label(int(panel.starts.min()))
        last = panel.label(int(panel.stamps(np.arange(len(panel)), self.oldest - 1).max()))
        counts = {"series": len(panel), "steps": int(self.oldest.sum())}
        spans = {"learned_from": (first, last), "left_out": (), "leak_audit": "not run"}
        return ForecastFit(model=name, seed=None, settings=settings, **counts, **spans)  # type: ignore[arg-type]

    def board_record(self, fits: tuple[ForecastFit, ...]) -> ForecastRecord:
        """Return the record of a board of these forecasts."""
        panel, cutoffs = self.panel, pd.DataFrame({"series": self.cutoffs.series, "seen": self.cutoffs.seen})
        apart = cutoffs.sort_values(["series", "seen"]).groupby("series")["seen"].diff()
        return ForecastRecord.about(
            panel,
            fits,
            horizon=self.horizon,
            origins=int(cutoffs.groupby("series").size().max()),
            step=self.horizon if apart.isna().all() else int(apart.min()),
            gap=self.gap,
            refit=False,
            train_length=None,
            groups="",
            audit="none",
            past=past_of(panel, np.zeros_like(self.oldest), self.oldest, self.gap + self.horizon),
        )

    @property
    def has_quantiles(self) -> bool:
        """Whether a model has any."""
        return any(self.quantiles.values())

    def _scores(self, name: str) -> dict[str, Floats]:
        """Return `SCORES` of a model with quantiles; NaN of one without."""
        known = self.quantiles[name]
        if not known:
            return dict.fromkeys(SCORES, np.full(self.truth.shape, np.nan))
        levels = sorted(known.keys() | {0.5})
        every = np.stack([known.get(level, self.values[name]) for level in levels], axis=-1)
        return scores(Grid(grid_of(levels, every)), self.truth)


def read_forecasts(forecasts: Any, panel: Panel, columns: Mapping[str, str | None]) -> Given:
    """Read forecasts and check them; see `Leaderboard.from_forecasts`. `columns` are names that the caller gave."""
    if panel.n_targets != 1:
        raise DataError(f"the truth of given forecasts must have one target: it has {panel.n_targets}; name one")
    frame, names = _table(forecasts, panel, columns)
    long, levels = _long(frame, names)
    keys = _keys(long, panel, names)
    steps = keys["row"] - keys["cutoff"]
    if (steps < 1).any():
        at = int((steps < 1).to_numpy().argmax())
        raise DataError(
            f"a forecast must lie after its cutoff: {_place(panel, keys.iloc[at])} does not; it is the last time that "
            "could be seen"
        )
    gap, horizon = int(steps.min()) - 1, int(steps.max() - steps.min()) + 1
    table = long.assign(i=keys["i"], cutoff=keys["cutoff"], step=steps - gap - 1)
    table["known"] = keys["row"] < panel.lengths[keys["i"]]
    remedy = "" if "cutoff" in names else "; without a column of cutoffs each series has one: pass cutoff=..."
    _require_once(table, panel, remedy)
    notes = [] if table["known"].all() else [f"{int((~table['known']).sum())} forecasts after the truth are left out"]
    table = table[table["known"]]
    if table.empty:
        raise DataError("the truth must reach beyond the cutoffs: no forecast has a number to be compared with")
    _require_coverage(table, panel, gap, remedy)
    if "y" in names:
        _require_truth(table, panel, names["y"], gap)
    tested = np.unique(table["i"])
    missing = [repr(str(name)) for i, name in enumerate(panel.ids) if i not in set(tested.tolist())]
    if missing:
        lacks = "has no forecasts and is" if len(missing) == 1 else "have no forecasts and are"
        notes.append(f"{len(missing)} of {len(panel)} series {lacks} left out: {shorten(missing, 8)}")
    table["forecast"] = table["forecast"].where(np.isfinite(table["forecast"]))
    for model, part in table[table["forecast"].isna()].groupby("model", sort=False):
        count = int((table["model"] == model).sum())
        notes.append(
            f"{model}: {len(part)} of {count} forecasts are no finite numbers, the first for "
            f"{_place(panel, part.iloc[0])}"
        )
    table = table.assign(i=np.searchsorted(tested, table["i"]))
    panel = panel.select(tested)
    oldest = (table.groupby("i")["cutoff"].min() + 1).to_numpy(dtype=np.int64)
    if panel.season_source in ("calendar", "auto"):
        panel = resolved(panel, panel.until(oldest))
    pairs = table[["i", "cutoff"]].drop_duplicates().sort_values(["cutoff", "i"], ignore_index=True)
    series, seen = pairs["i"].to_numpy(), pairs["cutoff"].to_numpy() + 1
    first = seen + gap
    last = np.minimum(first + horizon, panel.lengths[series])
    cutoffs = Cutoffs(series, np.zeros_like(seen), seen, first, last)
    if not cutoffs.past(panel).has_observations.all():
        raise DataError("the truth must have a number before each cutoff: some series have none; leave them out")
    table = table.merge(pairs.assign(place=np.arange(len(pairs))), on=["i", "cutoff"])
    values: dict[str, Floats] = {}
    quantiles: dict[str, dict[float, Floats]] = {}
    for model, part in table.groupby("model", sort=False):
        where = part["place"].to_numpy(), part["step"].to_numpy()
        shape = (len(pairs), horizon, 1)
        values[str(model)] = _spread(part["forecast"], where, shape)
        own = [level for level in levels if part[level].notna().all()]
        quantiles[str(model)] = {level: _spread(part[level], where, shape) for level in own}
    few = [name for name, known in quantiles.items() if 0 < len(known.keys() - {0.5}) < 9]
    if few:
        notes.append(
            f"{shorten(few, 8)}: scores of distributions are of curves through the few quantiles that were given"
        )
    return Given(panel, cutoffs, gap, horizon, oldest, values, quantiles, tuple(notes))


def _spread(column: pd.Series, at: tuple[Any, Any], shape: tuple[int, int, int]) -> Floats:
    found = np.full(shape, np.nan)
    found[(*at, 0)] = column.to_numpy(dtype=np.float64)
    return found


def _table(forecasts: Any, panel: Panel, given: Mapping[str, str | None]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return forecasts as a frame of pandas, without lists in cells, and the names of its columns by role."""
    if isinstance(forecasts, Mapping):
        parts = []
        for model, each in forecasts.items():
            part = _pandas(each)
            points = [name for name in (*NAMES["forecast"], str(model)) if name in part and not given.get("forecast")]
            parts.append(part.rename(columns=dict.fromkeys(points[:1], "forecast")).assign(model=str(model)))
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    else:
        frame = _pandas(forecasts)
    if frame.empty:
        raise DataError("forecasts must have a row at least: there are none")
    wrong = [f"{role}={name!r} is no column of the forecasts; {nearest(name, frame.columns)}"
             for role, name in given.items() if name is not None and name not in frame]  # fmt: skip
    raise_any(wrong, ParameterError)
    own = {"id": panel.source.id, "time": panel.source.time, "y": panel.roles.target[0]}
    names: dict[str, str] = {}
    for role, usual in NAMES.items():
        asked = given.get(role)
        found = [asked] if asked else [name for name in (own.get(role), *usual) if name in frame]
        found = [name for name in found if name not in names.values()]
        if found and found[0] is not None:
            names[role] = found[0]
    if "id" not in names and len(panel) > 1:
        raise DataError(f"forecasts must name their series: no column is one of {', '.join(NAMES['id'])}; pass id=...")
    point = names.get("forecast")
    if point is not None and len(frame) and frame[point].map(np.ndim).gt(0).any():  # a row for each cutoff
        lists = [name for name in frame if np.ndim(frame[name].iloc[0]) > 0]
        frame = frame.assign(**{STEP: [list(range(1, len(steps) + 1)) for steps in frame[point]]})
        frame = frame.explode([*lists, STEP], ignore_index=True).infer_objects()
    if "time" not in names and ("cutoff" not in names or STEP not in frame):
        raise DataError(
            f"forecasts must have their times: no column is one of {', '.join(NAMES['time'])}; pass time=..."
        )
    known = {*panel.roles.varying, *panel.roles.static} - {*names.values()}  # a covariate is no model
    frame = frame.drop(columns=[name for name in frame if name in known])
    apart = [*(name for role, name in names.items() if role != "forecast"), STEP]
    points = [name for name in _numbers(frame, apart) if _level_of(name) is None]
    if not given.get("forecast") and "model" not in names and len(points) > 1:
        names.pop("forecast", None)  # a column for each model, of which one has such a name
    return frame, names


def _numbers(frame: pd.DataFrame, apart: list[str]) -> list[str]:
    """Return the columns of numbers that have no other role."""
    return [name for name in frame if name not in apart and pd.api.types.is_numeric_dtype(frame[name])]


def _pandas(frame: Any) -> pd.DataFrame:
    if not frames.is_frame(frame) or frames.is_series(frame):
        raise DataError(f"forecasts must be a frame, or a dict of model to frame: got {type(frame).__name__}")
    eager = nw.from_native(frame)
    found = (eager.collect() if isinstance(eager, nw.LazyFrame) else eager).to_pandas()
    named = [name for name in found.index.names if name is not None]
    found = found.reset_index(named) if named else found
    return found.rename(columns=str).reset_index(drop=True)


def _long(frame: pd.DataFrame, names: Mapping[str, str]) -> tuple[pd.DataFrame, list[float]]:
    """Return one row for each model and forecast, ``model, forecast`` and a column for each level, and the levels."""
    apart = [*(name for role, name in names.items() if role != "forecast"), STEP]
    kept = frame[[name for name in frame if name in apart]]
    numbers = _numbers(frame, apart)
    single = names.get("forecast")
    models: dict[str, dict[float, str]] = {}  # the column of each level; 0 is the point
    if single is not None or "model" in names:
        levels = {level: name for name in numbers if (level := _level_of(name)) is not None}
        points = [name for name in numbers if _level_of(name) is None]
        point = single or levels.get(0.5) or (points[0] if len(points) == 1 else None)
        if point is None and points:
            many = shorten([repr(name) for name in points], 8)
            raise DataError(
                f"forecasts must have one column of point forecasts: {many} hold numbers; pass forecast=..."
            )
        models["forecasts"] = {0.0: point, **levels} if point else {}
    else:
        for name in numbers:
            owner = next((other for other in numbers if _level_of(name, other) is not None), _owner(name, numbers))
            models.setdefault(owner, {})[_level_of(name, owner) or 0.0] = name
        for model, columns in models.items():
            if not columns.keys() & {0.0, 0.5}:
                ends = shorten([repr(name) for name in columns.values()], 8)
                raise DataError(f"model {model!r} must have a point forecast or a median: it has {ends} alone; add it")
            columns.setdefault(0.0, columns.get(0.5, ""))
    if not any(models.values()):
        raise DataError(
            "forecasts must have a column of numbers: there is none besides "
            f"{shorten([repr(name) for name in kept], 8)}; pass forecast=..."
        )
    tables = []
    for model, columns in models.items():
        found = {level or "forecast": frame[name].astype(np.float64) for level, name in columns.items()}
        label = frame[names["model"]].astype(str) if "model" in names else model
        tables.append(kept.drop(columns=names.get("model", [])).assign(model=label).join(pd.DataFrame(found)))
    long = pd.concat(tables, ignore_index=True)
    return long, sorted(name for name in long if isinstance(name, float))


def _owner(name: str, numbers: list[str]) -> str:
    """Return the model of a column of quantiles beside which there are others of it alone; else the column itself."""
    found = {other: match[1] for other in numbers if (match := OWNER.fullmatch(other))}
    return found[name] if list(found.values()).count(found.get(name, "")) > 1 else name


def _level_of(name: str, model: str | None = None) -> float | None:
    """Return the level of a column of quantiles: "0.1", "sales_q0.1", "lo80"; of a `model` alone, as "gru-lo-90"."""
    rest = name
    if model is not None:
        if not name.startswith(model) or name == model:
            return None
        rest = name[len(model) :]
    if rest.endswith("-median"):
        return 0.5
    found = LEVEL.fullmatch(rest)
    if not found:
        return None
    if found["level"]:
        return float(found["level"])
    return round((50 + float(found["held"]) / 2 * (1 if found["end"] == "hi" else -1)) / 100, 6)


def _keys(long: pd.DataFrame, panel: Panel, names: Mapping[str, str]) -> pd.DataFrame:
    """Return the series ``i`` of each row, the ``row`` of its time there, and that of the ``cutoff``."""
    ids = pd.Index([str(name) for name in panel.ids])
    owner = np.zeros(len(long), dtype=np.int64)
    if "id" in names:
        owner = ids.get_indexer(long[names["id"]].astype(str))
        unknown = sorted({repr(str(name)) for name in long.loc[owner < 0, names["id"]]})
        if unknown:
            raise DataError(f"forecasts must be of series of the truth: it has no {shorten(unknown, 8)}")
    longest = int(long.groupby("model", sort=False).size().max())
    found = pd.DataFrame({"i": owner})
    if "time" in names:
        found["row"] = _rows_at(long, names["time"], owner, panel, longest)
    if "cutoff" in names:
        found["cutoff"] = _rows_at(long, names["cutoff"], owner, panel, 0)
    else:
        found["cutoff"] = found.groupby("i")["row"].transform("min") - 1
    if "time" not in names:
        found["row"] = found["cutoff"] + long[STEP].to_numpy()
    if (found["cutoff"] < 0).any():
        name = str(panel.ids[found["i"][int((found["cutoff"] < 0).to_numpy().argmax())]])
        raise DataError(
            f"the truth must have a row before each cutoff: series {name!r} has none before its first forecast; give "
            "more of its past"
        )
    return found


def _rows_at(long: pd.DataFrame, name: str, owner: NDArray[np.int64], panel: Panel, beyond: int) -> NDArray[np.int64]:
    """Return the row in its series of each time in a column, of up to so many rows `beyond` its end."""
    if panel.kind == "none":
        return np.asarray(long[name], dtype=np.int64)
    if (missing := long[name].isna()).any():
        at = int(missing.to_numpy().argmax())
        raise DataError(f"column {name!r} must be complete: row {at} has none; fill it in, or leave it out")
    numbers = long[[name]].assign(number=0.0)
    time_of = panel.source.time or name
    numbers = numbers.rename(columns={name: time_of})
    stamps = frames.read(numbers, Roles(target=("number",)), time_of, None, True, like=panel).stamps
    if stamps is None:
        raise DataError(f"column {name!r} must hold times like those of the truth: it holds none")
    rows = np.full(len(long), -1, dtype=np.int64)
    for i in np.unique(owner):
        mine = owner == i
        own = int(panel.lengths[i])
        known = panel.stamps(int(i), np.arange(own + beyond))
        place = np.minimum(np.searchsorted(known, stamps[mine]), len(known) - 1)
        off = known[place] != stamps[mine]
        if off.any():
            wrong, first, last = (panel.label(at) for at in (stamps[mine][off.argmax()], known[0], known[own - 1]))
            raise DataError(
                f"column {name!r} must hold times of the truth: {wrong} is none of series {str(panel.ids[i])!r}, which "
                f"has {first} to {last} with frequency {panel.frequency}"
            )
        rows[mine] = place
    return rows


def _require_once(table: pd.DataFrame, panel: Panel, remedy: str) -> None:
    """Refuse several forecasts of one model, series, cutoff and step."""
    twice = table.duplicated(["model", "i", "cutoff", "step"])
    if twice.any():
        at = table[twice].iloc[0]
        raise DataError(
            f"a model must forecast each series, cutoff and step once: {at['model']!r} has {int(twice.sum())} rows "
            f"more, the first for {_place(panel, at)}{remedy}"
        )


def _require_coverage(table: pd.DataFrame, panel: Panel, gap: int, remedy: str) -> None:
    """Refuse models that lack what others forecast, and cutoffs that lack a step with a truth."""
    wanted = table[["i", "cutoff", "step"]].drop_duplicates()
    problems = []
    for model, part in table.groupby("model", sort=False):
        if len(part) < len(wanted):
            lacking = wanted.merge(part[["i", "cutoff", "step"]], how="left", indicator=True)
            lacking = lacking[lacking["_merge"] == "left_only"]
            problems.append(
                f"model {model!r} must forecast what the others do: it lacks {len(lacking)} of {len(wanted)} "
                f"forecasts, the first for {_place(panel, lacking.iloc[0])}"
            )
    raise_any(problems)
    horizon = int(wanted["step"].max()) + 1
    ends = wanted.groupby(["i", "cutoff"])["step"].agg(["count", "max"]).reset_index()
    room = panel.lengths[ends["i"]] - 1 - ends["cutoff"] - gap
    short = ends[ends["count"] < np.minimum(horizon, room)]
    if len(short):
        at = short.iloc[0]
        raise DataError(
            f"each cutoff must have the same steps: {_place(panel, at)} has {int(at['count'])} of {horizon}"
            f"{f' (and {len(short) - 1} more)' if len(short) > 1 else ''}{remedy}"
        )


def _require_truth(table: pd.DataFrame, panel: Panel, name: str, gap: int) -> None:
    """Refuse forecasts whose own column of the truth is another one."""
    place = panel.offsets[table["i"]] + table["cutoff"].to_numpy() + 1 + gap + table["step"].to_numpy()
    truth, theirs = panel.values[place, 0].astype(np.float64), pd.to_numeric(table[name], errors="coerce").to_numpy()
    differ = ~(np.abs(truth - theirs) <= SAME * np.maximum(np.abs(truth), np.abs(theirs))) & ~np.isnan(theirs)
    if differ.any():
        at = int(differ.argmax())
        raise DataError(
            f"column {name!r} must hold the numbers of the truth: {int(differ.sum())} of {len(table)} differ, the "
            f"first for {_place(panel, table.iloc[at])}: {theirs[at]:g} there, {truth[at]:g} in the truth"
        )


def _place(panel: Panel, row: Any) -> str:
    """Return series, cutoff and step of a row in words."""
    i, cutoff = int(row["i"]), int(row["cutoff"])
    step = f", step {int(row['step']) + 1}" if "step" in row else ""
    return f"series {str(panel.ids[i])!r}, cutoff {panel.label(int(panel.stamps(i, cutoff)))}{step}"
