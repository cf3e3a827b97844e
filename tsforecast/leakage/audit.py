"""Audit for leaks: perturb what must not be seen; nothing may move."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from tsforecast.adapters.base import ForeignForecaster
from tsforecast.checks import flag, one_of, whole
from tsforecast.data import frames
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.data.samples import is_ragged
from tsforecast.data.splits import Align, Cutoff, Positions, trains_on_other_groups
from tsforecast.errors import DataError, Parameter, ParameterError, raise_any
from tsforecast.estimators.base import Estimator
from tsforecast.events import unobserved
from tsforecast.forecasters.base import Forecaster
from tsforecast.leakage.evidence import AuditCase, Fingerprint, learned, numbers
from tsforecast.leakage.isolated import isolated as in_a_new_process
from tsforecast.leakage.perturb import (
    FOR_PROCEDURES,
    LARGER_VALUES,
    REPLACEMENTS,
    after_cutoff,
    as_floats,
    as_rows,
    perturbed_after,
    perturbed_groups,
    perturbed_panels,
    perturbed_rows,
    replaceable,
    unperturbed,
)
from tsforecast.leakage.report import AuditLog, AuditReport, join_reports
from tsforecast.mapped import is_mapped

Level = Literal["data", "fit"]
MANY = 100  # series, of which each has one kind of other numbers where nothing is trained
SAMPLE = 500  # series that train, and as many that are tested, of a panel in a file: copies of it are made in memory


@unobserved()
def audit(
    forecaster: Any,
    data: Any,
    *,
    cutoffs: int | Sequence[Any] = 2,
    horizon: int | None = None,
    level: Level = "fit",
    min_past: int = 1,
    align: Align | None = None,
    time: str | None = None,
    id: str | None = None,
    planned_length: bool = False,
    isolated: bool = False,
) -> AuditReport:
    """Check that a forecaster does not use data that must not be seen.

    Parameters
    ----------
    forecaster : Forecaster, any object with ``fit(X, y)`` and ``predict(X)``, or a function of data and cutoff
        An object is copied. The result of a function may depend on rows up to the cutoff only.
    data : anything that `Panel.of` reads; for an object (X, y); for a function its argument
        X are windows, or recordings, in order of time, y numbers or labels.
    cutoffs : int, or sequence
        For a forecaster: their number, a horizon apart, the last one a horizon before the end. For an object: their
        number, or the numbers of the rows that are forecast, with the rows before them as training. For a function:
        those that it is called with; the last row, or time, that may be seen.
    horizon : int, optional
        Steps to forecast; the forecaster's own unless given.
    level : {"data", "fit"}
        Compare the training part, scaler statistics and settings chosen from the data, which needs no training; or
        weights and forecasts as well, and quantiles of a forecaster that learns them. The former only for forecasters
        of this package. A forecaster around a model of other software, such as `as_forecaster` returns, is run as a
        whole in either case, and so is a function: the report has the level ``procedure``.
    min_past : int
        For a forecaster: steps of a series that must lie before a cutoff, as in `backtest`.
    align : {"time", "end"}, optional
        For a forecaster: as in `backtest`. With "end" the rows after the own cutoff of each series are perturbed.
    time, id : str, optional
        Columns of a frame that hold the time and name series, where that is not clear.
    planned_length : bool
        For a function: see `audit_procedure`.
    isolated : bool
        Run each copy in a new process and an empty working directory, so that state in a global or a file is found.
        Takes a second or more for each run.

    Returns
    -------
    AuditReport

    Raises
    ------
    ParameterError, DataError

    Notes
    -----
    Each perturbed copy of the data differs from the original only in what must not be seen: rows after the cutoff
    hold other numbers, NaN or infinities, are shuffled or cut off (for a function they are also higher, lower or equal
    numbers, and a repetition of the past); those of one series or of past covariates alone;
    the rows that validate, which must not move scalers or choices; the group that is tested. The order and number of
    windows that are forecast at a time are changed as well. At level "data" the series of a panel of 100 or more have
    one kind of other numbers each, in turn, in one copy. Of a panel in a file with more than 1,000 series, 500 that
    train and 500 that are tested, evenly taken, stand for all.

    Forecasters of this package must be the same to the bit. In anything else a difference of the size of rounding is
    called that, unless larger values show that it grows. Where equal runs differ, those and runs of a copy are drawn in
    turn, up to 32 of each, and a leak is what a permutation test at the level of 0.0005 finds.

    `AuditReport.unseen` lists what an audit cannot see, such as knowledge from elsewhere (weights that were trained on
    the test part), which is the same for all copies.

    Examples
    --------
    >>> from tsforecast.forecasters.naive import DriftForecaster
    >>> report = audit(DriftForecaster(horizon=3), np.arange(40.0) ** 2)
    >>> report.passed, report.outcome
    (True, 'passed (fit)')
    """
    problems = one_of("level", level, ("data", "fit")) + whole("horizon", horizon, 1, [None])
    problems += whole("cutoffs", cutoffs, 1) if isinstance(cutoffs, int) else []
    problems += flag("isolated", isolated) + flag("planned_length", planned_length)
    raise_any(problems, ParameterError)
    if isinstance(forecaster, Forecaster) and not _windows(data):
        if not isinstance(cutoffs, int):
            raise ParameterError(f"cutoffs of a forecaster must be a number, such as 2: got {cutoffs!r}")
        steps = horizon or forecaster._own_horizon()
        protocol = Protocol(steps, cutoffs, refit=True, min_past=min_past, align=align)
        _require_frame(data, time, id)
        read = Panel.of(data) if time is None and id is None else Panel.from_frame(data, time=time, id=id)
        panel = protocol.long_enough(read)
        model = clone(forecaster).set_params(horizon=steps)
        try:
            folds = sorted(protocol.folds(panel), key=lambda fold: fold.cutoffs[0].tick)
        except DataError as error:  # the origins of a protocol are the cutoffs of an audit
            raise error.map(lambda part: Parameter("cutoffs") if part == Parameter("origins") else part) from error
        return join_reports(
            [audit_case(model, panel, fold.cutoffs[0], fold.train, fold.test, steps, level, isolated) for fold in folds]
        )
    if level == "data":
        raise ParameterError(
            'level="data" compares what forecasters of this package compute before they train; anything else is known '
            'by its results alone: use level="fit"'
        )
    if hasattr(forecaster, "fit") and hasattr(forecaster, "predict") and not isinstance(forecaster, type):
        return _of_estimator(forecaster, data, cutoffs, isolated)
    if not callable(forecaster) or isinstance(forecaster, type):
        raise ParameterError(
            f"an audit takes a forecaster, an object with fit and predict, or a function: got {forecaster!r}"
        )
    if isinstance(cutoffs, int):
        raise ParameterError("the cutoffs that a function is called with must be given: pass cutoffs=[...]")
    told: dict[str, Any] = {"time": time, "id": id, "planned_length": planned_length, "isolated": isolated}
    return join_reports([audit_procedure(partial(_called, forecaster, at), data, at, **told) for at in cutoffs])


@unobserved()
def audit_procedure(
    procedure: Callable[[Any], Any],
    data: Any,
    cutoff: Any = None,
    *,
    columns: Sequence[str] | None = None,
    tested: Any = None,
    time: str | None = None,
    id: str | None = None,
    group: str | None = None,
    planned_length: bool = False,
    isolated: bool = False,
) -> AuditReport:
    """Check that the result of a procedure depends neither on rows after a cutoff nor on the rest of a tested group.

    The procedure may be any function, such as a loop in a notebook or the cross-validation of another library. Its
    result must be known at the cutoff: forecasts made there, or scores on rows up to there.

    Parameters
    ----------
    procedure : function of the data
        Returns numbers in any form: array, frame, list, dict.
    data : array of shape (T,) or (T, C), list of such arrays, frame or Panel
        Whole numbers are handed to the procedure as floats, so that NaN can take their place.
    cutoff : int or time stamp
        The last row, or time, that may be seen. None, if a tested series is named: no row is hidden for its time.
    columns : list of str, optional
        Columns of a frame whose numbers are perturbed; unless given, all that hold numbers and do not seem to name
        series or count steps. The others may be known in the future.
    tested : optional
        The series that the procedure returns numbers for. They must not depend on the other series of its group, which
        are perturbed and left out, nor on series of other groups that equal one of its own, which are left out.
        Without time the cutoff is a row of this series.
    time, id, group : str, optional
        Columns of a frame that hold the time, name series and groups; a Panel has its own. Unless named, time is the
        index, or the only column of dates; without either a cutoff is the number of a row, of each series with `id`.
    planned_length : bool
        Whether the number of rows is known beforehand. Then none are cut off, so that the result may depend on it.
    isolated : bool
        Call the procedure in a new process and an empty working directory each time, so that state in a global or a
        file is found. Globals of a script or notebook are those before the audit; modules are imported again.

    Raises
    ------
    DataError
        When there is nothing to perturb, the cutoff is ambiguous, or the procedure returns no numbers.

    Examples
    --------
    >>> series = np.sin(np.arange(100.0))
    >>> def leaky(series):
    ...     scaled = (series - series.mean()) / series.std()  # of all rows
    ...     return scaled[79]
    >>> audit_procedure(leaky, series, cutoff=79).passed
    False

    A test on ann's second recording must not use her first one for training:

    >>> import pandas as pd
    >>> names, steps = ["ann-1", "ann-2", "bob-1"], np.arange(4.0)
    >>> parts = [pd.DataFrame({"id": name, "user": name[:3], "y": i + steps}) for i, name in enumerate(names)]
    >>> frame = pd.concat(parts)
    >>> def all_but_the_tested(frame):
    ...     return frame.loc[frame["id"] != "ann-2", "y"].mean()
    >>> report = audit_procedure(all_but_the_tested, frame, tested="ann-2", id="id", group="user")
    >>> report.findings["perturbation"].iloc[-1], report.outcome
    ('other series of the tested group: left out', 'LEAK (procedure)')
    """
    if cutoff is None and tested is None:
        raise ParameterError("an audit needs cutoff=..., the last row that may be seen, or tested=..., a series")
    if not callable(procedure):
        raise ParameterError(
            f"an audit takes the procedure first, a function of the data: got {type(procedure).__name__}"
        )
    columns = [columns] if isinstance(columns, str) else columns
    _require_frame(data, time, id)
    whole_rows = columns is None and not planned_length  # else columns that are not named may be known in the future
    left, free = "", columns or ()
    if frames.is_frame(data) and not frames.is_series(data):
        replaced = replaceable(data, columns, time, (id, group))
        left = unperturbed(data, replaced, time, (id, group)) if columns is None else ""
        columns = replaced
    data = as_floats(data, columns)
    later = None if cutoff is None else after_cutoff(data, cutoff, time, id, tested, free)
    called = in_a_new_process(procedure) if isolated else procedure

    def run(given: Any) -> Fingerprint:
        # A copy each time: a procedure that writes into its data must change neither the user's nor the next run's.
        return numbers(called(copy.deepcopy(given)))

    def copies(hows: Sequence[str], *removed: str) -> Iterator[tuple[str, Any]]:
        cut = ("cut off",) if removed and whole_rows else ()
        if cutoff is not None:
            yield from perturbed_after(data, later, (*hows, *cut), columns)
        if tested is not None:
            yield from perturbed_groups(data, tested, (*hows, *removed), id, group, columns)

    log = AuditLog("" if cutoff is None else cutoff, "procedure", run, data)
    for perturbation, other in copies((*REPLACEMENTS, *FOR_PROCEDURES), "left out"):
        log.compare(perturbation, other)
    if log.doubtful:
        for perturbation, other in copies((LARGER_VALUES,)):
            log.compare(perturbation, other)
    if left:
        note = f"{left} not perturbed: text, flags, or numbers that may name series or count; use columns=[...]"
        log.add("columns left as they are", "not run", note=note)
    return log.report(isolated)


def _require_frame(data: Any, time: str | None, id: str | None) -> None:
    if (time is not None or id is not None) and not frames.is_frame(data):
        raise DataError(f"time= and id= name columns of a frame: got {type(data).__name__}")


def _windows(data: Any) -> bool:
    """Return whether data are a pair (X, y) of supervised windows."""
    return isinstance(data, tuple) and len(data) == 2 and (is_ragged(data[0]) or np.ndim(data[0]) > 1)


def _called(function: Callable[[Any, Any], Any], cutoff: Any, data: Any) -> Any:
    return function(data, cutoff)


@unobserved()
def audit_case(
    forecaster: Forecaster,
    panel: Panel,
    cutoff: Cutoff,
    learn: Positions,
    test: Positions,
    steps: int,
    level: Level,
    isolated: bool = False,
) -> AuditReport:
    """Audit a forecaster at one cutoff of a panel: `learn` and `test` are positions of series, `steps` the horizon."""
    test = test[cutoff.has_observations[test]]
    if len(test):
        test = test[Context(panel, test, cutoff.seen[test], cutoff.start[test]).has_observations.any(axis=1)]
    if not len(test):
        raise DataError("no series has a past at the cutoff; use fewer cutoffs or a shorter horizon")
    judged, whole = "procedure" if _has_other_software(forecaster) else level, len(panel)
    if is_mapped(panel.values) and len(panel) > 2 * SAMPLE:
        chosen = np.unique(np.concatenate([_evenly(learn, SAMPLE), _evenly(test, SAMPLE)]))
        learn, test = (np.flatnonzero(np.isin(chosen, part)) for part in (learn, test))
        panel, cutoff = panel.select(chosen), cutoff.select(chosen)
    case = AuditCase(forecaster, cutoff, learn, test, steps, judged != "data")
    last = panel.label(int(panel.stamps(int(test[0]), int(cutoff.seen[test[0]]) - 1)))
    alone = in_a_new_process if isolated else _here
    log = AuditLog(last, judged, alone(case.fingerprint), panel, exact=True)
    if len(panel) < whole:
        note = f"{len(panel)} of {whole} series of a panel in a file, evenly taken, stand for all"
        log.add("the other series", "not run", note=note)
    seen = cutoff.seen
    if trains_on_other_groups(panel, learn, cutoff):  # training series have no cutoff
        seen = np.where(np.isin(np.arange(len(panel)), test), seen, panel.lengths)
    in_turn = judged == "data" and len(panel) >= MANY
    for perturbation, other in perturbed_panels(panel, seen, steps, in_turn=in_turn):
        log.compare(perturbation, other)
    for perturbation, changed, run in case.other_perturbations(panel):
        log.compare(perturbation, changed, alone(run))
    if log.doubtful:
        for perturbation, other in perturbed_panels(panel, seen, steps, (LARGER_VALUES,)):
            log.compare(perturbation, other)
    if len(learn) < len(panel):
        known = {panel.series(i)[:, : panel.n_targets].tobytes(): str(panel.ids[i]) for i in learn}
        for i in test:
            twin = known.get(panel.series(i)[:, : panel.n_targets].tobytes())
            if twin is not None:
                log.add("a series on both sides", "LEAK", note=f"series {twin!r} equals {str(panel.ids[i])!r}")
    return log.report(isolated)


def _evenly(positions: Positions, most: int) -> Positions:
    """Return at most so many of some positions, spread evenly."""
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(most, len(positions))).astype(np.int64))
    return np.asarray(positions[chosen])


def _has_other_software(forecaster: Forecaster) -> bool:
    """Return whether a forecaster is or holds a model of which nothing is known but its results."""
    parts = [forecaster, *forecaster.get_params(deep=True).values()]
    parts += [one for part in parts if isinstance(part, (list, tuple)) for one in part]
    return any(isinstance(part, ForeignForecaster) for part in parts)


def _here(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return run


def _of_estimator(estimator: Any, data: Any, cutoffs: int | Sequence[int], isolated: bool) -> AuditReport:
    """Audit an object that learns from windows: rows of X and y in order of time."""
    if not isinstance(data, tuple) or len(data) != 2:
        raise ParameterError(
            "an object with fit and predict is audited on windows: pass data=(X, y), rows in order of time"
        )
    X, y = as_rows(data[0], "X"), as_rows(data[1], "y")
    if len(X) != len(y):
        raise DataError(f"X and y must have as many rows as each other: got {len(X)} and {len(y)}")
    if isinstance(X, list) and isinstance(estimator, Forecaster):
        raise DataError("a forecaster learns from windows: the rows of X must have equal lengths")
    if isinstance(cutoffs, int):
        cutoffs = [len(X) - 1 - (back + 1) * max(1, len(X) // 10) for back in range(cutoffs)][::-1]
    outside = [at for at in cutoffs if not 1 <= at < len(X)]
    if outside or not len(cutoffs):
        raise ParameterError(
            f"cutoffs must be numbers of rows from 1 to {len(X) - 1}, with rows to learn from before them: got "
            f"{', '.join(map(repr, outside)) or 'none'}"
        )
    return join_reports([_at_row(estimator, X, y, train, isolated) for train in cutoffs])


def _at_row(estimator: Any, X: Any, y: NDArray[Any], train: int, isolated: bool) -> AuditReport:
    """Audit an object that learns from the rows before one."""

    def run(rows: tuple[Any, Any]) -> Fingerprint:
        X, y = rows
        model = clone(estimator) if isinstance(estimator, BaseEstimator) else copy.deepcopy(estimator)
        model.fit(copy.deepcopy(X[:train]), y[:train].copy())  # no view, whose base would lead to the rows after it
        state = learned(model)  # before it forecasts, since some count their calls
        predicted = np.asarray(model.predict(X[train:]))
        if predicted.shape[:1] != (len(X) - train,):
            raise DataError(f"predict must return a value for each of {len(X) - train} rows: got {predicted.shape}")
        name, first = "forecast of the first row", np.asarray(predicted[0])
        return state | ({name: first} if first.dtype.kind in "US" else numbers(first, name))

    random, called = np.random.default_rng(0), in_a_new_process(run) if isolated else run
    log = AuditLog(f"row {train}", "fit", called, (X, y), exact=isinstance(estimator, Estimator))

    def compare(how: str) -> None:
        if y.dtype.kind == "f" or how == "shuffled":  # labels have no other values
            log.compare(f"y from the cutoff on: {how}", (X, perturbed_rows(y, train, how, random)))
        others = perturbed_rows(X, train + 1, how, random)
        log.compare(f"windows that are forecast at the same time: {how}", (others, y))

    for how in REPLACEMENTS:
        compare(how)
    # A matrix of another size is multiplied in another order: rounding is no leak.
    alone = X[: train + 1], y[: train + 1]
    log.compare("windows that are forecast at the same time: cut off", alone, reordered=True)
    if log.doubtful:
        compare(LARGER_VALUES)
    return log.report(isolated)
