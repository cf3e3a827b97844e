"""Entries of a board: models by name, the naive family and the reference among them, and forecasts made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from tsforecast.adapters.names import is_foreign
from tsforecast.adapters.names import make as make_foreign
from tsforecast.adapters.protocol import as_forecaster, label_of, notes_on
from tsforecast.data import frames
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.errors import DataError, ParameterError, Problem, UnknownNameError, nearest, raise_any
from tsforecast.estimators.registry import INTERMITTENT, MODEL_NAMES, NAIVE_FAMILY, known_name, make
from tsforecast.evaluation.backtest import Backtest
from tsforecast.evaluation.external import Given, read_forecasts
from tsforecast.evaluation.metrics import POINT, Own, own_name, weighted, with_own
from tsforecast.evaluation.record import ForecastFit
from tsforecast.evaluation.runner import Outcome, by_name
from tsforecast.evaluation.summaries import errors
from tsforecast.events import unobserved
from tsforecast.forecasters import auto
from tsforecast.forecasters.base import Forecaster, Pretraining

ALWAYS = ("naive", "seasonal-naive", "drift")
NAIVE_LEVELS = ("mean", "window-average")  # where most numbers are zero, and the last one and last season say little

MAX_ORIGINS, MAX_ROWS = 30, 100_000  # of the test that chooses the reference

Models = Any  # of those that `as_forecaster` takes, names or frames: one, a list of them, or a dict of name to model


def named(forecasters: Models) -> dict[str, Forecaster]:
    """Return forecasters by name, after the naive ones that are always compared."""
    return named_with_notes(forecasters)[0]


def named_with_notes(forecasters: Models) -> tuple[dict[str, Forecaster], list[str]]:
    """Return forecasters by name, and notes on the models of other software among them."""
    forecasters, _ = _apart(forecasters)
    if isinstance(forecasters, Mapping):
        pairs = list(forecasters.items())
    else:
        one = isinstance(forecasters, (str, type)) or not isinstance(forecasters, Iterable) or callable(forecasters)
        one = one or hasattr(forecasters, "fit")  # a pipeline has items, too
        items = [name for item in ([forecasters] if one else forecasters) for name in _expanded(item)]
        unknown = [item for item in items if isinstance(item, str) and item not in MODEL_NAMES and not is_foreign(item)]
        raise_any(
            (f"model {name!r} does not exist; {nearest(name, MODEL_NAMES)}" for name in unknown), UnknownNameError
        )
        pairs = [(item, _of_name(item)) if isinstance(item, str) else (label_of(item), item) for item in items]
    models = by_name(pairs)
    found = {name: as_forecaster(model) for name, model in models.items()}
    raise_any(
        (
            f"{name!r} must be the naive forecast of this name: got {type(models[name]).__name__}; rename yours"
            for name, model in found.items()
            if name in NAIVE_FAMILY and not isinstance(model, type(make(name)))
        ),
        ParameterError,
    )
    return {name: make(name) for name in ALWAYS} | found, notes_on(models)


def given_forecasts(forecasters: Models, panel: Panel) -> list[Given]:
    """Read the forecasts that were made elsewhere; the key of a dict is the name of a model that is alone in a frame.

    Raises
    ------
    DataError, ParameterError
    """
    found = []
    for name, frame in _apart(forecasters)[1]:
        given = read_forecasts(frame, panel, {})
        found.append(given.named(name) if name and len(given.values) == 1 else given)
    return found


def names_of(given: Iterable[Given], models: Mapping[str, Any]) -> list[str]:
    """Return the names of models whose forecasts were given; all must be different."""
    names = [name for each in given for name in each.values]
    for at, name in enumerate(names):
        if name in (*models, *NAIVE_FAMILY, *names[:at]):
            raise DataError(f"given models must have names of their own: {name!r} is on the board already; rename it")
    return names


def given_outcomes(given: Given, backtest: Backtest) -> list[Outcome[ForecastFit]]:
    """Return the outcomes of forecasts that were given, at the cutoffs of a board."""
    protocol = backtest.protocol
    there = given.at(backtest.panel, backtest.tested_at, protocol.gap, protocol.horizon)
    there = there if backtest.distributions else replace(there, quantiles={name: {} for name in there.quantiles})
    return [Outcome(rows, fit) for rows, fit in there.rows()]


def stated_pretraining(stated: Mapping[str, Any] | None, names: Iterable[str]) -> dict[str, Pretraining]:
    """Check what models that others have run learned from before, by name; see `Leaderboard.from_forecasts`."""
    found, known = dict(stated or {}), list(names)
    unknown = [
        f"pretraining of {name!r} has no forecasts; {nearest(name, known)}" for name in found.keys() - set(known)
    ]
    raise_any(unknown, UnknownNameError)
    must = "must be a dict of model to Pretraining(release, trained_on)"
    raise_any(
        (
            Problem(must, f"got {each!r} of {name!r}", parameter="pretraining")
            for name, each in found.items()
            if not isinstance(each, Pretraining)
        ),
        ParameterError,
    )
    return found


def _apart(forecasters: Models) -> tuple[Models, list[tuple[str | None, Any]]]:
    """Return the models to fit, and the frames among them, each with its name."""
    if frames.is_frame(forecasters):
        return [], [(None, forecasters)]
    if isinstance(forecasters, Mapping):
        made = [(name, each) for name, each in forecasters.items() if frames.is_frame(each)]
        return {name: each for name, each in forecasters.items() if not frames.is_frame(each)}, made
    if isinstance(forecasters, (list, tuple)):
        models = [each for each in forecasters if not frames.is_frame(each)]
        return models, [(None, each) for each in forecasters if frames.is_frame(each)]
    return forecasters, []


def _expanded(item: Any) -> Iterable[Any]:
    if not isinstance(item, str):
        return [item]
    return MODEL_NAMES if item == "all" else [known_name(item)]


def _of_name(name: str) -> Any:
    return make_foreign(name) if is_foreign(name) else make(name, random_state=0)


def with_levels(models: dict[str, Forecaster], panel: Panel) -> tuple[dict[str, Forecaster], list[str]]:
    """Add naive levels where most numbers are zero; return the models and a note."""
    added = [name for name in NAIVE_LEVELS if name not in models]
    share = auto.zero_share(panel)
    if share <= auto.INTERMITTENT or not added:
        return models, []
    more = (
        ""
        if any(name in models for name in INTERMITTENT)
        else f"; {', '.join(INTERMITTENT)} are methods for such demand"
    )
    are = "is a naive rival" if len(added) == 1 else "are naive rivals"
    note = f"{share:.0%} of the numbers are 0, so that {' and '.join(added)} {are} as well{more}"
    return {name: make(name) for name in added} | models, [note]


@unobserved()
def best_before(
    past: Panel,
    protocol: Protocol,
    distributions: bool,
    models: Mapping[str, Forecaster],
    metric: str,
    own: Own,
    weights: Mapping[str, float] | None,
) -> str | None:
    """Return the naive forecast with the lowest error in what lies before the oldest cutoff; None where none fits.

    A reference that is chosen on the cutoffs of the test has the luck of the choice on its side.
    """
    few = max(1, min(MAX_ORIGINS, MAX_ROWS // (len(past) * protocol.horizon)))
    for origins in range(few, 0, -1):
        before = replace(protocol, origins=origins, refit=False, audit=None)
        earlier = Backtest(past, before, distributions and metric not in POINT)
        try:
            fold = earlier.folds[0]
        except DataError:  # too short a past
            continue
        rows = [earlier.run(name, models[name], fold)[0] for name in models if name in NAIVE_FAMILY]
        one = {name: each for name, each in own.items() if name == metric}
        known = with_own(weighted(pd.concat(rows, ignore_index=True), weights), one, metric)
        metric = own_name(metric, one)
        means = errors(known, metrics=[metric])[metric].groupby(level="model", observed=True).mean()
        return str(means.idxmin()) if means.notna().any() else None
    return None
