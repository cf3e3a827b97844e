"""Command `tsforecast monitor`: whether a saved model still beats its naive forecast, as observations come in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsforecast.cli.console import echo, warn
from tsforecast.cli.options import ContextDateFormat, Trust, expand_options, words_of
from tsforecast.cli.predict import context_of, saved_forecaster
from tsforecast.errors import DataError, ParameterError, counted
from tsforecast.files import require_place, sha256, write_or_return

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsforecast.data.panel import Panel
    from tsforecast.evaluation.monitor import Monitor
    from tsforecast.forecasters.base import Forecaster

STATE = "monitor.json"  # in the folder of a model
REFERENCES = ("naive", "seasonal-naive", "drift")
MOST_CUTOFFS = 100  # of the fitted data, by which the reference is chosen


@dataclass
class State:
    """What is kept between two runs; JSON has its fields by name."""

    model: str  # checksum of the model's description
    reference: str
    rows: dict[
        str, list[list[float | None]]
    ]  # observations of each series since those of the model, columns as in its panel
    passed: int  # cutoffs that were looked at
    cutoffs: list[int]  # those that had a loss, counted from the end of the fitted data
    model_losses: list[float]
    reference_losses: list[float]
    starts: list[int]  # as in `Monitor`
    version: int = 1


@expand_options
def monitor(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="CSV, Excel or Parquet file of observations that follow the fitted ones; known rows may be repeated.",
            show_default="look at the state",
        ),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="File of the state, JSON.", show_default=f"{STATE} in the model's folder")
    ] = None,
    date_format: ContextDateFormat = None,
    trust: Trust = None,
) -> None:
    """Compare a model with its naive forecast on the observations since its fit; as often as you like.

    The exit code is 1 if these data show that skill has fallen, or if the model is worse than the naive forecast.
    """
    from tsforecast.data.protocol import joined
    from tsforecast.evaluation.monitor import Monitor

    place = state or model / STATE
    require_place(place.parent)
    forecaster = saved_forecaster(model, words_of(trust))
    fitted, known = forecaster.panel_, place.exists()
    if fitted.kind == "none" or fitted.source.form in ("array", "arrays", "windows"):
        raise ParameterError(
            f"the model in {str(model)!r} must have been fitted on series with time stamps, to know which rows are new"
        )
    if data is None and not known:
        raise ParameterError(f"--data must be given: there is no state in {str(place)!r} yet")
    kept = _read(place, model) if known else _begun(forecaster, model)
    panel = _with_rows(fitted, kept)
    if data:
        panel = joined(panel, context_of(fitted, model, data, date_format)[0])
    before = Monitor(kept.model_losses, kept.reference_losses, kept.starts).claim.outcome
    watch, fell, new = _judged(forecaster, panel, kept)
    if data:
        rows = {str(name): _after(panel, i, int(fitted.lengths[i])) for i, name in enumerate(panel.ids)}
        write_or_return(json.dumps(asdict(replace(kept, rows=rows, **asdict(watch)))), place)
    _show(forecaster, panel, kept, watch, fell, new)
    if before == "better" and watch.claim.outcome == "inconclusive" and not fell:
        warn("Note", "it could be called better before these observations, and cannot be any more")
    if fell or watch.claim.outcome == "worse":
        raise typer.Exit(1)


def _read(place: Path, model: Path) -> State:
    """Return the state of a model that was written before."""
    from tsforecast.evaluation.monitor import read_state
    from tsforecast.saving.folder import DESCRIPTION

    kept = read_state(State, place)
    if kept.version != 1:
        raise DataError(f"{str(place)!r} must be a state of version 1: it is of version {kept.version}")
    if kept.model != sha256(model / DESCRIPTION):
        raise DataError(
            f"{str(place)!r} must be the state of the model in {str(model)!r}: it is that of another one; name its own "
            "file, or a new one, with --state"
        )
    if len(kept.cutoffs) != len(kept.model_losses) or kept.reference not in REFERENCES:
        raise DataError(f"{str(place)!r} must have a cutoff for each loss, and a reference of {', '.join(REFERENCES)}")
    return kept


def _begun(forecaster: Forecaster, model: Path) -> State:
    """Return the state without losses, with the best of the naive forecasts on rolling cutoffs of the fitted data."""
    import numpy as np

    from tsforecast.saving.folder import DESCRIPTION

    panel, horizon = forecaster.fitted_panel, forecaster.horizon_
    ticks = np.arange(panel.clock_end - horizon, panel.season_length - 1, -horizon)[:MOST_CUTOFFS]
    means = [np.nanmean(_losses(_naive(name, forecaster), panel, ticks)) for name in REFERENCES] if len(ticks) else []
    best = REFERENCES[int(np.nanargmin(means))] if np.isfinite(means).any() else REFERENCES[0]
    return State(sha256(model / DESCRIPTION), best, {}, _learned_cutoffs(forecaster), [], [], [], [0])


def _learned_cutoffs(forecaster: Forecaster) -> int:
    """Return how many cutoffs since the fit lie before rows that an update learned from."""
    fitted, until = forecaster.fitted_panel, forecaster.unchanged_since()
    return -(-max(int((fitted.firsts + until).max()) - fitted.clock_end, 0) // forecaster.horizon_)


def gone_on(before: Forecaster, model: Path, panel: Panel) -> tuple[State, Monitor]:
    """Return the state of a model, or a new one, with the cutoffs that a panel of later rows completes; and a monitor.

    Rows of a panel that the state had beyond it stay in the state.
    """
    place = model / STATE
    kept = _read(place, model) if place.exists() else _begun(before, model)
    from tsforecast.data.protocol import joined

    panel = joined(_with_rows(before.panel_, kept), panel)
    watch, _, _ = _judged(before, panel, kept)
    rows = {str(name): _after(panel, i, int(before.panel_.lengths[i])) for i, name in enumerate(panel.ids)}
    return replace(kept, rows=rows, **asdict(watch)), watch


def handed_on(kept: State, known: NDArray[np.int64], after: Forecaster, folder: Path) -> str:
    """Return the state, as JSON, of a model in a folder that knew so many rows, (N,), before it was updated."""
    from tsforecast.saving.folder import DESCRIPTION

    more = (after.panel_.lengths - known).tolist()
    rows = {name: each[count:] for (name, each), count in zip(kept.rows.items(), more, strict=True)}
    passed = max(kept.passed, _learned_cutoffs(after))
    return json.dumps(asdict(replace(kept, model=sha256(folder / DESCRIPTION), rows=rows, passed=passed)))


def _naive(name: str, forecaster: Forecaster) -> Forecaster:
    from tsforecast.estimators.registry import make

    naive: Forecaster = make(name, horizon=forecaster.horizon_)
    return naive.fit(forecaster.fitted_panel)


def _with_rows(panel: Panel, kept: State) -> Panel:
    """Return the fitted panel with the observations since."""
    import numpy as np

    from tsforecast.data.protocol import extended

    width = panel.values.shape[1]
    rows = [np.array(kept.rows.get(str(name), []), dtype=panel.values.dtype) for name in panel.ids]
    if any(part.size and part.shape[1:] != (width,) for part in rows):
        raise DataError(f"rows of the state must have {width} columns, as the fitted data have")
    return extended(panel, [part.reshape(-1, width) for part in rows])


def _after(panel: Panel, series: int, first: int) -> list[list[float | None]]:
    """Return rows of a series from `first` on, as JSON has them."""
    rows: list[list[float]] = panel.series(series)[first:].tolist()
    return [[None if value != value else value for value in row] for row in rows]


def _judged(forecaster: Forecaster, panel: Panel, kept: State) -> tuple[Monitor, bool, int]:
    """Take the losses of cutoffs that are complete now into the state; return the monitor, if skill fell, and a count.

    Cutoffs are a horizon apart from the end of the fitted data on. One is complete when every series has all its
    targets, but for series that ended long ago.
    """
    import numpy as np

    from tsforecast.evaluation.monitor import Monitor

    watch = Monitor(kept.model_losses, kept.reference_losses, kept.starts)
    first, horizon = forecaster.fitted_panel.clock_end, forecaster.horizon_
    living = ~panel.ended(max(horizon, panel.season_length))
    complete = int(((panel.firsts + panel.lengths)[living].min() - first) // horizon)
    numbers = np.arange(kept.passed, max(complete, kept.passed))
    if not len(numbers):
        return watch, False, 0
    models = (forecaster, _naive(kept.reference, forecaster))
    own, other = (_losses(each, panel, first + numbers * horizon) for each in models)
    there = np.isfinite(own) & np.isfinite(other)
    fell = watch.update(own[there], other[there])
    kept.passed = complete
    kept.cutoffs += numbers[there].tolist()
    return watch, fell, int(there.sum())


def _losses(forecaster: Forecaster, panel: Panel, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean absolute scaled error at each cutoff, (F,), over steps, then over series and targets.

    The scale is the error of the seasonal naive forecast on the fitted data. NaN is left where nothing was observed.
    """
    import numpy as np
    import pandas as pd

    from tsforecast.data.context import Context
    from tsforecast.data.scaling import seasonal_scale

    fitted, horizon, targets = forecaster.fitted_panel, forecaster.horizon_, panel.n_targets
    numbers = [fitted.series(i)[:, k] for i in range(len(fitted)) for k in range(targets)]
    scales = np.array([seasonal_scale(part, fitted.season_length)[0] for part in numbers]).reshape(-1, targets)
    scales = np.where(scales > 0, scales, np.nan)
    scales = scales if np.isfinite(scales).any() else np.ones_like(scales)
    seen, last = (panel.rows_before(ticks[:, None] + more) for more in (0, horizon))
    cutoff, series = np.nonzero((seen > 0) & (last > seen))
    past = Context(panel, series, seen[cutoff, series])
    forecasts = forecaster.forecast_on_the_wall(past, horizon)  # (n, H, K)
    at = seen[cutoff, series][:, None] + np.arange(horizon)  # (n, H)
    inside = (at < last[cutoff, series][:, None])[..., None] & past.has_observations[:, None]  # (n, H, K)
    rows = np.minimum(panel.offsets[series][:, None] + at, len(panel.values) - 1)
    truth = np.where(inside, panel.values[rows, :targets], np.nan)
    if (~np.isfinite(forecasts) & np.isfinite(truth)).any():
        raise DataError(f"forecasts must be finite: those of {type(forecaster).__name__} are not, at some new cutoff")
    errors = np.abs(truth - np.where(np.isfinite(truth), forecasts, 0.0)) / scales[series][:, None]
    means = np.ma.masked_invalid(errors).mean(axis=1).filled(np.nan)  # (n, K)
    losses = pd.Series(means.ravel()).groupby(np.repeat(cutoff, targets)).mean()
    return np.asarray(losses.reindex(range(len(ticks))))


