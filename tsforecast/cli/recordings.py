"""Recordings of the command line as a panel: a table, a folder or zip of files, `.ts`, `.arff`, or a dataset."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsforecast.cli.console import as_polars, warn
from tsforecast.cli.data import archives_of, channels_of, fields_of, fillable, in_order, settings_of, unpacked
from tsforecast.cli.files import lines_of, read_file
from tsforecast.cli.options import DataOptions, RecordingOptions, require_absent
from tsforecast.errors import (
    DataError,
    ModelFileError,
    ParameterError,
    Part,
    Problem,
    Row,
    TsForecastError,
    UnknownNameError,
    counted,
    nearest,
    raise_any,
    reason,
    shorten,
)
from tsforecast.files import write_or_return

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel

TABLES = (".csv", ".csv.gz", ".xlsx", ".parquet")  # a file of one recording in a folder, or a long table of many
ARCHIVES = (".ts", ".arff")
ID, PART, TRAIN, TEST = "recording", "part", "train", "test"
AXIS = ("time", "frequency", "fill_gaps", "sort", "duplicates", "resample", "aggregate", "tolerance")
KEPT = "recordings.json"  # beside a saved classifier: how its recordings were read
MOST_TEXT = 1 << 20  # characters of that file which are read
MOST_MARKS = 20_000  # of recordings, which are kept there


@dataclass(frozen=True)
class Layout:
    """Roles of the columns of recordings, and the place of each file in a folder."""

    reading: DataOptions
    label: str | None = None
    files: str | None = None
    known: bool = True  # whether labels must be there, as for a fit
    output: str | None = None  # "step" where each step has a label, "recording" where none has; by the data if None
    learned: tuple[str, ...] = ()  # marks of the recordings that were fitted
    channels: int | None = None  # of a model that was fitted on arrays, whose columns have no names

    def part(self, columns: Sequence[str]) -> list[str]:
        """Return the label, the group and the part of a given split, as far as they are used or there."""
        named = [self.label, self.reading.group]
        return [name for name in dict.fromkeys([*named, PART]) if name and (name in columns or self._required(name))]

    def _required(self, name: str) -> bool:
        return self.known and name != PART


@dataclass
class _Table:
    """Rows of recordings, with the first row and the name of each file that they are from."""

    frame: Any
    files: list[tuple[int, str]] = field(default_factory=list)
    name: str = "1"  # of the recording, where it is one
    order: Any = None  # of rows that were put in order, the places before

    def place_of(self, row: int) -> Part:
        """Return the line and file of a row, or its place before."""
        row = row if self.order is None else int(self.order[row])
        if not self.files:
            return Row(row)
        first, name = [place for place in self.files if place[0] <= row][-1]
        return f"line {row - first + 2} of {name!r}"


@contextmanager
def _placed(place_of: Callable[[int], Part]) -> Iterator[None]:
    """Name files and lines in errors about rows."""
    try:
        yield
    except TsForecastError as error:
        raise error.map(lambda part: place_of(part.number) if isinstance(part, Row) else part) from error


def read_recordings(data: str, reading: DataOptions, how: RecordingOptions) -> tuple[Panel, str]:
    """Return recordings as a panel, and the name of its column of labels, which is static unless steps have them.

    A split that came with them is the static column `part`.
    """
    from tsforecast.catalog.card import card

    layout = Layout(reading, how.label, how.files, output=how.output)
    if reading.nan == "mask":
        remedy = "--nan forward_fill, or drop_series to leave recordings with NaN out"
        raise ParameterError(f"--nan mask must be left out for recordings: all steps are read; pass {remedy}")
    if how.label and how.label == reading.group:
        raise ParameterError(f"--label must be another column than the group: got {how.label!r} for both")
    if _is_dataset(data):
        task, steps = card(data).task, card(data).roles.categories
        if not (task.label or how.label or steps):
            raise DataError(f"dataset {data!r} must have labels: its card names none; choose another one")
        layout = replace(layout, label=how.label or task.label or steps[0])
    elif Path(data).suffix.lower() in ARCHIVES:
        layout = replace(layout, label=how.label or "label")
    elif how.label is None and not archives_of(Path(data), ARCHIVES):
        raise ParameterError("--label must name the column, or the field of --files, with the class: it is missing")
    panel = _read(data, layout)
    label = layout.label or "label"
    if label == panel.roles.group:
        raise ParameterError(f"--label must be another column than the group of {data!r}, {label!r}")
    named = dict.fromkeys(panel.statics, "recording") | dict.fromkeys(panel.roles.categories, "step")
    if label not in named:
        raise DataError(f"--label must name a column of labels: {nearest(label, named)}")
    if how.output not in (None, named[label]):
        raise DataError(f"--output must be {named[label]}: {data!r} has a label for each {named[label]}, {label!r}")
    if PART in panel.statics and not {*map(str, panel.statics[PART])} <= {TRAIN, TEST}:
        held = shorten([repr(part) for part in sorted({*map(str, panel.statics[PART])})])
        raise DataError(f"column {PART!r} must hold {TRAIN!r} or {TEST!r}: it holds {held}; rename it")
    return panel, label


def read_new(data: str, layout: Layout, id: str | None = None) -> Panel:
    """Return recordings to predict, with their labels where they have them, as those that were fitted.

    The column `id` names them, if they are in a table unlike that of those that were fitted.
    """
    reading = replace(layout.reading, id=id or layout.reading.id)
    return _read(data, replace(layout, reading=reading, known=False))


def _is_dataset(data: str) -> bool:
    from tsforecast.catalog.card import dataset_names

    return not Path(data).suffix and not Path(data).is_dir() and data in dataset_names()


def _read(data: str, layout: Layout) -> Panel:
    """Read recordings by what `data` is."""
    from tsforecast.catalog.card import dataset_names

    path = Path(data)
    if _is_dataset(data):
        return _dataset(data, layout)
    if path.is_dir():
        return _folder(path, layout, data)
    if not (path.exists() or path.suffix):
        raise UnknownNameError(f"{data!r} must be a file, a folder or a dataset: {nearest(data, dataset_names())}")
    if path.suffix.lower() == ".zip":
        with unpacked(path, (*TABLES, *ARCHIVES)) as folder:
            return _folder(folder, layout, data)
    if path.suffix.lower() in ARCHIVES:
        return _archive(path, layout)
    if layout.known:
        require_absent(f"with {path.name}", "it is for a folder or zip of files", files=layout.files)
    elif layout.files is not None and not layout.reading.id:  # one recording, of a model of a folder of such
        return _panel(_joined([(path, path.name, {})], layout), layout, ID)
    with lines_of(path):
        return _panel(_long(path, layout), layout, layout.reading.id)


def _dataset(name: str, layout: Layout) -> Panel:
    """Read a dataset; options may repeat what its card has."""
    from tsforecast.catalog.card import card
    from tsforecast.catalog.loaders import load_dataset

    roles, reading = card(name).roles, layout.reading
    named = {"group": roles.group, "id": roles.id}
    asked = {name: value for name, value in vars(reading).items() if value and value != named.get(name)}
    if asked and layout.known:
        raise ParameterError(f"dataset {name!r} has its own columns and cleaning; leave those options out")
    return load_dataset(name)


def _archive(path: Path, layout: Layout) -> Panel:
    """Read a `.ts` or `.arff` file, whose one label may have any name; a file that is predicted is read alone."""
    from tsforecast.catalog import recordings
    from tsforecast.data.panel import Panel

    if layout.known:
        own = {name: value for name, value in vars(layout.reading).items() if name not in ("nan", "season")}
        refused = {name.replace("_", "-"): value or None for name, value in own.items()}
        require_absent(f"with {path.name}", "the format has numbers and labels alone", files=layout.files, **refused)
    found = recordings.read_recordings(path, both=layout.known)
    if layout.known and not found.labels:
        raise DataError(f"file {str(path)!r} must have labels: it has no @classLabel; add them, or predict them")
    if layout.known and isinstance(found.labels[0], float):
        raise DataError(
            f"file {str(path)!r} must have classes: its @targetlabel is a number; fit a regressor in Python"
        )
    columns = [*filter(None, (layout.reading.target or "").split(","))]
    fits = len(columns) == found.values[0].shape[1]  # those that were fitted, for new recordings
    frame, roles = found.table(columns if fits else ())
    if layout.label and "label" in roles["static"]:
        frame = frame.rename({"label": layout.label})
        roles["static"] = [layout.label if name == "label" else name for name in roles["static"]]
    with fillable(layout.known), _placed(found.place_of):
        return Panel.from_frame(frame, **roles, nan_policy=layout.reading.settings().get("nan_policy"))


def _folder(folder: Path, layout: Layout, name: str) -> Panel:
    """Read a folder of recordings, one file each; or the one dataset of `.ts` or `.arff` files in it."""
    archives = [] if layout.files else archives_of(folder, ARCHIVES)
    if archives:
        names = sorted({re.sub(r"(?i)_(train|test)$", "", path.stem) for path in archives})
        if len(names) > 1:
            held = shorten([repr(name) for name in names])
            raise DataError(f"{name!r} must hold one dataset of {archives[0].suffix} files: it has {held}; name a file")
        return _archive(archives[0], layout if layout.label else replace(layout, label="label"))
    matches = _matching(folder, layout, name)
    return _panel(_joined(matches, layout), layout, ID)


def _matching(folder: Path, layout: Layout, where: str) -> list[tuple[Path, str, dict[str, str]]]:
    """Return the files of recordings with their names below the folder and the fields of their places."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name.lower().endswith(TABLES)]
    names = [path.relative_to(folder).as_posix() for path in paths]
    seen = [
        (path, name) for path, name in zip(paths, names, strict=True) if not re.search(r"(^|/)(\.|__MACOSX/)", name)
    ]
    if not seen:
        held = shorten([repr(path.name) for path in sorted(folder.rglob("*")) if path.is_file()]) or "nothing"
        endings = ", ".join(TABLES)
        raise DataError(f"{where!r} must hold files of recordings ({endings}, .ts or .arff): it has {held}")
    pattern = layout.files or _default_place(layout)
    places = fields_of(pattern, [name for _, name in seen])
    if not layout.files:  # the label of each step, or the group, may be a column of the files
        first = _table_of(seen[0][0], layout)
        if any(place is not None for place in places):
            for name in filter(None, (layout.label, layout.reading.group)):
                pattern = pattern.replace(f"{{{name}}}", "*") if _changes(first, name) else pattern
        else:
            pattern = _default_place(layout, first.columns)
        places = fields_of(pattern, [name for _, name in seen])
    matches = [(*file, place) for file, place in zip(seen, places, strict=True) if place is not None]
    if not matches and not layout.known:  # new recordings may lie in no folders
        return [(path, name, {}) for path, name in seen]
    if not matches:
        held = f"none of {counted(len(seen), 'file')} does, such as {seen[0][1]!r}"
        raise DataError(f"files of {where!r} must lie at {pattern!r}: {held}; describe their places with --files")
    if left := [repr(name) for (_, name), place in zip(seen, places, strict=True) if place is None]:
        were = "was" if len(left) == 1 else "were"
        warn("Note", f"{counted(len(left), 'file')} not at {pattern!r} {were} left out: {shorten(left)}")
    return matches


