"""Panels on disk: tables are read in buckets of whole series, checked as frames are, and laid out as plain arrays.

The rows are walked through two or three times, never all of them in memory: first the series are counted, in order of
appearance; then the rows of consecutive series come together, in scratch files unless they stand together already; then
each bucket is read, checked and repaired like a frame in memory, and its numbers go to the end of a file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.checks import Tally, merged, none_left, read_twice, repaired, repairs_of, stepless
from tsforecast.data import frames, quality
from tsforecast.data.calendar import (
    DAY,
    SHORTEST_MONTH,
    Frequency,
    Stamps,
    Unit,
    best_frequency,
    commonest,
    even_step,
    inner_steps,
    step_counts,
    units_of,
)
from tsforecast.data.columns import columns_of_dates, inferred
from tsforecast.data.series import CleaningPolicy, Roles, Rows, SeasonSource, Series, Source, TimeKind
from tsforecast.data.values import categories_of, holds_categories, is_text, too_many
from tsforecast.errors import DataError, Phrase, Problem, Row, raise_any, reason, shorten
from tsforecast.files import cache_folder, new_folder, require_place, sha256
from tsforecast.mapped import Mapped
from tsforecast.tables import Buckets, Files

if TYPE_CHECKING:
    import polars as pl

MARK = "panel.json"  # of a folder that holds a panel
VERSION = 1
HEAD = 100_000  # first rows by which columns are inferred
BUCKET = 4_000_000  # cells that are read at once, and the rest of a series
MOST = np.float64(np.finfo(np.float32).max)
VALUES = "values.f32"
READER = Phrase(" to Panel.scan", "reader")


@dataclass(frozen=True)
class Reading:
    """How tables are read: arguments of `Panel.scan`."""

    roles: Roles
    time: str | Literal[False] | None
    id: str | None
    frequency: str | None
    season_length: int | Literal["auto"]
    cleaning: CleaningPolicy

    def asked(self) -> list[str]:
        """Return the names of the arguments that were given."""
        none = Reading(Roles(), None, None, None, "auto", CleaningPolicy())
        pairs = ((self.roles, none.roles), (self, none), (self.cleaning, none.cleaning))
        return [
            field.name
            for one, other in pairs
            for field in fields(one)
            if field.name not in ("roles", "cleaning") and getattr(one, field.name) != getattr(other, field.name)
        ]


def is_panel(files: object) -> bool:
    """Return whether files are the folder of a panel that was scanned before."""
    return isinstance(files, (str, Path)) and (Path(files) / MARK).is_file()


def season_of(given: int | Literal["auto"], step: Frequency) -> tuple[int, SeasonSource]:
    """Return the season that was given or is the calendar's, and its origin; 1 where it is yet to be found."""
    if given != "auto":
        return given, "given"
    return step.season_length, "calendar" if step.season_length > 1 else "auto"


class Steps:
    """Steps between the stamps of all buckets, for the one frequency of all; called as `best_frequency` is."""

    def __init__(self, taken: Frequency | None = None, all_units: bool = False) -> None:
        self.taken, self.count, self.evens = taken, 0, set[int]()
        self._all, self._skipped, self._axis = all_units, False, ("", 0)
        self._counts: dict[Unit, Counter[int]] = {}

    def __call__(
        self, stamps: Stamps, offsets: NDArray[np.int64], kind: TimeKind, even: int | None
    ) -> tuple[Frequency | None, float]:
        """Count the steps of a bucket; return the frequency that is taken for all."""
        later, even = inner_steps(offsets), even or even_step(stamps, offsets)
        self._axis = self._axis if self._axis[0] else (kind, int(stamps[0]))
        self.count += len(later)
        quick = bool(even) and (kind != "datetime" or int(even or 0) < SHORTEST_MONTH)
        if len(later) and quick and even:
            self.evens.add(even)
        if len(later) and (self._all or not quick):
            self.evens |= set() if quick else {0}
            for unit in units_of(*self._axis):
                sizes, counts = step_counts(unit, stamps, later)
                self._counts.setdefault(unit, Counter()).update(dict(zip(sizes.tolist(), counts.tolist(), strict=True)))
        elif len(later):
            self._skipped = True
        self.taken = self.taken or best_frequency(stamps, offsets, kind, even)[0]
        unknown = Frequency("nanosecond", DAY) if kind == "datetime" else Frequency("integer")
        return self.taken or unknown, 1.0

    @property
    def called(self) -> bool:
        """Whether a frequency was asked for."""
        return bool(self._axis[0])

    def best(self) -> Frequency | None:
        """Return the frequency that explains most of all steps; None where not all of them were counted."""
        kind = self._axis[0]
        if not self.count:
            return self.taken
        if len(self.evens) == 1 and 0 not in self.evens:
            return Frequency("nanosecond" if kind == "datetime" else "integer", *self.evens)
        if self._skipped:
            return None
        found: list[tuple[Unit, NDArray[np.int64], NDArray[np.int64]]] = []
        for unit, counts in self._counts.items():
            sizes = sorted(counts)
            found.append((unit, np.array(sizes, dtype=np.int64), np.array([counts[size] for size in sizes])))
        return commonest(kind, found, self.count)[0]


