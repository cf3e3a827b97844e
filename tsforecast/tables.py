"""Tables in files: found by name, pattern, folder or URL, read lazily, and walked through in parts of whole series."""

from __future__ import annotations

import glob
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tsforecast.errors import DataError, Problem, Row, reason, shorten

if TYPE_CHECKING:
    import polars as pl

FORMS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".feather": "ipc", ".arrow": "ipc"}
FORMS |= {".ipc": "ipc"}
ROW, CODE = "row of the table", "number of the series"  # columns beside those of a table
PACKED = (".gz", ".zst", ".zlib")  # of text
SEPARATORS = ",;\t|"
SMALL = 32  # MB of a file that is read into memory


def is_files(data: object) -> bool:
    """Return whether data are the names of files that can be scanned: one, a pattern, a folder, or a list of files."""
    if isinstance(data, (list, tuple)):
        return len(data) > 0 and all(isinstance(one, (str, Path)) for one in data)
    return isinstance(data, (str, Path)) and (_form_of(str(data)) is not None or is_many(str(data)))


def small_table(data: object) -> pl.DataFrame | None:
    """Return the table of a file on this machine that fits into memory with ease; None for any others."""
    path = Path(str(data))
    if not isinstance(data, (str, Path)) or _form_of(path.name) is None or not path.is_file():
        return None
    if path.stat().st_size > SMALL * 2**20:
        return None
    files = Files.of(path)
    with files.errors():
        return files.table(path.parent).collect()


def is_many(name: str) -> bool:
    """Return whether a name may be that of several files: a pattern, a folder or a URL."""
    return (glob.has_magic(name) and not Path(name).exists()) or "://" in name or Path(name).is_dir()


def _form_of(name: str) -> str | None:
    path = Path(name.lower())
    return FORMS.get(Path(path.stem).suffix if path.suffix in PACKED else path.suffix)


