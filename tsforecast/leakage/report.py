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
from tsforecast.leakage.decision import USUAL_SIZE, Features, draw_until_clear, is_rounding, rounding, same, stands_out
from tsforecast.leakage.evidence import Fingerprint, differences
from tsforecast.leakage.perturb import LARGER, LARGER_VALUES, LATER
from tsforecast.reporting.notebook import facts_html
from tsforecast.reporting.tables import Grid

RUNS = 8  # with the original data, where two of them differ
NOT_PROVEN = "not proven"
CUT_OFF = f"{LATER}: cut off"
NUMBER_OF_ROWS = (
    "it changes with the number of rows after the cutoff, though not with their values: a leak unless that number is "
    "planned; if it is, pass planned_length=True"
)
ZERO_TIMES_NAN = "NaN and infinities come through, as through weights of zero; finite values change nothing"
UNSEEN = (
    "knowledge that is the same for all copies of the data: weights that were trained on the test part, choices of a "
    "person who saw it",
    "results that are not returned, and cutoffs that were not audited",
    "columns that are left as they are",
)
SHARED = "state that a global or a file keeps from one run to the next: isolated=True starts each in a fresh process"
KEPT_OUTSIDE = "globals from before the audit, and files outside the working directory"


@dataclass(frozen=True, eq=False)
class AuditReport:
    """Perturbations of the data, and what moved with them.

    Attributes
    ----------
    findings : pandas.DataFrame
        One row for each perturbation and cutoff: ``cutoff, perturbation, outcome`` (passed, rounding, LEAK, not proven:
        it could not be run, or shows nothing; not run: what was left as it is), ``moved`` (name of the array),
        ``where`` (its first place), ``by`` (the largest difference, NaN where it is not a number), ``note``.
    level : {"data", "fit", "procedure"}
        Training part, scaler statistics and choices were compared; weights and forecasts as well; or the results alone
        of what was run as a whole.
    repeatable : bool
        Whether equal runs gave the same result, but for rounding.
    isolated : bool
        Whether each run had a process of its own.
    runs : int
        Times that it was run, on original and perturbed data.
    """

    findings: pd.DataFrame
    level: str
    repeatable: bool = True
    isolated: bool = False
    runs: int = 0

    @property
    def passed(self) -> bool:
        """Whether at each cutoff some perturbation was run, and nothing moved in any of them."""
        rows = self.findings
        ran = rows["outcome"].isin(["passed", "rounding"]).groupby(rows["cutoff"].astype(str)).any()
        return bool(ran.all()) and "LEAK" not in set(rows["outcome"]) and NUMBER_OF_ROWS not in set(rows["note"])

    @property
    def outcome(self) -> str:
        """The result in a word, with the number of perturbations that prove nothing, if any, and the level."""
        word = "LEAK" if self._count("LEAK") else "passed" if self.passed else NOT_PROVEN
        open_ = f", {self._count(NOT_PROVEN)} {NOT_PROVEN}" if word == "passed" and self._count(NOT_PROVEN) else ""
        return f"{word}{open_} ({self.level})"

    @property
    def unseen(self) -> tuple[str, ...]:
        """Matters that this audit cannot see."""
        small = [] if self._exact else [f"differences by less than {np.sqrt(np.finfo(float).eps) / 10:.1g} of a result"]
        return (KEPT_OUTSIDE if self.isolated else SHARED, *UNSEEN, *small)

    def raise_if_leaking(self) -> None:
        """Raise LeakageError with a sentence for each perturbation in which something moved."""
        leaks = self.findings[self.findings["outcome"] == "LEAK"]
        raise_any((_sentence(row) for row in leaks.itertuples()), LeakageError)

    @property
    def verdict(self) -> str:
        """The result in a sentence: number of perturbations, level, precision, and those that prove nothing."""
        ran = sum(map(self._count, ("passed", "rounding", "LEAK")))
        words = f"LEAK: something moved in {self._count('LEAK')} of {ran}"
        if not self._count("LEAK"):
            words = f"{'passed' if self.passed else NOT_PROVEN}: nothing moved in {ran}"
        exact = "exact on this machine and number of threads" if self._exact else "but for rounding"
        if not self.repeatable:
            exact = "not repeatable, set random_state: compared with equal runs by a permutation test"
        open_ = self.findings.loc[self.findings["outcome"] == NOT_PROVEN, "perturbation"]
        named = f"; {NOT_PROVEN}: {', '.join(dict.fromkeys(open_))}" if len(open_) else ""
        return f"{words} perturbations (level {self.level}; {exact}){named}"

    def _count(self, outcome: str) -> int:
        return int((self.findings["outcome"] == outcome).sum())

    @property
    def _exact(self) -> bool:
        return self.repeatable and not self._count("rounding")

    @property
    def shown(self) -> pd.DataFrame:
        """The findings as text, without empty columns."""
        text = self.findings.assign(by=[f"{by:.3g}" if by == by else "" for by in self.findings["by"]]).astype(str)
        return text[
            [name for name in text if name in ("cutoff", "perturbation", "outcome") or (text[name] != "").any()]
        ]

    def __str__(self) -> str:
        unseen = "".join(f"- {matter}\n" for matter in self.unseen)
        table = self.shown.to_markdown(index=False, disable_numparse=True)
        return f"{self.verdict}\n\n{table}\n\nAn audit cannot see:\n\n{unseen}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        facts = {"precision and level": self.verdict, "an audit cannot see": "; ".join(self.unseen)}
        return facts_html(f"Audit: {self.outcome}", facts.items(), Grid.of_frame("findings", self.shown))


