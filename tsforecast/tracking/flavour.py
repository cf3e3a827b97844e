"""Forecasters as MLflow models: saved as by `tsforecast.save`, with signature, example and pinned requirements."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Collection
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.checks import require_estimator
from tsforecast.data.panel import Panel
from tsforecast.data.samples import SupervisedPanel
from tsforecast.errors import Argument, DataError, ModelFileError, Part, Reference, TsForecastError
from tsforecast.estimators import persistence
from tsforecast.estimators.registry import model_name
from tsforecast.forecasters.base import Forecaster
from tsforecast.provenance import DISTRIBUTION, __version__, installed
from tsforecast.serving.table import SERIES_COLUMN, as_dates, as_fitted, as_json, as_text, example_of, long, unnamed
from tsforecast.tracking.store import quiet

CONFIG = "MLFLOW_PYFUNC_INFERENCE_CONFIG"  # environment variable of MLflow, for a model that is served
LEVELS = ("quantiles", "interval")  # that a service can be asked for
LEAST, ROWS = 12, 3  # of an example: steps, supervised windows
# Kind of a numpy array -> type of a column in MLflow's words.
_TYPES = {"f": "double", "i": "long", "u": "long", "b": "boolean", "M": "datetime"}

Kept = tuple[str, Any, Any]  # name of a model, signature of MLflow, and example: a frame or an array


class Served:
    """Forecasts as by `Forecaster.predict`, in long frames of JSON values."""

    def __init__(self, forecaster: Forecaster) -> None:
        self.forecaster = forecaster
        self._fitted = forecaster.panel_
        self._unnamed = unnamed(forecaster.panel_)
        if not isinstance(forecaster.panel_, SupervisedPanel):
            forecaster.panel_ = long(forecaster.panel_)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Return forecasts of the steps that follow a frame in the fitted columns, or supervised windows in an array.

        Where columns are known ahead, rows at the end of each series that have no target hold them for the steps to
        forecast. ``params`` are the `horizon`, and `quantiles` and shares of the `interval` as lists; see
        `Forecaster.predict`.

        An error about the data is one of MLflow, which its server answers with status 400 and the sentence alone.
        """
        try:
            return self._predict(model_input, params or {})
        except (TsForecastError, ValueError, TypeError) as error:
            raise _refusal(str(error)) from error

    def _predict(self, model_input: Any, asked: dict[str, Any]) -> Any:
        forecaster, panel = self.forecaster, self.forecaster.panel_
        if isinstance(panel, SupervisedPanel):
            return forecaster.predict(np.asarray(model_input))
        horizon = int(asked.get("horizon") or forecaster.horizon_)
        levels: dict[str, Any] = {name: list(asked.get(name, ())) for name in LEVELS}
        given = pd.DataFrame(model_input)
        dated = as_dates(given, panel.source)
        frame = as_fitted(dated, self._fitted)
        if self._unnamed:
            frame = frame.assign(**{SERIES_COLUMN: panel.ids[0]})
        context, future = _split(frame, panel)
        answer = forecaster.predict(context, future=future, horizon=horizon, **levels)
        answer = answer if dated is given else as_text(answer)  # text in, text out
        return answer.drop(columns=SERIES_COLUMN) if self._unnamed else answer


def _refusal(sentence: str) -> Exception:
    """Return an error of MLflow with a message that stays: its server would put all data, or a trace, before it."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    kept = property(lambda self: sentence, lambda self, longer: None)
    refusal: Exception = type("RefusedError", (MlflowException,), {"message": kept})(sentence, error_code=BAD_REQUEST)
    return refusal


def _split(frame: pd.DataFrame, panel: Panel) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the context rows, and the rows with future covariates."""
    given = panel.roles.given
    if not given.future:
        return frame, None
    missing = [name for name in given.target if name not in frame]
    if missing:
        raise DataError(f"the frame must have the targets {given.target}: it lacks {missing}")
    known = frame[list(given.target)].notna().any(axis=1)
    shown = [name for name in (panel.source.id, panel.source.time) if name in frame]  # or in the index
    groups = np.zeros(len(frame)) if panel.source.id is None else _level(frame, panel.source.id)
    later = ~known[::-1].groupby(groups[::-1], sort=False).cummax()[::-1]  # no number of a target from here on
    ahead = frame.loc[later, [*shown, *given.future]]
    return frame[~later], ahead if len(ahead) else None


