"""Save a fitted model, and load it: a folder with arrays in safetensors and everything else in JSON, no code.

`save` collects the fitted state, its provenance and a golden prediction, and writes all of it at once. `load` checks
every value, migrates older formats, restores the model and compares its golden prediction.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from tsforecast.checks import require_estimator
from tsforecast.data.panel import Panel
from tsforecast.errors import Argument, ModelFileError, ParameterError, Problem, nearest, raise_any
from tsforecast.estimators.registry import CLASSES, estimator_class
from tsforecast.files import require_place
from tsforecast.provenance import machine, versions
from tsforecast.saving.codec import Numbers, from_plain, pack, to_plain, under, unpack
from tsforecast.saving.folder import DESCRIPTION, GOLDEN_OUTPUTS, read_description, read_numbers, write
from tsforecast.saving.migrations import VERSION, migrated, wrote

QUANTILES = "QuantileLoss"  # the loss of ours that has arguments
TOLERANCE = 1e-3  # of the spread of a golden prediction: other machines and libraries round otherwise


@runtime_checkable
class Model(Protocol):
    """A model that can be saved, as `tsforecast.estimators.base.Estimator` describes it; no class is named here."""

    members_: list[Any]

    def check_fitted(self) -> None: ...
    def saved_params(self) -> dict[str, Any]: ...
    def saved_panel(self) -> Panel | None: ...
    def golden(self) -> tuple[dict[str, Any], Numbers]: ...
    def golden_outputs(self, question: dict[str, Any], arrays: Numbers) -> NDArray[np.float64]: ...
    def provenance(self) -> dict[str, Any]: ...
    def get_state(self) -> tuple[dict[str, Any], Numbers]: ...


def require_same(model: Model, question: dict[str, Any], arrays: Numbers, wrote: str) -> None:
    """Repeat the golden prediction of a loaded model; a ModelFileError where it differs names what wrote it."""
    then, now = arrays[GOLDEN_OUTPUTS], model.golden_outputs(question, arrays)
    if then.shape != now.shape:
        raise ModelFileError(f"the golden forecast must have shape {now.shape}: it has {then.shape}")
    finite = np.isfinite(then).all()
    spread = max(float(np.ptp(then)), 1e-6 * float(np.abs(then).max(initial=0.0)), 1e-300) if finite else 1
    difference = np.where((now == then) | (np.isnan(now) & np.isnan(then)), 0.0, np.abs(now - then)) / spread
    if not difference.max(initial=0.0) <= TOLERANCE:
        raise ModelFileError(
            f"a loaded model must predict what it predicted when it was saved: its golden forecast is off by "
            f"{difference.max():.2g} of its spread, and {TOLERANCE:g} is allowed; load it with the versions that wrote "
            f"it{wrote}, or fit it anew"
        )


def save(model: Model, folder: str | Path) -> None:
    """Write a fitted forecaster, classifier or search to a folder, whole or not at all.

    Parameters
    ----------
    model : Forecaster or Classifier
        Of a `RaySearch`, the trials and the best estimator are kept, not the folder that it works in.
    folder : path
        Replaced if it holds an older model; any other folder that is not empty is left alone.

    Raises
    ------
    ParameterError, NotFittedError
        When there is nothing to save, or a parameter is an object that has no name.
    OutputError
        When the place cannot be written to, or holds something else than a model.

    Examples
    --------
    >>> import tempfile
    >>> from tsforecast.forecasters.naive import NaiveForecaster
    >>> with tempfile.TemporaryDirectory() as place:
    ...     save(NaiveForecaster(horizon=2).fit([1.0, 2.0, 4.0]), f"{place}/model")
    ...     load(f"{place}/model").predict().tolist()
    [4.0, 4.0]
    """
    require_estimator(model, Model, "GRUForecaster().fit(data)")
    model.check_fitted()
    model.saved_params()  # which refuses what cannot be saved
    question, golden = model.golden()
    try:
        described, arrays = _describe(model)
        fitted = model.saved_panel()
        panel, rows = (None, {}) if fitted is None else pack(fitted)
        made = datetime.now().astimezone().isoformat(timespec="seconds")
        description = {
            "format_version": VERSION,
            "written_by": versions(),
            "fitted": described,
            "panel": panel,
            "provenance": {"made": made, "machine": machine(), **model.provenance()},
            "golden": question,
        }
        plain = to_plain(description, _as_made)
    except TypeError as error:
        raise ParameterError(
            f"this {type(model).__name__} cannot be saved: {error}; use a setting that has a name, or keep the "
            "forecaster with pickle"
        ) from error
    write(Path(folder), plain, arrays | rows | golden)


def check_folder(folder: str | Path) -> None:
    """Raise OutputError if `save` could not write to a folder; before long work, so that its result finds a place."""
    require_place(Path(folder), mark=DESCRIPTION)


def load(folder: str | Path, *, trust: str | Collection[str] = ()) -> Any:
    """Read a model that `save` wrote. Nothing in the folder is executed.

    A model that was fitted on a device which is not here is loaded with ``device="auto"``.

    Parameters
    ----------
    folder : path
    trust : str or collection of str
        Import paths of losses of your own, such as ``"shop.losses.Gumbel"``. A model that was fitted with one names
        it, and code that is not named here as well is not imported.

    Raises
    ------
    ModelFileError
        When the folder does not hold a whole model of a known format, or the model does not predict any more what it
        predicted when it was saved.
    """
    with opened(folder, "loaded", [trust] if isinstance(trust, str) else trust) as (written, description, numbers):
        panel = None if description["panel"] is None else unpack(description["panel"], numbers)
        model = _revive(description["fitted"], numbers, panel)
        if description["golden"] is None:
            model.golden()  # format 1 has no golden prediction: predict once, so that a corrupt model fails here
        else:
            require_same(model, description["golden"], numbers, wrote(written))
        return model


@contextmanager
def opened(
    folder: str | Path, verb: str, trust: Collection[str] | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any], Numbers]]:
    """Yield a saved model as it was written, as it would be written today, and its arrays; `trust` as in `made`.

    Whatever they make code stumble over, it is the file that is wrong: a ModelFileError.
    """
    place = Path(folder)
    written = read_description(place)
    numbers = read_numbers(place, written)
    try:
        yield written, from_plain(migrated(written), partial(made, trust=trust)), numbers
    except ModelFileError as error:
        where = f"{str(place)!r} cannot be {verb}: "
        raise ModelFileError([problem.within(where) for problem in error.problems]) from error
    except Exception as error:
        raise ModelFileError(
            f"{str(place)!r} must hold a whole model: {type(error).__name__}: {str(error)[:300]}{wrote(written)}"
        ) from error


def _describe(model: Model) -> tuple[dict[str, Any], Numbers]:
    """Return a fitted model and its members as values and arrays."""
    name, parameters = _as_made(model)
    learned, numbers = model.get_state()
    members = [_describe(member) for member in model.members_]
    for i, (_, theirs) in enumerate(members):
        numbers |= {f"member{i}.{key}": array for key, array in theirs.items()}
    described = {"class": name, "parameters": parameters, "learned": learned, "members": [each for each, _ in members]}
    return described, numbers


def _revive(described: dict[str, Any], numbers: Numbers, panel: Panel | None) -> Any:
    """Undo `_describe`."""
    model = made(described["class"], described["parameters"])
    model.set_panel(panel)
    golden = {name: array for name, array in numbers.items() if name == GOLDEN_OUTPUTS}
    for i, member in enumerate(described["members"]):
        model.members_ = [*model.members_, _revive(member, under(f"member{i}.", numbers) | golden, panel)]
    model.set_state(described["learned"], numbers)
    return model


def _as_made(model: Any) -> tuple[str, dict[str, Any]]:
    """Return class and parameters of a model of ours, or of a loss; the class of another's loss with its import path.

    TypeError is raised for other objects.
    """
    name = type(model).__name__
    if isinstance(model, BaseEstimator):
        if name not in CLASSES or type(model) is not estimator_class(name):
            raise TypeError(f"a saved model holds classes of tsforecast only, not {model!r}")
        return name, model.saved_params()
    if "tsforecast.networks.losses" in sys.modules:  # else there is no loss
        from tsforecast.networks.losses import Loss, QuantileLoss

        if type(model) is QuantileLoss:
            return QUANTILES, model.arguments()
        path = f"{type(model).__module__}.{type(model).__qualname__}"
        if isinstance(model, Loss) and not path.startswith(("tsforecast.", "__main__.")) and "<locals>" not in path:
            return path, model.arguments()
        if isinstance(model, Loss):
            raise TypeError(f"a loss of your own must be a class of a module that can be imported, not of {path!r}")
    raise TypeError(f"a saved model holds numbers, text and lists only, and one of its parameters is {model!r}")


def made(name: str, parameters: dict[str, Any], trust: Collection[str] | None = None) -> Any:
    """Return a model of ours that was not fitted, or a loss; undo `_as_made`. ModelFileError is raised otherwise.

    A loss of another's must be among the import paths to `trust`; without these, code that stands for it is returned.
    """
    if name == QUANTILES or "." in str(name):
        return _made_loss(name, parameters, trust)
    if name not in CLASSES:
        raise ModelFileError(
            f"a model must be of a class of tsforecast: got {str(name)[:80]!r}; {nearest(name, CLASSES)}"
        )
    cls = estimator_class(name)
    model = cls(**cls.params_for_this_machine(parameters))
    raise_any(model._problems(), ModelFileError)
    return model


def _made_loss(path: str, parameters: dict[str, Any], trust: Collection[str] | None) -> Any:
    """Return a loss of ours, or one whose import path is to be trusted."""
    from tsforecast.networks.losses import Loss, QuantileLoss, Unknown

    if path == QUANTILES:
        return QuantileLoss(**parameters)
    if trust is None:
        return Unknown(
            f"{path.rpartition('.')[2]}({', '.join(f'{key}={value!r}' for key, value in parameters.items())})"
        )
    if path not in trust:
        must = f"its loss is {path[:200]!r}, code that is not of tsforecast and is not imported"
        consent = Argument("trust", [path[:200]], "load the model with")
        raise ModelFileError([Problem(must, remedy=("if it is yours, ", consent))])
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ModelFileError(
            f"its loss {path!r} cannot be imported here: {error}; PYTHONPATH must name its folder"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Loss)):
        raise ModelFileError(f"its loss {path!r} must be a subclass of tsforecast.networks.losses.Loss: got {cls!r}")
    return cls(**parameters)
