"""What can be wrong with the settings of a network classifier, all of it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsforecast.checks import between, flag, one_of
from tsforecast.data.scaling import SCALERS
from tsforecast.errors import Problem, nearest
from tsforecast.forecasters.settings import network_problems
from tsforecast.networks.layers import POOLINGS

if TYPE_CHECKING:
    from tsforecast.classifiers.neural import NeuralClassifier

PARTS = ("jitter", "scale", "time_warp", "rotation", "crop")
AUGMENTATIONS: dict[str, dict[str, float]] = {
    "motion": {"jitter": 0.1, "scale": 0.1, "time_warp": 0.1, "rotation": 9.0},
}


def setting_problems(model: NeuralClassifier) -> list[str]:
    """Return a sentence for each setting that cannot work."""
    problems = network_problems(model, {"pooling": POOLINGS}, ("layer",), auto=("max_epochs",))
    problems += flag("differences", model.differences) + between("label_smoothing", model.label_smoothing, 0, 1)
    if isinstance(model.scaler, str):  # an object is checked when it learns
        problems += one_of("scaler", model.scaler, SCALERS)
    return problems + _augment_problems(model.augment) + _weight_problems(model.class_weight)


def _augment_problems(augment: Any) -> list[str]:
    if not isinstance(augment, dict):
        return one_of("augment", augment, tuple(AUGMENTATIONS), [None])
    problems: list[str] = [
        Problem(f"has no part {name!r}", "", nearest(name, PARTS), parameter="augment")
        for name in augment
        if name not in PARTS
    ]
    for name, value in augment.items():
        problems += between("augment", value, 0, {"rotation": 180, "crop": 1}.get(name, 10), part=f" {name!r}")
    return problems


def _weight_problems(weights: Any) -> list[str]:
    if not isinstance(weights, dict):
        return one_of("class_weight", weights, ("balanced",), [None])
    found = []
    for label, value in weights.items():
        found += between("class_weight", value, 0, float("inf"), open_low=True, part=f" of {label!r}")
    return found