def _level(frame: pd.DataFrame, name: str) -> NDArray[Any]:
    """Return a column, or a level of the index, as an array."""
    return np.asarray(frame[name] if name in frame else frame.index.get_level_values(name))


FLAVOUR, FOLDER = "tsforecast", "forecaster"
EXAMPLE, POSTED = "input_example.json", "serving_input_example.json"


def save_model(forecaster: Forecaster, path: str | Path, mlflow_model: Any = None) -> None:
    """Write a fitted forecaster to a new or empty folder, as a model for `mlflow models serve` and `mlflow.pyfunc`.

    MLflow passes its own model as `mlflow_model`. ParameterError or NotFittedError is raised when there is nothing to
    save, or it cannot be saved without code; OutputError when the place cannot be written to, or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> from tsforecast import DriftForecaster
    >>> with tempfile.TemporaryDirectory() as place:
    ...     save_model(DriftForecaster(horizon=2).fit([1.0, 2.0, 3.0]), f"{place}/model")
    ...     load_model(f"{place}/model").predict().tolist()
    [4.0, 5.0]
    """
    place = Path(path)
    with quiet():
        describe(keep(forecaster, place), place, mlflow_model)


def log_model(forecaster: Forecaster, name: str = "model", **more: Any) -> Any:
    """Log a fitted forecaster to the active MLflow run, and return MLflow's `ModelInfo`; errors as in `save_model`.

    `more` are arguments of ``mlflow.models.Model.log``, such as ``registered_model_name="sales"``.
    """
    with quiet():
        from mlflow.models import Model

        return Model.log(artifact_path=None, name=name, flavor=sys.modules[__name__], forecaster=forecaster, **more)


def load_model(model_uri: str | Path, *, trust: str | Collection[str] = ()) -> Forecaster:
    """Read a forecaster that was saved or logged. Nothing of it is executed.

    `model_uri` is a folder, or an address of MLflow's: ``"models:/sales@champion"``, ``"models:/m-..."``,
    ``"runs:/.../model"``; `trust` has import paths of losses of your own, as in `tsforecast.load`. ModelFileError is
    raised when there is no forecaster of a known format.
    """
    with quiet():
        from mlflow.artifacts import download_artifacts

        place = download_artifacts(artifact_uri=str(model_uri))
    model: Forecaster = persistence.load(Path(place) / FOLDER, trust=trust)
    return model


def keep(forecaster: Forecaster, place: Path, data: Panel | None = None) -> Kept:
    """Write the forecaster itself; return its name, signature and example, for `describe`.

    `data` is the fitted panel, where the forecaster does not keep all of it.
    """
    require_estimator(forecaster, Forecaster, "GRUForecaster().fit(data)")
    persistence.save(_anywhere(forecaster), place / FOLDER)
    fitted = forecaster.panel_
    if isinstance(fitted, SupervisedPanel):
        return model_name(forecaster), *_interface_of_windows(forecaster, data or fitted, fitted.horizon)
    return model_name(forecaster), *_interface_of_frames(forecaster)


def _interface_of_windows(forecaster: Forecaster, panel: Panel, horizon: int) -> tuple[Any, NDArray[Any]]:
    """Return the signature of arrays in and out, and the first windows that were fitted."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    windows = np.stack([panel.series(i)[:-horizon] for i in range(min(ROWS, len(panel)))])  # (n, W, C)
    windows = windows[..., 0] if windows.shape[2] == 1 else windows
    arrays = windows, np.asarray(forecaster.predict(windows))
    inputs, outputs = (Schema([TensorSpec(np.dtype(np.float64), (-1, *array.shape[1:]))]) for array in arrays)
    return ModelSignature(inputs, outputs), windows


def _interface_of_frames(forecaster: Forecaster) -> tuple[Any, pd.DataFrame]:
    """Return the signature of long frames in and out, and the end of the first few series.

    Where columns are known ahead, the last `horizon` rows of each series have no target.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    panel, horizon = long(forecaster.panel_), forecaster.horizon_
    window = getattr(forecaster, "resolved_", {}).get("window", 0)
    ahead = horizon if panel.roles.given.future else 0
    example = example_of(panel, max(LEAST, window, 2 * panel.season_length), ahead)
    if unnamed(forecaster.panel_):
        example = example.drop(columns=SERIES_COLUMN)
    answered = {panel.source.id, panel.source.time, *panel.roles.given.target}
    answer = example[[name for name in example if name in answered]]
    answer = answer.assign(**dict.fromkeys(panel.roles.given.target, 0.0))
    # MLflow converts no stamp with a zone, period, category, boolean or whole number; tsforecast reads all of them.
    anything, index = AnyType(), forecaster.panel_.source.index or ()  # type: ignore[no-untyped-call]
    inputs = Schema([ColSpec(anything, str(name), required=name not in index) for name in example])
    outputs = Schema([ColSpec(_TYPES.get(kind.kind, "string"), str(name)) for name, kind in answer.dtypes.items()])
    levels = [ParamSpec(name, DataType.double, [], shape=(-1,)) for name in LEVELS]
    params = ParamSchema([ParamSpec("horizon", DataType.long, horizon), *levels])
    return ModelSignature(inputs, outputs, params), example


