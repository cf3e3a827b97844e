"""Estimator, the base of forecasters and classifiers: checked parameters, fitted state, saving and pickling."""

from __future__ import annotations

import dataclasses
import inspect
import types
import warnings
from collections.abc import Callable, Iterable
from functools import partial, wraps
from pathlib import Path
from textwrap import indent, wrap
from traceback import walk_tb
from typing import (
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
import sklearn.exceptions
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from tsforecast.checks import flag, one_of, whole
from tsforecast.data.columns import require_unique
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, TsForecastError, nearest, raise_any
from tsforecast.estimators.persistence import fingerprint, save
from tsforecast.provenance import __version__, scaling_words
from tsforecast.reporting.notebook import FittedCard

FLOATS = [np.float64, np.float32]
_VERSION = "_tsforecast_version"  # in a pickle


class NotFittedError(TsForecastError, sklearn.exceptions.NotFittedError):  # type: ignore[misc]
    """A prediction, or a saved model, was requested before `fit`."""


class VersionWarning(sklearn.exceptions.InconsistentVersionWarning):  # type: ignore[misc]
    """A pickle was written by another version of this package."""

    def __init__(self, name: str, here: str, wrote: str) -> None:
        super().__init__(estimator_name=name, current_sklearn_version=here, original_sklearn_version=wrote)

    def __str__(self) -> str:
        return (
            f"a pickled {self.estimator_name} of tsforecast {self.original_sklearn_version} is read by version "
            f"{self.current_sklearn_version} and may not work: fit it again, or keep models with save and load"
        )


def unknown_settings(estimator: BaseEstimator, settings: Iterable[str]) -> list[str]:
    """Return one problem for each name that is no parameter of an estimator."""
    known = estimator._get_param_names()
    return [
        f"{type(estimator).__name__} has no setting {name!r}; {nearest(name, known)}"
        for name in settings
        if name.partition("__")[0] not in known
    ]


class Estimator(FittedCard, BaseEstimator):  # type: ignore[misc]
    """Base of everything that is fitted and can be saved.

    Attributes
    ----------
    fitted_on_ : dict
        Summary of the fitted data: series, steps, first, last, and the SHA-256 of all that could be read.
    members_ : list of Estimator
        Fitted estimators that this one is made of; empty for most.
    """

    fitted_on_: dict[str, Any]
    members_: list[Any] = []  # noqa: RUF012
    _fitted_attribute: ClassVar[str]  # set by `fit` as soon as predictions are possible
    _fit_call: ClassVar[str]

    def set_params(self, **settings: Any) -> Self:
        """Change parameters; see scikit-learn's `BaseEstimator.set_params`.

        Raises
        ------
        ParameterError
            With the nearest name where there is no such parameter.
        """
        raise_any(unknown_settings(self, settings), ParameterError)
        super().set_params(**settings)
        return self

    def check_fitted(self) -> None:
        """Raise NotFittedError unless `fit` was called."""
        if not hasattr(self, self._fitted_attribute):
            raise NotFittedError(f"this {type(self).__name__} must be fitted first: call {self._fit_call}")

    def save(self, folder: str | Path) -> None:
        """Write this fitted model to a folder, which `tsforecast.load` reads; see `tsforecast.save`.

        Raises
        ------
        ParameterError, NotFittedError, OutputError
        """
        save(self, folder)

    def fingerprint(self) -> str:
        """Return the SHA-256 of this fitted model: its settings, what it learned, and the data that it keeps.

        It is the same after `save` and `load`, on any machine.
        """
        return fingerprint(self)

    def saved_params(self) -> dict[str, Any]:
        """Return the parameters that a saved model keeps."""
        parameters: dict[str, Any] = self.get_params(deep=False)
        return parameters

    @classmethod
    def params_for_this_machine(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return parameters of a saved model, changed where they name a device that is not here."""
        return parameters

    def saved_panel(self) -> Panel | None:
        """Return the panel that a saved model keeps; None where it keeps none."""
        return None

    def set_panel(self, panel: Panel | None) -> None:
        """Restore the panel that `saved_panel` returned.

        Raises
        ------
        ValueError
            When there must be one, or must be none.
        """
        if panel is not None:
            raise ValueError(f"a {type(self).__name__} must have no panel")

    def panel_of_member(self, number: int, panel: Any) -> Any:
        """Return the part of the fitted panel that member `number` was fitted on: all, of most."""
        return panel

    def golden(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the question of a golden prediction, plain values and arrays, with its outputs among the arrays."""
        raise NotImplementedError(f"{type(self).__name__} must make a golden prediction")

    def golden_outputs(self, question: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Repeat the golden prediction that `golden` described.

        Raises
        ------
        ValueError
            When the question does not fit this model.
        """
        raise NotImplementedError(f"{type(self).__name__} must repeat a golden prediction")

    def provenance(self) -> dict[str, Any]:
        """Return where this fitted model comes from.

        Returns
        -------
        dict
            ``data``: summary of what was fitted, with its SHA-256. ``split``: what trained, and what chose the epoch,
            as spans of series; or how many windows, sequences or groups chose it. ``scaling``: its steps, and what it
            was learned from.
        """
        source = self.members_[0] if len(self.members_) == 1 else self  # a search is its best estimator
        resolved = getattr(source, "resolved_", {})
        return {
            "data": self.fitted_on_,
            "split": source._split_spans(),
            "scaling": {
                "steps": scaling_words(source.get_params(deep=False) | resolved) or "none",
                "learned_from": getattr(source, "scaled_on_", {}),
            },
        }

    def _split_spans(self) -> dict[str, Any]:
        """Return what trained and what validated, for `provenance`."""
        return {"validated": getattr(self, "resolved_", {}).get("validation", 0)}

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state besides panel and members: plain values, and arrays, both by name."""
        apart = ("panel_", "members_")
        plain = {name: value for name, value in vars(self).items() if name.endswith("_") and name not in apart}
        return plain, {}

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state that `get_state` returned.

        Raises
        ------
        ValueError
            When a name is no attribute that `fit` sets.
        """
        for name in plain:
            if not name.endswith("_") or name.startswith("_") or hasattr(type(self), name):
                raise ValueError(f"{name!r} is no fitted attribute of a {type(self).__name__}")
        self.__dict__.update(plain)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, _VERSION: __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        wrote = state.get(_VERSION, "before 0.1.0")
        if wrote != __version__:
            warnings.warn(VersionWarning(type(self).__name__, __version__, wrote), stacklevel=2)
        super().__setstate__({name: value for name, value in state.items() if name != _VERSION})

    def _read_array(self, X: Any, reset: bool, **form: Any) -> NDArray[Any]:
        """Read X with scikit-learn, whose messages stay; explain what it lets through to libraries beneath it."""
        from sklearn.utils.validation import check_array, validate_data

        require_unique(X)
        rows = X if isinstance(X, (list, tuple)) else ()
        lengths = {len(row) for row in rows if hasattr(row, "__len__") and not isinstance(row, str)}
        if len(lengths) > 1:
            raise DataError(
                f"X must have rows of one length: they have {min(lengths)} to {max(lengths)} steps; series, and the "
                "labelled sequences of a classifier, may have lengths of their own"
            )
        form |= {"allow_nd": True, "dtype": FLOATS}
        held = getattr(X, "dtypes", getattr(X, "dtype", ""))
        dates = "X must hold numbers, one step in each column: some columns hold dates; leave them out"
        if any(str(dtype).lower().startswith("date") for dtype in (held if np.iterable(held) else [held])):
            raise DataError(dates)
        try:
            if reset or hasattr(self, "n_features_in_"):
                return np.asarray(validate_data(self, X, reset=reset, **form))
            return np.asarray(check_array(X, estimator=self, input_name="X", **form))
        except OverflowError as error:
            raise DataError(f"X must hold numbers that a float can hold: {error}; scale them down") from error
        except np.exceptions.DTypePromotionError as error:
            raise DataError(dates) from error
        except (TypeError, ValueError) as error:
            *_, (frame, _) = walk_tb(error.__traceback__)
            if frame.f_globals["__name__"].startswith("sklearn"):
                raise
            raise DataError(f"X must hold numbers, one step in each column: {error}") from error

    def _forget_array(self) -> None:
        """Forget the columns of an array that was fitted before."""
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)

    def _problems(self) -> list[str]:
        """Return one sentence for each parameter that cannot work."""
        fields = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        checks = [(field.name, field.metadata["problems"]) for field in fields if field.metadata.get("problems")]
        return [problem for name, check in checks for problem in check(name, getattr(self, name))]


Class = TypeVar("Class", bound=type[Estimator])
Check = Callable[[str, Any], list[str]]  # from the name and the value of a setting to its problems


def setting(
    *, default: Any = dataclasses.MISSING, doc: str | None = None, check: Check | None = None,
    least: int | None = None, fixed: bool | None = None, init: bool = True, kw_only: bool = True,
) -> Any:  # fmt: skip
    """Declare a parameter of a `keyword_settings` class: default, explanation and check in one place.

    Without a `default` it must be given. Without a `check`, one follows from the type: True or False, one of some
    names, or a whole number from `least` on. A `fixed` parameter belongs to a fitted network, so that `fine_tune`
    cannot change it. A subclass that overrides the default alone, or the type, keeps everything else.
    """
    given = {"doc": doc, "check": check, "least": least, "fixed": fixed}
    metadata = {name: value for name, value in given.items() if value is not None}
    return dataclasses.field(default=default, init=init, kw_only=kw_only, metadata=metadata)


def optional(check: Callable[..., list[str]], **limits: Any) -> Check:
    """Return a check that lets None pass."""
    return lambda name, value: [] if value is None else check(name, value, **limits)


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(setting, dataclasses.field))
def keyword_settings(cls: Class) -> Class:
    """Turn declared settings into keyword parameters of `__init__`, and their explanations into the docstring.

    The section "Parameters" comes before all others; "Attributes" are inherited by a class that lists none.

    Examples
    --------
    >>> @keyword_settings
    ... class Mean(Estimator):
    ...     "Average the last steps."
    ...     steps: int = setting(default=3, least=1, doc="Number of steps.")
    >>> Mean(steps=5), inspect.signature(Mean), Mean.__doc__.splitlines()[4:6]
    (Mean(steps=5), <Signature (*, steps: int = 3) -> None>, ['steps : int, default 3', '    Number of steps.'])
    >>> Mean(steps=0)._problems()
    ['steps must be a whole number >= 1: got 0']
    """
    hints = get_type_hints(cls)
    inherited = {field.name: field for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    for name in inspect.get_annotations(cls).keys() & vars(cls).keys():
        own = vars(cls)[name]
        field = own if isinstance(own, dataclasses.Field) else dataclasses.field(default=own)
        above = inherited.get(name, field)
        metadata = {**above.metadata, **field.metadata}
        metadata["problems"] = metadata.get("check") or _check_of(hints[name], metadata.get("least"))
        kept = dataclasses.field(default=field.default, init=field.init, kw_only=above.kw_only, metadata=metadata)
        setattr(cls, name, kept)
    made = dataclasses.dataclass(eq=False, repr=False, kw_only=True)(cls)
    generated = made.__init__
    # As in the signature: what may be given by position comes first.
    settings = sorted(
        (field for field in dataclasses.fields(made) if field.init), key=lambda field: bool(field.kw_only)
    )
    generated.__annotations__ = {field.name: hints[field.name] for field in settings} | {"return": None}

    @wraps(generated)
    def __init__(self: Any, *args: Any, **given: Any) -> None:
        known = [field.name for field in settings]
        for name in given.keys() - set(known):
            own = type(self).__name__
            if name == "cell" and hasattr(type(self), "cell"):
                general = next(base for base in type(self).__mro__ if "cell" in inspect.signature(base).parameters)
                raise TypeError(f"{own} has the cell {self.cell!r}; use {general.__name__}(cell=...) for another one")
            raise TypeError(f"{own} has no setting {name!r}; {nearest(name, known)}")
        generated(self, *args, **given)

    made.__init__ = __init__  # type: ignore[method-assign]
    made.__doc__ = _documented(made, settings, hints)
    return cls


def _check_of(hint: Any, least: int | None) -> Check | None:
    """Return the check that a type implies; None where there is none."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    names = [name for part in parts if get_origin(part) is Literal for name in get_args(part)]
    also: list[bool | None] = [True, False] if bool in parts else []
    if types.NoneType in parts:
        also.append(None)
    if least is not None:
        return partial(whole, least=least, also=[*names, *also])
    if hint is bool:
        return flag
    if not names:
        return None
    if all(part in (bool, types.NoneType) or get_origin(part) is Literal for part in parts):
        return partial(one_of, options=names, also=also)
    return lambda name, value: one_of(name, value, names) if isinstance(value, str) else []


def _documented(cls: type, settings: list[dataclasses.Field[Any]], hints: dict[str, Any]) -> str:
    """Return the docstring of a class with the section "Parameters" composed from its settings."""
    summary, attributes, examples = _sections(cls.__doc__)
    lines = ["Parameters", "----------"] if settings else []
    for field in settings:
        default = "" if field.default is dataclasses.MISSING else f", default {field.default!r}"
        lines.append(f"{field.name} : {_type_words(hints[field.name])}{default}")
        lines += [indent(line, "    ") for line in wrap(field.metadata.get("doc", ""), 112)]
    attributes = attributes or _sections(cls.__base__.__doc__ if cls.__base__ else "")[1]
    return "\n\n".join(part.strip() for part in (summary, "\n".join(lines), attributes, examples) if part) + "\n"


def _sections(doc: str | None) -> tuple[str, str, str]:
    """Split a docstring into summary, section "Attributes" and section "Examples"."""
    head, mark, examples = inspect.cleandoc(doc or "").partition("Examples\n--------\n")
    summary, other, attributes = head.partition("Attributes\n----------\n")
    return summary.partition("Parameters\n----------\n")[0], other + attributes, mark + examples


def _type_words(hint: Any) -> str:
    """Return a type in the words of numpydoc, such as 'int or "auto"'."""
    if get_origin(hint) is Literal:
        options = [f'"{option}"' if isinstance(option, str) else str(option) for option in get_args(hint)]
        return options[0] if len(options) == 1 else f"{{{', '.join(options)}}}"
    if get_origin(hint) in (Union, types.UnionType):
        parts = [_type_words(part) for part in get_args(hint)]
        return f"{', '.join(parts[:-1])} or {parts[-1]}"
    if hint is type(None):
        return "None"
    name = str(getattr(hint, "__name__", hint))
    parts = [_type_words(part) for part in get_args(hint)]
    return f"{name.lower()} of {' to '.join(parts)}" if parts else name
