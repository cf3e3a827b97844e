"""What the command line says and writes: notes, errors, progress, forecasts, leaderboards."""

from __future__ import annotations

import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tsforecast.errors import DataWarning, FitWarning, ParameterError, TrackingWarning, TrainingWarning
from tsforecast.files import new_file

if TYPE_CHECKING:
    from tsforecast.data.panel import Panel
    from tsforecast.evaluation.leaderboard import Leaderboard
    from tsforecast.leakage.report import AuditReport
    from tsforecast.search.storage import StoredSearch


def show_leaderboard(board: Leaderboard, title: str, console: Console) -> None:
    """Print the table, what was tested, and a sentence for each model.

    On a narrow terminal the columns that matter least are left out, and said to be.
    """
    shown = board.display_table
    names = list(shown.columns[1:])
    widths = [max(map(len, [name, *shown[name]])) + 3 for name in names]  # space and rule around each
    room = console.width - max(map(len, shown["model"])) - 4
    kept = [name for name, reach in zip(names, accumulate(widths), strict=True) if reach <= room] or names[:1]
    _say(console, title, style="bold")
    table = Table()
    table.add_column("model", no_wrap=True)
    for name in kept:
        table.add_column(name, justify="right", no_wrap=True)
    for row, skill in zip(shown[["model", *kept]].itertuples(index=False), board.table["skill"], strict=True):
        style = "dim" if row[0] == board.reference else "green" if skill > 0 else None
        table.add_row(*map(escape, row), style=style)
    console.print(table)
    if len(kept) < len(names):
        _say(console, f"(left out for width: {', '.join(names[len(kept) :])})", style="dim")
    _say(console, f"{board.summary_line}.")
    for note in board.notes:
        _say(console, f"Note: {note}.", then=" " * len("Note: "))
    for verdict in board.verdicts.values():
        _say(console, verdict.sentence, first="  ", then="    ")
    _say(console, f"{board.audit_line}.")


def show_audit(report: AuditReport, title: str, console: Console) -> None:
    """Print the verdict of an audit, and a line for each perturbation."""
    _say(console, title, style="bold")
    shown = report.shown
    table = Table(*shown.columns)
    styles = {"LEAK": "bold red", "not run": "yellow"}
    for row in shown.itertuples(index=False):
        table.add_row(*(escape(str(cell)) for cell in row), style=styles.get(row.outcome))
    console.print(table)
    _say(console, f"{report.verdict}.")


def show_search(search: StoredSearch, title: str, console: Console) -> None:
    """Print what a search found, its best trials, and how all ended.

    On a narrow terminal the last columns are left out, and said to be.
    """
    # A page can be made of them, for which matplotlib is loaded: a leaderboard does not wait for that.
    from tsforecast.search.report import best_trials, counts, headline
    from tsforecast.search.results import scored

    trials = search.trials
    _say(console, title, style="bold")
    _say(console, headline(search, trials))
    if len(scored(trials)):
        grid = best_trials(trials, search.space)
        widths = [max(map(len, column)) + 3 for column in zip(grid.columns, *grid.rows, strict=True)]
        kept_columns = sum(reach < console.width for reach in accumulate(widths)) or 1
        table = Table()
        for column in grid.columns[:kept_columns]:
            table.add_column(column, justify="left" if column in ("trial", *grid.words) else "right", no_wrap=True)
        for row in grid.rows:
            style = "dim" if row[0] == grid.marked else "green" if row[1].strip("+-0.%") and row[1][0] == "+" else None
            table.add_row(*map(escape, row[:kept_columns]), style=style)
        console.print(table)
        if kept_columns < len(grid.columns):
            _say(console, f"(left out for width: {', '.join(grid.columns[kept_columns:])})", style="dim")
    _say(console, counts(search, trials))


def _say(console: Console, sentence: str, first: str = "", then: str = "", style: str | None = None) -> None:
    """Print a sentence with `first` before it, and `then` before each line that it goes on in."""
    lines = textwrap.fill(sentence, console.width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
    console.print(lines, style=style, highlight=False, markup=False, soft_wrap=True)


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
    from tsforecast.evaluation.report.figures import plot_forecasts, save_figure

    figure = plot_forecasts(board, panel)  # drawn before anything is written
    for name in (BOARD, "report.html", "rows.parquet"):
        write_report(board, out / name, title)
    save_figure(figure, out / "forecasts.png")
    say(f"wrote {out / 'forecasts.png'}")
    shutil.rmtree(unfinished(out), ignore_errors=True)
