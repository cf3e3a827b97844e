"""The audit: change what must not be seen, and demand that nothing moves, to the bit."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from tsforecast.checks import one_of, whole
from tsforecast.data.groups import sides
from tsforecast.data.panel import Panel
from tsforecast.data.splits import Positions, RollingOrigin
from tsforecast.data.twins import spared
from tsforecast.errors import LeakageError, ParameterError, raise_any, reason
from tsforecast.evaluation.evidence import Cut, Evidence, differences, numbers
from tsforecast.evaluation.probes import REPLACEMENTS, as_floats, data_twins, group_twins, panel_twins, replaced
from tsforecast.forecasters.base import Forecaster

Level = Literal["data", "fit"]
RUNS = 3  # of the same thing, where two of them differ
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
        raise_any(
            (
                f"what is {f'known at cutoff {row.cutoff}' if row.cutoff != '' else 'said of the tested series'} must "
                f"not depend on {row.probe}: "
                f"{row.note or f'{row.moved} moved, first at {row.where}, by up to {row.by:.3g}'}"
                for row in leaks.itertuples()
            ),
            LeakageError,
        )

    @property
    def verdict(self) -> str:
        """The result in a sentence: how many probes, how deep, how exact."""
        leaks = int((self.findings["outcome"] == "LEAK").sum())
        ran = int((self.findings["outcome"] != "not run").sum())
        words = f"LEAK: something moved in {leaks} of {ran}" if leaks else f"passed: nothing moved in {ran}"
        exact = "exact on this machine and number of threads"
        if not self.repeatable:
            exact = f"not repeatable, set random_state: compared with {SLACK:g} times the spread of {RUNS} equal runs"
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


def audit(
    forecaster: Any,
    data: Any,
    *,
    cutoffs: int | Sequence[Any] = 2,
    horizon: int | None = None,
    level: Level = "fit",
) -> AuditReport:
    """Find out whether a forecaster sees what it must not.

    Parameters
    ----------
    forecaster : Forecaster, any object with ``fit(X, y)`` and ``predict(X)``, or a function of data and cutoff
        An object is copied. What a function returns may depend on rows up to the cutoff only.
    data : anything that `Panel.of` reads; for an object (X, y), windows in order of time; for a function what it takes
    cutoffs : int, or sequence
        Of a forecaster: how many, a horizon apart, the last one a horizon before the end. Of an object: how many, or
        the numbers of the rows that are forecast, with the rows before them as training. Of a function: those that it
        is called with; the last row, or time, that may be seen.
    horizon : int, optional
        Steps to forecast; the forecaster's own unless given.
    level : {"data", "fit"}
        Compare windows, scaler statistics and what is chosen from the data, which needs no training; or weights and
        forecasts as well. The former only for forecasters of this package.

    Returns
    -------
    AuditReport

    Raises
    ------
    ParameterError, DataError

    Notes
    -----
    A probe is a twin of the data that differs in nothing but what must not be seen: rows after the cutoff hold other
    numbers, NaN or infinities, are shuffled or cut off; those of one series or of past columns alone; the rows that
    validate, which must not move scalers or choices; the group that is tested; the order and number of windows that
    are forecast at a time.

    Examples
    --------
    >>> from tsforecast.forecasters.naive import DriftForecaster
    >>> report = audit(DriftForecaster(horizon=3), np.arange(40.0) ** 2)
    >>> report.passed, report.outcome
    (True, 'passed (fit)')
    """
    raise_any(one_of("level", level, ("data", "fit")) + whole("horizon", horizon, 1, [None]), ParameterError)
    if isinstance(forecaster, Forecaster):
        steps, panel = horizon or forecaster._own_horizon(), Panel.of(data)
        if not isinstance(cutoffs, int):
            raise ParameterError(f"cutoffs of a forecaster must be a number, such as 2: got {cutoffs!r}")
        model = clone(forecaster).set_params(horizon=steps)
        cuts = [
            Cut.of(model, panel, fold, learn, test, steps, level == "fit")
            for fold in RollingOrigin(steps, cutoffs).folds(panel)
            for learn, test in sides(panel)
        ]
        return _joined([of_cut(cut, panel) for cut in cuts])
    if hasattr(forecaster, "fit") and hasattr(forecaster, "predict") and not isinstance(forecaster, type):
        return _of_estimator(forecaster, data, cutoffs)
    if not callable(forecaster) or isinstance(forecaster, type):
        raise ParameterError(
            f"an audit takes a forecaster, an object with fit and predict, or a function: got {forecaster!r}"
        )
    if isinstance(cutoffs, int):
        raise ParameterError("the cutoffs that a function is called with must be given: pass cutoffs=[...]")
    return _joined([audit_procedure(partial(_called, forecaster, at), data, at) for at in cutoffs])


def audit_procedure(
    procedure: Callable[[Any], Any],
    data: Any,
    cutoff: Any = None,
    *,
    columns: Sequence[str] | None = None,
    tested: Any = None,
    id: str | None = None,
    group: str | None = None,
) -> AuditReport:
    """Find out whether what a procedure returns depends on rows after a cutoff, or on others of the group it tests.

    The procedure may be anything: a notebook's own loop, the cross-validation of another library. What it returns must
    be known at the cutoff: forecasts made there, or scores on rows up to there.

    Parameters
    ----------
    procedure : function of the data
        Returns numbers in any form: array, frame, list, dict.
    data : array of shape (T,) or (T, C), list of such arrays, frame or Panel
        Whole numbers are handed to the procedure as floats, so that NaN can take their place.
    cutoff : int or time stamp
        The last row, or time, that may be seen. None, where a tested series is named: no row is hidden for its time.
    columns : list of str, optional
        Columns of a frame whose numbers are replaced; all that hold numbers, but do not seem to name series or count
        steps, unless given. What is not replaced may be known ahead.
    tested : optional
        The series that the procedure returns numbers of. What it returns must not depend on the other series of its
        group, which are replaced and left out, nor on series of other groups that equal one of its own, which are left
        out. Without time the cutoff is a row of this series.
    id, group : str, optional
        Columns of a frame that name series and groups; a Panel has its own.

    Raises
    ------
    DataError
        When there is nothing to change, or the procedure returns no numbers.

    Examples
    --------
    >>> series = np.sin(np.arange(100.0))
    >>> def leaky(series):
    ...     scaled = (series - series.mean()) / series.std()  # of all rows
    ...     return scaled[79]
    >>> audit_procedure(leaky, series, cutoff=79).passed
    False

    What is tested on ann's second recording must not be learned from her first one:

    >>> names, steps = ["ann-1", "ann-2", "bob-1"], np.arange(4.0)
    >>> parts = [pd.DataFrame({"id": name, "user": name[:3], "y": i + steps}) for i, name in enumerate(names)]
    >>> frame = pd.concat(parts)
    >>> def all_but_the_tested(frame):
    ...     return frame.loc[frame["id"] != "ann-2", "y"].mean()
    >>> report = audit_procedure(all_but_the_tested, frame, tested="ann-2", id="id", group="user")
    >>> report.findings["probe"].iloc[-1], report.outcome
    ('other series of the tested group: left out', 'LEAK (fit)')
    """
    if cutoff is None and tested is None:
        raise ParameterError("an audit needs cutoff=..., the last row that may be seen, or tested=..., a series")
    data = as_floats(data, columns)
    ledger = Ledger("" if cutoff is None else cutoff, "fit", lambda: numbers(procedure(data)))
    found: list[Iterator[tuple[str, Any]]] = []
    if cutoff is not None:
        found.append(data_twins(data, cutoff, columns, id, tested))
    if tested is not None:
        found.append(group_twins(data, tested, id, group, columns))
    for probe, twin in chain(*found):
        ledger.compare(probe, lambda twin=twin: numbers(procedure(twin)))  # type: ignore[misc]
    if columns is None and (left := set(spared(data)) - {id, group}):
        names = ", ".join(repr(name) for name in sorted(left))
        ledger.add("columns left as they are", "not run", note=f"{names} may name series or count: use columns=[...]")
    return ledger.report()


def _called(function: Callable[[Any, Any], Any], cutoff: Any, data: Any) -> Any:
    return function(data, cutoff)


def of_cut(cut: Cut, panel: Panel) -> AuditReport:
    """Audit one cutoff of a panel."""
    ledger = Ledger(cut.label(panel), "fit" if cut.trains else "data", lambda: cut.evidence(panel), sure=not cut.trains)
    for probe, twin in panel_twins(panel, cut.seen(panel), cut.steps):
        ledger.compare(probe, lambda twin=twin: cut.evidence(twin))  # type: ignore[misc]
    for probe, found in cut.other_evidence(panel):
        ledger.compare(probe, lambda found=found: found, only=found.keys())  # type: ignore[misc]
    for first, second in _twice(panel, cut.learn, cut.test):
        ledger.add("a recording that is on both sides", "LEAK", note=f"series {first!r} equals {second!r}")
    return ledger.report()


def _twice(panel: Panel, learn: Positions, test: Positions) -> list[tuple[str, str]]:
    """Return pairs of equal series of which one is learned from and another one, of another group, is tested."""
    if len(learn) == len(panel):
        return []
    known = {panel.series(i)[:, : panel.n_targets].tobytes(): i for i in learn}
    pairs = [(known.get(panel.series(i)[:, : panel.n_targets].tobytes()), i) for i in test]
    return [(str(panel.ids[one]), str(panel.ids[other])) for one, other in pairs if one is not None]


def _of_estimator(estimator: Any, data: Any, cutoffs: int | Sequence[int]) -> AuditReport:
    """Audit an object that learns from windows: rows of X and y in order of time."""
    if not isinstance(data, tuple) or len(data) != 2:
        raise ParameterError(
            "an object with fit and predict is judged on windows: pass data=(X, y), rows in order of time"
        )
    # Copies, each laid out alike: what an estimator keeps of them must differ in its numbers only.
    X, y = (np.array(part, dtype=np.float64, order="C") for part in data)
    if isinstance(cutoffs, int):
        cutoffs = [len(X) - 1 - (back + 1) * max(1, len(X) // 10) for back in range(cutoffs)][::-1]

    def run(train: int, X: Any, y: Any) -> Evidence:
        model = clone(estimator) if isinstance(estimator, BaseEstimator) else copy.deepcopy(estimator)
        model.fit(X[:train].copy(), y[:train].copy())  # no view, whose base would lead to the rows after it
        first = numbers(np.asarray(model.predict(X[train:]))[0], "forecast of the first row")
        return {"weights": np.array(joblib.hash(model))} | first

    reports = []
    for train in cutoffs:
        ledger = Ledger(f"row {train}", "fit", lambda train=train: run(train, X, y))  # type: ignore[misc]
        random = np.random.default_rng(0)
        for how in REPLACEMENTS:
            other_y, other_X = y.reshape(len(y), -1).copy(), X.reshape(len(X), -1).copy()
            other_y[train:] = replaced(other_y[train:], how, random)
            other_X[train + 1 :] = replaced(other_X[train + 1 :], how, random)
            twins = {"y from the cutoff on": (X, other_y.reshape(y.shape)),
                     "windows that are forecast at the same time": (other_X.reshape(X.shape), y)}  # fmt: skip
            for what, (later_X, later_y) in twins.items():
                ledger.compare(f"{what}: {how}", lambda at=train, a=later_X, b=later_y: run(at, a, b))  # type: ignore[misc]
        # A matrix of another size is multiplied in another order: rounding is no leak.
        ledger.compare("windows that are forecast at the same time: cut off",
                       lambda at=train: run(at, X[: at + 1], y[: at + 1]), rounding=True)  # type: ignore[misc]  # fmt: skip
        reports.append(ledger.report())
    return _joined(reports)


class Ledger:
    """The rows of a report as they come, for one cutoff.

    Parameters
    ----------
    cutoff : what names it
    level : {"data", "fit"}
    run : callable
        Returns the evidence of the data as they are; called twice to see whether it is repeatable, and more often
        where it is not.
    sure : bool
        Nothing is drawn at random: once is enough.
    """

    def __init__(self, cutoff: Any, level: str, run: Callable[[], Evidence], sure: bool = False) -> None:
        self.cutoff, self.level = cutoff, level
        self.rows: list[dict[str, Any]] = []
        self.expected = run()
        runs = [self.expected] if sure else [self.expected, run()]
        self.repeatable = sure or not list(differences(*runs))
        self.spread: dict[str, float] = {}
        if not self.repeatable:
            runs += [run() for _ in range(RUNS - len(runs))]
            for first, second in zip(runs, runs[1:] + runs[:1], strict=True):
                for name, _, by in differences(first, second):
                    self.spread[name] = max(self.spread.get(name, 0.0), by if by == by else np.inf)

    def compare(self, probe: str, run: Callable[[], Evidence], only: Any = None, rounding: bool = False) -> None:
        """Note whether something moved by more than equal runs differ; `only` names what must not.

        With `rounding` half the digits of a number may differ.
        """
        try:
            with warnings.catch_warnings():  # of numbers that are there to be strange
                warnings.simplefilter("ignore")
                found = run()
        except Exception as error:  # whatever the code of others raises when it meets such numbers
            self.add(probe, "not run", note=f"{type(error).__name__}: {reason(error)}")
            return
        expected = {name: item for name, item in self.expected.items() if only is None or name in only}
        slack = {name: _rounding(item) if rounding else 0.0 for name, item in expected.items()}
        moved = [
            row for row in differences(expected, found) if self._far(row[0], row[2]) and not row[2] <= slack[row[0]]
        ]
        if not moved:
            self.add(probe, "passed")
            return
        name, place, _ = moved[0]
        sizes = [by for _, _, by in moved if by == by]
        names = f"{name} and {len(moved) - 1} more" if len(moved) > 1 else name
        self.add(probe, "LEAK", names, str(list(place)) if place else "", max(sizes, default=np.nan))

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


def _joined(reports: list[AuditReport]) -> AuditReport:
    rows = pd.concat([report.findings for report in reports], ignore_index=True)
    return AuditReport(rows, reports[0].level, all(report.repeatable for report in reports))
