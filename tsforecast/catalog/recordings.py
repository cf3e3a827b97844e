"""Labelled recordings in `.ts` and `.arff` files, as the archives of UCR and UEA have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsforecast.errors import DataError, Problem, counted, nearest, raise_any, reason, shorten

Floats = NDArray[np.float64]
SUFFIXES = (".ts", ".arff")
ID, LABEL, PART = "recording", "label", "part"  # columns of the table
TRAIN, TEST = "train", "test"
FLAGS = ("timestamps", "missing", "univariate", "equallength")
COUNTS = ("dimensions", "dimension", "serieslength")
# As the format writes them; their case is not looked at.
TAGS = (
    *("@problemName", "@timeStamps", "@missing", "@univariate", "@dimensions", "@equalLength", "@seriesLength"),
    *("@classLabel", "@targetLabel", "@data"),
)
NUMERIC = ("numeric", "real", "integer")
_CELL = r"'[^'\\]*(?:\\.[^'\\]*)*'|\"[^\"\\]*(?:\\.[^\"\\]*)*\"|[^,]*"  # of a line of `.arff`, with quotes or without


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings of one file, or of the two parts of a dataset."""

    values: tuple[Floats, ...]  # (T, C) each, NaN where a number is missing
    ids: tuple[str, ...]
    labels: tuple[Any, ...]  # a text each, or a number where a number per recording is the target; none if unknown
    parts: tuple[str, ...]  # `TRAIN` or `TEST` each; none of a file alone
    places: tuple[str, ...] = ()  # in words, the line and file of each

    def place_of(self, row: int) -> str:
        """Return the line and file of a row of the table."""
        ends = np.cumsum([len(one) for one in self.values])
        return self.places[int(np.searchsorted(ends, row, side="right"))]

    def table(self, columns: Sequence[str] = ()) -> tuple[Any, dict[str, Any]]:
        """Return a polars frame with a row for each step, and the parameters of `Panel.from_frame` that read it.

        Channels are called c0, c1, ... unless `columns` has their names.
        """
        import polars as pl

        lengths = np.array([len(one) for one in self.values])
        owner = np.repeat(np.arange(len(lengths)), lengths)
        facts = {ID: self.ids, LABEL: self.labels, PART: self.parts}
        facts = {name: values for name, values in facts.items() if values}
        names = list(columns) or [f"c{c}" for c in range(self.values[0].shape[1])]
        numbers = zip(names, np.concatenate(self.values).T, strict=True)
        table = {name: pl.Series(values).gather(owner) for name, values in facts.items()}
        table |= {name: pl.Series(np.ascontiguousarray(column)) for name, column in numbers}
        statics = [name for name in facts if name != ID]
        return pl.DataFrame(table), {"time": False, "id": ID, "target": names, "static": statics}


