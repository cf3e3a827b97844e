"""TsforecastForecaster: a forecaster of tsforecast as one of sktime, for its pipelines, splitters and searches.

This module alone imports sktime. The other way round is `tsforecast.adapters.sktime`: forecasters of sktime on boards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.adapters.base import ForeignForecaster
from tsforecast.adapters.protocol import as_forecaster
from tsforecast.data.calendar import DAY, Frequency
from tsforecast.data.panel import Panel
from tsforecast.distributions.predictions import asked_levels
from tsforecast.errors import Argument, DataError, Part, Phrase, Reference, shorten
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.naive import SeasonalNaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster, NeuralForecaster
from tsforecast.forecasters.reduction import ReductionForecaster

try:
    from sktime.datatypes import update_data
    from sktime.forecasting.base import BaseForecaster, ForecastingHorizon
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"TsforecastForecaster needs the package {error.name}, which is not installed: install it with "
        "pip install 'tsforecast-toolkit[sktime]'",
        name=error.name,
    ) from error

_MTYPES = ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"]
_READERS = (NeuralForecaster, ReductionForecaster, ForeignForecaster)  # of covariates that are known ahead


class TsforecastForecaster(BaseForecaster):  # type: ignore[misc]
    """A forecaster of tsforecast as one of sktime.

    Series, panels and hierarchies are fitted as a whole: one model learns from all series, and all columns of ``y``.
    ``X`` are covariates that are known ahead. Numbers and times that are missing carry no loss. Quantiles and intervals
    are those of `Forecaster.predict`. After ``update(..., update_params=False)`` the fitted model forecasts from the
    new end of the data, without another fit.

    Parameters
    ----------
    forecaster : Forecaster, or anything that `as_forecaster` takes
        It is copied. Its horizon becomes the last step of the ``fh`` of ``fit``, where that is given; further steps
        continue its own forecasts.
    season_length : int, optional
        Steps in one season; that of the dates, or found in the numbers, unless given.

    Attributes
    ----------
    forecaster_ : Forecaster
        The fitted copy.

    Raises
    ------
    ParameterError, DataError
        In ``fit`` and ``predict``, as those of the forecaster.

    Notes
    -----
    Steps of a relative ``fh`` count from the end of each series, also where series end at different times; those of an
    absolute one are the same times for all. Forecasts of steps that were learned from are refused.

    Examples
    --------
    >>> import pandas as pd
    >>> from tsforecast import SeasonalNaiveForecaster
    >>> from tsforecast.adapters.sktime_forecaster import TsforecastForecaster
    >>> months = pd.period_range("2024-01", periods=24, freq="M")
    >>> y = pd.Series([float(month % 12) for month in range(24)], index=months, name="sales")
    >>> model = TsforecastForecaster(SeasonalNaiveForecaster())
    >>> model.fit(y, fh=[1, 2, 5]).predict()
    2026-01    0.0
    2026-02    1.0
    2026-05    4.0
    Freq: M, Name: sales, dtype: float64
    """

    _tags = {  # noqa: RUF012
        "authors": "tsforecast developers",
        "maintainers": "tsforecast developers",
        "y_inner_mtype": _MTYPES,
        "X_inner_mtype": _MTYPES,
        "requires-fh-in-fit": False,
        "X-y-must-have-same-index": False,
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:non_contiguous_X": False,
        "capability:categorical_in_X": True,
        "capability:missing_values": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:update": True,
        "capability:random_state": False,
    }
    _config = {"remember_data": False}  # noqa: RUF012  # the rows are kept here, with those of updates

    def __init__(self, forecaster: Any, season_length: int | None = None) -> None:
        self.forecaster = forecaster
        self.season_length = season_length
        super().__init__()
        self._y = self._X = None  # which stay so unless the config has remember_data
        self.set_tags(**{"capability:exogenous": _reads_future(forecaster)})

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return settings for the tests of sktime: a naive forecast, a reduction and a small network."""
        from sklearn.linear_model import Ridge

        network = GRUForecaster(units=2, window=4, max_epochs=1, random_state=0)
        reduction = ReductionForecaster(Ridge(), window=3)
        return [
            {"forecaster": SeasonalNaiveForecaster()},
            {"forecaster": reduction, "season_length": 2},
            {"forecaster": network, "season_length": 1},
        ]

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: ForecastingHorizon | None) -> TsforecastForecaster:
        """Learn from all rows of all series."""
        self._keep(y, X)
        model = clone(as_forecaster(self.forecaster))
        if fh is not None:
            model.set_params(horizon=int(self._steps(fh).max()))
        self.forecaster_ = model.fit(self._panel)
        return self

    def _update(self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True) -> Any:
        """Keep new rows, to learn from all of them, or to forecast from their end."""
        rows, covariates = update_data(self._cur_y, y), update_data(self._cur_X, X)
        if update_params:
            return self._fit(rows, covariates, self._fh)
        self._keep(rows, covariates)
        return self

    def _keep(self, y: pd.DataFrame, X: pd.DataFrame | None) -> None:
        """Keep all rows, and as a panel, with covariates that are known ahead; and the step of the cutoff."""
        self._cur_y, self._cur_X = y.copy(), None if X is None else X.copy()
        names, at = self._names(), 2 + y.shape[1]
        frame = self._frame(y, names[2:at])
        if X is not None:
            missing = y.index.difference(X.index)
            if len(missing):
                raise DataError(
                    f"X must have a row for each of the {len(y):,} of y: {len(missing):,} are missing, the first at "
                    f"{missing[0]}; give X for all times of y"
                )
            frame = pd.concat([frame, self._frame(X.loc[y.index], names[at:])[names[at:]]], axis=1)
        self._panel = Panel.from_frame(
            frame,
            id=names[0],
            time=names[1],
            target=names[2:at],
            future=names[at:],
            frequency=_frequency_of(y.index),
            season_length=self.season_length or "auto",
            nan_policy="mask",
            fill_gaps=True,
        )
        self._set_cutoff(_with_step(self.cutoff, self._panel.frequency))

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
        """Return point forecasts, a column for each of ``y``."""
        index, found = self._forecasts(fh, X)
        return pd.DataFrame(found[..., 0], index, self._cur_y.columns)

    def _predict_quantiles(self, fh: ForecastingHorizon, X: pd.DataFrame | None, alpha: list[float]) -> pd.DataFrame:
        """Return quantiles, a column for each of ``y`` and each level."""
        index, found = self._forecasts(fh, X, alpha)
        columns = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        return pd.DataFrame(found[..., 1:].reshape(len(index), -1), index, columns)

    def _forecasts(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None, levels: Iterable[float] = ()
    ) -> tuple[pd.Index, NDArray[np.float64]]:
        """Return the index of the forecasts, and the points with the quantiles behind them, (rows, K, 1 + levels)."""
        panel, levels = self._panel, list(levels)
        lag = self._lag() * (not fh.is_relative)  # a series that ends earlier has more steps to an absolute time
        steps = lag[:, None] + self._steps(fh)  # (N, F)
        given = {"horizon": int(steps.max()), "ended": "forecast", "quantiles": levels}
        try:
            found = self.forecaster_.predict(panel, future=self._future(X), **given)
        except DataError as error:
            raise error.map(_of_sktime) from error
        suffixes = ["", *(f"_{name}" for level in levels for name in asked_levels([level], None))]
        columns = [f"{target}{suffix}" for target in panel.roles.target for suffix in suffixes]
        values = found[columns].to_numpy().reshape(len(panel), steps.max(), panel.n_targets, -1)
        chosen = np.take_along_axis(values, steps[..., None, None] - 1, axis=1)
        return self._index(fh), chosen.reshape(-1, *chosen.shape[2:])

    def _steps(self, fh: ForecastingHorizon) -> NDArray[np.int64]:
        """Return the steps of a horizon after the cutoff, (F,)."""
        relative = fh.to_relative(self.cutoff)
        if relative.to_pandas().dtype.kind == "m":  # a length of time, which sktime turns into no steps
            times = relative.to_absolute_index(self.cutoff)
            relative = ForecastingHorizon(times, is_relative=False).to_relative(self.cutoff)
        return np.asarray(relative.to_numpy(), dtype=np.int64)

    def _lag(self) -> NDArray[np.int64]:
        """Return by how many steps each series ends before the latest one, (N,)."""
        ends = self._panel.firsts + self._panel.lengths
        return np.asarray(ends.max() - ends)

    def _index(self, fh: ForecastingHorizon) -> pd.Index:
        """Return the times of the forecasts, below the names of the series where there are some."""
        own, times = self._cur_y.index, fh.to_absolute_index(self.cutoff)
        if not isinstance(own, pd.MultiIndex):
            return times
        names, rows = own.droplevel(-1), list[tuple[Any, ...]]()
        apart = fh.is_relative and self._lag().any()
        for name in names.unique():
            if apart:
                last = own[names == name].get_level_values(-1)[-1:]
                times = fh.to_absolute_index(_with_step(last, self._panel.frequency))
            rows += [(*(name if isinstance(name, tuple) else (name,)), time) for time in times]
        return pd.MultiIndex.from_tuples(rows, names=own.names)

    def _future(self, X: pd.DataFrame | None) -> pd.DataFrame | None:
        """Return the covariates of the steps to forecast as a long frame."""
        if X is None:
            return None
        if self._cur_X is None:
            raise DataError("X must be given to fit as well, with a row for each of y: fit was given none")
        columns = self._cur_X.columns
        missing = [repr(name) for name in columns if name not in X]
        if missing:
            raise DataError(f"X must have the {len(columns)} columns that were fitted: {shorten(missing)} are missing")
        return self._frame(X[columns], list(self._panel.roles.future))

    def _names(self) -> list[str]:
        """Return distinct names of the columns of a long frame: series, time, those of y and those of X."""
        columns = [*self._cur_y.columns, *([] if self._cur_X is None else self._cur_X.columns)]
        names = list[str]()
        for name in ["series", "time", *map(str, columns)]:
            while name in names:
                name += "'"
            names.append(name)
        return names

    def _frame(self, rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
        """Return rows of y or X as a long frame, with numbers of the series and dates in place of periods."""
        series, time = self._names()[:2]
        own, index = self._cur_y.index, rows.index
        places = np.zeros(len(rows), dtype=np.int64)
        if isinstance(own, pd.MultiIndex):
            places = own.droplevel(-1).unique().get_indexer(index.droplevel(-1))
        times = index.get_level_values(-1)
        times = times.to_timestamp() if isinstance(times, pd.PeriodIndex) else times
        frame = rows.set_axis(columns, axis=1).reset_index(drop=True)
        frame = frame.astype({name: object for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)})
        return frame.assign(**{series: places, time: times})[[series, time, *columns]]


