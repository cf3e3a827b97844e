"""Classical models: exponential smoothing, ARIMA, Theta and Holt-Winters; their parameters and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tsforecast.checks import one_of, whole
from tsforecast.errors import Problem
from tsforecast.forecasters.statistical import arima, ets, theta
from tsforecast.forecasters.statistical.arma import Orders
from tsforecast.forecasters.statistical.base import StatisticalForecaster
from tsforecast.forecasters.statistical.fit import FittedModel, Floats


class _Smoothing(StatisticalForecaster):
    """Exponential smoothing with the best of some combinations of components."""

    def _candidates(self, season_length: int) -> list[ets.Components]:
        raise NotImplementedError

    def _choose(self, y: Floats, season_length: int) -> FittedModel:
        return ets.choose(y, season_length, self._candidates(season_length))

    def _estimate(self, y: Floats, specification: dict[str, Any]) -> FittedModel:
        return ets.estimate(y, specification)

    def _forecast_from(self, fitted: FittedModel, y: Floats, horizon: int, same_origin: bool) -> Floats:
        return ets.forecast(fitted, y, horizon, same_origin)


@dataclass(eq=False, repr=False)
class ETSForecaster(_Smoothing):
    """Exponential smoothing, its components chosen by AICc [Hyndman et al. 2002; Hyndman et al. 2008].

    Errors, trend and season may each be additive or multiplicative, the latter for numbers above zero alone; with
    a multiplicative season or trend, errors are multiplicative. Initial states are estimated with the smoothing
    parameters, up to seasons of 24 steps; states of longer seasons come from the first ones.

    Parameters
    ----------
    horizon : int
        Steps to forecast.
    season_length : int, optional
        Steps in one season; taken from the data unless given.
    error : {"auto", "add", "mul"}
    trend : {"auto", "add", "mul"} or None
        "auto" excludes multiplicative trends.
    season : {"auto", "add", "mul"} or None
    damped : {"auto"} or bool
        Whether the trend levels off.
    parameters : {"keep", "refit"}
        Whether a later past of a fitted series is filtered with the estimated parameters, or they are estimated anew,
        with the chosen components.
    n_jobs : int or None
        Processes, as in joblib: -1 is one for each core. A few series are fitted in the current process.

    Attributes
    ----------
    models_, failures_
        See `StatisticalForecaster`, also for short and difficult series.

    Examples
    --------
    >>> import numpy as np
    >>> model = ETSForecaster(horizon=3, error="add", trend=None, season="add", season_length=4)
    >>> model.fit(np.tile([1.0, 5.0, 2.0, 8.0], 6)).predict().round(3).tolist()
    [1.0, 5.0, 2.0]
    """

    horizon: int = 1
    season_length: int | None = None
    error: str = "auto"
    trend: str | None = "auto"
    season: str | None = "auto"
    damped: bool | str = "auto"
    parameters: str = "keep"
    n_jobs: int | None = -1

    def _needs_season(self) -> bool:
        return self.season in ("add", "mul")

    def _candidates(self, season_length: int) -> list[ets.Components]:
        return ets.admissible(self.error, self.trend, self.season, self.damped, season_length)

    def _problems(self) -> list[str]:
        problems = super()._problems() + one_of("error", self.error, ("auto", "add", "mul"))
        problems += _component("trend", self.trend) + _component("season", self.season)
        if not isinstance(self.damped, bool) and self.damped != "auto":
            problems.append(Problem("must be True, False or 'auto'", f"got {self.damped!r}", parameter="damped"))
        if self.trend is None and self.damped is True:
            problems.append("a damped trend needs a trend: use trend='add', or damped=False")
        if self.error == "add" and "mul" in (self.trend, self.season):
            problems.append("a multiplicative trend or season needs multiplicative errors: use error='mul' or 'auto'")
        if self.trend == "mul" and self.season == "add":
            problems.append("a multiplicative trend and an additive season do not go together: use season='mul'")
        return problems


@dataclass(eq=False, repr=False)
class ARIMAForecaster(StatisticalForecaster):
    """Seasonal ARIMA, its orders chosen by AICc [Hyndman and Khandakar 2008].

    The season is differenced once where it is strong, the rest while a KPSS test rejects a constant level; the
    other orders are found by a stepwise search, at most 5 and, for the season, 2. Candidates are estimated by
    conditional least squares, the chosen one by exact maximum likelihood. A mean, or a drift with one difference, is
    included where AICc selects it. A series whose differences are all equal, such as a line, or a season and a line, is
    modelled by those differences and their value as mean. NaN between numbers is missing to the model, not filled.

    Parameters
    ----------
    horizon : int
        Steps to forecast.
    season_length : int, optional
        Steps in one season; taken from the data unless given. Seasons of more than 52 steps are differenced but
        get no coefficients of their own unless `seasonal_order` asks for them.
    order : {"auto"} or tuple of int
        Orders (p, d, q).
    seasonal_order : {"auto"} or tuple of int
        Orders (P, D, Q). With both orders given, a mean is included if there is no difference.
    parameters : {"keep", "refit"}
        Whether a later past of a fitted series is filtered with the estimated parameters, or they are estimated anew,
        with the chosen orders.
    n_jobs : int or None
        Processes, as in joblib: -1 is one for each core. A few series are fitted in the current process.

    Attributes
    ----------
    models_, failures_
        See `StatisticalForecaster`, also for short and difficult series.

    Examples
    --------
    >>> import numpy as np
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=60))
    >>> model = ARIMAForecaster(horizon=2, order=(0, 1, 0), seasonal_order=(0, 0, 0)).fit(walk)
    >>> bool((model.predict() == walk[-1]).all())
    True
    """

    _reads_gaps = True

    horizon: int = 1
    season_length: int | None = None
    order: str | Sequence[int] = "auto"
    seasonal_order: str | Sequence[int] = "auto"
    parameters: str = "keep"
    n_jobs: int | None = -1

    def _needs_season(self) -> bool:
        return any(_orders(self.seasonal_order) or ())

    def _choose(self, y: Floats, season_length: int) -> FittedModel:
        seasonal = _orders(self.seasonal_order) if season_length > 1 else (0, 0, 0)
        return arima.choose(y, season_length, _orders(self.order), seasonal)

    def _estimate(self, y: Floats, specification: dict[str, Any]) -> FittedModel:
        return arima.estimate(y, Orders.of(specification))

    def _forecast_from(self, fitted: FittedModel, y: Floats, horizon: int, same_origin: bool) -> Floats:
        return arima.forecast(fitted, y, horizon)

    def _problems(self) -> list[str]:
        problems = super()._problems()
        for name in ("order", "seasonal_order"):
            value = getattr(self, name)
            numbers = isinstance(value, (list, tuple)) and not any(whole("", item, 0) for item in value)
            if value != "auto" and not (numbers and len(value) == 3):
                must = "must be 'auto' or three whole numbers >= 0, such as (1, 1, 1)"
                problems.append(Problem(must, f"got {value!r}", parameter=name))
        return problems


@dataclass(eq=False, repr=False)
class ThetaForecaster(StatisticalForecaster):
    """The Theta method [Assimakopoulos and Nikolopoulos 2000], as statsmodels' ThetaModel computes it.

    Where a test of the autocorrelation at one season finds a season, it is removed by classical decomposition:
    multiplicative for numbers above zero, else additive. The rest is smoothed exponentially, and half the slope of
    the straight line through it added [Hyndman and Billah 2003].

    Parameters
    ----------
    horizon : int
        Steps to forecast.
    season_length : int, optional
        Steps in one season; taken from the data unless given.
    parameters : {"keep", "refit"}
        Whether a later past of a fitted series is smoothed with the estimated parameter, slope and season, or they are
        estimated anew.
    n_jobs : int or None
        Processes, as in joblib: -1 is one for each core. A few series are fitted in the current process.

    Attributes
    ----------
    models_, failures_
        See `StatisticalForecaster`, also for short and difficult series.

    Examples
    --------
    >>> import numpy as np
    >>> ThetaForecaster(horizon=3).fit(np.arange(20.0)).predict().round(2).tolist()
    [19.5, 20.0, 20.5]
    """

    horizon: int = 1
    season_length: int | None = None
    parameters: str = "keep"
    n_jobs: int | None = -1

    def _choose(self, y: Floats, season_length: int) -> FittedModel:
        return theta.choose(y, season_length)

    def _estimate(self, y: Floats, specification: dict[str, Any]) -> FittedModel:
        return theta.estimate(y, specification["season_length"], specification["season"])

    def _forecast_from(self, fitted: FittedModel, y: Floats, horizon: int, same_origin: bool) -> Floats:
        return theta.forecast(fitted, y, horizon, same_origin)


@dataclass(eq=False, repr=False)
class HoltWintersForecaster(_Smoothing):
    """Holt-Winters smoothing of level, trend and season by least squares [Holt 1957; Winters 1960].

    The additive-error case of `ETSForecaster`, with initial states estimated in the same way.

    Parameters
    ----------
    horizon : int
        Steps to forecast.
    season_length : int, optional
        Steps in one season; taken from the data unless given.
    trend : {"add"} or None
    seasonal : {"auto", "add", "mul"} or None
        "auto" takes the type with the smaller squared error one step ahead; multiplicative for numbers above zero only.
    damped : bool
        Whether the trend levels off.
    parameters : {"keep", "refit"}
        Whether a later past of a fitted series is filtered with the estimated parameters, or they are estimated anew,
        with the chosen type of season.
    n_jobs : int or None
        Processes, as in joblib: -1 is one for each core. A few series are fitted in the current process.

    Attributes
    ----------
    models_, failures_
        See `StatisticalForecaster`, also for short and difficult series.

    Examples
    --------
    >>> import numpy as np
    >>> HoltWintersForecaster(horizon=3).fit(np.arange(20.0)).predict().round(2).tolist()
    [20.0, 21.0, 22.0]
    """

    horizon: int = 1
    season_length: int | None = None
    trend: str | None = "add"
    seasonal: str | None = "auto"
    damped: bool = False
    parameters: str = "keep"
    n_jobs: int | None = -1

    def _needs_season(self) -> bool:
        return self.seasonal in ("add", "mul")

    def _candidates(self, season_length: int) -> list[ets.Components]:
        kinds = ("add", "mul") if self.seasonal == "auto" else (self.seasonal,)
        return [
            ets.Components("add", self.trend, kind, self.damped) for kind in (kinds if season_length > 1 else (None,))
        ]

    def _problems(self) -> list[str]:
        problems = super()._problems() + _component("seasonal", self.seasonal)
        if self.trend not in ("add", None):
            problems.append(Problem("must be 'add' or None", f"got {self.trend!r}", parameter="trend"))
        if not isinstance(self.damped, bool):
            problems.append(Problem("must be True or False", f"got {self.damped!r}", parameter="damped"))
        if self.trend is None and self.damped is True:
            problems.append("a damped trend needs a trend: use trend='add', or damped=False")
        return problems


def _component(name: str, value: str | None) -> list[str]:
    return [] if value is None else one_of(name, value, ("auto", "add", "mul"))


def _orders(value: str | Sequence[int]) -> tuple[int, int, int] | None:
    if isinstance(value, str):
        return None
    first, second, third = (int(item) for item in value)
    return first, second, third
