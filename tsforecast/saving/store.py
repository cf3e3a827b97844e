"""Save a fitted model, and load it: a folder with numbers in safetensors and everything else in JSON, no code.

`save` asks a model what it learned, adds where that comes from and a golden forecast, and writes all of it at once.
`load` reads it with suspicion, brings its format up to date, revives the model and asks for the golden forecast again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

import tsforecast
from tsforecast.checks import whole
from tsforecast.classifiers.base import Classifier
from tsforecast.data.panel import Panel
from tsforecast.errors import ModelFileError, ParameterError, nearest, raise_any
from tsforecast.evaluation.record import versions
from tsforecast.files import require_place
from tsforecast.forecasters.base import Forecaster, NotFittedError, require_forecaster
from tsforecast.forecasters.settings import device_problems
from tsforecast.networks.weights import under
from tsforecast.saving.folder import DESCRIPTION, Numbers, read_description, read_numbers, write
from tsforecast.saving.golden import SAID, golden, require_same
from tsforecast.saving.migrations import VERSION, migrated, wrote
from tsforecast.saving.panels import pack, unpack
from tsforecast.saving.plain import from_plain, to_plain
from tsforecast.saving.provenance import provenance

Model = Forecaster | Classifier
# The only classes that a file may name.
CLASSES = tuple(name for name in tsforecast.__all__ if name.endswith(("Forecaster", "Classifier", "Search")))
FURTHEST = 10_000  # steps ahead that a model may say it forecasts, or as many as its longest series has

logger = logging.getLogger("tsforecast")


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
    if not isinstance(model, Classifier):
        require_forecaster(model, example="GRUForecaster().fit(data)")
    if not hasattr(model, "channels_" if isinstance(model, Classifier) else "panel_"):
        raise NotFittedError(f"this {type(model).__name__} must be fitted before it is saved: call fit(data)")
    if isinstance(getattr(model, "forecaster", None), Classifier):
        raise ParameterError(
            "a search over classifiers is saved by the best of them: call search.best_estimator_.save(folder); its "
            "trials stay in search.folder_"
        )
    question, answer = golden(model)
    try:
        described, numbers = _describe(model)
        panel, arrays = pack(model.panel_) if isinstance(model, Forecaster) else (None, {})
        description = {
            "format_version": VERSION,
            "written_by": versions(),
            "fitted": described,
            "panel": panel,
            "provenance": provenance(model),
            "golden": question,
        }
        plain = to_plain(description, _as_made)
    except TypeError as error:
        raise ParameterError(
            f"this {type(model).__name__} cannot be saved: {error}; use a setting that has a name, or keep the "
            "forecaster with pickle"
        ) from error
    write(Path(folder), plain, numbers | arrays | answer)


def check_folder(folder: str | Path) -> None:
    """Raise OutputError if `save` could not write to a folder; before long work, so that its result finds a place."""
    require_place(Path(folder), mark=DESCRIPTION)


def load(folder: str | Path) -> Model:
    """Read a model that `save` wrote. Nothing in the folder is executed.

    A model that was fitted on a device which is not here is loaded with ``device="auto"``.

    Raises
    ------
    ModelFileError
        When the folder does not hold a whole model of a known format, or the model does not say any more what it said
        when it was saved.
    """
    place = Path(folder)
    written = read_description(place)
    numbers = read_numbers(place, written)
    try:
        description = from_plain(migrated(written), made)
        model = _revive(description["fitted"], numbers, _panel(description, numbers))
        if description["golden"] is None:
            golden(model)  # whoever cannot answer at all has come to harm
        else:
            require_same(model, description["golden"], numbers, wrote(written))
    except ModelFileError as error:
        raise ModelFileError([f"{str(place)!r} cannot be loaded: {problem}" for problem in error.problems]) from error
    except Exception as error:  # whatever a file makes code stumble over, it is the file that is wrong
        raise ModelFileError(
            f"{str(place)!r} must hold a whole model: {type(error).__name__}: {str(error)[:300]}{wrote(written)}"
        ) from error
    return model


def _describe(model: Model) -> tuple[dict[str, Any], Numbers]:
    """Return a fitted model and its members as values and arrays."""
    name, parameters = _as_made(model)
    learned, numbers = model.learned()
    members = [_describe(member) for member in model.members_]
    for i, (_, theirs) in enumerate(members):
        numbers |= {f"member{i}.{key}": array for key, array in theirs.items()}
    described = {"class": name, "parameters": parameters, "learned": learned, "members": [each for each, _ in members]}
    return described, numbers


def _revive(described: dict[str, Any], numbers: Numbers, panel: Panel | None) -> Model:
    """Undo `_describe`."""
    model, learned = made(described["class"], described["parameters"]), described["learned"]
    if (panel is None) != isinstance(model, Classifier):
        raise ValueError(f"a {type(model).__name__} must have {'no panel' if panel else 'the panel that was fitted'}")
    if panel is not None:
        model.panel_ = panel
        _require_horizon(learned["horizon_"], numbers, panel)
    elif whole("channels_", learned["channels_"], 1) or not isinstance(learned["classes_"], np.ndarray):
        raise ValueError(f"a classifier must know channels and classes: got {learned['channels_']!r} channels")
    if described["members"]:
        model.members_ = [
            _revive(member, under(f"member{i}.", numbers) | _answer(numbers), panel)
            for i, member in enumerate(described["members"])
        ]
    model.restore(learned, numbers)
    return model


def _answer(numbers: Numbers) -> Numbers:
    return {name: array for name, array in numbers.items() if name == SAID}


def _require_horizon(horizon: Any, numbers: Numbers, panel: Panel) -> None:
    """Raise ValueError unless a horizon is that of the golden forecast: what is not in the file is not allocated."""
    most = numbers[SAID].shape[1] if SAID in numbers else max(FURTHEST, int(panel.lengths.max()))
    if whole("horizon_", horizon, 1) or horizon > most:
        raise ValueError(f"horizon_ must be a whole number up to {most}: got {horizon!r}")


def _panel(description: dict[str, Any], numbers: Numbers) -> Panel | None:
    return None if description["panel"] is None else unpack(description["panel"], numbers)


def _as_made(model: Any) -> tuple[str, dict[str, Any]]:
    """Return class and parameters of a model of ours."""
    name = type(model).__name__
    if name not in CLASSES or type(model) is not getattr(tsforecast, name):
        raise TypeError(f"a saved model holds classes of tsforecast only, not {model!r}")
    return name, model.saved_params()


def made(name: str, parameters: dict[str, Any]) -> Model:
    """Return a model that was not fitted, of a class of ours; undo `_as_made`.

    Raises
    ------
    ModelFileError
    """
    if name not in CLASSES:
        raise ModelFileError(
            f"a model must be of a class of tsforecast: got {str(name)[:80]!r}; {nearest(name, CLASSES)}"
        )
    device = parameters.get("device", "auto")
    if device != "auto" and device_problems(device):
        logger.info("%s was fitted on device %r, which is not here: it is loaded with 'auto'", name, device)
        parameters = parameters | {"device": "auto"}
    model: Model = getattr(tsforecast, name)(**parameters)
    raise_any(model._problems(), ModelFileError)
    return model
