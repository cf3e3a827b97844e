"""Commands `serve` and `export`: a saved model that answers requests over HTTP, or as one file anywhere."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from tsforecast.cli.console import console, echo, warn
from tsforecast.cli.data import FORMAT_FILE, kept_form
from tsforecast.cli.options import Trust, expand_options, require_absent, words_of
from tsforecast.cli.predict import levels_of, saved_model, shares_of
from tsforecast.errors import counted


@expand_options
def serve(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted forecaster or classifier.")],
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all networks.")] = "127.0.0.1",
    max_bytes: Annotated[
        int, typer.Option(help="Bytes of a request; a larger one is refused with status 413.")
    ] = 4_000_000,
    max_rows: Annotated[
        int, typer.Option(help="Rows of a request, and of its answer; more are refused with status 413.")
    ] = 100_000,
    max_horizon: Annotated[
        int | None,
        typer.Option(help="Steps of a forecast.", show_default="the most of 10 horizons, 10 seasons, 100"),
    ] = None,
    max_seconds: Annotated[
        float, typer.Option(help="Time for reading a request (status 408), and again for its answer (503, 504).")
    ] = 30.0,
    max_waiting: Annotated[int, typer.Option(help="Requests at a time; others are refused with status 503.")] = 200,
    max_batch: Annotated[
        int, typer.Option(help="Waiting requests that are computed in one pass; 1 computes each alone.")
    ] = 64,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            help="Further names by which clients may ask, such as that of a proxy; * for any. "
            "On 127.0.0.1 other names than localhost are refused with status 421."
        ),
    ] = None,
    trust: Trust = None,
) -> None:
    """Answer requests over HTTP with a saved model: JSON rows in, forecasts or labels out, until Ctrl-C.

    GET / describes the server, GET /openapi.json all fields, with an example that runs. There is no authentication.

    curl -H "Content-Type: application/json" -d "{}" http://127.0.0.1:8000/forecast
    """
    if not _of_this_machine(host):
        warn(
            "Note",
            f"there is no authentication: whoever can reach {host} can request forecasts of the model",
        )
    with console.status("loading"):
        from tsforecast.serving.app import Server
        from tsforecast.serving.worker import Limits

        limits = Limits(max_bytes, max_rows, max_seconds, max_waiting, max_batch, max_horizon)
        server = Server(saved_model(model, words_of(trust)), port, host, limits, words_of(allowed_hosts))

    def started() -> None:
        echo(f"{model} answers at {server.url}; stop with Ctrl-C")

    server.run(started)
    echo(f"stopped after {counted(server.answered, 'request')}")


def _of_this_machine(host: str) -> bool:
    """Return whether an address is one that other machines do not reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@expand_options
def export(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    file: Annotated[Path, typer.Argument(help="File to write: .onnx for onnxruntime, or .pt2 for torch.")],
    interval: Annotated[
        list[str] | None, typer.Option(help="Central intervals that the file computes, such as 80 or 50,95.")
    ] = None,
    quantiles: Annotated[
        list[str] | None, typer.Option(help="Levels of quantiles that the file computes, such as 0.1,0.9.")
    ] = None,
    trust: Trust = None,
) -> None:
    """Write a saved model as one file that forecasts anywhere, with a program that reads CSV files next to it."""
    with console.status("exporting"):
        from tsforecast.estimators.persistence import load
        from tsforecast.export.file import SCRIPTS
        from tsforecast.forecasters.base import Forecaster

        found = load(model, trust=words_of(trust))
        kind = "forecast" if isinstance(found, Forecaster) else "recordings"
        if kind == "recordings":
            require_absent("for a model of recordings", "it has none", interval=interval, quantiles=quantiles)
            made = found.export(file)
        else:
            dates = kept_form(model).date_format if (model / FORMAT_FILE).exists() else None
            made = found.export(file, interval=shares_of(interval), quantiles=levels_of(quantiles), dates=dates)
    program = f", and {made.with_name(SCRIPTS[kind])} to run it" if made.suffix == ".onnx" else ""
    echo(f"{made.stat().st_size / 1000:,.0f} kB in {made}{program}")
