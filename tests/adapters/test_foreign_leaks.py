"""Evaluations of other libraries that leak are found, and their honest twins pass; `make adapters` runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from foreign_leaks import CUTOFFS, PAIRS, audited, climbing, cross_validated, rmse, unscaled

pytestmark = [
    pytest.mark.adapters,
    pytest.mark.filterwarnings("ignore"),  # those of the libraries are theirs
]


@pytest.mark.parametrize("cutoff", CUTOFFS, ids=lambda at: str(at.date()))
@pytest.mark.parametrize("name", PAIRS)
def test_a_scaler_of_all_rows_is_found_and_its_twins_pass(name: str, cutoff: Any) -> None:
    leaky, twins, _ = PAIRS[name]
    found = audited(leaky, cutoff)
    assert found.outcome == "LEAK (procedure)"
    assert found.repeatable
    moved = set(found.findings.loc[found.findings["outcome"] == "LEAK", "perturbation"])
    assert {f"rows after the cutoff: {how} values" for how in ("other", "higher", "lower", "equal")} <= moved
    for label, twin in twins.items():
        report = audited(twin, cutoff)
        assert report.passed, f"{label}: {report}"
        assert "LEAK" not in set(report.findings["outcome"])


@pytest.mark.parametrize("name", PAIRS)
def test_the_leak_buys_accuracy_that_is_not_there(name: str) -> None:
    leaky, twins, rows = PAIRS[name]
    assert rmse(leaky, rows) < 0.9 * rmse(next(iter(twins.values())), rows)


def test_the_scaler_of_neuralforecast_has_the_mean_of_all_rows_and_its_network_none_of_them() -> None:
    """What moves is the scale alone: without it later rows are without effect, though the call is the same."""
    frame, later = climbing(), climbing()["ds"] > CUTOFFS[0]
    changed = frame.assign(y=np.where(later, frame["y"] + 100.0, frame["y"]))
    scaled = [cross_validated(data, CUTOFFS[0]) for data in (frame, changed)]
    assert np.abs(scaled[0] - scaled[1]).max() > 1.0
    plain = [unscaled(data, CUTOFFS[0]) for data in (frame, changed)]
    np.testing.assert_array_equal(*plain)
