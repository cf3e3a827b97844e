"""`tsforecast inspect` says what a saved model is, at 80 columns, whatever version wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.keep_models import HOME
from tests.golden.test_models import KEPT
from tests.test_cli import tsforecast
from tsforecast.saving.summary import summary


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
    assert told["golden"] == ("none" if place.parent.name == "v1" else "a forecast that load asks for again")
    if place.parent.name == "v2":
        assert len(told["fingerprint"]) == 64
