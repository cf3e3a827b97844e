"""A search that goes on: a new searcher and a new scheduler are told what was tried before."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler
from ray.tune.search import Searcher

from tsforecast.search.journal import Tried
from tsforecast.search.searchers import SCORE
from tsforecast.search.space import Settings

JOB = "job"  # what ray calls the config of a trial holds this alone


def job(number: int, code: Settings, before: Tried | None = None) -> dict[str, Any]:
    """Return what a process must know of a trial.

    Parameters
    ----------
    number : int
        From 1 on; 0 is the naive forecast.
    code : dict
        Its settings; see `Space.decode`.
    before : Tried, optional
        What came of it before it was cut short.
    """
    reported = max(before.skills, default=0) if before else 0
    seconds = before.seconds if before and before.skills else 0.0
    return {"trial": number, "code": code, "reported": reported, "seconds": seconds}


def listed_jobs(codes: list[Settings], earlier: list[Tried], epochs: int) -> list[dict[str, Any]]:
    """Return the jobs of a list of settings that are left to do, those that were cut short first.

    Examples
    --------
    >>> done = Tried({"units": 0}, trial=1, skills={0: 0.0, 1: 0.2}, ended=True)
    >>> cut = Tried({"units": 1}, trial=2, skills={0: 0.0, 1: 0.1}, seconds=2.0)
    >>> [(one["trial"], one["reported"]) for one in listed_jobs([{"units": i} for i in range(3)], [done, cut], 4)]
    [(2, 1), (3, 0)]
    """
    begun = {one.trial for one in earlier}
    going_on = [job(one.trial, one.code, one) for one in earlier if not one.over(epochs)]
    return going_on + [job(number, code) for number, code in enumerate(codes, 1) if number not in begun]


class Remembering(Searcher):
    """A searcher of ray's that was told what was tried before, and numbers the trials.

    Parameters
    ----------
    inner : Searcher
        New; its first points to evaluate must be those of `earlier`.
    earlier : list of Tried
    epochs : int
        Of a trial that is not stopped.
    """

    def __init__(self, inner: Searcher, earlier: list[Tried], epochs: int) -> None:
        super().__init__(**SCORE)
        self.inner = inner
        self.count = max((one.trial for one in earlier), default=0)
        self.names: dict[str, str] = {}  # of a trial, by that which ray gave it
        self.waiting: list[tuple[str, Tried]] = []
        for one in earlier:
            name = f"earlier-{one.trial}"
            self.inner.suggest(name)  # the point of `one`: they are proposed in this order
            if not one.over(epochs):
                self.waiting.append((name, one))
            elif one.error or not one.skills:
                self.inner.on_trial_complete(name, error=True)
            else:
                told = result_at(one, max(one.skills))
                self.inner.on_trial_result(name, told)
                self.inner.on_trial_complete(name, told)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the settings of the next trial: first those that were cut short."""
        if self.waiting:
            self.names[trial_id], before = self.waiting.pop(0)
            return {JOB: job(before.trial, before.code, before)}
        self.names[trial_id] = trial_id
        code = self.inner.suggest(trial_id)
        if not isinstance(code, dict):
            return code
        self.count += 1
        return {JOB: job(self.count, code)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the searcher how a trial does."""
        self.inner.on_trial_result(self.names[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the searcher how a trial did."""
        self.inner.on_trial_complete(self.names[trial_id], result, error)

    def on_pause(self, trial_id: str) -> None:
        """Tell BOHB that its HyperBand lets a trial wait."""
        self.inner.on_pause(self.names[trial_id])  # type: ignore[attr-defined]

    def on_unpause(self, trial_id: str) -> None:
        """Tell BOHB that a trial goes on."""
        self.inner.on_unpause(self.names[trial_id])  # type: ignore[attr-defined]

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Answer ray that the space is known already."""
        return self.inner.set_search_properties(metric, mode, config, **spec)

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the journal has it all."""


@dataclass(frozen=True)
class _Earlier:
    """All that a scheduler wants to know of a trial that is over."""

    trial_id: str


def recall(scheduler: TrialScheduler, earlier: list[Tried]) -> None:
    """Tell a scheduler that compares trials at the same epoch what earlier ones reached there."""
    nobody: Any = SimpleNamespace(get_live_trials=list)
    for one in earlier:
        trial: Any = _Earlier(f"earlier-{one.trial}")
        scheduler.on_trial_add(nobody, trial)
        for epoch in sorted(one.skills)[1:]:
            if scheduler.on_trial_result(nobody, trial, result_at(one, epoch)) == TrialScheduler.STOP:
                break


def result_at(one: Tried, epoch: int) -> dict[str, Any]:
    """Return what ray was told of a trial at an epoch."""
    best = max(skill for number, skill in one.skills.items() if number <= epoch)
    return {
        "epoch": epoch,
        "training_iteration": max(1, epoch),
        SCORE["metric"]: best,
        "hyperband_info": {"budget": max(1, epoch)},
    }


class Population(PopulationBasedTraining):
    """Population based training in which a trial that takes over another's settings stays itself."""

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        return {JOB: {**trial.config[JOB], "code": config[JOB]["code"]}}, operations