@dataclass
class Files:
    """Files of one table, in order, on this machine or elsewhere; or a lazy frame of polars instead."""

    names: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)  # of the system of files elsewhere, such as credentials
    system: Any = None  # of files elsewhere (fsspec)
    lazy: pl.LazyFrame | None = None
    states: list[list[Any]] = field(default_factory=list)  # size and change of each file
    local: list[Path] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)  # rows up to the end of each file, once they are asked for

    @classmethod
    def of(cls, data: Any, options: dict[str, Any] | None = None) -> Files:
        """Find all files of a path, a pattern, a folder, a URL, or a list of these; DataError where one has none."""
        if type(data).__name__ == "LazyFrame":
            return cls(lazy=data)
        found, given = cls(options=options or {}), list(data) if isinstance(data, (list, tuple)) else [data]
        must = "files must be names of files, patterns, folders or URLs, or a LazyFrame of polars"
        if not given:
            raise DataError(Problem(must, "got an empty list", "name one or more"))
        if not all(isinstance(one, (str, Path)) for one in given):
            raise DataError(Problem(must, f"got {type(data).__name__}", "read what is in memory with Panel.of"))
        places = {str(one).partition("://")[0] if "://" in str(one) else "this machine": str(one) for one in given}
        if len(places) > 1:
            got = f"got {shorten([*map(repr, places.values())])}"
            raise DataError(Problem("the files must lie in one place", got, "copy them to one, and scan that"))
        if options and "this machine" in places:
            raise DataError(Problem("must be left out", "the files are on this machine", parameter="storage_options"))
        for one in given:
            held = list(found._elsewhere(str(one)) if "://" in str(one) else found._here(Path(one)))
            if not held:
                forms = "files in Parquet, CSV or Arrow (.parquet, .csv, .feather, ...)"
                raise DataError(f"{str(one)!r} must name {forms}: there is none; correct the path or pattern")
            for name, state in held:
                found.names.append(name)
                found.states.append([name, *state])
        forms_of = {form: name for name in found.names if (form := _form_of(name))}
        if len(forms_of) > 1:
            raise DataError(
                f"the files must have one format: got {shorten(sorted(forms_of.values()))}; scan one of them"
            )
        return found

    def _here(self, path: Path) -> Iterator[tuple[str, tuple[Any, ...]]]:
        paths = (
            sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(str(path)) and not path.exists() else [path]
        )
        for one in map(Path, paths):
            inside = sorted(each for each in one.rglob("*") if _form_of(each.name)) if one.is_dir() else [one]
            for file in inside:
                if file.is_file() and not any(part[:1] in "._" for part in file.relative_to(one).parts):
                    state = file.stat()
                    yield str(file), (state.st_size, state.st_mtime_ns)

    def _elsewhere(self, url: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
        import fsspec

        try:
            self.system, path = fsspec.core.url_to_fs(url, **self.options)
            paths = self.system.find(path) if self.system.isdir(path) else sorted(self.system.glob(path))
            for file in paths:
                info = self.system.info(file)
                if info["type"] == "file" and (_form_of(file) or file == path):
                    yield str(file), (info["size"], *(str(info.get(name)) for name in ("ETag", "mtime", "created")))
        except (OSError, ImportError, ValueError, TypeError) as error:
            raise DataError(f"{url!r} must name files that can be read: {reason(error)}") from error

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what is wrong with the files themselves into one sentence, about the first file that differs."""
        import polars as pl

        try:
            yield
        except (pl.exceptions.PolarsError, OSError) as error:
            if isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError):
                raise  # of the disk: errors of polars about what files hold have no number
            shown = shorten([*map(str, self.names)]) or "the lazy frame"
            must = f"the files must hold one table, with the same columns and types ({shown})"
            raise DataError(self._fault() or Problem(must, reason(error))) from error

    def _fault(self) -> Problem | None:
        """Return the problem of the first file that cannot be read, or is not like the first; None without one."""
        import polars as pl

        schemas, whole = dict[str, dict[str, Any]](), (False, True)  # what files hold is quick to see, but for damage
        for every_row, (name, file) in product(whole, zip(self.names, self.local, strict=True)):
            try:
                table = self._scanned([file])
                schemas[name] = dict(table.collect_schema())
                for _ in table.collect_batches() if every_row else ():
                    pass
            except (pl.exceptions.PolarsError, OSError) as error:
                must = f"{name!r} must be a readable file of the kind of its ending"
                return Problem(must, reason(error), "write it again, or leave it out")
            if different := _difference(schemas, self.names[0], name):
                return different
        return None

    def table(self, work: Path) -> pl.LazyFrame:
        """Return the table as a lazy frame; files elsewhere are copied to a folder first."""
        if self.lazy is not None:
            return self.lazy
        self.local = [Path(name) for name in self.names]
        if self.system is not None:
            self.local = [work / "copies" / name.lstrip("/") for name in self.names]
            for name, file in zip(self.names, self.local, strict=True):
                file.parent.mkdir(parents=True, exist_ok=True)
                try:
                    self.system.get_file(name, str(file))
                except (OSError, ImportError, ValueError) as error:
                    raise DataError(f"{name!r} must be a file that can be read: {reason(error)}") from error
        return self._scanned(self.local)

    def _scanned(self, files: list[Path]) -> pl.LazyFrame:
        import polars as pl

        form = _form_of(files[0].name) or "parquet"
        partitions = [[part for part in file.parts[:-1] if "=" in part] for file in files]
        if form != "csv":
            hive: dict[str, Any] = {"hive_partitioning": any(partitions), "glob": False}
            scan: Any = partial(pl.scan_parquet, **hive) if form == "parquet" else pl.scan_ipc
            tables: list[pl.LazyFrame] = [scan([file]) for file in files] if len(files) > 1 else []
            if _numbers_alone_differ(tables):
                return pl.concat(tables, how="vertical_relaxed")
            found: pl.LazyFrame = scan(files)
            return found
        parts = []
        for file, keys in zip(files, partitions, strict=True):
            read = pl.scan_csv(file, infer_schema_length=None, separator=_separator_of(file), glob=False)
            parts.append(read.with_columns(pl.lit(text).alias(name) for name, text in (key.split("=") for key in keys)))
        return pl.concat(parts, how="vertical_relaxed")

    def place(self, row: int) -> Row:
        """Return the file that holds a row of the table, and the row there."""
        import polars as pl

        if len(self.local) < 2:
            return Row(row)
        if not self._ends:
            tables = (self._scanned([file]).select(pl.len()) for file in self.local)
            self._ends = list(accumulate(table.collect(engine="streaming").item() for table in tables))
        at = min(bisect_right(self._ends, row), len(self._ends) - 1)
        return Row(row - (self._ends[at - 1] if at else 0), self.names[at])


def _numbers_alone_differ(tables: list[pl.LazyFrame]) -> bool:
    """Return whether tables have the same columns, some of them whole numbers here and fractions there, or wider."""
    schemas = [table.collect_schema() for table in tables]
    pairs = [(one, other) for own in schemas[1:] for one, other in zip(schemas[0].items(), own.items(), strict=False)]
    different = [(one, other) for one, other in pairs if one != other]
    alike = all(one[0] == other[0] and one[1].is_numeric() and other[1].is_numeric() for one, other in different)
    return bool(different) and alike and len({len(own) for own in schemas}) == 1


def _separator_of(file: Path) -> str:
    """Return the separator that is most frequent in the first line of a CSV file."""
    import polars as pl

    first = pl.scan_csv(file, has_header=False, separator="\x01", quote_char=None, infer_schema=False, glob=False)
    line = first.head(1).collect(engine="streaming").item()
    return max(SEPARATORS, key=str(line).count)


def _difference(schemas: dict[str, dict[str, Any]], first: str, name: str) -> Problem | None:
    """Return the problem of a file whose columns are not those of the first."""
    wanted, own = schemas[first], schemas[name]
    lacks, more = (
        [repr(column) for column in one if column not in other] for one, other in ((wanted, own), (own, wanted))
    )
    if lacks or more:
        found = [f"{verb} {shorten(columns)}" for verb, columns in (("lacks", lacks), ("has", more)) if columns]
        got = f"{name!r} {' and '.join(found)}, unlike {first!r}"
        return Problem("the files must have the same columns", got, "write it again, or leave it out")
    for column, kind in wanted.items():
        if kind != own[column] and not (kind.is_numeric() and own[column].is_numeric()):
            got = f"{kind} in {first!r}, {own[column]} in {name!r}"
            remedy = "write it alike, or pass a LazyFrame of polars that casts it"
            return Problem(f"column {column!r} must have one type in all files", got, remedy)
    if list(wanted) != list(own) and _form_of(name) == "csv":
        got = f"{shorten([*map(repr, own)])} in {name!r}, {shorten([*map(repr, wanted)])} in {first!r}"
        return Problem("CSV files must have their columns in one order", got, "write it again, or leave it out")
    return None


# Buckets --------------------------------------------------------------------------------------------------------


class Buckets:
    """Rows of a table in parts of whole series, in order of their first rows; iterates over parts and their rows."""

    def __init__(self, table: pl.LazyFrame, id: str, size: int, work: Path) -> None:
        self._table, self._id, self._work, self._size = table, id, work, size
        self._series = self._counted()
        rows = self._series["rows"].to_numpy().astype(np.int64)
        begins = np.cumsum(rows) - rows
        self._cuts = np.flatnonzero(np.diff(begins // size, prepend=-1))  # first series of each bucket
        self._ends = np.append(begins[self._cuts[1:]], rows.sum())
        first = np.minimum.reduceat(self._series["first"].to_numpy(), self._cuts)
        last = np.maximum.reduceat(self._series["last"].to_numpy(), self._cuts)
        self._together = bool((first[1:] > last[:-1]).all())
        self._spilt = False

    def _counted(self) -> pl.DataFrame:
        """Return the series in order of their first rows, each with the number of its rows, the first and the last."""
        import polars as pl

        held = list[Any]()
        sums = (pl.col("rows").sum(), pl.col("first").min(), pl.col("last").max())
        rows = self._table.select(pl.lit(1, pl.Int64).alias("rows"), id=self._id).with_row_index("first")
        rows = rows.with_columns(last="first")
        for batch in rows.collect_batches(chunk_size=self._size, maintain_order=True):
            held.append(batch.group_by("id").agg(*sums))
            if sum(map(len, held[1:])) > max(self._size, len(held[0])):  # else each series is held many times
                held = [pl.concat(held).group_by("id").agg(*sums)]
        found: pl.DataFrame = pl.concat(held).group_by("id").agg(*sums)
        return found.sort("first")

    def __len__(self) -> int:
        return len(self._cuts)

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return int(self._ends[-1])

    def __iter__(self) -> Iterator[tuple[pl.DataFrame, Callable[[int], int]]]:
        return self._standing() if self._together else self._gathered()

    def _standing(self) -> Iterator[tuple[pl.DataFrame, Callable[[int], int]]]:
        import polars as pl

        held, begin, number = list[Any](), 0, 0
        for batch in self._table.collect_batches(chunk_size=self._size, maintain_order=True):
            while len(batch):
                part = batch[: int(self._ends[number]) - begin - sum(map(len, held))]
                held, batch = [*held, part], batch[len(part) :]
                if begin + sum(map(len, held)) == self._ends[number]:
                    yield pl.concat(held), begin.__add__
                    held, begin, number = [], int(self._ends[number]), number + 1

    def _gathered(self) -> Iterator[tuple[pl.DataFrame, Callable[[int], int]]]:
        import polars as pl
        import pyarrow as pa

        if not self._spilt:
            self._spill()
        names, columns = self._series["id"], self._table.collect_schema().names()
        for number in range(len(self)):
            with (self._work / str(number)).open("rb") as file:
                size, parts = file.seek(0, 2), list[Any]()
                file.seek(0)
                while file.tell() < size:
                    parts.append(pl.from_arrow(pa.ipc.open_stream(file).read_all()))
            frame = pl.concat(parts)
            found = frame.with_columns(names.gather(frame[CODE]).alias(self._id)).select(columns)
            yield found, frame[ROW].item

    def _spill(self) -> None:
        """Append the rows of each batch to the files of their buckets, with the numbers of series for their names."""
        import polars as pl

        known = self._series.select(pl.col("id").alias(self._id)).with_row_index(CODE)
        bucket = np.searchsorted(self._cuts, np.arange(len(known)), side="right") - 1
        table = self._table.with_row_index(ROW)
        for batch in table.collect_batches(chunk_size=self._size, maintain_order=True):
            coded = batch.join(known, on=self._id, how="left", nulls_equal=True, maintain_order="left").drop(self._id)
            coded = coded.with_columns(pl.Series("bucket of the series", bucket[coded[CODE].to_numpy()]))
            parts = coded.partition_by("bucket of the series", as_dict=True, include_key=False, maintain_order=True)
            for (number,), part in parts.items():
                with (self._work / str(number)).open("ab") as file:
                    part.write_ipc_stream(file)
        self._spilt = True
