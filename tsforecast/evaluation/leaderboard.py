"""Compare forecasters on the same cutoffs; the naive family is always among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tsforecast.checks import jobs, one_of, whole
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol, option_problems
from tsforecast.data.splits import GroupKFold, LeaveGroupsOut
from tsforecast.errors import ParameterError, UnknownNameError, nearest, raise_any, shorten
from tsforecast.estimators.registry import MODEL_NAMES, make, model_name
from tsforecast.evaluation import summaries as views
from tsforecast.evaluation.backtest import Backtest, joined
from tsforecast.evaluation.record import Record
from tsforecast.evaluation.results import Leaderboard, from_rows
from tsforecast.evaluation.runner import complete, run_all
from tsforecast.events import observed
from tsforecast.forecasters.base import Forecaster, require_forecaster

ALWAYS = ("naive", "seasonal-naive", "drift")

Models = str | Forecaster | Iterable[str | Forecaster] | Mapping[str, Forecaster]


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
    seeds: int = 1,
    n_jobs: int | None = 1,
    checkpoint: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    min_past: int = 1,
) -> Leaderboard:
    """Compare forecasters with the naive family on the same cutoffs.

    A model that fails is on the board with its error, and the others go on.

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
    seeds : int
        How often each model with a random state is fitted, with ``random_state, random_state + 1, ...``.
    n_jobs : int or None
        Processes to share fits of models, seeds and (with `refit`) cutoffs between; -1 for one on each core. The
        forecasts are those of one process, to the bit.
    checkpoint : path, optional
        Folder in which the rows of each fit are kept at once. A comparison that was cut short goes on from there when
        it is called again; what does not fit to the data and settings of the call is not used.
    progress : callable, optional
        Called with the name of each model when it starts.
    min_past : int
        See `backtest`.

    Raises
    ------
    UnknownNameError, ParameterError, DataError
        Also when no model that was asked for could forecast, or one that all are compared with could not.

    Examples
    --------
    >>> import numpy as np
    >>> board = leaderboard(["mean"], np.arange(20.0), horizon=2, origins=3)
    >>> board.reference, board.table["model"].tolist()
    ('drift', ['drift', 'naive', 'seasonal-naive', 'mean'])
    """
    problems = one_of("metric", metric, views.METRICS) + option_problems(refit, groups, audit)
    problems += whole("seeds", seeds, 1) + jobs(n_jobs)
    if progress is not None and not callable(progress):
        problems.append(f"progress must be a function of a model's name: got {progress!r}")
    raise_any(problems, ParameterError)
    models = named(forecasters)
    if reference is not None and reference not in models:
        raise UnknownNameError(f"reference {reference!r} is not on the board; {nearest(reference, models)}")
    protocol = Protocol(horizon, origins, step, gap, refit, None, groups, audit, min_past)
    panel = protocol.long_enough(Panel.of(data))
    needed = [name for name in models if name in (*ALWAYS, reference)]
    with observed(models, panel) as activity:
        outcomes = run_all(
            models, Backtest(panel, protocol), seeds, n_jobs, checkpoint, progress, needed, activity.notify
        )
        parts = [joined(each) for each in complete(outcomes, ALWAYS).values()]
        notes = (*panel.notes, *_left_out(panel, parts[0]), *(note for part in parts for note in _replaced(part)))
        record = Record.of(panel, protocol, tuple(outcome.fit for outcome in outcomes))
        activity.result = board = from_rows(pd.concat(parts, ignore_index=True), metric, reference, notes, record)
    return board


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