@dataclass(eq=False)
class _File:
    """What was read of a file so far."""

    path: Path
    values: list[Floats] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, line: int, must: str, got: str, remedy: str = "") -> None:
        """Keep a problem of a line."""
        self.problems.append(Problem(f"{self.path.name}, line {line}: {must}", got, remedy))

    def add(self, line: int, channels: Sequence[str], padded: bool = False) -> bool:
        """Add a recording of one text of numbers for each channel, or keep its problem; return whether it is added.

        Missing numbers at the end of all channels are left out where shorter recordings are `padded`.
        """
        rows = list[Floats]()
        for at, text in enumerate(channels, 1):
            cells = text.split(",")
            try:
                rows.append(np.array([np.nan if cell.strip() in ("?", "NaN") else float(cell) for cell in cells]))
            except ValueError:
                where, cell = next((k, cell.strip()) for k, cell in enumerate(cells, 1) if not _is_number(cell))
                must = "a recording must hold numbers with commas between them, and ? where one is missing"
                self.refuse(line, must, f"number {where} of channel {at} is {_brief(cell)!r}")
                return False
        lengths = [len(row) for row in rows]
        if len(set(lengths)) > 1:
            at = next(k for k, length in enumerate(lengths) if length != lengths[0])
            got = f"channel 1 has {counted(lengths[0], 'step')}, channel {at + 1} has {lengths[at]}"
            self.refuse(
                line, "channels of a recording must have as many steps", got, "it may be cut short: get it again"
            )
            return False
        block = np.array(rows).T  # (T, C)
        held = np.flatnonzero(~np.isnan(block).all(axis=1))
        block = block[: held[-1] + 1] if padded and len(held) else block
        if not len(held):
            self.refuse(line, "a recording must have a number", "all of them are missing", "remove the line")
        elif np.isinf(block).any():
            self.refuse(line, "numbers must be finite", "one is infinite", "write ? where a number is missing")
        elif self.values and block.shape[1] != self.values[0].shape[1]:
            must = f"a recording must have as many channels as that of line {self.lines[0]}, {self.values[0].shape[1]}"
            self.refuse(line, must, f"it has {block.shape[1]}", "it may be cut short: get it again")
        else:
            self.values.append(block)
            self.lines.append(line)
            return True
        return False


def read_recordings(path: Path, both: bool = True) -> Recordings:
    """Read a `.ts` or `.arff` file; of X_TRAIN with X_TEST beside it both parts, unless it is to be read alone.

    Parameters
    ----------
    path : Path
        In the format of the UEA and UCR archives [Bagnall et al. 2018, arXiv 1811.00075]: of one channel or several,
        of equal or unequal length, with classes, a target number (``@targetlabel``) or neither.
    both : bool
        Read the other part of the dataset as well.

    Returns
    -------
    Recordings
        Those of the training part first.

    Raises
    ------
    DataError
        With each line that does not have the form of the format.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "taps.ts"
    ...     _ = path.write_text("@classLabel true one two\\n@data\\n1,2,3:0,0,1:one\\n4,?:1,1:two\\n")
    ...     found = read_recordings(path)
    >>> [one.shape for one in found.values], found.labels
    ([(3, 2), (2, 2)], ('one', 'two'))
    """
    match = re.fullmatch(r"(.+)_(train|test)(\.\w+)", path.name, re.IGNORECASE)
    if not (match and both):
        return read_parts([path], [""])
    beside = {other.name.lower(): other for other in path.parent.iterdir()} if path.parent.is_dir() else {}
    names = {part: f"{match[1]}_{part}{match[3]}".lower() for part in (TRAIN, TEST)}
    if not {*names.values()} <= beside.keys():
        return read_parts([path], [""])
    return read_parts([beside[name] for name in names.values()], list(names))


def read_parts(paths: Sequence[Path], parts: Sequence[str]) -> Recordings:
    """Read one file for each part, whose name begins the names of its recordings; see `read_recordings`."""
    files = [_READERS[path.suffix.lower()](path) for path in paths]
    raise_any(problem for file in files for problem in file.problems)
    channels = {file.values[0].shape[1] for file in files}
    if len(channels) > 1:
        held = " and ".join(f"{file.path.name} has {file.values[0].shape[1]}" for file in files)
        raise DataError(f"the parts of a dataset must have as many channels: {held}; get them again")
    places = [
        (f"{part}/{number:03d}" if part else f"{number:03d}", part)
        for file, part in zip(files, parts, strict=True)
        for number in range(1, len(file.values) + 1)
    ]
    ids, origins = zip(*places, strict=True)
    labels = [label for file in files for label in file.labels]
    values = [one for file in files for one in file.values]
    labelled = tuple(labels) if len(labels) == len(values) else ()
    lines = tuple(f"line {line} of {file.path.name!r}" for file in files for line in file.lines)
    return Recordings(tuple(values), ids, labelled, origins if any(origins) else (), lines)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Return the lines of a file that hold something, with their numbers, but for comments."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"file {str(path)!r} must be a readable {path.suffix} file: {reason(error)}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        held = f"line {line} holds bytes that are not"
        raise DataError(f"file {str(path)!r} must be text in UTF-8: {held}; save it again in UTF-8") from None
    lines = ((number, line.strip()) for number, line in enumerate(re.split("\r\n|\r|\n", text), 1))
    return ((number, line) for number, line in lines if line and line[0] not in "#%")


