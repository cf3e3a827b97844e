"""`tsforecast inspect` says what a saved model is, at 80 columns, whatever version wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.keep_models import HOME
from tests.golden.test_models import KEPT
from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import small
from tests.helpers.models import FRAME, LABELS, RECORDINGS, fitted
from tsforecast import Conv1DClassifier, EnsembleForecaster, GRUForecaster, NaiveForecaster, Panel
from tsforecast.estimators.persistence import summary
from tsforecast.saving.codec import to_plain


def test_a_saved_model_is_described_at_80_columns() -> None:
    result = tsforecast("inspect", HOME / "v2" / "gru", width=80)
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    for words in ("GRUForecaster(anchor=(6, 12)", "2 series, 80 steps, 2024-01-01 to 2024-02-09", "tsforecast 0.1.0"):
        assert words in result.stdout
    refused = tsforecast("inspect", HOME)
    assert refused.returncode == 2
    assert "must be a folder that tsforecast saved: it has no model.json" in refused.stderr


@pytest.mark.parametrize("place", KEPT, ids=lambda place: f"{place.parent.name}-{place.name}")
def test_every_kept_model_can_be_described(place: Path) -> None:
    told = summary(place)
    assert told["format"].startswith(f"version {place.parent.name[1:]} (tsforecast 0.1.0")
    assert told["golden"] == ("none" if place.parent.name == "v1" else "a prediction that load repeats")
    if place.parent.name == "v2":
        assert len(told["fingerprint"]) == 64


def described(model: Any, folder: Path) -> dict[str, str]:
    model.save(folder)
    return summary(folder)


def test_what_a_classifier_is_was_fitted_on_and_chose_by_is_said(tmp_path: Path) -> None:
    people = np.repeat(["ann", "bob", "cat", "dan"], 3)
    model = Conv1DClassifier(units=3, layers=1, max_epochs=2, validation=1, random_state=0)
    told = described(model.fit(RECORDINGS, LABELS, groups=people), tmp_path / "model")
    best = model.history_[model.resolved_["best_epoch"]]
    assert told["model"] == "Conv1DClassifier(layers=1, max_epochs=2, random_state=0, units=3, validation=1)"
    assert told["classes"] == "2: 'rest', 'wave'"
    assert told["columns"] == "1 channel"
    assert told["training"].startswith(
        f"best epoch {best.number} of 2, validation loss {best.valid_loss:.4g}, skill {100 * best.skill:+.1f} %"
    )
    assert told["data"] == "12 recordings of 8 to 19 steps, 162 in all, of 4 groups"
    assert told["validated"] == "1 group"
    assert told["scales from"] == "9 recordings of 8 to 16 steps, 108 in all"
    assert told["fingerprint"] == model.fitted_on_["sha256"]


def test_channels_have_their_names_and_recordings_of_one_length_that_length(tmp_path: Path) -> None:
    panel = Panel.from_frame(FRAME.assign(size=1.5), time="day", id="shop", target=["sales", "size"])
    told = described(fitted("nearest").fit(panel, ["a", "b"]), tmp_path / "panel")
    assert told["columns"] == "2 channels 'sales', 'size'"
    assert told["data"] == told["scales from"] == "2 recordings of 40 steps, 80 in all"
    names = [f"class {i:02}" for i in range(20)]
    told = described(fitted("majority").fit(np.zeros((20, 5, 3)), names), tmp_path / "array")
    assert told["columns"] == "3 channels, 5 steps each"
    assert told["classes"].startswith("20: 'class 00', ")
    assert told["classes"].endswith("'class 07' and 12 more")


def test_columns_of_a_forecaster_have_their_roles(tmp_path: Path) -> None:
    frame = FRAME.assign(size=1.5, price=np.arange(80.0), chain="x")
    panel = Panel.from_frame(frame, time="day", id="shop", target="sales", future="price", static="size", group="chain")
    told = described(small("gru").fit(panel), tmp_path / "model")
    assert told["columns"] == "time 'day', id 'shop', target 'sales', future 'price', static 'size', group 'chain'"
    assert told["training"].startswith("best epoch ")
    assert told["horizon"] == "3"
    assert summary(HOME / "v2" / "windows")["columns"] == "windows, 6 steps each"


def test_what_was_cleaned_and_what_each_member_of_an_ensemble_validated_and_scaled_on_is_said(tmp_path: Path) -> None:
    frame = FRAME[FRAME["shop"] == FRAME["shop"].iloc[0]].drop(columns="shop").drop(index=[5, 6])
    panel = Panel.from_frame(frame, target="sales", fill_gaps=True, nan_policy="forward_fill")
    members = [
        small("gru"),
        NaiveForecaster(horizon=3),
        small("gru").set_params(validation=4, scaler="robust"),
        small("gru"),
    ]
    told = described(EnsembleForecaster(members, horizon=3).fit(panel), tmp_path / "model")
    assert told["columns"] == "time 'day', target 'sales'"
    assert told["cleaned"] == "inserted 2 missing time stamps"
    assert (
        told["validated"] == "members 1, 4: the last 6 steps of each series; member 3: the last 4 steps of each series"
    )
    assert told["scaling"] == (
        "members 1, 4: log, standard scaler, each series on its own; "
        "member 3: log, robust scaler, each series on its own"
    )
    assert told["scales from"] == (
        "members 1, 4: 1 series, 34 steps, 2024-01-01 to 2024-02-03; "
        "member 3: 1 series, 36 steps, 2024-01-01 to 2024-02-05"
    )
    alike = described(EnsembleForecaster(small("gru"), seeds=2).fit(panel), tmp_path / "model")
    assert alike["validated"] == "the last 6 steps of each series"
    assert alike["scaling"] == "log, standard scaler, each series on its own"


def test_rows_that_updates_took_in_are_counted(tmp_path: Path) -> None:
    model = GRUForecaster(horizon=2, units=2, max_epochs=1, random_state=0).fit([np.arange(40.0), np.arange(30.0)])
    model.save(tmp_path)
    assert "updated" not in summary(tmp_path)
    model.update([np.arange(44.0), np.arange(30.0)]).save(tmp_path)
    assert summary(tmp_path)["updated"] == "4 rows of 1 of 2 series since the fit; nothing was learned again"
    model.update([np.arange(45.0), np.arange(30.0)], scales="learn").save(tmp_path)
    assert summary(tmp_path)["updated"] == "5 rows of 1 of 2 series since the fit; scales or weights were learned again"


def test_a_classifier_of_an_older_version_is_described_with_what_is_known() -> None:
    told = summary(HOME / "v2" / "gru-classifier")
    assert told["data"] == "12 recordings of up to 19 steps, 162 in all"
    assert told["validated"] == "2 recordings"


def test_codes_that_steer_a_terminal_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    NaiveForecaster().fit(np.arange(20.0)).save(tmp_path / "model")
    written = json.loads((tmp_path / "model/model.json").read_text())
    written["provenance"]["machine"] = "\x1b[31mred"
    (tmp_path / "model/model.json").write_text(json.dumps(written))
    result = tsforecast("inspect", tmp_path / "model", width=80)
    assert "\x1b" not in result.stdout
    assert r"\x1b[31mred" in result.stdout


def test_a_number_that_has_become_many_is_shown_as_it_is(tmp_path: Path) -> None:
    NaiveForecaster(horizon=3).fit(np.arange(20.0)).save(tmp_path / "model")
    file = tmp_path / "model/model.json"
    written = json.loads(file.read_text())
    written["fitted"]["learned"]["horizon_"] = to_plain(np.array([1, 2]), lambda model: ("", {}))
    file.write_text(json.dumps(written))
    assert "horizon" in summary(tmp_path / "model")
