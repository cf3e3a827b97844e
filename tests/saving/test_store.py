"""A saved forecaster comes back whole and forecasts the same; a broken folder is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.forecasters import small, wave
from tsforecast.errors import ModelFileError, ParameterError
from tsforecast.estimators.base import NotFittedError
from tsforecast.estimators.persistence import load, save
from tsforecast.files import OutputError
from tsforecast.forecasters.base import Forecaster

FRAME = pd.DataFrame(
    {
        "shop": np.repeat(["a", "b"], 60),
        "day": [*pd.date_range("2024-01-01", periods=60), *pd.date_range("2024-02-01", periods=60)],
        "sales": np.concatenate([wave(60, 0), wave(60, 1)]),
    }
)


def test_a_loaded_forecaster_forecasts_the_same_to_the_bit(forecaster: Forecaster, tmp_path: Path) -> None:
    fitted = forecaster.fit(FRAME)
    save(fitted, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.get_params() == fitted.get_params()
    kept = {"ended": "forecast"}  # the first shop ended a month before the second
    assert again.predict(**kept).equals(fitted.predict(**kept))
    assert again.predict(FRAME.iloc[:100], horizon=5, **kept).equals(
        fitted.predict(FRAME.iloc[:100], horizon=5, **kept)
    )
    if hasattr(fitted, "history_"):
        assert again.history_ == fitted.history_


def test_saving_again_replaces_the_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    for horizon in (2, 3):
        save(small("drift", horizon).fit(wave(20)), tmp_path / "model")
    assert load(tmp_path / "model").horizon == 3
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_no_model_is_not_taken_away(what: str, tmp_path: Path) -> None:
    place = tmp_path / "thesis"
    if what == "file":
        place.write_text("years of work")
    else:
        place.mkdir()
        (place / "chapter.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"stays? as (it is|they are); name another place"):
        save(small("naive").fit(wave(5)), place)
    assert (place if what == "file" else place / "chapter.txt").read_text() == "years of work"
    assert len(list(tmp_path.rglob("*"))) == (1 if what == "file" else 2)


def test_an_empty_folder_may_be_saved_to(tmp_path: Path) -> None:
    save(small("naive").fit(wave(5)), tmp_path)
    assert load(tmp_path).horizon == 3


def test_only_json_and_safetensors_are_written(network: Forecaster, tmp_path: Path) -> None:
    save(network.fit(wave(90)), tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "numbers.safetensors"]


def test_every_file_may_be_read_by_those_whom_the_user_lets_read(tmp_path: Path) -> None:
    save(small("gru").fit(wave(90)), tmp_path / "model")
    (tmp_path / "plain").write_text("")
    modes = {path.stat().st_mode for path in (tmp_path / "model").iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_something_that_is_no_forecaster_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        save("gru", tmp_path / "model")  # type: ignore[arg-type]
    assert str(caught.value) == "a forecaster is needed, such as GRUForecaster().fit(data): got str"


def test_an_unfitted_forecaster_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="this NaiveForecaster must be fitted first: call fit"):
        save(small("naive"), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="must be a place that can be written to"):
        save(small("naive").fit(wave(5)), tmp_path / "file" / "model")


def broken(folder: Path, how: str) -> None:
    description = json.loads((folder / "model.json").read_text())
    numbers = folder / "numbers.safetensors"
    if how == "no description":
        (folder / "model.json").unlink()
    elif how == "not json":
        (folder / "model.json").write_text("{")
    elif how == "list":
        (folder / "model.json").write_text("[]")
    elif how == "no numbers":
        numbers.unlink()
    elif how == "cut numbers":
        numbers.write_bytes(numbers.read_bytes()[:-9])
    else:
        if how == "other version":
            description["format_version"] = 99
        elif how == "unknown model":
            description["fitted"]["class"] = "os.system"
        elif how == "unknown parameter":
            description["fitted"]["parameters"]["code"] = 1
        elif how == "other units":
            description["fitted"]["parameters"]["units"] = 5
        (folder / "model.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no description", "it has no model.json"),
        ("no numbers", "it has no numbers.safetensors"),
        ("not json", "model.json is cut short or spoilt; copy the folder once more, or save the model again"),
        ("list", "model.json must hold an object: it holds a list"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(how: str, words: str, tmp_path: Path) -> None:
    save(small("gru").fit(wave(90)), tmp_path / "model")
    broken(tmp_path / "model", how)
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "model")
    assert str(caught.value) == f"{str(tmp_path / 'model')!r} must be a folder that tsforecast saved: {words}"


def test_damage_that_no_golden_forecast_shows_is_found(tmp_path: Path) -> None:
    save(small("naive").fit(wave(90)), tmp_path / "model")
    file = tmp_path / "model" / "numbers.safetensors"
    told = bytearray(file.read_bytes())
    told[told.index(wave(90)[3].tobytes())] ^= 1  # a bit of the past, which the naive forecast does not look at
    file.write_bytes(told)
    with pytest.raises(ModelFileError, match=r"must be what was saved, SHA-256 .*: it is .*; copy the folder"):
        load(tmp_path / "model")
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    del description["numbers_sha256"]  # as those that were saved before there was one
    (tmp_path / "model" / "model.json").write_text(json.dumps(description))
    assert load(tmp_path / "model").horizon == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere", "it does not exist; check the name, and the folder, which is "), ("x" * 5000, "File name too long")],
)  # fmt: skip
def test_a_name_that_names_nothing_is_refused_in_words(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=f"must be a folder that tsforecast saved: {words}"):
        load(name)
    if name != "nowhere":
        with pytest.raises(OutputError, match=f"must be a place that can be written to: {words}; name another one"):
            save(small("naive").fit(wave(5)), tmp_path / name)


@pytest.mark.parametrize(
    "how",
    ["no description", "not json", "list", "no numbers", "cut numbers", "other version", "unknown model",
     "unknown parameter", "other units"],
)  # fmt: skip
def test_a_broken_folder_is_refused(how: str, tmp_path: Path) -> None:
    save(small("gru").fit(wave(90)), tmp_path / "model")
    broken(tmp_path / "model", how)
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "model")
    assert "rrno" not in str(caught.value)
