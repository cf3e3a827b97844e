"""Data of the command line: a dataset or a file as a panel, places of recordings, rows for a model, tracked runs."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tsforecast.cli.console import echo, warn
from tsforecast.cli.dates import Form
from tsforecast.cli.files import lines_of, read_file
from tsforecast.cli.options import CutoffOptions, DataOptions, require_absent
from tsforecast.errors import (
    Argument,
    DataError,
    ModelFileError,
    ParameterError,
    Part,
    Phrase,
    Problem,
    Reference,
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
    from tsforecast.catalog.card import Task
    from tsforecast.data.panel import Panel
    from tsforecast.data.protocol import Protocol


@contextmanager
def tracked(mlflow: bool, data: str) -> Iterator[None]:
    """Track fits as runs of MLflow if `mlflow`, with the data as the command names them."""
    if not mlflow:
        yield
        return
    from tsforecast.tracking import track

    with track(data=Path(data).stem) as uri:
        yield
    look = f"; look at them with: mlflow server --backend-store-uri {uri}" if uri.startswith("sqlite:") else ""
    echo(f"runs are in {uri}{look}")


FORMAT_FILE = "reading.json"  # beside a saved model: how dates were written in the file that it was fitted on
MOST_TEXT = 1 << 20  # characters of that file which are read
MOST_BYTES = 4 << 30  # that a zip may unpack to
CHUNK = 1 << 20
FULL = 8  # evenly spaced numbers of a recording, of which few repeat: a clock
EVEN = 1.1  # largest step of a clock beside its smallest one: its numbers are rounded


def read_panel(data: str, reading: DataOptions, label: str | None = None) -> tuple[Panel, Task | None]:
    """Return the panel of a dataset or a file, and the task of its card if it has one."""
    return read_table(data, reading, label)[:2]


def read_table(data: str, reading: DataOptions, label: str | None = None) -> tuple[Panel, Task | None, Form | None]:
    """Return the panel of a dataset or a file, the task of its card, and how the file was written.

    Sequences are classified by the static column `label`; without it, a dataset's own label is left out.
    """
    from tsforecast.catalog.card import dataset_names
    from tsforecast.catalog.loaders import load_task
    from tsforecast.data.panel import Panel
    from tsforecast.tables import is_many

    path = Path(data)
    if not path.suffix and data in dataset_names():
        if reading != DataOptions():
            raise ParameterError(f"dataset {data!r} has its own columns, season and cleaning; leave those options out")
        return *load_task(data, label), None
    if not (path.exists() or path.suffix or path.parent != Path() or is_many(data)):
        raise UnknownNameError(f"dataset {data!r} does not exist; {nearest(data, dataset_names())}")
    if path.suffix.lower() == ".tsf" and path.exists():
        return *_read_monash(path, reading, label), None
    given = settings_of(reading) | ({"static": label} if label else {})
    if is_many(data):
        refused = {"date-format": given.pop("date_format", None), "decimal": given.pop("decimal", None)}
        require_absent("with several files", "they are read as they are", **refused)
        return Panel.scan(data, **given | ({"time": False} if given.get("time") == "none" else {})), None, None
    date_format, decimal = given.pop("date_format", None), given.pop("decimal", None)
    used = [given.get(role, []) for role in ("target", "past", "future")]
    numbers = set(chain(*used)) if used[0] else None
    texts = {given.get("id"), given.get("group"), label, *given.get("categories", ())} - {None}
    with lines_of(path):
        frame, form, problems = read_file(path, given.get("time"), date_format, numbers, texts, decimal)
        if given.get("time") == "none" and "none" not in frame.columns:
            given["time"] = False
            require_absent("with --time none", "no dates are read", **{"date-format": date_format})
        try:
            panel = Panel.from_frame(frame, **given)
        except DataError as error:
            if not problems:
                raise
            raise DataError([*problems, *error.problems]) from error
        raise_any(problems)
    return panel, None, form


def settings_of(reading: DataOptions) -> dict[str, Any]:
    """Return the options of a reading that were given, as parameters of `Panel.from_frame`, names in lists."""
    from tsforecast.checks import one_of

    given = reading.settings()
    raise_any(one_of("decimal", given.get("decimal"), (".", ","), (None,)), ParameterError)
    for role in {"target", "past", "future", "categories"} & given.keys():
        given[role] = [name.strip() for name in given[role].split(",") if name.strip()]
    for role in {"time", "id", "group"} & given.keys():
        given[role] = ",".join(name.strip() for name in given[role].split(","))
    return given


def read_forecasts(path: Path, id: str | None) -> Any:
    """Return the frame of forecasts in a file, in which a column of ids stays text."""
    from tsforecast.evaluation.external import NAMES

    with lines_of(path):
        frame, _, problems = read_file(path, texts={*NAMES["id"], id} - {None})
        raise_any(problems)
    return frame


def _read_monash(path: Path, reading: DataOptions, label: str | None) -> tuple[Panel, Task | None]:
    """Return the panel of a `.tsf` file, whose header names roles and frequency, and a task with its horizon."""
    from tsforecast.catalog.card import Task
    from tsforecast.data.columns import read_file as read_file_of_roles
    from tsforecast.data.panel import Panel

    own = ("time", "date_format", "decimal", "target", "id", "past", "future", "categories", "frequency")
    refused = {name.replace("_", "-"): getattr(reading, name) for name in own}
    require_absent(f"with {path.name}", "the header of the file has the roles of its columns", **refused)
    frame, roles, found = read_file_of_roles(path)
    if reading.group:
        roles["static"] = [name for name in roles.get("static", ()) if name != reading.group]
    panel = Panel.from_frame(frame, **roles | reading.settings())
    panel = replace(panel, notes=(*panel.notes, *found.notes))
    statics = [name for name in panel.roles.static if name != label]
    task = Task(found.horizon, None, None, f"the horizon of {path.name}") if found.horizon else None
    return (panel.without(*statics) if label and statics else panel), task


def horizon_of(task: Task | None, panel: Panel, horizon: int | None) -> int:
    """Return the horizon that was given, or the card's, or one season.

    A season is a tenth of the median length at most, and printed where it is.
    """
    import numpy as np

    if horizon is not None or task:
        return task.horizon if task and horizon is None else horizon  # type: ignore[return-value] # one is there
    season = panel.season_length if panel.season_length > 1 else 10
    median = int(np.median(panel.lengths))  # not the least: one short series must not decide for all
    found = max(1, min(season, median // 10))
    if found < season:
        echo(f"horizon {found}: a tenth of the median length of the series ({median} steps); see --horizon.")
    return found


def protocol_of(task: Task | None, panel: Panel, test: CutoffOptions) -> Protocol:
    """Return the horizon of `horizon_of`, and the cutoffs that were given, or the card's, or as many as the data allow.

    The card's cutoffs belong to the card's horizon alone. The reason is printed where the data decide.
    """
    from tsforecast.data.protocol import Protocol, default_cutoffs

    horizon, origins, step = horizon_of(task, panel, test.horizon), test.origins, test.step
    if task and task.horizon == horizon:
        origins, step = (task.origins if origins is None else origins), (task.step if step is None else step)
    known = 1 if origins is None else origins
    protocol = Protocol(horizon, known, step, align=test.align, **test.more)  # type: ignore[arg-type] # it checks
    if origins is None:
        origins, step, reason = default_cutoffs(panel, protocol, test.independent_series)
        echo(f"{reason}; see --origins.")
    return replace(protocol, origins=origins, step=step)


def default_ledger(data: str) -> Path:
    """Return the place of the ledger of a file: beside it; of a dataset in the current folder."""
    return Path(f"{data}.seal")


def keep_form(model: Path, panel: Panel, form: Form | None) -> None:
    """Keep beside a saved model how the file was written that it was fitted on: the columns of a forecast alone."""
    if form is None:
        return
    names = {panel.source.id, panel.source.time, *str(panel.source.time).split(","), *panel.roles.target}
    columns = [name for name in form.columns if name in names]
    dates = {name: written for name, written in form.dates.items() if name in names}
    decimals = {name: places for name, places in form.decimals.items() if name in names}
    kept = replace(form, columns=columns, dates=dates, decimals=decimals)
    write_or_return(json.dumps(asdict(kept)), model / FORMAT_FILE)


def kept_form(model: Path) -> Form:
    """Return how the file was written that a saved model was fitted on, where that was kept."""
    from pydantic import TypeAdapter, ValidationError

    from tsforecast.saving.folder import inside

    kept, why = model / FORMAT_FILE, "it does not"
    if not kept.exists():
        return Form()
    try:
        with inside(model, FORMAT_FILE).open(encoding="utf-8") as file:
            return TypeAdapter(Form).validate_json(file.read(MOST_TEXT))
    except (ValidationError, UnicodeDecodeError):
        pass
    except (OSError, ValueError) as error:
        why = reason(error)
    raise ModelFileError(f"{str(kept)!r} must hold how dates are written: {why}; give it with --date-format")


def read_next(
    path: Path,
    model: Path,
    time: str | None,
    date_format: str | None,
    numbers: Collection[str | None] | None,
    texts: Collection[str | None] = (),
) -> tuple[Any, Form]:
    """Return the table in a file for a saved model, and how it is written; see `read_file`.

    Dates are read by `date_format`, or as those that the model was fitted on, or as ISO 8601.
    """
    kept = Form()
    with suppress(*[ModelFileError] * bool(date_format)):
        kept = kept_form(model)
    remembered = None if date_format else kept.date_format
    try:
        frame, form, problems = read_file(path, time, date_format or remembered, numbers, texts, kept.decimal)
    except DataError:
        if not remembered:
            raise
        frame, form, problems = read_file(path, time, None, numbers, texts, kept.decimal)
        if time not in frame.columns or not str(frame[time].dtype).lower().startswith(("date", "period")):
            raise
    raise_any(problems)
    return frame, form


def fields_of(pattern: str, names: Sequence[str]) -> list[dict[str, str] | None]:
    """Return the fields of the place of each file; None where it is at another one."""
    form, fields = _as_regex(pattern)
    levels = pattern.count("/") + 1
    found = [form.fullmatch("/".join(name.split("/")[-levels:])) for name in names]
    return [dict(zip(fields, match.groups(), strict=True)) if match else None for match in found]


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


def archives_of(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """Return the `.ts` files in a folder, or else others with these endings; a zip is looked at when it is unpacked."""
    if folder.suffix.lower() == ".zip" or not folder.is_dir():
        return [folder] * (folder.suffix.lower() == ".zip" and folder.is_file() and _holds(folder, endings))
    held = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in endings and path.is_file()]
    return [path for path in held if path.suffix.lower() == ".ts"] or held


def _holds(path: Path, endings: tuple[str, ...]) -> bool:
    """Return whether a zip has a file with one of some endings, as far as it can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(endings) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return True  # its own fault is found when it is unpacked


