"""Graphs of fitted forecasters: from their choices, arrays and weights to parts, and the facts of a file."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tsforecast.data.calendar import Frequency
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.data.scaling import ARRAYS
from tsforecast.data.zones import origin_of
from tsforecast.distributions.base import LEVELS
from tsforecast.distributions.residuals import lowest_of
from tsforecast.errors import ParameterError, Problem, raise_any
from tsforecast.export.file import Entry, Exported, inputs_of
from tsforecast.export.graph import Anchor, Ensemble, Graph, Levels, Naive, Parts, Shape, Statics
from tsforecast.export.levels import FamilyLevels, MixtureLevels, ResidualLevels, most_count, point_problem
from tsforecast.export.scales import Scales

NAIVE = {
    "NaiveForecaster": "last",
    "SeasonalNaiveForecaster": "seasonal",
    "DriftForecaster": "drift",
    "MeanForecaster": "mean",
    "WindowAverageForecaster": "average",
}
EXAMPLES = 3  # series whose forecasts are compared with those of the graph, and kept in the file
MOST_ROWS = 2_000  # of each of them
MOST_COUNT = 4_096  # largest count among which quantiles are looked for
TOLERANCE = 1e-5  # of the range of a target: largest difference between graph and forecaster
EITHER = "export a network, a naive forecaster or an ensemble of those"
Floats = NDArray[np.float64]


def exported(model: Any, levels: Mapping[str, float], dates: str | None = None) -> Exported:
    """Return the graph of a fitted forecaster, with quantiles at levels by name; ParameterError where it has none.

    `dates` is the form of dates in the files that it will read, where they are not those of ISO 8601.
    """
    wanted = sorted({*levels.values()})
    raise_any(problems_of(model, wanted), ParameterError)
    columns, past, horizon = Columns.of(model), _examples(model.panel_), model.horizon_
    expected, tolerance = {"forecast": model.forecast(past, horizon)}, {"forecast": TOLERANCE * _ranges(model.panel_)}
    if wanted:
        expected["quantiles"] = model.distribution(past, horizon).quantiles(wanted)
        tolerance["quantiles"] = tolerance["forecast"][:, None]
    inputs = inputs_of(past, columns.ids, columns.texts, horizon)
    free = {name: {0: "series"} for name in (*columns.needed, *expected)}
    free["past"][1] = "rows"
    return Exported(
        module=Entry(graph_of(model, columns, wanted), columns.needed, bool(wanted)),
        inputs={name: inputs[name] for name in columns.needed},
        expected=expected,
        tolerance=tolerance,
        free=free,
        kind="forecast",
        facts=_facts(model, columns, levels) | {"dates": dates},
    )


@dataclass(frozen=True)
class Columns:
    """What a graph tells apart by numbers: series, and texts of columns; and the inputs that it needs."""

    ids: list[Any]  # of series whose scales or weights are their own
    texts: dict[str, tuple[str, ...]]  # of past, future and static columns
    needed: tuple[str, ...]

    @classmethod
    def of(cls, model: Any) -> Columns:
        """Return those of a fitted forecaster."""
        roles, parts = model.panel_.roles, list(_windowed(model))
        texts = dict(roles.categories)
        ids: dict[Any, None] = {}
        for part in parts:
            for name, _, _, categories in part.inputs_.statics.columns:
                if categories:
                    texts[name] = tuple(dict.fromkeys((*texts.get(name, ()), *categories)))
            ids |= dict.fromkeys(part.inputs_.ids.tolist() if part.resolved_["per_series"] else ())
            ids |= dict.fromkeys(part.blend_.ids.tolist() if part.blend_ is not None else ())
        given = {
            "past": True,
            "known": True,
            "series": bool(ids),
            "ahead": any(hasattr(part, "network_") for part in parts) and bool(roles.future),
            "static": any(hasattr(part, "network_") for part in parts) and bool(roles.static),
        }
        return cls(list(ids), texts, tuple(name for name, there in given.items() if there))


def _windowed(model: Any) -> list[Any]:
    """Return the forecasters that correct an anchor: the model itself, or those among its members."""
    members = [model, *model.members_]
    return [each for each in members if hasattr(each, "inputs_")]


def problems_of(model: Any, levels: Sequence[float]) -> list[str]:
    """Return a sentence on each part of a fitted forecaster that has no graph."""
    name = type(model).__name__
    if isinstance(model.panel_, SupervisedPanel):
        return [
            Problem("an export must be of a forecaster of series", "this one was fitted on windows X and y", EITHER)
        ]
    if name in NAIVE:
        return []
    if name == "EnsembleForecaster":
        problems = [problem for member in model.members_ for problem in problems_of(member, levels)]
        return list(dict.fromkeys(problems))
    network = hasattr(model, "network_")
    if not hasattr(model, "inputs_") or not (network or name == "AnchorForecaster"):
        return [Problem(f"{name} must have a graph to be exported", "it has none", EITHER)]
    problems = []
    if model.inputs_.scaling.tools:
        remedy = "fit with 'standard', 'min-max', 'robust' or None"
        problems.append(Problem("must have a graph", f"got {model.scaler!r}", remedy, parameter="scaler"))
    if not network:
        return problems
    loss, family = model._loss(), model._loss().family
    if not type(loss).__module__.startswith("tsforecast."):
        problems.append(Problem("must be one of this package", f"got {loss!r}", "fit with another", parameter="loss"))
        return problems
    scaling = model.inputs_.scaling
    if family is None:
        return problems
    if why := point_problem(family, model._point, scaling.powered, not scaling.power.any()):
        problems.append(Problem("must have a graph", f"got {why}", "fit with point='median'", parameter="point"))
    count = most_count(family, _highest(model.panel_)) if levels or model._point == "median" else 0
    if count > MOST_COUNT:
        got = f"the data reach {_highest(model.panel_):g}"
        remedy = "leave quantiles out, or fit with loss='quantile'"
        problems.append(Problem(f"quantiles of counts must lie below about {MOST_COUNT // 8}", got, remedy))
    return problems


def _highest(panel: Panel) -> float:
    return float(np.nanmax(panel.values[:, : panel.n_targets]))


def graph_of(model: Any, columns: Columns, levels: Sequence[float]) -> nn.Module:
    """Return the graph of a fitted forecaster."""
    name, panel, horizon = type(model).__name__, model.panel_, model.horizon_
    if name == "EnsembleForecaster":
        every = LEVELS.tolist() if levels else ()  # of which a mixture is made
        members = [graph_of(member, columns, every) for member in model.members_]
        mixture = MixtureLevels(model.weights_, levels) if levels else None
        return Ensemble(members, None if model.combine == "median" else model.weights_, mixture)
    if name not in NAIVE:
        return _corrected(model, columns, levels)
    season = int(getattr(model, "season_length_", 1))
    steps = int(getattr(model, "window_", 1))
    residuals = _residuals(model, levels, season=season, growth=NAIVE[name], steps=steps)
    return Naive(NAIVE[name], Shape(panel.n_targets, horizon, season=season), steps, residuals)


def _residuals(model: Any, levels: Sequence[float], **theory: Any) -> ResidualLevels | None:
    """Return the quantiles of the errors at cutoffs that were held out; None where no level is wanted."""
    if not levels:
        return None
    panel = model.panel_
    model.distribution(Context.at_end(panel).select(np.array([0])), model.horizon_)  # which finds and keeps them
    by_step = model._residuals.quantiles(model.horizon_)
    growing = theory.pop("season", panel.season_length)
    return ResidualLevels(by_step, lowest_of(panel), levels, panel.season_length, own_season=growing, **theory)


def _corrected(model: Any, columns: Columns, levels: Sequence[float]) -> Graph:
    """Return the graph of a forecaster that corrects an anchor."""
    panel, resolved, inputs = model.panel_, model.resolved_, model.inputs_
    network = getattr(model, "network_", None)
    family = None if network is None else model._loss().family
    wanted = list(levels) + ([0.5] if family is not None and model._point == "median" and 0.5 not in levels else [])
    shape = Shape(
        panel.n_targets,
        model.horizon_,
        resolved["window"],
        model._least,
        resolved["season_length"],
        len(panel.roles.future) if network is not None else 0,
    )
    scaling, place = inputs.scaling, {name: at for at, name in enumerate(inputs.ids.tolist())}
    rows = np.array([place.get(name, -1) for name in columns.ids], dtype=np.int64) if resolved["per_series"] else None
    scaler = inputs.recipe.scaler
    parts = Parts(
        scales=Scales({name: getattr(scaling, name) for name in ARRAYS}, rows, inputs.recipe.transform, scaler),
        anchor=_anchor(model, columns),
        network=None if network is None else Corrections(network, family is None, model._loss()),
        levels=Levels(_tables(model)),
        statics=Statics(_statics(inputs.statics.columns, columns) if network is not None else ()),
        family=None if family is None else FamilyLevels(family, wanted, most_count(family, _highest(panel))),
        point=model._point if network is not None else "level",
        asked=len(levels),
        residuals=_residuals(model, levels) if family is None else None,
    )
    return Graph(shape, parts)


def _anchor(model: Any, columns: Columns) -> Anchor:
    blend = model.blend_
    if blend is None:
        return Anchor(model._lags())
    unseen = np.array([None], dtype=object)
    ids = np.array([*columns.ids], dtype=object)
    weights = blend.rows(np.concatenate([ids, unseen]))
    return Anchor(blend=blend.forecast, weights=weights)


def _tables(model: Any) -> list[tuple[int, list[float]]]:
    """Return the position of each column of text, and the levels of its texts, of none, and of any other."""
    roles, found = model.panel_.roles, []
    for at, levels, _ in model.inputs_.categories.columns:
        number = {level: place for place, level in enumerate(levels, 1)}
        texts = (*roles.categories[roles.varying[at]], None)
        found.append((at, [float(number.get(text, 0)) for text in texts] + [0.0]))
    return found


def _statics(learned: Sequence[Any], columns: Columns) -> list[tuple[float, float, list[int]]]:
    found = []
    for name, mean, spread, categories in learned:
        place = {category: at for at, category in enumerate(categories)}
        table = [place.get(text, len(categories)) for text in columns.texts[name]] if categories else []
        found.append((mean, spread, [*table, len(categories)] if categories else []))
    return found


class Corrections(nn.Module):
    """The outputs of a network read by torch's own layers: all of them, or the point that a loss reads."""

    def __init__(self, network: nn.Module, points: bool, loss: Any) -> None:
        super().__init__()
        self.network, self.read = copy.deepcopy(network).cpu(), loss.point if points else None
        each: Any
        for each in self.network.modules():
            if hasattr(each, "fused"):  # kernels are no operations of a graph
                each.fused = False

    def forward(self, *inputs: torch.Tensor | None) -> torch.Tensor:
        """Return outputs, (n, H, K, P), without the anchor."""
        outputs: torch.Tensor = self.network(*inputs, add_anchor=False)
        return outputs if self.read is None else self.read(outputs)[..., None]


