"""How settings are proposed, and which trials are stopped early: ray's searchers and schedulers on our spaces."""

from __future__ import annotations

import warnings
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from tsforecast.errors import ParameterError
from tsforecast.search.space import ONLY_WITH, Range, Settings, Space
from tsforecast.search.trial import MUTABLE

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

    from tsforecast.search.replay import JOB, Population

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
