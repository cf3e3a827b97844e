"""No clean procedure is accused, whatever its rounding, its noise and the way it counts time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.leakage.gallery.clean import CLEAN, Clean
from tests.leakage.gallery.customs import CUSTOMS

ROWS = Path(__file__).parents[2] / "benchmarks/results/clean.jsonl"


EVERY = [*CUSTOMS, *CLEAN]


@pytest.mark.long
@pytest.mark.sample(12)
@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.name)
def test_no_clean_procedure_is_accused(entry: Clean) -> None:
    for case in entry.cases:
        report = case.audit()
        assert report.passed, str(report)
        assert report.repeatable or entry.unseeded


def test_each_custom_is_tried_at_several_cutoffs() -> None:
    assert len({entry.name for entry in CUSTOMS}) == 18
    assert all(len(entry.cases) >= 3 for entry in CUSTOMS)


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
    assert [row["procedure"] for row in rows] == [entry.name for entry in EVERY]
    assert sum(row["accused"] for row in rows) <= 0.005 * sum(row["audits"] for row in rows)
    assert sum(row["audits"] for row in rows) >= 1000
