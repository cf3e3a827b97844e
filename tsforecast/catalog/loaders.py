"""Loaders: from the files of a card to a panel, with one small reader for each layout.

A reader returns columns by the names of the card, one row per series and step. Whatever is the same for all layouts
(numbers, time stamps, roles, cleaning) is done once, in `read_panel`.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import polars as pl
import polars.selectors as cs

from tsforecast.catalog import download
from tsforecast.catalog.card import Card, CardFile, Task, card
from tsforecast.catalog.recordings import ID, read_parts
from tsforecast.checks import one_of
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, DownloadError, ParameterError, raise_any, shorten
from tsforecast.files import cache_folder

logger = logging.getLogger("tsforecast")
DAMAGED = (pl.exceptions.PolarsError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


@overload
def load_dataset(name: str, progress: download.Progress | None = None, as_frame: None = None) -> Panel: ...


@overload
def load_dataset(
    name: str, progress: download.Progress | None = None, *, as_frame: Literal["pandas", "polars"]
) -> Any: ...


def load_dataset(
    name: str, progress: download.Progress | None = None, as_frame: Literal["pandas", "polars"] | None = None
) -> Any:
    """Read a dataset of the catalogue, and download it first when it is not on this machine.

    Parameters
    ----------
    name : str
        One of `dataset_names`.
    progress : callable, optional
        Called with the bytes received and the bytes expected (or None) during a download.
    as_frame : {"pandas", "polars"}, optional
        Return a frame of this library, with a row per series and step, in place of the panel that models read. It has
        the columns of the panel, after cleaning; the season and the task of the card stay with the name alone.

    Returns
    -------
    Panel, or frame of pandas or polars

    Raises
    ------
    UnknownNameError
        When there is no dataset of this name.
    DownloadError
        When a file is neither here nor can be fetched; the message names the folder to put it into by hand.
    DataError
        When a file does not match its card. One without a checksum that was downloaded is then removed from the
        cache: it may be a page about an outage, and would stand for the file for ever.

    Examples
    --------
    >>> load_dataset("co2-weekly")
    Panel: 1 series x 2284 steps, target 'co2', frequency W, season 52
    >>> load_dataset("co2-weekly", as_frame="pandas").head(2)
            week    co2
    0 1958-03-29  316.1
    1 1958-04-05  317.3
    """
    raise_any(one_of("as_frame", as_frame, ("pandas", "polars"), (None,)), ParameterError)
    known = card(name)
    places = _locate(known, progress)
    try:
        panel = read_panel(known, places)
        if as_frame is None:
            return panel
        frame = panel.to_frame()
        return frame.to_pandas() if as_frame == "pandas" else frame
    except DataError as error:
        cache = cache_folder()
        for file, place in zip(known.files, places, strict=True):
            if file.url and not file.sha256 and place == cache / file.path:
                place.unlink(missing_ok=True)
                removed = f"{place} was removed from the cache: the next attempt fetches {file.url} again"
                error = DataError([*error.problems, removed])
        raise error


def load_task(name: str, label: str | None = None) -> tuple[Panel, Task]:
    """Read a dataset with the task of its card; the label of its sequences is left out unless it is named."""
    panel, task = load_dataset(name), card(name).task
    return panel.without(task.label) if task.label and not label else panel, task


def _locate(known: Card, progress: download.Progress | None) -> list[Path]:
    """Return the local paths of the files of a dataset; download those that are missing."""
    data = os.environ.get("TSFORECAST_DATA")
    folders = [*([Path(data)] if data else []), cache_folder()]
    found = {file: [folder / file.path for folder in folders if (folder / file.path).is_file()] for file in known.files}
    raise_any(
        (
            f"dataset {known.name!r} has no automatic download. {known.by_hand or ''} "
            f"Put the file at TSFORECAST_DATA/{file.path} (the environment variable TSFORECAST_DATA {_state(data)})."
            for file, places in found.items()
            if not places and file.url is None
        ),
        DownloadError,
    )
    return [places[0] if places else _fetch(file, progress, data) for file, places in found.items()]


def _state(data: str | None) -> str:
    """Describe the value of TSFORECAST_DATA, for a message about a file that is not there."""
    if not data:
        return "is not set"
    return f"is {data!r}, and it is not there" if Path(data).is_dir() else f"is {data!r}, and there is no such folder"


def _fetch(file: CardFile, progress: download.Progress | None, data: str | None) -> Path:
    logger.info("downloading %s", file.url)
    state = f" (it {_state(data)})" if data else ""
    return download.fetch(
        str(file.url),
        cache_folder() / file.path,
        file.sha256,
        progress,
        member=file.member,
        remedy=f"put the file at TSFORECAST_DATA/{file.path}, where TSFORECAST_DATA names a folder of yours{state}",
    )


# recording U01/07/13 of the gestures: user 01, gesture 07, the 13th time
_RECORDING = re.compile(r"((U\d+)/(\d+)/\d+)\.txt$")


def read_panel(card: Card, paths: Sequence[Path]) -> Panel:
    """Read the files of a dataset, one path for each, as described by its card; raise DataError where they differ."""
    roles, reading = card.roles, card.reading
    names = [name for name in (roles.time, roles.id) if name]
    statics = [name for name in (*roles.static, roles.group) if name and name not in names]
    try:
        frame = _READERS[reading.layout](card, paths)
        # The stamp first: its columns are still as they were written.
        if roles.time:
            frame = frame.with_columns(_stamps(card, frame))
        varying = [*roles.target, *roles.past, *roles.future]
        frame = frame.with_columns((cs.by_name(varying) & cs.string()).replace({"": None}))
        texts = cs.by_name(roles.categories)
        frame = frame.select(*names, (cs.by_name(varying) - texts).cast(pl.Float64), texts, *statics)
    except (*DAMAGED, ValueError, LookupError) as error:
        where = ", ".join(str(path) for path in paths) or "statsmodels"
        reason = shorten(error.problems, 1) if isinstance(error, DataError) else str(error).strip().split("\n")[0]
        raise DataError(
            f"the files of dataset {card.name!r} must be as described on its card ({where}): {reason}; get them again"
        ) from error
    panel = Panel.from_frame(
        frame,
        **vars(roles),
        frequency=card.frequency if roles.time else None,
        season_length=card.season_length,
        nan_policy=reading.nan_policy,
        fill_gaps=reading.fill_gaps,
        sort=reading.sort,
        duplicates=reading.duplicates,
    )
    return replace(panel, source=replace(panel.source, dataset=card.name))


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
    """Labelled sequences in the two parts of a dataset, see `read_parts`."""
    found = read_parts(paths, [path.stem.rsplit("_", 1)[-1].lower() for path in paths])
    table: pl.DataFrame = found.table(card.roles.target)[0]
    return table.rename({ID: str(card.roles.id)})


@contextmanager
def _unpacked(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip, or the only one in it, as UCI packs the archives that were given to it."""
    try:
        with zipfile.ZipFile(path) as outer, tempfile.TemporaryFile() as kept:
            inner = [name for name in outer.namelist() if name.lower().endswith(".zip")]
            if not inner:
                yield outer
                return
            with outer.open(inner[0]) as source:  # which cannot be sought in quickly
                shutil.copyfileobj(source, kept)
            with zipfile.ZipFile(kept) as archive:
                yield archive
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a full disk
            raise
        raise zipfile.BadZipFile("it names a place before its beginning") from error


