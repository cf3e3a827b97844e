"""A saved model says where it comes from, and comes back as it was, whatever it is and wherever it was fitted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tsforecast
from tests.helpers.forecasters import small, wave
from tests.helpers.models import (
    CLASSIFIERS,
    FORECASTERS,
    FRAME,
    LABELS,
    PANEL,
    RECORDINGS,
    X,
    Y,
    fitted,
    no_random_numbers,
    said,
)
from tsforecast import Conv1DClassifier, GRUClassifier, Panel
from tsforecast.data.calendar import Frequency
from tsforecast.errors import ModelFileError, ParameterError
from tsforecast.estimators.persistence import load, save
from tsforecast.saving import folder
from tsforecast.saving.codec import from_plain, to_plain, typed


def told(place: Path) -> dict:
    return json.loads((place / "model.json").read_text())


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", [*FORECASTERS, *CLASSIFIERS])
def test_every_model_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    model = fitted(name)
    with no_random_numbers():
        model.save(tmp_path / "model")
        again = tsforecast.load(tmp_path / "model")
        said(again)
    assert type(again) is type(model)
    assert repr(again.get_params()) == repr(model.get_params())
    assert again.fitted_on_ == model.fitted_on_
    assert np.array_equal(said(again), said(model))
    if hasattr(model, "classes_"):
        assert again.predict(RECORDINGS).tolist() == model.predict(RECORDINGS).tolist()


@pytest.mark.long
@pytest.mark.parametrize(
    "labels", [LABELS, LABELS.astype(object), np.arange(12) % 2, np.arange(12) % 2 == 1, np.arange(12) % 3 + 0.0]
)
def test_labels_keep_their_kind(labels: np.ndarray, tmp_path: Path) -> None:
    model = Conv1DClassifier(units=3, layers=2, max_epochs=1, kernel_size=2, random_state=0).fit(RECORDINGS, labels)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.classes_.dtype == model.classes_.dtype
    assert np.array_equal(again.predict_proba(RECORDINGS), model.predict_proba(RECORDINGS))


def test_a_classifier_of_recordings_of_one_length_keeps_to_it(tmp_path: Path) -> None:
    model = GRUClassifier(units=3, layers=1, max_epochs=1, validation=None).fit(
        np.random.default_rng(0).normal(size=(6, 9, 2)), [0, 1] * 3
    )
    save(model, tmp_path / "model")
    with pytest.raises(ValueError, match="X has 7 features, but GRUClassifier is expecting 9"):
        load(tmp_path / "model").predict(np.zeros((2, 7, 2)))


def test_names_of_windows_are_kept(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=[f"lag{6 - i}" for i in range(6)])
    model = small("naive").fit(frame, Y)
    save(model, tmp_path / "model")
    assert load(tmp_path / "model").feature_names_in_.tolist() == frame.columns.tolist()


def test_the_data_the_split_and_what_scales_were_learned_from_are_said(tmp_path: Path) -> None:
    model = small("gru").set_params(validation=8).fit(PANEL)
    save(model, tmp_path / "model")
    where = told(tmp_path / "model")["provenance"]
    assert where["data"]["sha256"] == PANEL.fingerprint()
    assert where["data"]["panel"] == "2 series x 40 steps, target 'sales', frequency D, season 7 and 6"
    trained = {"series": 2, "steps": 64, "first": "2024-01-01", "last": "2024-02-01"}
    assert where["split"]["trained"] == trained
    assert where["split"]["validated"] == {"series": 2, "steps": 16, "first": "2024-02-02", "last": "2024-02-09"}
    assert where["scaling"]["learned_from"] == trained | {"sha256": PANEL.until(np.array([32, 32])).fingerprint()}
    assert where["scaling"]["steps"] == "log, standard scaler, each series on its own"


def test_scales_that_a_tuned_network_kept_are_said_to_be_from_elsewhere(tmp_path: Path) -> None:
    source = small("gru").fit(PANEL)
    other = Panel.from_frame(FRAME.assign(size=1.5, sales=FRAME["sales"] + 1), time="day", id="shop", target="sales",
                             static="size")  # fmt: skip
    save(source.fine_tune(other, max_epochs=1), tmp_path / "model")
    where = told(tmp_path / "model")["provenance"]
    assert where["data"]["sha256"] == other.fingerprint()
    assert where["scaling"]["learned_from"] == source.inputs_.origin


def test_a_network_that_was_trained_once_more_learned_from_all_rows(tmp_path: Path) -> None:
    save(small("gru").set_params(refit=True).fit(PANEL), tmp_path / "model")
    where = told(tmp_path / "model")["provenance"]
    assert (where["split"]["trained"]["steps"], where["split"]["validated"]["steps"]) == (80, 0)
    assert where["scaling"]["learned_from"]["sha256"] == PANEL.fingerprint()


@pytest.mark.parametrize("name", ["gru", "arima", "reduction", "ensemble", "gru-classifier", "nearest"])
def test_a_model_that_says_something_else_than_when_it_was_saved_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fitted(name)
    save(model, tmp_path / "model")
    how = "_answers" if hasattr(model, "classes_") else "forecast"
    right = getattr(type(model), how)
    monkeypatch.setattr(type(model), how, lambda *words: right(*words) * 1.01)
    with pytest.raises(ModelFileError, match=r"its golden forecast is off by .* the versions that wrote it \(tsforec"):
        load(tmp_path / "model")
    monkeypatch.setattr(type(model), how, lambda *words: right(*words) * (1 + 1e-9))  # another machine
    load(tmp_path / "model")


def test_a_model_from_a_device_that_is_not_here_is_loaded_for_what_is(tmp_path: Path) -> None:
    for name in ("gru", "gru-classifier", "ensemble"):
        model = fitted(name)
        save(model, tmp_path / name)
        text = (tmp_path / name / "model.json").read_text()
        assert '"device": "auto"' in text
        (tmp_path / name / "model.json").write_text(text.replace('"device": "auto"', '"device": "cuda:7"'))
        again = load(tmp_path / name)
        assert np.array_equal(said(again), said(model))
        assert "cuda" not in repr(again)


def test_a_class_of_somebody_else_is_not_saved(tmp_path: Path) -> None:
    class Mine(tsforecast.NaiveForecaster):
        pass

    with pytest.raises(ParameterError, match=r"this Mine cannot be saved: .* classes of tsforecast only, not Mine\(\)"):
        save(Mine().fit(wave(20)), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_numbers_that_json_does_not_have_are_written_as_text_and_come_back(tmp_path: Path) -> None:
    def bare(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    model = small("gru").fit(PANEL)
    model.fitted_on_["odd"] = [float("nan"), float("inf"), -float("inf"), np.float32("nan")]
    save(model, tmp_path / "model")
    json.loads((tmp_path / "model" / "model.json").read_text(), parse_constant=bare)
    assert np.array_equal(load(tmp_path / "model").fitted_on_["odd"], model.fitted_on_["odd"], equal_nan=True)
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write(tmp_path / "other", {"odd": float("nan")}, {})
    assert not (tmp_path / "other").exists()


def test_values_come_back_from_json_as_they_were_and_of_the_type_of_their_field() -> None:
    values = {"anchor": (6, 12), "low": float("-inf"), 3: [np.float32(0.5)], "names": np.array(["x", "yz"])}
    plain = to_plain(values, lambda model: ("", {}))
    assert plain["dict"][:2] == [["anchor", {"tuple": [6, 12]}], ["low", {"float": "-inf"}]]
    back = from_plain(json.loads(json.dumps(plain)), lambda name, parameters: None)
    assert (back["anchor"], back["low"], back[3], back["names"].tolist()) == ((6, 12), -np.inf, [0.5], ["x", "yz"])
    assert typed(Frequency, {"unit": "month", "count": 3}) == Frequency("month", 3)
    with pytest.raises(TypeError, match="count of Frequency: input should be a valid integer, got '3'"):
        typed(Frequency, {"unit": "month", "count": "3"})
