"""Recordings of the command line as a panel: a table, a folder or zip of files, `.ts`, `.arff`, or a dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsforecast.cli.console import as_polars, warn
from tsforecast.cli.data import settings_of
from tsforecast.cli.files import lines_of, read_file
from tsforecast.cli.options import DataOptions, RecordingOptions, require_absent
from tsforecast.cli.zip_archive import holds, unpacked
from tsforecast.errors import (
    DataError,
    ModelFileError,
    ParameterError,
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


@dataclass(frozen=True)
class Layout:
    """Roles of the columns of recordings, and the place of each file in a folder."""

    reading: DataOptions
    label: str | None = None
    files: str | None = None
    known: bool = True  # whether labels must be there, as for a fit

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

    @contextmanager
    def lines(self) -> Iterator[None]:
        """Name files and lines in errors about rows."""
        try:
            yield
        except TsForecastError as error:
            if not self.files:
                raise
            raise error.map(lambda part: self._line(part.number) if isinstance(part, Row) else part) from error

    def _line(self, row: int) -> str:
        first, name = [place for place in self.files if place[0] <= row][-1]
        return f"line {row - first + 2} of {name!r}"


def read_recordings(data: str, reading: DataOptions, how: RecordingOptions) -> tuple[Panel, str]:
    """Return recordings as a panel, and the name of its static column of labels.

    A split that came with them is the static column `part`.
    """
    from tsforecast.catalog.card import card

    layout = Layout(reading, how.label, how.files)
    if how.label and how.label == reading.group:
        raise ParameterError(f"--label must be another column than the group: got {how.label!r} for both")
    if _is_dataset(data):
        task, steps = card(data).task, card(data).roles.categories
        if task.label is None and how.label is None:
            held = f"it has one for each step, column {steps[0]!r}" if steps else "its card names none"
            remedy = "learn them in Python with output='step'" if steps else "choose another one"
            raise DataError(f"dataset {data!r} must have a label for each recording: {held}; {remedy}")
        layout = replace(layout, label=how.label or task.label)
    elif Path(data).suffix.lower() in ARCHIVES:
        layout = replace(layout, label=how.label or "label")
    elif how.label is None and not _archives_of(Path(data)):
        raise ParameterError("--label must name the column, or the field of --files, with the class: it is missing")
    panel = _read(data, layout)
    label = layout.label or "label"
    if label == panel.roles.group:
        raise ParameterError(f"--label must be another column than the group of {data!r}, {label!r}")
    if label not in panel.statics:
        raise DataError(
            f"--label must name a column that is constant in each recording: {nearest(label, panel.statics)}"
        )
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
    return Panel.from_frame(frame, **roles, nan_policy=layout.reading.settings().get("nan_policy"))


def _archives_of(folder: Path) -> list[Path]:
    """Return the `.ts` files in a folder, or else those of `.arff`; a zip is looked at when it is unpacked."""
    if folder.suffix.lower() == ".zip" or not folder.is_dir():
        return [folder] * (folder.suffix.lower() == ".zip" and folder.is_file() and holds(folder, ARCHIVES))
    held = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in ARCHIVES and path.is_file()]
    return [path for path in held if path.suffix.lower() == ".ts"] or held


def _folder(folder: Path, layout: Layout, name: str) -> Panel:
    """Read a folder of recordings, one file each; or the one dataset of `.ts` or `.arff` files in it."""
    archives = [] if layout.files else _archives_of(folder)
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
    pattern = layout.files or _default_place(layout)
    form, fields = _as_regex(pattern)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name.lower().endswith(TABLES)]
    names = [path.relative_to(folder).as_posix() for path in paths]
    seen = [
        (path, name) for path, name in zip(paths, names, strict=True) if not re.search(r"(^|/)(\.|__MACOSX/)", name)
    ]
    if not seen:
        held = shorten([repr(path.name) for path in sorted(folder.rglob("*")) if path.is_file()]) or "nothing"
        endings = ", ".join(TABLES)
        raise DataError(f"{where!r} must hold files of recordings ({endings}, .ts or .arff): it has {held}")
    levels = pattern.count("/") + 1
    found = [(path, name, form.fullmatch("/".join(name.split("/")[-levels:]))) for path, name in seen]
    matches = [(path, name, dict(zip(fields, match.groups(), strict=True))) for path, name, match in found if match]
    if not matches and not layout.known:  # new recordings may lie in no folders
        return [(path, name, {}) for path, name in seen]
    if not matches:
        held = f"none of {counted(len(seen), 'file')} does, such as {seen[0][1]!r}"
        raise DataError(f"files of {where!r} must lie at {pattern!r}: {held}; describe their places with --files")
    if left := [repr(name) for _, name, match in found if not match]:
        were = "was" if len(left) == 1 else "were"
        warn("Note", f"{counted(len(left), 'file')} not at {pattern!r} {were} left out: {shorten(left)}")
    return matches


def _default_place(layout: Layout) -> str:
    """Return the place of recordings in a folder for each group, and in it one for each label."""
    return "".join(f"{{{name}}}/" for name in (layout.reading.group, layout.label) if name) + "*"


def _as_regex(pattern: str) -> tuple[re.Pattern[str], list[str]]:
    """Return the form of the last levels of a path, and the names of its fields: ``{user}/{gesture}/*.csv``."""
    words = re.split(r"(\{[^{}/]*\}|\*)", pattern)
    fields = [word[1:-1] for word in words if word.startswith("{")]
    rest = [word for word in words if word != "*" and not word.startswith("{")]
    if any(set("{}") & set(word) for word in rest) or len(set(fields)) < len(fields) or "" in fields:
        must = "--files must be a place with fields in braces, each once, such as {user}/{gesture}/*.csv"
        raise ParameterError(Problem(must, f"got {pattern!r}"))
    forms = {"*": "[^/]*"}
    text = "".join("([^/]+)" if word.startswith("{") else forms.get(word, re.escape(word)) for word in words)
    return re.compile(text), fields


def _joined(matches: list[tuple[Path, str, dict[str, str]]], layout: Layout) -> _Table:
    """Return the rows of all files below each other, with names of recordings and fields of places."""
    import polars as pl

    frames, files, rows = list[Any](), list[tuple[int, str]](), 0
    problems = list[str]()
    for path, name, fields in matches:
        frame = _table_of(path, layout)
        lack, more = ([*frames[0].columns], [*frame.columns]) if frames else ([], [])
        wrong = [f"it lacks {column!r}" for column in lack if column not in more and column in _own(frames[0], fields)]
        wrong += [f"it has {column!r} as well" for column in more if column not in lack]
        facts = {ID: re.sub(r"(\.csv)?\.\w+$", "", name)}
        facts |= {column: fields[column] for column in (layout.label, layout.reading.group, PART) if column in fields}
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
    raise_any(problems)
    return _Table(pl.concat(frames, how="diagonal_relaxed"), files)


def _own(frame: Any, fields: dict[str, str]) -> list[str]:
    """Return the columns of a file, without those of its place."""
    return [name for name in frame.columns if name != ID and name not in fields]


def _long(path: Path, layout: Layout) -> _Table:
    """Return a table of many recordings, one below the other."""
    with lines_of(path):
        return _Table(_table_of(path, layout))


def _table_of(path: Path, layout: Layout) -> Any:
    """Return the table in a file as a polars frame: its columns to read alone, where these are named."""
    given = settings_of(layout.reading)
    names = [layout.label, given.get("group"), PART, given.get("id"), *(given.get("id") or "").split(",")]
    time = given.get("time")
    used = [*given.get("target", ()), *given.get("past", ()), *given.get("future", ())]
    numbers = {*used} if given.get("target") else None
    texts = {*names, *given.get("categories", ())} - {None}
    found, _, problems = read_file(path, time, given.get("date_format"), numbers, texts, given.get("decimal"))
    raise_any(problems)
    frame = as_polars(found)
    if numbers is None:
        return frame
    kept = {*numbers, *names, time, *(time or "").split(",")}
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
    id, frame, parts = _named(frame, id, facts, layout)
    taken = {id, *facts, *parts, *given.get("past", ()), *given.get("future", ()), given.get("time")}
    target = given.get("target") or _channels(frame, id, taken)
    if given.get("time") == "none" or not any(given.get(name) for name in AXIS):
        given["time"] = False
    given |= {"target": target, "id": id, "static": [name for name in facts if name != layout.reading.group]}
    if layout.reading.group not in facts:
        given.pop("group", None)
    if id is None:  # one recording, in the order of its rows
        frame, given["id"] = frame.with_columns(pl.lit("1").alias(ID)), ID
    raise_any(_varying(frame, str(given["id"]), facts))
    with table.lines():
        return Panel.from_frame(frame, **given)


def _varying(frame: Any, id: str, facts: list[str]) -> Iterator[Problem]:
    """Yield a problem for each label, group or part that changes within a recording."""
    import polars as pl

    for name in facts if id in frame.columns else ():
        counts = frame.group_by(id, maintain_order=True).agg(pl.col(name).unique(maintain_order=True))
        changing = counts.filter(pl.col(name).list.len() > 1)
        if len(changing):
            first, values = changing.row(0)
            held = f"{first!r} has {' and '.join(repr(str(value)) for value in values[:2])}"
            more = f" ({len(changing) - 1} more of {counted(len(counts), 'recording')} likewise)" * (len(changing) > 1)
            remedy = "name recordings with --id, several columns with commas, such as --id user,number"
            yield Problem(f"column {name!r} must be constant in each recording", held + more, remedy)


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


def _channels(frame: Any, id: str | None, taken: set[str | None]) -> list[str]:
    """Return the columns of numbers that change within recordings and are no clock, with a note on the others."""
    import narwhals as nw
    import polars as pl

    from tsforecast.data.values import first_text

    free = [name for name in frame.columns if name not in taken]
    spoilt = [name for name in free if first_text(nw.from_native(frame[name], series_only=True))]  # which is refused
    numbers = [name for name in free if frame[name].dtype.is_numeric()]
    inside = pl.lit(True) if id is None else pl.col(id) == pl.col(id).shift()
    inside = inside.fill_null(False)
    moves = frame.select(inside.alias(""), *(pl.col(name).diff() for name in numbers)).filter(pl.col("")).drop("")
    clocks = [name for name in numbers if len(moves) > 1 and (moves[name] > 0).all()]
    still = [name for name in numbers if len(moves) > 1 and (moves[name] == 0).all()]
    found = [name for name in free if name in (*numbers, *spoilt) and name not in (*clocks, *still)]
    if not found:
        held = f"columns {shorten([*map(repr, frame.columns)], 8)}"
        raise DataError(
            Problem("recordings must have a column of numbers that change", held, "name those with --target")
        )
    for names, one, several in ((clocks, "grows", "grow"), (still, "stays the same", "stay the same")):
        if names:
            held = f"{shorten([*map(repr, names)])} {one if len(names) == 1 else several} within every recording"
            warn(
                "Note", f"{held} and {'is' if len(names) == 1 else 'are'} left out; --target names the channels to read"
            )
    return found


def keep_layout(
    model: Path, data: str, reading: DataOptions, label: str, files: str | None, columns: Sequence[str]
) -> None:
    """Keep beside a saved classifier how its recordings were read."""
    folder = Path(data).is_dir() or data.lower().endswith(".zip")
    kept = Layout(replace(reading, target=",".join(columns)), label)
    kept = replace(kept, files=files or (_default_place(kept) if folder else None))
    write_or_return(json.dumps(asdict(kept)), model / KEPT)


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
            f"{str(model / KEPT)!r} must hold how recordings were read: {why}; fit the model anew"
        ) from None