def _ts(path: Path) -> _File:
    """Read a `.ts` file: channels separated by colons, numbers by commas, the label last."""
    file, lines = _File(path), _lines(path)
    held = _ts_header(file, lines)
    classes = held.get("classlabel", ["false"])
    labelled, target = classes[0] == "true", held.get("targetlabel", ["false"])[0] == "true"
    counts = {name: int(held[name][0]) for name in COUNTS if name in held and held[name][0].isdecimal()}
    expected = counts.get("dimensions", counts.get("dimension", 1 if held.get("univariate") == ["true"] else None))
    steps = counts.get("serieslength") if held.get("equallength") == ["true"] else None
    for number, line in lines:
        *channels, label = line.split(":") if labelled or target else [*line.split(":"), ""]
        label = label.strip()
        if not channels or (expected is not None and len(channels) != expected):
            many = counted(expected or 1, "channel")
            must = f"a recording must have {many}{' and a label' * (labelled or target)}, with colons between them"
            file.refuse(
                number, must, f"it has {counted(line.count(':'), 'colon')}", "it may be cut short: get it again"
            )
        elif labelled and label not in classes[1:] and classes[1:]:
            got = f"got {_brief(label)!r}" if label else "it is empty"
            file.refuse(number, "the label must be one of @classLabel", got, nearest(label, classes[1:]))
        elif target and not _is_number(label):
            file.refuse(number, "the target must be a number", f"got {_brief(label)!r}")
        elif file.add(number, channels):
            file.labels += [float(label) if target else label] if labelled or target else []
            if steps and len(file.values[-1]) != steps:
                must = f"a recording must have the {steps} steps of @seriesLength"
                file.refuse(number, must, f"it has {len(file.values[-1])}", "it may be cut short: get it again")
    return _required(file)


def _ts_header(file: _File, lines: Iterator[tuple[int, str]]) -> dict[str, list[str]]:
    """Return the words after each tag of a header; classes stay as they are written, the rest is lower case."""
    held, begun = dict[str, list[str]](), list[tuple[int, str]]()
    for number, line in lines:
        tag, *words = line.split()
        name = tag.removeprefix("@").lower()
        if name == "data" and tag[0] == "@":
            break
        if tag[0] != "@":
            begun.append((number, line))
        elif tag.lower() not in {"@dimension", *map(str.lower, TAGS)}:
            file.refuse(number, "a line of the header must be one of the format", tag, nearest(tag, TAGS))
        elif name in (*FLAGS, "classlabel", "targetlabel") and [*map(str.lower, words[:1])] not in (
            ["true"],
            ["false"],
        ):
            file.refuse(number, f"{tag} must be true or false", f"got {_brief(' '.join(words[:1]))!r}")
        elif name in COUNTS and not (words and words[0].isdecimal()):
            file.refuse(number, f"{tag} must be a whole number", f"got {_brief(' '.join(words))!r}")
        else:
            held[name] = [*map(str.lower, words[:1]), *words[1:]]
    else:
        begun.clear()  # recordings, it seems
        file.problems.append(
            Problem(f"file {str(file.path)!r} must have a line @data before its recordings", "it has none")
        )
    for number, line in begun:
        file.refuse(number, "a line before @data must begin with @ or #", f"got {_brief(line)!r}")
    if held.get("timestamps") == ["true"]:
        got, remedy = "@timeStamps is true", "write the numbers without their time stamps"
        file.problems.append(Problem(f"{file.path.name} must have steps in their order", got, remedy))
    raise_any(file.problems)
    return held


