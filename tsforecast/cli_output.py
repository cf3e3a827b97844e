"""What the command line says and writes: notes, errors, progress, forecasts, leaderboards."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category

from rich.console import Console
from rich.markup import escape

from tsforecast.errors import DataWarning, FitWarning, ParameterError, TrackingWarning, TrainingWarning
from tsforecast.files import new_file

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel
    from tsforecast.evaluation.board import Leaderboard

REPORTS = (".html", ".md", ".json")
BOARD = "leaderboard.md"  # the file by which the folder of a leaderboard is known
console = Console()


def shown(words: str) -> str:
    r"""Return words of others as a terminal may print them: not as markup, nor as codes that steer it.

    Examples
    --------
    >>> print(shown("a\x1b[31mb"))
    a\x1b[31mb
    """
    return escape(_harmless(words))


def _harmless(words: str) -> str:
    letters = (letter if letter in "\n\t" or category(letter) != "Cc" else repr(letter)[1:-1] for letter in words)
    return "".join(letters)


def say(sentence: str, style: str | None = None) -> None:
    """Print a sentence as it is, on one line."""
    console.print(shown(sentence), style=style, highlight=False, soft_wrap=True)


def complain(word: str, sentence: str) -> None:
    """Print what is wrong, or not as expected, beside the results."""
    style = "red" if word == "Error" else "yellow"
    Console(stderr=True).print(f"[bold {style}]{word}:[/] {shown(sentence)}", highlight=False, soft_wrap=True)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show our own warnings as sentences, without the line of code that says so."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, (TrainingWarning, FitWarning, DataWarning, TrackingWarning)):
                complain("Warning", str(message))
            else:
                usual(message, category, *where, **more)

        warnings.showwarning = show
        yield


@contextmanager
def progress(title: str, total: int) -> Iterator[Any]:
    """Yield a function to call with the name of each model."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        done = -1

        def report(name: str) -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, description=f"{title}{name}")

        yield report


def as_polars(forecasts: Any) -> Any:
    """Return forecasts in any form as a polars frame; of a pandas index only what has a name is kept."""
    import pandas as pd
    import polars as pl

    if isinstance(forecasts, (pd.DataFrame, pd.Series)):
        frame = pd.DataFrame(forecasts).reset_index(drop=forecasts.index.names == [None])
        periods = [name for name, kind in frame.dtypes.items() if isinstance(kind, pd.PeriodDtype)]
        return pl.from_pandas(frame.astype(dict.fromkeys(periods, str)))  # polars knows no periods
    if hasattr(forecasts, "__arrow_c_stream__"):
        return pl.DataFrame(forecasts)
    if forecasts.ndim == 1:
        return pl.DataFrame({"forecast": forecasts})
    return pl.DataFrame({f"forecast {step}": column for step, column in enumerate(forecasts.T, 1)})


def write_frame(frame: Any, forms: Mapping[str, str], out: Path) -> None:
    """Write a polars frame as its suffix says, whole or not at all; see `print_frame` for the dates in text."""
    with new_file(out) as unfinished:
        if out.suffix.lower() == ".parquet":
            frame.write_parquet(unfinished)
        else:
            _with_texts(frame, forms).write_csv(unfinished)


def print_frame(frame: Any, forms: Mapping[str, str]) -> None:
    """Print a polars frame as CSV: exact for programs, and without codes that steer a terminal for people.

    Parameters
    ----------
    forms : dict of str
        How the dates of a column are written, in strptime codes; ISO 8601 unless said.
    """
    text = _with_texts(frame, forms).write_csv()
    sys.stdout.write(_harmless(text) if sys.stdout.isatty() else text)


def _with_texts(frame: Any, forms: Mapping[str, str]) -> Any:
    """Return a frame with its dates as text."""
    import polars as pl

    def text(dates: Any) -> Any:
        try:
            return dates.dt.to_string(forms.get(dates.name) or _shortest(dates))
        except pl.exceptions.PolarsError:  # %#z and others are for reading only
            return dates.dt.to_string(_shortest(dates))

    return frame.with_columns(
        text(frame[name]) for name, kind in frame.schema.items() if kind in (pl.Date, pl.Datetime)
    )


def _shortest(dates: Any) -> str:
    """Return the form of ISO 8601 that holds dates or stamps and no more, as pandas writes them."""
    import polars as pl

    zone = getattr(dates.dtype, "time_zone", None)
    if dates.dtype == pl.Date or (zone is None and (dates.dt.truncate("1d") == dates).all()):
        return "%Y-%m-%d"
    return "%Y-%m-%d %H:%M:%S%.f" + ("%:z" if zone else "")  # nothing stands for %.f where there is no fraction


def report_suffix(path: Path, known: tuple[str, ...] = REPORTS) -> str:
    """Return the ending that says what to write.

    Raises
    ------
    ParameterError
    """
    suffix = path.suffix.lower()
    if suffix not in known:
        raise ParameterError(f"a report must end in {', '.join(known[:-1])} or {known[-1]}: got {str(path)!r}")
    return suffix


def write_report(board: Leaderboard, path: Path, title: str) -> None:
    """Write a report as its suffix says."""
    suffix = path.suffix.lower()
    if suffix == ".html":
        board.to_html(path, title)
    elif suffix == ".json":
        board.to_json(path)
    elif suffix == ".parquet":
        board.to_parquet(path)
    else:
        with new_file(path) as unwritten:
            unwritten.write_text(f"# {title}\n\n{board.to_markdown()}", encoding="utf-8")
    say(f"wrote {path}")


def unfinished(out: Path) -> Path:
    """Return the folder beside `out` where the rows of fits lie until all are made."""
    return out.with_name(f"{out.name}.unfinished")


def write_board(board: Leaderboard, panel: Panel, out: Path, title: str) -> None:
    """Write report, table, rows and figure of a leaderboard; what was kept of single fits is no longer needed."""
    from tsforecast.reporting.plots import plot_forecasts, save_figure

    figure = plot_forecasts(board, panel)  # drawn before anything is written
    for name in (BOARD, "report.html", "rows.parquet"):
        write_report(board, out / name, title)
    save_figure(figure, out / "forecasts.png")
    say(f"wrote {out / 'forecasts.png'}")
    shutil.rmtree(unfinished(out), ignore_errors=True)
