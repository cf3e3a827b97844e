"""Forecasts in a folder: a Parquet file for each range of series, written by tasks, and resumed where they ended."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tsforecast.data.context import Context, with_future
from tsforecast.data.panel import Panel
from tsforecast.errors import DataWarning, ParameterError, Problem
from tsforecast.executors import run_tasks
from tsforecast.files import OutputError, new_file, require_place
from tsforecast.provenance import versions

MANIFEST = "_forecasts.json"  # readers of a folder of Parquet files leave out names that begin so
SERIES, STEP = "series", "step"  # columns where the data have none of names and times
MOST, BYTES = 10_000, 1 << 25  # series of a file, and of their numbers


class Forecasts(Protocol):
    """A fitted forecaster."""

    @property
    def joint(self) -> bool: ...
    def fingerprint(self) -> str: ...
    def native_forecasts(
        self, panel: Panel, past: Context, steps: int, levels: Mapping[str, float], tidy: bool
    ) -> Any: ...


@dataclass(frozen=True)
class _Order:
    """What all parts share."""

    folder: Path
    model: Forecasts
    panel: Panel
    ahead: Panel | None  # with the rows that hold the future covariates, where they are known
    steps: int
    levels: Mapping[str, float]
    tidy: bool


def write_forecasts(
    folder: str | Path,
    model: Forecasts,
    panel: Panel,
    steps: int,
    future: Any,
    levels: Mapping[str, float],
    tidy: bool,
) -> Path:
    """Write the forecasts after all series of a panel, and return the folder; see `Forecaster.predict`.

    Parts that are there already stay, as long as the folder holds forecasts of the same model, data and options.
    """
    if not isinstance(folder, (str, Path)):
        raise ParameterError(Problem("must be the path of a folder", f"got {folder!r}", parameter="to"))
    place = Path(folder)
    require_place(place, MANIFEST)
    known = panel.roles.future and (future is not None or not panel.roles.given.future)
    order = _Order(place, model, panel, with_future(panel, steps, future) if known else None, steps, levels, tidy)
    per_file = len(panel) if model.joint else int(min(MOST, max(1, BYTES * len(panel) // panel.values.nbytes)))
    same = {
        "model": model.fingerprint(),
        "data": (panel if order.ahead is None else order.ahead).fingerprint(),
        "options": {"steps": steps, "levels": dict(levels), "tidy": tidy},
        "series": len(panel),
        "series_per_file": per_file,
    }
    _begin(place / MANIFEST, same)
    ranges = [(first, min(first + per_file, len(panel))) for first in range(0, len(panel), per_file)]
    left = {i: (i, *each) for i, each in enumerate(ranges) if not _file(place, i).is_file()}
    if levels and left:  # what distributions need is found once, not in each process
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            _frame(order, 0, 1)
    for _, outcome in run_tasks(_write, left, order):
        outcome.result()
    return place


def _file(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.parquet"


def _begin(manifest: Path, same: dict[str, Any]) -> None:
    """Write what the folder holds, or refuse one that holds something else."""
    if not manifest.exists():
        with new_file(manifest) as unfinished:
            unfinished.write_text(json.dumps(same | {"written_by": versions()}, indent=1), encoding="utf-8")
        return
    try:
        held = json.loads(manifest.read_text(encoding="utf-8"))
        other = [name for name, value in same.items() if held[name] != value]
    except (ValueError, KeyError, TypeError):
        other = ["form"]
    if other:
        raise OutputError(
            f"{str(manifest.parent)!r} must be new, or hold forecasts of the same model, data and options: they "
            f"differ in {' and '.join(other)}; name another folder, or remove it"
        )


def _write(task: tuple[int, int, int], order: _Order) -> None:
    """Write the forecasts of a range of series, whole or not at all."""
    from pyarrow import parquet

    number, first, last = task
    with new_file(_file(order.folder, number)) as unfinished:
        parquet.write_table(_table(_frame(order, first, last)), unfinished, compression="zstd")


def _frame(order: _Order, first: int, last: int) -> Any:
    """Return the forecasts of a range of series as rows, in the library of the data."""
    some = np.arange(first, last)
    part = _as_rows(order.panel.select(some))
    if order.ahead is None:  # refused where a model reads what is not known
        later = partial(with_future, part, order.steps) if part.roles.future else None
    else:
        later = partial(_same, order.ahead.select(some))
    return order.model.native_forecasts(part, Context.at_end(part, later), order.steps, order.levels, order.tidy)


def _same(panel: Panel) -> Panel:
    return panel


def _as_rows(panel: Panel) -> Panel:
    """Return a panel whose forecasts are rows; of arrays and wide frames with columns of series and steps."""
    source = panel.source
    if source.form in ("frame", "series"):
        return panel
    rows = replace(source, form="frame", backend="pyarrow", id=SERIES, time=source.time or STEP, names={}, order=[])
    rows = replace(rows, time_in_index=False, index=None, step=None)
    return replace(panel, source=rows, kind="integer" if panel.kind == "none" else panel.kind)


def _table(frame: Any) -> Any:
    """Return rows of any library as a table of Arrow."""
    import narwhals as nw
    import pandas as pd
    import pyarrow as pa

    if hasattr(frame, "to_frame"):  # a Series
        frame = frame.to_frame()
    return pa.Table.from_pandas(frame) if isinstance(frame, pd.DataFrame) else nw.from_native(frame).to_arrow()
