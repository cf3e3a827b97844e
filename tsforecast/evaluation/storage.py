"""Storage of results: rows and metadata in Parquet, and merging of results from several runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from tsforecast.errors import DataError, ParameterError, raise_any, reason, shorten
from tsforecast.evaluation.record import ComparisonRecord, ForecastRecord
from tsforecast.files import new_file

KEY = b"tsforecast"  # of the metadata of a file
ROWS = "rows.parquet"  # of a folder of results
TARGET = ["series", "target", "cutoff", "step", "time", "y"]  # columns that identify the target of a forecast
# Field of the record that merged leaderboards share -> its name in a sentence.
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


def write_rows(path: Path, rows: pd.DataFrame, metadata: dict[str, Any]) -> None:
    """Write rows to Parquet, with metadata as JSON, whole or not at all.

    Raises
    ------
    OutputError
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pandas(rows, preserve_index=False)
    kept = {**(table.schema.metadata or {}), KEY: json.dumps(metadata).encode()}
    with new_file(path) as unfinished:
        parquet.write_table(table.replace_schema_metadata(kept), unfinished, compression="zstd")


def read_rows(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the rows and metadata of a Parquet file; no metadata where another program wrote it.

    Raises
    ------
    DataError
        When there is no such file, or it is not Parquet.
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
    metadata = (table.schema.metadata or {}).get(KEY, b"{}")
    return table.to_pandas(), json.loads(metadata)


def read_results(path: Path, columns: Collection[str], kind: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return rows and metadata of a comparison.

    Parameters
    ----------
    path : path
        A file, or a folder with a ``rows.parquet``.
    columns : collection of str
        Columns that must be there.
    kind : str
        The comparison, for the message of the error.

    Raises
    ------
    DataError
        When there are no rows, or rows of something else.
    """
    rows, metadata = read_rows(path / ROWS if path.is_dir() else path)
    missing = sorted({"model", *columns} - set(rows))
    if missing:
        source = {"backtest": "leaderboard"}.get(kind, kind)
        raise DataError(
            f"{str(path)!r} must hold rows of a {kind}: columns {', '.join(map(repr, missing))} are missing; "
            f"give the rows.parquet of a {source}"
        )
    return rows, metadata


@dataclass(frozen=True, eq=False)
class Kept:
    """Attributes of forecast results as they are stored; see `tsforecast.evaluation.results`."""

    rows: pd.DataFrame
    metric: str | None = None
    reference: str | None = None
    notes: tuple[str, ...] = ()
    record: ForecastRecord | None = None

    @classmethod
    def read(cls, path: Path) -> Kept:
        """Read the rows of a backtest or leaderboard; see `read_results`."""
        rows, stored = read_results(path, (*TARGET, "forecast", "naive_mae", "naive_mse"), "backtest")
        record = ForecastRecord.from_plain(stored["record"]) if stored.get("record") else None
        return cls(rows, stored.get("metric"), stored.get("reference"), tuple(stored.get("notes", ())), record)


class Results(Protocol):
    """The attributes of forecast and classification results that are merged."""

    @property
    def rows(self) -> pd.DataFrame: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def record(self) -> Any: ...


def merged(parts: Sequence[Any], metric: str | None = None, reference: str | None = None) -> Kept:
    """Merge forecast results.

    Parameters
    ----------
    parts : sequence
        With the attributes of `Kept`.
    metric, reference : str, optional
        Those of the parts unless given.

    Raises
    ------
    DataError
        With every difference between the first part and another one.
    """
    first = parts[0]
    for other in parts[1:]:
        if first.record and other.record:
            found = differences(first.record, other.record, SHARED)
        else:
            found = _unequal({"horizon": (int(first.rows["step"].max()), int(other.rows["step"].max()))})
        pairs = {} if metric else {"metric": (first.metric, other.metric)}
        pairs |= {} if reference else {"reference": (first.reference, other.reference)}
        found += _unequal(pairs)
        raise_any(found or model_clashes(first.rows, other.rows, ("y", "forecast"), "leaderboard"))
    rows, notes, record = join_models(parts)
    return Kept(rows, metric or first.metric, reference or first.reference, notes, record)


def require_kind(kind: type, other: object) -> None:
    """Raise ParameterError unless results of a kind are merged with others of that kind."""
    if not isinstance(other, kind):
        raise ParameterError(f"merge needs another {kind.__name__}: got {type(other).__name__}")


def join_models(parts: Sequence[Results]) -> tuple[pd.DataFrame, tuple[str, ...], Any]:
    """Return rows, notes and record of several comparisons; a model in several of them is taken from the first.

    Where it failed in one and not in another, it is taken from the other.
    """
    records = [part.record for part in parts]
    complete = {name for part in parts for name in part.rows["model"].astype(str).unique()}
    taken: set[str] = set()
    rows, fits = [], []
    for part in parts:
        new = ~part.rows["model"].astype(str).isin(taken)
        names = {*part.rows.loc[new, "model"].astype(str)}
        names |= {fit.model for fit in part.record.fits if fit.error} - taken - complete if part.record else set()
        rows.append(part.rows[new])
        fits += [fit for fit in part.record.fits if fit.model in names] if part.record else []
        taken |= names
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    joined = pd.concat(rows, ignore_index=True)
    if any(record is None for record in records):
        return joined, notes, None
    return joined, (*notes, *_origins(records)), replace(records[0], fits=tuple(fits))


def differences(one: ComparisonRecord, two: ComparisonRecord, shared: Mapping[str, str]) -> list[str]:
    """Return a sentence for each field that two comparisons must share to be merged, and do not.

    Parameters
    ----------
    one, two : ComparisonRecord
    shared : dict of str
        Field -> its name in the sentence.
    """
    pairs = {word: (getattr(one, name), getattr(two, name)) for name, word in shared.items()}
    if one.fingerprint != two.fingerprint:
        ours, theirs = (f"{each.data} (sha256 {each.fingerprint[:12]})" for each in (one, two))
        pairs["data"] = ours, theirs
    return _unequal(pairs)


def _unequal(pairs: Mapping[str, tuple[Any, Any]]) -> list[str]:
    return [
        f"boards must have the same {word} to be merged: {ours} and {theirs}"
        + (f"; choose one, as in {word}={ours!r}" if word in ("metric", "reference") else "")
        for word, (ours, theirs) in pairs.items()
        if ours != theirs
    ]


def model_clashes(one: pd.DataFrame, other: pd.DataFrame, columns: Sequence[str], function: str) -> list[str]:
    """Return a sentence for each model in both comparisons whose predictions differ.

    Parameters
    ----------
    one, other : pandas.DataFrame
    columns : sequence of str
        Columns of the truth and of the prediction.
    function : str
        Name of the function that compares, for the remedy.
    """
    word = {"leaderboard": "forecasts"}.get(function, "predictions")
    problems = []
    for name in sorted(set(one["model"].astype(str)) & set(other["model"].astype(str))):
        parts = [rows.loc[rows["model"] == name, list(columns)].reset_index(drop=True) for rows in (one, other)]
        if not parts[0].equals(parts[1]):
            problems.append(
                f"model {name!r} is on both boards with different {word}: give one of them another name when it "
                f"is compared, as in {function}({{'{name}-2': ...}}, ...)"
            )
    return problems


def coverage_problems(rows: pd.DataFrame) -> list[str]:
    """Return a sentence for each model and seed that was tested on other targets than the first one."""
    seed = rows["seed"].fillna(-1).astype(int) if "seed" in rows else pd.Series(-1, index=rows.index)
    marks = pd.util.hash_pandas_object(rows[[*TARGET[:4], "y"]], index=False)
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
    """Return the first difference between the targets of two models, with numbers."""
    for column, word in {"series": "series", "target": "targets", "step": "horizons", "cutoff": "cutoffs"}.items():
        ours, theirs = (part[column].astype(str).unique() for part in (one, other))
        if set(ours) != set(theirs):
            different = sorted(set(ours) ^ set(theirs))
            return f"{word} ({len(ours)} and {len(theirs)}; not in both: {shorten(different)})"
    return f"rows ({len(one)} and {len(other)})" if len(one) != len(other) else "the true values"


def _origins(records: Sequence[ComparisonRecord]) -> list[str]:
    """Return a note where versions or machines differ."""
    notes = []
    for name in records[0].versions:
        found = list(dict.fromkeys(record.versions.get(name, "unknown") for record in records))
        notes += [f"the merged boards were made with {name} {' and '.join(found)}"] if len(found) > 1 else []
    if len({record.machine for record in records}) > 1:
        notes.append("the merged boards were made on different machines: their seconds do not compare")
    return notes
