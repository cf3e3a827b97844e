"""The catalogue: a card for each dataset says where it comes from, how it is read and how it is tested.

A card is ``datasets/<name>/card.toml``. Files are looked for in the folder that the environment variable
``TSFORECAST_DATA`` names, then in the cache (``TSFORECAST_CACHE``, or the user's), then at their source.
"""

from __future__ import annotations

import logging
import os
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from tsforecast.data import download, layouts
from tsforecast.data.panel import Panel
from tsforecast.data.repair import Duplicates, NanPolicy
from tsforecast.errors import DataError, DownloadError, UnknownNameError, nearest, raise_any
from tsforecast.files import shipped

logger = logging.getLogger("tsforecast")


@dataclass(frozen=True)
class CardFile:
    """One file of a dataset.

    Parameters
    ----------
    path : str
        Where it lies under ``TSFORECAST_DATA`` and in the cache.
    url : str, optional
        Where it is fetched from; without it there is no automatic download.
    member : str, optional
        The url is a zip archive, and this is the file's name in it.
    sha256 : str, optional
        Checksum of the file (not of an archive around it); none where the source grows.
    """

    path: str
    url: str | None = None
    member: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class CardRoles:
    """Which column is what, as in `Panel.from_frame`; no `time` means an axis that only counts."""

    target: tuple[str, ...]
    time: str | None = None
    id: str | None = None
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    group: str | None = None


@dataclass(frozen=True)
class Reading:
    """How files become columns, and what may be mended on the way.

    Parameters
    ----------
    layout : str
        A name in `tsforecast.data.layouts.LAYOUTS`.
    statsmodels : str, optional
        Read this dataset of statsmodels instead of files.
    separator, header : str, bool
        Of a text file.
    columns : tuple of str
        Names of all columns in order, for a file without names or with awkward ones.
    stamp, time_format : str
        How a time stamp is put together from columns, such as ``"{year}-{month}-01"``, and is read.
    sort, duplicates, fill_gaps, nan_policy
        As in `Panel.from_frame`.
    """

    layout: str
    statsmodels: str | None = None
    separator: str = ","
    header: bool = True
    columns: tuple[str, ...] = ()
    stamp: str | None = None
    time_format: str = "%Y-%m-%d"
    sort: bool = False
    duplicates: Duplicates | None = None
    fill_gaps: bool = False
    nan_policy: NanPolicy | None = None


@dataclass(frozen=True)
class Task:
    """How models are compared on a dataset unless the user says otherwise.

    Parameters
    ----------
    horizon, origins, step : int
        As in `tsforecast.data.splits.RollingOrigin`.
    protocol : str
        The split in words.
    train, validation, test : int, optional
        Rows of each part in every series, where the split is official; `protocol` says where they lie.
    label : str, optional
        The static column to classify by, for labelled sequences.
    """

    horizon: int
    origins: int
    step: int
    protocol: str
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Card:
    """What is known about a dataset before it is read.

    Parameters
    ----------
    name, title, description, licence, citation : str
    sources : tuple of str
        Pages that describe the data.
    frequency : str
        An alias as in `Panel.from_frame`, or ``"index"`` for rows without time stamps.
    season_length : int
        Steps in one season.
    roles : CardRoles
    reading : Reading
    task : Task
    files : tuple of CardFile
        Empty where the data are part of an installed package.
    quirks : tuple of str
        What a user would otherwise stumble over, one sentence each.
    by_hand : str, optional
        Where to get the files that have no automatic download.

    Examples
    --------
    >>> found = card("co2-weekly")
    >>> found.frequency, found.season_length, found.task.horizon
    ('W', 52, 13)
    """

    name: str
    title: str
    description: str
    sources: tuple[str, ...]
    licence: str
    citation: str
    frequency: str
    season_length: int
    roles: CardRoles
    reading: Reading
    task: Task
    files: tuple[CardFile, ...] = ()
    quirks: tuple[str, ...] = ()
    by_hand: str | None = None


def dataset_names() -> list[str]:
    """Return the names of all datasets, sorted.

    Examples
    --------
    >>> "co2-weekly" in dataset_names()
    True
    """
    return sorted(path.parent.name for path in shipped("datasets").glob("*/card.toml"))


def card(name: str) -> Card:
    """Return the card of a dataset.

    Raises
    ------
    UnknownNameError
        When there is no dataset of this name; the message names the nearest one.

    Examples
    --------
    >>> card("co2-weekly").roles.target
    ('co2',)
    """
    names = dataset_names()
    if name not in names:
        raise UnknownNameError(f"dataset {name!r} does not exist; {nearest(name, names)}")
    return parse_card(name, (shipped("datasets") / name / "card.toml").read_text(encoding="utf-8"))


