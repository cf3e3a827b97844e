"""Files that are scanned give the panel, and the problems, of the same rows in memory."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsforecast import GRUForecaster, Panel, SeasonalNaiveForecaster
from tsforecast.data import store
from tsforecast.errors import DataError

# Of numbers, which rows there are, and of which files; which share they are; what closed shops look like; the reader.
VAGUE = re.compile(
    r"row \d+( of [^\s),;]+)?| to Panel.(scan|from_frame or Panel.from_array)"
    r"|(; )?\d+\.\d% of the rows|, (all|\d+) (on|at the hours) [^;)]*as it seems"
)
STEPS = {"D": "1d", "h": "1h", "MS": "1mo", "QS": "1q", "7D": "1w", "B": "1d"}


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(store, "BUCKET", 300)
    monkeypatch.setattr(store, "HEAD", 60)
    monkeypatch.setenv("TSFORECAST_CACHE", str(tmp_path / "cache"))


def stamps(step: str, count: int) -> pl.Series:
    begin = pl.datetime(2024, 1, 1)
    if step == "integer":
        return pl.Series(np.arange(count))
    if step == "digits":
        return pl.Series([year * 100 + month for year in range(2000, 2030) for month in range(1, 13)][:count])
    ends = pl.datetime(2024, 1, 1).dt.offset_by(f"{3 * count}{STEPS[step][1:]}")
    found = pl.select(pl.datetime_range(begin, ends, STEPS[step])).to_series()
    return (found.filter(found.dt.weekday() < 6) if step == "B" else found)[:count]


@st.composite
def tables(draw: st.DrawFn) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Draw rows of several series, some of them spoilt, and arguments that read them."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    step = draw(st.sampled_from(["D", "h", "MS", "QS", "7D", "B", "integer", "digits"]))
    lengths = draw(st.lists(st.integers(1, 30), min_size=3, max_size=14))
    whole, parts = stamps(step, 60), list[pl.DataFrame]()
    id_of = draw(st.sampled_from([str, int, "x{}".format]))
    for i, length in enumerate(lengths):
        begin = int(random.integers(0, 20)) if draw(st.booleans()) else 0
        parts.append(pl.DataFrame({"id": [id_of(i)] * length, "t": whole[begin : begin + length]}))
    frame = pl.concat(parts)
    rows = len(frame)
    numbers = random.normal(size=rows) * 10 ** float(random.integers(-3, 4))
    kind = draw(st.sampled_from([pl.Float64, pl.Float32, pl.Int64, pl.String]))
    y = pl.Series("y", numbers.round(0) if kind == pl.Int64 else numbers)
    frame = frame.with_columns(
        y if kind == pl.Float64 else y.cast(kind),
        pl.Series("past", random.choice(["sun", "rain", "snow", "hail"], rows)),
        pl.Series("future", random.integers(0, 3, rows)),
        pl.Series("group", [f"g{int(str(one).lstrip('x')) % 3}" for one in frame["id"]]),
    )
    for fault in draw(
        st.lists(st.sampled_from(["gap", "twice", "null", "infinite", "order", "static", "text"]), max_size=2)
    ):
        at = np.sort(random.choice(rows, size=max(1, rows // 20), replace=False))
        chosen = pl.int_range(len(frame)).is_in(at)
        if fault == "gap":
            frame = frame.filter(~chosen)
        elif fault == "twice":
            frame = pl.concat([frame, frame.filter(chosen)])
        elif fault == "null":
            frame = frame.with_columns(pl.when(chosen).then(None).otherwise("y").alias("y"))
        elif fault == "infinite" and frame["y"].dtype == pl.Float64:
            frame = frame.with_columns(pl.when(chosen).then(np.inf).otherwise("y").alias("y"))
        elif fault == "static":
            frame = frame.with_columns(pl.when(chosen).then(pl.lit("g9")).otherwise("group").alias("group"))
        elif fault == "text":
            frame = frame.with_columns(pl.when(chosen).then(None).otherwise("past").alias("past"))
    order = draw(st.sampled_from(["series", "time", "random"]))
    if order == "time":
        frame = frame.sort("t", maintain_order=True)
    elif order == "random":
        frame = frame.sample(fraction=1.0, shuffle=True, seed=int(random.integers(1000)))
    options = {
        "nan_policy": draw(st.sampled_from([None, "mask", "forward_fill", "drop_series"])),
        "fill_gaps": draw(st.booleans()),
        "sort": draw(st.booleans()) or order == "random",
        "duplicates": draw(st.sampled_from([None, "first", "last"])),
    }
    roles: dict[str, Any] = {"target": "y", "past": "past", "future": ["future"], "group": "group"}
    if draw(st.booleans()):
        roles["static"], roles["group"] = "group", None
    if draw(st.booleans()):
        roles["categories"] = "future"
    named = (
        {"id": "id", "time": "t"}
        if draw(st.booleans()) or id_of is int or step in ("integer", "digits")
        else {"id": "id"}
    )
    return frame, named | roles | options


def write(frame: pl.DataFrame, folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    cuts = np.linspace(0, len(frame), count + 1).astype(int)
    for number, (begin, end) in enumerate(pairwise(cuts.tolist())):
        frame[begin:end].write_parquet(folder / f"part-{number}.parquet")
    return folder


def outcome(read: Any) -> Any:
    try:
        return read()
    except DataError as error:
        return error


@pytest.mark.long
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(table=tables(), files=st.integers(1, 4))
def test_a_scan_finds_what_reading_in_memory_finds(
    table: tuple[pl.DataFrame, dict[str, Any]], files: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    frame, asked = table
    folder = write(frame, tmp_path_factory.mktemp("files"), files)
    memory, disk = outcome(lambda: Panel.from_frame(frame, **asked)), outcome(lambda: Panel.scan(folder, **asked))
    if isinstance(memory, DataError):
        assert isinstance(disk, DataError), memory
        found, wanted = (sorted(VAGUE.sub("", str(each)) for each in error.problems) for error in (disk, memory))
        # Where gaps are filled, those parts that could be are, and then lack numbers.
        assert found == wanted or (asked["fill_gaps"] and set(found) >= set(wanted)), (found, wanted)
        return
    assert isinstance(disk, Panel), disk
    wanted = replace(memory, values=memory.values.astype(np.float32))
    assert (disk.ids.tolist(), disk.offsets.tolist()) == (wanted.ids.tolist(), wanted.offsets.tolist())
    assert np.array_equal(disk.values, wanted.values, equal_nan=True)
    assert (disk.roles, disk.source, disk.frequency) == (wanted.roles, wanted.source, wanted.frequency)
    assert [each for each in disk.notes if "closed" not in each] == [
        each for each in wanted.notes if "closed" not in each
    ]
    assert disk.fingerprint() == wanted.fingerprint()


ODD: dict[str, tuple[Any, dict[str, Any]]] = {
    "categories": (pl.col("shop").cast(pl.Categorical), {}),
    "names of a type": (pl.col("shop").cast(pl.Enum([f"shop {i}" for i in range(40)])), {}),
    "rows without a name": (pl.when(pl.col("shop") == "shop 7").then(None).otherwise("shop").alias("shop"), {}),
    "rows without a time": (pl.when(pl.int_range(pl.len()) % 99 == 0).then(None).otherwise("day").alias("day"), {}),
    "text among numbers": (
        pl.when(pl.int_range(pl.len()) == 340)
        .then(pl.lit("x"))
        .otherwise(pl.col("sold").cast(pl.String))
        .alias("sold"),
        {},
    ),
    "too many texts": (pl.col("sold").cast(pl.String).add("x").alias("word"), {"past": "word"}),
    "texts of dates": (pl.col("day").dt.strftime("%Y-%m-%dT00:00:00+01:00"), {}),
    "dates of no form": (pl.col("day").dt.strftime("%d.%m.%Y"), {}),
    "hours of a zone": (pl.col("day").cast(pl.Datetime).dt.replace_time_zone("Europe/Berlin"), {}),
    "digits and counts": (
        pl.when(pl.col("shop").str.ends_with("7")).then(pl.int_range(pl.len()) % 20).otherwise(202401).alias("day"),
        {"duplicates": "last"},
    ),
    "bins": (pl.col("day").cast(pl.Datetime).dt.offset_by("7m"), {"resample": "3D"}),
    "clocks that err": (
        pl.col("day").cast(pl.Datetime) + pl.duration(milliseconds=pl.int_range(pl.len()) % 3),
        {"frequency": "D", "tolerance": "5ms"},
    ),
    "stamps off the grid": (pl.col("day").cast(pl.Datetime) + pl.duration(milliseconds=pl.int_range(pl.len()) % 3), {}),
    "no time": (pl.col("day").reverse(), {"time": False}),
    "facts that are missing": (
        pl.col("shop").str.slice(5).cast(pl.Int64).replace(3, None).alias("fact"),
        {"static": "fact"},
    ),
    "another column": (pl.col("day"), {"target": "solt"}),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", ODD)
def test_what_is_odd_is_read_or_refused_as_in_memory(kind: str, tmp_path: Path) -> None:
    change, options = ODD[kind]
    frame, asked = shops().with_columns(change), {"id": "shop", "time": "day", "target": "sold"} | options
    folder = write(frame, tmp_path / "files", 3)
    memory, disk = outcome(lambda: Panel.from_frame(frame, **asked)), outcome(lambda: Panel.scan(folder, **asked))
    assert type(memory) is type(disk), (memory, disk)
    if isinstance(memory, DataError):
        found, wanted = ([VAGUE.sub("", str(each)) for each in error.problems] for error in (disk, memory))
        assert found == wanted
        return
    assert disk.fingerprint() == replace(memory, values=memory.values.astype(np.float32)).fingerprint()
    assert (disk.source, disk.notes) == (memory.source, tuple(map(str, memory.notes)))
    assert {name: str(held) for name, held in disk.statics.items()} == {
        name: str(held) for name, held in memory.statics.items()
    }


def shops(count: int = 40, steps: int = 20) -> pl.DataFrame:
    random = np.random.default_rng(0)
    day = pl.select(pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 3, 1))).to_series()[:steps]
    return pl.DataFrame(
        {
            "shop": [f"shop {i}" for i in range(count) for _ in range(steps)],
            "day": pl.concat([day] * count),
            "sold": random.normal(size=count * steps),
        }
    )


def test_the_first_fault_of_all_is_named_with_its_file_and_counts_over_all_rows(tmp_path: Path) -> None:
    frame = shops().with_row_index("row").filter(~pl.col("row").is_in([310, 320, 505])).drop("row")
    folder = write(frame, tmp_path / "sales", 4)
    with pytest.raises(DataError) as caught:
        Panel.scan(f"{folder}/*.parquet")
    assert str(caught.value) == (
        "time stamps must have no gaps: 2 of 40 series break this at 2 places (2 stamps missing; 0.3% of the rows), "
        f"first in series 'shop 15' at row 111 of {folder}/part-1.parquet (2024-01-10 -> 2024-01-12); pass "
        "fill_gaps=True to insert them, with a nan_policy\n"
        "one call repairs all of it: Panel.scan(..., fill_gaps=True, nan_policy='mask')"
    )
    assert len(Panel.scan(folder, fill_gaps=True, nan_policy="mask").values) == 799  # row 320 began a series


def test_a_second_scan_opens_what_the_first_one_laid_out_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(shops(), tmp_path / "sales", 2)
    first = Panel.scan(folder)
    monkeypatch.setattr(store, "lay_out", lambda *_: pytest.fail("it is laid out already"))
    assert Panel.scan(folder).fingerprint() == first.fingerprint()
    monkeypatch.undo()
    monkeypatch.setenv("TSFORECAST_CACHE", str(tmp_path / "cache"))
    write(shops().with_columns(pl.col("sold") + 1), folder, 2)
    assert Panel.scan(folder).fingerprint() != first.fingerprint()
    assert float(first.values[0, 0]) == np.float32(shops()["sold"][0])  # the older one is as it was


def test_a_panel_of_files_pickles_as_a_reference_to_its_folder(tmp_path: Path) -> None:
    panel = Panel.scan(write(shops(), tmp_path / "sales", 2), store=tmp_path / "panel")
    sent = pickle.dumps(panel)
    assert len(sent) < 400
    assert pickle.loads(sent).fingerprint() == panel.fingerprint()
    part = pickle.loads(pickle.dumps(panel.select([3])))
    assert np.array_equal(part.values, panel.series(3))
    Panel.scan(write(shops(30), tmp_path / "others", 2), store=tmp_path / "panel")
    with pytest.raises(DataError, match="must hold the panel that was read: it has changed; scan"):
        pickle.loads(sent)


@pytest.mark.parametrize("name", ["offsets", "ids", "starts", "values.f32", "panel.json"])
def test_a_damaged_folder_is_refused_and_one_in_the_cache_made_anew(name: str, tmp_path: Path) -> None:
    place = tmp_path / "panel"
    panel = Panel.scan(write(shops(), tmp_path / "sales", 2), store=place)
    held = (place / name).read_bytes()
    (place / name).write_bytes(held[:-3])
    with pytest.raises(
        DataError, match=r"must hold a panel as it was written: .*; remove it, and scan the files again"
    ):
        Panel.open(place)
    assert Panel.scan(tmp_path / "sales", store=place).fingerprint() == panel.fingerprint()
    assert Panel.open(place).fingerprint() == panel.fingerprint()


def test_numbers_that_changed_are_found_where_they_are_verified(tmp_path: Path) -> None:
    place = tmp_path / "panel"
    Panel.scan(write(shops(), tmp_path / "sales", 2), store=place)
    numbers = np.fromfile(place / "values.f32", dtype="<f4")
    numbers[7] += 1
    numbers.tofile(place / "values.f32")
    Panel.open(place)
    with pytest.raises(DataError, match="its numbers changed since"):
        Panel.open(place, verify=True)


@pytest.mark.long
def test_partitions_csv_arrow_urls_and_lazy_frames_hold_the_same_rows(tmp_path: Path) -> None:
    frame = shops().with_columns(pl.col("day").dt.month().cast(pl.Int64).alias("month"))
    asked: dict[str, Any] = {"id": "shop", "time": "day", "target": "sold"}
    wanted = Panel.scan(frame.lazy(), **asked).fingerprint()
    frame.write_parquet(tmp_path / "sales", partition_by=["month"], mkdir=True)
    assert Panel.scan(tmp_path / "sales", **asked, past="month").roles.past == ("month",)
    assert Panel.scan(tmp_path / "sales", **asked).fingerprint() == wanted
    frame.write_csv(tmp_path / "one.csv")
    frame[:100].write_csv(tmp_path / "first.csv.gz", compression="gzip", check_extension=False)
    frame[100:].write_csv(tmp_path / "second.csv.gz", compression="gzip", check_extension=False)
    frame.write_ipc(tmp_path / "one.feather")
    assert Panel.scan(tmp_path / "one.feather", **asked).fingerprint() == wanted
    for csv in ("one.csv", "*.csv.gz"):
        assert np.allclose(Panel.scan(tmp_path / csv, **asked).values, Panel.scan(tmp_path / "sales", **asked).values)
    with fsspec.open("memory://shop/one.parquet", "wb") as file:
        frame.write_parquet(file)
    assert Panel.scan("memory://shop/*.parquet", **asked).fingerprint() == wanted


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ("nowhere/*.parquet", "'nowhere/*.parquet' must name files in Parquet, CSV or Arrow"),
        (["a.parquet", "b.parquet"], "'a.parquet' must name files in Parquet, CSV or Arrow"),
        ("sales", "data must be a frame, a Series, numbers or a Panel: got the text 'sales'"),
    ],
)
def test_names_of_no_files_have_a_sentence(files: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        Panel.of(files)


@pytest.mark.parametrize("data", [3, [], [3], shops()])
def test_what_is_in_memory_is_not_scanned(data: Any) -> None:
    with pytest.raises(DataError, match="files must be names of files, patterns, folders or URLs, or a LazyFrame"):
        Panel.scan(data)
    with pytest.raises(TypeError, match=r"Panel.scan has no parameter 'fill_gap'; did you mean 'fill_gaps'\?"):
        Panel.scan("sales.parquet", fill_gap=True)


def test_files_with_other_columns_or_beyond_float32_are_refused(tmp_path: Path) -> None:
    folder = write(shops(), tmp_path / "sales", 2)
    shops().rename({"sold": "sale"}).write_parquet(folder / "part-9.parquet")
    with pytest.raises(
        DataError, match=r"the files must have the same columns: '.*part-9.parquet' lacks 'sold' and has 'sale', unlike"
    ):
        Panel.scan(folder)
    large = shops().with_columns(pl.col("sold") * 1e50)
    with pytest.raises(DataError, match=r"column 'sold' must be within ±3.40282e\+38: 40 of 40 series have 800 larger"):
        Panel.scan(write(large, tmp_path / "large", 2))


def test_the_frequency_is_that_of_most_steps_of_all_parts(tmp_path: Path) -> None:
    """The first parts have steps of two days, the others of one: in memory that is the step, and so it is in parts."""
    frame, early = shops(60), pl.col("shop").is_in([f"shop {i}" for i in range(14)])
    frame = frame.filter(~early | (pl.col("day").dt.day() % 2 == 0))
    panel = Panel.scan(write(frame, tmp_path / "sales", 2), fill_gaps=True, nan_policy="mask")
    wanted = Panel.from_frame(frame, fill_gaps=True, nan_policy="mask")
    assert str(panel.frequency) == "D"
    assert np.array_equal(panel.values, wanted.values.astype(np.float32), equal_nan=True)


def test_a_second_reading_of_the_stamps_is_noted_where_all_parts_have_it(tmp_path: Path) -> None:
    early = pl.col("shop").is_in([f"shop {i}" for i in range(14)])
    for number, frame in enumerate([shops(40, 4), shops(40, 9).filter(~early | (pl.col("day").dt.day() < 5))]):
        notes = Panel.scan(write(frame, tmp_path / str(number), 2)).notes
        assert notes == tuple(map(str, Panel.from_frame(frame).notes))
        assert len(notes) == 1 - number  # from Monday on, four days may be working days


def test_rows_come_together_from_all_files_in_their_own_order(tmp_path: Path) -> None:
    mixed = shops().sample(fraction=1.0, shuffle=True, seed=3)
    panel = Panel.scan(write(mixed, tmp_path / "sales", 3), sort=True)
    wanted = Panel.from_frame(mixed, sort=True)
    assert panel.ids.tolist() == wanted.ids.tolist()
    assert panel.fingerprint() == replace(wanted, values=wanted.values.astype(np.float32)).fingerprint()


def test_a_model_fits_and_predicts_files(tmp_path: Path) -> None:
    frame = shops().with_columns(pl.col("sold").cast(pl.Float32))
    folder = write(frame, tmp_path / "sales", 2)
    model = GRUForecaster(horizon=3, window=6, max_epochs=1, random_state=0)
    found = model.fit(str(folder / "*.parquet")).predict(sorted(folder.iterdir()))
    assert found.equals(model.fit(frame).predict())
    naive = SeasonalNaiveForecaster(horizon=3)
    assert naive.fit(sorted(folder.iterdir())).predict().equals(naive.fit(frame).predict())


@pytest.mark.long
def test_processes_that_scan_at_once_lay_out_one_folder(tmp_path: Path) -> None:
    folder = write(shops(400), tmp_path / "sales", 2)
    code = (
        "import sys; from tsforecast import Panel; from tsforecast.data import store; made = store.lay_out\n"
        "store.lay_out = lambda *given: (made(*given), print('laid out'))\n"
        "print(Panel.scan(sys.argv[1]).fingerprint())"
    )
    command = [sys.executable, "-c", code, str(folder)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    lines = [line for process in running for line in process.communicate(timeout=120)[0].split("\n") if line]
    assert lines.count("laid out") == 1
    assert len({line for line in lines if line != "laid out"}) == 1


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda whole: whole[: len(whole) // 2],
            r"'[^']*/1.parquet' must be a readable file of the kind of its ending",
        ),
        (
            lambda _: b"",
            r"'[^']*/1.parquet' must be a readable file of the kind of its ending: .*; write it again, or",
        ),
        (
            pl.DataFrame.drop,
            r"the files must have the same columns: '[^']*/1.parquet' lacks 'sold', unlike '[^']*/0.parq",
        ),
        (
            pl.DataFrame.cast,
            r"column 'sold' must have one type in all files: Float64 in '[^']*/0.parquet', String in '[^']",
        ),
    ],
)
def test_the_file_of_many_that_is_damaged_or_differs_is_named(tmp_path: Path, spoil: Any, sentence: str) -> None:
    for number in range(3):
        shops().write_parquet(tmp_path / f"{number}.parquet")
    spoilt = tmp_path / "1.parquet"
    if spoil in (pl.DataFrame.drop, pl.DataFrame.cast):
        how = "sold" if spoil is pl.DataFrame.drop else {"sold": pl.String}
        spoil(shops(), how).write_parquet(spoilt)
    else:
        spoilt.write_bytes(spoil(spoilt.read_bytes()))
    with pytest.raises(DataError, match=sentence):
        Panel.scan(tmp_path)


def test_a_packed_csv_that_ends_early_is_no_full_disk(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        shops().write_csv(tmp_path / name, compression="gzip", check_extension=False)
    whole = (tmp_path / "b.csv.gz").read_bytes()
    (tmp_path / "b.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"'[^']*/b.csv.gz' must be a readable file of .*; write it again, or leave"):
        Panel.scan(tmp_path, id="shop", time="day", target="sold")


def test_columns_of_csv_have_one_order_and_any_separator(tmp_path: Path) -> None:
    frame, asked = shops(), {"id": "shop", "time": "day", "target": "sold"}
    frame.write_parquet(tmp_path / "whole.parquet")
    wanted = Panel.scan(tmp_path / "whole.parquet", **asked)
    frame[:100].write_csv(tmp_path / "a.csv", separator=";")
    frame[100:].write_csv(tmp_path / "b.csv")
    assert np.allclose(Panel.scan(tmp_path / "*.csv", **asked).values, wanted.values)
    frame[100:].select(reversed(frame.columns)).write_csv(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"CSV files must have their columns in one order: .* in '[^']*b.csv'"):
        Panel.scan(tmp_path / "*.csv", **asked)


def test_whole_numbers_in_one_file_and_fractions_in_another_are_one_column(tmp_path: Path) -> None:
    frame = shops().with_columns(pl.col("sold").round())
    frame[:100].cast({"sold": pl.Int32}).write_parquet(tmp_path / "a.parquet")
    frame[100:200].cast({"sold": pl.Float32}).write_parquet(tmp_path / "b.parquet")
    frame[200:].write_parquet(tmp_path / "c.parquet")
    asked: dict[str, Any] = {"id": "shop", "time": "day", "target": "sold"}
    assert np.array_equal(Panel.scan(tmp_path, **asked).values, Panel.scan(frame.lazy(), **asked).values)


def test_files_lie_in_one_place_whose_file_system_has_options(tmp_path: Path) -> None:
    file = write(shops(), tmp_path / "sales", 1) / "part-0.parquet"
    with pytest.raises(
        DataError, match=r"the files must lie in one place: got '.*part-0.parquet', 'memory://a.parquet'"
    ):
        Panel.scan([file, "memory://a.parquet"])
    with pytest.raises(DataError, match="storage_options must be left out: the files are on this machine"):
        Panel.scan(file, storage_options={"key": "a"})
    options = {"path": str(tmp_path / "sales"), "target_protocol": "file"}
    panel = Panel.scan("dir://part-0.parquet", storage_options=options)
    assert panel.fingerprint() == Panel.scan(file).fingerprint()
    with pytest.raises(DataError, match=r"'dir://part-0.parquet' must name files in Parquet, CSV or Arrow"):
        Panel.scan("dir://part-0.parquet", storage_options=options | {"path": str(tmp_path)})


def test_arguments_beside_a_panel_that_was_scanned_are_refused(tmp_path: Path) -> None:
    panel = Panel.scan(write(shops(), tmp_path / "sales", 2), store=tmp_path / "panel")
    assert Panel.scan(tmp_path / "panel").fingerprint() == panel.fingerprint()
    for own in ({"target": "sold"}, {"fill_gaps": True}, {"season_length": 3}, {"store": tmp_path / "other"}):
        with pytest.raises(DataError, match=rf"^{next(iter(own))} must be left out: '.*panel' holds a panel"):
            Panel.scan(tmp_path / "panel", **own)


@pytest.mark.parametrize(("name", "found"), [("sales", "it has no panel.json"), ("nowhere", "it does not exist")])
def test_no_folder_but_that_of_a_panel_should_be_removed(tmp_path: Path, name: str, found: str) -> None:
    write(shops(), tmp_path / "sales", 2)
    with pytest.raises(DataError, match=rf"must be a folder that Panel.scan wrote: {found}; name that of store=$"):
        Panel.open(tmp_path / name)


def test_remedies_for_missing_numbers_name_the_scan(tmp_path: Path) -> None:
    frame = shops().with_columns(pl.when(pl.col("sold") > 0.5).then(pl.col("sold")))
    with pytest.raises(
        DataError, match=r"pass nan_policy='forward_fill', 'mask' or 'drop_series' to Panel.scan, or fill"
    ):
        Panel.scan(write(frame, tmp_path / "sales", 2))


def test_a_small_file_is_read_into_memory_in_double_precision(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 31)]
    frame = pl.DataFrame({"day": days, "sales": np.arange(30) + 0.1})
    frame.write_csv(tmp_path / "sales.csv")
    panel, scanned = Panel.of(tmp_path / "sales.csv"), Panel.of([tmp_path / "sales.csv"])
    assert (panel.values.dtype, scanned.values.dtype) == (np.float64, np.float32)
    assert panel.fingerprint() == Panel.of(frame).fingerprint()


def test_a_small_file_of_later_rows_is_read_as_the_fitted_one_was(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 31)]
    frame = pl.DataFrame({"day": days, "sales": np.arange(30) + 0.1})
    frame[:20].write_csv(tmp_path / "old.csv")
    frame.write_csv(tmp_path / "all.csv")
    model = SeasonalNaiveForecaster(horizon=1).fit(tmp_path / "old.csv")
    assert model.predict(tmp_path / "all.csv")["sales"].to_list() == [23.1]
    assert model.update(tmp_path / "all.csv").last_update.startswith("10 new rows ")
