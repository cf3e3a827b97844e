"""The audit finds every leak of the gallery, and none in the honest pipelines or in our own forecasters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.forecasters import small, wave
from tests.leakage.gallery import GALLERY, notebooks
from tests.leakage.gallery.entry import AtCutoffs, Entry
from tsforecast import AuditReport, LeakageError, Panel, audit, audit_procedure
from tsforecast.estimators.registry import MODEL_NAMES
from tsforecast.leakage.perturb import REPLACEMENTS

ROWS = Path(__file__).parents[2] / "benchmarks/results/leaks.jsonl"
# The mistakes that make a forecast worse: they are found all the same.
COSTLY = {"padded to the longest of the batch"}


@pytest.fixture(params=GALLERY, ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> Entry:
    """Each mistake."""
    found = request.param
    assert isinstance(found, Entry)
    return found


@pytest.mark.long
@pytest.mark.sample(7)
def test_a_leak_is_found_at_each_cutoff_and_its_honest_twin_passes(entry: Entry) -> None:
    found, honest = entry.reports(entry.leaky), entry.reports(entry.honest)
    assert len(found) >= 3
    for cutoff, report in found.items():
        assert "LEAK" in report.outcome, f"missed at {cutoff}"
        assert report.repeatable
        with pytest.raises(LeakageError, match=r"what is known at cutoff .* must not depend on .*: .* moved"):
            report.raise_if_leaking()
    for cutoff, report in honest.items():
        assert report.passed, f"{cutoff}: {report}"
        report.raise_if_leaking()
        findings = report.findings
        ran = set(findings.loc[findings["outcome"] == "passed", "perturbation"])
        assert {name.partition(": ")[2] for name in ran} >= {"other values", "shuffled"}


def test_the_gallery_has_as_many_leaks_as_it_claims() -> None:
    names = [entry.name for entry in GALLERY]
    assert len(names) == len(set(names)) == 35
    assert len({entry.name for entry in notebooks.ENTRIES}) == 15


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "cutoff", "perturbation"),
    [
        ("outliers dropped by the spread of all days", "2024-04-14", "equal values"),
        ("wavelets over all days", "2024-04-05", "equal values"),
        ("shuffled windows", 470, "repeated past"),
    ],
)
def test_a_spread_a_threshold_and_neighbours_are_found_by_perturbations_of_procedures(
    name: str, cutoff: Any, perturbation: str
) -> None:
    entry = next(entry for entry in GALLERY if entry.name == name)
    findings = entry.audit_at(entry.leaky, cutoff).findings
    leaks = findings.loc[findings["outcome"] == "LEAK", "perturbation"]
    assert f"rows after the cutoff: {perturbation}" in set(leaks)
    assert not {f"rows after the cutoff: {how}" for how in REPLACEMENTS} & set(leaks)
    assert entry.audit_at(entry.honest, cutoff).passed


@pytest.mark.parametrize("side", ["higher", "lower"])
def test_limits_that_saturate_are_found_from_both_sides(side: str) -> None:
    """One row is left, and it lies beyond the limit: nothing but values on the other side move the limit."""
    series = np.append(np.sin(np.arange(60.0)), -5.0 if side == "higher" else 5.0)
    limit = 0.1 if side == "higher" else 0.9

    def clipped(data: Any) -> Any:
        known = np.where(np.isfinite(data), data, -5.0 if side == "higher" else 5.0)
        bound = np.quantile(known, limit)
        return np.maximum(data[:60], bound) if side == "higher" else np.minimum(data[:60], bound)

    findings = audit_procedure(clipped, series, 59, planned_length=True).findings.set_index("perturbation")
    assert findings.loc[f"rows after the cutoff: {side} values", "outcome"] == "LEAK"
    other = "lower" if side == "higher" else "higher"
    assert findings.loc[f"rows after the cutoff: {other} values", "outcome"] == "passed"


def test_the_committed_rows_have_every_mistake_and_the_accuracy_that_is_not_there() -> None:
    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    assert [row["mistake"] for row in rows] == [entry.name for entry in GALLERY]
    assert all(row["caught"] == row["cutoffs"] >= 3 and row["accused"] == 0 for row in rows)
    assert {row["mistake"] for row in rows if row["gain"] <= 0} == COSTLY
    # As much as the 20.5 % that Albelali and Ahmed (2025, arXiv 2512.06932) report at most, and more.
    assert sum(row["gain"] > 20.5 for row in rows) >= 14


@pytest.mark.thorough
@pytest.mark.parametrize("entry", GALLERY[::6], ids=lambda e: e.name)
def test_the_leak_buys_what_the_committed_row_has(entry: Entry) -> None:
    rows = map(json.loads, ROWS.read_text(encoding="utf-8").splitlines())
    row = next(row for row in rows if row["mistake"] == entry.name)
    assert entry.rmse(entry.leaky) == pytest.approx(row["leaky"], rel=0.02, abs=1e-6)
    assert entry.rmse(entry.honest) == pytest.approx(row["honest"], rel=0.02)


@pytest.mark.long
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_none_of_our_forecasters_is_flagged(name: str) -> None:
    panel = Panel.from_array([wave(60, 0), 5 + wave(60, 1)], season_length=6)
    report = audit(small(name), panel, cutoffs=1, level="fit")
    assert report.passed, str(report)
    assert report.repeatable
    assert report.outcome == "passed (fit)"
    names = set(report.findings["perturbation"])
    assert {"rows after the cutoff: other values", "forecast in another order", "forecast one by one"} <= names
    assert not report.findings["outcome"].isin(["LEAK", "not run"]).any()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "entry", [entry for entry in GALLERY if isinstance(entry, AtCutoffs)][1:18:4], ids=lambda e: e.name
)
def test_leaks_are_found_beside_the_noise_of_a_procedure_without_a_seed(entry: AtCutoffs) -> None:
    random, data, at = np.random.default_rng(0), entry.data(), entry.cutoffs[len(entry.cutoffs) // 2]
    size = 0.02 * np.abs(entry.leaky(data, at)).mean()

    def noisy(pipeline: Any) -> AuditReport:
        return audit_procedure(lambda given: pipeline(given, at) + size * random.normal(), data, at)

    found = noisy(entry.leaky)
    assert "LEAK" in found.outcome
    assert not found.repeatable
    assert noisy(entry.honest).passed
