"""Reconciliation of forecasts from elsewhere: frames with a row for each series, sum and time, or arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.checks import flag, one_of
from tsforecast.errors import DataError, ParameterError, Phrase, Problem, counted, nearest, raise_any, shorten
from tsforecast.hierarchies.hierarchy import Hierarchy, absent
from tsforecast.hierarchies.reconciliation import METHODS, OF_ERRORS, Covariance, Method, Reconciler, shares_of

Floats = NDArray[np.float64]
QUANTILE = re.compile(r"(^|_|-)(q0?\.\d+|(lo|hi)-?\d+(\.\d+)?|quantile)$")  # names of columns that do not add up


def reconcile(
    forecasts: Any,
    hierarchy: Hierarchy,
    method: Method = "mint",
    *,
    residuals: Any = None,
    history: Any = None,
    nonnegative: bool = False,
    id: str | None = None,
    columns: str | Sequence[str] | None = None,
) -> Any:
    """Make forecasts of series and their sums agree, whatever made them.

    Parameters
    ----------
    forecasts : frame of pandas, polars or arrow, or array of shape (N, ...)
        A row for each series and sum at each time, and for each path where there is a column of paths; of an array a
        row for each name of the hierarchy, in its order.
    hierarchy : Hierarchy
    method : {"mint", "wls-variance", "wls-structure", "ols", "bottom-up", "top-down", "top-down-forecasts"}
        See `ReconciledForecaster`.
    residuals : like `forecasts`, optional
        Errors of such forecasts, for ``"mint"`` and ``"wls-variance"``: a frame with the same columns and other times;
        an array (T, N). Best are errors at cutoffs that the model did not learn from. A time that some lack counts for
        the others.
    history : like `forecasts`, optional
        Numbers of the series, for ``"top-down"``: a frame with the same columns, an array (T, n) or (T, N).
    nonnegative : bool
        Whether forecasts of series below zero become zero before they are added up.
    id : str, optional
        Column that names series and sums; the only one of text unless given.
    columns : str or sequence of str, optional
        Columns of forecasts; all of decimals unless given. The others, such as times, are keys.

    Returns
    -------
    frame or array
        As it came in, with other numbers, which add up.

    Raises
    ------
    ParameterError
    DataError
        When forecasts are missing, or are quantiles, whose sums are not quantiles of the sum.

    Examples
    --------
    >>> tree = Hierarchy.of({"total": ["a", "b"]})
    >>> reconcile(np.array([[9.0], [4.0], [2.0]]), tree, "ols").round(6).ravel().tolist()
    [8.0, 5.0, 3.0]
    >>> frame = pd.DataFrame({"id": ["total", "a", "b"], "month": 1, "y": [9.0, 4.0, 2.0]})
    >>> reconcile(frame, tree, "bottom-up")["y"].tolist()
    [6.0, 4.0, 2.0]
    """
    problems = one_of("method", method, METHODS) + flag("nonnegative", nonnegative)
    if not isinstance(hierarchy, Hierarchy):
        problems.append(Problem("must be a Hierarchy", f"got {type(hierarchy).__name__}", parameter="hierarchy"))
    raise_any(problems, ParameterError)
    if not isinstance(forecasts, np.ndarray):
        return _of_frame(forecasts, hierarchy, method, residuals, history, nonnegative, id, columns)
    names = hierarchy.names
    if forecasts.ndim < 1 or len(forecasts) != len(names):
        must = f"forecasts must have a row for each of {len(names)} sums and series"
        raise DataError(Problem(must, f"got shape {forecasts.shape}", "their order is hierarchy.names"))
    if not np.isfinite(forecasts).all():
        raise DataError(Problem("forecasts must be finite numbers", f"{(~np.isfinite(forecasts)).sum()} are not"))
    errors = None if residuals is None else _rows(residuals, "residuals", [len(names)])
    past = None if history is None else _rows(history, "history", [len(names), len(hierarchy.series)])
    apply = _reconciler(hierarchy, method, errors, past, nonnegative)
    return apply(forecasts.reshape(len(names), -1).astype(np.float64)).reshape(forecasts.shape)


def _rows(given: Any, what: str, widths: Sequence[int]) -> Floats:
    """Return an array (T, N) as floats, once it has a column for each sum and series."""
    array = np.asarray(given, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] not in widths:
        must = f"{what} must have a row for each time and {' or '.join(map(str, widths))} columns"
        raise DataError(Problem(must, f"got shape {array.shape}", "with an array of forecasts give an array"))
    return array


def _reconciler(
    hierarchy: Hierarchy, method: str, errors: Floats | None, history: Floats | None, nonnegative: bool
) -> Reconciler:
    """Return how one column is reconciled, from errors (T, N) and a history (T, n) or (T, N)."""
    covariance, shares = None, None
    if method in OF_ERRORS and errors is not None:
        covariance = Covariance.of(errors, diagonal=method != "mint")
    if method == "top-down" and history is not None:
        n = len(hierarchy.series)
        shares = shares_of(hierarchy, dict(zip(hierarchy.series, history[:, -n:].T, strict=True)))
    return Reconciler(hierarchy, method, covariance, shares, nonnegative)


def _of_frame(
    forecasts: Any,
    hierarchy: Hierarchy,
    method: str,
    residuals: Any,
    history: Any,
    nonnegative: bool,
    id: str | None,
    columns: str | Sequence[str] | None,
) -> Any:
    frame = _eager(forecasts, "forecasts")
    id = id if id is not None else _text_column(frame)
    wanted = [columns] if isinstance(columns, str) else columns
    held = [name for name in frame.columns if name != id and frame[name].dtype.is_float()]
    chosen = held if wanted is None else list(wanted)
    raise_any(
        Problem("a column of forecasts must exist", f"got {name!r}", nearest(name, frame.columns))
        for name in dict.fromkeys([id, *chosen])
        if name not in frame.columns
    )
    if not chosen:
        raise DataError(Problem("forecasts must have a column of decimals", "got none", "name one with columns="))
    if levels := [name for name in frame.columns if QUANTILE.search(str(name))]:
        remedy = "give paths, with a column that numbers them, and take quantiles of what is returned"
        got = f"got {shorten([*map(repr, levels)])}"
        raise DataError(Problem("columns must not hold quantiles, whose sums are not those of the sum", got, remedy))
    keys = [name for name in frame.columns if name != id and name not in chosen and name not in held]
    rows, ids, _ = _places(frame, hierarchy.names, id, keys, "forecasts")
    errors = _pivoted(residuals, hierarchy.names, id, keys, chosen, "residuals")
    past = _pivoted(history, hierarchy.series, id, keys, chosen, "history")
    new = []
    for name in chosen:
        base = np.full((len(hierarchy.names), rows.max() + 1), np.nan)
        base[ids, rows] = frame[name].to_numpy()
        if np.isnan(base).any():
            at, row = np.argwhere(np.isnan(base))[0]
            where = "".join(f", {key} {frame[key][int(np.argmax(rows == row))]}" for key in keys)
            must = f"forecasts in {name!r} must be there of all sums and series"
            more = counted(int(np.isnan(base).sum()), "is", "are")
            raise DataError(Problem(must, f"{more} missing, first of {hierarchy.names[at]!r}{where}"))
        done = _reconciler(hierarchy, method, errors.get(name), past.get(name), nonnegative)(base)
        new.append(nw.new_series(name, done[ids, rows], backend=frame.implementation))
    written = frame.to_native()
    if isinstance(written, pd.DataFrame):  # whose index stays
        return written.assign(**{each.name: each.to_numpy() for each in new})
    return frame.with_columns(*new).to_native()


def _eager(given: Any, what: str) -> nw.DataFrame[Any]:
    """Return a frame of any library."""
    try:
        frame = nw.from_native(given)
    except TypeError as error:
        got = f"got {type(given).__name__}"
        raise DataError(Problem((Phrase(what, what), " must be a frame or an array"), got)) from error
    return frame.collect() if isinstance(frame, nw.LazyFrame) else frame


def _text_column(frame: nw.DataFrame[Any]) -> str:
    """Return the only column of text, which names series and sums."""
    texts = [name for name in frame.columns if frame[name].dtype in (nw.String, nw.Categorical, nw.Object)]
    if len(texts) != 1:
        got = f"got {shorten([*map(repr, texts)]) or 'none'}"
        raise DataError(Problem("forecasts must have one column of text, which names series", got, "pass id=..."))
    return texts[0]


def _places(
    frame: nw.DataFrame[Any], names: Sequence[str], id: str, keys: Sequence[str], what: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the number of the keys of each row, the place of its name among `names`, and which rows have one."""
    place = {name: at for at, name in enumerate(names)}
    ids = np.array([place.get(str(name), -1) for name in frame[id].to_list()], dtype=np.int64)
    there = ids >= 0
    given = {str(name) for name in frame[id].to_list()}
    problems = list[str]()
    if missing := [name for name in names if name not in given]:
        got = absent(missing)
        problems.append(Problem(f"{what} must hold all of {len(names)} names of the hierarchy", got))
    if what == "forecasts" and not there.all():
        other = str(frame[id][int(np.argmin(there))])
        got = f"got {other!r}"
        problems.append(Problem(f"{id!r} must name series and sums of the hierarchy", got, nearest(other, names)))
    raise_any(problems)
    rows = np.zeros(len(frame), dtype=np.int64)
    if keys:
        rows = frame.select(keys).to_pandas().groupby(list(keys), sort=False, dropna=False).ngroup().to_numpy()
    twice = pd.DataFrame({"ids": ids, "rows": rows})[there].duplicated()
    if twice.any():
        name = names[int(ids[there][int(np.argmax(twice.to_numpy()))])]
        must, remedy = f"{what} must be one for each name and {' and '.join(map(repr, keys)) or 'no key'}", "keep one"
        raise DataError(Problem(must, f"{counted(int(twice.sum()), 'is', 'are')} there twice, first {name!r}", remedy))
    return rows, ids, there


def _pivoted(
    given: Any, names: Sequence[str], id: str, keys: Sequence[str], columns: Sequence[str], what: str
) -> dict[str, Floats]:
    """Return each column of a frame as an array (T, N), NaN where a row is missing; nothing where none is given."""
    if given is None:
        return {}
    frame = _eager(given, what)
    raise_any(
        Problem(f"{what} must have the columns of the forecasts", f"{name!r} is missing", nearest(name, frame.columns))
        for name in (id, *columns)
        if name not in frame.columns
    )
    rows, ids, there = _places(frame, names, id, [key for key in keys if key in frame.columns], what)
    found = {}
    for name in columns:
        found[name] = np.full((rows.max() + 1, len(names)), np.nan)
        found[name][rows[there], ids[there]] = frame[name].to_numpy()[there]
    return found