def scan(data: Any, reading: Reading, store: str | Path | None, options: dict[str, Any] | None = None) -> Path:
    """Return the folder of the panel in files, laid out unless that was done before; one process at a time does it."""
    from filelock import FileLock

    if is_panel(data):
        for name in [*reading.asked(), *(["store"] if store else ()), *(["storage_options"] if options else ())]:
            got = f"{str(data)!r} holds a panel that was scanned before, with columns and steps of its own"
            raise DataError(
                Problem("must be left out", got, "scan the files themselves to read others", parameter=name)
            )
        return Path(data)
    files = Files.of(data, options)
    asked = {"reading": asdict(reading), "files": files.states, "version": VERSION}
    key = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    if files.lazy is not None:
        key = hashlib.sha256(key.encode() + files.lazy.serialize()).hexdigest()
    target = cache_folder() / "panels" / key[:32] if store is None else Path(store)
    require_place(target, MARK)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if files.lazy is not None or not (target / MARK).is_file() or _key_of(target) != key:
            lay_out(files, reading, target, key)
    return target


def _key_of(folder: Path) -> str | None:
    """Return the key of a whole panel in a folder; None where it is damaged."""
    try:
        return str(described(folder)["key"])
    except DataError:
        return None


# Layout ---------------------------------------------------------------------------------------------------------


