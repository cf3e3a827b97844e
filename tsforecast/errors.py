"""Errors: what must hold, what was got, what to do; as a sentence and as fields."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

MAX_SHOWN = 25  # problems in one message; all of them are in `problems`


@dataclass(frozen=True)
class Parameter:
    """Name of a parameter: ``nan_policy`` in Python, ``--nan`` on the command line."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Argument:
    """Keyword argument of a remedy, with the verb before it: ``pass sort=True``, ``time=...``, ``future=``."""

    name: str
    value: object = ...
    verb: str = ""

    def __str__(self) -> str:
        value = "" if self.value == "" else repr(self.value).replace("Ellipsis", "...")
        return f"{self.verb} {self.name}={value}".lstrip()


@dataclass(frozen=True)
class Row:
    """Row of a table, counted from 0, or of one of its files; of a CSV file, an editor shows a line."""

    number: int
    file: str = ""

    def __str__(self) -> str:
        return f"row {self.number} of {self.file}" if self.file else f"row {self.number}"


@dataclass(frozen=True)
class Phrase:
    """Words of the Python interface, such as "the frame"; another interface has its own for the key and value."""

    text: str
    key: str
    value: object = ""

    def __str__(self) -> str:
        return self.text


Reference = Parameter | Argument | Row | Phrase
Part = str | Reference
Text = str | tuple[Part, ...]


class Problem(str):
    """Sentence about one thing that is wrong: what must hold, what was found instead, and what to do.

    Each field consists of texts and references; other interfaces render the references in their own way, see `map`.
    `parameter` names the parameter that `must` is about, and begins the sentence.

    Examples
    --------
    >>> problem = Problem("must be True or False", "got 'yes'", parameter="sort")
    >>> print(problem, problem.parameter)
    sort must be True or False: got 'yes' sort
    >>> problem = Problem("stamps must go forward", ("not in ", Row(3)), Argument("sort", True, verb="pass"))
    >>> print(problem, problem.row)
    stamps must go forward: not in row 3; pass sort=True 3
    """

    must: tuple[Part, ...]
    got: tuple[Part, ...]
    remedy: tuple[Part, ...]
    series: object  # id of the series that the problem is in

    def __new__(
        cls,
        must: Text | Reference,
        got: Text | Reference = "",
        remedy: Text | Reference = "",
        *,
        parameter: str | None = None,
        series: object = None,
    ) -> Self:
        fields = [_parts(field) for field in (must, got, remedy)]
        if parameter is not None:
            fields[0] = (Parameter(parameter), " ", *fields[0])
        texts = ["".join(map(str, field)) for field in fields]
        self = super().__new__(cls, texts[0] + (texts[1] and f": {texts[1]}") + (texts[2] and f"; {texts[2]}"))
        self.must, self.got, self.remedy = fields
        self.series = series
        return self

    @classmethod
    def of(cls, sentence: str) -> Problem:
        """Return a problem as it is, and a plain sentence as a problem without fields."""
        return sentence if isinstance(sentence, Problem) else cls(sentence)

    @property
    def parameter(self) -> str | None:
        """Name of the parameter that it is about."""
        return next((part.name for part in self.must if isinstance(part, Parameter)), None)

    @property
    def references(self) -> list[Reference]:
        """Parts that are no plain text, in order."""
        return [part for part in (*self.must, *self.got, *self.remedy) if not isinstance(part, str)]

    @property
    def row(self) -> int | None:
        """First row that it names, counted from 0."""
        return next((part.number for part in self.references if isinstance(part, Row)), None)

    def map(self, change: Callable[[Reference], Part]) -> Problem:
        """Return the problem with each reference replaced, for another interface."""
        fields = (self.must, self.got, self.remedy)
        changed = [tuple(part if isinstance(part, str) else change(part) for part in field) for field in fields]
        return Problem(*changed, series=self.series)

    def within(self, before: str = "", after: str = "") -> Problem:
        """Return the problem with its origin in words before and after it: ``"gru: sort must be True (of ...)"``."""
        fields = [(before, *self.must), self.got, self.remedy]
        last = max(at for at, field in enumerate(fields) if field)
        fields[last] = (*fields[last], after)
        return Problem(*fields, series=self.series)


def _parts(text: Text | Reference) -> tuple[Part, ...]:
    return text if isinstance(text, tuple) else (text,) if text != "" else ()


