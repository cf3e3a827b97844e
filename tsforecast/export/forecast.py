"""Forecast the rows of a CSV file with a graph that tsforecast exported; onnxruntime and numpy are all that it needs.

python forecast.py model.onnx data.csv [future.csv] > forecasts.csv

The columns are those that the model was fitted on; future.csv has those that are known ahead, of the steps to come.
Dates are like 2024-01-31, or have the form of `--dates`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import warnings
from datetime import datetime
from typing import Any

import numpy as np
import onnxruntime

ALONE = "0"  # the name of a series without a name
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


def labels(times: Any, form: str | None, zoned: bool = False) -> list[str]:
    """Return stamps as text: in the form of the data, in UTC where zoned, or dates alone if all are midnights."""
    if times.dtype.kind != "M":
        return [str(time) for time in times]
    if form:
        return [time.strftime(form) for time in times.astype("M8[us]").tolist()]
    units = [unit for unit in ("D", "s", "ns") if (times == times.astype(f"M8[{unit}]")).all()]
    if zoned and units[0] == "D":
        units = ["s"]
    texts = np.datetime_as_string(times.astype(f"M8[{units[0]}]"))
    return [text.replace("T", " ") + "+00:00" * zoned for text in texts]


def waves(times: Any, names: list[str]) -> Any:
    """Return the calendar features of stamps."""
    day = times.astype("M8[D]")
    second = (times - day).astype("m8[s]").astype(np.int64)
    angles = [2 * np.pi * where(day, second) / length for where, length in (CYCLES[name] for name in names)]
    return np.stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)], axis=1)


def read(path: str, facts: dict[str, Any], needed: list[str]) -> dict[str, list[Row]]:
    """Return the rows of a CSV file by series; those of a wide one have a target in each."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            text = file.read()
    except OSError as error:
        sys.exit(f"{path} must be a CSV file that can be read: {error.strerror}")
    except UnicodeDecodeError as error:
        sys.exit(f"{path} must be text in UTF-8: {error.reason} at byte {error.start}; save it as CSV in UTF-8")
    time, key, target = facts["time"], facts["id"], facts["target"][0]
    wide = facts["wide"]  # a column for each series
    places = (None if wide else key, None if facts["kind"] == "none" else time)
    needed = [name for name in places if name] + ([] if wide else needed)
    separator, names = header(text, needed)
    if lacks := [name for name in needed if name not in names]:
        held = f"it has {', '.join(names)}" if names else "it is empty"
        sys.exit(f"{path} must have the columns {', '.join(needed)}: it lacks {', '.join(lacks)}; {held}")
    found, reader = dict[str, list[Row]](), csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    next(reader)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        row = Row(zip(names, cells, strict=False), f"line {reader.line_num} of {path}", separator == ";")
        if wide:
            for name in names:
                if name != time:
                    each = Row({time: row.get(time, ""), target: row.get(name, "")}, row.place, row.commas)
                    found.setdefault(name, []).append(each)
        elif key and not row.get(key):
            sys.exit(f"{row.place} must name its series in {key!r}: the cell is empty")
        else:
            found.setdefault(row[key] if key else row.get("id") or ALONE, []).append(row)
    if not found:
        sys.exit(f"{path} must have rows: it has none")
    return found


class Row(dict[str, str]):
    """The cells of a row by column, where it stands, whether its numbers have decimal commas, and its time if known."""

    def __init__(self, cells: Any, place: str, commas: bool, time: Any = None) -> None:
        super().__init__(cells)
        self.place, self.commas, self.time = place, commas, time


def header(text: str, needed: list[str]) -> tuple[str, list[str]]:
    """Return the separator by which most of the needed columns are found, and the columns."""
    every = [(mark, next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), [])) for mark in ",;\t"]
    stripped = [(mark, [name.strip() for name in names]) for mark, names in every]
    return max(stripped, key=lambda each: (len({*needed} & {*each[1]}), len(each[1])))


def number(name: str, row: Row, texts: dict[str, list[str]]) -> float:
    """Return a cell as a number: NaN where there is none; of a text its place among those that are known."""
    cell = row.get(name, "")
    if name in texts:
        return float(place_of(cell, texts[name]))
    plain = cell.strip().lower()
    if plain in ("", "nan", "na", "null", "none"):
        return np.nan
    if plain in ("true", "false"):
        return float(plain == "true")
    try:
        found = float(plain.replace(",", ".") if row.commas else plain)
    except ValueError:
        found = np.inf
    if not np.isfinite(found):
        sys.exit(f"{row.place} must have a number in {name!r}, such as 1234.5: got {cell!r}")
    return found


def place_of(cell: str, known: list[str]) -> int:
    """Return the place of a text: -1 where there is none, one beyond the last of a new one."""
    if cell in known:
        return known.index(cell)
    if not cell:
        return -1
    try:  # codes are whole numbers, which a file may have as 2.0
        code = f"{float(cell):.0f}"
        return known.index(code) if code in known and float(code) == float(cell) else len(known)
    except ValueError:
        return len(known)


