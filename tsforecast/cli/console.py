"""Output of the command line: notes, errors, progress, tables, forecasts and reports."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tsforecast.cli.wording import note_of
from tsforecast.errors import (
    DataError,
    DataWarning,
    FitWarning,
    ParameterError,
    TrackingWarning,
    TrainingWarning,
    counted,
    shorten,
)
from tsforecast.files import new_file, require_place, write_or_return
from tsforecast.reporting.terminal import printable, show_columns, without_controls, wrap

if TYPE_CHECKING:
    from tsforecast.anomalies.results import Anomalies
    from tsforecast.cli.dates import Form
    from tsforecast.cli.options import ResultOptions
    from tsforecast.data.panel import Panel
    from tsforecast.evaluation.compare_classifiers import ClassifierComparison
    from tsforecast.evaluation.leaderboard import Leaderboard
    from tsforecast.evaluation.plan import Plan
    from tsforecast.leakage.report import AuditReport
    from tsforecast.search.storage import StoredSearch


def show_audit(report: AuditReport, title: str, console: Console) -> None:
    """Print the verdict of an audit, and a line for each perturbation."""
    wrap(console, title, style="bold")
    shown = report.shown
    table = Table(*shown.columns)
    styles = {"LEAK": "bold red", "not proven": "yellow", "not run": "yellow", "rounding": "dim"}
    for row in shown.itertuples(index=False):
        table.add_row(*(escape(str(cell)) for cell in row), style=styles.get(row.outcome))
    console.print(table)
    wrap(console, f"{report.verdict}.")
    wrap(console, f"An audit cannot detect: {'; '.join(report.unseen)}.")


def show_anomalies(found: Anomalies, title: str, console: Console) -> None:
    """Print what was found, the rarest first, and what the level means."""
    from tsforecast.anomalies.report import grid_of

    wrap(console, title, style="bold")
    wrap(console, f"{found.headline}.")
    events = found.to_frame()
    if len(events):
        grid = grid_of(events.head(SHOWN))
        show_columns(console, grid.columns, grid.rows, {}, grid.words)
    if len(events) > SHOWN:
        wrap(console, f"({len(events) - SHOWN} more: write them to a file with --out)", style="dim")
    for sentence in found.facts.sentences:
        wrap(console, f"{sentence}.")


def show_plan(plan: Plan, title: str, console: Console) -> None:
    """Print the power of a test for several gains, what they need, and the findings of the plan."""
    from tsforecast.evaluation.plan import SKILLS

    wrap(console, title, style="bold")
    columns = ["true gain", "found by such tests", f"{plan.history.kind} needed for 80 %"]
    rows = [[f"{skill:.0%}", *words] for skill, words in zip(SKILLS, plan.shown, strict=True)]
    show_columns(console, columns, rows, {})
    for sentence in plan.sentences:
        wrap(console, f"{sentence}.")


def show_search(search: StoredSearch, title: str, console: Console) -> None:
    """Print the result of a search, its best trials and how all ended."""
    # A page can be made of them, for which matplotlib is loaded: a leaderboard does not wait for that.
    from tsforecast.search.report import best_trials, counts, headline
    from tsforecast.search.results import scored

    trials = search.trials
    wrap(console, title, style="bold")
    wrap(console, headline(search, trials))
    if len(scored(trials)):
        grid = best_trials(trials, search.space)
        better = (row for row in grid.rows if row[1].strip("+-0.%") and row[1][0] == "+")
        styles = {row[0]: "green" for row in better} | {grid.marked: "dim"}
        show_columns(console, grid.columns, grid.rows, styles, grid.words)
    wrap(console, counts(search, trials))


REPORTS = (".html", ".md", ".json")
BOARD = "leaderboard.md"  # the file by which the folder of a leaderboard is known
COMPARISON = "classification.md"  # and that of a comparison of classifiers
SHOWN = 20  # anomalies in a table
console = Console()


def echo(sentence: str, style: str | None = None) -> None:
    """Print a sentence on one line."""
    console.print(printable(sentence), style=style, highlight=False, soft_wrap=True)


def warn(word: str, sentence: str) -> None:
    """Print an error, a warning or a note to stderr."""
    style = "red" if word == "Error" else "yellow"
    Console(stderr=True).print(f"[bold {style}]{word}:[/] {printable(sentence)}", highlight=False, soft_wrap=True)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show our own warnings as sentences, without the line of code; and notes of the log."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, (TrainingWarning, FitWarning, DataWarning, TrackingWarning)):
                warn("Warning", note_of(message.args[0]))
            else:
                usual(message, category, *where, **more)

        warnings.showwarning = show
        log, notes = logging.getLogger("tsforecast"), _Notes()
        before = log.level
        log.setLevel(logging.INFO)
        log.addHandler(notes)
        try:
            yield
        finally:
            log.removeHandler(notes)
            log.setLevel(before)


class _Notes(logging.Handler):
    """Shows records of the log that are meant for everybody."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "note", False):
            warn("Note", record.getMessage())


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Any]:
    """Yield a function to call with the name of each model; the total is None where it is not known."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task, done = bar.add_task(title, total=total), count()
        yield lambda name: bar.update(task, completed=next(done), description=f"{title}{name}")


@contextmanager
def interruptible(results: ResultOptions) -> Iterator[None]:
    """Where the user ends a comparison, print how many fits are kept and how to go on; leave with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        place = results.unfinished
        kept = len([*place.glob("*.parquet")]) if place and place.is_dir() else 0
        if kept:
            rows = f"rows of {counted(kept, 'finished fit')} are kept in {place}"
            warn("Interrupted", f"{rows}; the same command continues from there")
        else:
            remedy = "none was finished" if place else "with --out FOLDER those that are finished are kept"
            warn("Interrupted", f"no fit is kept: {remedy}")
        raise typer.Exit(130) from None


