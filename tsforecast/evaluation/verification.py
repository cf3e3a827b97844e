"""Verification of recorded forecasts: the chain, times, histories, repeated forecasts, and scores next to the naive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsforecast.data.context import Context, with_future
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import seasonal_scale
from tsforecast.errors import DataError, ParameterError, Problem, TsForecastError, counted
from tsforecast.estimators.persistence import TOLERANCE, load
from tsforecast.forecasters.base import Forecaster
from tsforecast.records.chain import head_problems, read_chain, read_public
from tsforecast.records.forecasts import POINT, Misplaced, SeriesForecast, forecasts_in, history_of, moments_of
from tsforecast.tables import is_files

if TYPE_CHECKING:
    import pandas as pd

NAIVE = ("naive", "seasonal_naive")


@dataclass(frozen=True)
class Verification:
    """What a file of recorded forecasts proves, and how good its forecasts were.

    Attributes
    ----------
    path : str
    records : int
        Lines that are records.
    head : str
        Hash of the last one: who publishes it cannot shorten the file, or write it again, without that being seen.
    signer : str
        Public key of the signatures, hexadecimal; empty where there are none.
    problems : tuple of Problem
        Everything that is not as it must be.
    notes : tuple of str
        What could not be checked, and why.
    rows : DataFrame
        A row for each number that was forecast: line, model, series, target, cutoff, step, time, y (NaN while it is
        not known), forecast, naive, seasonal_naive, scale (of MASE), ahead (whether the record is older than the
        time), and a column for each quantile.
    """

    path: str
    records: int
    head: str
    signer: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    rows: pd.DataFrame = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def scores(self) -> pd.DataFrame:
        """Scores of each model where the truth is known, next to naive forecasts of the same numbers.

        Columns: model, forecasts, ahead (share of them that was recorded before its time), mae and mase of the model,
        of the last value (``naive_mae``) and of the last season (``seasonal_naive_mae``), and for each interval the
        share of the truth within it, such as ``inside_80``.
        """
        import pandas as pd

        known = self.rows[self.rows["y"].notna() & self.rows["forecast"].notna()]
        return pd.DataFrame([_scored(name, part) for name, part in known.groupby("model", sort=False)])

    @property
    def headline(self) -> str:
        """What the file is, in a line."""
        who = f"signed by {self.signer[:16]}" if self.signer else "not signed"
        return f"{self.path}: {counted(self.records, 'record')}, {who}, head {self.head[:16] or 'none'}"

    @property
    def sentences(self) -> list[str]:
        """A sentence on the scores of each model, and the result."""
        result = "passed" if self.passed else f"failed: {counted(len(self.problems), 'problem')}"
        return [*map(_sentence, self.scores.to_dict("records")), result]

    def __str__(self) -> str:
        found = [f"problem: {problem}" for problem in self.problems] + [f"note: {note}" for note in self.notes]
        return "\n".join([self.headline, *found, *self.sentences])


def _scored(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of the forecasts of a model."""
    found: dict[str, Any] = {"model": name, "forecasts": len(rows), "ahead": float(rows["ahead"].mean())}
    for column in (POINT, *NAIVE):
        error, prefix = (rows["y"] - rows[column]).abs(), "" if column == POINT else f"{column}_"
        found |= {f"{prefix}mae": float(error.mean()), f"{prefix}mase": float((error / rows["scale"]).mean())}
    for low in (str(column) for column in rows.columns if str(column).startswith("lo")):
        high = low.replace("lo", "hi", 1)
        there = rows[rows[low].notna() & rows[high].notna()] if high in rows else rows[:0]
        if len(there):
            found[f"inside_{low[2:]}"] = float(((there[low] <= there["y"]) & (there["y"] <= there[high])).mean())
    return found