def load_dataset(name: str, progress: download.Progress | None = None) -> Panel:
    """Read a dataset of the catalogue, and download it first when it is not on this machine.

    Parameters
    ----------
    name : str
        One of `dataset_names`.
    progress : callable, optional
        Called with the bytes that have come and the bytes expected (or None) during a download.

    Raises
    ------
    UnknownNameError
        When there is no dataset of this name.
    DownloadError
        When a file is neither here nor can be fetched; the message says where to put it by hand.
    DataError
        When a file is not what its card says. One without a checksum that came by download is then removed from
        the cache: it may be an answer about an outage, and would stand in the way of the file for ever.

    Examples
    --------
    >>> load_dataset("co2-weekly")
    Panel: 1 series x 2284 steps, target 'co2', frequency W, season 52
    """
    known = card(name)
    places = _locate(known, progress)
    try:
        return layouts.read_panel(known, places)
    except DataError as error:
        cache = download.cache_folder()
        for file, place in zip(known.files, places, strict=True):
            if file.url and not file.sha256 and place == cache / file.path:
                place.unlink(missing_ok=True)
                told = f"{place} was removed from the cache: the next attempt fetches {file.url} anew"
                error = DataError([*error.problems, told])
        raise error


def parse_card(name: str, text: str) -> Card:
    """Read a card from its TOML text; every key that is not known or missing is reported."""
    table = tomllib.loads(text)
    problems: list[str] = []

    def part(kind: type[Any], values: dict[str, Any], where: str) -> Any:
        known = {field.name: field for field in fields(kind)}
        unknown = [key for key in values if key not in known]
        required = [key for key, field in known.items() if field.default is MISSING]
        missing = [key for key in required if key not in values]
        problems.extend(f"card {name!r}: key {key!r}{where} is not known; {nearest(key, known)}" for key in unknown)
        problems.extend(f"card {name!r}: key {key!r}{where} is missing; add it" for key in missing)
        if unknown or missing:
            return None
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    for key, kind in (("roles", CardRoles), ("reading", Reading), ("task", Task)):
        if key in table:
            table[key] = part(kind, table[key], f" in [{key}]")
    table["files"] = [part(CardFile, file, " in [[files]]") for file in table.get("files", [])]
    layout = table.get("reading") and table["reading"].layout
    if layout and layout not in layouts.LAYOUTS:
        problems.append(
            f"card {name!r}: layout {layout!r} in [reading] is not known; {nearest(layout, layouts.LAYOUTS)}"
        )
    found: Card = part(Card, {**table, "name": name}, "")
    raise_any(problems, DataError)
    return found


def _locate(known: Card, progress: download.Progress | None) -> list[Path]:
    """Return where the files of a dataset lie on this machine, once they do."""
    data = os.environ.get("TSFORECAST_DATA")
    places = [_place(file, data) for file in known.files]
    lacking = [file for file, place in zip(known.files, places, strict=True) if place is None and file.url is None]
    raise_any(
        [
            f"dataset {known.name!r} has no automatic download. {known.by_hand or ''} "
            f"Put the file at TSFORECAST_DATA/{file.path} (the environment variable TSFORECAST_DATA {_state(data)})."
            for file in lacking
        ],
        DownloadError,
    )
    return [place or _fetch(file, progress, data) for file, place in zip(known.files, places, strict=True)]


def _place(file: CardFile, data: str | None) -> Path | None:
    folders = [*([Path(data)] if data else []), download.cache_folder()]
    return next((folder / file.path for folder in folders if (folder / file.path).is_file()), None)


def _state(data: str | None) -> str:
    """Say what TSFORECAST_DATA is, to a person whose file was not found there."""
    if not data:
        return "is not set"
    return f"is {data!r}, and it is not there" if Path(data).is_dir() else f"is {data!r}, and there is no such folder"


def _fetch(file: CardFile, progress: download.Progress | None, data: str | None) -> Path:
    logger.info("downloading %s", file.url)
    state = f" (it {_state(data)})" if data else ""
    return download.fetch(
        str(file.url),
        download.cache_folder() / file.path,
        file.sha256,
        progress,
        member=file.member,
        remedy=f"put the file at TSFORECAST_DATA/{file.path}, where TSFORECAST_DATA names a folder of yours{state}",
    )
