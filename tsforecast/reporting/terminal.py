"""Tables and sentences of a terminal, fitted to its width."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO, TextIOWrapper
from itertools import accumulate
from unicodedata import category

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def printed(show: Callable[[Console], None]) -> str:
    """Return as text, without styles, the output of a function on a console as wide as the terminal."""
    # Borders are plain characters where the output cannot hold others.
    file = TextIOWrapper(BytesIO(), getattr(sys.stdout, "encoding", None) or "utf-8", errors="replace", newline="")
    # In a notebook a console of rich would display its output there instead of writing it to the file.
    show(Console(file=file, color_system=None, force_jupyter=False))
    file.seek(0)
    return file.read().rstrip("\n")


def show_columns(
    console: Console,
    columns: Iterable[str],
    rows: Iterable[Sequence[str]],
    styles: Mapping[str, str],
    words: Sequence[str] = (),
) -> None:
    """Print a table whose rows have the style of their first cell; columns that do not fit are listed below it."""
    names, lines = list(columns), list(rows)
    widths = [max(map(len, column)) + 3 for column in zip(names, *lines, strict=True)]  # space and rule around each
    kept = max(2, sum(reach < console.width for reach in accumulate(widths)))
    table = Table()
    for name in names[:kept]:
        table.add_column(name, justify="left" if name in (names[0], *words) else "right", no_wrap=True)
    for line in lines:
        table.add_row(*map(escape, line[:kept]), style=styles.get(line[0]))
    console.print(table)
    if kept < len(names):
        wrap(console, f"(left out for width: {', '.join(names[kept:])})", style="dim")


def wrap(console: Console, sentence: str, first: str = "", then: str = "", style: str | None = None) -> None:
    """Print a sentence, indented by `first` on its first line and by `then` on the following ones."""
    lines = textwrap.fill(sentence, console.width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
    console.print(lines, style=style, highlight=False, markup=False, soft_wrap=True)


def show_pairs(console: Console, pairs: Mapping[str, str | None], title: str | None = None) -> None:
    """Print names and texts in two columns; those without a text are left out."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in pairs.items():
        if text:
            table.add_row(name, printable(text))
    console.print(table)


def printable(text: str) -> str:
    """Escape foreign text for a terminal: markup, and control characters."""
    return escape(without_controls(text))


def without_controls(text: str) -> str:
    """Write codes that steer a terminal as text."""
    return "".join(letter if letter in "\n\t" or category(letter) != "Cc" else repr(letter)[1:-1] for letter in text)
