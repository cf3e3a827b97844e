"""What a run says of a fit, a comparison and a search, as plain parameters, tags and metrics."""

from __future__ import annotations

import getpass
import math
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tsforecast.data.fingerprint import fingerprint
from tsforecast.data.panel import Panel
from tsforecast.errors import shorten
from tsforecast.evaluation.record import Fit, learned, machine, versions
from tsforecast.forecasters.registry import model_name
from tsforecast.training.history import Epoch

Facts = dict[str, Any]
Metric = list[Any]  # name, value, milliseconds, step

# Field of an epoch -> its name in MLflow, whose page puts together what has the same word before the slash.
EPOCH = {
    "train_loss": "loss/training",
    "valid_loss": "loss/validation",
    "skill": "skill/validation",
    "learning_rate": "training/learning_rate",
    "seconds": "training/seconds",
}


def named(model: Any) -> str:
    """Return the name of a model, with its cell where the class does not tell."""
    name = model_name(model)
    return str(model.cell) if name == "neural" else name


def about(panel: Panel, recordings: bool = False) -> str:
    """Return what data are about, in a few words.

    Examples
    --------
    >>> about(Panel.of([[1.0, 2.0], [3.0, 4.0, 5.0]])), about(Panel.of([1.0, 2.0]))
    ('y, 2 series', 'y')
    """
    targets = shorten(list(panel.roles.target), 2)
    if panel.ready or recordings:
        return f"{len(panel)} {'recordings' if recordings else 'windows'}"
    return targets if len(panel) == 1 else f"{targets}, {len(panel)} series"


def origin() -> Facts:
    """Return tags that say where a run came from: versions, machine, program, user."""
    found = {f"version.{name}": number for name, number in (versions() | {"mlflow": version("mlflow")}).items()}
    source = {"mlflow.source.name": Path(sys.argv[0] or "python").name, "mlflow.source.type": "LOCAL"}
    try:
        source["mlflow.user"] = getpass.getuser()
    except (OSError, KeyError):  # a container may have no name for who runs it
        source["mlflow.user"] = str(os.getuid())
    return found | source | {"machine": machine()}


def of_data(panel: Panel) -> Facts:
    """Return parameters about data: how much, from when to when, and their fingerprint."""
    ends = panel.frequency.advance(panel.starts, panel.lengths - 1)
    span = {"data/first": panel.label(panel.starts.min()), "data/last": panel.label(ends.max())}
    return {
        "data": repr(panel).removeprefix("Panel: "),
        "data/fingerprint": fingerprint(panel),
        **({} if panel.kind == "none" else span),
    }


def of_settings(model: Any) -> Facts:
    """Return the parameters of a model as text."""
    given = model.get_params(deep=False)
    return {name: value if isinstance(value, str) else " ".join(repr(value).split()) for name, value in given.items()}


def of_fitted(model: Any, panel: Panel) -> Facts:
    """Return parameters that follow from a fit: what was chosen, how it was scaled, what trained and what validated."""
    told = learned(model)
    found = {f"resolved/{name}": value for name, value in told["resolved"].items()}
    found |= {"scaling": told["scaling"]} if told["scaling"] else {}
    kept = told["resolved"].get("validation")
    if kept and panel.kind != "none" and panel.groups is None and not panel.ready:
        ends = panel.lengths - int(kept)
        first = panel.frequency.advance(panel.starts, ends)
        found["split/training_last"] = panel.label(panel.frequency.advance(panel.starts, ends - 1).max())
        found["split/validation_first"] = panel.label(first.min())
    return found


def of_record(fit: Fit) -> tuple[Facts, Facts]:
    """Return tags and parameters of one fit of a comparison."""
    params = {"split/first": fit.learned_from[0], "split/last": fit.learned_from[1], "split/series": fit.series}
    params |= {"split/steps": fit.steps} | ({"split/left_out": ", ".join(fit.left_out)} if fit.left_out else {})
    tags = {"model": fit.model, "seed": fit.seed, "leak_audit": fit.leak_audit, "error": fit.error}
    return {name: value for name, value in tags.items() if value not in (None, "")}, params


def of_epochs(epochs: Iterable[Epoch], at: int) -> list[Metric]:
    """Return the metrics of epochs; what was not measured is left out.

    Examples
    --------
    >>> of_epochs([Epoch(0, None, 0.5, 0.0, 0.0)], at=1)[0]
    ['loss/validation', 0.5, 1, 0]
    """
    return [
        [name, value, at, epoch.number]
        for epoch in epochs
        for field, value in asdict(epoch).items()
        if (name := EPOCH.get(field)) and is_number(value) and (epoch.number or name.startswith(("loss", "skill")))
    ]


def of_numbers(numbers: dict[str, Any], at: int) -> list[Metric]:
    """Return metrics without a step; what is no finite number is left out."""
    return [[name, float(value), at, 0] for name, value in numbers.items() if is_number(value)]


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)
