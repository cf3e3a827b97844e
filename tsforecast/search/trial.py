"""One trial: fit with some settings, and score every epoch on the shared validation; no ray here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.classifiers.base import Classifier
from tsforecast.errors import TrainingError
from tsforecast.files import new_file
from tsforecast.forecasters.base import Forecaster
from tsforecast.search.objective import Fold
from tsforecast.search.space import Settings
from tsforecast.training.checkpoint import adapt
from tsforecast.training.history import Epoch

LOSSES, FIT = "losses.npy", "fit"  # in the folder of a trial
# What may be varied while weights are kept, as population based training does.
MUTABLE = ("learning_rate", "weight_decay", "dropout", "clip", "batch_size")


@dataclass(frozen=True, eq=False)
class Assignment:
    """What all trials of a search share.

    Attributes
    ----------
    forecaster : Forecaster or Classifier
    folds : sequence of Fold
        The newest origin first.
    max_epochs : int or None
        The forecaster's own number unless given.
    seed : int
        Of forecasters without one.
    """

    forecaster: Forecaster | Classifier
    folds: Sequence[Fold]
    max_epochs: int | None
    seed: int

    def model(self, settings: Settings) -> Any:
        """Return the model of a trial: it trains on all it is given, and the search validates."""
        model = seeded(self.forecaster, self.seed).set_params(**settings, **self.folds[0].settings)
        if trains_in_epochs(model):
            model.set_params(validation=None, patience=None, refit=False, verbose=0)
            if self.max_epochs is not None:
                model.set_params(max_epochs=self.max_epochs)
        return model


@dataclass(frozen=True)
class Score:
    """How a trial has done so far.

    Attributes
    ----------
    epoch : int
    skill : float
        Mean over the validation origins at this epoch.
    start : float
        Skill at epoch 0, which is not reported for itself.
    best_skill : float
    best_epoch : int
    """

    epoch: int
    skill: float
    start: float
    best_skill: float
    best_epoch: int


def seeded(forecaster: Forecaster | Classifier, seed: int) -> Any:
    """Return a clone that has a seed, its own one where it has one."""
    model = clone(forecaster)
    if model.get_params().get("random_state", 0) is None:
        model.set_params(random_state=seed)
    return model


def trains_in_epochs(model: Any) -> bool:
    """Tell whether a model is a network, which can be scored while it trains."""
    return {"max_epochs", "validation", "patience", "refit"} <= set(model.get_params(deep=False))


def run_trial(
    assignment: Assignment,
    settings: Settings,
    folder: Path,
    report: Callable[[Score], None],
    reported: int | None = None,
    mutates: bool = False,
) -> None:
    """Fit on what trains, and report at each epoch.

    Older validation origins come first, whole; the newest one is trained epoch by epoch, so that a scheduler can stop
    it.

    Parameters
    ----------
    assignment : Assignment
    settings : dict
    folder : Path
        Holds all that a trial which was cut short needs to go on.
    report : callable
        Called when the folder holds the epoch.
    reported : int, optional
        The last epoch that was reported before; all that the folder holds unless given.
    mutates : bool
        Whether the folder may be that of a trial with other settings, whose weights are taken over.
    """
    newest = assignment.folds[0]
    older = [
        _older(assignment.model(settings), fold, folder / f"origin-{number}.npy")
        for number, fold in enumerate(assignment.folds[1:], 1)
    ]
    losses = list(np.load(folder / LOSSES)) if (folder / LOSSES).exists() else []
    model = assignment.model(settings)
    epochs = int(model.get_params()["max_epochs"]) if trains_in_epochs(model) else 0
    last = max(0, len(losses) - 1 if reported is None else reported)
    skills: list[float] = []

    def judge(number: int) -> None:
        each = [newest.skill(losses[number]), *(fold.skill(rows[number]) for fold, rows in _pairs(assignment, older))]
        skills.append(float(np.mean(each)))
        # Nothing can be learned of settings from an untrained network, nor from what was reported before.
        if number > last or not epochs:
            best = int(np.argmax(skills))
            report(Score(number, skills[-1], skills[0], skills[best], best))

    def scored(number: int) -> None:
        if number < len(losses):
            return
        losses.append(_losses(newest, model))
        with new_file(folder / LOSSES) as unfinished:
            np.save(unfinished, np.stack(losses))
        judge(number)

    for number in range(len(losses)):
        judge(number)
    if not trains_in_epochs(model):
        newest.fit(model)
        scored(0)
        return
    has_observations = (folder / FIT).exists()
    if has_observations and mutates:
        adapt(folder / FIT, **{name: value for name, value in model.get_params().items() if name in MUTABLE})
    newest.fit(
        model,
        checkpoint=folder / FIT,
        resume_from=folder / FIT if has_observations else None,
        on_epoch=lambda epoch: scored(epoch.number),
    )


def losses_at_best(folder: Path, folds: Sequence[Fold]) -> NDArray[np.float64] | None:
    """Return the losses of a trial at its best epoch, from the cutoffs of all origins one after the other.

    None where they were not kept.
    """
    if not (folder / LOSSES).exists():
        return None
    each = [np.load(folder / LOSSES), *(np.load(folder / f"origin-{i}.npy") for i in range(1, len(folds)))]
    skills = [[fold.skill(row) for row in rows[: len(each[0])]] for fold, rows in zip(folds, each, strict=True)]
    best = int(np.argmax(np.mean(skills, axis=0)))
    return np.concatenate([rows[best] for rows in each])


def _older(model: Any, fold: Fold, file: Path) -> NDArray[np.float64]:
    """Return the losses on an older origin at each epoch, (epochs, n); read where they are there already."""
    if file.exists():
        return np.asarray(np.load(file))
    rows: list[NDArray[np.float64]] = []
    if trains_in_epochs(model):

        def scored(epoch: Epoch) -> None:
            rows.append(_losses(fold, model))

        fold.fit(model, on_epoch=scored)
    else:
        rows.append(_losses(fold, fold.fit(model)))
    with new_file(file) as unfinished:
        np.save(unfinished, np.stack(rows))
    return np.stack(rows)


def _pairs(assignment: Assignment, older: list[NDArray[np.float64]]) -> list[tuple[Fold, NDArray[np.float64]]]:
    return list(zip(assignment.folds[1:], older, strict=True))


def _losses(fold: Fold, model: Any) -> NDArray[np.float64]:
    """Return the losses of a model, which must be numbers."""
    found = fold.losses(model)
    if not np.isfinite(found).all():
        raise TrainingError(
            f"{int((~np.isfinite(found)).sum())} of {len(found)} validation losses are no finite numbers; use "
            "smaller learning rates, or look for extreme values in the data"
        )
    return found
