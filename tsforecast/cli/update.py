"""Command `tsforecast update`: new rows for a saved model, what has drifted, and a monitor that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.console import echo, warn
from tsforecast.cli.monitor import STATE, gone_on, handed_on
from tsforecast.cli.options import ContextDateFormat, Trust, expand_options, words_of
from tsforecast.cli.predict import context_of, saved_forecaster
from tsforecast.errors import DataError, ParameterError, Problem, raise_any
from tsforecast.files import new_folder, write_or_return

if TYPE_CHECKING:
    from tsforecast.anomalies.drift import Drift
    from tsforecast.data.panel import Panel
    from tsforecast.forecasters.base import Forecaster


@expand_options
def update(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Annotated[
        Path, typer.Argument(help="CSV, Excel or Parquet file of the rows that follow; known rows may be repeated.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the updated model.", show_default="none")] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace the model, once the new one is whole.")] = False,
    scales: Annotated[
        str, typer.Option(help="Scales of networks and regressions: keep them, or learn them again from all rows.")
    ] = "keep",
    epochs: Annotated[
        int, typer.Option(help="Epochs to train networks further, kept where they help on the newest rows.")
    ] = 0,
    level: Annotated[
        float, typer.Option(help="Share of runs of 100 steps without drift in which there is an alarm.")
    ] = 0.05,
    date_format: ContextDateFormat = None,
    trust: Trust = None,
) -> None:
    """Take new rows into a model, without a new fit, and print the drift since the fit.

    The losses of its forecasts of these rows go into the state of tsforecast monitor, which continues from there.
    """
    from tsforecast.checks import one_of
    from tsforecast.data.protocol import joined
    from tsforecast.saving.folder import DESCRIPTION

    raise_any(one_of("scales", scales, ("keep", "learn")), ParameterError)
    target = _target(model, out, in_place)
    forecaster = saved_forecaster(model, words_of(trust))
    known = forecaster.panel_
    if known.kind == "none" or known.source.form in ("array", "arrays", "windows"):
        raise ParameterError(
            f"the model in {str(model)!r} must have been fitted on series with time stamps, to know which rows are new"
        )
    rows = context_of(known, model, data, date_format)[0]
    panel = joined(known, known.read_like(rows))
    found = _drift(forecaster, panel, level)
    kept, watch = gone_on(forecaster, model, panel)

    named: Any = scales
    with new_folder(target, mark=DESCRIPTION) as place:
        after = forecaster.update(panel, scales=named, epochs=epochs)
        after.save(place)
        write_or_return(handed_on(kept, known.lengths, after, place), place / STATE)
    echo(after.last_update)
    if found:
        for finding in found.alarms:
            warn("Drift", finding.sentence)
        echo("\n".join([*(each.sentence for each in found.findings if not each.alarm), found.rate]))
    if kept.cutoffs:
        from tsforecast.estimators.registry import model_name

        echo(watch.claim.sentence(model_name(after), kept.reference))
    echo(f"wrote {target}")


def _target(model: Path, out: Path | None, in_place: bool) -> Path:
    """Return the folder of the updated model, which is that of the model on request alone."""
    if in_place == (out is not None):
        got = "got both" if in_place else "got neither"
        raise ParameterError(Problem("a folder for the updated model, or --in-place, must be given", got, "give --out"))
    if out is not None and out.resolve() == model.resolve():
        must, got = "--out must be another folder than that of the model", f"got {str(out)!r}"
        raise ParameterError(Problem(must, got, "use --in-place to replace it"))
    return out or model


def _drift(forecaster: Forecaster, panel: Panel, level: float) -> Drift | None:
    """Return what has drifted; None, with a note, where the model has held out too little to show it."""
    from tsforecast.anomalies.drift import drift

    try:
        return drift(forecaster, panel, level=level)
    except DataError as error:
        warn("Note", f"drift is not judged: {error}")
        return None
