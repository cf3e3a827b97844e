"""Exponential smoothing in state-space form: states, likelihood, choice of components, forecast.

The loop over the steps is the compiled one of statsmodels' ETSModel, called directly: each likelihood costs many times
as much through the class, and choosing a model takes thousands of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from scipy.special import ndtri

from tsforecast.distributions.base import LEVELS
from tsforecast.forecasters.statistical.fit import (
    BAD,
    FitError,
    FittedModel,
    Floats,
    Minimum,
    aicc,
    minimise,
    normal_quantiles,
    variance,
)

ADD, MUL = "add", "mul"
FIRST_STATE = 4  # parameters: alpha, beta / alpha, gamma / (1 - alpha), phi, level, trend, then one season backwards
LOWEST, HIGHEST = 1e-4, 1 - 1e-4
DAMPING = (0.8, 0.98)  # [Hyndman and Athanasopoulos 2021, section 8.2]
LONGEST_ESTIMATED_SEASON = 24  # beyond, initial seasonal states are heuristic: R's ets has no season there
POLISH = 100  # iterations that estimate initial states
FINALISTS = 3  # candidates whose initial states are estimated as well
PATHS = 2_000  # simulated where there is no closed form
LEAST = 0.01  # of its forecast, that a simulated value has: a relative error of -1 has no next state
CUTOFFS = 60  # of a history, at which forecasts of several steps are compared
CLEARLY = 0.1  # share by which their error must be smaller
NEAR = 10.0  # AICc with heuristic states within which a candidate can still win


@dataclass(frozen=True)
class Components:
    """Components of a model."""

    error: str
    trend: str | None
    season: str | None
    damped: bool

    @property
    def multiplicative(self) -> bool:
        """Whether the model needs numbers above zero."""
        return MUL in (self.error, self.trend, self.season)

    def count(self, season_length: int) -> int:
        """Number of parameters: smoothing, initial states and variance; seasonal states sum to a constant."""
        seasonal = season_length if self.season else 0
        return 3 + 2 * bool(self.trend) + self.damped + seasonal


def admissible(
    error: str, trend: str | None, season: str | None, damped: bool | str, season_length: int
) -> list[Components]:
    """Return the models that the settings allow, "auto" being any.

    Excluded are additive errors with a multiplicative trend or season, whose forecasts are unstable, multiplicative
    trend with additive season, and multiplicative trends unless asked for, as in R's ets [Hyndman et al. 2008].
    """
    errors = (ADD, MUL) if error == "auto" else (error,)
    trends = (None, ADD) if trend == "auto" else (trend,)
    seasons = (None, ADD, MUL) if season == "auto" else (season,)
    if season_length == 1:
        seasons = (None,)
    dampings = (False, True) if damped == "auto" else (bool(damped),)
    return [
        Components(e, t, s, d and t is not None)
        for e, t, s, d in product(errors, trends, seasons, dampings)
        if not (e == ADD and MUL in (t, s))
        and not (t == MUL and s == ADD)
        and not (t is None and d and damped == "auto")
    ]


def choose(y: Floats, season_length: int, models: list[Components], ahead: int = 0) -> FittedModel:
    """Fit every model that `y` allows, and return the one with the smallest AICc; raises FitError.

    All are fitted from heuristic initial states; initial states are estimated for the best few only. One step ahead,
    by which AICc judges, a trend or a season may pay that leads astray: with steps `ahead`, the fit whose forecasts of
    so many steps were best over the history is returned instead, if those of the first are clearly worse.
    """
    allowed = [model for model in models if not model.multiplicative or y.min() > 0]
    if not allowed:
        raise FitError("its multiplicative components need numbers above zero")
    candidates = []
    for model in allowed:
        engine = Engine(y, season_length, model)
        if np.isfinite(engine.criterion(0.0)) or len(allowed) == 1:
            rough = engine.smoothing_alone()
            candidates.append((engine.criterion(rough.value), engine, rough))
    if not candidates:
        raise FitError(f"its {len(y)} steps are too few for any of its models")
    candidates.sort(key=lambda entry: entry[0])
    close = candidates[0][0] + NEAR
    finalists = [entry for entry in candidates[:FINALISTS] if entry[0] <= close or not np.isfinite(entry[0])]
    fits = [(engine, engine.with_states(rough)) for _, engine, rough in finalists]
    good = [(engine, minimum) for engine, minimum in fits if minimum.converged and minimum.value < BAD]
    if not good:
        raise FitError("its likelihood has no maximum that can be found")
    engine, minimum = min(good, key=lambda fit: (fit[0].criterion(fit[1].value), fit[1].value))
    if ahead and len(allowed) > 1:
        good += [(engine, rough) for _, engine, rough in candidates if rough.converged and rough.value < BAD]
        errors = [engine.error_of(minimum.x, ahead) for engine, minimum in good]
        best = int(np.argmin(errors))
        if engine.error_of(minimum.x, ahead) > (1 + CLEARLY) * errors[best]:
            engine, minimum = good[best]
    return FittedModel({**asdict(engine.model), "season_length": engine.m}, minimum.x.tolist())


def estimate(y: Floats, specification: dict[str, Any]) -> FittedModel:
    """Estimate a known specification again."""
    return choose(y, specification["season_length"], [_components(specification)])


def _components(specification: dict[str, Any]) -> Components:
    """Return the components that a specification names."""
    return Components(*(specification[name] for name in ("error", "trend", "season", "damped")))


def forecast(fitted: FittedModel, y: Floats, horizon: int, same_origin: bool) -> Floats:
    """Run the states of a fitted model over `y` and forecast H steps.

    Initial states belong to the first step of a series; where `y` starts elsewhere, heuristic ones are used.
    """
    model, parameters, states, _ = _run_over(fitted, y, same_origin)
    return _ahead(model, parameters, states[-1], horizon)


def quantiles(fitted: FittedModel, y: Floats, horizon: int, same_origin: bool) -> Floats:
    """Return quantiles of H steps after `y`, (H, L) [Hyndman et al. 2008, chapter 6].

    Normal, with their variance in closed form, where nothing is multiplicative; else those of simulated paths.
    """
    model, parameters, states, yhat = _run_over(fitted, y, same_origin)
    m = fitted.specification["season_length"]
    errors = y / yhat - 1 if model.error == MUL else y - yhat
    sigma = np.sqrt(variance(errors, model.count(m) - 1))
    if model.multiplicative:
        return np.quantile(_paths(model, parameters, states[-1], sigma, horizon), LEVELS, axis=1).T
    alpha, beta, gamma, phi = parameters[:FIRST_STATE]
    later = np.arange(1.0, horizon)
    weights = alpha * (1 + beta * np.cumsum(phi**later)) if model.trend else np.full(horizon - 1, alpha)
    weights = weights + gamma * (1 - alpha) * (later % m == 0) if model.season else weights
    spread = sigma * np.sqrt(1 + np.r_[0.0, np.cumsum(weights**2)])
    return normal_quantiles(_ahead(model, parameters, states[-1], horizon), spread)


def _run_over(fitted: FittedModel, y: Floats, same_origin: bool) -> tuple[Components, Floats, Floats, Floats]:
    """Return components, parameters, the states after each step of `y`, and the forecasts one step ahead."""
    model, m = _components(fitted.specification), fitted.specification["season_length"]
    if model.multiplicative and y.min() <= 0:
        raise FitError("its multiplicative components need numbers above zero")
    parameters = np.array(fitted.parameters)
    if not same_origin:
        parameters[FIRST_STATE:] = initial_states(y, m, model)
    states, yhat = np.zeros((len(y), 2 + m)), np.zeros(len(y))
    run(model, parameters, np.array(y), yhat, states)
    return model, parameters, states, yhat


def _ahead(model: Components, parameters: Floats, last: Floats, horizon: int) -> Floats:
    """Return the forecast of H steps from the last states."""
    level, slope, season = last[0], last[1], last[2:][::-1]
    ahead = np.arange(horizon)
    damping = np.cumsum(parameters[3] ** (ahead + 1.0))
    line = level * slope**damping if model.trend == MUL else level + slope * damping
    seasons = season[ahead % len(season)]
    return np.asarray(line * seasons if model.season == MUL else line + seasons)


def _paths(model: Components, parameters: Floats, last: Floats, sigma: float, horizon: int) -> Floats:
    """Return simulated paths from the last states, (H, paths); a value is at least a hundredth of its forecast.

    The shocks are the same for all series.
    """
    alpha, beta, gamma, phi = parameters[:FIRST_STATE]
    shocks = sigma * _shocks(horizon)
    level, slope = np.full(PATHS, last[0]), np.full(PATHS, last[1])
    seasons = [np.full(PATHS, value) for value in last[2:][::-1]]  # the next one first
    found = np.zeros((horizon, PATHS))
    for step in range(horizon):
        damped = slope**phi if model.trend == MUL else phi * slope
        base, season = level * damped if model.trend == MUL else level + damped, seasons.pop(0)
        expected = base * season if model.season == MUL else base + season
        error = shocks[step]
        y = expected * np.maximum(1 + error, LEAST) if model.error == MUL else expected + error
        before, level = level, alpha * (y / season if model.season == MUL else y - season) + (1 - alpha) * base
        slope = beta * (level / before if model.trend == MUL else level - before) + (1 - beta) * damped
        seasons.append(gamma * (y / level if model.season == MUL else y - level) + (1 - gamma) * season)
        found[step] = y
    return found


@lru_cache(maxsize=4)
def _shocks(horizon: int) -> Floats:
    """Return normal shocks of H steps, (H, paths): quantiles in random order, made uncorrelated between steps."""
    draw = np.random.default_rng(0)
    found = np.stack([draw.permutation(ndtri((np.arange(PATHS) + 0.5) / PATHS)) for _ in range(horizon)])
    if horizon > PATHS // 4:  # too few paths to be uncorrelated and normal
        return found
    return np.asarray(np.linalg.solve(np.linalg.cholesky(found @ found.T / PATHS), found))


def initial_states(y: Floats, m: int, model: Components) -> Floats:
    """Return level, trend and one season backwards, from the first steps [Hyndman et al. 2008, section 2.6.1]."""
    season = np.full(m, 1.0 if model.season == MUL else 0.0)
    if model.season:
        start = y[: max(2 * m, min(5 * m, len(y) // m * m))]
        season = _season_of(start, m, model.season == MUL)
        tiled = np.resize(season, len(y))
        y = y / tiled if model.season == MUL else y - tiled
    count = min(max(10, 2 * m), len(y))
    if model.trend is None:
        level, slope = float(y[:count].mean()), 0.0
    else:
        slope, level = (float(value) for value in np.polyfit(np.arange(1, count + 1), y[:count], 1))
        if model.multiplicative and level <= 0:
            level, slope = float(y[:count].mean()), 0.0
        if model.trend == MUL:
            level = max(level, 1e-3 * float(np.abs(y[:count]).mean()))
            slope = min(max(1 + slope / level, 0.9), 1.1)
    return np.concatenate([[level, slope], season[::-1]])


def _season_of(start: Floats, m: int, multiplicative: bool) -> Floats:
    """Return the mean of a few seasons, as ratio or difference to a centred moving average; shape (m,)."""
    weights = np.full(m + 1 - m % 2, 1.0 / m)
    if m % 2 == 0:
        weights[[0, -1]] /= 2
    middle = np.convolve(start, weights, mode="valid")
    first = len(weights) // 2
    inner = start[first : first + len(middle)]
    detrended = inner / middle if multiplicative else inner - middle
    phase = (first + np.arange(len(middle))) % m
    season = np.bincount(phase, detrended, m) / np.maximum(np.bincount(phase, minlength=m), 1)
    if multiplicative:
        season = np.maximum(season, 1e-2)
        return np.asarray(season / season.mean())
    return np.asarray(season - season.mean())


class Engine:
    """The likelihood of one model on one series, as a function of its free parameters.

    Parameters are scaled so that all of them are of the order of one.
    """

    def __init__(self, y: Floats, season_length: int, model: Components) -> None:
        self.model = model
        self.m = season_length if model.season else 1
        self._y = np.array(y)  # the compiled loop needs a writable array
        self._yhat = np.zeros(len(y))
        self._states = np.zeros((len(y), 2 + self.m))
        self._free_smoothing = [i for i, free in enumerate((True, model.trend, model.season, model.damped)) if free]
        self._bounds = [DAMPING if i == 3 else (LOWEST, HIGHEST) for i in self._free_smoothing]
        spread = float(y[: max(10, 2 * self.m)].std() or y.std())  # scale of the initial states
        self._unit = np.ones(FIRST_STATE + 2 + self.m)
        relative = spread / max(float(np.abs(y).mean()), 1e-300)
        self._unit[4] = spread
        self._unit[5] = spread / 10 if model.trend == ADD else relative / 10
        # A perfect fit has no likelihood: squared errors are bounded from below by rounding.
        self._least = 1e-16 * float(((y - y.mean()) ** 2).sum())
        if model.error == MUL:
            self._least /= float((y**2).mean())
        self._base = np.zeros(FIRST_STATE + 2 + self.m)
        self._base[3] = 1.0
        self._base[FIRST_STATE:] = initial_states(y, self.m, model)
        self._offset = np.where(np.arange(len(self._base)) < FIRST_STATE, 0.0, self._base)
        self._unit[6:] = self._base[6:] / 2 if model.season == MUL else spread
        self._loop, self._none = _loop(model), np.zeros(len(self._base), dtype=np.int64)

    def criterion(self, value: float) -> float:
        """Return AICc for a value of the minimised function."""
        n = len(self._y)
        constant = n / 2 * (np.log(2 * np.pi / n) + 1)
        return aicc(-value - constant if value < BAD else -np.inf, self.model.count(self.m), n)

    def smoothing_alone(self) -> Minimum:
        """Estimate the smoothing parameters, with heuristic initial states."""
        free = self._free_smoothing
        function = self._function(free)
        betas = (0.05, 0.3, 0.9) if self.model.trend else (0.05,)
        gammas = (0.05, 0.3) if self.model.season else (0.05,)
        starts = [np.array([*start, 0.95])[free] for start in product((0.05, 0.3, 0.8), betas, gammas)]
        found = minimise(function, min(starts, key=function), self._bounds, precision=1e-7)
        parameters = self._base.copy()
        parameters[free] = found.x
        return Minimum(parameters, found.value, found.converged)

    def with_states(self, rough: Minimum) -> Minimum:
        """Estimate initial states as well, from the result of `smoothing_alone` on."""
        free = [*self._free_smoothing, 4]
        if self.model.trend:
            free.append(5)
        if self.model.season and self.m <= LONGEST_ESTIMATED_SEASON:
            free += range(6, 6 + self.m)
        function = self._function(free)
        start = ((rough.x - self._offset) / self._unit)[free]
        bounds = self._bounds + [(-np.inf, np.inf)] * (len(free) - len(self._bounds))
        found = minimise(function, start, bounds, iterations=POLISH, precision=1e-8)
        if not found.value < rough.value:
            return rough
        parameters = rough.x.copy()
        parameters[free] = self._offset[free] + self._unit[free] * found.x
        # Every step improves on the start: this search need not converge.
        return Minimum(parameters, found.value, rough.converged)

    def error_of(self, parameters: Floats, ahead: int) -> float:
        """Return the mean absolute error of forecasts of so many steps, from cutoffs after the first third of a series.

        Parameters are those of the whole series. The error is infinite where a forecast is no number.
        """
        steps = len(self._y)
        run(self.model, parameters.copy(), self._y, self._yhat, self._states)
        errors = []
        for cutoff in np.unique(np.linspace(steps // 3, steps - ahead // 2, CUTOFFS).astype(int)):
            truth = self._y[cutoff : cutoff + ahead]
            found = _ahead(self.model, parameters, self._states[cutoff - 1], len(truth))
            errors.append(float(np.abs(found - truth).mean()))
        return float(np.nan_to_num(np.mean(errors), nan=np.inf))

    def _function(self, free: list[int]) -> Callable[[Floats], float]:
        """Return minus the log-likelihood, up to a constant, as a function of the free parameters."""
        parameters = self._base.copy()
        index, offset, unit = np.array(free), self._offset[free], self._unit[free]
        y, yhat, states, half = self._y, self._yhat, self._states, len(self._y) / 2
        loop, none, multiplicative, least = self._loop, self._none, self.model.error == MUL, self._least
        dot, log = np.dot, np.log

        def function(x: Floats) -> float:
            parameters[index] = offset + unit * x
            loop(parameters, y, yhat, states, none, parameters, True, True)
            if multiplicative and not yhat.min() > 0:  # NaN as well
                return BAD
            errors = y / yhat - 1 if multiplicative else y - yhat
            value = half * log(max(dot(errors, errors), least)) + (log(yhat).sum() if multiplicative else 0.0)
            return float(value) if np.isfinite(value) else BAD

        return function


def _loop(model: Components) -> Callable[..., None]:
    """Return the compiled loop of a model; errors of either kind move the states alike."""
    from statsmodels.tsa.exponential_smoothing import _ets_smooth

    name = f"_ets_smooth_{MUL if model.trend == MUL else ADD}_{MUL if model.season == MUL else ADD}"
    found: Callable[..., None] = getattr(_ets_smooth, name)
    return found


def run(model: Components, parameters: Floats, y: Floats, yhat: Floats, states: Floats) -> None:
    """Run a model over `y`, which must be writable, and fill in its forecasts one step ahead and its states."""
    _loop(model)(parameters, y, yhat, states, np.zeros(len(parameters), dtype=np.int64), parameters, True, True)
