"""`tsforecast fit --within` fits the best recipe that keeps to a time, and `--epochs` may make a fit shorter."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import tsforecast
from tsforecast.estimators.persistence import load

FIT = ("fit", "co2-weekly", "--epochs", "2", "--out", "model")
pytestmark = pytest.mark.thorough


def test_the_best_recipe_that_keeps_to_the_time_is_fitted(tmp_path: Path) -> None:
    result = tsforecast(*FIT, "--within", "10min", cwd=tmp_path, width=200)
    assert result.returncode == 0, result.stderr
    assert "recipe best: " in result.stdout
    assert "s for at most 2 epochs of 28 steps" in result.stdout
    assert load(tmp_path / "model").members == 5
    given = tsforecast(*FIT[:-1], "fast", "--within", "10min", "--recipe", "fast", cwd=tmp_path, width=200)
    assert "recipe fast: " in given.stdout
    assert load(tmp_path / "fast").units == 32


def test_too_little_time_is_refused_with_the_least_that_is_needed(tmp_path: Path) -> None:
    result = tsforecast(*FIT, "--within", "0.01s", cwd=tmp_path, width=200)
    assert result.returncode == 2
    assert "--within must be at least" in result.stderr
    assert "2 epochs of 28 steps" in result.stderr
    assert not (tmp_path / "model").exists()
    drift = ("fit", "co2-weekly", "--out", "model", "--model", "drift")
    result = tsforecast(*drift, "--within", "60s", cwd=tmp_path, width=200)
    assert result.returncode == 2
    assert "drift is no network" in result.stderr