def _sentence(row: Mapping[str, Any]) -> str:
    """Describe the scores of a model."""
    inside = [
        f", {value:.1%} within the interval of {str(name)[7:]} %"
        for name, value in row.items()
        if str(name).startswith("inside_") and value == value
    ]
    return (
        f"{row['model']}: MAE {row['mae']:.4g} of {counted(row['forecasts'], 'forecast')} ({row['ahead']:.0%} recorded "
        f"before their time), naive {row['naive_mae']:.4g}, seasonal naive {row['seasonal_naive_mae']:.4g}; MASE "
        f"{row['mase']:.3g}, naive {row['naive_mase']:.3g}, seasonal naive {row['seasonal_naive_mase']:.3g}"
        + "".join(inside)
    )


def verify_records(
    path: str | Path,
    data: Any = None,
    *,
    key: str | Path | None = None,
    head: str | None = None,
    model: Any = None,
    trust: Sequence[str] = (),
) -> Verification:
    """Check a file that `predict(record=...)` wrote, and score its forecasts.

    Each line must be as it was written and follow from the one before; each cutoff must lie before the times that are
    forecast. With data the history up to each cutoff must be the one that was recorded. With a model it must be the one
    that was recorded, and repeat its forecasts.

    Parameters
    ----------
    path : path
    data : like the data that were forecast, optional
        History and truth, with the same columns; without a model id, time and targets are enough. Rows and numbers
        of the truth may be missing: their forecasts are not scored.
    key : path, optional
        Public key, PEM, that must have signed every record.
    head : str, optional
        Hash of a record that was published, or its first digits: the chain must still have it.
    model : path, forecaster, or several in a list, optional
        Saved or fitted models, one of which must have made each record.
    trust : sequence of str
        As of `load`.

    Returns
    -------
    Verification
        With problems, notes and scores; nothing is raised for a record that is wrong.

    Raises
    ------
    ParameterError, ModelFileError
    DataError
        When there is no file, or the data cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from tsforecast import SeasonalNaiveForecaster
    >>> months = 10 + np.tile(np.arange(12.0), 6) + np.random.default_rng(0).normal(size=72)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = SeasonalNaiveForecaster(horizon=3, season_length=12).fit(months[:60])
    ...     _ = model.predict(interval=0.8, record=f"{folder}/forecasts.jsonl")
    ...     found = verify_records(f"{folder}/forecasts.jsonl", months, model=model)
    >>> found.passed, found.records, len(found.scores), found.rows["y"].notna().tolist()
    (True, 1, 1, [True, True, True])
    """
    records, problems = read_chain(path)
    if key is not None:
        problems += _unsigned(records, read_public(key))
    if head is not None:
        problems += head_problems(records.values(), head)
    whole: dict[int, list[SeriesForecast]] = {}
    for line, record in records.items():
        try:
            whole[line] = list(forecasts_in(line, record))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            got = str(error) if isinstance(error, Misplaced) else f"its fields lack some, or have others ({error})"
            problems.append(Problem(f"line {line} must be a record of forecasts", got))
    models = {each.fingerprint(): each for each in _models(model, trust)}
    notes, rows, panels = list[str](), list[dict[str, Any]](), dict[str, Panel]()
    for line, every in whole.items():
        own = models.get(records[line]["model"]["fingerprint"])
        if models and own is None:
            got = f"it is by {every[0].model if every else 'another'}"
            problems.append(Problem(f"line {line} must be by the model that was given", got))
        panel = None
        if data is not None:
            kind = json.dumps([records[line]["data"], own is None], sort_keys=True)
            if kind not in panels:
                panels[kind] = _read(data, records[line]["data"], own, line)
            panel = panels[kind]
        number = str(records[line]["data"]["number"])
        known = {} if panel is None else {str(name): at for at, name in enumerate(panel.ids.tolist())}
        places = [_Place.of(panel, known, each, number, problems, notes) for each in every]
        rows += [row for each, place in zip(every, places, strict=True) for row in _rows(panel, each, place)]
        if own is not None:
            _repeat(own, panel, records[line], every, places, problems, notes)
    if not records and not problems:
        notes.append("the file is empty: nothing was recorded, or all of it was removed")
    ahead = [row["ahead"] for row in rows]
    if rows and not all(ahead):
        late = f"{len(ahead) - sum(ahead)} of {counted(len(ahead), 'forecast')}"
        notes.append(f"{late} were recorded after the time that they are of, and prove no foresight")
    last = records[max(records)] if records else {}
    made = (len(records), last.get("hash", ""), last.get("key", ""))
    return Verification(str(path), *made, tuple(problems), tuple(notes), _frame(rows))


