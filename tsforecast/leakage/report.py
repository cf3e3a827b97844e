"""Log and report of an audit: each perturbation, and whether anything moved."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.errors import LeakageError, raise_any, reason
from tsforecast.leakage.evidence import Fingerprint, differences

RUNS = 3  # equal runs, where two of them differ
MORE_RUNS = 8  # more of both where something seems to move: a few may be close, or far apart, by chance
SLACK = 3.0  # times the spread of equal runs: a larger difference has moved


@dataclass(frozen=True, eq=False)
class AuditReport:
    """Perturbations of the data, and what moved with them.

    Attributes
    ----------
    findings : pandas.DataFrame
        One row for each perturbation and cutoff: ``cutoff, perturbation, outcome`` (passed, LEAK, not run), ``moved``
        (name of the array), ``where`` (its first place), ``by`` (the largest difference, NaN where it is not a
        number), ``note``.
    level : {"data", "fit"}
        Windows, scaler statistics and choices were compared, or weights and forecasts as well.
    repeatable : bool
        Whether the same run gave the same result twice.
    """

    findings: pd.DataFrame
    level: str
    repeatable: bool = True

    @property
    def passed(self) -> bool:
        """Whether there were perturbations and nothing moved in any of them."""
        outcomes = set(self.findings["outcome"])
        return "passed" in outcomes and "LEAK" not in outcomes

    @property
    def outcome(self) -> str:
        """The result in a word, with the level."""
        leaks = (self.findings["outcome"] == "LEAK").any()
        return f"{'LEAK' if leaks else 'passed' if self.passed else 'not run'} ({self.level})"

    def raise_if_leaking(self) -> None:
        """Raise LeakageError with a sentence for each perturbation in which something moved."""
        leaks = self.findings[self.findings["outcome"] == "LEAK"]
        raise_any((_sentence(row) for row in leaks.itertuples()), LeakageError)

    @property
    def verdict(self) -> str:
        """The result in a sentence: number of perturbations, level, precision."""
        leaks = int((self.findings["outcome"] == "LEAK").sum())
        ran = int((self.findings["outcome"] != "not run").sum())
        words = f"LEAK: something moved in {leaks} of {ran}" if leaks else f"passed: nothing moved in {ran}"
        exact = "exact on this machine and number of threads"
        if not self.repeatable:
            exact = f"not repeatable, set random_state: compared with {SLACK:g} times the spread of equal runs"
        return f"{words} perturbations (level {self.level}; {exact})"

    @property
    def shown(self) -> pd.DataFrame:
        """The findings as text, without empty columns."""
        text = self.findings.assign(by=[f"{by:.3g}" if by == by else "" for by in self.findings["by"]]).astype(str)
        return text[
            [name for name in text if name in ("cutoff", "perturbation", "outcome") or (text[name] != "").any()]
        ]

    def __str__(self) -> str:
        return f"{self.verdict}\n\n{self.shown.to_markdown(index=False, disable_numparse=True)}\n"

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return str(self)


def _sentence(row: Any) -> str:
    """Describe what moved in a row of findings, with its place and size if it has them."""
    known = f"known at cutoff {row.cutoff}" if row.cutoff != "" else "returned for the tested series"
    where, by = f", first at {row.where}" if row.where else "", f", by up to {row.by:.3g}" if row.by == row.by else ""
    return f"what is {known} must not depend on {row.perturbation}: {row.note or f'{row.moved} moved{where}{by}'}"


class AuditLog:
    """Rows of a report for one cutoff, added one perturbation at a time.

    `run` returns the fingerprint of data: called twice with the original ones to check that it is repeatable, and more
    often where it is not, most of all before something is called a leak. At level "data" nothing is drawn at random.
    """

    def __init__(self, cutoff: Any, level: str, run: Callable[[Any], Fingerprint], data: Any) -> None:
        self.cutoff, self.level = cutoff, level
        self.rows: list[dict[str, Any]] = []
        self.run, self.data, self.more_to_run = run, data, MORE_RUNS
        self.expected = self.latest = run(data)
        self.spread: dict[str, float] = {}
        if level == "fit":
            self._run_again()
        self.repeatable = not self.spread
        if not self.repeatable:
            for _ in range(RUNS - 2):
                self._run_again()

    def compare(
        self,
        perturbation: str,
        data: Any,
        run: Callable[[Any], Fingerprint] | None = None,
        rounding: bool = False,
    ) -> None:
        """Add whether something moved with perturbed data by more than equal runs differ, each time where they do.

        Another `run` returns a part of the fingerprint; with `rounding`, half the digits of a number may differ.
        """
        try:
            moved = self._moved(data, run, rounding)
            while moved and not self.repeatable and self.more_to_run:
                self.more_to_run -= 1
                self._run_again()
            for _ in range(0 if self.repeatable else MORE_RUNS):
                if moved:
                    again = self._moved(data, run, rounding)
                    moved = {name: item for name, item in moved.items() if name in again}
        except Exception as error:  # any error that the code of others raises for such numbers
            self.add(perturbation, "not run", note=f"{type(error).__name__}: {reason(error)}")
            return
        if not moved:
            self.add(perturbation, "passed")
            return
        name, (place, _) = next(iter(moved.items()))
        sizes = [by for _, by in moved.values() if by == by]
        names = f"{name} and {len(moved) - 1} more" if len(moved) > 1 else name
        self.add(perturbation, "LEAK", names, str(list(place)) if place else "", max(sizes, default=np.nan))

    def _moved(
        self, data: Any, run: Callable[[Any], Fingerprint] | None, rounding: bool
    ) -> dict[str, tuple[tuple[int, ...], float]]:
        """Return the place and size of each difference that is larger than between equal runs."""
        with warnings.catch_warnings():  # the numbers are strange on purpose
            warnings.simplefilter("ignore")
            found = (run or self.run)(data)
        expected = {name: item for name, item in self.expected.items() if name in found or run is None}
        slack = {name: _rounding(item) if rounding else 0.0 for name, item in expected.items()}
        differ = [item for item in differences(expected, found) if self._beyond_spread(item[0], item[2])]
        return {name: (at, by) for name, at, by in differ if not by <= slack.get(name, 0.0)}

    def _run_again(self) -> None:
        """Run once more, and update the spread of equal runs."""
        found = self.run(self.data)
        for other in (self.expected, self.latest):
            for name, _, by in differences(other, found):
                self.spread[name] = max(self.spread.get(name, 0.0), by if by == by else np.inf)
        self.latest = found

    def _beyond_spread(self, name: str, by: float) -> bool:
        spread = self.spread.get(name, 0.0)
        return spread < np.inf and not by <= SLACK * spread

    def add(
        self, perturbation: str, outcome: str, moved: str = "", where: str = "", by: float = np.nan, note: str = ""
    ) -> None:
        """Add a row."""
        row = {"cutoff": self.cutoff, "perturbation": perturbation, "outcome": outcome, "moved": moved, "where": where}
        self.rows.append(row | {"by": by, "note": note})

    def report(self) -> AuditReport:
        """Return all rows."""
        return AuditReport(pd.DataFrame(self.rows), self.level, self.repeatable)


def _rounding(item: NDArray[Any]) -> float:
    """Return the largest difference between numbers that differ in the order of their sums only."""
    if item.dtype.kind != "f":
        return 0.0
    return float(np.sqrt(np.finfo(item.dtype).eps) * np.abs(np.nan_to_num(item)).max(initial=0.0))


def join_reports(reports: list[AuditReport]) -> AuditReport:
    """Return one report of several cutoffs."""
    rows = pd.concat([report.findings for report in reports], ignore_index=True)
    return AuditReport(rows, reports[0].level, all(report.repeatable for report in reports))