def stamp(row: Row, facts: dict[str, Any]) -> Any:
    """Return the time of a row."""
    if row.time is not None:
        return row.time
    cell, form = row.get(facts["time"], "").strip(), facts.get("dates")
    try:
        if facts["kind"] != "datetime":
            return np.int64(cell)
        if form:
            return np.datetime64(datetime.strptime(cell, form), "ns")
        if (cell.isdigit() and len(cell) > 4) or not cell:  # numpy reads 20240131 as a year
            raise ValueError
        return np.datetime64(cell.replace("/", "-") if cell[:4].isdigit() else cell, "ns")
    except ValueError:
        must = "a whole number" if facts["kind"] != "datetime" else f"a date like {form or '2024-01-31'}"
        remedy = "" if facts["kind"] != "datetime" or not cell else "; name their form, such as --dates %d.%m.%Y"
        sys.exit(f"{row.place} must have {must} in {facts['time']!r}: got {cell!r}{remedy}")


def has_zone(row: Row, facts: dict[str, Any]) -> bool:
    """Return whether the time of a row has an offset from UTC."""
    clock = row.get(facts["time"], "").strip()[10:]
    return facts["kind"] == "datetime" and not facts.get("dates") and any(mark in clock for mark in "Zz+-")


def stamps_of(rows: list[Row], facts: dict[str, Any]) -> Any:
    """Return the times of rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zones: times are compared in UTC
        return np.array([stamp(row, facts) for row in rows])


def binned(rows: list[Row], facts: dict[str, Any]) -> list[Row]:
    """Return a row for each bin of a step, labelled by its end, where the panel of the model was read in bins."""
    if not (bins := facts.get("bins")) or not rows:
        return rows
    step, how, stamps = facts["frequency"]["count"], bins["aggregate"], stamps_of(rows, facts).astype(np.int64)
    half = step // 2 if how == "nearest" else 0  # to the middle of a bin
    ends = bins["origin"] + half - (bins["origin"] + half - stamps) // step * step
    found, numbers = dict[int, list[Row]](), facts["target"] + facts["past"] + facts["future"]
    for at in np.lexsort((stamps, np.abs(ends - half - stamps) if half else stamps)):
        found.setdefault(int(ends[at]), []).append(rows[at])

    def cell(name: str, several: list[Row]) -> str:
        given = [(row[name], number(name, row, facts["texts"])) for row in several if row.get(name)]
        given = [(text, value) for text, value in given if not np.isnan(value)]
        if how == "mean" and name not in facts["texts"] and given:
            return repr(float(np.mean([value for _, value in given])))
        return given[0 if half else -1][0] if given else ""

    names = [name for name in numbers if name in rows[0]]
    kind = "M8[ns]" if facts["kind"] == "datetime" else np.int64
    every = list[Row]()
    for end in sorted(found):
        last, cells = found[end][-1], {name: cell(name, found[end]) for name in names}
        every.append(Row({**last, **cells}, last.place, last.commas, np.array(end).astype(kind)[()]))
    return every


class Steps:
    """The steps of a series: rows by place, and the stamps of places."""

    def __init__(self, rows: list[Row], facts: dict[str, Any]) -> None:
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

    def of(self, rows: list[Row]) -> Any:
        """Return the places of rows, the first of this series being 0."""
        if self.kind == "none":
            return np.arange(len(rows))
        stamps = self.snapped(split(stamps_of(rows, self.facts), self.unit)[0], self.begin)
        place, odd = np.divmod(stamps - self.first, self.count)
        seen: dict[int, Row] = {}
        for row, at, off in zip(rows, place.tolist(), odd.tolist(), strict=True):
            if off or at in seen:
                time, step = row[self.facts["time"]], self.facts["frequency"]["name"]
                how = "does not follow in that step" if off else f"is in {seen[at].place} as well"
                sys.exit(
                    f"times of a series must be different steps of {step}: {time} in {row.place} {how}; put rows on "
                    "that grid first, or export a model whose panel was read with resample= or tolerance="
                )
            seen[at] = row
        return place

    def table(self, rows: list[Row], place: Any, names: list[str], length: int) -> Any:
        """Return columns of rows, (length, C), with NaN in steps that have no row."""
        found = np.full((length, len(names)), np.nan)
        for row, at in zip(rows, place.tolist(), strict=True):
            if 0 <= at < length:
                found[at] = [number(name, row, self.facts["texts"]) for name in names]
        return found

    def times(self, places: Any) -> Any:
        """Return the stamps of places."""
        return places + 1 if self.kind == "none" else join(self.first + self.count * places, self.rest, self.unit)


def inputs_of(name: str, rows: list[Row], later: list[Row] | None, facts: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return the inputs of the graph for one series, and the times of its forecasts."""
    steps, horizon = Steps(rows, facts), facts["horizon"]
    length, ahead = steps.length, facts["future"] if "ahead" in facts["inputs"] else []
    past = steps.table(rows, steps.place, facts["target"] + facts["past"] + facts["future"], length)
    known, new = np.zeros((horizon, 0)), np.arange(length, length + horizon)
    times = steps.times(new)
    if ahead:
        known = np.full((horizon, len(ahead)), np.nan)
        if later:
            known = steps.table(
                later, np.arange(len(later)) if steps.kind == "none" else steps.of(later) - length, ahead, horizon
            )
        if (lacks := np.isnan(known).any(axis=1)).any():
            first = labels(times, facts.get("dates"))[int(lacks.argmax())]
            got = f"the second file lacks {lacks.sum()} of them, the first at {first}"
            if not later:
                none = "name a second file that has" if later is None else "the second file has none of"
                got = f"{none} them, from {first} on"
            sys.exit(f"series {name!r} must have {', '.join(ahead)} for {horizon} steps to come: {got}")
    if facts["calendar"]:
        past = np.hstack([past, waves(steps.times(np.arange(length)), facts["calendar"])])
        known = np.hstack([known, waves(times, facts["calendar"])])
    ids = facts["ids"]
    place = ids.index(name) if name in ids else -1
    if len(ids) == 1 and name == ALONE and not facts["id"]:  # the only series of both
        place = 0
    for key in facts["static"]:
        if other := next((row for row in rows if row.get(key) != rows[0].get(key)), None):
            sys.exit(f"{other.place} must have {rows[0].get(key)!r} in {key!r}, as {rows[0].place}: it is static")
    static = [number(key, rows[0], facts["texts"]) for key in facts["static"]]
    every = {"past": past, "known": np.array(length), "series": np.array(place), "ahead": known}
    every["static"] = np.array(static, dtype=np.float64)
    return {key: every[key][None] for key in facts["inputs"]}, times