def _arff(path: Path) -> _File:
    """Read an `.arff` file: a number for each step, or a table of channels in quotes, and the label last."""
    file, lines = _File(path), _lines(path)
    attributes = _attributes(file, lines)
    nominal = [at for at, (_, kind) in enumerate(attributes) if kind.startswith("{") or kind.lower() == "string"]
    nested = [at for at, (_, kind) in enumerate(attributes) if kind.lower() == "relational"]
    classes = [_plain(cell) for cell in attributes[nominal[0]][1].strip("{} ").split(",")] if nominal else []
    for number, line in lines:
        cells = re.findall(f"({_CELL})(?:,|$)", line)[: line.count(",") + 1]
        cells = cells[:-1] if len(cells) == len(attributes) + 1 and not cells[-1] else cells
        if line.startswith("{") or len(cells) != len(attributes):
            got = "it is sparse" if line.startswith("{") else f"it has {len(cells)}"
            must = f"a recording must have the {counted(len(attributes), 'attribute')} of the header, with commas"
            file.refuse(number, must, got, "it may be cut short: get it again")
            continue
        label = _plain(cells[nominal[0]]) if nominal else ""
        channels = re.split(r"\\n|\n", _plain(cells[nested[0]])) if nested else []
        channels = channels or [",".join(cell for at, cell in enumerate(cells) if at not in nominal)]
        if nominal and label not in classes and classes != ["string"]:
            file.refuse(
                number, "the label must be one of the header", f"got {_brief(label)!r}", nearest(label, classes)
            )
        elif file.add(number, [channel for channel in channels if channel.strip()], padded=True) and nominal:
            file.labels.append(label)
    return _required(file)


def _attributes(file: _File, lines: Iterator[tuple[int, str]]) -> list[tuple[str, str]]:
    """Return names and types of the attributes of an `.arff` file, without those within a table of channels."""
    found, inside = list[tuple[str, str]](), False
    for number, line in lines:
        tag, _, rest = line.partition(" ")
        tag = tag.lower()
        if tag.startswith("@data"):
            break
        match = re.fullmatch(r"\s*('[^']*'|\"[^\"]*\"|\S+)\s+(.+)", rest.replace("\t", " "))
        if tag in ("@relation", "@end"):
            inside = inside and tag != "@end"
        elif tag != "@attribute":
            near = nearest(tag, ("@relation", "@attribute", "@end", "@data"))
            file.refuse(number, "a line of the header must be one of the format", f"got {_brief(line)!r}", near)
        elif not match or not (match[2].lower() in (*NUMERIC, "relational", "string") or match[2].startswith("{")):
            types = ", ".join((*NUMERIC, "relational"))
            file.refuse(
                number, f"an attribute must have a name and a type ({types} or classes in braces)", _brief(rest)
            )
        elif not inside:
            found.append((_plain(match[1]), match[2].strip()))
            inside = match[2].lower() == "relational"
    else:
        file.problems.append(
            Problem(f"file {str(file.path)!r} must have a line @data before its recordings", "it has none")
        )
    labels = [name for name, kind in found if kind.startswith("{") or kind.lower() == "string"]
    if len(labels) > 1:
        must = f"{file.path.name} must have one attribute of classes, the label"
        file.problems.append(Problem(must, f"it has {shorten([*map(repr, labels)])}", "remove the others"))
    raise_any(file.problems)
    return found


def _required(file: _File) -> _File:
    """Refuse a file without recordings."""
    if not (file.values or file.problems):
        file.problems.append(
            Problem(f"file {str(file.path)!r} must have a recording after @data", "it has none", "get it again")
        )
    return file


def _plain(cell: str) -> str:
    """Return a cell of `.arff` without its quotes."""
    cell = cell.strip()
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "'\"" else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip() == "?"
    return True


def _brief(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


_READERS: dict[str, Callable[[Path], _File]] = {".ts": _ts, ".arff": _arff}
