"""Card: facts of a dataset before it is read: its files, how they are read, the roles of columns, the task."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from tsforecast.data.series import Duplicates, NanPolicy
from tsforecast.errors import DataError, UnknownNameError, nearest, raise_any
from tsforecast.files import shipped

# Ways in which the files of a dataset are laid out; `tsforecast.catalog.loaders` has a reader for each.
LAYOUTS = ("long", "wide", "months", "m4", "gestures", "ts", "uci-har", "hapt", "wisdm", "pamap2")


@dataclass(frozen=True)
class CardFile:
    """One file of a dataset."""

    path: str  # under TSFORECAST_DATA and in the cache
    url: str | None = None  # without it there is no automatic download
    member: str | None = None  # name of the file in the zip archive at `url`
    sha256: str | None = None  # of the file, not of an archive around it; none where the source grows


@dataclass(frozen=True)
class CardRoles:
    """Roles of columns, as in `Panel.from_frame`; no `time` means an axis that only counts."""

    target: tuple[str, ...]
    time: str | None = None
    id: str | None = None
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    group: str | None = None
    categories: tuple[str, ...] = ()  # past or future columns of text, such as a label for each step


@dataclass(frozen=True)
class Reading:
    """Layout of the files, and repairs while they are read, as in `Panel.from_frame`."""

    layout: str  # one of `LAYOUTS`
    statsmodels: str | None = None  # read this dataset of statsmodels instead of files
    separator: str = ","
    header: bool = True
    columns: tuple[str, ...] = ()  # all names in order, for a file without names or with awkward ones
    stamp: str | None = None  # a time stamp, put together from columns, such as "{year}-{month}-01"
    time_format: str = "%Y-%m-%d"
    sort: bool = False
    duplicates: Duplicates | None = None
    fill_gaps: bool = False
    nan_policy: NanPolicy | None = None


@dataclass(frozen=True)
class Task:
    """Default comparison of models on a dataset; horizon, origins and step as in `RollingOrigin`."""

    horizon: int
    origins: int | None  # None, where a file names a horizon alone: as many as the data allow
    step: int | None
    protocol: str  # the split in words
    # Rows of each part in every series, where the split is official; `protocol` explains where they lie.
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    label: str | None = None  # the static column to classify by, for labelled sequences


@dataclass(frozen=True)
class Card:
    """Card of a dataset."""

    name: str
    title: str
    description: str
    sources: tuple[str, ...]  # pages that describe the data
    licence: str
    citation: str
    frequency: str  # an alias as in `Panel.from_frame`, or "index" for rows without time stamps
    season_length: int
    roles: CardRoles
    reading: Reading
    task: Task
    files: tuple[CardFile, ...] = ()  # none where the data are part of an installed package
    quirks: tuple[str, ...] = ()  # pitfalls of the data, one sentence each
    by_hand: str | None = None  # where to get files without an automatic download
    classes: Mapping[str, str] = field(default_factory=dict)  # names of classes by label, where labels are no words


def dataset_names() -> list[str]:
    """Return the names of all datasets, sorted.

    Examples
    --------
    >>> "co2-weekly" in dataset_names()
    True
    """
    return sorted(path.parent.name for path in shipped("datasets").glob("*/card.toml"))


def card(name: str) -> Card:
    """Return the card of a dataset; raise UnknownNameError with the nearest name when there is none."""
    names = dataset_names()
    if name not in names:
        raise UnknownNameError(f"dataset {name!r} does not exist; {nearest(name, names)}")
    return parse_card(name, (shipped("datasets") / name / "card.toml").read_text(encoding="utf-8"))


def parse_card(name: str, text: str) -> Card:
    """Read a card from its TOML text; every key that is not known or missing is reported."""
    table = tomllib.loads(text)
    problems: list[str] = []

    def part(kind: type[Any], values: dict[str, Any], where: str) -> Any:
        known = {one.name: one for one in fields(kind)}
        unknown = [key for key in values if key not in known]
        required = [key for key, one in known.items() if one.default is one.default_factory is MISSING]
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
    if layout and layout not in LAYOUTS:
        problems.append(f"card {name!r}: layout {layout!r} in [reading] is not known; {nearest(layout, LAYOUTS)}")
    names = list(table.get("classes", {}).values())
    if len(set(map(str, names))) < len(names) or not all(isinstance(each, str) for each in names):
        problems.append(f"card {name!r}: [classes] must have another name for each label: got {names}; rename some")
    found: Card = part(Card, {**table, "name": name}, "")
    raise_any(problems, DataError)
    return found
