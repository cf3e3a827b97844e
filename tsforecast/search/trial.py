"""One trial: fit a model with some settings and score every epoch; without Ray."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.errors import TrainingError
from tsforecast.files import new_file
from tsforecast.forecasters.base import Forecaster
from tsforecast.networks.kernels.choice import alike
from tsforecast.search.objective import Honest, Objective, honest_skill
from tsforecast.search.space import Settings, Space
from tsforecast.search.storage import RunConfig
from tsforecast.sequences.classifier import Classifier
from tsforecast.training.checkpoint import adapt

LOSSES, FIT = "losses.npy", "fit"  # in the folder of a trial
LOCK_TIMEOUT = 60.0  # seconds for a worker of a killed search to end
# Parameters that population based training may change while weights are kept.
MUTABLE = ("learning_rate", "weight_decay", "dropout", "clip", "batch_size")


@dataclass(frozen=True, eq=False)
class TrialSetup:
    """Model and objectives that all trials of a search share."""

    forecaster: Forecaster | Classifier
    objectives: Sequence[Objective]  # the newest origin first
    max_epochs: int | None  # the model's own number unless given
    seed: int  # of models without one

    def model(self, settings: Settings) -> Any:
        """Return the model of a trial, which trains on all it is given: the objectives validate."""
        model = clone_with_seed(self.forecaster, self.seed).set_params(**settings, **self.objectives[0].settings)
        if trains_in_epochs(model):
            model.set_params(validation=None, patience=None, refit=False, verbose=0)
            if self.max_epochs is not None:
                model.set_params(max_epochs=self.max_epochs)
        return model


@dataclass(frozen=True)
class Score:
    """Score of a trial after an epoch."""

    epoch: int
    skill: float  # mean over the objectives at this epoch
    start: float  # skill at epoch 0, which is not reported for itself
    best_skill: float


def clone_with_seed(model: Forecaster | Classifier, seed: int) -> Any:
    """Return a clone whose random_state is `seed` where the model has none."""
    copy = clone(model)
    if copy.get_params().get("random_state", 0) is None:
        copy.set_params(random_state=seed)
    return copy


def trains_in_epochs(model: Any) -> bool:
    """Return whether a model is a network, which can be scored while it trains."""
    return {"max_epochs", "validation", "patience", "refit"} <= set(model.get_params(deep=False))


def run_job(
    setup: TrialSetup,
    space: Space,
    run: RunConfig,
    job: dict[str, Any],
    report: Callable[[Score], None],
    restore: Callable[[Path], object] | None = None,
) -> None:
    """Run the trial of a job in its folder, whose state `restore` replaces where a trial goes on elsewhere."""
    folder, reported = run.trial_folder(job["trial"]), job["reported"]
    folder.mkdir(parents=True, exist_ok=True)
    with _threads(run), FileLock(folder / "lock", timeout=LOCK_TIMEOUT):  # a killed search may leave a worker behind
        if restore:
            reported = None
            if (folder / FIT).exists():
                shutil.rmtree(folder / FIT)
            (folder / LOSSES).unlink(missing_ok=True)
            restore(folder)
        settings = space.settings(space.decode(job["code"]))
        with alike(run.spec.trials):
            run_trial(setup, settings, folder, report, reported, run.pauses, run.spec.stopping == "pbt")


@contextmanager
def _threads(run: RunConfig) -> Iterator[None]:
    """Let torch use one thread where trials may share the cores, so that a trial has the same numbers anywhere."""
    import torch

    usual = torch.get_num_threads()
    if run.resources.get("cpu", 1) <= 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def run_trial(
    setup: TrialSetup,
    settings: Settings,
    folder: Path,
    report: Callable[[Score], None],
    reported: int | None = None,
    pauses: bool = True,
    mutates: bool = False,
) -> None:
    """Fit on the training part, and report a score for each epoch.

    Older validation origins come first, whole; the newest one is trained epoch by epoch, so that a scheduler can stop
    it. `folder` holds the state of the trial, from which an interrupted one goes on; `report` is called when it holds
    the losses of an epoch, and, where trials pause, its weights, which are up to a minute old elsewhere. `reported` is
    the last epoch that was reported before, all that the folder holds unless given. With `mutates` the folder may be
    that of a trial with other settings, whose weights are taken over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest, *others = setup.objectives
    older = [
        _losses_by_epoch(setup.model(settings), objective, folder / f"origin-{number}.npy")
        for number, objective in enumerate(others, 1)
    ]
    losses = list(_read_losses(folder / LOSSES)) if (folder / LOSSES).exists() else []
    model = setup.model(settings)
    trains = trains_in_epochs(model) and model.get_params()["max_epochs"] != 0
    last = max(0, len(losses) - 1 if reported is None else reported)
    skills: list[float] = []

    def report_epoch(epoch: int) -> None:
        rest = [objective.skill(rows[epoch]) for objective, rows in zip(others, older, strict=True)]
        skills.append(float(np.mean([newest.skill(losses[epoch]), *rest])))
        # Epoch 0 is untrained and goes along as `start`; earlier epochs were reported before.
        if epoch > last or not trains:
            report(Score(epoch, skills[-1], skills[0], max(skills)))

    def score(epoch: int) -> None:
        if epoch < len(losses):
            return
        losses.append(_finite_losses(newest, model))
        _append_losses(folder / LOSSES, losses[-1])
        report_epoch(epoch)

    (folder / LOSSES).unlink(missing_ok=True)
    if losses:  # the last one that the file held may be cut short
        _write_losses(folder / LOSSES, losses)
    for epoch in range(len(losses)):
        report_epoch(epoch)
    if not trains:
        newest.fit(model)
        score(0)
        return
    resumes = (folder / FIT).exists()
    if resumes and mutates:
        adapt(folder / FIT, **{name: value for name, value in model.get_params().items() if name in MUTABLE})
    newest.fit(
        model,
        checkpoint=folder / FIT,
        checkpoint_every=1 if pauses else "1min",
        resume_from=folder / FIT if resumes else None,
        on_epoch=lambda epoch: score(epoch.number),
    )