def _show(forecaster: Forecaster, panel: Panel, kept: State, watch: Monitor, fell: bool, new: int) -> None:
    """Print what can be claimed now, and a warning where skill has fallen."""
    from tsforecast.estimators.registry import model_name

    def day(number: int) -> str:
        tick = forecaster.fitted_panel.clock_end + number * forecaster.horizon_
        return panel.label(int(panel.stamps(int(panel.firsts.argmin()), tick)))

    horizon, claim, before = forecaster.horizon_, watch.claim, watch.before
    if not kept.cutoffs:
        echo(f"no loss yet: a cutoff needs all of the {counted(horizon, 'step')} from {day(kept.passed)} on")
        return
    steps = f"{counted(new, 'new cutoff')}, {len(kept.cutoffs)} in all, {counted(horizon, 'step')} apart"
    echo(f"{steps}, from {day(kept.cutoffs[0])} to before {day(kept.cutoffs[-1] + 1)}")
    echo(claim.sentence(model_name(forecaster), kept.reference))
    if before:
        since = watch.starts[-1]
        when = day(kept.cutoffs[since] if since < len(kept.cutoffs) else kept.passed)
        how = "has fallen" if claim.outcome == "better" else "is lost"
        sentence = f"skill {how} since {when}: {claim.skill:.1%}, before {before.skill:.1%}{before.span}"
        if fell:
            warn("Warning", sentence)
        else:
            echo(f"the verdict is on the losses since then: {sentence}")