def _sentence(row: Any) -> str:
    """Describe what moved in a row of findings, with its place and size if it has them."""
    known = f"known at cutoff {row.cutoff}" if row.cutoff != "" else "returned for the tested series"
    where, by = f", first at {row.where}" if row.where else "", f", by up to {row.by:.3g}" if row.by == row.by else ""
    return f"what is {known} must not depend on {row.perturbation}: {row.note or f'{row.moved} moved{where}{by}'}"


class RunError(Exception):
    """The error of a run with a perturbed copy."""


class AuditLog:
    """Rows of a report for one cutoff, added one perturbation at a time.

    `run` returns the fingerprint of data: called twice with the original ones to check that it is repeatable, and more
    often where it is not. With `exact` no rounding is excused. At level "data" nothing is drawn at random.
    """

    def __init__(
        self, cutoff: Any, level: str, run: Callable[[Any], Fingerprint], data: Any, exact: bool = False
    ) -> None:
        self.cutoff, self.level, self.exact = cutoff, level, exact
        self.rows: list[dict[str, Any]] = []
        self.blank: set[str] = set()  # perturbations with which numbers became NaN or infinite, no more
        self.run, self.data, self.runs = run, data, 0
        self.equal = [self._original()]  # runs with the original data
        self.certain = level == "data"  # whether one run with other data is enough
        self.repeatable = True
        if not self.certain:
            self._more(self._original())
            while not self.repeatable and len(self.equal) < RUNS:
                self._more(self._original())

    @property
    def doubtful(self) -> bool:
        """Whether a small leak could hide in noise or rounding, so that larger numbers must be tried."""
        return not self.repeatable or any(row["outcome"] == "rounding" for row in self.rows)

    def compare(
        self,
        perturbation: str,
        data: Any,
        run: Callable[[Any], Fingerprint] | None = None,
        reordered: bool = False,
    ) -> None:
        """Add whether something moved with perturbed data, by more than equal runs differ and than rounding.

        Another `run` returns a part of the fingerprint; with `reordered` rounding is excused in any case.
        """
        size = USUAL_SIZE * (LARGER if perturbation.endswith(LARGER_VALUES) else 1.0)
        exact = self.exact and not reordered

        def draw() -> Fingerprint:
            self.runs += 1
            try:
                with warnings.catch_warnings():  # the numbers are strange on purpose
                    warnings.simplefilter("ignore")
                    return (run or self.run)(data)
            except Exception as error:  # any error that the code of others raises for such numbers
                raise RunError(error) from error

        def draw_equal() -> Fingerprint:
            self._more(self._original())
            return _part(self.equal[-1], found, run)

        try:
            found = draw()
            before = [_part(one, found, run) for one in self.equal]
            if any(same([one, found]) for one in before):
                return self.add(perturbation, "passed")
            excused = self.repeatable and not exact
            near = [one for one in before if excused and is_rounding(one, found, size)]
            if near:
                return self.add(perturbation, "rounding", by=max(by for _, _, by in differences(near[0], found)))
            equal, others, moved = before[:1], [found], None
            if not self.certain:
                if not stands_out(before, found):
                    return self.add(perturbation, "passed")
                equal, others, moved = draw_until_clear(draw_equal, draw, before, found)
        except RunError as failed:
            error = failed.args[0]
            return self.add(perturbation, NOT_PROVEN, note=f"{type(error).__name__}: {reason(error)}")
        columns = Features.of(equal + others)
        moved = np.ones(len(columns.names), dtype=np.bool_) if moved is None else moved
        if not moved.any():
            return self.add(perturbation, "passed")
        shift = columns.values[len(equal) :].mean(axis=0) - columns.values[: len(equal)].mean(axis=0)
        for i in np.flatnonzero(moved):
            if columns.kinds[i] == "number" and not exact:
                name = columns.names[i]
                moved[i] = abs(shift[i]) > rounding(equal[0][name], others[0][name], size)
        return (
            self._add_leak(perturbation, columns, shift, moved) if moved.any() else self.add(perturbation, "rounding")
        )

    def _add_leak(
        self, perturbation: str, columns: Features, shift: NDArray[np.float64], moved: NDArray[np.bool_]
    ) -> None:
        """Add which columns `moved`, and the largest `shift` of their means."""
        at = np.flatnonzero(moved)
        if all(columns.kinds[i] == "blank" and shift[i] >= 0 for i in at):
            self.blank.add(perturbation)
        elif perturbation != CUT_OFF:
            self.certain = self.certain or same(self.equal)
        names = list(dict.fromkeys(columns.names[i] for i in at))
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        place = columns.places[at[0]]
        by = max((abs(float(shift[i])) for i in at if columns.kinds[i] == "number"), default=np.nan)
        self.add(perturbation, "LEAK", names[0] + more, str(list(place)) if place else "", by)

    def _original(self) -> Fingerprint:
        """Run with the original data."""
        self.runs += 1
        return self.run(self.data)

    def _more(self, found: Fingerprint) -> None:
        """Keep one more run with the original data."""
        first = self.equal[0]
        alike = same([first, found]) or (not self.exact and is_rounding(first, found, USUAL_SIZE))
        self.repeatable = self.repeatable and alike
        self.equal = [*self.equal, found][-RUNS:]

    def add(
        self, perturbation: str, outcome: str, moved: str = "", where: str = "", by: float = np.nan, note: str = ""
    ) -> None:
        """Add a row."""
        row = {"cutoff": self.cutoff, "perturbation": perturbation, "outcome": outcome, "moved": moved, "where": where}
        self.rows.append(row | {"by": by, "note": note})

    def report(self, isolated: bool = False) -> AuditReport:
        """Return all rows.

        Where nothing else moves, neither what becomes NaN beside NaN nor what depends on the number of rows is a leak.
        """
        leaks = {row["perturbation"] for row in self.rows if row["outcome"] == "LEAK"}
        if not self.exact and leaks <= self.blank | {CUT_OFF}:
            for row in self.rows:
                if row["outcome"] == "LEAK":
                    note = NUMBER_OF_ROWS if row["perturbation"] == CUT_OFF else ZERO_TIMES_NAN
                    row |= {"outcome": NOT_PROVEN, "note": note}
        return AuditReport(pd.DataFrame(self.rows), self.level, self.repeatable, isolated, self.runs)


def _part(one: Fingerprint, found: Fingerprint, run: Any) -> Fingerprint:
    """Return a fingerprint, or what another run returns of it."""
    return one if run is None else {name: item for name, item in one.items() if name in found}


def join_reports(reports: list[AuditReport]) -> AuditReport:
    """Return one report of several cutoffs."""
    rows = pd.concat([report.findings for report in reports], ignore_index=True)
    repeatable = all(report.repeatable for report in reports)
    isolated = any(report.isolated for report in reports)
    return AuditReport(rows, reports[0].level, repeatable, isolated, sum(report.runs for report in reports))
