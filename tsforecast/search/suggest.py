"""How settings are proposed, and which trials are stopped early: ray's searchers and schedulers on our spaces."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler
from ray.tune.search import Searcher

from tsforecast.errors import ParameterError
from tsforecast.search.journal import Tried
from tsforecast.search.space import ONLY_WITH, Range, Settings, Space
from tsforecast.search.trial import MUTABLE

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
    has_observations = {one.trial for one in earlier}
    going_on = [job(one.trial, one.code, one) for one in earlier if not one.over(epochs)]
    return going_on + [job(number, code) for number, code in enumerate(codes, 1) if number not in has_observations]


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


SEARCHERS = ("random", "grid", "tpe", "gp", "bohb", "hyperopt")
SCHEDULERS = ("auto", "asha", "hyperband", "median", "pbt", "none")
EXTRAS = {"bohb": "hpbandster ConfigSpace", "hyperopt": "hyperopt"}
SCORE: dict[str, Any] = {"metric": "best_skill", "mode": "max"}
GRACE = 4  # a trial runs for this part of all epochs before it may be stopped
REDUCTION = 3  # one of so many goes on


def proposals(
    kind: str, space: Space, trials: int, seed: int, start: Settings, before: list[Settings]
) -> tuple[Any, list[Settings]]:
    """Return ray's searcher and no list, or no searcher and a list of settings that are tried one after the other.

    Parameters
    ----------
    kind : str
    space : Space
    trials : int
    seed : int
    start : dict
        What is tried first, but by a grid: good settings, so that a search does not end below them.
    before : list of dict
        Codes of earlier trials, which a searcher proposes again before any of its own; a list has them already.

    Raises
    ------
    ParameterError
        When the package of the searcher is not there.
    """
    if kind == "grid":
        return None, [space.encode(settings) for settings in islice(space.grid(), trials)]
    if kind == "random":
        random = np.random.default_rng(seed)
        drawn = [space.active(start), *(space.draw(random) for _ in range(trials - 1))]
        return None, [space.encode(settings) for settings in drawn]
    begin = start if kind == "hyperopt" else space.active(start)  # HyperOpt wants a word on everything
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what other packages deprecate is not the user's concern
            make = {"tpe": _optuna, "gp": _optuna, "bohb": _bohb, "hyperopt": _hyperopt}[kind]
            return make(kind, space, seed, before or [space.encode(begin)]), []
    except ImportError as error:
        raise ParameterError(
            f"searcher {kind!r} must have its package ({error}): pip install {EXTRAS.get(kind, 'optuna')}"
        ) from error


def scheduler(kind: str, searcher: str, space: Space, epochs: int) -> Any:
    """Return ray's scheduler for trials of so many epochs.

    Raises
    ------
    ParameterError
        When there is nothing that a population could vary.
    """
    from ray.tune import schedulers

    longest, grace = max(1, epochs), max(1, epochs // GRACE)
    halving: dict[str, Any] = {"time_attr": "epoch", "max_t": longest, "reduction_factor": REDUCTION, **SCORE}
    if searcher == "bohb":
        return schedulers.HyperBandForBOHB(**halving)
    if kind in ("asha", "auto"):
        return schedulers.AsyncHyperBandScheduler(grace_period=grace, **halving)
    if kind == "hyperband":
        return schedulers.HyperBandScheduler(**halving)
    if kind == "median":
        never: Any = float("inf")  # lets no trial wait for others: it would need its process again
        return schedulers.MedianStoppingRule("epoch", grace_period=grace, min_time_slice=never, **SCORE)
    if kind == "pbt":
        mutations = {name: _mutation(space.domains[name]) for name in MUTABLE if name in space.domains}
        if not mutations:
            raise ParameterError(
                f"scheduler 'pbt' must have something to vary while it trains: add one of {', '.join(MUTABLE)} to the "
                "space, or use scheduler='asha'"
            )
        varied: Any = {JOB: {"code": mutations}}
        return Population("epoch", perturbation_interval=grace, hyperparam_mutations=varied, log_config=False, **SCORE)
    return schedulers.FIFOScheduler()  # type: ignore[no-untyped-call]


def pair_problems(searcher: str, scheduler: str) -> list[str]:
    """Return what is wrong with a searcher and a scheduler beside each other."""
    if searcher == "bohb" and scheduler not in ("auto", "hyperband"):
        return [f"searcher 'bohb' must come with its HyperBand: got scheduler={scheduler!r}; leave scheduler out"]
    if scheduler == "pbt" and searcher not in ("random", "grid"):
        return [
            "scheduler 'pbt' must come with searcher='random' or 'grid', since it proposes settings itself: got "
            f"{searcher!r}"
        ]
    return []


def _mutation(domain: list[Any] | Range) -> Any:
    from ray import tune

    if isinstance(domain, list):
        return list(range(len(domain)))
    if domain.whole:
        return (tune.lograndint if domain.log else tune.randint)(int(domain.low), int(domain.high) + 1)
    return tune.loguniform(domain.low, domain.high) if domain.log else tune.uniform(domain.low, domain.high)


def _optuna(kind: str, space: Space, seed: int, first: list[Settings]) -> Any:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.GPSampler(seed=seed) if kind == "gp" else optuna.samplers.TPESampler(seed=seed)
    return OptunaSearch(space=partial(_suggest, space), sampler=sampler, points_to_evaluate=first, **SCORE)


def _suggest(space: Space, trial: Any) -> None:
    """Ask an optuna trial for one setting after the other, for those only that its cell has."""
    cells = space.domains.get("cell")
    ordered = sorted(space.domains, key=lambda name: name != "cell")
    cell = None
    for name in ordered:
        domain = space.domains[name]
        if cell is not None and cell not in ONLY_WITH.get(name, (cell,)):
            continue
        if isinstance(domain, list):
            place = trial.suggest_categorical(name, list(range(len(domain))))
            cell = domain[place] if domain is cells else cell
        elif domain.whole:
            trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
        else:
            trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _bohb(kind: str, space: Space, seed: int, first: list[Settings]) -> Any:
    import ConfigSpace
    from ray.tune.search.bohb import TuneBOHB

    found = ConfigSpace.ConfigurationSpace(seed=seed)
    for name, domain in space.domains.items():
        if isinstance(domain, list):
            found.add(ConfigSpace.Categorical(name, list(range(len(domain)))))
        elif domain.whole:
            found.add(ConfigSpace.Integer(name, (int(domain.low), int(domain.high)), log=domain.log))
        else:
            found.add(ConfigSpace.Float(name, (domain.low, domain.high), log=domain.log))
    listed = space.domains.get("cell")
    cells = listed if isinstance(listed, list) else []
    for name in sorted(set(space.domains) & set(ONLY_WITH)):
        places = [place for place, cell in enumerate(cells) if cell in ONLY_WITH[name]]
        if 0 < len(places) < len(cells):
            found.add(ConfigSpace.InCondition(found[name], found["cell"], places))
    return TuneBOHB(space=found, seed=seed, points_to_evaluate=first, **SCORE)


def _hyperopt(kind: str, space: Space, seed: int, first: list[Settings]) -> Any:
    from hyperopt import hp
    from ray.tune.search.hyperopt import HyperOptSearch

    found: dict[str, Any] = {}
    for name, domain in space.domains.items():
        if isinstance(domain, list):
            found[name] = hp.choice(name, list(range(len(domain))))
        elif domain.whole and domain.log:
            found[name] = hp.qloguniform(name, np.log(domain.low), np.log(domain.high), 1)
        elif domain.whole:
            found[name] = hp.uniformint(name, domain.low, domain.high)
        elif domain.log:
            found[name] = hp.loguniform(name, np.log(domain.low), np.log(domain.high))
        else:
            found[name] = hp.uniform(name, domain.low, domain.high)
    return HyperOptSearch(space=found, random_state_seed=seed, points_to_evaluate=first, **SCORE)