def _default_place(layout: Layout, columns: Sequence[str] = ()) -> str:
    """Return the place of recordings in a folder for each group, and in it one for each label.

    A group or label that is a column of the files has no folders.
    """
    named = [name for name in (layout.reading.group, layout.label) if name and name not in columns]
    return "".join(f"{{{name}}}/" for name in named) + "*"


def _joined(matches: list[tuple[Path, str, dict[str, str]]], layout: Layout) -> _Table:
    """Return the rows of all files below each other, with names of recordings and fields of places."""
    import polars as pl

    frames, files, rows = list[Any](), list[tuple[int, str]](), 0
    problems, doubled = list[str](), list[tuple[str, str, str]]()
    for path, name, fields in matches:
        frame = _table_of(path, layout)
        lack, more = ([*frames[0].columns], [*frame.columns]) if frames else ([], [])
        wrong = [f"it lacks {column!r}" for column in lack if column not in more and column in _own(frames[0], fields)]
        wrong += [f"it has {column!r} as well" for column in more if column not in lack]
        facts = {ID: re.sub(r"(\.csv)?\.\w+$", "", name)}
        facts |= {column: fields[column] for column in (layout.label, layout.reading.group, PART) if column in fields}
        doubled += [(name, column, fields[column]) for column in fields if layout.known and _changes(frame, column)]
        if wrong:
            must = f"file {name!r} must have the columns of {matches[0][1]!r}"
            problems.append(Problem(must, shorten(wrong), "name those to read with --target"))
            continue
        if not len(frame):
            problems.append(Problem(f"file {name!r} must have a row", "it has none", "remove it"))
            continue
        frames.append(frame.with_columns(pl.lit(value).alias(column) for column, value in facts.items()))
        files.append((rows, name))
        rows += len(frame)
    if doubled:
        name, column, place = doubled[0]
        held = f"its place has {place!r}, and its column changes" + _likewise(len(doubled), len(matches), "file")
        remedy = "write * for it in --files, or rename the column"
        problems.append(Problem(f"file {name!r} must have one {column!r}", held, remedy))
    raise_any(problems)
    return _Table(pl.concat(frames, how="diagonal_relaxed"), files)


