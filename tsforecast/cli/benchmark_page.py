"""HTML page of a benchmark, from its rows; apart from the command, since it loads pandas and the report toolkit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tsforecast.data.samples import DuplicateSet
from tsforecast.errors import DataError
from tsforecast.evaluation.classification import ClassificationResults, copy_notes
from tsforecast.evaluation.overall import overall
from tsforecast.evaluation.report.classification import html_classification
from tsforecast.evaluation.report.overall import html_overall
from tsforecast.reporting.page import page
from tsforecast.reporting.tables import MISSING, Grid, cell

Rows = list[dict[str, Any]]
ABOUT = ("date", "machine", "versions")  # keys that `benchmarks/record.py` adds to each row


def read_rows(path: Path) -> Rows:
    """Return the rows of a benchmark, one JSON object a line."""
    if not path.is_file():
        raise DataError(f"{str(path)!r} must hold the rows of a benchmark: there is no such file; measure it first")
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except ValueError as error:
        raise DataError(f"{str(path)!r} must hold a JSON object in each line: {error}") from error


def html_benchmark(name: str, rows: Rows, about: str = "") -> str:
    """Return the page of a benchmark: a classification report, or a table for each set; `about` is a sentence."""
    if any(row.get("measured") == "recognition" for row in rows):
        return _classification(name, rows)
    if any(row.get("measured") == "tasks" for row in rows):
        return _standing(rows)
    table = pd.DataFrame(rows)
    grids = [_plain(table)]
    if {"set", "model", "value"} <= set(table):
        grids = [_of_set(str(key), part) for key, part in table.groupby("set", sort=False)]
    return page(
        "benchmark.html.jinja",
        title=f"Benchmark: {name}",
        about=about,
        grids=grids,
        facts=facts(rows),
    )


def facts(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the dates, machines and versions of the rows."""
    dates = sorted({row["date"] for row in rows if "date" in row})
    found = {"Measured": dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"} if dates else {}
    for title, key, between in (("Machine", "machine", ": "), ("Versions", "versions", " ")):
        held = dict.fromkeys(
            ", ".join(f"{name}{between}{value}" for name, value in row[key].items()) for row in rows if row.get(key)
        )
        if held:
            found[title] = "; ".join(held)
    return found


def _classification(name: str, rows: Rows) -> str:
    """Return the page of a classifier comparison: the first set in full, the others in a table."""
    of = {kind: [row for row in rows if row["measured"] == kind] for kind in ("recognition", "transfer", "copies")}
    tallies = _tallies(of["recognition"])
    sets = {str(key): part for key, part in tallies.groupby("set", sort=False)}
    with_users = [key for key, part in sets.items() if part["group"].notna().all()]
    first = (with_users or list(sets))[0]
    abouts = {row["model"]: row["about"] for row in of["recognition"] if row["set"] == first and "about" in row}
    copies = tuple(
        DuplicateSet((), tuple(row["names"]), tuple(row["labels"]), tuple(row["groups"]))
        for row in of["copies"]
        if row["set"] == first
    )
    curve = [row for row in of["transfer"] if row["set"] == first]
    return html_classification(
        ClassificationResults(sets[first], tuple(copy_notes(copies, sets[first]))),
        f"{name.capitalize()}: {first}",
        _tallies(curve) if curve else None,
        {key: ClassificationResults(part) for key, part in sets.items() if key != first},
        abouts | facts(rows),
    )


def _standing(rows: Rows) -> str:
    """Return the page of the models over all tasks."""
    kept = [{key: value for key, value in row.items() if key not in ABOUT} for row in rows]
    found = overall(kept, rows[0].get("reference"))
    failed = [{"task": row["set"], "model": row["model_name"], "error": row.get("error") or MISSING} for row in kept]
    lost = [line for line, row in zip(failed, kept, strict=True) if row["test_error"] is None]
    return html_overall(found, facts=facts(rows), failures=pd.DataFrame(lost))


def _tallies(rows: Rows) -> pd.DataFrame:
    """Return a line for each true and predicted class."""
    lines = [
        {key: value for key, value in row.items() if key not in (*ABOUT, "answers")}
        | {"true": true, "predicted": predicted, "count": count}
        for row in rows
        for true, counts in row["answers"].items()
        for predicted, count in counts.items()
    ]
    found = pd.DataFrame(lines)
    return found.assign(seed=found["seed"].astype("Int32"))


def _of_set(name: str, rows: pd.DataFrame) -> Grid:
    """Return the table of a set: the mean and range over seeds for each model and its settings."""
    keys = [key for key in ("model", "settings", "metric") if key in rows]
    lines = []
    for _, part in rows.groupby(keys, sort=False, dropna=False):
        first, values = part.iloc[0], part["value"].dropna()
        spread = f" ({values.min():.3f} to {values.max():.3f})" if len(values) > 1 else ""
        seconds = part["fit_seconds"].median() if "fit_seconds" in part else float("nan")
        mean = f"{values.mean():.3f}{spread}" if len(values) else MISSING
        lines.append((*(first[key] for key in keys), mean, cell(seconds, "{:.1f}")))
    return Grid.of(name, (*keys, "value", "fit s"), lines, words=keys[1:])


def _plain(rows: pd.DataFrame) -> Grid:
    """Return the numbers and words of rows as a table."""
    plain = rows.drop(columns=list(ABOUT), errors="ignore")
    plain = plain.loc[:, ~plain.map(lambda one: isinstance(one, (dict, list))).any()]
    words = [name for name in plain if not pd.api.types.is_numeric_dtype(plain[name])]
    texts = plain.map(lambda one: f"{one:.4g}" if isinstance(one, float) else str(one), na_action="ignore")
    return Grid.of_frame("Measurements", texts.astype(object).where(texts.notna(), MISSING), words=words)