def _unsigned(records: Mapping[int, dict[str, Any]], public: str) -> Iterator[Problem]:
    """Yield a problem for each line that a public key did not sign."""
    for line, record in records.items():
        if (own := record.get("key")) != public:
            got = f"it is signed by {own[:16]}" if own else "it is not signed"
            yield Problem(f"line {line} must be signed by the key {public[:16]}", got)


def _models(model: Any, trust: Sequence[str]) -> list[Forecaster]:
    """Return the forecasters that are given, or lie in folders."""
    if model is None:
        return []
    found = []
    for each in model if isinstance(model, (list, tuple)) else [model]:
        one = load(each, trust=trust) if isinstance(each, (str, Path)) else each
        if not isinstance(one, Forecaster):
            must = "must be a fitted forecaster, or the folder of one"
            raise ParameterError(Problem(must, f"got {type(one).__name__}", parameter="model"))
        found.append(one)
    return found


def _read(data: Any, described: Mapping[str, Any], model: Forecaster | None, line: int) -> Panel:
    """Return the truth as a panel, read as the data of a model, or of a record, were."""
    if model is not None:
        return like_truth(model.panel_).read_like(data, "the truth")
    if isinstance(data, Panel) or hasattr(data, "__panel__"):
        return Panel.of(data)
    form, season, cleaning = described["form"], described["season"], described["cleaning"]
    cleaning = cleaning | _with_gaps(cleaning.get("nan_policy"), cleaning.get("resample"), described["kind"])
    time: Any = None if described["time_in_index"] else described["time"] or False
    columns = {"time": time, "id": described["id"], "target": described["target"]}
    try:
        untold = described["kind"] == "none" or cleaning.get("resample")
        step = {} if untold else {"frequency": described["frequency"]}
        if form in ("array", "arrays"):
            return Panel.from_array(data, season_length=season, nan_policy=cleaning.get("nan_policy"))
        if isinstance(data, (str, Path, list, tuple)) and is_files(data):
            return Panel.scan(data, **columns, **step, season_length=season, **cleaning)
        if form == "wide":
            return Panel.from_wide(data, time=time, **step, season_length=season, **cleaning)
        if form == "series":
            return Panel.from_frame(data, **step, season_length=season, **cleaning)
        return Panel.from_frame(data, **columns, **step, season_length=season, **cleaning)
    except (TypeError, AttributeError) as error:
        got = f"line {line} describes them in another way ({error})"
        raise DataError(Problem("data must be read as they were forecast", got)) from error


def like_truth(panel: Panel) -> Panel:
    """Return a panel that reads others as it was read, but the truth may be out of order and lack rows or numbers."""
    cleaning = panel.cleaning
    gaps = _with_gaps(cleaning.nan_policy, cleaning.resample, panel.kind)
    return replace(panel, cleaning=replace(cleaning, **gaps))


def _with_gaps(nan_policy: str | None, resample: str | None, kind: str) -> dict[str, Any]:
    """Return how the truth is cleaned: numbers that it lacks are not scored, and are missed where they were history."""
    rows = {} if resample or kind == "none" else {"fill_gaps": True, "sort": True}
    return rows | {"nan_policy": nan_policy or "mask"}