def _changes(frame: Any, column: str) -> bool:
    """Return whether a file has a column that changes within it."""
    return column in frame.columns and frame[column].n_unique() > 1


def _likewise(count: int, among: int, thing: str) -> str:
    return f" ({count - 1} more of {counted(among, thing)} likewise)" * (count > 1)


def _own(frame: Any, fields: dict[str, str]) -> list[str]:
    """Return the columns of a file, without those of its place."""
    return [name for name in frame.columns if name != ID and name not in fields]


def _long(path: Path, layout: Layout) -> _Table:
    """Return a table of many recordings, one below the other."""
    return _Table(_table_of(path, layout, clocks=True), name=re.sub(r"(\.csv)?\.\w+$", "", path.name))


def _table_of(path: Path, layout: Layout, clocks: bool = False) -> Any:
    """Return the table in a file as a polars frame; where columns to read are named these alone, and any `clocks`."""
    given = settings_of(layout.reading)
    names = [layout.label, given.get("group"), PART, given.get("id"), *(given.get("id") or "").split(",")]
    time = given.get("time")
    used = [*given.get("target", ()), *given.get("past", ()), *given.get("future", ())]
    numbers = {*used} if given.get("target") else None
    texts = {*names, *given.get("categories", ())} - {None}
    found, _, problems = read_file(path, time, given.get("date_format"), numbers, texts, given.get("decimal"))
    raise_any(problems)
    frame = as_polars(found)
    if numbers is None or layout.label not in frame.columns:  # a misspelt label is guessed from all columns
        return frame
    kept = {*numbers, *names, time, *(time or "").split(",")}
    kept |= {column.name for column in frame if clocks and (column.dtype.is_temporal() or column.dtype.is_numeric())}
    return frame.select(name for name in frame.columns if name in kept)


