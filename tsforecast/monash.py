"""Monash archive: a `.tsf` file, one series a line behind a header, as a long table with the roles of its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import DataError, Problem, counted, nearest, raise_any, reason, shorten

SUFFIX = ".tsf"
TYPES = ("string", "numeric", "date")
TAGS = ("relation", "attribute", "frequency", "horizon", "missing", "equallength", "data")
START = "start_timestamp"
STAMP = r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2})[-:](\d{1,2})[-:](\d{1,2}))?"
# Name of a frequency -> alias of pandas; names with a number, such as 10_minutes, are read by `_UNITS`.
FREQUENCIES = {"secondly": "s", "minutely": "min", "half_hourly": "30min", "hourly": "h", "daily": "D", "weekly": "W"}
FREQUENCIES |= {"monthly": "MS", "quarterly": "QS", "yearly": "YS"}
_UNITS = {"second": "s", "minute": "min", "hour": "h", "day": "D", "week": "W"}
_NANOSECONDS = {"s": 10**9, "min": 60 * 10**9, "h": 3_600 * 10**9, "D": 86_400 * 10**9, "W": 7 * 86_400 * 10**9}
_MONTHS = {"MS": 1, "QS": 3, "YS": 12}
LAST_DAY = 28  # of a month that every month has


@dataclass(frozen=True)
class Attribute:
    """A fact of each series, before its numbers."""

    name: str
    type: str  # one of `TYPES`


@dataclass(frozen=True, eq=False)
class MonashFile:
    """Series of a `.tsf` file."""

    relation: str
    attributes: tuple[Attribute, ...]
    frequency: str | None  # alias of pandas; None where the file has none
    horizon: int | None
    facts: tuple[tuple[str, ...], ...]  # of each series, in the order of the attributes
    numbers: tuple[NDArray[np.float64], ...]  # of each series, NaN where one is missing
    starts: NDArray[np.datetime64] | None  # stamp of each first number, in nanoseconds; None without dates
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> Attribute | None:
        """The attribute that names the series: the first one of text, or else the first that is no date."""
        known = [each for each in self.attributes if each.type != "date"]
        return next((each for each in known if each.type == "string"), known[0] if known else None)

    def names(self) -> list[str]:
        """Return the name of each series; T1, T2, ... without an attribute."""
        if self.id is None:
            return [f"T{number}" for number in range(1, len(self.numbers) + 1)]
        at = self.attributes.index(self.id)
        return [facts[at] for facts in self.facts]

    def table(self) -> tuple[Any, dict[str, Any]]:
        """Return a polars frame with a row for each number, and the parameters of `Panel.from_frame` that read it.

        Attributes are static columns, but for text that differs in every series. Missing numbers are masked.
        """
        import polars as pl

        lengths = np.array([len(each) for each in self.numbers])
        values, taken = np.concatenate(self.numbers), [each.name for each in self.attributes]
        id, time, target = self.id.name if self.id else "series_name", _free("timestamp", taken), _free("value", taken)
        columns = {id: pl.Series(self.names(), dtype=pl.String).gather(np.repeat(np.arange(len(lengths)), lengths))}
        roles: dict[str, Any] = {"id": id, "target": target}
        if self.starts is not None:
            columns[time] = pl.Series(time, _stamps(self.starts, lengths, str(self.frequency)))
            roles |= {"time": time, "frequency": self.frequency}
        else:
            roles["time"] = False
        statics = [
            each
            for at, each in enumerate(self.attributes)
            if each is not self.id
            and not (each.type == "date" and self.starts is not None and each.name == _start(self.attributes))
            and (each.type == "numeric" or len({facts[at] for facts in self.facts}) < max(2, len(self.facts)))
        ]
        for each in statics:
            at = self.attributes.index(each)
            texts = pl.Series([facts[at] for facts in self.facts], dtype=pl.String)
            column = texts.replace("?", None).cast(pl.Float64) if each.type == "numeric" else texts
            columns[each.name] = column.gather(np.repeat(np.arange(len(lengths)), lengths))
        roles |= {"static": [each.name for each in statics]} if statics else {}
        if np.isnan(values).any():
            roles["nan_policy"] = "mask"
        return pl.DataFrame(columns | {target: pl.Series(values)}), roles


def read_monash(path: Path) -> MonashFile:
    """Read a `.tsf` file [Godahewa et al. 2021, arXiv 2105.06643]; DataError lists every problem with its line.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> text = "@relation shop\\n@attribute series_name string\\n@frequency daily\\n@data\\na:1,2,?\\nb:4,5\\n"
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "shop.tsf"
    ...     _ = path.write_text(text)
    ...     found = read_monash(path)
    >>> found.names(), found.frequency, [len(each) for each in found.numbers]
    (['a', 'b'], 'D', [3, 2])
    """
    lines = _lines(path)
    problems, held = list[Problem](), dict[str, str]()
    attributes, started = list[Attribute](), False
    for number, line in lines:
        if not line.startswith("@"):
            problems += [_problem(number, "a line before @data must begin with @ or #", f"got {_brief(line)!r}")]
            continue
        tag, _, rest = line[1:].partition(" ")
        tag, rest = tag.lower(), rest.strip()
        if tag == "data":
            started = True
            break
        if tag == "attribute":
            problems += _add_attribute(attributes, number, rest)
        elif tag not in TAGS:
            problems += [_problem(number, "a line of the header must be one of the format", f"@{tag}; {_near(tag)}")]
        elif tag in held:
            problems += [_problem(number, f"@{tag} must occur once", "it is there again")]
        else:
            held[tag] = rest
            problems += _header_problems(number, tag, rest)
    if not started:
        held_ = "it has none" if attributes or held else "it has no header at all"
        problems += [Problem(f"file {str(path)!r} must have a line @data before its series", held_)]
    raise_any(problems)
    return _read_series(path, lines, tuple(attributes), held)


def stated_horizon(path: Path) -> int | None:
    """Return the horizon in the header of a `.tsf` file that can be read, None where there is none."""
    for _, line in _lines(path):
        tag, _, rest = line[1:].partition(" ")
        if tag.lower() in ("horizon", "data"):
            return int(rest) if rest else None
    return None


def _read_series(
    path: Path, lines: Iterator[tuple[int, str]], attributes: tuple[Attribute, ...], held: dict[str, str]
) -> MonashFile:
    """Return the series after the header; DataError with every problem."""
    problems, facts, numbers, places = list[Problem](), list[tuple[str, ...]](), list[NDArray[np.float64]](), []
    alias = _alias(held["frequency"]) if "frequency" in held else None
    start = _start(attributes)
    starts = []
    for number, line in lines:
        *found, text = line.split(":") if len(attributes) else ("", line)
        if attributes and len(found) > len(attributes) and start is not None:
            found = _with_clock(found, [each.name for each in attributes].index(start), len(attributes))
        if attributes and len(found) != len(attributes):
            named = shorten([each.name for each in attributes], 8)
            must = f"a series must have {counted(len(attributes), 'attribute')} ({named}) and its numbers, with colons"
            problems += [_problem(number, must, f"it has {counted(len(found), 'attribute')}")]
            continue
        series, bad = _numbers(number, text)
        problems += bad
        facts.append(tuple(map(str.strip, found)) if attributes else ())
        problems += _attribute_problems(number, attributes, facts[-1])
        if start is not None:
            stamp, bad = _stamp(number, facts[-1][[each.name for each in attributes].index(start)])
            problems += bad
            starts.append(stamp)
        numbers.append(series)
        places.append(number)
    raise_any(problems)
    if not numbers:
        raise DataError(f"file {str(path)!r} must have a series after @data: it has none; add a line for each")
    stamps, notes = None, list[str]()
    if start is not None and alias is None:
        raise DataError(
            f"file {str(path)!r} must name its frequency, since series begin at dates: it has no line @frequency; add "
            f"one of {shorten(list(FREQUENCIES), 12)}"
        )
    if start is not None:
        stamps, notes = _regular(np.array(starts), str(alias))
    horizon = int(held["horizon"]) if held.get("horizon") else None
    relation = held.get("relation") or path.stem
    read = MonashFile(relation, attributes, alias, horizon, tuple(facts), tuple(numbers), stamps, tuple(notes))
    twice = [name for name, count in Counter(read.names()).items() if count > 1]
    raise_any(
        _problem(
            places[[at for at, other in enumerate(read.names()) if other == name][1]],
            "series must have names of their own",
            f"{name!r} is there again",
        )
        for name in twice
    )
    return read


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Return the lines of a file that hold something, with their numbers: comments and blank ones are left out."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"file {str(path)!r} must be a readable .tsf file: {reason(error)}") from error
    if b"\0" in raw[: 1 << 20]:
        raise DataError(f"file {str(path)!r} must be text: it holds bytes that are none; unpack it first")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = ((number, line.strip()) for number, line in enumerate(re.split("\r\n|\r|\n", text), start=1))
    return ((number, line) for number, line in lines if line and not line.startswith("#"))


def _problem(line: int, must: str, got: str, remedy: str = "") -> Problem:
    return Problem(f"line {line}: {must}", got, remedy)


def _brief(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def _near(tag: str) -> str:
    return nearest(f"@{tag}", [f"@{each}" for each in TAGS])


def _free(name: str, taken: list[str]) -> str:
    return name if name not in taken else _free(f"{name}_", taken)


def _start(attributes: tuple[Attribute, ...]) -> str | None:
    """Return the attribute with the stamp of the first number: the one of that name, or the only date."""
    dates = [each.name for each in attributes if each.type == "date"]
    return START if START in dates else dates[0] if len(dates) == 1 else None


def _add_attribute(attributes: list[Attribute], number: int, text: str) -> list[Problem]:
    """Add an attribute to those of the header; return its problems."""
    words = text.split()
    if len(words) != 2 or words[1].lower() not in TYPES:
        must = f"an attribute must have a name and a type ({', '.join(TYPES)})"
        return [_problem(number, must, f"got {_brief(text)!r}")]
    if words[0] in [each.name for each in attributes]:
        return [_problem(number, "attributes must have names of their own", f"{words[0]!r} is there again")]
    attributes.append(Attribute(words[0], words[1].lower()))
    return []


def _header_problems(number: int, tag: str, text: str) -> list[Problem]:
    if tag == "frequency" and _alias(text) is None:
        must = "@frequency must be one of the format, or a number and a unit such as 10_minutes"
        return [_problem(number, must, f"got {text!r}", nearest(text, FREQUENCIES))]
    if tag == "horizon" and not (text.isdecimal() and 0 < int(text) < 10**6):
        return [_problem(number, "@horizon must be a whole number of steps above 0", f"got {text!r}")]
    if tag in ("missing", "equallength") and text.lower() not in ("true", "false"):
        return [_problem(number, f"@{tag} must be true or false", f"got {text!r}")]
    return []


def _alias(text: str) -> str | None:
    """Return a frequency of the format as an alias of pandas; None for others."""
    name = text.lower()
    if name in FREQUENCIES:
        return FREQUENCIES[name]
    match = re.fullmatch(r"([1-9]\d{0,5})_(second|minute|hour|day|week)s?", name)
    return f"{match[1].removeprefix('1') if match[1] == '1' else match[1]}{_UNITS[match[2]]}" if match else None


def _with_clock(found: list[str], at: int, count: int) -> list[str]:
    """Return the attributes of a series whose time of day is written with colons, which separate attributes too."""
    extra = len(found) - count
    return [*found[:at], ":".join(found[at : at + extra + 1]), *found[at + extra + 1 :]]


def _numbers(line: int, text: str) -> tuple[NDArray[np.float64], list[Problem]]:
    """Return the numbers of a series, NaN where one is missing, and its problems."""
    cells = text.split(",")
    try:
        numbers = np.array([np.nan if cell.strip() == "?" else float(cell) for cell in cells])
    except ValueError:
        at, wrong = next((at, cell.strip()) for at, cell in enumerate(cells) if not _is_number(cell))
        if not text.strip():
            return np.zeros(0), [_problem(line, "a series must have a number", "it has none", "remove the line")]
        must = "numbers must have commas between them, and ? where one is missing"
        return np.zeros(0), [_problem(line, must, f"number {at + 1} of {len(cells)} is {_brief(wrong)!r}")]
    if np.isnan(numbers).all():
        return numbers, [_problem(line, "a series must have a number", f"all {len(cells)} are missing", "remove it")]
    if np.isinf(numbers).any():
        at = int(np.isinf(numbers).argmax())
        return numbers, [_problem(line, "numbers must be finite", f"number {at + 1} is {_brief(cells[at].strip())!r}")]
    return numbers, []


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip() == "?"
    return True


def _attribute_problems(line: int, attributes: tuple[Attribute, ...], facts: tuple[str, ...]) -> list[Problem]:
    return [
        _problem(line, f"attribute {each.name!r} must be a number, or ?", f"got {_brief(fact)!r}")
        for each, fact in zip(attributes, facts, strict=True)
        if each.type == "numeric" and not _is_number(fact)
    ]


def _stamp(line: int, text: str) -> tuple[np.datetime64, list[Problem]]:
    """Return a stamp such as 2024-01-31 12-00-00, and its problems."""
    match = re.fullmatch(STAMP, text)
    parts = [int(part or 0) for part in match.groups()] if match else []
    try:
        year, month, day, *clock = parts
        stamp = np.datetime64(f"{year:04}-{month:02}-{day:02}T{clock[0]:02}:{clock[1]:02}:{clock[2]:02}", "s")
        if not 1678 <= year <= 2261:
            must = "series must begin between the years 1678 and 2261"
            return np.datetime64(0, "s"), [_problem(line, must, f"got {text!r}")]
        return stamp, []
    except (ValueError, IndexError):
        must = "a start must be a date such as 2024-01-31 or 2024-01-31 12-00-00"
        return np.datetime64(0, "s"), [_problem(line, must, f"got {_brief(text)!r}")]


def _regular(starts: NDArray[np.datetime64], alias: str) -> tuple[NDArray[np.datetime64], list[str]]:
    """Return starts in nanoseconds, and notes: of months and longer steps none is after the 28th, which all have."""
    found, notes = starts.astype("datetime64[ns]"), list[str]()
    if alias in _MONTHS:
        months = found.astype("datetime64[M]")
        late = (found.astype("datetime64[D]") - months.astype("datetime64[D]")).astype(int) >= LAST_DAY
        if late.any():
            found = np.where(late, months.astype("datetime64[ns]"), found)
            are = "series begins" if late.sum() == 1 else "series begin"
            notes = [f"{int(late.sum())} of {len(late)} {are} after day {LAST_DAY} of a month and got its first day"]
    return found, notes


def _stamps(starts: NDArray[np.datetime64], lengths: NDArray[np.int64], alias: str) -> NDArray[np.datetime64]:
    """Return the stamps of all numbers of series that begin at `starts`."""
    first = np.repeat(starts, lengths)
    step = np.arange(len(first)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if alias in _MONTHS:
        months = first.astype("datetime64[M]")
        rest = first - months.astype("datetime64[ns]")
        return np.asarray((months + _MONTHS[alias] * step).astype("datetime64[ns]") + rest)
    match = re.fullmatch(r"(\d*)(\w+?)", alias)
    unit = int(match[1] or 1) * _NANOSECONDS[match[2]] if match else 0
    return np.asarray(first + (step * unit).astype("timedelta64[ns]"))