@contextmanager
def unpacked(path: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Unpack files of a zip, those with some endings, into the current folder, a new one for as long as it is read.

    Errors name files as the zip does.
    """
    with TemporaryDirectory() as place:
        _unpack(path, Path(place), endings)
        with chdir(place):
            yield Path()


def _unpack(path: Path, folder: Path, endings: tuple[str, ...]) -> None:
    """Write the files of recordings in a zip below a folder, or raise DataError."""
    if not path.exists():
        raise UnknownNameError(f"file {str(path)!r} does not exist; check the name and the folder")
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            raise_any(_unsafe(path, files, endings))
            for info in files:
                if info.filename.lower().endswith(endings):
                    target = folder.joinpath(*PurePosixPath(info.filename).parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(info) as source, target.open("wb") as written:
                        shutil.copyfileobj(source, written, CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise DataError(f"file {str(path)!r} must be a whole zip archive: {reason(error)}; get it again") from error


def _unsafe(path: Path, files: list[zipfile.ZipInfo], endings: tuple[str, ...]) -> Iterator[str]:
    """Yield why a zip is not unpacked: files outside of it, too many bytes, a password, none or another zip within."""
    names = [info.filename for info in files]
    outside = [name for name in names if ".." in PurePosixPath(name).parts or re.match(r"/|\\|[A-Za-z]:", name)]
    if outside:
        yield f"zip {str(path)!r} must hold files below its own folder: it has {outside[0]!r}; pack it again"
    if any(info.flag_bits & 1 for info in files):
        yield f"zip {str(path)!r} must have no password: it has one; unpack it, and name the folder"
    if (size := sum(info.file_size for info in files)) > MOST_BYTES:
        largest = max(files, key=lambda info: info.file_size)
        held = f"{size / 1e9:.1f} GB, of which {largest.filename!r} is {largest.file_size / 1e9:.1f}"
        yield f"zip {str(path)!r} must unpack to {MOST_BYTES / 1e9:.1f} GB at most: it holds {held}; unpack it by hand"
    if not any(name.lower().endswith(endings) for name in names):
        nested = [name for name in names if name.lower().endswith(".zip")]
        held = (
            f"it holds another zip, {nested[0]!r}"
            if nested
            else f"it holds {shorten([*map(repr, names)]) or 'nothing'}"
        )
        remedy = "; unpack it, and name that one" if nested else ""
        yield f"zip {str(path)!r} must hold files of recordings ({', '.join(endings)}): {held}{remedy}"


@contextmanager
def fillable(known: bool) -> Iterator[None]:
    """Name remedies for NaN of recordings that their command has: `predict` fills as `fit` did."""
    try:
        yield
    except TsForecastError as error:
        repair = error.repair and error.repair.map(lambda part: _filling(part, known))
        raise type(error)([_fillable(problem, known) for problem in error.problems], repair) from error


def _filling(part: Reference, known: bool) -> Part:
    """Return a repair whose missing numbers are filled: a recording is read with all of its steps, none masked."""
    if not (isinstance(part, Phrase) and isinstance(part.value, dict)):
        return part
    filled = {"nan_policy": "forward_fill"} if part.value.get("nan_policy") == "mask" else {}
    return Phrase(part.text, part.key if known else "repair fitted", part.value | filled)


def _fillable(problem: Problem, known: bool) -> Problem:
    asked = [part for part in problem.remedy if isinstance(part, Argument) and part.name == "nan_policy"]
    if not asked:
        return problem
    filled = asked[0].value == "mask"  # by forward_fill, which left NaN before the first number
    remedy = "cut such steps off" if filled else "fill them first"
    more = Argument(
        "nan_policy", "drop_series" if filled else "forward_fill", "pass" if known else "fit the model with"
    )
    return Problem(problem.must, problem.got, (f"{remedy}, or ", more), series=problem.series)


def in_order(frame: Any, id: str | None, taken: set[str | None]) -> tuple[Any, Any]:
    """Return a frame with the rows of each recording in the order of its clock, and their places before, with a note.

    A clock is a column of dates, or of evenly spaced numbers. Where there is none, or the rows are in its order, the
    places are None. Rows that are there several times are refused.
    """
    import polars as pl

    row, owner = " row", " recording"  # the first row of the recording
    rows = frame.with_row_index(row)
    rows = rows.with_columns((pl.lit(0) if id is None else pl.col(row).min().over(id)).alias(owner))
    free = [name for name in frame.columns if name not in taken]
    for name in free:
        time = frame[name].dtype.is_temporal()
        if not (time or frame[name].dtype.is_numeric()) or not _even(rows.filter(pl.col(owner) == 0)[name]):
            continue
        move = pl.col(name).to_physical().diff()
        shapes = rows.group_by(owner, maintain_order=True).agg(
            pl.len().alias("rows"),
            pl.col(name).n_unique().alias("kinds"),
            pl.col(name).map_batches(_even, return_dtype=pl.Boolean, returns_scalar=True).alias("even"),
            pl.col(name).value_counts().struct.field("count").n_unique().alias("counts"),
            (move < 0).any().alias("falls"),
            (move > 0).any().alias("rises"),
        )
        if not shapes["even"].all():
            continue
        many = shapes["rows"].sum() - shapes["kinds"].sum()
        if not many and not shapes["falls"].any():
            return frame, None
        if not many and shapes["rises"].any():
            wrong = f"{shapes['falls'].sum()} of {counted(len(shapes), 'recording')}"
            warn("Note", f"rows were put in the order of {name!r}, which they did not have in {wrong}")
            rows = rows.sort(owner, name)
            return rows.drop(owner, row), rows[row].to_numpy()
        copies = frame.select((~pl.struct(pl.all()).is_first_distinct()).alias(row))[row]
        few = 10 * many <= len(frame) and shapes["kinds"].min() >= FULL  # else it may be a channel of few values
        alike = few or bool((shapes["counts"] == 1).all())
        if many and copies.sum() == many and (time or (len(free) > 1 and alike)):
            held = f"{many} of {len(frame)} are copies, the first in "
            raise DataError(
                Problem("each row of a recording must occur once", (held, Row(copies.arg_max())), "remove them")
            )
        if many and few:
            again = rows.select((~pl.struct(owner, name).is_first_distinct()).alias(row))[row]
            held = f"{many} of {len(frame)} have that of a row before, the first in "
            remedy = "remove them, or if it is no clock name the channels with --target"
            raise DataError(
                Problem(f"each row of a recording must have its own {name!r}", (held, Row(again.arg_max())), remedy)
            )
    return frame, None


def _even(column: Any) -> bool:
    """Return whether a column may be a clock in any order: of dates, or of evenly spaced numbers, three at least."""
    if column.null_count() or (column.dtype.is_float() and not column.is_finite().all()):
        return False
    steps = column.unique().sort().to_physical().diff().drop_nulls()
    return len(steps) > 1 and (column.dtype.is_temporal() or steps.max() <= EVEN * steps.min())


def channels_of(frame: Any, id: str | None, taken: set[str | None]) -> list[str]:
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
    raise_any(_clocks_that_fall(frame, id, [name for name in numbers if name not in clocks]))
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


def _clocks_that_fall(frame: Any, id: str | None, names: Sequence[str]) -> Iterator[Problem]:
    """Yield a problem for each column that grows within most recordings: a clock, which falls within the others."""
    import polars as pl

    if id is None:
        return
    grows = [(pl.col(name).diff() > 0).all().alias(name) for name in names]
    found = frame.group_by(id, maintain_order=True).agg(pl.len().alias(""), *grows).filter(pl.col("") > 2)
    for name in names:
        falls = found.filter(~pl.col(name))[id].to_list()
        if 0 < len(falls) <= 0.2 * len(found):
            held = f"it does not in {shorten([*map(repr, falls)])}"
            must = f"column {name!r} must grow within every recording, as it does in {len(found) - len(falls)} of "
            remedy = "put the rows there in order, or name the channels to read with --target"
            yield Problem(f"{must}{len(found)}", held, remedy)
