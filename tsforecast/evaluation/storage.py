"""Putting results together that were made apart, and refusing to where they do not belong together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsforecast.errors import DataError, raise_any, reason, shorten
from tsforecast.evaluation.record import Record
from tsforecast.files import new_file

KEY = b"tsforecast"


def write_rows(path: Path, rows: pd.DataFrame, told: dict[str, Any]) -> None:
    """Write rows, and what is told beside them as JSON, whole or not at all.

    Raises
    ------
    OutputError
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pandas(rows, preserve_index=False)
    kept = {**(table.schema.metadata or {}), KEY: json.dumps(told).encode()}
    with new_file(path) as unfinished:
        parquet.write_table(table.replace_schema_metadata(kept), unfinished, compression="zstd")


def read_rows(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the rows of a Parquet file and what was told beside them; nothing where that was not kept.

    Raises
    ------
    DataError
        When the file is not there, or is none of Parquet.
    """
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        raise DataError(
            f"{str(path)!r} must be a Parquet file of rows: there is none; give a file, or a folder with one"
        )
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{str(path)!r} must be a Parquet file of rows: {reason(error)}") from error
    told = (table.schema.metadata or {}).get(KEY, b"{}")
    return table.to_pandas(), json.loads(told)


ROWS = "rows.parquet"  # of a folder of results
PLACE = ["series", "target", "cutoff", "step", "time", "y"]  # what a forecast is of
# What all models of a board share -> how a sentence calls it.
SHARED = {
    "fingerprint": "data",
    "horizon": "horizon",
    "gap": "gap",
    "origins": "origins",
    "step": "step",
    "refit": "refit",
    "train_length": "train_length",
    "min_past": "min_past",
    "groups": "groups",
    "season_length": "season_length",
}


@dataclass(frozen=True, eq=False)
class Kept:
    """What a leaderboard is drawn up from; see its attributes."""

    rows: pd.DataFrame
    metric: str | None = None
    reference: str | None = None
    notes: tuple[str, ...] = ()
    record: Record | None = None

    @classmethod
    def read(cls, path: Path) -> Kept:
        """Read a file of rows, or that of a folder.

        Raises
        ------
        DataError
            When there is none, or it holds something else.
        """
        rows, told = read_rows(path / ROWS if path.is_dir() else path)
        missing = sorted({"model", *PLACE, "forecast", "naive_mae", "naive_mse"} - set(rows))
        if missing:
            raise DataError(
                f"{str(path)!r} must hold rows of a backtest: columns {', '.join(map(repr, missing))} are missing; "
                "give the rows.parquet of a leaderboard"
            )
        record = Record.from_plain(told["record"]) if told.get("record") else None
        return cls(rows, told.get("metric"), told.get("reference"), tuple(told.get("notes", ())), record)


def merged(parts: Sequence[Any], metric: str | None = None, reference: str | None = None) -> Kept:
    """Put parts with the attributes of `Kept` together.

    Parameters
    ----------
    parts : sequence
        Leaderboards, or what was kept of them.
    metric, reference : str, optional
        Those of the parts unless given.

    Raises
    ------
    DataError
        With all that differs between the first and another one.
    """
    first = parts[0]
    for other in parts[1:]:
        raise_any(_differences(first, other, metric, reference))
    records = [part.record for part in parts]
    taken: set[str] = set()
    rows, fits = [], []
    for part in parts:
        new = ~part.rows["model"].astype(str).isin(taken)
        names = {*part.rows.loc[new, "model"].astype(str)}
        names |= {fit.model for fit in part.record.fits if fit.error} - taken if part.record else set()
        rows.append(part.rows[new])
        fits += [fit for fit in part.record.fits if fit.model in names] if part.record else []
        taken |= names
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    whole = all(record is not None for record in records)
    record = replace(records[0], fits=tuple(fits)) if whole else None
    return Kept(
        pd.concat(rows, ignore_index=True),
        metric or first.metric,
        reference or first.reference,
        (*notes, *_origins(records)) if whole else tuple(notes),
        record,
    )


def coverage_problems(rows: pd.DataFrame) -> list[str]:
    """Return what differs between the targets that models, with each seed, were tested on."""
    seed = rows["seed"].fillna(-1).astype(int) if "seed" in rows else pd.Series(-1, index=rows.index)
    marks = pd.util.hash_pandas_object(rows[[*PLACE[:4], "y"]], index=False)
    sums = marks.groupby([rows["model"].astype(str), seed], sort=False).agg(["sum", "count", "nunique"])
    first = sums.iloc[0]
    problems = []
    for (model, number), one in sums.iterrows():
        named = repr(model) if number < 0 else f"{model!r} with seed {number}"
        if one["count"] != one["nunique"]:
            problems.append(
                f"{named} must forecast each target once: {int(one['count'] - one['nunique'])} rows are there again"
            )
        elif one["sum"] != first["sum"]:
            mine = rows[(rows["model"] == model) & (seed == number)]
            other = rows[(rows["model"] == sums.index[0][0]) & (seed == sums.index[0][1])]
            problems.append(
                f"models must be tested on the same targets to stand on one board: {_first_difference(other, mine)} "
                f"of {sums.index[0][0]!r} and {named} differ"
            )
    return problems


def _first_difference(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """Name what differs, with numbers."""
    for column, word in {"series": "series", "target": "targets", "step": "horizons", "cutoff": "cutoffs"}.items():
        ours, theirs = (part[column].astype(str).unique() for part in (one, other))
        if set(ours) != set(theirs):
            apart = sorted(set(ours) ^ set(theirs))
            return f"{word} ({len(ours)} and {len(theirs)}; not in both: {shorten(apart)})"
    return f"rows ({len(one)} and {len(other)})" if len(one) != len(other) else "the true values"


def _differences(first: Any, other: Any, metric: str | None, reference: str | None) -> list[str]:
    """Return a sentence for each field in which two parts differ, though they must not."""
    one, two = first.record, other.record
    if one and two:
        pairs = {word: (getattr(one, name), getattr(two, name)) for name, word in SHARED.items()}
        if one.fingerprint != two.fingerprint:
            pairs["data"] = _named(one), _named(two)
    else:
        pairs = {"horizon": (int(first.rows["step"].max()), int(other.rows["step"].max()))}
    pairs |= {} if metric else {"metric": (first.metric, other.metric)}
    pairs |= {} if reference else {"reference": (first.reference, other.reference)}
    problems = [
        f"boards must have the same {word} to be merged: {ours} and {theirs}{_remedy(word, ours)}"
        for word, (ours, theirs) in pairs.items()
        if ours != theirs
    ]
    return problems or _clashes(first.rows, other.rows)


def _named(record: Record) -> str:
    return f"{record.data} (sha256 {record.fingerprint[:12]})"


def _remedy(word: str, ours: Any) -> str:
    return f"; choose one, as in {word}={ours!r}" if word in ("metric", "reference") else ""


def _clashes(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Return which models are in both with different forecasts."""
    problems = []
    for name in sorted(set(one["model"].astype(str)) & set(other["model"].astype(str))):
        parts = [rows[rows["model"] == name] for rows in (one, other)]
        same = len(parts[0]) == len(parts[1]) and all(
            np.array_equal(parts[0][column].to_numpy(), parts[1][column].to_numpy(), equal_nan=True)
            for column in ("y", "forecast")
        )
        if not same:
            problems.append(
                f"model {name!r} is on both boards with different forecasts: give one of them another name when it is "
                f"compared, as in leaderboard({{'{name}-2': ...}}, ...)"
            )
    return problems


def _origins(records: Sequence[Any]) -> list[str]:
    """Say where parts were made by different versions or machines."""
    notes = []
    for name in records[0].versions:
        found = list(dict.fromkeys(record.versions.get(name, "unknown") for record in records))
        notes += [f"the merged boards were made with {name} {' and '.join(found)}"] if len(found) > 1 else []
    if len({record.machine for record in records}) > 1:
        notes.append("the merged boards were made on different machines: their seconds do not compare")
    return notes
