"""ForeignForecaster: the base of forecasters around models of other software, which read frames."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.adapters import tables
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.distributions.base import LEVELS, Distribution, Grid
from tsforecast.distributions.families import Quantiles
from tsforecast.distributions.residuals import lowest_of
from tsforecast.errors import ParameterError, shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.forecasters.base import Forecaster

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Question:
    """Forecasts to make at one time: the contexts of n series, and what is known of the steps after them."""

    panel: Panel  # of the n contexts, which end at their cutoffs: all that may be seen
    past: Context  # of the same cutoffs
    horizon: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of series, steps and targets (n, H, K) of an answer."""
        return len(self.panel), self.horizon, self.panel.n_targets

    @cached_property
    def future(self) -> Floats:
        """Known future covariates of the steps to forecast, (n, H, F); codes of `past.texts` where they are text."""
        return self.past.future_known(self.horizon)

    def context(self) -> Any:
        """Return the contexts in the form in which the data were given."""
        return tables.as_given(self.panel)

    def known_future(self) -> Any:
        """Return the known future covariates in the form of the data; None where there are none."""
        return tables.future_as_given(self._with_texts, self.future)

    def long(self) -> pd.DataFrame:
        """Return the contexts as `tables.long` does."""
        return tables.long(self.panel)

    def long_future(self) -> pd.DataFrame:
        """Return the steps to forecast, with the known future covariates, as `tables.long_future` does."""
        return tables.long_future(self._with_texts, self.future)

    @property
    def _with_texts(self) -> Panel:
        """The panel with the texts of what is known ahead, which may be new."""
        return replace(self.panel, roles=replace(self.panel.roles, categories=self.past.texts))


@keyword_settings
class ForeignForecaster(Forecaster):
    """Base of forecasters around models of other software.

    A subclass implements `answer`, and `train` where there is something to learn once. It may have quantiles: then
    `learns_distribution` is true and `answer_quantiles` has them. Each question is about one time, and holds nothing
    that lies after it.
    """

    horizon: int = setting(default=1, doc="Steps to forecast.")

    _most_cutoffs = 40  # where errors are measured: a model of other software may take long to forecast

    def train(self, panel: Panel) -> None:
        """Learn from the rows of training."""

    def answer(self, question: Question) -> Any:
        """Return point forecasts: an array (n, H, K), or anything that `tables.read_answer` reads."""
        raise NotImplementedError(f"{type(self).__name__} must implement answer")

    def answer_quantiles(self, question: Question) -> tuple[Sequence[float], Floats]:
        """Return levels that increase, and the quantiles there, (n, H, K, levels)."""
        raise NotImplementedError(f"{type(self).__name__} must implement answer_quantiles")

    @property
    def label(self) -> str:
        """Name in tables and sentences."""
        return type(self).__name__.removesuffix("Forecaster")

    @property
    def sources(self) -> tuple[Any, ...]:
        """Functions and classes whose code the forecasts depend on, so that kept rows of other code are not reused."""
        return ()

    @property
    def code(self) -> str:
        """SHA-256 of the code of `sources`."""
        return hashlib.sha256("".join(map(fingerprint_of, self.sources)).encode()).hexdigest()

    @property
    def note(self) -> str:
        """Predicate of a sentence about how the model is used, which boards begin with its name; empty for none."""
        return ""

    def forecast(self, past: Context, horizon: int) -> Floats:
        """Return forecasts of shape (n, H, K); see `Forecaster.forecast`."""
        found = np.empty((len(past), horizon, past.n_targets))
        for at, question in self._questions(past, horizon):
            found[at] = tables.read_answer(self.answer(question), question.panel, horizon, self.label)
        return found

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of H steps after each of n cutoffs; see `Forecaster.distribution`."""
        if not self.learns_distribution:
            return super().distribution(past, horizon)
        values = np.empty((len(past), horizon, past.n_targets, len(LEVELS)))
        for at, question in self._questions(past, horizon):
            levels, quantiles = self.answer_quantiles(question)
            values[at] = grid_of(levels, quantiles)
        return Grid(np.maximum(values, lowest_of(self.panel_)[:, None]))

    def _questions(self, past: Context, horizon: int) -> Iterator[tuple[NDArray[np.int64], Question]]:
        """Yield the positions of the cutoffs at each time, and the question about them."""
        for at, panel in past.by_time():
            yield at, Question(panel, past.select(at), horizon)

    def _fit(self, panel: Panel) -> None:
        if isinstance(panel, SupervisedPanel):
            raise ParameterError(f"{self.label} forecasts series: fit(data) takes series, not windows with their y")
        self.train(panel)

    def saved_params(self) -> dict[str, Any]:
        """Refuse to be saved: a folder holds no code."""
        raise ParameterError(
            f"{self.label} cannot be saved in a folder, which holds no code: keep it with pickle, or as its own "
            "library saves it"
        )

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state besides the model itself; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        return {name: value for name, value in plain.items() if name != "model_"}, arrays


def grid_of(levels: Sequence[float], quantiles: Floats) -> Floats:
    """Return the quantiles at `LEVELS`, (..., L), of distributions that are known at some levels, (..., levels).

    Quantiles are put in order; a median that is not among them lies between its neighbours, and tails are exponential,
    see `families.Quantiles`. ParameterError where there is a level on one side of the median alone.
    """
    known, values = np.asarray(levels, dtype=np.float64), np.sort(np.asarray(quantiles, dtype=np.float64), axis=-1)
    if 0.5 not in known:
        at = int(np.searchsorted(known, 0.5))
        if at in (0, len(known)):
            raise ParameterError(
                f"quantiles must have levels on both sides of 0.5: got {shorten(list(map(str, levels)))}"
            )
        share = (0.5 - known[at - 1]) / (known[at] - known[at - 1])
        median = values[..., at - 1] + share * (values[..., at] - values[..., at - 1])
        known, values = np.insert(known, at, 0.5), np.insert(values, at, median, axis=-1)
    return Quantiles(known.tolist()).quantiles(values, LEVELS)


def fingerprint_of(source: Any) -> str:
    """Return the SHA-256 of the code of a function or class: of its whole file, whose other functions it may call."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(source))
    except TypeError:  # it has none
        file = None
    if file and Path(file).is_file():
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return str(joblib.hash(cloudpickle.dumps(source)))
