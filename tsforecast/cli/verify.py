"""Commands `tsforecast verify | record-key`: check recorded forecasts, and make a key that signs them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsforecast.cli.console import echo, warn
from tsforecast.cli.files import lines_of, read_file
from tsforecast.cli.options import Trust, require_absent, words_of
from tsforecast.cli.predict import context_of, saved_forecaster
from tsforecast.cli.wording import note_of
from tsforecast.errors import raise_any

if TYPE_CHECKING:
    from tsforecast.evaluation.verification import Verification


def verify(
    records: Annotated[Path, typer.Argument(help="File that tsforecast predict --record wrote.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="CSV, Excel or Parquet file of the history and the truth, to compare with what was recorded and score "
            "the forecasts.",
            show_default="check the file alone",
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Public key that must have signed every record.", show_default="any, or none")
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="Published hash of a record, which must be there; 12 digits or more.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of the model that must have made the forecasts, and makes them again."),
    ] = None,
    date_format: Annotated[
        str | None,
        typer.Option(
            help="How dates in --data are written, such as %d.%m.%Y.", show_default="ISO 8601, or the model's"
        ),
    ] = None,
    trust: Trust = None,
) -> None:
    """Check recorded forecasts for changes since they were made, and score them next to the naive once truth is known.

    The exit code is 1 if anything is not as it was written.
    """
    from tsforecast.evaluation.verification import like_truth, verify_records

    if data is None:
        require_absent("without --data", "no dates are read", **{"date-format": date_format})
    trusted = words_of(trust)
    made_by = saved_forecaster(model, trusted) if model else None
    truth = None
    if data and model and made_by is not None:
        truth = context_of(like_truth(made_by.panel_), model, data, date_format)[0]
    elif data:
        truth = _truth(records, data, date_format)
    _show(verify_records(records, truth, key=key, head=head, model=made_by))


def _truth(records: Path, data: Path, date_format: str | None) -> Any:
    """Return the table in a file, with the columns that the first record names."""
    from tsforecast.records.chain import read_chain
    from tsforecast.tables import is_many

    if is_many(str(data)):
        return str(data)
    chain = read_chain(records)[0]
    every = [one["data"] for one in chain.values() if isinstance(one.get("data"), dict)]
    described: dict[str, Any] = every[0] if every else {}
    time, id = (described.get(name) if isinstance(described.get(name), str) else None for name in ("time", "id"))
    targets = described.get("target") if described.get("form") == "frame" else None
    numbers = {str(name) for name in targets} if isinstance(targets, list) else None
    with lines_of(data):
        frame, _, problems = read_file(data, time, date_format, numbers, {id} - {None})
        raise_any(problems)
    return frame


def _show(found: Verification) -> None:
    """Print what was found; leave with exit code 1 where something is wrong."""
    echo(found.headline)
    for problem in found.problems:
        warn("Problem", note_of(problem))
    for note in found.notes:
        warn("Note", note)
    for sentence in found.sentences:
        echo(sentence)
    if not found.passed:
        raise typer.Exit(1)


def record_key(
    file: Annotated[Path, typer.Argument(help="New file of the private key, PEM, such as desk.pem.")],
) -> None:
    """Make a key that signs records: a private one to keep, and a public one next to it to hand out."""
    from tsforecast.records.chain import make_key

    public = make_key(file)
    echo(f"{file} signs: tsforecast predict MODEL --record forecasts.jsonl --record-key {shlex.quote(str(file))}")
    echo(f"{public} checks: tsforecast verify forecasts.jsonl --key {shlex.quote(str(public))}")
