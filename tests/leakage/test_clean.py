"""No clean procedure is accused, whatever its rounding, its noise and the way it counts time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.leakage.gallery.clean import CLEAN, Clean

ROWS = Path(__file__).parents[2] / "benchmarks/results/clean.jsonl"


@pytest.mark.thorough
@pytest.mark.parametrize("entry", CLEAN, ids=lambda entry: entry.name)
def test_no_clean_procedure_is_accused(entry: Clean) -> None:
    report = entry.audit()
    assert report.passed, str(report)
    assert report.repeatable or entry.unseeded


def test_a_few_are_tried_at_once() -> None:
    for entry in CLEAN:
        if entry.name in (
            "causal filter by FFT over all rows",
            "zeros for later rows times numbers",
            "setting at random",
        ):
            assert entry.audit().passed, entry.name


def test_what_depends_on_the_number_of_rows_alone_is_not_proven_unless_that_is_planned() -> None:
    entry = next(entry for entry in CLEAN if "planned_length" in entry.told)
    report = entry.audit(planned_length=False)
    assert (report.outcome, report.passed) == ("not proven (procedure)", False)
    row = report.findings.set_index("perturbation").loc["rows after the cutoff: cut off"]
    assert row["outcome"] == "not proven"
    assert row["note"].endswith("if it is, pass planned_length=True")
    assert entry.audit().outcome == "passed (procedure)"


def test_infinities_that_come_through_weights_of_zero_prove_nothing_beside_finite_values() -> None:
    entry = next(entry for entry in CLEAN if entry.name == "zeros for later rows times numbers")
    report = entry.audit()
    assert report.outcome == "passed, 2 not proven (procedure)"
    assert report.verdict.endswith("; not proven: rows after the cutoff: NaN, rows after the cutoff: infinities")
    assert "not proven" in str(report)


def test_the_committed_rows_have_every_clean_procedure_and_no_accusation() -> None:
    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    assert [row["procedure"] for row in rows] == [entry.name for entry in CLEAN]
    assert sum(row["accused"] for row in rows) <= 0.005 * sum(row["audits"] for row in rows)
    assert sum(row["audits"] for row in rows) >= 1000
