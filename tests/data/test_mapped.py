"""Arrays in files: references that are pickled, scratch files, and walks in blocks."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest

from tsforecast import mapped
from tsforecast.errors import DataError
from tsforecast.files import OutputError
from tsforecast.mapped import AtRandom, Mapped, chunks, has_nan, is_mapped, scratch

NUMBERS = np.arange(60_000, dtype=np.float32).reshape(-1, 3)


@pytest.fixture
def numbers(tmp_path: Path) -> Mapped:
    with (tmp_path / "numbers").open("wb") as file:
        file.write(b"12345678" * 1_000)  # longer than a page, so that a mapping begins later
        file.write(NUMBERS.tobytes())
    return Mapped(tmp_path / "numbers", np.float32, NUMBERS.shape, 8_000)


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps, lambda array: pickle.dumps(array, 5)])
@pytest.mark.parametrize("part", [slice(None), slice(7, 9), slice(19_999, None), 5])
def test_a_contiguous_part_is_pickled_as_a_reference(numbers: Mapped, dumps: object, part: slice) -> None:
    written = dumps(numbers[part])  # type: ignore[operator]
    back = pickle.loads(written)
    assert len(written) < 400
    assert np.array_equal(back, NUMBERS[part])
    assert is_mapped(back)
    assert not back.flags.writeable


def test_other_parts_are_pickled_as_numbers(numbers: Mapped) -> None:
    for part in (numbers[:, 1], numbers[::2], numbers[[3, 5]], numbers + 1, numbers[:0], numbers.astype(np.float64)):
        back = pickle.loads(pickle.dumps(part))
        assert type(back) is np.ndarray
        assert np.array_equal(back, part)
        assert not is_mapped(back)


@pytest.mark.long
def test_joblib_writes_a_reference_and_its_workers_read_it(numbers: Mapped, tmp_path: Path) -> None:
    joblib.dump({"rows": numbers}, tmp_path / "dumped")
    assert (tmp_path / "dumped").stat().st_size < 1_000
    assert np.array_equal(joblib.load(tmp_path / "dumped")["rows"], NUMBERS)
    sums = joblib.Parallel(2)(joblib.delayed(np.sum)(numbers[i : i + 2]) for i in (0, 7))
    assert sums == [NUMBERS[:2].sum(), NUMBERS[7:9].sum()]


def test_a_changed_file_is_refused(numbers: Mapped) -> None:
    written, path = pickle.dumps(numbers), Path(str(numbers.filename))
    os.utime(path, ns=(0, 0))
    with pytest.raises(DataError, match=r"must be as it was when it was read: it has changed; read the data again"):
        pickle.loads(written)
    path.unlink()
    with pytest.raises(DataError, match=r"must be one that can be read: No such file"):
        pickle.loads(written)
    path.write_bytes(b"short")
    with pytest.raises(DataError, match=r"must hold 248000 bytes: it has 5"):
        Mapped(path, np.float32, NUMBERS.shape, 8_000)


def test_what_is_computed_is_an_ordinary_array(numbers: Mapped) -> None:
    assert type(numbers + 1) is type(numbers[[1, 2]]) is type(np.isnan(numbers)) is np.ndarray
    assert type(numbers.max(axis=0)) is np.ndarray
    assert isinstance(numbers.sum(), np.float32)
    assert copy.deepcopy(numbers) is numbers
    copied = copy.deepcopy(numbers.astype(np.float64))
    assert copied.flags.writeable
    assert not is_mapped(copied)


def test_views_of_mapped_numbers_are_mapped(numbers: Mapped) -> None:
    assert is_mapped(np.asarray(numbers))
    assert is_mapped(np.asarray(numbers)[::2].T)
    assert not is_mapped(np.array(numbers))
    assert not is_mapped(np.zeros(3))
    assert not is_mapped([1.0])


def test_what_is_large_and_made_of_mapped_numbers_goes_into_a_file(
    numbers: Mapped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "LARGE", 8_000)
    monkeypatch.setenv("TSFORECAST_SCRATCH", str(tmp_path / "scratch"))
    made = scratch((1_000, 2), np.float32, numbers)
    made[:] = 3.0
    assert is_mapped(made)
    assert type(made) is np.ndarray
    assert made.sum() == 6_000.0
    assert is_mapped(scratch((1_000, 2), np.float32, made))
    assert list((tmp_path / "scratch").iterdir()) == []  # without a name: nothing is left, however the process ends
    assert not is_mapped(scratch((999, 2), np.float32, numbers))
    assert not is_mapped(scratch((1_000, 2), np.float32, np.zeros(1)))
    assert pickle.loads(pickle.dumps(made)).sum() == 6_000.0


def test_a_disk_without_room_is_refused_before_anything_is_written(
    numbers: Mapped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSFORECAST_SCRATCH", str(tmp_path))
    with pytest.raises(OutputError, match=r"must have room for 1e\+06 GB of scratch files: .*TSFORECAST_SCRATCH"):
        scratch((10**15 // 4,), np.float32, numbers)
    monkeypatch.setenv("TSFORECAST_SCRATCH", "/proc/none")
    with pytest.raises(OutputError, match=r"the folder '/proc/none' must have room"):
        scratch((1 << 26,), np.float32, numbers)


def test_blocks_cover_all_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "BLOCK", 100)
    for rows in (0, 1, 8, 9, 17):
        array = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)  # 12 bytes a row
        parts = [array[some] for some in chunks(array)]
        assert np.array_equal(np.concatenate([array[:0], *parts]), array)
        assert all(len(part) <= 8 for part in parts)
    wide = np.zeros((2, 500))
    assert list(chunks(wide)) == [slice(0, 1), slice(1, 2)]
    wide[1, 499] = np.nan
    assert has_nan(wide)
    assert not has_nan(wide[:1])


def test_rows_that_came_from_the_disk_are_asked_for_the_next_time(numbers: Mapped) -> None:
    reads = AtRandom(numbers[100:], 50)
    begin = np.arange(0, 19_000, 950)
    for _ in range(3):
        with reads(begin):
            found = np.stack([numbers[100 + i : 150 + i] for i in begin])
        assert np.array_equal(found, np.stack([NUMBERS[100 + i : 150 + i] for i in begin]))
        reads._asks = True  # as if they had come from there: what is asked for lies in the file, up to its last row
    with reads(np.array([len(numbers) - 150])):
        assert numbers[-50:].sum() == NUMBERS[-50:].sum()
