"""Two thousand files of all kinds, damaged in some places: every one is read, or refused with one message."""

from __future__ import annotations

import gzip
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.commands import tsforecast
from tests.helpers.workbook import workbook
from tests.test_cli_any_file import CELLS
from tsforecast.errors import DataWarning, FitWarning, TrainingWarning

FILES = int(os.environ.get("TSFORECAST_MUTANTS", "2000"))
DAYS = pd.date_range("2024-01-01", periods=28)
FRAME = pd.DataFrame({"shop": ["a"] * 14 + ["b"] * 14, "day": [*DAYS[:14]] * 2, "y": np.arange(28.0)})


def lines(header: str, row: Callable[[int], str], count: int = 28) -> str:
    return "\n".join([header, *map(row, range(count)), ""])


PLAIN = lines("day,y", lambda i: f"{DAYS[i].date()},{i % 7}")
SHOPS = lines("shop,day,y,price", lambda i: f"{'ab'[i // 14]},{DAYS[i % 14].date()},{i}.5,{i % 3}")
TEXTS: dict[str, tuple[str, tuple[str, ...]]] = {  # with the options that read it
    "plain": (PLAIN, ()),
    "shops": (SHOPS, ("--id", "shop", "--target", "y", "--past", "price")),
    "codes": (lines("id,day,y", lambda i: f"00{i // 14},{DAYS[i % 14].date()},{i}"), ("--id", "id")),
    "decimal commas": (lines("Tag;Menge", lambda i: f"{DAYS[i]:%d.%m.%Y};{i},25"), ("--date-format", "%d.%m.%Y")),
    "quoted commas": (lines("day,y", lambda i: f'{DAYS[i].date()},"{i},5"'), ()),
    "a separator for Excel": ("sep=;\n" + lines("day;y", lambda i: f"{DAYS[i].date()};{i}"), ("--time", "day")),
    "missing": (lines("day,y", lambda i: f"{DAYS[i].date()},{i if i % 5 else 'NA'}"), ()),
    "offsets": (lines("at,y", lambda i: f"{DAYS[i].isoformat()}+02:00,{i}"), ("--time", "at")),
    "quarters": (lines("q,y", lambda i: f"{2000 + i // 4}Q{1 + i % 4},{i}"), ()),
    "weeks": (lines("w,y", lambda i: f"2024-W{i + 1:02},{i}"), ()),
    "months": (lines("month,y", lambda i: f"{pd.Timestamp(2020 + i // 12, 1 + i % 12, 1):%b %Y},{i}"), ()),
    "wide": (lines("store," + ",".join(map(str, range(2000, 2020))), lambda i: f"s{i}" + ",1" * 20), ()),
    "seconds": (lines("ts,y", lambda i: f"{1704067200 + 3600 * i},{i}"), ("--time", "ts", "--target", "y")),
    "hours": (
        lines("date,hour,y", lambda i: f"{DAYS[i // 24].date()},{i % 24},{i}", 60),
        ("--time", "date,hour", "--target", "y"),
    ),
    "weather": (lines("day,y,sky", lambda i: f"{DAYS[i].date()},{i},{('sun', 'rain')[i * i % 3 == 1]}"), ()),
    "remarks": (lines("day,y,note", lambda i: f"{DAYS[i].date()},{i},{'promo' if i == 9 else ''}"), ()),
}
TABLES = {
    "polars": FRAME,
    "pandas": FRAME.set_index(["shop", "day"]),
    "categories": FRAME.assign(shop=FRAME["shop"].astype("category")),
    "periods": pd.DataFrame({"y": np.arange(28.0)}, index=pd.period_range("2020-01", periods=28, freq="M")),
    "zone": FRAME[:14].drop(columns="shop").assign(day=DAYS[:14].tz_localize("Europe/Berlin")),
}
KINDS = [
    *((name, suffix) for name in TEXTS for suffix in (".csv", ".csv.gz", ".xlsx")),
    *((name, ".parquet") for name in TABLES),
]


REPAIR = ("--sort", "--duplicates", "last", "--fill-gaps", "--nan", "forward_fill")


