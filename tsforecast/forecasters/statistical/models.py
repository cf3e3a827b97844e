"""Classical models: smoothing, ARIMA, Theta, Holt-Winters, intermittent demand; their parameters and checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tsforecast.checks import one_of, whole
from tsforecast.distributions.base import Atoms
from tsforecast.errors import Problem
from tsforecast.estimators.base import keyword_settings, optional, setting
from tsforecast.forecasters.statistical import arima, croston, ets, theta
from tsforecast.forecasters.statistical.base import StatisticalForecaster
from tsforecast.forecasters.statistical.fit import FittedModel, Floats

LONG = 10  # seasons, from which forecasts of two seasons ahead show which components lead astray
_type_problems = optional(one_of, options=("auto", "add", "mul"))


def _damped_problems(name: str, value: bool | str) -> list[str]:
    """Require True, False or "auto"."""
    if isinstance(value, bool) or value == "auto":
        return []
    return [Problem("must be True, False or 'auto'", f"got {value!r}", parameter=name)]


def _order_problems(name: str, value: str | Sequence[int]) -> list[str]:
    """Require "auto", or three whole numbers."""
    numbers = isinstance(value, (list, tuple)) and not any(whole("", item, 0) for item in value)
    if value == "auto" or (numbers and len(value) == 3):
        return []
    must = "must be 'auto' or three whole numbers >= 0, such as (1, 1, 1)"
    return [Problem(must, f"got {value!r}", parameter=name)]


@keyword_settings
class ETSForecaster(StatisticalForecaster):
    """Exponential smoothing, its components chosen by AICc [Hyndman et al. 2002; Hyndman et al. 2008].

    In a history of ten seasons or more, forecasts of two seasons count as well: where those of another fit were better
    by more than a tenth, it is taken.

    Errors, trend and season may each be additive or multiplicative, the latter for numbers above zero alone; with
    a multiplicative season or trend, errors are multiplicative. Initial states are estimated with the smoothing
    parameters, up to seasons of 24 steps; states of longer seasons come from the first ones.

    Examples
    --------
    >>> import numpy as np
    >>> model = ETSForecaster(horizon=3, error="add", trend=None, season="add", season_length=4)
    >>> model.fit(np.tile([1.0, 5.0, 2.0, 8.0], 6)).predict().round(3).tolist()
    [1.0, 5.0, 2.0]
    """

    error: Literal["auto", "add", "mul"] = setting(default="auto", kw_only=False, doc="Type of the errors.")
    trend: Literal["auto", "add", "mul"] | None = setting(
        default="auto", kw_only=False, check=_type_problems, doc="Type of the trend; auto is never multiplicative."
    )
    season: Literal["auto", "add", "mul"] | None = setting(
        default="auto", kw_only=False, check=_type_problems, doc="Type of the season."
    )
    damped: bool | Literal["auto"] = setting(
        default="auto", kw_only=False, check=_damped_problems, doc="Whether the trend levels off."
    )

    _model = ets

    def _needs_season(self) -> bool:
        return self.season in ("add", "mul")

    def _choose(self, y: Floats, season_length: int) -> FittedModel:
        models = ets.admissible(self.error, self.trend, self.season, self.damped, season_length)
        long = 1 < season_length <= len(y) / LONG
        return ets.choose(y, season_length, models, ahead=2 * season_length if long else 0)

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.trend is None and self.damped is True:
            problems.append("a damped trend needs a trend: use trend='add', or damped=False")
        if self.error == "add" and "mul" in (self.trend, self.season):
            problems.append("a multiplicative trend or season needs multiplicative errors: use error='mul' or 'auto'")
        if self.trend == "mul" and self.season == "add":
            problems.append("a multiplicative trend and an additive season do not go together: use season='mul'")
        return problems


@keyword_settings
class ARIMAForecaster(StatisticalForecaster):
    """Seasonal ARIMA, its orders chosen by AICc [Hyndman and Khandakar 2008].

    The season is differenced once where it is strong, the rest while a KPSS test rejects a constant level; the
    other orders are found by a stepwise search, at most 5 and, for the season, 2. Candidates are estimated by
    conditional least squares, the chosen one by exact maximum likelihood. A mean, or a drift with one difference, is
    included where AICc selects it. A series whose differences are all equal, such as a line, or a season and a line, is
    modelled by those differences and their value as mean. NaN between numbers is missing to the model, not filled.

    Examples
    --------
    >>> import numpy as np
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=60))
    >>> model = ARIMAForecaster(horizon=2, order=(0, 1, 0), seasonal_order=(0, 0, 0)).fit(walk)
    >>> bool((model.predict() == walk[-1]).all())
    True
    """

    season_length: int | None = setting(
        default=None,
        doc="Steps in one season; taken from the data unless given. Seasons of more than 52 steps are differenced but "
        "get no coefficients of their own unless `seasonal_order` asks for them.",
    )
    order: Literal["auto"] | Sequence[int] = setting(
        default="auto", kw_only=False, check=_order_problems, doc="Orders (p, d, q)."
    )
    seasonal_order: Literal["auto"] | Sequence[int] = setting(
        default="auto",
        kw_only=False,
        check=_order_problems,
        doc="Orders (P, D, Q). With both orders given, a mean is included if there is no difference.",
    )
    parameters: Literal["keep", "refit"] = setting(
        default="keep",
        doc="Whether a later past of a fitted series is filtered with the estimated parameters, or they are estimated "
        "again, with the chosen orders.",
    )

    _model = arima
    _reads_gaps = True

    def _needs_season(self) -> bool:
        return any(_orders(self.seasonal_order) or ())

    def _choose(self, y: Floats, season_length: int) -> FittedModel:
        seasonal = _orders(self.seasonal_order) if season_length > 1 else (0, 0, 0)
        return arima.choose(y, season_length, _orders(self.order), seasonal)


def _orders(value: str | Sequence[int]) -> tuple[int, int, int] | None:
    if isinstance(value, str):
        return None
    first, second, third = (int(item) for item in value)
    return first, second, third


@keyword_settings
class ThetaForecaster(StatisticalForecaster):
    """The Theta method [Assimakopoulos and Nikolopoulos 2000], as statsmodels' ThetaModel computes it.

    Where a test of the autocorrelation at one season finds a season, it is removed by classical decomposition:
    multiplicative for numbers above zero, else additive. The rest is smoothed exponentially, and half the slope of
    the straight line through it added [Hyndman and Billah 2003].

    Examples
    --------
    >>> import numpy as np
    >>> ThetaForecaster(horizon=3).fit(np.arange(20.0)).predict().round(2).tolist()
    [19.5, 20.0, 20.5]
    """

    parameters: Literal["keep", "refit"] = setting(
        default="keep",
        doc="Whether a later past of a fitted series is smoothed with the estimated parameter, slope and season, or "
        "they are estimated again.",
    )

    _model = theta

    def _choose(self, y: Floats, season_length: int) -> FittedModel:
        return theta.choose(y, season_length)


@keyword_settings
class HoltWintersForecaster(StatisticalForecaster):
    """Holt-Winters smoothing of level, trend and season by least squares [Holt 1957; Winters 1960].

    The additive-error case of `ETSForecaster`, with initial states estimated in the same way.

    Examples
    --------
    >>> import numpy as np
    >>> HoltWintersForecaster(horizon=3).fit(np.arange(20.0)).predict().round(2).tolist()
    [20.0, 21.0, 22.0]
    """

    trend: Literal["add"] | None = setting(default="add", kw_only=False, doc="Type of the trend.")
    seasonal: Literal["auto", "add", "mul"] | None = setting(
        default="auto",
        kw_only=False,
        check=_type_problems,
        doc="Type of the season. Auto: the one with the smaller squared error one step ahead; multiplicative for "
        "numbers above zero only.",
    )
    damped: bool = setting(default=False, kw_only=False, doc="Whether the trend levels off.")

    _model = ets

    def _needs_season(self) -> bool:
        return self.seasonal in ("add", "mul")

    def _choose(self, y: Floats, season_length: int) -> FittedModel:
        kinds = ("add", "mul") if self.seasonal == "auto" else (self.seasonal,)
        kinds = kinds if season_length > 1 else (None,)
        return ets.choose(
            y, season_length, [ets.Components("add", self.trend, kind, bool(self.damped)) for kind in kinds]
        )

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.trend is None and self.damped is True:
            problems.append("a damped trend needs a trend: use trend='add', or damped=False")
        return problems


class _IntermittentForecaster(StatisticalForecaster):
    """Base of the methods for series with many zeros."""

    _model = croston
    _kind = Atoms
    _method = croston.CROSTON

    def _choose(self, y: Floats, season_length: int) -> FittedModel:
        return croston.choose(y, self._method)


@keyword_settings
class CrostonForecaster(_IntermittentForecaster):
    """Croston's method for intermittent demand: smoothed size, divided by the smoothed interval [Croston 1972].

    Every step has the same forecast: a rate, demand for each step. The smoothing parameter, from 0.05 to 0.2, has the
    smallest squared error one step ahead. The distribution has zeros, and past sizes by their weight. Series with
    negative numbers are forecast by the seasonal naive instead, with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> CrostonForecaster(horizon=2).fit(np.tile([0.0, 0.0, 6.0], 5)).predict().round(2).tolist()
    [2.0, 2.0]
    """


@keyword_settings
class SBAForecaster(_IntermittentForecaster):
    """Croston's method without its bias: times 1 less half of the smoothing parameter [Syntetos and Boylan 2005].

    Examples
    --------
    >>> import numpy as np
    >>> SBAForecaster(horizon=2).fit(np.tile([0.0, 0.0, 6.0], 5)).predict().round(2).tolist()
    [1.95, 1.95]
    """

    _method = croston.SBA


@keyword_settings
class TSBForecaster(_IntermittentForecaster):
    """Smoothed size, times the smoothed share of steps with a demand [Teunter, Syntetos and Babai 2011].

    The share is updated at every step, so that the forecast falls where demand ends. Sizes and shares have smoothing
    parameters of their own, from 0.05 to 0.2.

    Examples
    --------
    >>> import numpy as np
    >>> model = TSBForecaster().fit(np.r_[np.tile([0.0, 4.0], 20), np.zeros(80)])
    >>> bool(model.predict()[0] < 0.1)
    True
    """

    _method = croston.TSB