def _panel(table: _Table, layout: Layout, id: str | None) -> Panel:
    """Return the panel of a table of recordings."""
    import polars as pl

    from tsforecast.data.panel import Panel

    given, frame = settings_of(layout.reading), table.frame
    given = {name: value for name, value in given.items() if name not in ("date_format", "decimal")}
    facts = layout.part(frame.columns)
    if absent := [name for name in facts if name not in frame.columns]:
        free = [name for name in frame.columns if name not in (ID, given.get("id"), *given.get("target", ()))]
        where = f"name a column, or the field of a folder with --files '{{{absent[0]}}}/*'" if table.files else ""
        raise DataError(f"column {absent[0]!r} does not exist; {where or nearest(absent[0], free)}")
    guessed = id is None
    id, frame, parts = _named(frame, id, facts, layout)
    taken = {id, *facts, *parts, *given.get("past", ()), *given.get("future", ()), given.get("time")}
    free = [name for name in frame.columns if name not in taken and frame[name].dtype.is_numeric()]
    unnamed = free if len(free) == layout.channels else []  # whatever they hold, a clock or a fact
    if given.get("time") == "none" or not any(given.get(name) for name in AXIS):
        given["time"] = False
        with _placed(table.place_of):
            frame, table.order = in_order(frame, id, {*taken, *unnamed, *given.get("target", ())})
        if given.get("target"):
            frame = frame.select(column for column in frame if column.name in taken or not column.dtype.is_temporal())
    target = given.get("target") or unnamed or channels_of(frame, id, taken)
    if layout.reading.group not in facts:
        given.pop("group", None)
    if id is None:  # one recording, in the order of its rows
        id = given["id"] = ID
        frame = frame.with_columns(pl.lit(table.name).alias(ID))
    changing = _changing(frame, id, facts)
    if layout.label in facts and _at_steps(layout, changing.get(layout.label), guessed):
        facts.remove(layout.label)
        changing.pop(layout.label, None)
        frame = frame.with_columns(_texts(frame[layout.label]))
        for role in ("past", "categories"):
            given[role] = [*dict.fromkeys([*given.get(role, ()), layout.label])]
    raise_any(_inconstant(changing, layout))
    if layout.label in facts and id in frame.columns:
        frame = frame.with_columns(pl.col(layout.label).drop_nulls().first().over(id))
    given |= {"target": target, "id": id, "static": [name for name in facts if name != layout.reading.group]}
    with fillable(layout.known), _placed(table.place_of):
        return Panel.from_frame(frame, **given)


@dataclass(frozen=True)
class _Changing:
    """Recordings within which a column changes."""

    count: int
    among: int  # recordings
    first: str  # the name of the first, and two values of it

    def __str__(self) -> str:
        return f"{self.count} of {counted(self.among, 'recording')}"