class _Place(NamedTuple):
    """Where the history of a recorded series lies in the truth: its position, first row, and row after the last one.

    The position is -1 where there is no truth. `whole` is whether the truth holds all of the history, unchanged.
    """

    at: int
    first: int
    end: int
    whole: bool

    @classmethod
    def of(
        cls,
        panel: Panel | None,
        known: Mapping[str, int],
        each: SeriesForecast,
        number: str,
        problems: list[Problem],
        notes: list[str],
    ) -> _Place:
        """Find a series in the truth, `known` by name; add what is wrong with its history there, or cannot be seen."""
        if panel is None:
            return cls(-1, 0, 0, False)
        alone = len(panel) == 1 and panel.source.id is None
        if not alone and str(each.name) not in known:
            notes.append(f"{each}: the data have no such series")
            return cls(-1, 0, 0, False)
        at = 0 if alone else known[str(each.name)]
        length = int(panel.lengths[at])
        moments, words = moments_of(panel, at, length + len(each.times))
        first, end = (int(row) for row in np.searchsorted(moments, [each.first, each.cutoff + 1]))
        due = moments[end : end + len(each.times)].tolist()
        if 0 < end <= length and each.times != due:
            got = f"they begin with {words(each.times[0])}, and the step after the cutoff is {words(due[0])}"
            problems.append(Problem(f"{each} must have the times that follow on {words(each.cutoff)}", got))
        if end > length or end == 0 or moments[end - 1] != each.cutoff:
            notes.append(f"{each}: the data do not hold the cutoff {words(each.cutoff)}; its history is not compared")
            return cls(at, 0, 0, False)
        if moments[first] != each.first:
            since = f"begin at {words(moments[0])}, after {words(each.first)}"
            notes.append(f"{each}: the data {since}; its history is not compared")
            return cls(at, first, end, False)
        must = f"{each} must have the history up to {words(each.cutoff)} that was recorded"
        history = panel.select([at]).between(np.array([first]), np.array([end]))
        same = history_of(history, 0, moments[first:end], number)
        if end - first != each.rows:
            problems.append(
                Problem(must, f"the data have {counted(end - first, 'row')}, and {each.rows} were recorded")
            )
        elif same != each.sha256:
            lacking = int(np.isnan(history.values[:, : history.n_targets]).sum())
            changed = "the data have other numbers there: they, or the record, were changed since"
            lost = f"the data lack {counted(lacking, 'number')} there, or others were changed since"
            problems.append(Problem(must, lost, "add them") if lacking else Problem(must, changed))
        return cls(at, first, end, end - first == each.rows and same == each.sha256)


def _rows(panel: Panel | None, each: SeriesForecast, place: _Place) -> Iterator[dict[str, Any]]:
    """Yield a row for each number that was forecast, with truth and naive forecasts where the data have them."""
    dated = each.made >= 0
    steps = len(each.times)
    words: Any = (lambda moment: np.datetime64(moment, "ns")) if dated else int
    for target, numbers in each.numbers.items():
        truth, naive = np.full(steps, np.nan), np.full((len(NAIVE), steps), np.nan)
        scale = np.nan
        if panel is not None and place.at >= 0:
            column = panel.roles.target.index(target)
            values = panel.series(place.at)[:, column].astype(np.float64)
            moments = moments_of(panel, place.at, len(values))[0]
            row = np.searchsorted(moments, each.times)
            there = (row < len(moments)) & (moments[np.minimum(row, len(moments) - 1)] == each.times)
            truth[there] = values[row[there]]
            if place.end > place.first:
                naive, scale = _naive(values[place.first : place.end], panel.season_length, steps)
        for step in range(steps):
            yield {
                "line": each.line,
                "model": each.model,
                "series": each.name,
                "target": target,
                "cutoff": words(each.cutoff),
                "step": step + 1,
                "time": words(each.times[step]),
                "y": truth[step],
                POINT: numbers[POINT][step],
                **{name: naive[at, step] for at, name in enumerate(NAIVE)},
                "scale": scale,
                "ahead": each.made < each.times[step] if dated else True,
                **{name: held[step] for name, held in numbers.items() if name != POINT},
            }


def _naive(history: NDArray[np.float64], season: int, steps: int) -> tuple[NDArray[np.float64], float]:
    """Return the last value and the last season, repeated, (2, H), and the scale of MASE."""
    known = history[~np.isnan(history)]
    last = known[-1] if len(known) else np.nan
    tail = history[-season:] if len(history) >= season else history[-1:]
    seasonal = np.where(np.isnan(tail), last, tail)[np.arange(steps) % len(tail)]
    scale = seasonal_scale(history, season)[0]
    return np.stack([np.full(steps, last), seasonal]), scale if scale > 0 else np.nan


