"""Recorded forecasts: what a chain holds, what its verification says, and the ways to tamper with it that are found."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.forecasters import small
from tsforecast import (
    EnsembleForecaster,
    NaiveForecaster,
    Panel,
    RaySearch,
    ReductionForecaster,
    SeasonalNaiveForecaster,
    load,
    make_key,
    verify_records,
)
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.registry import MODEL_NAMES
from tsforecast.files import OutputError
from tsforecast.records.chain import START, Signer, append, canonical, hash_of, last_of, read_chain

Lines = list[bytes]


def sales(rows: int = 80, since: str = "2024-01-01") -> pd.DataFrame:
    days = pd.date_range(since, periods=rows, freq="D")
    return pd.DataFrame({"day": days, "y": np.arange(rows) % 7 + np.random.default_rng(0).normal(size=rows)})


class Book:
    """A chain of four forecasts by one model, a week apart, and what belongs to it."""

    def __init__(self, folder: Path, signed: bool = False) -> None:
        self.data, self.path, self.private = sales(), folder / "forecasts.jsonl", folder / "desk.pem"
        self.public = make_key(self.private)
        self.model = SeasonalNaiveForecaster(horizon=3).fit(self.data[:40])
        for end in (40, 47, 54, 61):
            key = self.private if signed else None
            self.model.predict(self.data[:end], interval=0.8, record=self.path, record_key=key)

    @property
    def lines(self) -> Lines:
        return self.path.read_bytes().splitlines(keepends=True)

    def write(self, lines: Lines) -> None:
        self.path.write_bytes(b"".join(lines))

    def problems(self, **given: Any) -> list[str]:
        return [
            str(each) for each in verify_records(self.path, **{"data": self.data, "model": self.model} | given).problems
        ]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def edited(line: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    record = json.loads(line)
    change(record)
    return canonical(record) + b"\n"


def hashed_anew(lines: Lines, key: Path | None = None) -> Lines:
    """Return lines whose hashes follow from each other again, as one who knows the format can make them."""
    found: Lines = []
    previous, signer = START, None if key is None else Signer.read(key)
    for number, line in enumerate(lines):
        record = json.loads(line) | {"previous": previous, "number": number}
        if signer is not None:
            record["key"] = signer.public
        record["hash"] = previous = hash_of(record)
        if signer is not None:
            record["signature"] = signer.sign(previous)
        found.append(canonical(record) + b"\n")
    return found


def numbers_of(record: dict[str, Any]) -> dict[str, list[float]]:
    held: dict[str, list[float]] = record["series"][0]["numbers"]["y"]
    return held


def raise_forecast(record: dict[str, Any]) -> None:
    numbers_of(record)["forecast"][0] += 1.0


def earlier_cutoff(record: dict[str, Any]) -> None:
    record["series"][0]["cutoff"] = "2024-02-01"


def earlier_made(record: dict[str, Any]) -> None:
    record["made"] = "2024-01-15T08:00:00.000000Z"


def test_what_is_whole_passes_and_is_scored_beside_the_naive(book: Book) -> None:
    found = verify_records(book.path, book.data, model=book.model)
    assert found.passed
    assert (found.records, found.signer, found.head) == (4, "", json.loads(book.lines[-1])["hash"])
    rows, scores = found.rows, found.scores.iloc[0]
    truth = book.data.set_index("day")["y"]
    assert rows["y"].tolist() == truth[rows["time"]].tolist()
    by_hand = np.abs(rows["y"] - rows["forecast"])
    assert scores["mae"] == pytest.approx(by_hand.mean())
    assert scores["seasonal_naive_mae"] == pytest.approx(scores["mae"])  # which the model is
    last = truth[rows["cutoff"]].to_numpy()
    assert scores["naive_mae"] == pytest.approx(np.abs(rows["y"] - last).mean())
    assert rows["scale"][0] == pytest.approx(np.abs(truth[7:40].to_numpy() - truth[:33].to_numpy()).mean())
    assert scores["inside_80"] == pytest.approx(((rows["lo80"] <= rows["y"]) & (rows["y"] <= rows["hi80"])).mean())
    assert str(found).endswith("passed")


# Tampering -----------------------------------------------------------------------------------------------------------

# Each returns the lines as they are after it, and what verification says first. No key is needed to find these.
UNSIGNED: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "edited number": (
        lambda lines: [edited(lines[0], raise_forecast), *lines[1:]],
        "line 1 must be a record as it was written: it has the hash",
    ),
    "edited interval": (
        lambda lines: [*lines[:2], edited(lines[2], lambda r: numbers_of(r)["hi80"].__setitem__(0, 99.0)), lines[3]],
        "line 3 must be a record as it was written: it has the hash",
    ),
    "changed cutoff": (
        lambda lines: [*lines[:3], edited(lines[3], earlier_cutoff)],
        "line 4 must be a record as it was written: it has the hash",
    ),
    "forged time": (
        lambda lines: [edited(lines[0], earlier_made), *lines[1:]],
        "line 1 must be a record as it was written: it has the hash",
    ),
    "first line removed": (lambda lines: lines[1:], "line 1 must begin the chain: it follows from"),
    "middle line removed": (lambda lines: [lines[0], *lines[2:]], "line 2 must follow from line 1: it follows from"),
    "swapped lines": (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 must begin the chain: it follows from"),
    "duplicated line": (lambda lines: [*lines, lines[-1]], "line 5 must follow from line 4: it follows from"),
    "cut last line": (
        lambda lines: [*lines[:3], lines[3][:-100]],
        "must end with a whole line: its last",
    ),
    "no end of the last line": (lambda lines: [*lines[:3], lines[3][:-1]], "must end with a whole line: its last"),
    "blank line": (
        lambda lines: [*lines[:2], b"\n", *lines[2:]],
        "line 3 must be a record as it was written: it is no",
    ),
    "spaces in a line": (
        lambda lines: [lines[0].replace(b'":', b'": ', 1), *lines[1:]],
        "line 1 must be a record as it was written: its JSON has another form",
    ),
    "a name twice": (
        lambda lines: [b'{"made":"2024-01-15T08:00:00Z",' + lines[0][1:], *lines[1:]],
        "line 1 must be a record as it was written: its JSON has another form",
    ),
    "a field that was not there": (
        lambda lines: [edited(lines[0], lambda r: r.update(reviewed=True)), *lines[1:]],
        "line 1 must be a record as it was written: it has the hash",
    ),
    "chain of another file behind it": (
        lambda lines: [*lines, *hashed_anew(lines)],
        "line 5 must follow from line 4: it follows from",
    ),
    "one line hashed again": (
        lambda lines: [lines[0], hashed_anew([edited(lines[1], raise_forecast)])[0], *lines[2:]],
        "line 2 must follow from line 1: it follows from",
    ),
    # From here on all hashes follow from each other again: the data, the model or the clock tell.
    "tail hashed again after an edited number": (
        lambda lines: hashed_anew([lines[0], edited(lines[1], raise_forecast), *lines[2:]]),
        "line 2, series 'y', forecast of 'y' must be what its model forecasts: step 1 has",
    ),
    "tail hashed again after a forged time": (
        lambda lines: hashed_anew([*lines[:3], edited(lines[3], earlier_made)]),
        "line 4 must be made after the line before: it has 2024-01-15",
    ),
    "tail hashed again after a time to come": (
        lambda lines: hashed_anew([*lines[:3], edited(lines[3], lambda r: r.update(made="2999-01-01T00:00:00Z"))]),
        "line 4 must be made before now: its time is 2999-01-01",
    ),
    "tail hashed again after a changed cutoff": (
        lambda lines: hashed_anew([*lines[:2], edited(lines[2], earlier_cutoff), lines[3]]),
        "line 3, series 'y' must have the times that follow on 2024-02-01: they begin with 2024-02-24",
    ),
    "cutoff after the times": (
        lambda lines: hashed_anew([edited(lines[0], lambda r: r["series"][0].update(cutoff="2024-03-01")), *lines[1:]]),
        "line 1 must be a record of forecasts: series 'y' must end before the times that are forecast: it ends at",
    ),
    "history of another length": (
        lambda lines: hashed_anew([edited(lines[0], lambda r: r["series"][0].update(rows=39)), *lines[1:]]),
        "line 1, series 'y' must have the history up to 2024-02-09 that was recorded: the data have 40 rows, and 39",
    ),
    "another model named": (
        lambda lines: hashed_anew([edited(lines[0], lambda r: r["model"].update(fingerprint="0" * 64)), *lines[1:]]),
        "line 1 must be by the model that was given: it is by SeasonalNaiveForecaster 00000000",
    ),
    "a step removed": (
        lambda lines: hashed_anew([edited(lines[0], lambda r: r["series"][0]["times"].pop()), *lines[1:]]),
        "line 1 must be a record of forecasts: series 'y' must have 3 times in order",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", UNSIGNED)
def test_tampering_is_found_without_a_key(kind: str, book: Book) -> None:
    assert book.problems() == []
    tamper, said = UNSIGNED[kind]
    book.write(tamper(book.lines))
    first = book.problems()[0]
    assert said in first, first


@pytest.mark.long
@pytest.mark.parametrize("signed", [False, True])
def test_no_byte_can_be_changed_added_or_removed(signed: bool, tmp_path: Path) -> None:
    book, copy = Book(tmp_path, signed), tmp_path / "copy.jsonl"
    text = book.path.read_bytes()
    assert read_chain(book.path)[1] == []
    for at in range(0, len(text), 17):
        for bit in (0x01, 0x20):  # the second makes capitals
            copy.write_bytes(text[:at] + bytes([text[at] ^ bit]) + text[at + 1 :])
            assert read_chain(copy)[1], (at, text[at : at + 20])
    for at in range(3, len(text) - 1, 97):
        for other in (text[:at] + text[at + 1 :], text[:at] + b"0" + text[at:], text[:at]):
            copy.write_bytes(other)
            whole = other.endswith(b"\n") and text.startswith(other)  # lines that are missing at the end are not seen
            assert read_chain(copy)[1] or whole, at


def test_another_model_and_other_data_are_found(book: Book) -> None:
    other = SeasonalNaiveForecaster(horizon=3).fit(book.data[:41])
    assert len(book.problems(model=other)) == 4
    assert book.problems(model=[other, book.model]) == []
    changed = book.data.assign(y=book.data["y"] + (np.arange(80) == 50))
    assert [line.partition(",")[0] for line in book.problems(data=changed)] == ["line 3", "line 4"]
    later = book.data.assign(y=book.data["y"] + (np.arange(80) == 70))  # after all forecasts
    assert book.problems(data=later) == []


@pytest.mark.parametrize("with_model", [False, True])
def test_a_truth_that_lacks_rows_scores_the_others(with_model: bool, book: Book) -> None:
    given = {"model": book.model} if with_model else {}
    whole = verify_records(book.path, book.data, **given).rows["y"]
    later = book.data.drop(index=63).assign(y=lambda data: data["y"].where(data.index != 62))[::-1]
    found = verify_records(book.path, later, **given)
    assert found.passed
    assert found.rows["y"].isna().tolist() == [False] * 10 + [True, True]
    assert found.rows["y"][:10].tolist() == whole[:10].tolist()
    earlier = verify_records(book.path, book.data.drop(index=[45, 50]), **given)
    assert [str(each) for each in earlier.problems] == [
        f"line {line}, series 'y' must have the history up to {end} that was recorded: the data lack {lost} there, or "
        "others were changed since; add them"
        for line, end, lost in (
            (2, "2024-02-16", "1 number"),
            (3, "2024-02-23", "2 numbers"),
            (4, "2024-03-01", "2 numbers"),
        )
    ]


def test_a_file_of_something_else_is_one_problem(book: Book) -> None:
    must = f"{str(book.path)!r} must be a file of records, which predict(record=...) writes: none of its 4 lines is one"
    book.write([line.replace(b"\n", b"\r\n") for line in book.lines])
    assert book.problems(data=None) == [
        f"{must}; the first: it ends with a carriage return, as of a file that git or an editor turned; verify the "
        "original, or a copy without them (tr -d '\\r')"
    ]
    book.write([b"day,y\n", b"1,2\n", b"2,3\n", b"3,4\n"])
    assert book.problems(data=None) == [f"{must}; the first: it is no JSON"]
    book.write([])
    found = verify_records(book.path)
    assert found.passed
    assert found.notes == ("the file is empty: nothing was recorded, or all of it was removed",)


def test_what_needs_a_key_is_found_with_it_and_not_without(tmp_path: Path) -> None:
    book, strange = Book(tmp_path, signed=True), tmp_path / "strange.pem"
    public, other = book.public, make_key(strange)
    assert book.problems(key=public) == []
    assert "line 1 must be signed by the key" in book.problems(key=other)[0]
    good = book.lines
    forged = [edited(good[0], lambda r: numbers_of(r).update(forecast=[1.0, 2.0, 3.0])), *good[1:]]
    # With the keys of nobody, the signature tells; with a key of one's own, the public key of the owner does.
    book.write(hashed_anew(forged))
    assert "its signature is not that of its key" in book.problems(data=None, model=None)[0]
    book.write(hashed_anew(forged, strange))
    assert book.problems(data=None, model=None) == []  # nobody can see it without the key
    assert len(book.problems(data=None, model=None, key=public)) == 4
    stripped = [edited(line, lambda r: [r.pop(name) for name in ("key", "signature")]) for line in forged]
    book.write(hashed_anew(stripped))
    assert book.problems(data=None, model=None) == []
    assert book.problems(data=None, model=None, key=public)[0].endswith("it is not signed")
    book.write([edited(good[0], lambda r: r.update(signature="00" * 64)), *good[1:]])
    assert "its signature is not that of its key" in book.problems(key=public)[0]


def test_a_shortened_chain_is_found_by_its_published_head_alone(book: Book) -> None:
    head = json.loads(book.lines[-1])["hash"]
    assert book.problems(head=head) == book.problems(head=head[:12]) == []
    book.write(book.lines[:-1])
    assert book.problems() == []  # which is the limit of a chain
    assert "the chain must have the published head" in book.problems(head=head)[0]
    with pytest.raises(ParameterError, match="head must be the hash of a record, or its first digits, at least 12"):
        verify_records(book.path, head="abc")


# Writing -------------------------------------------------------------------------------------------------------------


def test_a_cut_line_is_refused_with_the_bytes_to_keep(book: Book) -> None:
    whole = book.path.read_bytes()
    book.path.write_bytes(whole[:-50])
    kept = len(b"".join(book.lines[:-1]))
    with pytest.raises(DataError, match=rf"keep its first {kept} bytes, which are whole \(truncate -s {kept} forec"):
        book.model.predict(record=book.path)
    assert book.path.read_bytes() == whole[:-50]
    book.path.write_bytes(whole[:kept])
    book.model.predict(book.data[:61], record=book.path)
    assert book.problems() == []


def test_a_changed_last_line_is_no_beginning(book: Book) -> None:
    book.write([*book.lines[:-1], edited(book.lines[-1], raise_forecast)])
    with pytest.raises(DataError, match="the last line must be a record as it was written: it has the hash"):
        book.model.predict(record=book.path)


WRITER = """
import sys
from pathlib import Path
from tsforecast.records.chain import append
for number in range(int(sys.argv[2])):
    append(Path(sys.argv[1]), {"forecast": [number / 7] * 50})
