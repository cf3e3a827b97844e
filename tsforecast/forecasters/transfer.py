"""Transfer: take a fitted network to other data."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from tsforecast.checks import one_of
from tsforecast.data.preprocessing import Preprocessor
from tsforecast.errors import ParameterError, raise_any
from tsforecast.estimators.base import unknown_settings
from tsforecast.events import observed
from tsforecast.forecasters import assembly
from tsforecast.forecasters import auto as choices
from tsforecast.training.history import best_epoch

if TYPE_CHECKING:
    from tsforecast.forecasters.neural import NeuralForecaster

Model = TypeVar("Model", bound="NeuralForecaster")


def fine_tuned(
    source: Model, data: Any, freeze: str, head: str, layers: int, scaling: str, settings: dict[str, Any]
) -> Model:
    """Return a copy of `source` that was trained further on `data`; see `NeuralForecaster.fine_tune`."""
    source.check_fitted()
    problems = transfer_problems(source, freeze, head, scaling, settings, _FIXED)
    if layers not in (1, 2):
        problems.append(f"layers of a new head must be 1 or 2: got {layers!r}")
    if layers == 2 and head == "keep":
        problems.append("layers=2 is for a new head: use head='new', or layers=1")
    raise_any(problems, ParameterError)
    model = copy.deepcopy(source)
    model.set_params(**settings)
    raise_any(model._problems(), ParameterError)

    panel = source.panel_.read_like(data, what="the data to tune on")
    held_out, seen = choices.training_rows(panel, model.validation, model.horizon_)
    choices.window(panel, seen, source.resolved_["window"], source.horizon_, fixed=True)  # refuses what is too short
    past = panel.until(seen)
    if scaling == "keep":
        raise_any(f"{problem}; use scaling='new'" for problem in source.inputs_.beyond_transform(past))
    model.inputs_ = Preprocessor.fit(past, model._recipe()) if scaling == "new" else source.inputs_.with_series(past)
    model.resolved_ |= {"validation": held_out}
    with observed(model, panel) as activity, model._torch_settings():
        if head == "new":
            model.resolved_["head_layers"] = layers
            model.network_.renew_head(layers)
        model.network_.freeze(("embed.", "encoder.") if freeze == "encoder" else ())
        model.history_ = model._train(panel, seen, assembly.plan(model), None, activity.notify)
        model.network_.freeze(())
        model.resolved_["best_epoch"] = best_epoch(model.history_).number
        model._remember(panel)
    return model


def transfer_problems(
    source: Any, freeze: str, head: str, scaling: str, settings: dict[str, Any], fixed: tuple[str, ...]
) -> list[str]:
    """Return what is wrong with how any network is to be trained further; the settings `fixed` cannot change."""
    problems = one_of("freeze", freeze, ("none", "encoder")) + one_of("head", head, ("keep", "new"))
    problems += one_of("scaling", scaling, ("keep", "new"))
    problems += [
        f"{name} belongs to the fitted network and cannot change: leave it out" for name in settings if name in fixed
    ]
    return problems + unknown_settings(source, settings)


_FIXED = (
    *("cell", "window", "horizon", "segment", "units", "layers", "channels", "residual", "norm", "bidirectional"),
    *("kernel_size", "activation", "anchor", "value_transform", "scaler", "per_series", "instance_norm", "refit"),
)