def _repeat(
    model: Forecaster,
    panel: Panel | None,
    record: Mapping[str, Any],
    every: Sequence[SeriesForecast],
    places: Sequence[_Place],
    problems: list[Problem],
    notes: list[str],
) -> None:
    """Forecast again what a record holds, and add a problem for each series whose numbers differ."""
    line, steps, levels = every[0].line if every else 0, int(record["options"]["steps"]), record["options"]["levels"]
    found = _context(model, panel, record, steps, places)
    if isinstance(found, str):
        notes.append(f"line {line}: its forecasts are not repeated, since {found}")
        return
    chosen, past = found
    try:
        points, quantiles = model.numbers(past, steps, levels)
    except TsForecastError as error:
        problems.append(Problem(f"line {line} must be forecast again by its model", str(error)))
        return
    order = {level: at for at, level in enumerate(sorted({*levels.values()}))}
    for at, i in enumerate(chosen):
        for k, target in enumerate(record["data"]["target"]):
            for name, then in every[i].numbers[target].items():
                now = points[at, :, k] if name == POINT else quantiles[at, :, k, order[levels[name]]]
                problems += _differing(f"{every[i]}, {name} of {target!r}", np.array(then), now)


def _differing(what: str, then: NDArray[np.float64], now: NDArray[np.float64]) -> list[Problem]:
    """Return a problem where a repeated forecast differs by more than machines and libraries round."""
    spread = max(float(np.nanmax(then) - np.nanmin(then)), 1e-6 * float(np.nanmax(np.abs(then)))) if len(then) else 0.0
    apart = np.where(np.isnan(then) & np.isnan(now), 0.0, np.abs(then - now))
    if np.all(apart <= TOLERANCE * max(spread, 1e-300)):
        return []
    step = int(np.argmax(np.where(np.isnan(apart), np.inf, apart)))
    got = f"step {step + 1} has {then[step]:.6g}, and the model forecasts {now[step]:.6g}"
    return [Problem(f"{what} must be what its model forecasts", got)]


def _context(
    model: Forecaster, panel: Panel | None, record: Mapping[str, Any], steps: int, places: Sequence[_Place]
) -> tuple[list[int], Context] | str:
    """Return which series of a record can be forecast again, and what may be seen there; or why none can."""
    fitted, roles = model.panel_, model.panel_.roles
    if panel is None and record["data"]["fingerprint"] == fitted.fingerprint() and not roles.given.future:
        later = partial(with_future, fitted, steps) if roles.future else None
        return list(range(len(fitted))), Context.at_end(fitted, later)
    if panel is None:
        return "they go on from other data than those that were fitted, or read covariates: give the data"
    whole = [i for i, place in enumerate(places) if place.whole]
    if not whole:
        return "the data do not have its history"
    at, first, end = (np.array([places[i][part] for i in whole]) for part in range(3))
    part = panel.select(at)
    seen = part.between(first, end)
    if not roles.given.future or record["future"] is None:
        later = partial(with_future, seen, steps) if roles.future and not roles.given.future else None
        return whole, Context.at_end(seen, later)
    if np.any(end + steps > part.lengths):
        return "the data do not hold the future covariates of all its steps"
    ahead = part.between(first, end + steps)
    past = Context.at_end(seen, lambda: ahead)
    if hashlib.sha256(past.future_known(steps).astype("<f8").tobytes()).hexdigest() != record["future"]:
        return "the future covariates of the data are not those that were given then"
    return whole, past


def _frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a frame that has its columns even where there is none."""
    import pandas as pd

    names = ["line", "model", "series", "target", "cutoff", "step", "time", "y", POINT, *NAIVE, "scale", "ahead"]
    frame = pd.DataFrame(rows)
    return frame if len(frame) else pd.DataFrame(columns=names)