def lay_out(files: Files, reading: Reading, target: Path, key: str) -> None:
    """Write the panel of a table to a folder, whole or not at all; DataError lists all problems of all rows at once."""
    import polars as pl

    with new_folder(target, MARK) as folder, files.errors():
        work = folder / "work"
        work.mkdir()
        table, layout = files.table(work), _Layout(folder, files, reading)
        size = max(1, BUCKET // max(1, len(table.collect_schema())))
        buckets = None
        if table.head(size + 1).select(pl.len()).collect(engine="streaming").item() > size:
            buckets = layout.name_columns(table, size, work)
        if buckets is None:  # few rows, or a single series
            layout.read_whole(table.collect(engine="streaming"))
        else:
            layout.read_parts(buckets)
        shutil.rmtree(work)
        layout.finish(key)


@dataclass
class _Part:
    """Series of a bucket that were checked and written."""

    ids: NDArray[Any]
    lengths: NDArray[np.int64]
    starts: Stamps
    statics: dict[str, NDArray[Any]]


class _Layout:
    """Arrays of a panel that is being written, and what was found in its rows so far."""

    def __init__(self, folder: Path, files: Files, reading: Reading) -> None:
        self._folder, self._files, self._reading = folder, files, reading
        self._step = Frequency.parse(reading.frequency) if reading.frequency else None
        self._named: list[str] = []  # notes on names of columns
        self._texts: list[str] = []  # problems of columns of text
        self._begin()

    def _begin(self) -> None:
        self._rows, self._series, self._counts = 0, 0, Counter[str]()  # of the table, checked or not
        self._notes: list[str] = [*self._named]
        self._unread: list[Problem] = []  # of columns that cannot be read at all
        self._problems, self._repairs = list[Problem](), list[dict[str, Any] | None]()
        self._parts: list[_Part] = []
        self._frequency = self._step or Frequency("integer")
        self._kind: TimeKind = "none"
        self._source, self._roles, self._latest = Source(), self._reading.roles, -(2**63)
        (self._folder / VALUES).write_bytes(b"")

    def name_columns(self, table: pl.LazyFrame, size: int, work: Path) -> Buckets | None:
        """Name all columns and the texts of categories; return the buckets of the table, None for a single series."""
        asked = self._reading
        head = nw.from_native(table.head(HEAD).collect())
        roles, gone = asked.roles, list[str]()
        if asked.time is False:
            gone = columns_of_dates(head, {*roles.varying, *roles.static, roles.group, asked.id})
        roles, time, id, self._named = inferred(head.drop(gone), roles, asked.time or None, asked.id)
        if id is None:
            return None
        used = {*roles.varying, *roles.static, roles.group, time, id, *gone}
        table = table.select(name for name in head.columns if name in used)
        known = {name: self._texts_of(table, name, roles) for name in (*roles.past, *roles.future)}
        roles = replace(roles, categories={name: texts for name, texts in known.items() if texts is not None})
        self._reading = replace(asked, roles=roles, time=time if asked.time is None else asked.time, id=id)
        return Buckets(table, id, size, work)

    def _texts_of(self, table: pl.LazyFrame, name: str, roles: Roles) -> tuple[str, ...] | None:
        """Return all texts of a column of categories, in order of their codes; None for numbers."""
        import polars as pl

        there = table.select(pl.col(name).drop_nulls())
        first = nw.from_native(there.head(100).collect(engine="streaming"))[name]
        if name not in roles.categories and not (is_text(first) and holds_categories(first)):
            return None
        distinct = nw.from_native(there.unique(maintain_order=True).collect(engine="streaming"))[name]
        texts = categories_of(distinct)[1]
        rows, count = table.select(pl.len(), pl.col(name).count().alias("there")).collect(engine="streaming").row(0)
        self._texts += too_many(name, texts, count, rows, str(distinct[0]) if len(distinct) else "")
        return texts

    def read_whole(self, frame: pl.DataFrame) -> None:
        """Read, check and write all rows at once."""
        asked = self._reading
        try:
            table = frames.read(frame, asked.roles, asked.time, asked.id)
            self._add(table, quality.regular_rows(table, self._step, asked.cleaning))
        except DataError as error:
            repairs = repairs_of(error.repair)
            problems = [self._placed(each, int) for each in error.problems]
            raise DataError(problems, repaired(repairs, "scan") if repairs else None) from error
        raise_any(self._problems)

    def read_parts(self, buckets: Buckets) -> None:
        """Read, check and write each bucket; again where the times of all of them have another reading or frequency."""
        steps, clock = Steps(), frames.Table({}, self._reading.roles, Source())
        for _ in range(4):
            self._begin()
            other = self._walk(buckets, clock, steps)
            best = steps.best() if steps.called else steps.taken  # else it is given
            if other is not None:  # rows of a later bucket decide where the first could be read in two ways
                steps, clock = Steps(), other
            elif self._unread or best == steps.taken:
                self._problems += [stepless()] if steps.called and not steps.count else []
                return self._refuse()
            else:
                steps = Steps(best, all_units=True)
        raise DataError(
            f"time column {self._reading.time!r} must be written alike in all rows; convert it to dates first"
        )

    def _walk(self, buckets: Buckets, clock: frames.Table, steps: Steps) -> frames.Table | None:
        """Check and write all buckets; return the times of one that cannot be read as those before it."""
        asked = self._reading
        for number, (frame, place) in enumerate(buckets):
            self._rows += len(frame)
            try:
                table = frames.read(frame, asked.roles, asked.time, asked.id, part_of=clock)
            except DataError as error:
                self._unread += [self._placed(problem, place) for problem in error.problems]
                continue
            if (number or clock.kind != "none") and _clock(table) != _clock(clock):
                return replace(table, columns={}, stamps=None, codes=None, ids=None, statics={})
            clock = replace(table, columns={}, stamps=None, codes=None, ids=None, statics={})
            self._series += len(table.ids if table.ids is not None else ())
            if self._unread:
                continue
            try:
                self._add(table, quality.regular_rows(table, self._step, asked.cleaning, steps), place)
            except DataError as error:
                rows = [each.counts.get("rows", 0) for each in error.problems if isinstance(each, Tally)]
                self._counts["rows"] += max(rows, default=0) or len(frame)
                self._problems += [self._placed(problem, place) for problem in error.problems]
                self._repairs.append(repairs_of(error.repair))
        return None

    def _add(self, table: frames.Table, rows: Rows, place: Callable[[int], int] = int) -> None:
        """Write the numbers of checked rows, and keep all else."""
        names, kind = table.roles.varying, table.kind
        self._problems += [
            self._placed(Problem.of(each), place) for each in quality.bad_numbers(rows, names, kind, "mask", MOST)
        ]
        if not self._problems:
            with (self._folder / VALUES).open("ab") as file:
                np.ascontiguousarray(rows.values, dtype="<f4").tofile(file)
        self._counts["rows"] += len(rows.values)
        self._notes += rows.notes
        self._kind, self._frequency, self._roles = kind, rows.frequency, table.roles
        latest = int(rows.stamps.max()) if len(rows.stamps) else 0
        if latest > self._latest:
            self._source, self._latest = rows.source, latest
        self._parts.append(_Part(rows.ids, np.diff(rows.offsets), rows.starts, rows.statics))

    def _placed(self, problem: Problem, place: Callable[[int], int]) -> Problem:
        """Return a problem with the rows of a bucket as those of files."""

        def moved(part: Any) -> Any:
            if isinstance(part, Phrase) and part.key == "reader":
                return READER
            return self._files.place(place(part.number)) if isinstance(part, Row) else part

        return problem.moved(moved) if isinstance(problem, Tally) else problem.map(moved)

    def _refuse(self) -> None:
        """Raise DataError with the problems of all buckets, those of a kind as one."""
        totals = {"series": self._series, "rows": self._rows if self._unread else self._counts["rows"]}
        # Which hours or days no row has at all is not known of parts.
        problems = merged([*self._texts, *(self._unread or self._problems)], **totals, closed="")
        if problems:
            repairs = {name: value for one in self._repairs for name, value in (one or {}).items()}
            raise DataError(problems, repaired(repairs, "scan") if all(self._repairs) and repairs else None)
        if not any(len(part.ids) for part in self._parts):
            raise DataError([Tally(none_left, count=self._series)])
        self._notes = [
            note
            for note in merged(self._notes, series=self._series, closed="")
            if _holds_for_all(note, len(self._parts))
        ]

    def finish(self, key: str) -> None:
        """Write all arrays but the numbers, and the description of the panel with their checksums."""
        parts, reading = self._parts, self._reading
        arrays = {"ids": np.concatenate([part.ids for part in parts])}
        lengths = np.concatenate([part.lengths for part in parts])
        arrays["offsets"] = np.concatenate([[0], np.cumsum(lengths)])
        arrays["starts"] = np.concatenate([part.starts for part in parts])
        for at, name in enumerate(parts[0].statics):
            arrays[f"static-{at}"] = np.concatenate([part.statics[name] for part in parts])
        for name, array in arrays.items():
            _write(self._folder / name, array)
        season, origin = season_of(reading.season_length, self._frequency)
        described: dict[str, Any] = {
            "version": VERSION,
            "key": key,
            "files": {file.name: sha256(file) for file in sorted(self._folder.iterdir()) if file.name != VALUES},
            "shape": [int(arrays["offsets"][-1]), len(self._roles.varying)],
            "statics": list(parts[0].statics),
            "frequency": asdict(self._frequency),
            "season_length": season,
            "season_source": origin,
            "kind": self._kind,
            "roles": asdict(self._roles),
            "source": asdict(self._source),
            "cleaning": asdict(reading.cleaning),
            "notes": [*map(str, self._notes)],
        }
        (self._folder / MARK).write_text(json.dumps(described, indent=1), encoding="utf-8")
        described["fingerprint"] = Series(**fields_of(self._folder)).fingerprint()
        (self._folder / MARK).write_text(json.dumps(described, indent=1), encoding="utf-8")


def _clock(table: frames.Table) -> tuple[Any, ...]:
    source = table.source
    return table.kind, source.digits, source.wall_clock, source.zone is None


def _holds_for_all(note: str, parts: int) -> bool:
    return not (isinstance(note, Tally) and note.write is read_twice) or note.counts["parts"] == parts


# Folders --------------------------------------------------------------------------------------------------------


def _write(file: Path, array: NDArray[Any]) -> None:
    import pyarrow as pa
    from pyarrow import feather

    if array.dtype == object:
        feather.write_feather(pa.table({"values": pa.array(array.tolist())}), str(file), compression="lz4")
    else:
        with file.open("wb") as opened:
            np.save(opened, array, allow_pickle=False)


def _read(file: Path) -> NDArray[Any]:
    from pyarrow import feather

    with file.open("rb") as opened:
        if opened.read(6) == b"\x93NUMPY":
            opened.seek(0)
            return np.asarray(np.load(opened, allow_pickle=False))
    held = feather.read_table(str(file))["values"].to_pylist()
    array = np.empty(len(held), dtype=object)
    array[:] = held
    return array


def changed(folder: Path, found: str) -> DataError:
    """Return the error of a folder whose panel is not as it was written."""
    must = f"the folder {str(folder)!r} must hold a panel as it was written"
    return DataError(Problem(must, found, "remove it, and scan the files again"))


def described(folder: Path) -> dict[str, Any]:
    """Return the description of the panel in a folder; DataError where there is none, or a part of it."""
    if not (folder / MARK).is_file():  # of what else is there nothing should be removed
        got = f"it has no {MARK}" if folder.is_dir() else "it does not exist"
        raise DataError(Problem(f"{str(folder)!r} must be a folder that Panel.scan wrote", got, "name that of store="))
    try:
        found = json.loads((folder / MARK).read_text(encoding="utf-8"))
        if found["version"] != VERSION:
            raise ValueError(f"its version is {found['version']}, this one reads {VERSION}")
        rows, columns = found["shape"]
        damaged = [name for name, sum_ in found["files"].items() if sha256(folder / name) != sum_]
        if (folder / VALUES).stat().st_size != 4 * rows * columns:
            damaged.append(VALUES)
        if damaged:
            raise ValueError(f"{shorten(damaged)} changed since")
    except (OSError, ValueError, KeyError, TypeError) as error:
        held = f"{reason(error)}" if not isinstance(error, KeyError) else f"{MARK} lacks {error}"
        raise changed(folder, held) from error
    return dict(found)


def fields_of(folder: Path) -> dict[str, Any]:
    """Return the attributes of the panel in a folder, whose numbers are mapped; DataError as `described`."""
    found = described(folder)
    roles: dict[str, Any] = {name: tuple(own) if isinstance(own, list) else own for name, own in found["roles"].items()}
    roles["categories"] = {name: tuple(texts) for name, texts in roles["categories"].items()}
    return {
        "values": Mapped(folder / VALUES, "<f4", tuple(found["shape"])),
        **{name: _read(folder / name) for name in ("offsets", "ids", "starts")},
        "statics": {name: _read(folder / f"static-{at}") for at, name in enumerate(found["statics"])},
        **{name: found[name] for name in ("season_length", "season_source", "kind")},
        "frequency": Frequency(**found["frequency"]),
        "roles": Roles(**roles),
        "source": Source(**found["source"]),
        "cleaning": CleaningPolicy(**found["cleaning"]),
        "notes": tuple(found["notes"]),
    }
