"""Models that older versions saved are loaded by this one, and say what they said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.keep_models import HOME
from tests.helpers.models import said
from tsforecast.errors import ModelFileError
from tsforecast.estimators.persistence import load, save
from tsforecast.saving.migrations import VERSION

KEPT = sorted(file.with_suffix("") for file in HOME.glob("v*/*.json"))


@pytest.mark.sample(3)
@pytest.mark.parametrize("place", KEPT, ids=lambda place: f"{place.parent.name}-{place.name}")
def test_a_model_of_every_version_says_what_it_said(place: Path, tmp_path: Path) -> None:
    model, then = load(place), np.array(json.loads(place.with_suffix(".json").read_text()))
    now = said(model)
    assert np.allclose(now.ravel(), then.ravel(), rtol=1e-5)
    save(model, tmp_path / "again")  # in the format of today
    assert json.loads((tmp_path / "again" / "model.json").read_text())["format_version"] == VERSION
    assert np.array_equal(said(load(tmp_path / "again")), now)


def same(told: Any, value: Any) -> None:
    """Compare a parameter that version 1 wrote with what it has become."""
    if isinstance(told, dict):
        for name, item in told["parameters"].items():
            same(item, getattr(value, name))
    elif isinstance(told, list):
        assert len(told) == len(value)
        for one, other in zip(told, value, strict=True):
            same(one, other)
    else:
        assert told == value


def nothing_is_forgotten(told: dict[str, Any], model: Any) -> None:
    """Compare what version 1 wrote with a model: parameters that are plain, names of what was learned, and members."""
    parameters = model.get_params(deep=False)
    for name, value in told["parameters"].items():
        same(value, parameters[name])
    learned = model.get_state()[0]
    assert {name.removesuffix("_") for name in told["learned"]} <= {name.removesuffix("_") for name in learned}
    assert learned.get("history_", []) == told["learned"].get("history_", [])
    assert len(model.members_) == len(told["members"])
    for each, member in zip(told["members"], model.members_, strict=True):
        nothing_is_forgotten(each, member)


@pytest.mark.parametrize("place", [place for place in KEPT if place.parent.name == "v1"], ids=lambda place: place.name)
def test_nothing_that_version_1_wrote_is_forgotten(place: Path) -> None:
    told, model = json.loads((place / "model.json").read_text()), load(place)
    nothing_is_forgotten(told, model)
    assert model.panel_.ids.tolist() == told["panel"]["ids"]
    assert {name: fact.tolist() for name, fact in model.panel_.statics.items()} == told["panel"]["facts"]


def test_there_are_models_of_every_version() -> None:
    assert {place.parent.name for place in KEPT} == {f"v{number}" for number in range(1, VERSION + 1)}


def test_a_version_that_is_to_come_is_refused_and_who_wrote_it_is_said(tmp_path: Path) -> None:
    shutil.copytree(HOME / "v2" / "gru", tmp_path / "gru")
    file = tmp_path / "gru" / "model.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told | {"format_version": 99, "written_by": {"tsforecast": "9.0"}}))
    with pytest.raises(
        ModelFileError, match=r"must have format version 2 or an older one, and has 99; .*tsforecast 9.0"
    ):
        load(tmp_path / "gru")
