"""Bodies of requests: JSON, read strictly, as tables and nested lists of numbers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.errors import Problem, TsForecastError, counted, nearest, shorten

DIGITS = 18  # of a whole number that 64 bits hold; longer ones are read as floats


class RequestError(TsForecastError, ValueError):
    """A request cannot be answered; `status` is that of HTTP, and `retry` the seconds after which it may be."""

    def __init__(self, problems: str | Iterable[str], status: int = 422, retry: int | None = None) -> None:
        super().__init__(problems)
        self.status, self.retry = status, retry


def refuse(must: str, got: str = "", remedy: str = "", status: int = 422) -> NoReturn:
    """Raise RequestError with one sentence."""
    raise RequestError(Problem(must, got, remedy), status)


def read_json(body: bytes, fields: Collection[str]) -> dict[str, Any]:
    """Return the fields of a JSON object; RequestError where a body is no such object, or has others.

    Examples
    --------
    >>> read_json(b'{"horizon": 3}', ["horizon"])
    {'horizon': 3}
    >>> read_json(b'{"horizn": 3}', ["horizon"])
    Traceback (most recent call last):
    tsforecast.serving.reading.RequestError: the body must have no field 'horizn'; did you mean 'horizon'?
    """
    try:
        text = body.decode("utf-8")
        found = json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_float=_number,
            parse_int=lambda digits: int(digits) if len(digits) <= DIGITS else _number(digits),
        )
        if "\\ud" in text.lower():
            json.dumps(found, ensure_ascii=False).encode("utf-8")  # no table can hold half of a character
    except UnicodeDecodeError as error:
        got = f"byte {error.start} of {len(body)} is 0x{body[error.start]:02x}"
        refuse("the body must be JSON in UTF-8", got, "encode it as UTF-8", status=400)
    except UnicodeEncodeError as error:
        must = "texts must be characters"
        refuse(must, f"the escape {ascii(error.object[error.start])[1:-1]} is half of one", "write both", status=400)
    except json.JSONDecodeError as error:
        reason = f"{error.msg[:1].lower()}{error.msg[1:]}, line {error.lineno}, column {error.colno}"
        remedy = "send an object such as {}" if not body.strip() else "correct it there"
        refuse("the body must be JSON", reason, remedy, status=400)
    except RecursionError:
        refuse("the body must nest few levels", "it nests hundreds of them", "send rows of numbers", status=400)
    if not isinstance(found, dict):
        refuse("the body must be a JSON object", f"got {_kind(found)}", f"send {{{_list(fields)}}}", status=400)
    for name in found:
        if name not in fields:
            refuse(f"the body must have no field {name[:80]!r}", "", nearest(name[:80], fields))
    return {name: value for name, value in found.items() if value is not None}


def read_table(given: Any, name: str, most: int) -> pd.DataFrame:
    """Return a frame of rows that are given as an object of columns, or a list of records."""
    form = f"{name!r} must be an object of columns, or a list of records"
    if isinstance(given, list):
        wrong = [row for row in given if not isinstance(row, dict)]
        if wrong or not given:
            refuse(form, f"got a list with {_kind(wrong[0])}" if wrong else "got an empty list", _sample(name))
        _check_rows(len(given), name, most)
        names = list(dict.fromkeys(key for row in given[:1000] for key in row))
        strange = next((key for row in given[1000:] for key in row if key not in names), None)
        if strange is not None or len(names) > 1000:
            refuse(f"records of {name!r} must have the same names", f"{strange!r} is not in the first 1000")
        columns = {key: [row.get(key) for row in given] for key in names}
    elif isinstance(given, dict):
        columns = given
        for key, column in columns.items():
            if not isinstance(column, list):
                refuse(f"column {key[:80]!r} of {name!r} must be a list", f"got {_kind(column)}")
        lengths = {key: len(column) for key, column in columns.items()}
        if len(set(lengths.values())) > 1:
            shown = shorten([f"{key[:80]!r} has {count}" for key, count in lengths.items()], 4)
            refuse(f"columns of {name!r} must have one length", shown, "use null for what is missing")
        _check_rows(max(lengths.values(), default=0), name, most)
    else:
        refuse(form, f"got {_kind(given)}", _sample(name))
    if not columns or not len(next(iter(columns.values()))):
        refuse(f"{name!r} must have rows", "it has none", _sample(name))
    for key, column in columns.items():
        nested = next((value for value in column if isinstance(value, (list, dict))), None)
        if nested is not None:
            refuse(f"column {key[:80]!r} of {name!r} must hold numbers, texts and null", f"it has {_kind(nested)}")
    return pd.DataFrame({key: _typed(column) for key, column in columns.items()})


def read_numbers(given: Any, name: str, most: int) -> NDArray[np.float64]:
    """Return nested lists of numbers as an array of one or two axes; null is NaN."""
    form = f"{name} must be a list of numbers, or of lists of as many numbers each"
    if not isinstance(given, list) or not given:
        refuse(form, "got an empty list" if given == [] else f"got {_kind(given)}")
    _check_rows(len(given), name, most)
    rows = given if isinstance(given[0], list) else [[value] for value in given]
    for row in rows:
        if not isinstance(row, list) or len(row) != len(rows[0]) or not row:
            got = f"lists of {len(rows[0])} and {len(row)}" if isinstance(row, list) else f"a list with {_kind(row)}"
            refuse(form, got)
        for value in row:
            if not (value is None or isinstance(value, (int, float))):
                refuse(form, f"it holds {_kind(value)}")
    values = np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
    return values if isinstance(given[0], list) else values[:, 0]


def _typed(column: list[Any]) -> Any:
    """Return numbers with null as an array with NaN; other columns as they are."""
    if all(value is None or type(value) is float for value in column):
        return np.array([np.nan if value is None else value for value in column], dtype=np.float64)
    return column


def _check_rows(count: int, name: str, most: int) -> None:
    if count > most:
        refuse(
            f"{name!r} must have at most {most} rows",
            f"got {count}",
            "send fewer rows, or start the server with --max-rows",
            status=413,
        )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1) if len(names) < 1000 else "a name"
        refuse("each name must occur once in an object", f"{twice[:80]!r} occurs twice", "leave one out", status=400)
    return found


def _no_constant(name: str) -> NoReturn:
    refuse("the body must be JSON", f"{name} is no number of JSON", "write null for what is missing", status=400)


def _number(digits: str) -> float:
    found = float(digits)
    if not np.isfinite(found):
        shown = digits if len(digits) <= 24 else f"one of {len(digits)} digits"
        refuse("numbers must be at most 1.8e308", f"got {shown}", "scale them down", status=400)
    return found


def _kind(value: Any) -> str:
    """Return a value of JSON in words, short ones with their content."""
    if isinstance(value, dict):
        return f"an object of {counted(len(value), 'name')}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return json.dumps(value if not isinstance(value, str) else value[:80])


def _sample(name: str) -> str:
    return f'send such as {{"{name}": {{"time": [1, 2], "y": [3.5, 4.0]}}}}, with the columns of the model'


def _list(fields: Collection[str]) -> str:
    return ", ".join(f'"{field}": ...' for field in fields)
