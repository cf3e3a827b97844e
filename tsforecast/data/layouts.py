"""From files to a panel: one small reader for each way in which the catalogue's files are laid out.

A layout returns columns by the names that the card gives them, one row per series and step. What is the
same for all of them (numbers, time stamps, roles, mending) is done once, in `read_panel`.
"""

from __future__ import annotations

import importlib
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tsforecast.data.panel import Panel
from tsforecast.errors import DataError

if TYPE_CHECKING:
    from tsforecast.data.catalog import Card

# recording U01/07/13 of the gestures: user 01, gesture 07, the 13th time
_RECORDING = re.compile(r"((U\d+)/(\d+)/\d+)\.txt$")


def read_panel(card: Card, paths: Sequence[Path]) -> Panel:
    """Read the files of a dataset as its card says.

    Parameters
    ----------
    card : Card
    paths : sequence of Path
        One for each of ``card.files``, in that order.

    Raises
    ------
    DataError
        When a file does not hold what the card says.
    """
    roles, reading = card.roles, card.reading
    facts = (*roles.static, *([roles.group] if roles.group else []))
    names = [name for name in (roles.time, roles.id) if name]
    try:
        frame = LAYOUTS[reading.layout](card, paths)
        # The stamp first: its columns are still as they were written.
        if roles.time:
            frame = frame.with_columns(_stamps(card, frame))
        varying = [_numbers(frame[name]) for name in (*roles.target, *roles.past, *roles.future)]
        frame = frame.with_columns(varying).select(*names, *[column.name for column in varying], *facts)
    except (pl.exceptions.PolarsError, zipfile.BadZipFile, ValueError) as error:
        where = ", ".join(str(path) for path in paths) or "statsmodels"
        reason = str(error).strip().split("\n")[0]
        raise DataError(
            f"the files of dataset {card.name!r} must be as its card says ({where}): {reason}; get them anew"
        ) from error
    return Panel.from_frame(
        frame,
        time=roles.time,
        id=roles.id,
        target=roles.target,
        past=roles.past,
        future=roles.future,
        static=roles.static,
        group=roles.group,
        frequency=card.frequency if roles.time else None,
        season_length=card.season_length,
        nan_policy=reading.nan_policy,
        fill_gaps=reading.fill_gaps,
        sort=reading.sort,
        duplicates=reading.duplicates,
    )


def _long(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """One row per step; several targets side by side."""
    return _table(card, paths)


def _wide(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """One row per step, one column per series."""
    return _table(card, paths).unpivot(
        index=card.roles.time, variable_name=card.roles.id, value_name=card.roles.target[0]
    )


def _months(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """One row per year, then one column per month."""
    frame = _table(card, paths)
    year, months = frame.columns[0], frame.columns[1:]
    frame = frame.rename({name: str(month) for month, name in enumerate(months, start=1)})
    frame = frame.unpivot(index=year, variable_name="month", value_name=card.roles.target[0])
    return frame.sort(year, pl.col("month").cast(pl.Int64))


def _m4(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """One row per series, padded with empty cells; the second file goes on where the first ends."""
    parts = [_csv(card, path) for path in paths]
    names = {"variable_name": "step", "value_name": card.roles.target[0]}
    steps = [part.rename({part.columns[0]: str(card.roles.id)}).unpivot(index=card.roles.id, **names) for part in parts]
    return pl.concat(steps).drop_nulls()


def _gestures(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """A zip of recordings, one text file each: three clocks, then x, y, z."""
    ids, users, labels, blocks = [], [], [], []
    with zipfile.ZipFile(paths[0]) as archive:
        for name in sorted(archive.namelist()):
            found = _RECORDING.search(name)
            if found:
                numbers = np.array(archive.read(name).split(), dtype=np.float64)
                blocks.append(numbers.reshape(-1, 6)[:, 3:])  # (T, 3)
                ids.append(found[1])
                users.append(found[2])
                labels.append(found[3])
    return _stack(card, blocks, {"recording": ids, "user": users, "gesture": labels})


def _ts(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """Labelled sequences, one a line: channels apart by colons, numbers by commas, the label last."""
    ids, labels, origins, blocks = [], [], [], []
    for path in paths:
        part = path.stem.rsplit("_", 1)[-1].lower()
        body = path.read_text(encoding="utf-8").split("@data", 1)[-1]
        for number, line in enumerate(filter(None, map(str.strip, body.splitlines())), start=1):
            *channels, label = line.split(":")
            numbers = [[np.nan if cell == "?" else float(cell) for cell in one.split(",")] for one in channels]
            blocks.append(np.array(numbers).T)  # (T, C)
            ids.append(f"{part}/{number:03d}")
            labels.append(label)
            origins.append(part)
    return _stack(card, blocks, {"sequence": ids, "label": labels, "part": origins})


LAYOUTS: dict[str, Callable[[Card, Sequence[Path]], pl.DataFrame]] = {
    "long": _long,
    "wide": _wide,
    "months": _months,
    "m4": _m4,
    "gestures": _gestures,
    "ts": _ts,
}


def _table(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """Return the one table that the card speaks of, with its names for the columns."""
    if card.reading.statsmodels is None:
        return _csv(card, paths[0])
    data = importlib.import_module(f"statsmodels.datasets.{card.reading.statsmodels}").load_pandas().data
    dated = data.index.dtype.kind == "M"
    frame = pl.from_pandas(data.reset_index() if dated else data)
    if not dated:  # the first column is a year, written as a float
        frame = frame.with_columns(pl.col(frame.columns[0]).cast(pl.Int64))
    return _named(card, frame)


def _csv(card: Card, path: Path) -> pl.DataFrame:
    # All as text: a guess by polars from the first rows would be wrong further down.
    frame = pl.read_csv(
        path, separator=card.reading.separator, has_header=card.reading.header, infer_schema=False
    ).with_columns(pl.all().str.strip_chars())
    return _named(card, frame)


def _named(card: Card, frame: pl.DataFrame) -> pl.DataFrame:
    if not card.reading.columns:
        return frame
    return frame.rename(dict(zip(frame.columns, card.reading.columns, strict=True)))


def _stack(card: Card, blocks: list[np.ndarray], facts: dict[str, list[str]]) -> pl.DataFrame:
    """Put sequences of shape (T, C) below each other, each row with the facts of its sequence."""
    values = np.concatenate(blocks)  # (rows, C)
    lengths = np.array([len(block) for block in blocks])
    columns = [pl.Series(name, fact).gather(np.repeat(np.arange(len(fact)), lengths)) for name, fact in facts.items()]
    numbers = zip(card.roles.target, values.T, strict=True)
    return pl.DataFrame([*columns, *[pl.Series(name, np.ascontiguousarray(column)) for name, column in numbers]])


def _numbers(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        column = column.replace({"": None})
    return column.cast(pl.Float64)


def _stamps(card: Card, frame: pl.DataFrame) -> pl.Series | pl.Expr:
    """Return the time column, put together and parsed unless it holds dates already."""
    time, stamp = str(card.roles.time), card.reading.stamp
    if stamp is None and frame[time].dtype.is_temporal():
        return frame[time]
    template = stamp or f"{{{time}}}"
    parts = [pl.col(name) for name in re.findall(r"\{([^}]+)\}", template)]
    text = pl.format(re.sub(r"\{[^}]+\}", "{}", template), *parts)
    return text.str.to_datetime(card.reading.time_format).alias(time)
