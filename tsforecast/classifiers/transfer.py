"""Transfer: take a network that recognises recordings to others, such as those of one more person."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tsforecast.classifiers import choices
from tsforecast.errors import ParameterError, raise_any
from tsforecast.forecasters.transfer import transfer_problems
from tsforecast.training.history import best_epoch
from tsforecast.training.runtime import torch_device

if TYPE_CHECKING:
    from tsforecast.classifiers.neural import NeuralClassifier

Model = TypeVar("Model", bound="NeuralClassifier")


def fine_tuned(
    source: Model, X: Any, y: Any, groups: Any, freeze: str, head: str, scaling: str, settings: dict[str, Any]
) -> Model:
    """Return a copy of `source` that was trained further; see `NeuralClassifier.fine_tune`."""
    source.check_fitted()
    raise_any(transfer_problems(source, freeze, head, scaling, settings, _FIXED), ParameterError)
    model = copy.deepcopy(source).set_params(**settings)
    panel, labels, sides = model._checked(X, y, groups, reset=False, head=head)
    random = np.random.default_rng(model.random_state)
    count, validates = choices.validating(labels, sides, model.validation, random)
    epochs = model.epochs(int((~validates).sum()))
    model.resolved_ = {"validation": count, "max_epochs": epochs, "device": str(torch_device(model.device))}
    learned = model._scaling(panel.select(~validates), labels[~validates]) if scaling == "new" else source.scaling_
    network = model.network_
    if head == "new":
        network.renew_head(model._shares(labels[~validates]))
    network.to(torch_device(model.device))
    network.freeze(("embed.", "encoder.") if freeze == "encoder" else ())
    model.history_ = model._learn(panel, labels, validates, epochs, None, None, learned, network)
    model.resolved_["best_epoch"] = best_epoch(model.history_).number
    network.freeze(())
    return model


_FIXED = (
    *("cell", "segment", "units", "layers", "residual", "norm", "bidirectional", "kernel_size", "activation"),
    *("pooling", "differences", "scaler", "refit"),
)