def _examples(panel: Panel) -> Context:
    """Return the ends of a few series that have numbers, the shortest and the longest among them."""
    # Model and graph read the same rows: quantiles of residuals depend on how far back a context goes.
    past = Context(panel, np.arange(len(panel)), panel.lengths, np.maximum(panel.lengths - MOST_ROWS, 0))
    there = np.flatnonzero(past.has_observations.all(axis=1))
    order = there[np.argsort(panel.lengths[there], kind="stable")]
    some = order[np.unique(np.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).astype(int))]
    return past.select(np.sort(some))


def _ranges(panel: Panel) -> Floats:
    """Return the range of each target, (K,), or its size where it has none."""
    targets = panel.values[:, : panel.n_targets].astype(np.float64)
    low, high = np.nanmin(targets, axis=0), np.nanmax(targets, axis=0)
    return np.asarray(np.where(high > low, high - low, np.maximum(np.abs(high), 1.0)))


def _snap(panel: Panel) -> dict[str, int] | None:
    """Return how far stamps are moved to the grid of a step, and a stamp on all grids; None where none is moved."""
    if not panel.cleaning.tolerance:
        return None
    within = Frequency.parse(panel.cleaning.tolerance).count
    return {"within": within, "origin": origin_of(panel.source, panel.kind)}


