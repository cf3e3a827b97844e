"""RaySearch: many settings tried at once, scored on the same validation, with naive as trial 0."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from platformdirs import user_data_dir
from sklearn.base import clone

from tsforecast.checks import flag, one_of, share_or_count, whole
from tsforecast.data.fingerprint import fingerprint
from tsforecast.data.panel import Panel
from tsforecast.data.past import Past
from tsforecast.errors import ParameterError, TrainingError, TrainingWarning, raise_any, shorten
from tsforecast.evaluation.record import machine, versions
from tsforecast.files import write_or_return
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.registry import make
from tsforecast.search.folder import About, begin, conclude, read_search
from tsforecast.search.journal import read
from tsforecast.search.searchers import SCHEDULERS, SEARCHERS, pair_problems
from tsforecast.search.space import Range, Space
from tsforecast.search.trial import Assignment, losses_at_best, seeded, trains_in_epochs
from tsforecast.search.trials import trials_table
from tsforecast.search.validation import Validation, optimism, validations

_PLACES = ("storage", "name", "address", "resume")
METRICS = ("skill", "mase", "mae", "rmse", "smape", "rmsse")


class RaySearch(Forecaster):
    """Try many settings of a forecaster with Ray, and forecast with the best.

    All trials are scored on the same targets, whatever their window: forecasts from the cutoffs of the validation
    part, with nothing but what lies before each. The naive forecast is trial 0. A network is scored at each epoch, and
    its score is that of its best one. What the search chose looks better on the targets that chose it than it is; by
    how much is estimated (`optimism_`).

    Parameters
    ----------
    forecaster : Forecaster
        Cloned; `NeuralForecaster` where cells are searched.
    space : dict
        Name of a setting to what is tried of it: a list of choices, a pair ``(low, high)`` of whole or other numbers,
        `log(low, high)`, or ``{"low": 8, "high": 128, "log": True}`` as a file may have it. A window may be said in
        seasons: ``"2 seasons"``. Settings that a cell does not have (``kernel_size`` belongs to ``conv1d``) are left
        out for it.
    trials : int
        How many settings to try; a grid ends earlier where it is smaller. Trial 1 has the forecaster's own settings
        where the space has them. A search that is resumed may ask for more.
    searcher : {"tpe", "gp", "random", "grid", "bohb", "hyperopt"}
        Tree-structured Parzen estimators [Bergstra et al. 2011] and Gaussian processes by Optuna; BOHB [Falkner et al.
        2018], which brings its own HyperBand, and HyperOpt need packages of their own.
    scheduler : {"auto", "asha", "hyperband", "median", "pbt", "none"}
        Which trials are stopped early: by asynchronous successive halving [Li et al. 2020], HyperBand [Li et al. 2018],
        those worse than the median of the others, or none. Population based training [Jaderberg et al. 2017] varies
        instead how weights are trained. Auto: ASHA, and HyperBand with BOHB.
    metric : {"skill", "mase", "mae", "rmse", "smape", "rmsse"}
        The error whose skill counts; "skill" is that of MASE.
    max_epochs : int, optional
        Of each trial; the forecaster's own number unless given.
    time_budget : float, optional
        Seconds after which no trial goes on; anew each time that a search is resumed.
    resources_per_trial : dict, optional
        Of Ray; ``{"cpu": 1}`` unless given.
    address : str, optional
        Of a Ray cluster: ``"auto"``, or ``"host:port"``. This machine unless given.
    storage : path, optional
        Folder for searches; one of the user's data folder unless given.
    name : str, optional
        Folder in `storage`; after data and settings unless given, so that the same search finds itself again.
    resume : {"auto", True, False}
        Go on with a search of this name: if there is one, or it is an error that there is none, or that there is one.
    random_state : int
        Of the searcher, and of forecasters without a seed.
    validation : float or int
        Share or number of last steps, or of whole groups, that score.
    validation_origins : int
        How many validation parts, one before the other, are averaged over; each trains a network of its own.
    horizon : int, optional
        Steps to forecast; the forecaster's own unless given.
    verbose : int
        1 shows progress: a bar at a terminal, else a line for each trial.

    Raises
    ------
    ParameterError
        When the space cannot work, with all that is wrong, before anything starts; when a cluster cannot be reached,
        or a searcher lacks its package.
    TrainingError
        When no trial has a score.
    OutputError
        When `storage` cannot be written to; what was kept goes on when there is room.

    Attributes
    ----------
    trials_ : pandas.DataFrame
        A row for each trial, naive first: ``trial, status, error, best_score, best_epoch, last_score, epochs, scores``
        (of every epoch reported), ``seconds``, and ``param_...`` for each setting.
    best_params_ : dict
        Empty where no trial beats the naive forecast.
    best_score_ : float
        Skill on validation.
    optimism_ : float
        By how much `best_score_` is likely to flatter.
    best_estimator_ : Forecaster
        Fitted with `best_params_` on all data, as a plain `fit` would; the best naive forecast where nothing beats it.
    cv_results_ : dict of arrays
        As scikit-learn's searches have it.
    reference_ : str
        The best naive forecast on the validation targets.
    folder_ : Path

    Examples
    --------
    >>> from tsforecast import NeuralForecaster
    >>> from tsforecast.search.space import log
    >>> space = {"cell": ["gru", "conv1d"], "units": [8, 16], "learning_rate": log(1e-3, 1e-1)}
    >>> search = RaySearch(NeuralForecaster(horizon=5), space, trials=20)
    >>> search.get_params()["searcher"], search.get_params()["scheduler"]
    ('tpe', 'auto')
    """

    def __init__(
        self,
        forecaster: Forecaster,
        space: Mapping[str, Any],
        *,
        trials: int = 50,
        searcher: str = "tpe",
        scheduler: str = "auto",
        metric: str = "skill",
        max_epochs: int | None = None,
        time_budget: float | None = None,
        resources_per_trial: Mapping[str, float] | None = None,
        address: str | None = None,
        storage: str | Path | None = None,
        name: str | None = None,
        resume: bool | str = "auto",
        random_state: int = 0,
        validation: float | int = 0.15,
        validation_origins: int = 1,
        horizon: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.forecaster = forecaster
        self.space = space
        self.trials = trials
        self.searcher = searcher
        self.scheduler = scheduler
        self.metric = metric
        self.max_epochs = max_epochs
        self.time_budget = time_budget
        self.resources_per_trial = resources_per_trial
        self.address = address
        self.storage = storage
        self.name = name
        self.resume = resume
        self.random_state = random_state
        self.validation = validation
        self.validation_origins = validation_origins
        self.horizon = horizon  # type: ignore[assignment]
        self.verbose = verbose

    def _fit(self, panel: Panel) -> None:
        from tsforecast.search.progress import show_trials
        from tsforecast.search.tuner import tune

        assignment = self._assignment(panel)
        space = Space.of(self.space, panel.season_length)
        raise_any(self._space_problems(space, assignment), ParameterError)
        orders = self._orders(panel, space, assignment)
        before = [one for one in read(orders.folder) if one.over(orders.epochs)]
        best = max((skill for one in before for skill in one.skills.values()), default=0.0)
        with show_trials(self.verbose, space.told(orders.trials), orders.trials, len(before), best) as listener:
            tried = tune(assignment, space, orders, listener)
        self.folder_, self.reference_ = orders.folder, assignment.folds[0].reference
        self.trials_ = trials_table(tried, space, orders.epochs)
        self.optimism_ = _optimism([orders.place(one.trial) for one in tried], assignment.folds)
        conclude(self.folder_, self.optimism_)
        self._choose(panel, space)
        if over := self._cut_short(orders.trials):
            warnings.warn(f"{over}; fit again to go on", TrainingWarning, stacklevel=3)

    def _cut_short(self, trials: int) -> str:
        """Say how far the search came; nothing if it came to its end."""
        status = self.trials_["status"].iloc[1:]
        over = int((~status.isin(["cut short", "not run"])).sum())
        return f"the search was cut short: {over} of {trials} trials are over" if over < trials else ""

    def _choose(self, panel: Panel, space: Space) -> None:
        """Take the best trial and fit its settings on everything."""
        scores = self.trials_["best_score"].astype(float)
        if scores.iloc[1:].isna().all():
            errors = [error for error in self.trials_["error"].iloc[1:].unique() if error]
            if errors:
                raise TrainingError(f"a search must have a trial that does not fail: all did ({shorten(errors)})")
            raise TrainingError(
                "a search must have a trial that gets through an epoch: none did before it was cut short; fit again to "
                "go on, or give it a longer time_budget"
            )
        self.best_index_ = int(scores.fillna(-np.inf).idxmax())
        self.best_score_ = float(scores[self.best_index_])
        self.best_params_ = space.settings(self.trials_["params"][self.best_index_])
        model = make(self.reference_) if self.best_index_ == 0 else seeded(self.forecaster, self.random_state)
        self.members_ = [model.set_params(**self.best_params_, horizon=self.horizon_).fit(panel)]

    @property
    def best_estimator_(self) -> Forecaster:
        """The forecaster with `best_params_`, fitted on all data; the best naive forecast where nothing beats it."""
        if not self.members_:
            raise AttributeError("a search has a best estimator once it was fitted: call fit(data)")
        found: Forecaster = self.members_[0]
        return found

    def saved_params(self) -> dict[str, Any]:
        """Return what was searched for and how; not where, which belongs to a machine and not to a model."""
        found = {name: value for name, value in super().saved_params().items() if name not in _PLACES}
        space = {
            name: {"low": domain.low, "high": domain.high, "log": domain.log} if isinstance(domain, Range) else domain
            for name, domain in self.space.items()
        }
        return found | {"space": space}

    def learned(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what the search found, all trials among it, but not its folder; see `Savable.learned`."""
        plain, numbers = super().learned()
        del plain["folder_"]
        return {**plain, "trials_": plain["trials_"].to_dict("list")}, numbers

    def restore(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Take back what `learned` returned; see `Savable.restore`."""
        super().restore({**learned, "trials_": pd.DataFrame(learned["trials_"])}, numbers)
        if len(self.members_) != 1:
            raise ValueError(f"a search must have one best estimator: got {len(self.members_)}")

    def forecast(self, past: Past, horizon: int) -> NDArray[np.float64]:
        """Return the forecasts of the best estimator, (n, H, K); see `Forecaster.forecast`."""
        return self.best_estimator_.forecast(past, horizon)

    def replaced(self, past: Past) -> NDArray[np.bool_]:
        """Say where a simpler forecast stands in for that of the best estimator; see `Forecaster.replaced`."""
        return self.best_estimator_.replaced(past)

    def view(self, panel: Panel) -> dict[str, NDArray[Any]]:
        """Return what trials are given and scored on; see `Forecaster.view`."""
        searching = clone(self)
        searching.horizon_ = int(panel.ready or searching._own_horizon())
        assignment = searching._assignment(panel)
        newest = assignment.folds[0]
        found: dict[str, NDArray[Any]] = assignment.model({}).view(newest.part)
        return found | {"validation targets": newest.truth, "validation scale": newest.scale, "naive": newest.naive}

    def report(self, path: str | Path | None = None, title: str | None = None) -> str | None:
        """Write the report to a file, or return it: one page of HTML that needs no network.

        Parameters
        ----------
        path : path, optional
        title : str, optional

        Raises
        ------
        NotFittedError, OutputError
        """
        from tsforecast.reporting.search_report import html_search

        self.check_fitted()
        if not hasattr(self, "folder_"):
            raise ParameterError(
                "the report of a search is drawn from its folder, which a saved search does not know: use tsforecast "
                "tune-report DIR, or read trials_"
            )
        return write_or_return(html_search(read_search(self.folder_), title), path)

    @property
    def cv_results_(self) -> dict[str, Any]:
        """What scikit-learn's searches tell of their candidates; naive is none of them."""
        tried = self.trials_.iloc[1:]
        scores = tried["best_score"].to_numpy(dtype=float)
        order = (-pd.Series(scores)).rank(method="min", na_option="bottom").astype(int).to_numpy()
        names = [name for name in tried.columns if name.startswith("param_")]
        return {
            "params": tried["params"].tolist(),
            **{name: np.ma.masked_array(tried[name].to_numpy(dtype=object), tried[name].isna()) for name in names},
            "mean_test_score": scores,
            "std_test_score": np.zeros(len(tried)),
            "rank_test_score": order,
            "split0_test_score": scores,
            "mean_fit_time": tried["seconds"].to_numpy(dtype=float),
        }

    def _assignment(self, panel: Panel) -> Assignment:
        metric = "mase" if self.metric == "skill" else self.metric
        folds = validations(panel, self.horizon_, self.validation, self.validation_origins, metric)
        return Assignment(self.forecaster, folds, self.max_epochs, self.random_state)

    def _orders(self, panel: Panel, space: Space, assignment: Assignment) -> Any:
        """Return how the search runs, and keep what it was asked in its folder."""
        from tsforecast.search.tuner import Orders

        about = self._about(panel, space, assignment)
        asked = {"data": fingerprint(panel), "forecaster": about.forecaster, "space": json.dumps(about.space)}
        for name in ("searcher", "scheduler", "metric", "random_state", "max_epochs", "validation"):
            asked[name] = str(getattr(self, name))
        asked |= {"validation_origins": str(self.validation_origins), "horizon": str(self.horizon_)}
        folder = Path(self.storage or Path(user_data_dir("tsforecast"), "searches")).absolute()
        folder /= self.name or f"{type(self.forecaster).__name__}-{joblib.hash(asked)[:12]}"
        begin(folder, asked, about, self.resume)
        return Orders(
            trials=about.trials,
            searcher=self.searcher,
            scheduler=self.scheduler,
            epochs=about.epochs,
            seed=self.random_state,
            folder=folder,
            time_budget=self.time_budget,
            resources=dict(self.resources_per_trial or {"cpu": 1}),
            address=self.address,
        )

    def _about(self, panel: Panel, space: Space, assignment: Assignment) -> About:
        model = assignment.model({})
        return About(
            data=repr(panel).removeprefix("Panel: "),
            forecaster=" ".join(repr(self.forecaster).split()),
            space=space.plain(),
            season_length=panel.season_length,
            epochs=int(model.get_params()["max_epochs"]) if trains_in_epochs(model) else 0,
            trials=sum(1 for _ in islice(space.grid(), self.trials)) if self.searcher == "grid" else self.trials,
            horizon=self.horizon_,
            metric=assignment.folds[0].metric,
            reference=assignment.folds[0].reference,
            cutoffs=sum(len(fold.weights) for fold in assignment.folds),
            origins=len(assignment.folds),
            searcher=self.searcher,
            scheduler=self.scheduler,
            made=datetime.now().astimezone().isoformat(timespec="seconds"),
            versions=versions() | {name: version(name) for name in ("ray", "optuna")},
            machine=machine(),
        )

    def _space_problems(self, space: Space, assignment: Assignment) -> list[str]:
        part = assignment.folds[-1].part
        return space.problems(self.forecaster, part, int(part.lengths.min()) - self.horizon_)

    def _own_horizon(self) -> int:
        return self.horizon or self.forecaster._own_horizon()

    def _problems(self) -> list[str]:
        if not isinstance(self.forecaster, Forecaster):
            return [f"forecaster must be one of tsforecast's: got {self.forecaster!r}"]
        problems = whole("trials", self.trials, 1) + whole("horizon", self.horizon, 1, [None])
        problems += one_of("searcher", self.searcher, SEARCHERS) + one_of("scheduler", self.scheduler, SCHEDULERS)
        problems += one_of("metric", self.metric, METRICS) + whole("max_epochs", self.max_epochs, 1, [None])
        problems += whole("random_state", self.random_state, 0) + share_or_count("validation", self.validation)
        problems += whole("validation_origins", self.validation_origins, 1)
        problems += pair_problems(self.searcher, self.scheduler)
        if self.resume != "auto":
            problems += flag("resume", self.resume)
        if self.time_budget is not None and not (isinstance(self.time_budget, (int, float)) and self.time_budget > 0):
            problems.append(f"time_budget must be a number of seconds above 0: got {self.time_budget!r}")
        return problems + [f"{problem} (of the forecaster)" for problem in self.forecaster._problems()]


def _optimism(places: list[Path], folds: list[Validation]) -> float:
    """Return the optimism of the best of all trials of which losses were kept, and naive."""
    losses = [found for place in places if (found := losses_at_best(place, folds)) is not None]
    naive = np.concatenate([fold.naive for fold in folds])
    return optimism(folds, np.stack([naive, *losses])) if losses else float("nan")
