"""Tables and numbers of a page: a grid of text cells, and data as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
import pandas as pd

MAX_ROWS = 200  # of a table that grows with the data; the rest is counted
MISSING = "-"


@dataclass(frozen=True)
class Grid:
    """A table of text whose first column names its rows."""

    label: str  # title of the table, also for screen readers
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[str, ...] = ()  # columns after the first that hold words; the others hold numbers
    marked: str = ""  # name of the row that the others are compared with
    more: int = 0  # number of rows beyond those listed

    @classmethod
    def of(
        cls,
        label: str,
        columns: Iterable[object],
        rows: Iterable[Sequence[object]],
        *,
        words: Sequence[str] = (),
        marked: str = "",
        limit: int = MAX_ROWS,
        drop_empty: bool = False,
    ) -> Grid:
        """Build a grid from rows of any values; those beyond the limit are counted.

        With `drop_empty`, columns in which every listed cell is missing are left out.
        """
        lines, titles = list(rows), tuple(map(str, columns))
        cells = [tuple(map(str, line)) for line in lines[:limit]]
        kept = [i for i in range(len(titles)) if not drop_empty or any(line[i] != MISSING for line in cells)]
        return cls(
            label,
            tuple(titles[i] for i in kept),
            tuple(tuple(line[i] for i in kept) for line in cells),
            tuple(words),
            marked,
            max(0, len(lines) - limit),
        )

    @classmethod
    def of_frame(cls, label: str, frame: pd.DataFrame, **options: Any) -> Grid:
        """Build a grid from a frame whose first column names its rows; see `Grid.of`."""
        return cls.of(label, frame.columns, list(frame.itertuples(index=False)), **options)


def cell(value: object, digits: str) -> str:
    """Return a value as text, or a dash where there is none."""
    return MISSING if pd.isna(value) else digits.format(value)


def as_text(table: pd.DataFrame, display: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Return columns of a table as text: `display` has the title and the format of each, by name."""
    return pd.DataFrame(
        {title: [cell(value, digits) for value in table[name]] for name, (title, digits) in display.items()}
    )


def markdown(table: pd.DataFrame) -> str:
    """Return a table of text as Markdown, with the first column on the left."""
    aligned = ["left"] + ["right"] * (len(table.columns) - 1)
    table = table.astype(str).map(_cell_of_markdown).rename(columns=_cell_of_markdown)
    return str(table.to_markdown(index=False, disable_numparse=True, colalign=aligned))


def _cell_of_markdown(text: object) -> str:
    """Return the text of a cell on one line; a bar would end the cell."""
    return " ".join(str(text).splitlines()).replace("|", "\\|")


def json_text(value: Any) -> str:
    """Return a value as indented JSON: text for keys and time stamps, null for NaN and infinities."""
    return json.dumps(to_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def to_plain(value: Any) -> Any:
    """Return a value as JSON can hold it; see `json_text`."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, pd.Series):
        value = value.to_dict()
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