def as_polars(forecasts: Any) -> Any:
    """Return forecasts in any form as a polars frame; of a pandas index all but numbers of rows is kept."""
    import pandas as pd
    import polars as pl

    if isinstance(forecasts, (pd.DataFrame, pd.Series)):
        one = isinstance(forecasts, pd.Series)
        frame = forecasts.to_frame("y" if forecasts.name in (None, "") else forecasts.name) if one else forecasts
        levels = zip(frame.index.names[::-1], ("time", "id"), strict=False)
        names = [default if name is None else name for name, default in levels][::-1]
        rows = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
        frame = frame.reset_index(drop=rows, names=None if rows else names).rename(columns=str)
        periods = [name for name, kind in frame.dtypes.items() if isinstance(kind, pd.PeriodDtype)]
        return pl.from_pandas(frame.astype(dict.fromkeys(periods, str)))  # polars knows no periods
    if hasattr(forecasts, "__arrow_c_stream__"):
        return pl.DataFrame(forecasts)
    if forecasts.ndim == 1:
        return pl.DataFrame({"forecast": forecasts})
    return pl.DataFrame({f"forecast {step}": column for step, column in enumerate(forecasts.T, 1)})


def write_frame(frame: Any, form: Form, out: Path | None) -> None:
    """Write a polars frame to CSV or Parquet by its suffix, atomically; print it as CSV where there is no file.

    CSV is written as `form` has it, and dates in ISO 8601 where it has none. Numbers have three decimals more than
    those that were read, and all where those are not known. Codes that steer a terminal are printed as text there.
    """
    if out and out.suffix.lower() == ".parquet":
        with new_file(out) as unfinished:
            frame.write_parquet(unfinished)
        return
    how: dict[str, Any] = {"separator": form.separator, "decimal_comma": form.decimal_comma}
    text = _as_text(frame, form).write_csv(line_terminator="\r\n" if out and form.crlf else "\n", **how)
    if out:
        with new_file(out) as unfinished:
            unfinished.write_text(text, form.encoding, errors="replace", newline="")
    else:
        sys.stdout.write(without_controls(text) if sys.stdout.isatty() else text)


def show_lines(lines: Sequence[str]) -> None:
    """Print a drawing of plain characters; of ASCII where the terminal knows no others."""
    from tsforecast.cli.fan import PLAIN

    text = without_controls("".join(f"{line.rstrip()}\n" for line in lines))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = text.translate(PLAIN)
    sys.stdout.write(text)


