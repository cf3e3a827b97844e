"""Forecasters as MLflow models: kept as `tsforecast.save` does, with signature, example and pinned requirements."""

from __future__ import annotations

import copy
import json
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import numpy as np

from tsforecast import __version__
from tsforecast.forecasters.base import Forecaster, require_forecaster
from tsforecast.forecasters.registry import model_name
from tsforecast.saving import store
from tsforecast.tracking.quiet import quiet
from tsforecast.tracking.serving import Interface, Served, as_json

FLAVOUR, FOLDER = "tsforecast", "forecaster"
EXAMPLE, POSTED = "input_example.json", "serving_input_example.json"


def save_model(forecaster: Forecaster, path: str | Path, mlflow_model: Any = None) -> None:
    """Write a fitted forecaster as an MLflow model, which `mlflow models serve` and `mlflow.pyfunc` understand.

    Parameters
    ----------
    forecaster : Forecaster
    path : path
        A new or empty folder.
    mlflow_model : mlflow.models.Model, optional
        What MLflow knows of it already.

    Raises
    ------
    ParameterError, NotFittedError
        When there is nothing to save, or it cannot be saved without code.
    OutputError
        When the place cannot be written to, or holds something else.

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
    kept = keep(forecaster, place)
    with quiet():
        describe(kept, place, mlflow_model)


def log_model(forecaster: Forecaster, name: str = "model", **more: Any) -> Any:
    """Log a fitted forecaster to the active MLflow run.

    Parameters
    ----------
    forecaster : Forecaster
    name : str
    **more
        Arguments of ``mlflow.models.Model.log``, such as ``registered_model_name="sales"``.

    Returns
    -------
    mlflow.models.model.ModelInfo

    Raises
    ------
    ParameterError, NotFittedError
    """
    with quiet():
        from mlflow.models import Model

        return Model.log(artifact_path=None, name=name, flavor=sys.modules[__name__], forecaster=forecaster, **more)


def load_model(model_uri: str | Path) -> Forecaster:
    """Read a forecaster that was saved or logged. Nothing of it is executed.

    Parameters
    ----------
    model_uri : str or path
        A folder, or an address of MLflow's: ``"models:/sales@champion"``, ``"models:/m-..."``, ``"runs:/.../model"``.

    Raises
    ------
    ModelFileError
        When there is no forecaster of a known format.
    """
    with quiet():
        from mlflow.artifacts import download_artifacts

        place = download_artifacts(artifact_uri=str(model_uri))
    return store.load(Path(place) / FOLDER)


def keep(forecaster: Forecaster, place: Path, data: Any = None) -> tuple[str, Interface]:
    """Write the forecaster itself; return its name and what a service of it takes and gives.

    Parameters
    ----------
    forecaster : Forecaster
    place : Path
    data : Panel, optional
        That was fitted, where the forecaster does not keep all of it.
    """
    require_forecaster(forecaster, example="GRUForecaster().fit(data)")
    store.save(_anywhere(forecaster), place / FOLDER)
    return model_name(forecaster), Interface.of(forecaster, data)


def describe(kept: tuple[str, Interface], place: Path, mlflow_model: Any = None) -> None:
    """Write beside a forecaster what MLflow must know of it: signature, example, requirements."""
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    name, interface = kept
    if interface.inputs:
        schemas = [
            Schema([ColSpec(kind, column) for column, kind in each]) for each in (interface.inputs, interface.outputs)
        ]
        params = {"params": ParamSchema([ParamSpec("horizon", DataType.long, interface.horizon)])}
    else:
        arrays = [interface.example, interface.answer]
        schemas = [Schema([TensorSpec(np.dtype(np.float64), (-1, *array.shape[1:]))]) for array in arrays]
        params = {}
    model = mlflow_model or Model()
    model.signature = ModelSignature(schemas[0], schemas[1], **params)
    model.saved_input_example_info = _write_example(interface, place)
    requirements = pinned()
    (place / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    python = ".".join(map(str, sys.version_info[:3]))
    (place / "python_env.yaml").write_text(
        f'python: "{python}"\ndependencies:\n- -r requirements.txt\n', encoding="utf-8"
    )
    pyfunc.add_to_model(model, loader_module=__name__, data=FOLDER, python_env="python_env.yaml")
    model.add_flavor(FLAVOUR, tsforecast_version=__version__, data=FOLDER, model=name)
    model.save(str(place / "MLmodel"))


def _write_example(interface: Interface, place: Path) -> dict[str, str]:
    """Write the example twice, for MLflow's readers and as it is posted to a service; return what MLflow notes."""
    if interface.inputs:
        kept: Any = as_json(interface.example)
        posted, kind = {"dataframe_split": kept}, {"type": "dataframe", "pandas_orient": "split"}
    else:
        kept = interface.example.tolist()
        posted, kind = {"inputs": kept}, {"type": "ndarray", "format": "tf-serving"}
    (place / EXAMPLE).write_text(json.dumps(kept), encoding="utf-8")
    (place / POSTED).write_text(json.dumps(posted), encoding="utf-8")
    return {"artifact_path": EXAMPLE, "serving_input_path": POSTED, **kind}


def pinned() -> list[str]:
    """Return this package and all that it needs, in the versions that are at work here.

    Examples
    --------
    >>> [line for line in pinned() if line.startswith("tsforecast==")] == [f"tsforecast=={__version__}"]
    True
    """
    needed = [line for line in requires("tsforecast") or () if "extra ==" not in line]
    names = ["tsforecast", *(re.split(r"[^\w.-]", line)[0] for line in needed)]
    found = []
    for name in names:
        try:
            # Without the local part: torch 2.9+cpu is torch 2.9 elsewhere.
            found.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return found


def _load_pyfunc(path: str) -> Served:
    """Return what MLflow serves; it looks for this name."""
    return Served(store.load(path))


def _anywhere(forecaster: Forecaster) -> Forecaster:
    """Return a copy that computes where it can, and not on the device alone that it was trained on."""
    twin = copy.copy(forecaster)
    if "device" in twin.get_params(deep=False):
        twin.device = "auto"
    if forecaster.members_:
        twin.members_ = [_anywhere(member) for member in forecaster.members_]
    return twin
