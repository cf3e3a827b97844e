"""How a search runs, and what its folder keeps of what it was asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
from platformdirs import user_data_dir

from tsforecast.data.fingerprint import fingerprint
from tsforecast.data.panel import Panel
from tsforecast.evaluation.record import machine, versions
from tsforecast.search.folder import About, begin
from tsforecast.search.space import Space
from tsforecast.search.trial import Assignment, trains_in_epochs

if TYPE_CHECKING:
    from tsforecast.search.search import RaySearch


@dataclass(frozen=True)
class Orders:
    """How a search runs; see `RaySearch`."""

    trials: int
    searcher: str
    scheduler: str
    epochs: int
    seed: int
    folder: Path
    time_budget: float | None
    resources: dict[str, float]
    address: str | None

    @property
    def pauses(self) -> bool:
        """Whether trials wait for others, and go on from copies of their own state or of another's."""
        return self.scheduler in ("hyperband", "pbt") or self.searcher == "bohb"

    def place(self, trial: int) -> Path:
        """Return where a trial keeps its state, and the losses of its epochs."""
        return self.folder / "trials" / f"{trial:05d}"


def prepare(search: RaySearch, panel: Panel, space: Space, assignment: Assignment, given: dict[str, str]) -> Orders:
    """Return how a search runs, and keep in its folder what it was asked; what is `given` besides belongs to it.

    Raises
    ------
    ParameterError, OutputError
        When the folder holds another search, or something else, or cannot be written to.
    """
    about = _about(search, panel, space, assignment)
    asked = {"data": fingerprint(panel), "forecaster": about.forecaster, "space": json.dumps(about.space)}
    for name in ("searcher", "scheduler", "metric", "random_state", "max_epochs", "validation", "validation_origins"):
        asked[name] = str(getattr(search, name))
    asked |= {name: str(value) for name, value in assignment.folds[0].settings.items()} | given
    folder = Path(search.storage or Path(user_data_dir("tsforecast"), "searches")).absolute()
    folder /= search.name or f"{type(search.forecaster).__name__}-{joblib.hash(asked)[:12]}"
    begin(folder, asked, about, search.resume)
    return Orders(
        trials=about.trials,
        searcher=search.searcher,
        scheduler=search.scheduler,
        epochs=about.epochs,
        seed=search.random_state,
        folder=folder,
        time_budget=search.time_budget,
        resources=dict(search.resources_per_trial or {"cpu": 1}),
        address=search.address,
    )


def _about(search: RaySearch, panel: Panel, space: Space, assignment: Assignment) -> About:
    model, newest = assignment.model({}), assignment.folds[0]
    return About(
        data=repr(panel).removeprefix("Panel: "),
        forecaster=" ".join(repr(search.forecaster).split()),
        space=space.plain(),
        season_length=panel.season_length,
        epochs=int(model.get_params()["max_epochs"]) if trains_in_epochs(model) else 0,
        trials=sum(1 for _ in islice(space.grid(), search.trials)) if search.searcher == "grid" else search.trials,
        horizon=newest.settings.get("horizon", 0),
        metric=newest.metric,
        reference=newest.reference,
        cutoffs=sum(len(fold.weights) for fold in assignment.folds),
        origins=len(assignment.folds),
        searcher=search.searcher,
        scheduler=search.scheduler,
        made=datetime.now().astimezone().isoformat(timespec="seconds"),
        versions=versions() | {name: version(name) for name in ("ray", "optuna")},
        machine=machine(),
    )
