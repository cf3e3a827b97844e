"""`tsforecast benchmark`: measure anew what the toolkit claims, or draw the numbers that come along with it."""

from __future__ import annotations

import ast
import os
import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from tsforecast.cli_output import say
from tsforecast.errors import DataError, UnknownNameError, nearest

# In the order of the list; one whose script is not there is left out.
BENCHMARKS = ("gestures", "sensors", "accuracy", "speed")


def benchmark(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which one.", show_default="list them")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for rows and report.", show_default="benchmark-NAME")] = None,
    measure: Annotated[bool, typer.Option(help="Measure anew, or draw the report of the rows that come along.")] = True,
) -> None:
    """Measure on public data, beside the naive baseline; rows and a report.

    Options that are not listed here are the benchmark's own, such as --quick of gestures; see
    tsforecast benchmark NAME -- --help.
    """
    from tsforecast.files import require_place, shipped, write_or_return

    folder = shipped("benchmarks")
    scripts = {name: folder / f"{name}.py" for name in BENCHMARKS if (folder / f"{name}.py").is_file()}
    if name is None:
        for known, script in scripts.items():
            say(f"{known:<10} {_about(script)}")
        return
    if name not in scripts:
        raise UnknownNameError(f"benchmark {name!r} does not exist; {nearest(name, scripts)}")
    if not measure and context.args:
        raise DataError(f"--no-measure draws what was measured: leave {' '.join(context.args)!r} out")
    out = out or Path(f"benchmark-{name}")
    rows, page = out / f"{name}.jsonl", out / f"{name}.html"
    require_place(out, mark=page.name if not measure else rows.name)
    if measure:
        _run(scripts[name], context.args, out)
    from tsforecast.reporting.benchmark_report import html_benchmark, read_rows  # not before a mistake is said

    kept = read_rows(rows if measure else folder / "results" / rows.name)
    write_or_return(html_benchmark(name, kept, _about(scripts[name])), page)
    say(f"wrote {page}")


def _run(script: Path, words: list[str], out: Path) -> None:
    """Run a script as if it were called with these words; its rows go to `out`."""
    os.environ["TSFORECAST_RESULTS"] = str(out.absolute())
    sys.path.insert(0, str(script.parent))  # scripts share what records rows
    sys.argv = [f"tsforecast benchmark {script.stem}", *words]
    runpy.run_path(str(script), run_name="__main__")


def _about(script: Path) -> str:
    """Return the first line of what a script says of itself."""
    return (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").split("\n")[0]