"""


def writer(path: Path, lines: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(lines)])


@pytest.mark.process
def test_three_processes_write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "forecasts.jsonl"
    running = [writer(path, 100) for _ in range(3)]
    assert [each.wait() for each in running] == [0, 0, 0]
    records, problems = read_chain(path)
    assert (len(records), problems) == (300, [])


@pytest.mark.process
def test_a_writer_that_is_killed_leaves_a_chain_that_goes_on(tmp_path: Path) -> None:
    path, model = tmp_path / "forecasts.jsonl", NaiveForecaster(horizon=2).fit(np.arange(30.0))
    for number in range(5):
        before, running = path.stat().st_size if path.exists() else 0, writer(path, 10**6)
        while running.poll() is None and (not path.exists() or path.stat().st_size < before + 7000 + 300 * number):
            time.sleep(0.001)
        running.kill()
        running.wait()
        assert read_chain(path)[1] == []
        model.predict(record=path)  # the lock went with the process
    assert read_chain(path)[1] == []


def test_keys_are_for_their_owner_and_are_not_mixed(tmp_path: Path) -> None:
    path, private = tmp_path / "f.jsonl", tmp_path / "desk.pem"
    make_key(private)
    assert private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OutputError, match="must be a new file: it is there, and a key that is lost cannot be made"):
        make_key(private)
    model = NaiveForecaster().fit(np.arange(30.0))
    model.predict(record=path, record_key=private)
    with pytest.raises(DataError, match="must be signed by one key, or by none: the last one has the key"):
        model.predict(record=path)
    with pytest.raises(ParameterError, match="record_key signs a record: name its file with record"):
        model.predict(record_key=private)
    with pytest.raises(ParameterError, match="record_key must be the file of a private ed25519 key, PEM"):
        model.predict(record=path, record_key=private.with_suffix(".pub.pem"))
    with pytest.raises(ParameterError, match="holds a private one; give the public one"):
        verify_records(path, key=private)


def test_a_key_of_openssl_signs_as_well(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    try:
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    public = tmp_path / "public.pem"
    subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public)], check=True)
    NaiveForecaster().fit(np.arange(30.0)).predict(record=tmp_path / "f.jsonl", record_key=key)
    assert verify_records(tmp_path / "f.jsonl", key=public).passed


def test_places_that_cannot_be_written_to_are_refused_before_forecasts_are_made(tmp_path: Path) -> None:
    model = NaiveForecaster().fit(np.arange(30.0))
    with pytest.raises(ParameterError, match=r"record must be the path of a file, such as 'forecasts\.jsonl': got 3"):
        model.predict(record=3)
    with pytest.raises(ParameterError, match="is a folder"):
        model.predict(record=tmp_path)
    with pytest.raises(ParameterError, match="a record holds forecasts that are returned: leave `to` or record out"):
        model.predict(record=tmp_path / "f.jsonl", to=tmp_path / "parts")
    windows = ReductionForecaster().fit(np.random.default_rng(0).normal(size=(30, 4)), np.arange(30.0))
    with pytest.raises(ParameterError, match="leave record out, or fit series"):
        windows.predict(np.zeros((2, 4)), record=tmp_path / "f.jsonl")


def test_clocks_that_go_back_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    first = append(path, {})
    ahead = {**first, "made": (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")}
    ahead["hash"] = hash_of(ahead)
    path.write_bytes(canonical(ahead) + b"\n")
    with pytest.raises(DataError, match="must be made after the one before"):
        append(path, {})


# What is recorded ----------------------------------------------------------------------------------------------------


def test_forecasts_of_many_forms_are_read_back(tmp_path: Path) -> None:
    frame = pd.concat([sales().assign(shop=name, y=sales()["y"] * scale) for name, scale in (("a", 1), ("b", 3))])
    wide = frame.pivot(index="day", columns="shop", values="y").reset_index()
    hours = pd.date_range("2024-03-30", periods=80, freq="h", tz="Europe/Berlin")  # whose clocks change
    forms: dict[str, tuple[Any, Any]] = {
        "long": (frame[frame["day"] < "2024-03-01"], frame),
        "polars": (pl.from_pandas(frame[frame["day"] < "2024-03-01"]), pl.from_pandas(frame)),
        "wide": (Panel.from_wide(wide[:60]), wide),
        "array": (np.arange(60.0) % 5, np.arange(80.0) % 5),
        "Series": (sales()[:60].set_index("day")["y"], sales().set_index("day")["y"]),
        "zone": (pd.Series(np.arange(60.0) % 24, hours[:60]), pd.Series(np.arange(80.0) % 24, hours)),
        "NaN": (Panel.from_frame(sales()[:60].assign(y=lambda f: f["y"].where(f.index != 9)), nan_policy="mask"),
                sales().assign(y=lambda f: f["y"].where(f.index != 9))),
    }  # fmt: skip
    for name, (past, whole) in forms.items():
        path = tmp_path / f"{name}.jsonl"
        model = SeasonalNaiveForecaster(horizon=4, season_length=5).fit(past)
        returned = model.predict(record=path)
        for own in (None, model):
            found = verify_records(path, whole, model=own)
            assert found.passed, (name, found)
            assert not [note for note in found.notes if "foresight" not in note], name
            assert found.rows["y"].notna().all(), name
        if name == "long":
            assert found.rows["forecast"].tolist() == returned["y"].tolist()


@pytest.mark.long
@pytest.mark.parametrize("name", [*MODEL_NAMES, "ensemble"])
def test_a_saved_model_is_the_one_that_was_recorded_and_repeats_its_forecasts(name: str, tmp_path: Path) -> None:
    data, path = sales().assign(y=sales()["y"].abs()), tmp_path / "f.jsonl"  # demand is never negative
    both = [ReductionForecaster(horizon=3, window=7), NaiveForecaster(horizon=3)]
    fitted = (EnsembleForecaster(both, horizon=3) if name == "ensemble" else small(name, 3)).fit(data[:60])
    fitted.predict(record=path, quantiles=(0.1, 0.9))
    fitted.predict(data[:66], record=path, quantiles=(0.1, 0.9))
    fitted.save(tmp_path / "model")
    assert load(tmp_path / "model").fingerprint() == fitted.fingerprint()
    found = verify_records(path, data, model=tmp_path / "model")
    assert found.passed, str(found)
    assert not [note for note in found.notes if "repeated" in note]


def test_a_search_that_was_loaded_has_its_fingerprint(tmp_path: Path) -> None:
    search = RaySearch(ReductionForecaster(horizon=3, window=7), {"window": [7, 14]}, trials=2, verbose=0).fit(sales())
    search.save(tmp_path / "search")
    assert load(tmp_path / "search").fingerprint() == search.fingerprint()


def test_covariates_that_were_known_then_are_compared(tmp_path: Path) -> None:
    data = sales().assign(price=np.random.default_rng(1).normal(size=80))
    data["y"] += 2 * data["price"]
    panel = Panel.from_frame(data[:60], target="y", future="price")
    model, path = ReductionForecaster(horizon=3, window=7).fit(panel), tmp_path / "f.jsonl"
    model.predict(future=data[60:63], record=path)
    found = verify_records(path, data, model=model)
    assert found.passed
    assert not [note for note in found.notes if "repeated" in note]
    found = verify_records(path, data.assign(price=data["price"] + (data.index == 61)), model=model)
    assert found.passed
    assert "the future covariates of the data are not those that were given then" in found.notes[0]


def test_records_that_are_older_than_their_times_count_as_foresight(tmp_path: Path) -> None:
    data = sales(60, str((datetime.now(UTC) - timedelta(days=59)).date()))
    NaiveForecaster(horizon=3).fit(data).predict(record=tmp_path / "f.jsonl")
    found = verify_records(tmp_path / "f.jsonl")
    assert found.rows["ahead"].all()
    assert found.notes == ()


def test_lines_that_are_no_records_are_problems_and_never_errors(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    bodies: list[Any] = [{}, {"series": 3}, {"series": [{}], "options": {"steps": 10**9, "levels": {}}}]
    for body in bodies:
        append(path, body)
    path.write_bytes(path.read_bytes() + b"[1]\n" + b"[" * 100_000 + b"\n\xff\n" + b'{"a":NaN}\n')
    found = verify_records(path, np.arange(9.0))
    assert (found.records, len(found.problems)) == (3, 7)
    with pytest.raises(DataError, match="must be a file of records, which predict"):
        verify_records(tmp_path / "none.jsonl")


def test_the_last_line_is_found_behind_lines_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    for length in (10, 70_000, 65_536, 200_000, 3):
        record = append(path, {"text": "x" * length})
        assert last_of(path) == record
