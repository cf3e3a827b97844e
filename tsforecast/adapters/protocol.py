"""Protocol for models of any origin: a regressor, a function, an object with fit and predict, as a forecaster."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from tsforecast.adapters.base import ForeignForecaster, Question
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError, Problem, reason, shorten
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.estimators.registry import model_name
from tsforecast.forecasters.base import Forecaster, Pretraining, pretraining_of

# Library -> module of this room for its models, with `adapt(model)`, which returns a forecaster around an object of the
# library, and `make(name, random_state)`, which returns an object by the name that the command line has.
ADAPTERS: dict[str, str] = {
    "sklearn": "regressors",
    "statsforecast": "statsforecast",
    "sktime": "sktime",
    "darts": "darts",
    "mlforecast": "mlforecast",
    "skforecast": "skforecast",
    "neuralforecast": "neuralforecast",
    "gluonts": "gluonts",
    "autogluon": "autogluon",
    "pretrained": "pretrained",
}
# Package of a library where that has another name; of pretrained models each family has its own.
PACKAGES: dict[str, str] = {"autogluon": "autogluon.timeseries", "pretrained": ""}

# Names of parameters -> what they are given.
MEANINGS = {
    **dict.fromkeys(("context", "past", "history", "data", "frame", "df", "series", "X", "y"), "context"),
    **dict.fromkeys(("horizon", "h", "n", "fh", "steps", "n_steps", "periods"), "horizon"),
    **dict.fromkeys(("future", "X_future", "future_df", "exog"), "future"),
}
_MUST = (
    "a model must be a forecaster, such as GRUForecaster(), a regressor of scikit-learn, a function of context and "
    "horizon, or an object with fit and predict"
)


FITTED, ASKED = ("context",), ("context", "horizon", "future")  # what parameters of fit and predict mean by place


def _function_problems(name: str, function: Any) -> list[str]:
    """Require a function of context, horizon and future."""
    must = "must be a function f(context, horizon, future)"
    if not callable(function) or isinstance(function, type):
        return [Problem(must, f"got {function!r}", parameter=name)]
    try:
        meanings = meanings_of(function, ASKED)
    except ParameterError as error:
        return list(error.problems)
    return [] if "context" in meanings.values() else [Problem(must, "it takes no context", parameter=name)]


def _object_problems(name: str, model: Any) -> list[str]:
    """Require an object with fit and predict that can be copied."""
    if isinstance(model, type) or not all(callable(getattr(model, each, None)) for each in ("fit", "predict")):
        must = "must be an object with fit(frame) and predict(horizon), or predict(context, horizon)"
        return [Problem(must, f"got {model!r}", parameter=name)]
    if {"X", "y"} <= set(required(model.fit)):
        must = "must have fit(frame), or be a regressor of scikit-learn"
        inherit = "let its class inherit from RegressorMixin and BaseEstimator if it is one"
        return [Problem(must, f"{type(model).__name__} has fit(X, y)", inherit, parameter=name)]
    try:
        copied(model)
        meanings_of(model.fit, FITTED)
        meanings_of(model.predict, _predicted_from(model.predict))
    except ParameterError as error:
        return list(error.problems)
    return []


@keyword_settings
class FunctionForecaster(ForeignForecaster):
    """Forecasts of a function of the context, which learns nothing beforehand.

    The function is called once for each cutoff, with all series there. It cannot look ahead: no argument holds a row
    after the cutoff.

    Examples
    --------
    >>> import numpy as np
    >>> def middle(context, horizon):
    ...     return np.full(horizon, np.median(context))
    >>> FunctionForecaster(middle, horizon=2).fit(np.array([1.0, 5.0, 3.0])).predict().tolist()
    [3.0, 3.0]
    """

    function: Callable[..., Any] = setting(
        kw_only=False,
        check=_function_problems,
        doc="Called as ``f(context, horizon, future)``, or with those of the three that it has parameters for: rows up "
        "to a cutoff in the form of the data, the steps to forecast, and the known future covariates in a frame, or "
        "None. Returns what `tables.read_answer` reads.",
    )

    def answer(self, question: Question) -> Any:
        """Call the function; see `ForeignForecaster.answer`."""
        return _called(self.function, ASKED, question)

    @property
    def sources(self) -> tuple[Any, ...]:
        """See `ForeignForecaster.sources`."""
        return (self._own if hasattr(self._own, "__code__") else type(self._own),)

    @property
    def label(self) -> str:
        """See `ForeignForecaster.label`."""
        name = getattr(self._own, "__name__", type(self._own).__name__)
        return "function" if name == "<lambda>" else str(name)

    @property
    def pretraining(self) -> Pretraining | None:
        """Attribute ``pretraining`` of the function, or of the object whose method it is."""
        return pretraining_of([self.function, self._own, getattr(self.function, "__self__", None)])

    @property
    def _own(self) -> Any:
        """The function itself, where it is wrapped with some of its arguments."""
        return self.function.func if isinstance(self.function, partial) else self.function


@keyword_settings
class ObjectForecaster(ForeignForecaster):
    """Forecasts of a copy of an object with ``fit(frame)`` and ``predict``.

    ``predict(context, horizon)``, or one with the parameter ``future`` as well, forecasts from any context after one
    fit. ``predict(horizon)`` continues the frame that was fitted: a copy is fitted again to the context at each cutoff.

    Examples
    --------
    >>> import numpy as np
    >>> class Level:
    ...     def fit(self, frame):
    ...         self.level = np.mean(frame)
    ...     def predict(self, horizon):
    ...         return np.repeat(self.level, horizon)
    >>> ObjectForecaster(Level(), horizon=2).fit(np.array([1.0, 5.0, 3.0])).predict().tolist()
    [3.0, 3.0]
    """

    model_: Any = dataclasses.field(init=False)

    model: Any = setting(kw_only=False, check=_object_problems, doc="Object with fit and predict, which is copied.")

    def train(self, panel: Panel) -> None:
        """Fit a copy of the object; see `ForeignForecaster.train`."""
        self.model_ = self._fitted(Question(panel, Context.at_end(panel), self.horizon_))

    def answer(self, question: Question) -> Any:
        """Predict with the fitted copy, or with one that is fitted to the context; see `ForeignForecaster.answer`."""
        same = self._reads_context or question.panel.fingerprint() == self.fitted_on_["sha256"]
        model = self.model_ if same else self._fitted(question)
        return _called(model.predict, _predicted_from(model.predict), question)

    def _fitted(self, question: Question) -> Any:
        """Return a copy of the object that is fitted to the rows of a question."""
        model = copied(self.model)
        fitted = _called(model.fit, FITTED, question)
        return fitted if hasattr(fitted, "predict") else model  # some return themselves, some nothing

    @property
    def _reads_context(self) -> bool:
        """Whether predict takes a context, so that one fit serves all cutoffs."""
        return "context" in meanings_of(self.model.predict, _predicted_from(self.model.predict)).values()

    @property
    def sources(self) -> tuple[Any, ...]:
        """See `ForeignForecaster.sources`."""
        return (type(self.model),)

    @property
    def label(self) -> str:
        """See `ForeignForecaster.label`."""
        return type(self.model).__name__

    @property
    def note(self) -> str:
        """See `ForeignForecaster.note`."""
        if self._reads_context:
            return ""
        return "predicts only what follows its fit: a copy is fitted again at each cutoff"


def as_forecaster(model: Any) -> Forecaster:
    """Return a model of any origin as a forecaster.

    Parameters
    ----------
    model : Forecaster, regressor, function or object
        A forecaster stays as it is. A regressor or pipeline of scikit-learn becomes a `ReductionForecaster`; a function
        ``f(context, horizon, future)`` a `FunctionForecaster`; an object with ``fit(frame)`` and ``predict`` an
        `ObjectForecaster`; objects of libraries in `ADAPTERS` what these make of them. See `docs/how-to/your-model.md`.

    Returns
    -------
    Forecaster

    Raises
    ------
    ParameterError
        When it is none of these, or cannot be copied.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> as_forecaster(Ridge())
    ReductionForecaster(regressor=Ridge())
    >>> as_forecaster(lambda context, horizon: context[-horizon:]).label
    'function'
    """
    if isinstance(model, Forecaster):
        return model
    if isinstance(model, type):
        raise ParameterError(f"{_MUST}: got the class {model.__name__}; write {model.__name__}()")
    for library in dict.fromkeys(each.__module__.partition(".")[0] for each in type(model).__mro__):
        if library in ADAPTERS:
            found = adapter(library).adapt(model)
            if found is not None:
                return found  # type: ignore[no-any-return]
    has_fit, has_predict = (callable(getattr(model, name, None)) for name in ("fit", "predict"))
    if has_fit and has_predict:
        return _without_problems(ObjectForecaster(model))
    if callable(model):
        return _without_problems(FunctionForecaster(model))
    got = type(model).__name__
    if isinstance(model, (list, tuple, dict)):
        got += "; give one (leaderboard compares several)"
    raise ParameterError(f"{_MUST}: got {got}")


def label_of(model: Any) -> str:
    """Return the name of a model of any origin on a board."""
    if isinstance(model, Pipeline):
        return "+".join(type(step).__name__ for _, step in model.steps if step not in (None, "passthrough"))
    forecaster = as_forecaster(model)
    if isinstance(forecaster, ForeignForecaster):
        return forecaster.label
    return model_name(forecaster) if forecaster is model else type(model).__name__


def notes_on(models: Mapping[str, Any]) -> list[str]:
    """Return sentences about how models of other software are used, without their full stops."""
    notes, regressors = list[str](), list[str]()
    for name, model in models.items():
        forecaster = as_forecaster(model)
        if isinstance(forecaster, ForeignForecaster):
            notes += [f"{name} {forecaster.note}"] if forecaster.note else []
        elif forecaster is not model:
            regressors.append(name)
    if regressors:
        are = "is a regressor" if len(regressors) == 1 else "are regressors"
        notes.append(
            f"{shorten(regressors, 8)} {are}: ReductionForecaster fits {'it' if len(regressors) == 1 else 'each'} to "
            "windows of past steps"
        )
    return notes


def adapter(library: str) -> Any:
    """Return the module of this room for the models of a library."""
    return import_module(f"tsforecast.adapters.{ADAPTERS[library]}")


def copied(model: Any) -> Any:
    """Return an unfitted copy of an object; ParameterError where it cannot be copied."""
    if isinstance(model, BaseEstimator):
        return clone(model)
    try:
        return copy.deepcopy(model)
    except Exception as error:  # anything that an object's own code may raise
        raise ParameterError(
            f"{type(model).__name__} must be an object that can be copied, to be fitted at several cutoffs: "
            f"{reason(error) or type(error).__name__}; make such parts in fit, or leave them out of copies"
        ) from error


def meanings_of(function: Callable[..., Any], order: Sequence[str]) -> dict[str, str]:
    """Return what each parameter of a function is to be given, by `MEANINGS`, else by place in an `order`.

    Parameters with a default are given something only where their name has a meaning.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of a library in C, which does not tell
        return {str(at): meaning for at, meaning in enumerate(order)}
    found: dict[str, str] = {}
    for each in parameters:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            continue
        meaning = MEANINGS.get(each.name)
        if meaning in found.values() or (order == FITTED and meaning == "future"):
            meaning = None
        if meaning is None and each.default is each.empty:
            meaning = next((one for one in order if one not in found.values()), None)
            if meaning is None:
                name = getattr(function, "__qualname__", type(function).__name__)
                raise ParameterError(
                    f"{name} must take {', '.join(order)}, or fewer of them: parameter {each.name!r} is one more; give "
                    "it a default"
                )
        if meaning is not None:
            found[each.name] = meaning
    if not found and any(each.kind == each.VAR_POSITIONAL for each in parameters):
        return {str(at): meaning for at, meaning in enumerate(order)}
    return found