def describe(kept: Kept, place: Path, mlflow_model: Any = None) -> None:
    """Write the metadata of MLflow beside a forecaster: signature, example, requirements."""
    from mlflow import pyfunc
    from mlflow.models import Model

    name, signature, example = kept
    model = mlflow_model or Model()
    model.signature = signature
    model.saved_input_example_info = _write_example(example, place)
    requirements = pinned()
    (place / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    python = ".".join(map(str, sys.version_info[:3]))
    (place / "python_env.yaml").write_text(
        f'python: "{python}"\ndependencies:\n- -r requirements.txt\n', encoding="utf-8"
    )
    # MLflow takes no configuration that a model does not have; whoever loads the model fills the list.
    more: dict[str, Any] = {"model_config": {"trust": []}}
    pyfunc.add_to_model(model, loader_module=__name__, data=FOLDER, python_env="python_env.yaml", **more)
    model.add_flavor(FLAVOUR, tsforecast_version=__version__, data=FOLDER, model=name)
    model.save(str(place / "MLmodel"))


def _write_example(example: pd.DataFrame | NDArray[Any], place: Path) -> dict[str, str]:
    """Write the example twice, for MLflow and as posted to a service; return the metadata of MLflow."""
    if isinstance(example, pd.DataFrame):
        kept: Any = as_json(example)
        posted, kind = {"dataframe_split": kept}, {"type": "dataframe", "pandas_orient": "split"}
    else:
        kept = example.tolist()
        posted, kind = {"inputs": kept}, {"type": "ndarray", "format": "tf-serving"}
    (place / EXAMPLE).write_text(json.dumps(kept), encoding="utf-8")
    (place / POSTED).write_text(json.dumps(posted), encoding="utf-8")
    return {"artifact_path": EXAMPLE, "serving_input_path": POSTED, **kind}


def pinned() -> list[str]:
    """Return the requirements: this package and its dependencies, in the installed versions."""
    needed = [line for line in requires(DISTRIBUTION) or () if "extra ==" not in line]
    names = [DISTRIBUTION, *(re.split(r"[^\w.-]", line)[0] for line in needed)]
    found = [(name, installed(name).partition("+")[0]) for name in names]  # torch 2.9+cpu is torch 2.9 elsewhere
    return [f"{name}=={number}" for name, number in found if number != "unknown"]


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> Served:
    """Return the model that MLflow serves; the names are given by MLflow."""
    try:
        return Served(persistence.load(path, trust=(model_config or {}).get("trust", ())))
    except ModelFileError as error:
        raise error.map(_as_config) from error


def _as_config(part: Reference) -> Part:
    """Name the configuration of MLflow, and its environment variable, where `load` has a parameter."""
    if not isinstance(part, Argument):
        return part
    config = {part.name: part.value}
    return f"load it with model_config={config}, or serve it with {CONFIG}='{json.dumps(config)}'"


def _anywhere(forecaster: Forecaster) -> Forecaster:
    """Return a copy that does not need the device that it was trained on."""
    twin = copy.copy(forecaster)
    if "device" in twin.get_params(deep=False):
        twin.device = "auto"
    if forecaster.members_:
        twin.members_ = [_anywhere(member) for member in forecaster.members_]
    return twin
