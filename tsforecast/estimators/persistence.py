"""Save a fitted model, and load it: a folder with numbers in safetensors and everything else in JSON, no code.

`save` asks a model what it learned, adds where that comes from and a golden forecast, and writes all of it at once.
`load` reads it with suspicion, brings its format up to date, revives the model and asks for the golden forecast again.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tsforecast
from tsforecast.checks import whole
from tsforecast.classifiers.base import Classifier
from tsforecast.data import sequences as recordings
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.supervised import SupervisedPanel
from tsforecast.errors import ModelFileError, ParameterError, nearest, raise_any
from tsforecast.estimators.network import device_problems
from tsforecast.files import require_place
from tsforecast.forecasters.base import Forecaster, require_forecaster
from tsforecast.networks.layers import under
from tsforecast.provenance import machine, scaling_words, versions
from tsforecast.saving.codec import Numbers, from_plain, pack, to_plain, unpack
from tsforecast.saving.folder import DESCRIPTION, read_description, read_numbers, write
from tsforecast.saving.migrations import VERSION, migrated, wrote


def provenance(model: Forecaster | Classifier) -> dict[str, Any]:
    """Return where a model comes from.

    Returns
    -------
    dict
        ``data``: what was fitted, with its SHA-256, and in a sentence. ``split``: what was learned from, and what chose
        the epoch, as spans of series; or how many windows, recordings or groups chose it. ``scaling``: how, and what
        that was learned from. ``made`` and ``machine``.
    """
    series = isinstance(model, Forecaster) and not isinstance(model.panel_, SupervisedPanel)
    taught = model.members_[0] if len(model.members_) == 1 else model  # a search is its best estimator
    return {
        "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine(),
        "data": model.fitted_on_ | ({"panel": repr(model.panel_).removeprefix("Panel: ")} if series else {}),
        "split": _split(taught) if series else {"validated": getattr(taught, "resolved_", {}).get("validation", 0)},
        "scaling": {
            "steps": scaling_words(taught.get_params(deep=False) | getattr(taught, "resolved_", {})) or "none",
            "learned_from": _scaled_on(taught),
        },
    }


def _split(model: Any) -> dict[str, Any]:
    panel, seen = model.panel_, model.learned_rows()
    return {"trained": panel.span(np.zeros_like(seen), seen), "validated": panel.span(seen, panel.lengths)}


def _scaled_on(model: Any) -> dict[str, Any]:
    """Return what scales were learned from; nothing where there are none."""
    found: dict[str, Any] = model.inputs_.origin if hasattr(model, "inputs_") else getattr(model, "scaled_on_", {})
    return found


SERIES = 3  # of a panel, whose forecasts are kept
STEPS = 24  # of the recordings that a classifier is asked about, unless it knows one length only
ASKED, SAID = "golden.recordings", "golden.said"  # names of arrays
TOLERANCE = 1e-3  # of the spread of what was said: other machines and libraries round otherwise, and no more than that


def golden(model: Forecaster | Classifier) -> tuple[dict[str, Any], Numbers]:
    """Return a question, in numbers of a file and few words, and the answer of a fitted model.

    A forecaster is asked to go on from the end of the first series that it was fitted on, which are saved anyway; a
    classifier, which keeps no recordings, about waves in its own units.
    """
    if isinstance(model, Classifier):
        waves = _waves(model)
        return {}, {ASKED: waves, SAID: _probabilities(model, waves)}
    has_observations = Context.at_end(model.panel_).has_observations.all(axis=1)
    series = np.flatnonzero(has_observations)[:SERIES]
    return {"series": series.tolist()}, {SAID: _forecast(model, series)}


def require_same(model: Forecaster | Classifier, described: dict[str, Any], numbers: Numbers, wrote: str) -> None:
    """Ask a loaded model again.

    Raises
    ------
    ModelFileError
        When it says something else; the message says which version wrote it.
    """
    then = numbers[SAID]
    if isinstance(model, Classifier):
        now = _probabilities(model, numbers[ASKED])
    else:
        now = _forecast(model, np.array(described["series"], dtype=np.int64))
    if then.shape != now.shape:
        raise ModelFileError(f"the golden forecast must have shape {now.shape}: it has {then.shape}")
    spread = (
        max(float(np.ptp(then)), 1e-6 * float(np.abs(then).max(initial=0.0)), 1e-300) if np.isfinite(then).all() else 1
    )
    apart = np.where((now == then) | (np.isnan(now) & np.isnan(then)), 0.0, np.abs(now - then)) / spread
    if not apart.max(initial=0.0) <= TOLERANCE:
        raise ModelFileError(
            f"a loaded model must say what it said when it was saved: its golden forecast is off by "
            f"{apart.max():.2g} of its spread, and {TOLERANCE:g} is allowed; load it with the versions that wrote it"
            f"{wrote}, or fit it anew"
        )


def _forecast(model: Forecaster, series: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return forecasts from the end of some fitted series, (n, H, K), once they are seen to find a form."""
    panel = model.panel_
    if not len(series):
        return np.zeros((0, model.horizon_, panel.n_targets))
    if series.min() < 0 or series.max() >= len(panel):
        raise ValueError(f"golden series must be among {len(panel)}: got {series.tolist()}")
    with np.errstate(all="ignore"):
        said = model.forecast(Context(panel, series, panel.context_lengths[series]), model.horizon_)
    last = panel.lengths.copy()
    last[series] -= 1
    panel.between(last, panel.lengths).to_native(said)  # in the caller's library, zone and names
    return said


def _probabilities(model: Classifier, waves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a classifier says of recordings, (n, K)."""
    with np.errstate(all="ignore"):
        return model._probabilities(recordings.read(list(waves)))


def _waves(model: Classifier) -> NDArray[np.float64]:
    """Return two recordings, (2, T, C), of the size of those that were fitted."""
    steps = getattr(model, "n_features_in_", None) or max(STEPS, model._least_steps())
    time = np.linspace(0, 2 * np.pi, steps)[:, None]
    places = np.arange(model.channels_)
    waves = np.stack([np.sin(time + places), np.cos(3 * time - places)])
    scaling = getattr(model, "scaling_", None)
    return waves if scaling is None else np.stack([scaling.inverse(wave, 0) for wave in waves])


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
    model.check_fitted()
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
    learned, numbers = model.get_state()
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
    model.set_state(learned, numbers)
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
    if device != "auto" and device_problems("device", device):
        logger.info("%s was fitted on device %r, which is not here: it is loaded with 'auto'", name, device)
        parameters = parameters | {"device": "auto"}
    model: Model = getattr(tsforecast, name)(**parameters)
    raise_any(model._problems(), ModelFileError)
    return model