def _as_text(frame: Any, form: Form) -> Any:
    """Return a frame with its dates as text, its numbers rounded, and its columns in the order of the form."""
    import polars as pl

    def text(dates: Any, name: str) -> Any:
        try:
            return dates.dt.to_string(form.dates.get(name) or _shortest(dates)).alias(name)
        except pl.exceptions.PolarsError:  # %#z and others are for reading only
            return dates.dt.to_string(_shortest(dates)).alias(name)

    columns = []
    for column in frame:
        places = min(max(form.decimals.get(column.name, 15), 0) + 3, 15)
        day, _, hour = column.name.rpartition(",")
        if column.dtype == pl.Datetime and hour in form.dates and column.name not in form.dates:  # joined of two
            columns += [text(column.cast(pl.Date), day), text(column, hour)]
        elif column.dtype in (pl.Date, pl.Datetime):
            columns.append(text(column, column.name))
        elif column.dtype.is_float() and places < 15:
            exact = column.abs() * 10**places < 2**53  # larger ones have no such places
            columns.append(column.round(places).zip_with(exact, column))
        else:
            columns.append(column)
    order = {name: at for at, name in enumerate(form.columns)}
    return pl.DataFrame(sorted(columns, key=lambda column: order.get(column.name, len(order))))


def _shortest(dates: Any) -> str:
    """Return the form of ISO 8601 that holds dates or stamps and no more, as pandas writes them."""
    import polars as pl

    zone = getattr(dates.dtype, "time_zone", None)
    if dates.dtype == pl.Date or (zone is None and (dates.dt.truncate("1d") == dates).all()):
        return "%Y-%m-%d"
    return "%Y-%m-%d %H:%M:%S%.f" + ("%:z" if zone else "")  # nothing stands for %.f where there is no fraction


def suffix_of(path: Path, known: Sequence[str] = REPORTS, what: str = "a report") -> str:
    """Return the ending of a file; refuse one that is not known."""
    for suffix in known:
        if path.name.lower().endswith(suffix):
            return suffix
    endings = ", ".join([*known[:-2], " or ".join(known[-2:])])
    raise ParameterError(f"{what} must end in {endings}: got {str(path)!r}")


def require_results(results: ResultOptions, mark: str) -> None:
    """Refuse files and folders that cannot be written before the data are read; `mark` is a file of the folder."""
    if results.report:
        suffix_of(results.report)
        require_place(results.report.parent)
    if results.out:
        require_place(results.out, mark=mark)


def write_report(board: Leaderboard | ClassifierComparison, path: Path, title: str) -> None:
    """Write a report in the format of its suffix."""
    suffix = path.suffix.lower()
    if suffix == ".html":
        board.to_html(path, title)
    elif suffix == ".json":
        board.to_json(path)
    elif suffix == ".parquet":
        board.to_parquet(path)
    else:
        write_or_return(f"# {title}\n\n{board.to_markdown()}", path)
    echo(f"wrote {path}")


def write_board(board: Leaderboard, panel: Panel, out: Path, title: str) -> None:
    """Write report, table, rows and figure of a leaderboard."""
    from tsforecast.evaluation.report.figures import plot_forecasts, save_figure

    figure = plot_forecasts(board, panel)  # drawn before anything is written
    write_comparison(board, out, title, BOARD)
    save_figure(figure, out / "forecasts.png")
    echo(f"wrote {out / 'forecasts.png'}")


def write_comparison(results: Leaderboard | ClassifierComparison, out: Path, title: str, table: str) -> None:
    """Write table, report and rows of a comparison."""
    for name in (table, "report.html", "rows.parquet"):
        write_report(results, out / name, title)


def note_replaced(out: Path, models: Collection[str]) -> None:
    """Note which models of an older comparison in a folder are not among those whose rows will replace it."""
    from tsforecast.evaluation.storage import ROWS, read_rows

    if not (out / ROWS).exists():
        return
    with suppress(DataError):  # whatever it is, it is replaced
        older = dict.fromkeys(read_rows(out / ROWS)[0]["model"].astype(str))
        if gone := [name for name in older if name not in models]:
            held = f"{str(out)!r} has rows of {shorten(gone)} as well, which will be replaced"
            warn("Note", f"{held}; to keep them name another --out: tsforecast report merges both")


def heading_of(out: Path) -> str | None:
    """Return the title of a comparison of classifiers in a folder, where it was written there."""
    try:
        with (out / COMPARISON).open(encoding="utf-8") as file:
            first = file.readline(1000).strip()
    except (OSError, UnicodeDecodeError):
        return None
    return first.removeprefix("# ") if first.startswith("# ") else None
