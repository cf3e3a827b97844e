"""What goes wrong, said in sentences: what must hold, what was got, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

MAX_SHOWN = 25  # problems in one message; all of them are in `problems`


class TsForecastError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    problems : str or sequence of str
        One sentence for each thing that is wrong. All problems of one call are reported at once.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__(self._message())

    def _message(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        listed = "\n".join(f"  - {problem}" for problem in self.problems[:MAX_SHOWN])
        more = len(self.problems) - MAX_SHOWN
        return f"{len(self.problems)} problems:\n{listed}" + (f"\n  and {more} more of the kind" if more > 0 else "")

    def __reduce__(self) -> tuple[type[TsForecastError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class DataError(TsForecastError, ValueError):
    """The data do not have the form that the toolkit needs."""


class ParameterError(TsForecastError, ValueError):
    """A parameter has a value that cannot work."""


class UnknownNameError(TsForecastError, KeyError):
    """A dataset, model or column of this name does not exist."""

    def __str__(self) -> str:  # KeyError would show the repr of the sentence
        return self._message()


class LeakageError(TsForecastError, AssertionError):
    """Something depends on what must not be seen."""


class TrainingError(TsForecastError, ArithmeticError):
    """Training cannot go on."""


class TrainingWarning(UserWarning):
    """Training ended in another way than planned."""


class DataWarning(UserWarning):
    """Numbers lie outside what a forecaster can make sense of."""


class FitWarning(UserWarning):
    """A model could not be fitted to some series, and a simpler forecast stands in its place."""


class TrackingWarning(UserWarning):
    """Runs are no longer sent to where they are tracked."""


class TrackingError(TsForecastError, OSError):
    """Runs cannot be tracked where it was asked for."""


class DownloadError(TsForecastError, OSError):
    """A dataset could not be fetched, or what came is not what was expected."""


class ModelFileError(TsForecastError, OSError):
    """A saved model cannot be read."""


def raise_any(problems: Iterable[str], error: type[TsForecastError] = DataError) -> None:
    """Raise `error` with every problem in `problems`; do nothing when there is none."""
    found = list(problems)
    if found:
        raise error(found)


def reason(error: BaseException) -> str:
    """Return what went wrong in the first line of words, without the operating system's number for it.

    Examples
    --------
    >>> reason(FileNotFoundError(2, "No such file or directory", "a.csv"))
    'No such file or directory'
    """
    words = error.strerror if isinstance(error, OSError) else None
    first = (words or str(error)).strip().split("\n")[0]
    return re.sub(r" \(os error \d+\)", "", first)  # as libraries in Rust have it


def nearest(name: object, options: Iterable[object]) -> str:
    """Return a hint that names the closest of `options`, whatever its case, or lists them.

    Examples
    --------
    >>> nearest("grru", ["gru", "lstm"])
    "did you mean 'gru'?"
    >>> nearest("LSTM", ["gru", "lstm"])
    "did you mean 'lstm'?"
    >>> nearest("zzz", ["gru", "lstm"])
    "choose from 'gru', 'lstm'"
    """
    names = [str(option) for option in options]
    wanted, by_lower = str(name).lower(), {option.lower(): option for option in names}
    close = difflib.get_close_matches(wanted, by_lower, n=1)
    close = close or [lower for lower in by_lower if len(wanted) > 2 and wanted in lower][:1]
    if close:
        return f"did you mean {by_lower[close[0]]!r}?"
    return "choose from " + (shorten([repr(n) for n in names], 12) or "nothing: none exist")


def shorten(items: Sequence[str], limit: int = 3) -> str:
    """Join at most `limit` items and count the rest.

    Examples
    --------
    >>> shorten(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    if len(items) <= limit:
        return ", ".join(items)
    return ", ".join(items[:limit]) + f" and {len(items) - limit} more"
