"""The ledger of an audit: what was changed, whether anything moved, and the report of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.audit.evidence import Evidence, differences
from tsforecast.errors import LeakageError, raise_any, reason

RUNS = 3  # of the same thing, where two of them differ
MORE_RUNS = 8  # where something seems to have moved, of both: a few runs may lie together, or apart, by chance
SLACK = 3.0  # times the spread of those runs: what differs by more has moved


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What was changed, and what moved.

    Attributes
    ----------
    findings : pandas.DataFrame
        One row for each probe and cutoff: ``cutoff, probe, outcome`` (passed, LEAK, not run), ``moved`` (what moved),
        ``where`` (the first place), ``by`` (the largest difference, NaN where it is not a number), ``note``.
    level : {"data", "fit"}
        What was compared: windows, scaler statistics and choices, or weights and forecasts as well.
    repeatable : bool
        Whether the same run gave the same result twice.
    """

    findings: pd.DataFrame
    level: str
    repeatable: bool = True

    @property
    def passed(self) -> bool:
        """Whether probes were run and nothing moved in any of them."""
        outcomes = set(self.findings["outcome"])
        return "passed" in outcomes and "LEAK" not in outcomes

    @property
    def outcome(self) -> str:
        """The result in a word, with the level."""
        leaks = (self.findings["outcome"] == "LEAK").any()
        return f"{'LEAK' if leaks else 'passed' if self.passed else 'not run'} ({self.level})"

    def raise_if_leaking(self) -> None:
        """Raise LeakageError with a sentence for each probe in which something moved."""
        leaks = self.findings[self.findings["outcome"] == "LEAK"]
        raise_any((_sentence(row) for row in leaks.itertuples()), LeakageError)

    @property
    def verdict(self) -> str:
        """The result in a sentence: how many probes, how deep, how exact."""
        leaks = int((self.findings["outcome"] == "LEAK").sum())
        ran = int((self.findings["outcome"] != "not run").sum())
        words = f"LEAK: something moved in {leaks} of {ran}" if leaks else f"passed: nothing moved in {ran}"
        exact = "exact on this machine and number of threads"
        if not self.repeatable:
            exact = f"not repeatable, set random_state: compared with {SLACK:g} times the spread of equal runs"
        return f"{words} probes (level {self.level}; {exact})"

    @property
    def shown(self) -> pd.DataFrame:
        """The findings as text, for a reader, without columns in which nothing stands."""
        text = self.findings.assign(by=[f"{by:.3g}" if by == by else "" for by in self.findings["by"]]).astype(str)
        return text[[name for name in text if name in ("cutoff", "probe", "outcome") or (text[name] != "").any()]]

    def __str__(self) -> str:
        return f"{self.verdict}\n\n{self.shown.to_markdown(index=False, disable_numparse=True)}\n"

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return str(self)


def _sentence(row: Any) -> str:
    """Say what moved in a row of findings, as far as it has a place and a size."""
    known = f"known at cutoff {row.cutoff}" if row.cutoff != "" else "said of the tested series"
    where, by = f", first at {row.where}" if row.where else "", f", by up to {row.by:.3g}" if row.by == row.by else ""
    return f"what is {known} must not depend on {row.probe}: {row.note or f'{row.moved} moved{where}{by}'}"


class AuditLog:
    """The rows of a report as they come, for one cutoff.

    Parameters
    ----------
    cutoff : what names it
    level : {"data", "fit"}
    run : callable
        Returns the evidence of the data as they are; called twice to see whether it is repeatable, and more often
        where it is not, most of all before something is called a leak.
    sure : bool
        Nothing is drawn at random: once is enough.
    """

    def __init__(self, cutoff: Any, level: str, run: Callable[[], Evidence], sure: bool = False) -> None:
        self.cutoff, self.level = cutoff, level
        self.rows: list[dict[str, Any]] = []
        self.run, self.more_to_run = run, MORE_RUNS
        self.expected = self.latest = run()
        self.spread: dict[str, float] = {}
        if not sure:
            self._run_again()
        self.repeatable = not self.spread
        if not self.repeatable:
            for _ in range(RUNS - 2):
                self._run_again()

    def compare(self, probe: str, run: Callable[[], Evidence], part: bool = False, rounding: bool = False) -> None:
        """Note whether something moved by more than equal runs differ, each time where they do.

        With `part` the run returns a part of the evidence; with `rounding` half the digits of a number may differ.
        """
        try:
            moved = self._moved(run, part, rounding)
            while moved and not self.repeatable and self.more_to_run:
                self.more_to_run -= 1
                self._run_again()
            for _ in range(0 if self.repeatable else MORE_RUNS):
                if moved:
                    again = self._moved(run, part, rounding)
                    moved = {name: found for name, found in moved.items() if name in again}
        except Exception as error:  # whatever the code of others raises when it meets such numbers
            self.add(probe, "not run", note=f"{type(error).__name__}: {reason(error)}")
            return
        if not moved:
            self.add(probe, "passed")
            return
        name, (place, _) = next(iter(moved.items()))
        sizes = [by for _, by in moved.values() if by == by]
        names = f"{name} and {len(moved) - 1} more" if len(moved) > 1 else name
        self.add(probe, "LEAK", names, str(list(place)) if place else "", max(sizes, default=np.nan))

    def _moved(
        self, run: Callable[[], Evidence], part: bool, rounding: bool
    ) -> dict[str, tuple[tuple[int, ...], float]]:
        """Return where and by how much each thing moved that differs by more than equal runs do."""
        with warnings.catch_warnings():  # of numbers that are there to be strange
            warnings.simplefilter("ignore")
            found = run()
        expected = {name: item for name, item in self.expected.items() if name in found or not part}
        slack = {name: _rounding(item) if rounding else 0.0 for name, item in expected.items()}
        apart = differences(expected, found)
        return {name: (at, by) for name, at, by in apart if self._far(name, by) and not by <= slack.get(name, 0.0)}

    def _run_again(self) -> None:
        """Run once more, and note how far equal runs lie apart."""
        found = self.run()
        for other in (self.expected, self.latest):
            for name, _, by in differences(other, found):
                self.spread[name] = max(self.spread.get(name, 0.0), by if by == by else np.inf)
        self.latest = found

    def _far(self, name: str, by: float) -> bool:
        spread = self.spread.get(name, 0.0)
        return spread < np.inf and not by <= SLACK * spread

    def add(
        self, probe: str, outcome: str, moved: str = "", where: str = "", by: float = np.nan, note: str = ""
    ) -> None:
        """Add a row."""
        row = {"cutoff": self.cutoff, "probe": probe, "outcome": outcome, "moved": moved, "where": where}
        self.rows.append(row | {"by": by, "note": note})

    def report(self) -> AuditReport:
        """Return all rows."""
        return AuditReport(pd.DataFrame(self.rows), self.level, self.repeatable)


def _rounding(item: NDArray[Any]) -> float:
    """Return how far numbers may lie apart that differ in the order of their sums only."""
    if item.dtype.kind != "f":
        return 0.0
    return float(np.sqrt(np.finfo(item.dtype).eps) * np.abs(np.nan_to_num(item)).max(initial=0.0))


def joined(reports: list[AuditReport]) -> AuditReport:
    """Return one report of several cutoffs."""
    rows = pd.concat([report.findings for report in reports], ignore_index=True)
    return AuditReport(rows, reports[0].level, all(report.repeatable for report in reports))