def _bins(panel: Panel) -> dict[str, Any] | None:
    """Return how rows become the number of a bin, and a stamp on all grids; None where rows are steps already."""
    if not panel.cleaning.resample:
        return None
    return {"aggregate": panel.cleaning.aggregate, "origin": origin_of(panel.source, panel.kind)}


def _facts(model: Any, columns: Columns, levels: Mapping[str, float]) -> dict[str, Any]:
    """Return the facts of a file besides its graph."""
    panel = model.panel_
    roles, source, step = panel.roles, panel.source, panel.frequency
    named = partial(map, str)
    reads = any(hasattr(each, "network_") for each in _windowed(model))
    return {
        "model": " ".join(repr(model).split()),
        "time": source.time,
        "id": source.id,
        "target": list(roles.target),
        "past": list(roles.past),
        "future": list(roles.given.future),
        "calendar": list(roles.calendar),
        "static": list(roles.static) if reads else [],
        "texts": {name: list(texts) for name, texts in columns.texts.items()},
        "ids": [*named(columns.ids)],
        "wide": source.form == "wide",
        "kind": panel.kind,
        "frequency": {"name": str(step), "unit": step.unit, "count": step.count},
        "snap": _snap(panel),
        "bins": _bins(panel),
        "season": panel.season_length,
        "horizon": model.horizon_,
        "reads": max((each.resolved_["window"] for each in _windowed(model)), default=1),
        "least": model._least if hasattr(model, "inputs_") else 1,  # ensembles take any number of rows
        "nan_policy": panel.cleaning.nan_policy,
        "levels": dict(levels),
        "fingerprint": model.fingerprint(),
        "data": {name: str(value) for name, value in model.fitted_on_.items()},
    }