def _members(archive: zipfile.ZipFile, place: str) -> list[tuple[re.Match[str], str]]:
    """Return matches and names of the files whose path ends as a pattern has it, in order; ValueError if none does."""
    matches = [(re.search(rf"(?:^|/){place}$", name), name) for name in sorted(archive.namelist())]
    found = [(match, name) for match, name in matches if match and "__MACOSX" not in name]
    if not found:
        raise ValueError(f"the archive must have a file {place}: it has none")
    return found


def _numbers(archive: zipfile.ZipFile, place: str, columns: int) -> np.ndarray:
    """Return the numbers of the file at a place, (rows, columns)."""
    name = _members(archive, place)[0][1]
    return np.array(archive.read(name).split(), dtype=np.float64).reshape(-1, columns)


def _names(archive: zipfile.ZipFile, place: str) -> dict[str, str]:
    """Return the names of activities by their numbers, in lower case: ``1 WALKING``."""
    lines = archive.read(_members(archive, place)[0][1]).decode().splitlines()
    return {number: name.lower() for number, name in (line.split() for line in lines if line.strip())}


def _uci_har(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """Windows of 128 steps: for each part a file of activities, one of subjects, and one for each channel."""
    blocks, facts = list[np.ndarray](), {name: list[str]() for name in ("window", "activity", "part", "subject")}
    with _unpacked(paths[0]) as archive:
        names = _names(archive, "activity_labels.txt")
        for part in ("train", "test"):
            channels = [f"{part}/Inertial Signals/{name}_{part}.txt" for name in card.roles.target]
            windows = np.stack([_numbers(archive, place, 128) for place in channels], axis=2)  # (N, 128, C)
            labels = _numbers(archive, f"{part}/y_{part}.txt", 1)[:, 0].astype(int)
            subjects = _numbers(archive, f"{part}/subject_{part}.txt", 1)[:, 0].astype(int)
            blocks += list(windows)
            facts["window"] += [f"{part}/{number:04d}" for number in range(1, len(windows) + 1)]
            facts["activity"] += [names[str(label)] for label in labels]
            facts["part"] += [part] * len(windows)
            facts["subject"] += [f"{subject:02d}" for subject in subjects]
    return _stack(card, blocks, facts)


def _hapt(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """Experiments of whole length: acceleration, rotation, and a table of which rows are which activity."""
    blocks, steps = list[np.ndarray](), list[str | None]()
    facts = {name: list[str]() for name in ("experiment", "part", "subject")}
    with _unpacked(paths[0]) as archive:
        names = _names(archive, "activity_labels.txt")
        spans = _numbers(archive, "RawData/labels.txt", 5).astype(int)
        tested = set(_numbers(archive, "Test/subject_id_test.txt", 1)[:, 0].astype(int))
        for match, name in _members(archive, r"RawData/acc_(exp(\d+)_user(\d+))\.txt"):
            parts = [_numbers(archive, re.escape(name), 3), _numbers(archive, f"RawData/gyro_{match[1]}.txt", 3)]
            blocks.append(np.concatenate([part[: min(map(len, parts))] for part in parts], axis=1))  # (T, 6)
            labels: list[str | None] = [None] * len(blocks[-1])
            for _, _, activity, first, last in spans[spans[:, 0] == int(match[2])].tolist():
                labels[first - 1 : last] = [names[str(activity)]] * len(labels[first - 1 : last])
            steps += labels
            facts["experiment"].append(match[2])
            facts["subject"].append(match[3])
            facts["part"].append("test" if int(match[3]) in tested else "train")
    return _stack(card, blocks, facts).with_columns(pl.Series("activity", steps, dtype=pl.String))


SEGMENT = 200  # steps, ten seconds, as the transformed examples of the source


def _wisdm(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """A file for each subject with rows of subject, activity, time, x, y, z; cut into whole segments."""
    blocks, facts = list[np.ndarray](), {name: list[str]() for name in ("segment", "activity", "subject")}
    with _unpacked(paths[0]) as archive:
        lines = archive.read(_members(archive, "activity_key.txt")[0][1]).decode().splitlines()
        names = {
            code.strip(): name.strip() for name, _, code in (line.partition("=") for line in lines) if code.strip()
        }
        for match, name in _members(archive, r"raw/watch/accel/data_(\d+)_accel_watch\.txt"):
            rows = [
                line.strip().rstrip(";").split(",") for line in archive.read(name).decode().splitlines() if line.strip()
            ]
            codes, numbers = [row[1] for row in rows], np.array([row[3:6] for row in rows], dtype=np.float64)
            ends = [at for at in range(1, len(codes)) if codes[at] != codes[at - 1]]
            cuts = [
                first
                for start, end in pairwise([0, *ends, len(codes)])
                for first in range(start, end - SEGMENT + 1, SEGMENT)
            ]
            for number, first in enumerate(cuts, 1):
                blocks.append(numbers[first : first + SEGMENT])
                facts["segment"].append(f"{match[1]}/{number:03d}")
                facts["activity"].append(names[codes[first]])
                facts["subject"].append(match[1])
    return _stack(card, blocks, facts)


# Of its readme; 0 is what lies between activities.
PAMAP2 = {1: "lying", 2: "sitting", 3: "standing", 4: "walking", 5: "running", 6: "cycling", 7: "nordic walking"}
PAMAP2 |= {9: "watching television", 10: "computer work", 11: "car driving", 12: "ascending stairs"}
PAMAP2 |= {13: "descending stairs", 16: "vacuum cleaning", 17: "ironing", 18: "folding laundry", 19: "house cleaning"}
PAMAP2 |= {20: "playing soccer", 24: "rope jumping"}
UNITS = {"hand": 3, "chest": 20, "ankle": 37}  # first of the 17 columns of each sensor: temperature, and so on
AXES = {f"{kind}_{axis}": at for kind, first in (("acc", 1), ("gyro", 7)) for at, axis in enumerate("xyz", first)}


def _pamap2(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """A file for each subject with 54 columns: time, activity, heart rate, and three sensors."""
    places = {f"{unit}_{axis}": first + at for unit, first in UNITS.items() for axis, at in AXES.items()}
    parts = []
    with _unpacked(paths[0]) as archive:
        for match, name in _members(archive, r"Protocol/subject(\d+)\.dat"):
            with archive.open(name) as file:
                table = pl.read_csv(file.read(), separator=" ", has_header=False, schema_overrides=[pl.Float64] * 54)
            columns = [table.to_series(places[channel]).alias(channel) for channel in card.roles.target]
            labels = table.to_series(1).cast(pl.Int64).replace_strict(PAMAP2, default=None, return_dtype=pl.String)
            whole = pl.DataFrame(columns).select(pl.all_horizontal(pl.all().is_not_nan())).to_series().arg_max() or 0
            part = pl.DataFrame([*columns, labels.alias("activity")])[whole:]  # nothing before it could be filled in
            parts.append(part.with_columns(subject=pl.lit(match[1])))
    return pl.concat(parts)


def _table(card: Card, paths: Sequence[Path]) -> pl.DataFrame:
    """One row per step, several targets side by side, with the column names of the card."""
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


def _stack(card: Card, blocks: list[np.ndarray], statics: dict[str, list[str]]) -> pl.DataFrame:
    """Put sequences of shape (T, C) below each other, each row with the statics of its sequence."""
    values = np.concatenate(blocks)  # (rows, C)
    lengths = np.array([len(block) for block in blocks])
    columns = [pl.Series(name, fact).gather(np.repeat(np.arange(len(fact)), lengths)) for name, fact in statics.items()]
    numbers = zip(card.roles.target, values.T, strict=True)
    return pl.DataFrame([*columns, *[pl.Series(name, np.ascontiguousarray(column)) for name, column in numbers]])


def _stamps(card: Card, frame: pl.DataFrame) -> pl.Series | pl.Expr:
    """Return the time column, put together and parsed unless it holds dates already."""
    time, stamp = str(card.roles.time), card.reading.stamp
    if stamp is None and frame[time].dtype.is_temporal():
        return frame[time]
    template = stamp or f"{{{time}}}"
    parts = [pl.col(name) for name in re.findall(r"\{([^}]+)\}", template)]
    text = pl.format(re.sub(r"\{[^}]+\}", "{}", template), *parts)
    return text.str.to_datetime(card.reading.time_format).alias(time)


_READERS: dict[str, Callable[[Card, Sequence[Path]], pl.DataFrame]] = {
    "long": _table,
    "wide": _wide,
    "months": _months,
    "m4": _m4,
    "gestures": _gestures,
    "ts": _ts,
    "uci-har": _uci_har,
    "hapt": _hapt,
    "wisdm": _wisdm,
    "pamap2": _pamap2,
}
