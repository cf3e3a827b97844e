"""Roles of columns: those that are named are checked, others inferred where there is a single candidate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tsforecast.data.calendar import DAY, Frequency, Stamps, digits_of, own_moves, put_in_order
from tsforecast.data.series import Roles, Series
from tsforecast.data.values import (
    codes_of,
    first_text,
    is_period,
    is_text,
    sample,
    to_numpy,
    zone_of,
)
from tsforecast.data.zones import DATED, PART_OF_YEAR, length_of
from tsforecast.errors import Argument, DataError, Part, Phrase, Problem, Row, nearest, raise_any, shorten
from tsforecast.monash import SUFFIX, MonashFile, read_monash

_DATE = re.compile(r"\d{4}[-/]\d{2}|(\d{4}[-/]\d{2}[-/]\d{2}|\d{1,6}([-/.])\d{1,2}\2\d{1,4}).*")
_IF_NAMES = " if it names series"
_NAMED_BY_TIME = re.compile(r"(19|20)\d{2}([-/ ]?[QMqm]\d{1,2})?")  # years, quarters and months
FEW = 0.1  # of all rows whose time stamp occurs again by mistake; with several series there are more


def roles_of(target: Any, past: Any, future: Any, static: Any, group: Any, categories: Any) -> Roles:
    """Return the roles of columns that are given by name, each by one or several."""
    coded: dict[str, tuple[str, ...]] = dict.fromkeys(_names(categories), ())
    whose = None if group is None else str(group)
    return Roles(_names(target), _names(past), _names(future), _names(static), whose, categories=coded)


def _names(names: Any) -> tuple[str, ...]:
    """Return names of columns as text; those of pandas may be numbers, and 0 is one."""
    if isinstance(names, (str, int, float)):
        return (str(names),) if names != "" else ()
    return tuple(str(name) for name in names or ())


def inferred(
    frame: nw.DataFrame[Any],
    roles: Roles,
    time: str | None,
    id: str | None,
    index_time: str | None = None,
    *,
    one_series: bool = False,
    targets: Literal["one", "all", "none"] = "one",
) -> tuple[Roles, str | None, str | None, list[str]]:
    """Return the roles, the columns of time and id, and notes, of a frame whose named columns must be there."""
    require_columns(frame.columns, roles, time, id)
    named = {*roles.varying, *roles.static}
    time = time or guess_time(frame, {*named, roles.group, id})
    id, notes = (None if one_series else id), list[str]()
    if id is None and not one_series:
        id, notes = guess_id(frame, {*named, time, index_time}, roles.group, time)
    if not roles.target and targets != "none":
        found = guess_targets(frame, {*named, roles.group}, time, id, several=targets == "all")
        roles = replace(roles, target=found)
    return roles, time, id, notes


def guess_time(frame: nw.DataFrame[Any], taken: Collection[str | None]) -> str | None:
    """Return the only column of dates; DataError when there are several."""
    return _only(columns_of_dates(frame, taken), "dates", ("name one with ", Argument("time")))


def columns_of_dates(frame: nw.DataFrame[Any], taken: Collection[str | None]) -> list[str]:
    """Return the columns of dates that are not taken; whole numbers, and text like Jan 2015, if no other has them.

    At last, years with words that go on from row to row in the first column: months, perhaps in another language.
    """
    free = [name for name in frame.columns if name not in taken]
    return (
        [name for name in free if looks_like_time(frame[name])]
        or [name for name in free if _digits_go_on(frame[name]) or _mostly(frame[name], PART_OF_YEAR)]
        or [name for name in free[:1] if name == frame.columns[0] and _words_go_on(frame[name])]
    )


def guess_id(
    frame: nw.DataFrame[Any], taken: Collection[str | None], group: str | None, time: str | None
) -> tuple[str | None, list[str]]:
    """Return the only column of text, the group only if there is no other, and notes; DataError if there are several.

    A column that is mostly empty holds remarks, and one of times of day is a part of the time: neither names series.
    Nor does text that would tear one series apart, which is noted.
    """
    texts = [name for name in frame.columns if name not in taken and is_text(frame[name])]
    filled = [name for name in texts if 2 * frame[name].null_count() < len(frame) and not _holds_hours(frame[name])]
    found = [name for name in filled if first_text(frame[name]) is None]
    if group in found and len(found) > 1:
        found.remove(group)
    out = [name for name in found if name != group and _tears(frame, name, time)]
    why = "it changes from row to row" if time is None else "each time stamp occurs once without it"
    notes: list[str] = [
        Problem(f"column {name!r} was left out", f"it holds text, and {why}", (Argument("id", name, "pass"), _IF_NAMES))
        for name in out
    ]
    found = [name for name in found if name not in out]
    return _only(found, "text", ("name the series' column with ", Argument("id"))), notes


def _tears(frame: nw.DataFrame[Any], name: str, time: str | None) -> bool:
    """Return whether names of series in a column would tear one series apart.

    They would where each time stamp occurs once and they bring no order into the stamps, or few occur twice and that is
    not due to several names; without a time, where rows of one name stand neither together nor in turn.
    """
    rows, twice = len(frame), 0
    try:
        for part in (frame[: rows // 8], frame) if time else ():  # the first rows mostly show that many occur again
            twice = len(part) - part[str(time)].n_unique()
            if twice > FEW * rows:
                return False
        codes, names = codes_of(frame[name].drop_nulls())
        alike = rows - len(frame.select(str(time), name).unique()) if twice else 0
    except TypeError:  # of objects that cannot be names
        return False
    runs, count = 1 + int(np.count_nonzero(np.diff(codes))), len(names)
    if count == 1:
        return False
    if time is None:
        in_turn = bool((codes == np.arange(len(codes)) % count).all())
        return count == len(codes) or not (runs == count or in_turn)
    if twice:
        return 2 * alike > twice or runs > count + 2 * twice
    return len(codes) < rows or not put_in_order(to_numpy(frame[time]), codes, runs > count)


def _only(found: list[str], held: str, remedy: tuple[Part, ...]) -> str | None:
    if len(found) > 1:
        raise DataError(Problem(f"columns {_quoted(found)} all hold {held}", "", remedy))
    return found[0] if found else None


def guess_targets(
    frame: nw.DataFrame[Any], taken: Collection[str | None], time: str | None, id: str | None, several: bool = False
) -> tuple[str, ...]:
    """Return the only column of numbers that has no other role, or all of them with `several`.

    A column of numbers in which some text got counts as well: it is refused later, with row and value. DataError is
    raised when there is none, or which one is not clear.
    """
    spoilt, found = dict[str, tuple[int, object]](), []
    for name in frame.columns:
        if name in taken or name in (time, id):
            continue
        if (text := first_text(frame[name])) is not None:
            spoilt[name] = text
        numbers = frame[name].dtype.is_numeric() or frame[name].dtype == nw.Boolean or _holds_decimals(frame[name])
        if name in spoilt or numbers:
            found.append(name)
    if not found:
        what = ", ".join(f"{name!r} ({frame[name].dtype}{_example(frame[name])})" for name in frame.columns[:8])
        remedy = ("convert it, or name it with ", Argument("target"))
        held = (Phrase("the frame", "data"), f" has {what}")
        raise DataError(Problem("a number column to forecast is needed", held, remedy))
    if several or len(found) == 1:
        return tuple(found)
    hints: dict[str, tuple[Part, ...]] = {
        name: (f"{name!r} holds {value!r} in ", Row(row)) for name, (row, value) in spoilt.items()
    }
    columns = {name: to_numpy(frame[name].drop_nulls()) for name in found if name not in spoilt}
    series = [to_numpy(frame[id])] if id else [values for values in columns.values() if names_series(values)]
    for name, values in columns.items():
        if id is None and names_series(values):
            hints[name] = (f"{name!r} repeats few values and may be ", Argument("id", name))
        elif counts_up(values) and _begins_with_series(values, series):
            may = Argument("time", name) if time is None else "no more than a row number"
            hints[name] = (f"{name!r} counts up by equal steps and may be ", may)
    _require_long(frame, found)
    likely = [name for name in found if name not in hints] or found
    several_of = likely[:2] if len(likely) > 1 else [...]
    raise DataError(
        Problem(
            "which column to forecast must be clear",
            f"{_quoted(found)} hold numbers",
            (
                *("name one with ", Argument("target", likely[0])),
                *(", or several with ", Argument("target", several_of)),
                *([Phrase(", or all with Panel.from_wide", "reader")] if time and not (id or hints) else []),
                *(part for name in found if name in hints for part in ("; ", *hints[name])),
            ),
        )
    )


def _holds_decimals(column: nw.Series[Any]) -> bool:
    """Return whether a column of pandas holds decimals, as from a database, which it keeps as objects."""
    import pandas as pd

    return column.dtype == nw.Object and pd.api.types.infer_dtype(column.to_native(), skipna=True) == "decimal"


def table_of(data: Any) -> Any:
    """Return a batch of rows of arrow as a table, and any other data as they are."""
    if type(data).__name__ != "RecordBatch" or not type(data).__module__.startswith("pyarrow"):
        return data
    import pyarrow as pa

    return pa.Table.from_batches([data])


def _begins_with_series(values: NDArray[Any], series: list[NDArray[Any]]) -> bool:
    """Return whether numbers go up throughout, or begin again only where the names in a column change."""
    anew = np.flatnonzero(values[1:] <= values[:-1])
    return not len(anew) or any(bool((of[anew + 1] != of[anew]).all()) for of in series if len(of) == len(values))


def _require_long(frame: nw.DataFrame[Any], found: list[str]) -> None:
    """Refuse a table most of whose columns are named by dates: a row is a series there."""
    dated = [name for name in found if _DATE.fullmatch(name) or _NAMED_BY_TIME.fullmatch(name)]
    if len(dated) < 3 or 2 * len(dated) <= len(frame.columns):
        return
    others = [name for name in frame.columns if name not in dated]
    turned = f".melt({others!r}, var_name='time', value_name='value')"
    must = (Phrase("the frame", "data"), " must have a row for each time")
    got = f"{len(dated)} of its {len(frame.columns)} columns are named by dates, such as {dated[0]!r}"
    raise DataError(Problem(must, got, Phrase(f"turn it with frame{turned}", "wide", turned)))


def require_whole_stamps(time: str, hours: nw.Series[Any], stamps: Stamps) -> None:
    """Refuse dates beside a column that holds the hours of these days."""
    if _holds_hours(hours) and not np.any(stamps % DAY):
        must = f"time column {time!r} must hold the hour as well"
        joined = "join the two to one column of stamps"
        held = f"it holds days, and {hours.name!r} their hours"
        raise DataError(Problem(must, held, Phrase(joined, "two columns", f"{time},{hours.name}")))


def _holds_hours(column: nw.Series[Any]) -> bool:
    """Return whether a column holds times of day, or the numbers of hours."""
    if not column.dtype.is_integer():
        values = sample(column)
        return bool(values) and all(re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", str(value)) for value in values)
    hours = set(column.drop_nulls().to_list())
    return 2 < len(hours) <= 25 and min(hours) in (0, 1) and max(hours) <= 24


def guess_hidden_id(
    frame: nw.DataFrame[Any],
    taken: Collection[str | None],
    stamps: Stamps,
    series: NDArray[np.int64] | None = None,
) -> str | None:
    """Return a column that splits the rows, or those of each of the `series`, into ones whose stamps all go forward."""
    import pandas as pd

    for name in frame.columns:
        if name in taken:
            continue
        try:
            codes, _ = pd.factorize(frame[name].to_numpy())
        except TypeError:  # lists and the like cannot be ids
            continue
        parts = codes.any()
        codes = codes if series is None else series * (codes.max() + 1) + codes
        moves = own_moves(stamps, codes)
        if parts and 2 * len(moves) >= len(stamps) and (moves > 0).all():
            return name
    return None


def looks_like_time(column: nw.Series[Any]) -> bool:
    """Return whether a column holds time stamps, or text most of which is written like dates."""
    if isinstance(column.dtype, (nw.Datetime, nw.Date)) or zone_of(column) or is_period(column):
        return True
    return _mostly(column, _DATE)


def _mostly(column: nw.Series[Any], form: re.Pattern[str]) -> bool:
    """Return whether most of a column of text is written in a form."""
    values = sample(column) if column.dtype == nw.String else []
    return 2 * sum(form.fullmatch(str(value).strip()) is not None for value in values) > len(values)


def _digits_go_on(column: nw.Series[Any]) -> bool:
    """Return whether a column holds whole numbers like 20240131 that go forward, series by series of ten or more."""
    if not column.dtype.is_integer() or len(column) < 3 or column.is_null().any():
        return False
    numbers = column.to_numpy().astype(np.int64)
    found = digits_of(numbers)
    return found is not None and not found[1].any() and 10 * (np.diff(numbers) <= 0).sum() <= len(numbers)


def _words_go_on(column: nw.Series[Any]) -> bool:
    """Return whether a column holds years with words, none of which follows itself."""
    values = sample(column)
    return len(values) > 2 and _mostly(column, DATED) and all(one != next_ for one, next_ in pairwise(values))


def names_series(values: NDArray[Any]) -> bool:
    """Return whether numbers are few and come again and again, as names of series do; 0 and 1 alone are a flag."""
    distinct = np.unique(values.astype(np.float64) if values.dtype == object else values)  # decimals
    return 1 < len(distinct) <= np.sqrt(len(values)) and not np.isin(distinct, (0, 1)).all()


def counts_up(values: NDArray[Any]) -> bool:
    """Return whether whole numbers grow by equal steps, beginning again every ten rows (for each series) at most."""
    if values.dtype.kind not in "iu" or len(np.unique(values)) <= np.sqrt(len(values)):
        return False
    moves = np.diff(values.astype(np.int64))
    ups = moves[moves > 0]
    return len(ups) > 0 and bool((ups == ups[0]).all()) and 10 * (moves < 0).sum() <= len(moves)


def _example(column: nw.Series[Any]) -> str:
    """Return the first value of a column of text: what keeps it from being numbers mostly shows."""
    return "".join(f", such as {str(value)[:20]!r}" for value in sample(column)[:1] if is_text(column))


def _quoted(names: list[str]) -> str:
    return shorten([repr(name) for name in names], 6)


def require_unique(data: Any) -> None:
    """Raise DataError where two columns of a frame have one name; polars has no such frames."""
    names = data.column_names if nw.dependencies.is_pyarrow_table(data) else []
    names = data.columns if nw.dependencies.is_pandas_dataframe(data) else names
    twice = [name for name, count in Counter(names).items() if count > 1]
    raise_any(f"column names must be unique: {name!r} occurs twice; rename one" for name in twice)


def require_columns(columns: list[str], roles: Roles, time: str | None, id: str | None) -> None:
    """Refuse named columns that do not exist, or have two roles; a group may double as an id or a static column."""
    asked: list[tuple[str, str | None]] = [("time", time), ("id", id)]
    asked += [(role, name) for role in ("target", "past", "future", "static") for name in getattr(roles, role)]
    problems, seen = [], dict[str, str]()
    asked.append(("group", roles.group))
    taken = {name for _, name in asked}
    free = [name for name in columns if name not in taken]
    for role, name in asked:
        if name is None:
            continue
        if name not in columns:
            problems.append(f"{role} column {name!r} does not exist; {nearest(name, free) if free else 'add it'}")
        # A group may double as an id or a static column: users are often both.
        elif name in seen and role != "group":
            problems.append(f"column {name!r} cannot be both {seen[name]} and {role}; name it once")
        seen.setdefault(name, role)
    problems += [
        f"column {name!r} must be a past or future covariate to be categories; name it there"
        for name in roles.categories
        if name not in (*roles.past, *roles.future)
    ]
    raise_any(problems)


def read_file(path: Path) -> tuple[Any, dict[str, Any], MonashFile]:
    """Return the frame in a `.tsf` file, the parameters of `Panel.from_frame` that read it, and its other facts."""
    if path.suffix.lower() != SUFFIX:
        raise DataError(
            f"data must be a frame, a Series, numbers or a Panel: got the text {str(path)!r}; pass "
            f"load_dataset({str(path)!r}) if that is a dataset's name, and read a file first, for example with "
            "pandas.read_csv"
        )
    found = read_monash(path)
    frame, roles = found.table()
    if found.frequency and not roles["time"]:
        roles["season_length"] = Frequency.parse(found.frequency).season_length
    return frame, roles, found


def scan_settings(panel: Series) -> dict[str, Any]:
    """Return the columns, step and cleaning of a panel, as `Panel.scan` takes them."""
    roles, source = panel.roles.given, panel.source
    found = {name: getattr(roles, name) for name in ("target", "past", "future", "static", "group")}
    if panel.kind != "none" and not panel.cleaning.resample:
        found["frequency"] = length_of(panel.frequency)
    found |= {"id": source.id, "time": source.time if panel.kind != "none" else False}
    found |= {"categories": [*roles.categories], "season_length": panel.season_length}
    return found | asdict(panel.cleaning)