class TsForecastError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    problems : str or sequence of str
        A sentence, or a `Problem`, for each thing that is wrong. All problems of one call are reported at once.
    repair : Problem, optional
        What repairs all of them together; the message ends with it.
    """

    def __init__(self, problems: str | Iterable[str], repair: Problem | None = None) -> None:
        self.problems = tuple(map(Problem.of, (problems,) if isinstance(problems, str) else problems))
        message, count = "".join(self.problems[:1]), len(self.problems)
        if count > 1:
            message = "\n  - ".join([f"{count} problems:", *self.problems[:MAX_SHOWN]])
            message += f"\n  and {count - MAX_SHOWN} more of the kind" if count > MAX_SHOWN else ""
        self.repair = repair
        super().__init__(message + (f"\n{repair}" if repair else ""))

    def map(self, change: Callable[[Reference], Part]) -> Self:
        """Return the error with each reference of its problems replaced, see `Problem.map`."""
        return type(self)([problem.map(change) for problem in self.problems], self.repair and self.repair.map(change))


class DataError(TsForecastError, ValueError):
    """The data do not have the form that the toolkit needs."""


class ParameterError(TsForecastError, ValueError):
    """A parameter has a value that cannot work."""


class UnknownNameError(TsForecastError, KeyError):
    """A dataset, model or column of this name does not exist."""

    __str__ = Exception.__str__  # KeyError would show the repr of the sentence


class LeakageError(TsForecastError, AssertionError):
    """A result depends on data that must not be used for it."""


class TrainingError(TsForecastError, ArithmeticError):
    """Training cannot continue."""


class TrainingWarning(UserWarning):
    """Training ended otherwise than planned."""


class DataWarning(UserWarning):
    """Numbers lie outside the range that a forecaster can work with."""


class FitWarning(UserWarning):
    """A model could not be fitted to some series, which get a simpler fallback forecast."""


class TrackingWarning(UserWarning):
    """Runs can no longer be sent to their tracking server."""


class TrackingError(TsForecastError, OSError):
    """The tracking server or store of runs cannot be used."""


class DownloadError(TsForecastError, OSError):
    """A dataset could not be downloaded, or has another checksum than expected."""


class ModelFileError(TsForecastError, OSError):
    """A saved model cannot be read."""


def raise_any(problems: Iterable[str], error: type[TsForecastError] = DataError) -> None:
    """Raise `error` with every problem; do nothing when there is none."""
    found = list(problems)
    if found:
        raise error(found)


def reason(error: BaseException) -> str:
    """Return the first line of an error's message, without the operating system's number for it."""
    words = error.strerror if isinstance(error, OSError) else None
    first = (words or str(error)).strip().split("\n")[0]
    return re.sub(r" \(os error \d+\)", "", first)  # of libraries in Rust


def nearest(name: object, options: Iterable[object]) -> str:
    """Return a hint that names the closest of `options`, whatever its case, or lists them."""
    names = [str(option) for option in options]
    limit = 20 if len(names) <= 20 else 12  # a few more are listed as well
    return guess(name, names) or "choose from " + (shorten(list(map(repr, names)), limit) or "nothing: none exist")


def guess(name: object, options: Iterable[object]) -> str:
    """Return a hint that names the closest of `options`, whatever its case; nothing where none is close."""
    return "".join(f"did you mean {found!r}?" for found in closest(name, options))


def closest(name: object, options: Iterable[object]) -> list[object]:
    """Return the closest of `options`, whatever its case; an empty list where none is close."""
    wanted, by_lower = str(name).lower(), {str(option).lower(): option for option in options}
    close = difflib.get_close_matches(wanted, by_lower, n=1)
    close = close or [lower for lower in by_lower if len(wanted) > 2 and wanted in lower][:1]
    close = close or [lower for lower in by_lower if len(wanted) > 3 and _abbreviates(wanted, lower)][:1]
    return [by_lower[lower] for lower in close]


def _abbreviates(short: str, name: str) -> bool:
    """Return whether the letters of a name, in its order, are those of a short one, such as ffill of forward_fill."""
    rest = iter(name)
    return name[:1] == short[:1] and all(letter in rest for letter in short)


def shorten(items: Sequence[str], limit: int = 3) -> str:
    """Join at most `limit` items and count the rest."""
    if len(items) <= limit:
        return ", ".join(items)
    return ", ".join(items[:limit]) + f" and {len(items) - limit} more"


def spoken(seconds: float) -> str:
    """Return a time as it is read: two digits, in seconds, minutes or hours.

    Examples
    --------
    >>> [spoken(seconds) for seconds in (0.31, 42.4, 200, 40_000)]
    ['0.31 s', '42 s', '3.3 min', '11 h']
    """
    for unit, size, one in (("h", 5400.0, 3600.0), ("min", 90.0, 60.0)):
        if seconds >= size:
            seconds, name = seconds / one, unit
            return f"{seconds:.0f} {name}" if seconds >= 9.95 else f"{seconds:.1f} {name}"
    return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2g} s"


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with its noun, whose plural ends in s unless given: ``"1 step"``, ``"2 steps"``."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def likewise(wrong: Iterable[object], count: int) -> str:
    """Return how many more of `count` series are `wrong` like the first one, to follow a description of its fault."""
    more = len(set(wrong)) - 1
    return f" (and {more} more of {count} series likewise)" if more > 0 else ""


def names_of(ids: Any, targets: Sequence[str], places: Any) -> list[str]:
    """Return the name of the series, the target or both, whichever there are several of, at places (series, target)."""
    series = [repr(str(ids[i])) for i, _ in places]
    if len(targets) == 1:
        return series
    columns = [repr(targets[k]) for _, k in places]
    return columns if len(ids) == 1 else [f"{target} of {name}" for target, name in zip(columns, series, strict=True)]