def _changing(frame: Any, id: str, facts: Sequence[str]) -> dict[str, _Changing]:
    """Return in how many recordings a label, group or part changes, for each that does."""
    import polars as pl

    found = {}
    for name in facts if id in frame.columns else ():
        counts = frame.group_by(id, maintain_order=True).agg(pl.col(name).unique(maintain_order=True))
        rows = counts.filter(pl.col(name).list.drop_nulls().list.len() > 1)  # a label beside blanks is one
        if len(rows):
            first, values = rows.row(0)
            held = f"{first!r} has {' and '.join('none' if one is None else repr(str(one)) for one in values[:2])}"
            found[name] = _Changing(len(rows), len(counts), held)
    return found


def _at_steps(layout: Layout, changing: _Changing | None, guessed: bool) -> bool:
    """Return whether each step has a label, as asked for; else with a note, where it changes within most recordings.

    One that changes within few is a mistake of these few, and within recordings whose names are `guessed` of these:
    nothing else is learned because of it.
    """
    if layout.output or not layout.known:
        return layout.output == "step"
    if changing is None or guessed or 2 * changing.count < changing.among:
        return False
    remedy = "if each recording has one, name recordings with --id, or pass --output recording"
    warn("Note", f"{layout.label!r} changes within {changing} and is learned for each step; {remedy}")
    return True


def _inconstant(changing: dict[str, _Changing], layout: Layout) -> Iterator[Problem]:
    """Yield a problem for each label, group or part that changes within a recording."""
    for name, one in changing.items():
        more = _likewise(one.count, one.among, "recording")
        remedy = "name recordings with --id, several columns with commas, such as --id user,number"
        if name == layout.label and layout.known and not layout.output:
            remedy = "correct it there, name recordings with --id, or learn a label for each step with --output step"
        yield Problem(f"column {name!r} must be constant in each recording", one.first + more, remedy)


def _texts(labels: Any) -> Any:
    """Return labels of steps as text, which is empty where there is none."""
    import polars as pl

    if labels.dtype.is_float():
        labels = labels.fill_nan(None)
        labels = labels.cast(pl.Int64) if (labels.drop_nulls() % 1 == 0).all() else labels
    return labels.cast(pl.String).fill_null("")


def _named(frame: Any, id: str | None, facts: list[str], layout: Layout) -> tuple[str | None, Any, list[str]]:
    """Return the column that names recordings, joined where several do, the frame with it, and the columns it is of."""
    import polars as pl

    if id is None:
        texts = [name for name in frame.columns if name not in facts and frame[name].dtype == pl.String]
        if len(texts) != 1 and layout.known:
            held = f"{shorten([*map(repr, texts)])} hold text" if texts else "none holds text"
            must = "a table of recordings must have a column that names them"
            raise DataError(Problem(must, held, "name it with --id, or several with commas, such as --id user,number"))
        return (texts[0] if len(texts) == 1 else None), frame, []
    parts = [name.strip() for name in id.split(",")] if id not in frame.columns else [id]
    if len(parts) > 1 and {*parts} <= {*frame.columns}:
        name = ID if ID not in frame.columns else id
        return name, frame.with_columns(pl.concat_str(parts, separator="/").alias(name)), parts
    return id, frame, []


def keep_layout(model: Path, data: str, layout: Layout) -> None:
    """Keep beside a saved classifier how its recordings were read."""
    place = _default_place(layout, [str(layout.label)] if layout.output == "step" else ())
    folder = Path(data).is_dir() or data.lower().endswith(".zip")
    marks = layout.learned if len(layout.learned) <= MOST_MARKS else ()
    kept = replace(layout, files=layout.files or (place if folder else None), learned=marks)
    write_or_return(json.dumps(asdict(kept)), model / KEPT)


def marks_of(panel: Panel) -> tuple[str, ...]:
    """Return a text for each recording by which it is known again."""
    import numpy as np

    parts = (np.ascontiguousarray(panel.series(i) + 0.0) for i in range(len(panel)))
    return tuple(hashlib.sha256(part.tobytes()).hexdigest()[:16] for part in parts)


def kept_layout(model: Path, columns: Sequence[str] | None) -> Layout:
    """Return how the recordings of a saved classifier were read; its columns alone, where that was not kept."""
    from pydantic import TypeAdapter, ValidationError

    from tsforecast.saving.folder import inside

    if not (model / KEPT).exists():
        return Layout(DataOptions(target=",".join(columns) if columns else None), None, None)
    try:
        with inside(model, KEPT).open(encoding="utf-8") as file:
            return TypeAdapter(Layout).validate_json(file.read(MOST_TEXT))
    except (ValidationError, UnicodeDecodeError, OSError, ValueError) as error:
        why = "it does not" if isinstance(error, (ValidationError, UnicodeDecodeError)) else reason(error)
        raise ModelFileError(
            f"{str(model / KEPT)!r} must hold how recordings were read: {why}; fit the model again"
        ) from None
