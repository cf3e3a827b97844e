"""Rows to and from Parquet, with what is told beside them in the file's own metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from tsforecast.errors import DataError, reason
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
