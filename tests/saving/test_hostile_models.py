"""What is in a folder cannot run, cannot reach out of it, and cannot take memory that it does not bring."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.golden.keep_models import HOME
from tests.helpers.forecasters import small, wave
from tests.helpers.models import fitted
from tsforecast.cli.data import read_next
from tsforecast.errors import ModelFileError
from tsforecast.estimators.persistence import load, save


def mutations(first: int, last: int) -> None:
    """Load mutated folders in a process of their own, whose memory is looked at."""
    command = [sys.executable, "-m", "tests.saving.mutations", str(first), str(last)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert not found["wrong"], "\n".join(found["wrong"])
    assert sum(found["counts"].values()) == last - first
    assert found["counts"]["refused"] > 0.5 * (last - first)
    assert found["counts"]["answered"] > 0.02 * (last - first)  # some mutations do no harm


@pytest.mark.process
def test_mutated_folders_are_refused_or_answer() -> None:
    mutations(0, 200)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(4))
def test_ten_thousand_mutated_folders_are_refused_or_answer(part: int) -> None:
    mutations(2500 * part, 2500 * (part + 1))


def changed(folder: Path, old: str, new: str) -> Path:
    """Return a folder of a GRU with a piece of its description replaced."""
    save(fitted("gru"), folder)
    text = (folder / "model.json").read_text()
    assert old in text
    (folder / "model.json").write_text(text.replace(old, new, 1))
    return folder


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"units": 4', '"units": 1000000', "weights must be those of the network: '.*' has shape"),
        ('"layers": 1', '"layers": 1000000000', "arrays are no 1000000000 layers"),
        ('"horizon_": 3', '"horizon_": 1000000000000', "horizon_ must be a whole number up to 3: got 1000000000000"),
        ('"window": 12,\n    "l', '"window": 1000000,\n    "l', "a window must be a whole number up to 40: got 10"),
        ('"least": 12', '"least": 0', "the fewest known steps must be a whole number from 1 to 12: got 0"),
        ('"horizon": 3', '"horizon": NaN', "must be JSON, which has no NaN"),
        ('"horizon": 3', '"horizon": ' + "9" * 5000, "Exceeds the limit"),
        ('"members": []', '"members": ' + "[" * 500 + "]" * 500, "must not nest deeper than 100 levels"),
        ('"members": []', '"members": ' + "[" * 100_000, "recursion"),
        ('"class": "GRUForecaster"', '"class": "TsForecastError"', "must be of a class of tsforecast: got 'TsF"),
        ('"fitted_on_"', '"predict"', "'predict' is no fitted attribute of a GRUForecaster"),
        ('"fitted_on_"', '"members_"', "'members_' is no fitted attribute of a GRUForecaster"),
        ('"series": [', '"series": [77, ', "golden series must be among 2: got"),
    ],
)  # fmt: skip
def test_what_a_description_cannot_say(old: str, new: str, words: str, tmp_path: Path) -> None:
    place = changed(tmp_path / "model", old, new)
    tracemalloc.start()
    with pytest.raises(ModelFileError, match=words):
        load(place)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_a_count_that_is_not_that_of_the_data_takes_no_memory(tmp_path: Path) -> None:
    save(fitted("reduction"), tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    file.write_text(file.read_text().replace('"targets_": 1', '"targets_": 1000000000'))
    with pytest.raises(ModelFileError, match="targets must be those of the panel, 1: got 1000000000"):
        load(tmp_path / "model")


def test_a_header_that_promises_more_than_the_file_has_is_refused_before_it_is_believed(tmp_path: Path) -> None:
    save(small("naive").fit(wave(30)), tmp_path / "model")
    header = {"panel.values": {"dtype": "F64", "shape": [2**36, 1], "data_offsets": [0, 2**39]}}
    text = json.dumps(header).encode()
    (tmp_path / "model" / "numbers.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))
    with pytest.raises(ModelFileError, match=r"that tsforecast saved: numbers.safetensors is cut short or spoilt"):
        load(tmp_path / "model")
    header = {"panel.values": {"dtype": "F64", "shape": [0, 2**62], "data_offsets": [0, 0]}}
    text = json.dumps(header).encode()
    (tmp_path / "model" / "numbers.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ModelFileError, match=r"shape \[0, 4611686018427387904\] cannot lie in a file of"):
        load(tmp_path / "model")


def test_a_description_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    save(small("naive").fit(wave(30)), tmp_path / "model")
    with (tmp_path / "model" / "model.json").open("ab") as file:
        file.truncate(2**40)  # of zeros that take no room on the disk
    with pytest.raises(ModelFileError, match="has 1099511627776 bytes, and 67108864 are the most that is read"):
        load(tmp_path / "model")


@pytest.mark.parametrize("name", ["model.json", "numbers.safetensors"])
def test_a_link_out_of_the_folder_is_not_followed(name: str, tmp_path: Path) -> None:
    save(small("naive").fit(wave(30)), tmp_path / "model")
    file = tmp_path / "model" / name
    file.rename(tmp_path / "outside")
    for target in (tmp_path / "outside", Path("/dev/zero")):
        file.symlink_to(target)
        with pytest.raises(ModelFileError, match=f"{name} must be a file that lies in the folder, and no link out of"):
            load(tmp_path / "model")
        file.unlink()
    os.mkfifo(file)  # would wait for ever
    with pytest.raises(ModelFileError, match=f"{name} must be a file that lies in the folder"):
        load(tmp_path / "model")


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    for name in ("model.json", "numbers.safetensors"):
        save(small("naive").fit(wave(30)), tmp_path / "model")
        (tmp_path / "model" / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(ModelFileError):
            load(tmp_path / "model")
    assert not (tmp_path / "ran").exists()


def test_nothing_that_loads_files_can_run_code_from_them() -> None:
    """Pickle, and what opens pickles, is not named where files are read."""
    package = Path(__file__).parents[2] / "tsforecast"
    own = package / "leakage" / "isolated.py"  # reads what a process that it started left in a folder of its own
    for file in {*package.rglob("*.py")} - {own}:
        text = file.read_text()
        for word in (
            "pickle.load",
            "torch.load",
            "joblib.load",
            "allow_pickle=True",
            "read_pickle",
            " eval(",
            " exec(",
        ):
            # Workers of one network, in a Ray that sends objects in this way itself, are no files.
            found = text.replace("cloudpickle.loads", "") if file.name == "workers.py" else text
            assert word not in found, f"{word} in {file}"


@pytest.mark.thorough
def test_loading_takes_no_more_memory_than_twice_the_file(tmp_path: Path) -> None:
    load(HOME / "v2" / "seasonal-naive")  # what is made once
    save(small("seasonal-naive").fit(np.random.default_rng(0).normal(size=(4_000_000,))), tmp_path / "model")
    size = sum(file.stat().st_size for file in (tmp_path / "model").iterdir())
    tracemalloc.start()
    load(tmp_path / "model")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * size


@pytest.mark.parametrize("told", ['{"date_format": 3}', "[" * 100_000, "[]", '{"date_format": ["%d"]}'])
def test_how_dates_are_written_is_text(told: str, tmp_path: Path) -> None:
    (tmp_path / "reading.json").write_text(told)
    (tmp_path / "data.csv").write_text("day,sales\n2024-01-01,1\n")
    with pytest.raises(ModelFileError, match=r"must hold how dates are written: .*; give it with --date-format"):
        read_next(tmp_path / "data.csv", tmp_path, None, None, None)
