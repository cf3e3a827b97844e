"""Searchers and schedulers of Ray on our spaces, and how both are warm-started with earlier trials."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray import tune
from ray.tune import schedulers
from ray.tune.search import Searcher

from tsforecast.errors import ParameterError
from tsforecast.search.space import ONLY_WITH, Range, Settings, Space
from tsforecast.search.storage import RunConfig, TrialRecord
from tsforecast.search.trial import MUTABLE, TrialSetup

JOB = "job"  # the only key of a trial's config in Ray
SCORE: dict[str, Any] = {"metric": "best_skill", "mode": "max"}
GRACE = 4  # a trial runs for this part of all epochs before it may be stopped
REDUCTION = 3  # one trial of so many goes on


@dataclass
class Rules:
    """Which trials are left to run, and which of them are stopped."""

    searcher: SeededSearcher | None  # proposes the jobs, where they are no list
    jobs: list[dict[str, Any]]
    left: int  # trials
    scheduler: schedulers.TrialScheduler

    @classmethod
    def of(cls, setup: TrialSetup, space: Space, config: RunConfig, earlier: list[TrialRecord]) -> Rules:
        """Return the rules of a search that goes on after `earlier` trials."""
        spec = config.spec
        start = space.start(setup.model({}).get_params())
        searcher, listed = make_searcher(spec.searcher, space, spec.trials, config.seed, start, earlier)
        scheduler = make_scheduler(spec.stopping, space, spec.epochs)
        if not config.pauses:
            warm_start(scheduler, earlier)
        left = max(0, spec.trials - len(earlier)) + sum(not record.is_over(spec.epochs) for record in earlier)
        seeded = SeededSearcher(searcher, earlier, spec.epochs) if searcher else None
        return cls(seeded, remaining_jobs(listed, earlier, spec.epochs), left, scheduler)


def make_searcher(
    kind: str, space: Space, trials: int, seed: int, start: Settings, earlier: list[TrialRecord]
) -> tuple[Searcher | None, list[Settings]]:
    """Return Ray's searcher and no list, or no searcher and the list of settings to try one after the other.

    The first trial has the settings `start`, except of a grid, so that a search does not end below them. A searcher
    proposes the settings of `earlier` trials again before any of its own; a list has them already. ParameterError is
    raised when the package of the searcher is not installed.
    """
    if kind == "grid":
        return None, [space.encode(settings) for settings in islice(space.grid(), trials)]
    if kind == "random":
        random = np.random.default_rng(seed)
        drawn = [space.active(start), *(space.draw(random) for _ in range(trials - 1))]
        return None, [space.encode(settings) for settings in drawn]
    begin = start if kind == "hyperopt" else space.active(start)  # HyperOpt needs a value for every setting
    first = [record.code for record in earlier] or [space.encode(begin)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental and deprecated features of other packages
        return (_hyperopt(space, seed, first) if kind == "hyperopt" else _optuna(kind, space, seed, first)), []


def make_scheduler(kind: str, space: Space, epochs: int) -> schedulers.TrialScheduler:
    """Return Ray's scheduler for trials of so many epochs; `kind` as in `SearchSpec.stopping`.

    ParameterError is raised when there is nothing for population based training to vary.
    """
    longest, grace = max(1, epochs), max(1, epochs // GRACE)
    halving: dict[str, Any] = {"time_attr": "epoch", "max_t": longest, "reduction_factor": REDUCTION, **SCORE}
    if kind == "asha":
        return schedulers.AsyncHyperBandScheduler(grace_period=grace, **halving)
    if kind == "hyperband":
        return schedulers.HyperBandScheduler(**halving)
    if kind == "median":
        never: Any = float("inf")  # never pause a trial: resuming would need a new actor
        return schedulers.MedianStoppingRule("epoch", grace_period=grace, min_time_slice=never, **SCORE)
    if kind == "pbt":
        mutations = {name: _ray_domain(space.domains[name]) for name in MUTABLE if name in space.domains}
        if not mutations:
            raise ParameterError(
                f"scheduler 'pbt' must have something to vary while it trains: add one of {', '.join(MUTABLE)} to the "
                "space, or use scheduler='asha'"
            )
        varied: Any = {JOB: {"code": mutations}}
        return _Population("epoch", perturbation_interval=grace, hyperparam_mutations=varied, log_config=False, **SCORE)
    return schedulers.FIFOScheduler()  # type: ignore[no-untyped-call]


def make_job(number: int, code: Settings, before: TrialRecord | None = None) -> dict[str, Any]:
    """Return the job of a trial, from which a worker process starts it; `before` is what was logged of it already."""
    reported = max(before.skills, default=0) if before else 0
    seconds = before.seconds if before and before.skills else 0.0
    return {"trial": number, "code": code, "reported": reported, "seconds": seconds}


def remaining_jobs(codes: list[Settings], earlier: list[TrialRecord], epochs: int) -> list[dict[str, Any]]:
    """Return the jobs of a list of settings that are left to do, those that were cut short first."""
    started = {record.trial for record in earlier}
    resumed = [make_job(record.trial, record.code, record) for record in earlier if not record.is_over(epochs)]
    return resumed + [make_job(number, code) for number, code in enumerate(codes, 1) if number not in started]


class SeededSearcher(Searcher):
    """A searcher of Ray's, seeded with the results of earlier trials, that numbers new ones.

    The first points that the `inner` searcher, a new one, evaluates must be those of `earlier`.
    """

    def __init__(self, inner: Searcher, earlier: list[TrialRecord], epochs: int) -> None:
        super().__init__(**SCORE)
        self.inner = inner
        self.count = max((record.trial for record in earlier), default=0)
        self.names: dict[str, str] = {}  # trial id of Ray -> trial id of the inner searcher
        self.waiting: list[tuple[str, TrialRecord]] = []
        for record in earlier:
            name = f"earlier-{record.trial}"
            self.inner.suggest(name)  # the point of `record`: they are proposed in this order
            if not record.is_over(epochs):
                self.waiting.append((name, record))
            elif record.error or not record.skills:
                self.inner.on_trial_complete(name, error=True)
            else:
                result = _result_at(record, max(record.skills))
                self.inner.on_trial_result(name, result)
                self.inner.on_trial_complete(name, result)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the job of the next trial: first those that were cut short."""
        if self.waiting:
            self.names[trial_id], record = self.waiting.pop(0)
            return {JOB: make_job(record.trial, record.code, record)}
        self.names[trial_id] = trial_id
        code = self.inner.suggest(trial_id)
        if not isinstance(code, dict):
            return code
        self.count += 1
        return {JOB: make_job(self.count, code)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on the result of an epoch."""
        self.inner.on_trial_result(self.names[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass on the last result of a trial."""
        self.inner.on_trial_complete(self.names[trial_id], result, error)

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Pass on the properties of the search."""
        return self.inner.set_search_properties(metric, mode, config, **spec)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the trial log has it all."""


@dataclass(frozen=True)
class _EarlierTrial:
    """The attributes that a scheduler reads of a trial that is over."""

    trial_id: str


def warm_start(scheduler: schedulers.TrialScheduler, earlier: list[TrialRecord]) -> None:
    """Replay earlier trials to a scheduler that compares trials at the same epoch."""
    no_controller: Any = SimpleNamespace(get_live_trials=list)
    for record in earlier:
        trial: Any = _EarlierTrial(f"earlier-{record.trial}")
        scheduler.on_trial_add(no_controller, trial)
        for epoch in sorted(record.skills)[1:]:
            action = scheduler.on_trial_result(no_controller, trial, _result_at(record, epoch))
            if action == schedulers.TrialScheduler.STOP:
                break


def _result_at(record: TrialRecord, epoch: int) -> dict[str, Any]:
    """Return the result that Ray got of a trial at an epoch."""
    best = max(skill for number, skill in record.skills.items() if number <= epoch)
    return {"epoch": epoch, "training_iteration": max(1, epoch), SCORE["metric"]: best}


class _Population(schedulers.PopulationBasedTraining):
    """Population based training in which a trial that takes over another's settings keeps its number."""

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        return {JOB: {**trial.config[JOB], "code": config[JOB]["code"]}}, operations


def _ray_domain(domain: list[Any] | Range) -> Any:
    """Return a domain as Ray has it: the indices of choices, or a range."""
    if isinstance(domain, list):
        return list(range(len(domain)))
    if domain.whole:
        return (tune.lograndint if domain.log else tune.randint)(int(domain.low), int(domain.high) + 1)
    return tune.loguniform(domain.low, domain.high) if domain.log else tune.uniform(domain.low, domain.high)


def _optuna(kind: str, space: Space, seed: int, first: list[Settings]) -> Searcher:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if kind == "gp":
        sampler: optuna.samplers.BaseSampler = optuna.samplers.GPSampler(seed=seed)
    elif kind == "bohb":  # its densities are those of all settings together
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    else:
        sampler = optuna.samplers.TPESampler(seed=seed)
    return OptunaSearch(space=partial(_sample, space), sampler=sampler, points_to_evaluate=first, **SCORE)


def _sample(space: Space, trial: Any) -> None:
    """Sample the settings of an Optuna trial one after the other, only those that its cell has."""
    cells = space.domains.get("cell")
    cell = None
    for name in sorted(space.domains, key=lambda name: name != "cell"):
        domain = space.domains[name]
        if cell is not None and cell not in ONLY_WITH.get(name, (cell,)):
            continue
        if isinstance(domain, list):
            index = trial.suggest_categorical(name, list(range(len(domain))))
            cell = domain[index] if domain is cells else cell
        elif domain.whole:
            trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
        else:
            trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _hyperopt(space: Space, seed: int, first: list[Settings]) -> Searcher:
    try:
        import hyperopt  # noqa: F401
    except ImportError as error:
        raise ParameterError(
            f"searcher 'hyperopt' must have its package ({error}), which an extra installs: pip install "
            "'tsforecast-toolkit[hyperopt]'; or use searcher='tpe', which needs none"
        ) from error
    from ray.tune.search.hyperopt import HyperOptSearch

    domains = {name: _ray_domain(domain) for name, domain in space.domains.items()}
    choices = {name: tune.choice(indices) for name, indices in domains.items() if isinstance(indices, list)}
    dimensions = HyperOptSearch.convert_search_space(domains | choices)
    return HyperOptSearch(space=dimensions, random_state_seed=seed, points_to_evaluate=first, **SCORE)
