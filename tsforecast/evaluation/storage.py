"""Storage of results: rows and metadata in Parquet, and merging of results from several runs."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd

from tsforecast.errors import DataError, ParameterError, raise_any, reason, shorten
from tsforecast.evaluation.record import ComparisonRecord
from tsforecast.files import new_file

KEY = b"tsforecast"  # of the metadata of a file
ROWS = "rows.parquet"  # of a folder of results
TARGET = ["series", "target", "cutoff", "step", "time", "y"]  # columns that identify the target of a forecast


def write_rows(path: Path, rows: pd.DataFrame, metadata: dict[str, Any]) -> None:
    """Write rows to Parquet, with metadata as JSON, whole or not at all; OutputError where that cannot be."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pandas(rows, preserve_index=False)
    kept = {**(table.schema.metadata or {}), KEY: json.dumps(metadata).encode()}
    with new_file(path) as unfinished:
        parquet.write_table(table.replace_schema_metadata(kept), unfinished, compression="zstd")


def read_rows(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the rows and metadata of a Parquet file; no metadata where another program wrote it."""
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


class Results:
    """Rows of several models with the record behind them: written, read and merged."""

    rows: pd.DataFrame
    notes: tuple[str, ...]
    record: Any

    _record_type: ClassVar[type[ComparisonRecord]]
    _columns: ClassVar[tuple[str, ...]]  # that rows must have
    _compared: ClassVar[tuple[str, str]]  # columns of the truth and of the prediction
    _shared: ClassVar[tuple[str, ...]]  # fields of the record that merged results share, beside the data
    _kept: ClassVar[tuple[str, ...]] = ()  # attributes stored beside notes and record, the same in merged results
    # Words of messages: the comparison, its stored results, its predictions and the function that makes it.
    _words: ClassVar[tuple[str, str, str, str]]

    def to_parquet(self, path: str | Path) -> None:
        """Write rows, and the record as metadata, to one file.

        Raises
        ------
        OutputError
        """
        metadata = {name: getattr(self, name) for name in (*self._kept, "notes")}
        write_rows(Path(path), self.rows, metadata | {"record": self.record.plain() if self.record else None})

    @classmethod
    def _read(cls, paths: Sequence[str | Path]) -> list[Self]:
        """Read files, or folders with a ``rows.parquet``, as they are; DataError where one has rows of another kind."""
        if not paths:
            raise ParameterError("at least one file must be given: got none")
        parts = []
        for path in map(Path, paths):
            rows, stored = read_rows(path / ROWS if path.is_dir() else path)
            missing = sorted({"model", *cls._columns} - set(rows))
            if missing:
                kind, source, *_ = cls._words
                raise DataError(
                    f"{str(path)!r} must hold rows of a {kind}: columns {', '.join(map(repr, missing))} are missing; "
                    f"give the rows.parquet of a {source}"
                )
            values: dict[str, Any] = {name: stored.get(name, getattr(cls, name, None)) for name in cls._kept}
            record = cls._record_type.from_plain(stored["record"]) if stored.get("record") else None
            parts.append(cls(rows=rows, notes=tuple(stored.get("notes", ())), record=record, **values))  # type: ignore[call-arg]
        return parts

    @property
    def failures(self) -> dict[str, str]:
        """Error of each model without predictions, by name."""
        fits = self.record.fits if self.record else ()
        return {fit.model: fit.error for fit in reversed(fits) if fit.error}

    def _facts(self, other: Results) -> dict[str, tuple[Any, Any]]:
        """Return the values in both results of everything that their records must share, by its name."""
        one, two = self.record, other.record
        if one is None or two is None:
            return {}
        ours, theirs = (f"{each.data} ({_short(each.fingerprint)})" for each in (one, two))
        facts = {"data": (ours, theirs)} if one.fingerprint != two.fingerprint else {}
        return facts | {name: (getattr(one, name), getattr(two, name)) for name in self._shared}

    def _clashes(self, other: Results) -> list[str]:
        """Return a sentence for each model in both results whose predictions differ."""
        *_, predictions, function = self._words
        problems = []
        for name in sorted(set(self.rows["model"].astype(str)) & set(other.rows["model"].astype(str))):
            mine, theirs = (
                each.rows.loc[each.rows["model"] == name, list(self._compared)].reset_index(drop=True)
                for each in (self, other)
            )
            if not mine.equals(theirs):
                problems.append(
                    f"model {name!r} is on both boards with different {predictions}: give one of them another name "
                    f"when it is compared, as in {function}({{'{name}-2': ...}}, ...)"
                )
        return problems


def join(parts: Sequence[Results], chosen: Collection[str] = ()) -> tuple[pd.DataFrame, tuple[str, ...], Any]:
    """Return rows, notes and record of several results; a model in several of them is taken from the first.

    Where it failed in one and not in another, or has distributions there alone, it is taken from the other. DataError
    with every difference between the first results and others; attributes that are `chosen` by the caller may differ.
    """
    first = parts[0]
    for other in parts[1:]:
        kept = [name for name in first._kept if name not in chosen]
        facts = first._facts(other) | {name: (getattr(first, name), getattr(other, name)) for name in kept}
        raise_any(_unequal(facts) or first._clashes(other))
    records = [part.record for part in parts]
    source: dict[str, int] = {}
    for number, part in enumerate(parts):
        for name in part.rows["model"].astype(str).unique():
            if name not in source or (_scored(part, name) and not _scored(parts[source[name]], name)):
                source[name] = number
    rows, fits, failed = [], [], set[str]()
    for number, part in enumerate(parts):
        names = {name for name, owner in source.items() if owner == number}
        rows.append(part.rows[part.rows["model"].astype(str).isin(names)])
        if part.record:
            names |= {fit.model for fit in part.record.fits if fit.error} - failed - source.keys()
            fits += [fit for fit in part.record.fits if fit.model in names]
            failed |= names
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    joined = pd.concat(rows, ignore_index=True)
    if any(record is None for record in records):
        return joined, notes, None
    return joined, (*notes, *_origins(records)), replace(records[0], fits=tuple(fits))


def _scored(part: Results, name: str) -> bool:
    """Return whether results have scores of the distributions of a model."""
    scores = part.rows.loc[part.rows["model"].astype(str) == name, "crps"] if "crps" in part.rows else pd.Series()
    return bool(scores.notna().any())


def _unequal(facts: Mapping[str, tuple[Any, Any]]) -> list[str]:
    return [
        f"boards must have the same {word} to be merged: {_short(ours)} and {_short(theirs)}"
        + (f"; choose one, as in {word}={ours!r}" if word in ("metric", "reference") else "")
        for word, (ours, theirs) in facts.items()
        if ours != theirs
    ]


def _short(value: object) -> object:
    """Return the beginning of a checksum; any other value as it is."""
    return f"sha256 {str(value)[:12]}" if re.fullmatch("[0-9a-f]{64}", str(value)) else value


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
                f"models must be tested on the same targets to be on one board: {_first_difference(other, mine)} "
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