def _reads_future(forecaster: Any) -> bool:
    """Return whether a forecaster, or one within it, reads covariates that are known ahead."""
    if isinstance(forecaster, Forecaster):
        parts = [forecaster, *forecaster.get_params().values()]
        return any(isinstance(part, _READERS) for part in parts)
    return True  # a regressor becomes a reduction


def _of_sktime(part: Reference) -> Part:
    """Return a part of a sentence in the words of sktime, whose X are the future covariates."""
    if isinstance(part, Argument) and part.name == "future":
        return "X"
    return "pass X" if isinstance(part, Phrase) and part.key == "future frame" else part


def _with_step(times: pd.Index, frequency: Frequency) -> pd.Index:
    """Return times with their step, which sktime counts dates on by, unless they have it.

    Examples
    --------
    >>> _with_step(pd.DatetimeIndex(["2024-02-01"]), Frequency.parse("QS")).freq
    <3 * MonthBegins>
    """
    if not isinstance(times, pd.DatetimeIndex) or times.freq is not None:
        return times
    names = {"nanosecond": "ns", "month": "MS", "month end": "ME", "business day": "B"}
    days, rest = divmod(frequency.count, DAY)
    in_days = frequency.unit == "nanosecond" and not rest
    return pd.DatetimeIndex(times, freq=f"{days}D" if in_days else f"{frequency.count}{names[frequency.unit]}")


def _frequency_of(index: pd.Index) -> str | None:
    """Return the step of an index as `Panel.from_frame` takes it; None where the rows must show it.

    Examples
    --------
    >>> _frequency_of(pd.period_range("2024-01", periods=1, freq="Q")), _frequency_of(pd.RangeIndex(5))
    ('QS', '1')
    """
    times = index.get_level_values(-1)
    if pd.api.types.is_integer_dtype(times.dtype):
        return "1"  # steps of sktime
    freq = getattr(times, "freq", None)
    alias = "" if freq is None else freq.freqstr.partition("-")[0]
    if isinstance(times, pd.PeriodIndex):
        alias = re.sub("([MQYA])E?$", lambda found: f"{found[1].replace('A', 'Y')}S", alias)
    with suppress(DataError):
        return str(Frequency.parse(alias)) and alias
    return None