def required(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that a function must be given; none where it does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind < each.VAR_KEYWORD and each.kind != each.VAR_POSITIONAL
    ]


def _predicted_from(predict: Callable[..., Any]) -> tuple[str, ...]:
    """Return what the unnamed parameters of predict mean: one alone is the horizon."""
    return ("horizon",) if len(required(predict)) < 2 else ASKED


def _called(function: Callable[..., Any], order: Sequence[str], question: Question) -> Any:
    """Call a function with the parts of a question that its parameters mean."""
    given: dict[str, Callable[[], Any]] = {
        "context": question.context,
        "horizon": lambda: question.horizon,
        "future": question.known_future,
    }
    meanings = meanings_of(function, order)
    values = {name: given[meaning]() for name, meaning in meanings.items()}
    if any(name.isdigit() for name in values):
        return function(*values.values())
    positional = [
        name
        for name, each in inspect.signature(function).parameters.items()
        if name in values and each.kind == each.POSITIONAL_ONLY
    ]
    return function(*(values.pop(name) for name in positional), **values)


def _without_problems(forecaster: ForeignForecaster) -> Forecaster:
    """Return a forecaster whose parameters can work; its sentences are raised now, before a comparison begins."""
    problems = forecaster._problems()
    if problems:
        raise ParameterError(problems)
    return forecaster