def mutated(text: str, rng: np.random.Generator) -> str:
    """Return a table some of whose cells, lines or characters are others."""
    rows = text.split("\n")
    for _ in range(rng.choice([1, 1, 1, 3])):
        at, way = (
            int(rng.integers(len(rows))),
            rng.choice(["cell", "cell", "cell", "lost", "twice", "swap", "more", "one"]),
        )
        mark = ";" if ";" in rows[at] else ","
        cells = rows[at].split(mark)
        if way == "cell":
            cells[rng.integers(len(cells))] = str(rng.choice(CELLS))
            rows[at] = mark.join(cells)
        elif way == "lost":
            rows[at] = mark.join(cells[1:]) if rng.random() < 0.5 else ""
        elif way == "twice":
            rows.insert(at, rows[rng.integers(len(rows))])
        elif way == "swap":
            other = int(rng.integers(len(rows)))
            rows[at], rows[other] = rows[other], rows[at]
        elif way == "more":
            rows[at] += mark + str(rng.choice(CELLS))
        elif rows[at]:
            place = int(rng.integers(len(rows[at])))
            rows[at] = rows[at][:place] + chr(rng.integers(1, 1000)) + rows[at][place + 1 :]
    return "\n".join(rows)


def damaged(held: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes of which some are others, or the last are missing."""
    told = bytearray(held)
    if rng.random() < 0.3:
        return bytes(told[: rng.integers(len(told) + 1)])
    for _ in range(rng.integers(1, 5)):
        told[rng.integers(len(told))] = rng.integers(256)
    return bytes(told)


def write(folder: Path, number: int) -> tuple[Path, tuple[str, ...]]:
    """Write the file of this number, and return it with the options that read it."""
    rng = np.random.default_rng([22, number])
    name, suffix = KINDS[number % len(KINDS)]
    path, whole, repair = folder / f"data{suffix}", rng.random() < 0.8, REPAIR if rng.random() < 0.5 else ()
    if suffix == ".parquet":
        file, frame = io.BytesIO(), TABLES[name].copy()
        if whole:
            frame.iloc[rng.integers(len(frame)), -1] = rng.choice([np.nan, np.inf, 1e300])
            frame = frame.iloc[rng.permutation(len(frame))] if rng.random() < 0.3 else frame.drop(frame.index[3])
        pl.from_pandas(frame).write_parquet(file) if name == "polars" else frame.to_parquet(file)
        path.write_bytes(file.getvalue() if whole else damaged(file.getvalue(), rng))
        return path, repair
    text, options = TEXTS[name]
    text = mutated(text, rng) if whole else text
    code = rng.choice(["utf-8", "utf-8-sig", "cp1252", "utf-16"], p=[0.8, 0.1, 0.07, 0.03])
    if suffix == ".xlsx":
        mark = ";" if ";" in text else ","
        names = {ord(sign): " " for sign in "<>&\x00\x0b\x0c"}
        workbook(
            path, [[_cell(part.translate(names)) for part in line.split(mark)] for line in text.split("\n") if line]
        )
    else:
        held = text.encode(code, errors="replace")
        path.write_bytes(gzip.compress(held, mtime=0) if suffix == ".csv.gz" else held)
    if not whole:
        path.write_bytes(damaged(path.read_bytes(), rng))
    return path, (*options, *repair)


def _cell(text: str) -> object:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 300 else text


def require_one_message(folder: Path, *words: str | Path, codes: tuple[int, ...]) -> int:
    """Run a command; where it refuses the file, it does so in one message, and writes nothing."""
    before = sorted(folder.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of other libraries, but for those that are hidden in a program
        warnings.simplefilter("ignore", DeprecationWarning)
        for own in (DataWarning, FitWarning, TrainingWarning):
            warnings.simplefilter("always", own)
        done = tsforecast(*words, cwd=folder)
    assert done.returncode in codes, done
    assert "Traceback" not in done.stderr
    if done.returncode == 2:
        assert done.stderr.count("Error: ") == 1, done
        assert not done.stdout, done
        assert sorted(folder.rglob("*")) == before
    return done.returncode


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    faults, read = list[str](), 0
    for number in range(FILES):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, options = write(folder, number)
        try:
            require_one_message(folder, "check", path, *options, codes=(0, 1, 2))
            fit = ("fit", path, *options, "--model", "naive", "--horizon", "2", "--out", "model")
            if require_one_message(folder, *fit, codes=(0, 2)) == 0:
                require_one_message(folder, "predict", "model", "--data", path, "--out", "next.csv", codes=(0, 2))
                read += 1
        except BaseException as error:
            faults.append(f"{number} {KINDS[number % len(KINDS)]}: {type(error).__name__}: {str(error)[:600]}")
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:40])
    assert FILES // 10 < read < FILES