def judge(objectives: Sequence[Objective], folders: Iterable[Path]) -> Honest | None:
    """Return the score of a search from the folders of its trials; None where no trial has one."""
    found = [losses_of_trial(folder, len(objectives)) for folder in folders if (folder / LOSSES).exists()]
    scored = [losses for losses in found if len(losses)]
    return honest_skill(objectives, scored) if scored else None


def losses_of_trial(folder: Path, origins: int) -> NDArray[np.float64]:
    """Return the losses of a trial at each epoch in the cases of all origins, (epochs, n)."""
    newest = _read_losses(folder / LOSSES)
    older = [np.load(folder / f"origin-{number}.npy")[: len(newest)] for number in range(1, origins)]
    return np.concatenate([newest, *older], axis=1) if len(newest) else newest


def _losses_by_epoch(model: Any, objective: Objective, file: Path) -> NDArray[np.float64]:
    """Return the losses on an older origin at each epoch, (epochs, n); read from `file` where it exists."""
    if file.exists():
        return np.asarray(np.load(file))
    rows: list[NDArray[np.float64]] = []
    if trains_in_epochs(model):
        objective.fit(model, on_epoch=lambda epoch: rows.append(_finite_losses(objective, model)))
    else:
        rows.append(_finite_losses(objective, objective.fit(model)))
    _write_losses(file, rows)
    return np.stack(rows)


def _append_losses(file: Path, row: NDArray[np.float64]) -> None:
    with file.open("ab") as rows:
        np.save(rows, row[None])


def _read_losses(file: Path) -> NDArray[np.float64]:
    """Return the losses of all epochs that a file holds whole, (epochs, n)."""
    rows = []
    with file.open("rb") as parts, suppress(EOFError, ValueError):
        while True:
            rows.append(np.load(parts))
    return np.concatenate(rows) if rows else np.empty((0, 0))


def _write_losses(file: Path, rows: list[NDArray[np.float64]]) -> None:
    with new_file(file) as unfinished:
        np.save(unfinished, np.stack(rows))


def _finite_losses(objective: Objective, model: Any) -> NDArray[np.float64]:
    """Return the losses of a model; TrainingError is raised where some are no finite numbers."""
    losses = objective.losses(model)
    if not np.isfinite(losses).all():
        raise TrainingError(
            f"{int((~np.isfinite(losses)).sum())} of {len(losses)} validation losses are no finite numbers; use "
            "smaller learning rates, or look for extreme values in the data"
        )
    return losses