def opened(model: str) -> tuple[Any, dict[str, Any]]:
    """Return the session of a graph, and its facts."""
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        facts = json.loads(session.get_modelmeta().custom_metadata_map["tsforecast"])
        return session, facts | {"horizon": facts["horizon"]}
    except Exception as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        sys.exit(f"{model} must be a forecaster that tsforecast exported as .onnx: {why}")


def notes_on(given: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Return the limits of the forecasts of all series, by their inputs; exit where none has the rows it needs."""
    least, notes = facts.get("least", 1), list[str]()
    lengths = {name: int(inputs["known"][0]) for name, inputs in given.items()}
    if short := [name for name, length in lengths.items() if length < least]:
        if len(short) == len(given):
            sys.exit(
                f"a series must have at least {least} rows: {short[0]!r} has {lengths[short[0]]}; give more of them"
            )
        notes.append(
            f"{len(short)} of {len(given)} series have fewer than {least} rows, and are forecast by their last season: "
            f"{', '.join(short[:3])}"
        )
    columns = facts["target"] + facts["past"] + facts["future"]
    numbers = [at for at, name in enumerate(columns) if name not in facts["texts"]]
    holes = sum(int(np.isnan(inputs["past"][0][:, numbers]).sum()) for inputs in given.values())
    if holes and not facts.get("nan_policy", "mask"):
        notes.append(
            f"{holes} missing numbers are filled from those before them; predict refuses them, as the model was fitted "
            "without nan_policy="
        )
    return notes


def main(model: str, data: str, future: str | None = None, dates: str | None = None) -> None:
    """Write the forecasts of all series as CSV, once all are there."""
    session, facts = opened(model)
    facts["dates"] = dates or facts.get("dates")
    levels, order = facts["levels"], sorted({*facts["levels"].values()})
    columns = facts["target"] + facts["past"] + facts["future"] + facts["static"]
    every = read(data, facts, columns)
    later = read(future, facts, facts["future"]) if future and facts["future"] else None
    names = [f"{name}_{level}" if level else name for level in ("", *levels) for name in facts["target"]]
    found, given = [[facts["id"] or "id", facts["time"] or "step", *names]], dict[str, Any]()
    for name, rows in every.items():
        known = None if later is None else binned(later.get(name, []), facts)
        inputs, times = inputs_of(name, binned(rows, facts), known, facts)
        given[name] = inputs
        points, *quantiles = session.run(None, inputs)
        parts = [points[0], *(quantiles[0][0, ..., order.index(level)] for level in levels.values())]
        for time, row in zip(labels(times, facts["dates"], has_zone(rows[0], facts)), np.hstack(parts), strict=True):
            found.append([name, time, *(repr(float(value)) for value in row)])
    for note in notes_on(given, facts):
        sys.stderr.write(f"Note: {note}\n")
    csv.writer(sys.stdout, lineterminator="\n").writerows(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in (
        ("model", "graph"),
        ("data", "CSV file of the rows so far"),
        ("future", "CSV file of the steps to come"),
    ):
        parser.add_argument(name, help=text, nargs="?" if name == "future" else None)
    parser.add_argument("--dates", help="form of dates, such as %%d.%%m.%%Y", metavar="FORM")
    main(**vars(parser.parse_args()))
