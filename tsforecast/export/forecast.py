"""Forecast the rows of a CSV file with a graph that tsforecast exported; onnxruntime and numpy are all that it needs.

python forecast.py model.onnx data.csv [future.csv] > forecasts.csv

The columns are those that the model was fitted on; future.csv has those that are known ahead, of the steps to come.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from typing import Any

import numpy as np
import onnxruntime

ORIGIN = np.datetime64("1970-01-01")
CYCLES: dict[str, tuple[Any, float]] = {  # of the calendar: where days and seconds of a day lie in one, and its length
    "minute": (lambda day, second: second // 60 % 60, 60),
    "hour": (lambda day, second: second / 3600, 24),
    "weekday": (lambda day, second: (day - ORIGIN).astype(int) + 3, 7),
    "day": (lambda day, second: (day - day.astype("M8[M]")).astype(int), 31),
    "yearday": (lambda day, second: (day - day.astype("M8[Y]")).astype(int), 365.25),
    "month": (lambda day, second: day.astype("M8[M]").astype(int) % 12, 12),
}


def split(times: Any, unit: str) -> tuple[Any, Any]:
    """Return stamps as numbers that grow from step to step, and what is left of them."""
    if unit in ("integer", "nanosecond"):
        return times.astype(np.int64), 0
    if unit == "business day":
        return np.busday_count(ORIGIN, times.astype("M8[D]")), times - times.astype("M8[D]")
    months = times.astype("M8[M]")
    return months.astype(np.int64), times - (months + (unit == "month end")).astype("M8[ns]")


def join(numbers: Any, rest: Any, unit: str) -> Any:
    """Undo `split`."""
    if unit in ("integer", "nanosecond"):
        return numbers if unit == "integer" else numbers.astype("M8[ns]")
    if unit == "business day":
        return np.busday_offset(ORIGIN, numbers, roll="forward").astype("M8[ns]") + rest
    return (numbers + (unit == "month end")).astype("M8[M]").astype("M8[ns]") + rest


def labels(times: Any) -> list[str]:
    """Return stamps as text: dates alone where all are midnights."""
    if times.dtype.kind != "M":
        return [str(time) for time in times]
    units = [unit for unit in ("D", "s", "ns") if (times == times.astype(f"M8[{unit}]")).all()]
    return [text.replace("T", " ") for text in np.datetime_as_string(times.astype(f"M8[{units[0]}]"))]


def waves(times: Any, names: list[str]) -> Any:
    """Return the calendar features of stamps."""
    day = times.astype("M8[D]")
    second = (times - day).astype("m8[s]").astype(np.int64)
    angles = [2 * np.pi * where(day, second) / length for where, length in (CYCLES[name] for name in names)]
    return np.stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)], axis=1)


def read(path: str, facts: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Return the rows of a CSV file by series."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows, found = list(csv.DictReader(file)), dict[str, list[dict[str, str]]]()
    time, key, target = facts["time"], facts["id"] or "id", facts["target"][0]
    if facts["wide"]:  # a column for each series
        names = [name for name in (rows[0] if rows else {}) if name != time]
        rows = [{time: row.get(time, ""), key: name, target: row[name]} for name in names for row in rows]
    for row in rows:
        found.setdefault(row.get(key) or "0", []).append(row)
    return found


def number(name: str, cell: str, texts: dict[str, list[str]]) -> float:
    """Return a cell as a number: NaN where there is none; of a text its place among those that are known."""
    if name in texts:
        known = texts[name]
        return -1.0 if not cell else float(known.index(cell) if cell in known else len(known))
    try:
        return np.nan if (cell or "").strip().lower() in ("", "nan", "na", "null", "none") else float(cell)
    except ValueError:
        sys.exit(f"column {name!r} must hold numbers: got {cell!r}; correct it, or leave the cell empty")


def stamps_of(rows: list[dict[str, str]], facts: dict[str, Any]) -> Any:
    """Return the times of rows."""
    name, kind = facts["time"], "M8[ns]" if facts["kind"] == "datetime" else np.int64
    try:
        times = np.array([row.get(name) or "" for row in rows], dtype=kind)
    except ValueError as error:
        sys.exit(f"column {name!r} must hold times like those that were fitted: {error}; correct it")
    if times.dtype.kind == "M" and np.isnat(times).any():
        sys.exit(f"column {name!r} must hold a time in each row: see {rows[int(np.isnat(times).argmax())]}; correct it")
    return times


def binned(rows: list[dict[str, str]], facts: dict[str, Any]) -> list[dict[str, str]]:
    """Return a row for each bin of a step, labelled by its end, where the panel of the model was read in bins."""
    if not (bins := facts.get("bins")) or not rows:
        return rows
    step, how, stamps = facts["frequency"]["count"], bins["aggregate"], stamps_of(rows, facts).astype(np.int64)
    half = step // 2 if how == "nearest" else 0  # to the middle of a bin
    ends = bins["origin"] + half - (bins["origin"] + half - stamps) // step * step
    found, numbers = dict[int, list[dict[str, str]]](), facts["target"] + facts["past"] + facts["future"]
    for at in np.lexsort((stamps, np.abs(ends - half - stamps) if half else stamps)):
        found.setdefault(int(ends[at]), []).append(rows[at])

    def cell(name: str, several: list[dict[str, str]]) -> str:
        given = [
            row[name] for row in several if row.get(name) and not np.isnan(number(name, row[name], facts["texts"]))
        ]
        if how == "mean" and name not in facts["texts"] and given:
            return repr(float(np.mean([float(each) for each in given])))
        return given[0 if half else -1] if given else ""

    names = [name for name in numbers if name in rows[0]]
    label = np.array(sorted(found)).astype("M8[ns]" if facts["kind"] == "datetime" else np.int64)
    return [
        {**found[end][-1], **{name: cell(name, found[end]) for name in names}, facts["time"]: str(time)}
        for end, time in zip(sorted(found), label, strict=True)
    ]


class Steps:
    """The steps of a series: rows by place, and the stamps of places."""

    def __init__(self, rows: list[dict[str, str]], facts: dict[str, Any]) -> None:
        self.facts, self.kind = facts, facts["kind"]
        self.unit, self.count, self.first = facts["frequency"]["unit"], facts["frequency"]["count"], 0
        self.rest: Any = 0
        self.begin: Any = 0
        if self.kind != "none":
            stamps, rest = split(stamps_of(rows, facts), self.unit)
            self.begin, stamps = stamps.min(), self.snapped(stamps, stamps.min())
            self.first, self.rest = int(stamps.min()), rest if np.isscalar(rest) else rest[:1]
        self.place = self.of(rows)
        self.length = int(self.place.max()) + 1

    def snapped(self, stamps: Any, begin: Any) -> Any:
        """Return stamps that are near the grid of the series moved there, as far as the model was fitted so."""
        if not (snap := self.facts.get("snap")):
            return stamps

        def moved(stamps: Any, through: Any) -> Any:
            near = through + (stamps - through + self.count // 2) // self.count * self.count
            return np.where(np.abs(stamps - near) <= snap["within"], near, stamps)

        return moved(stamps, moved(begin, snap["origin"]))

    def of(self, rows: list[dict[str, str]]) -> Any:
        """Return the places of rows, the first of this series being 0."""
        if self.kind == "none":
            return np.arange(len(rows))
        stamps = self.snapped(split(stamps_of(rows, self.facts), self.unit)[0], self.begin)
        place, odd = np.divmod(stamps - self.first, self.count)
        if odd.any() or len({*place.tolist()}) < len(rows):
            name = self.facts["frequency"]["name"]
            sys.exit(
                f"times must be different steps of {name}: see {rows[int(odd.argmax())]}; put rows on that grid first, "
                "or export a model whose panel was read with resample= or tolerance="
            )
        return place

    def table(self, rows: list[dict[str, str]], place: Any, names: list[str], length: int) -> Any:
        """Return columns of rows, (length, C), with NaN in steps that have no row."""
        found = np.full((length, len(names)), np.nan)
        if lacks := [name for name in names if name not in rows[0]]:
            sys.exit(f"the file must have the columns {', '.join(names)}: it lacks {', '.join(lacks)}")
        for row, at in zip(rows, place.tolist(), strict=True):
            if 0 <= at < length:
                found[at] = [number(name, row[name], self.facts["texts"]) for name in names]
        return found

    def times(self, places: Any) -> Any:
        """Return the stamps of places."""
        return places + 1 if self.kind == "none" else join(self.first + self.count * places, self.rest, self.unit)


def inputs_of(
    name: str, rows: list[dict[str, str]], later: list[dict[str, str]], facts: dict[str, Any]
) -> tuple[dict[str, Any], Any]:
    """Return the inputs of the graph for one series, and the times of its forecasts."""
    steps, horizon = Steps(rows, facts), facts["horizon"]
    length, ahead = steps.length, facts["future"] if "ahead" in facts["inputs"] else []
    past = steps.table(rows, steps.place, facts["target"] + facts["past"] + facts["future"], length)
    known, new = np.zeros((horizon, 0)), np.arange(length, length + horizon)
    if ahead:
        place = np.arange(len(later)) if steps.kind == "none" else steps.of(later) - length
        known = steps.table(later, place, ahead, horizon) if later else np.full((horizon, len(ahead)), np.nan)
        if np.isnan(known).any():
            sys.exit(f"series {name!r} must have {', '.join(ahead)} for {horizon} steps to come: name a second file")
    if facts["calendar"]:
        past = np.hstack([past, waves(steps.times(np.arange(length)), facts["calendar"])])
        known = np.hstack([known, waves(steps.times(new), facts["calendar"])])
    place = facts["ids"].index(name) if name in facts["ids"] else -1
    static = [number(key, rows[0][key], facts["texts"]) for key in facts["static"]]
    every = {"past": past, "known": np.array(length), "series": np.array(place), "ahead": known}
    every["static"] = np.array(static, dtype=np.float64)
    return {key: every[key][None] for key in facts["inputs"]}, steps.times(new)


def main(model: str, data: str, future: str | None = None) -> None:
    """Write the forecasts of all series as CSV."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["tsforecast"])
    levels, order = facts["levels"], sorted({*facts["levels"].values()})
    later = read(future, facts) if future else {}
    names = [f"{name}_{level}" if level else name for level in ("", *levels) for name in facts["target"]]
    lines = [[facts["id"] or "id", facts["time"] or "step", *names]]
    for name, rows in read(data, facts).items():
        inputs, times = inputs_of(name, binned(rows, facts), binned(later.get(name, []), facts), facts)
        points, *quantiles = session.run(None, inputs)
        parts = [points[0], *(quantiles[0][0, ..., order.index(level)] for level in levels.values())]
        for time, row in zip(labels(times), np.hstack(parts), strict=True):
            lines.append([name, time, *(repr(float(value)) for value in row)])
    csv.writer(sys.stdout, lineterminator="\n").writerows(lines)  # all or, after an error, none


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        if not os.path.isfile(path):
            sys.exit(
                f"{path!r} must be a file: there is none; check the name, and the folder, which is {os.getcwd()!r}"
            )
    main(*sys.argv[1:])
