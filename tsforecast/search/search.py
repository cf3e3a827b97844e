"""RaySearch: many settings tried at once, scored on the same validation, with naive as trial 0."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if

from tsforecast.checks import flag, one_of, share_or_count, whole
from tsforecast.classifiers.base import Classifier
from tsforecast.classifiers.neural import NeuralClassifier
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError, Problem, TrainingError, TrainingWarning, raise_any, shorten
from tsforecast.events import observed
from tsforecast.files import write_or_return
from tsforecast.forecasters.base import Forecaster
from tsforecast.search import objective as recognition
from tsforecast.search.journal import read, trials_table
from tsforecast.search.objective import Fold, Validation, classification_objectives, optimism, validations
from tsforecast.search.space import Range, Space
from tsforecast.search.storage import conclude, read_search
from tsforecast.search.suggest import SCHEDULERS, SEARCHERS, pair_problems
from tsforecast.search.trial import Assignment, losses_at_best, seeded
from tsforecast.search.tuner import prepare

_PLACES = ("storage", "name", "address", "resume")
METRICS = ("skill", "mase", "mae", "rmse", "smape", "rmsse")


def _recognises(search: Any) -> bool:
    """Tell whether a search is one over classifiers."""
    return isinstance(search.forecaster, Classifier)


class RaySearch(Forecaster):
    """Try many settings of a forecaster, or of a classifier, with Ray, and answer with the best.

    All trials are scored on the same targets, whatever their window: forecasts from the cutoffs of the validation
    part, with nothing but what lies before each. The naive forecast is trial 0. Classifiers are scored on the same
    recordings, of other groups than those that train where there are groups; their trial 0 is the majority classifier.
    A network is scored at each epoch, and its score is that of its best one. What the search chose looks better on the
    targets that chose it than it is; by how much is estimated (`optimism_`).

    Parameters
    ----------
    forecaster : Forecaster or Classifier
        Cloned; `NeuralForecaster` or `NeuralClassifier` where cells are searched.
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
    metric : {"skill", "mase", "mae", "rmse", "smape", "rmsse"} or {"skill", "error", "log_loss"}
        The error whose skill counts; "skill" is that of MASE, or, of a classifier, that of wrong labels.
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
        Share or number of last steps, or of whole groups, that score; of recordings without groups, of each class
        alike.
    validation_origins : int
        How many validation parts, one before the other, or each of other groups, are averaged over; each trains a
        network of its own.
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
    complete_ : bool
        Whether all trials are over; a search that was cut short goes on when it is fitted again.
    best_estimator_ : Forecaster or Classifier
        Fitted with `best_params_` on all data, as a plain `fit` would; the best naive one where nothing beats it.
    cv_results_ : dict of arrays
        As scikit-learn's searches have it.
    reference_ : str
        The best naive forecast on the validation targets, or "majority".
    classes_ : array of shape (K,)
        The labels, of a classifier.
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
        forecaster: Forecaster | Classifier,
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

    def fit(self, data: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Search, and fit the best settings on everything.

        Parameters
        ----------
        data, y, sample_weight
            As the forecaster's, or classifier's, own `fit` takes them.
        groups : array of shape (N,), optional
            Who or what each recording is of, for a classifier; a panel brings its own. Whole groups score.

        Raises
        ------
        ParameterError, DataError, TrainingError, OutputError
        """
        if not _recognises(self):
            if groups is not None:
                raise ParameterError("groups belong to recordings: series name theirs with Panel.from_frame(group=...)")
            return super().fit(data, y, sample_weight)
        if sample_weight is not None:
            raise ParameterError(
                "sample_weight belongs to supervised windows: recordings have class_weight, and groups=..., by name"
            )
        raise_any(self._problems(), ParameterError)
        reader = clone(self.forecaster)
        panel, labels, groups = reader._checked(data, y, groups)
        metric = "error" if self.metric == "skill" else self.metric
        how = self.validation, self.validation_origins, metric, self.random_state
        folds = classification_objectives(panel, labels, reader.classes_, groups, *how)
        given = {"labels": joblib.hash((labels, reader.classes_, groups))}
        with observed(self, panel):
            self._search(panel, folds, given, lambda model: model.fit(data, y, groups))
            self.panel_ = panel
        return self

    def _fit(self, panel: Panel) -> None:
        self._search(panel, self._validations(panel), {}, lambda model: model.fit(panel))

    def _search(self, panel: Panel, folds: Sequence[Fold], given: dict[str, str], fit: Callable[[Any], Any]) -> None:
        """Try settings on the folds, and fit the best on everything; what is `given` besides must stay the same."""
        from tsforecast.search.tuner import show_trials, tune

        assignment = self._assignment(folds)
        space = Space.of(self.space, panel.season_length)
        raise_any(self._space_problems(space, assignment), ParameterError)
        orders = prepare(self, panel, space, assignment, given)
        before = [one for one in read(orders.folder) if one.over(orders.epochs)]
        best = max((skill for one in before for skill in one.skills.values()), default=0.0)
        self.folder_, self.reference_ = orders.folder, folds[0].reference
        shown = self.verbose, space.told(orders.trials), orders.trials, self.reference_, len(before), best
        with show_trials(*shown) as listener:
            tried = tune(assignment, space, orders, listener)
        self.trials_ = trials_table(tried, space, orders.epochs)
        self.optimism_ = _optimism([orders.place(one.trial) for one in tried], folds)
        conclude(self.folder_, self.optimism_)
        self._choose(space, folds[0], fit)
        over = int((~self.trials_["status"].iloc[1:].isin(["cut short", "not run"])).sum())
        self.complete_ = over >= orders.trials
        if not self.complete_:
            told = f"the search was cut short: {over} of {orders.trials} trials are over; fit again to go on"
            warnings.warn(told, TrainingWarning, stacklevel=3)

    def _choose(self, space: Space, fold: Fold, fit: Callable[[Any], Any]) -> None:
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
        model = seeded(self.forecaster, self.random_state) if self.best_index_ else fold.baseline()
        self.members_ = [fit(model.set_params(**self.best_params_, **fold.settings))]

    @property
    def best_estimator_(self) -> Any:
        """The model with `best_params_`, fitted on all data; the best naive one where nothing beats it."""
        if not self.members_:
            raise AttributeError("a search has a best estimator once it was fitted: call fit(data)")
        return self.members_[0]

    def predict(self, context: Any = None, *, future: Any = None, horizon: int | None = None) -> Any:
        """Forecast, or say the label of recordings, with the best settings; see the model's own `predict`.

        Raises
        ------
        NotFittedError, ParameterError, DataError
        """
        if not _recognises(self):
            return super().predict(context, future=future, horizon=horizon)
        self.check_fitted()
        if future is not None or horizon is not None:
            raise ParameterError("future and horizon belong to forecasts: a classifier takes recordings and no more")
        return self.best_estimator_.predict(context)

    @available_if(_recognises)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class of `classes_`, (N, K); see `Classifier.predict_proba`."""
        self.check_fitted()
        return np.asarray(self.best_estimator_.predict_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R2 of forecasts from supervised windows, or the share of recordings whose label is said."""
        if not _recognises(self):
            return super().score(X, y, sample_weight)
        self.check_fitted()
        return float(self.best_estimator_.score(X, y, sample_weight))

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, of a classifier that is fitted."""
        return np.asarray(self.best_estimator_.classes_)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect of `fit`."""
        return self.forecaster.__sklearn_tags__() if _recognises(self) else super().__sklearn_tags__()

    def saved_params(self) -> dict[str, Any]:
        """Return what was searched for and how; not where, which belongs to a machine and not to a model."""
        if isinstance(self.forecaster, Classifier):
            raise ParameterError(
                "a search over classifiers is saved by the best of them: call search.best_estimator_.save(folder); its "
                "trials stay in search.folder_"
            )
        found = {name: value for name, value in super().saved_params().items() if name not in _PLACES}
        space = {
            name: {"low": domain.low, "high": domain.high, "log": domain.log} if isinstance(domain, Range) else domain
            for name, domain in self.space.items()
        }
        return found | {"space": space}

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what the search found, all trials among it, but not its folder; see `Estimator.get_state`."""
        plain, numbers = super().get_state()
        del plain["folder_"]
        return {**plain, "trials_": plain["trials_"].to_dict("list")}, numbers

    def set_state(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Restore what `get_state` returned; see `Estimator.set_state`."""
        super().set_state({**learned, "trials_": pd.DataFrame(learned["trials_"])}, numbers)
        if len(self.members_) != 1:
            raise ValueError(f"a search must have one best estimator: got {len(self.members_)}")

    def forecast(self, past: Context, horizon: int) -> NDArray[np.float64]:
        """Return the forecasts of the best estimator, (n, H, K); see `Forecaster.forecast`."""
        return np.asarray(self.best_estimator_.forecast(past, horizon))

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Say where a simpler forecast stands in for that of the best estimator; see `Forecaster.replaced`."""
        return np.asarray(self.best_estimator_.is_fallback(past))

    def preprocessing_state(self, panel: Panel) -> dict[str, NDArray[Any]]:
        """Return what trials are given and scored on; see `Forecaster.preprocessing_state`."""
        searching = clone(self)
        searching.horizon_ = panel.horizon_or(searching._own_horizon())
        folds = searching._validations(panel)
        newest, assignment = folds[0], searching._assignment(folds)
        found: dict[str, NDArray[Any]] = assignment.model({}).preprocessing_state(newest.part)
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
        from tsforecast.search.report import html_search

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

    def _validations(self, panel: Panel) -> list[Validation]:
        metric = "mase" if self.metric == "skill" else self.metric
        return validations(panel, self.horizon_, self.validation, self.validation_origins, metric)

    def _assignment(self, folds: Sequence[Fold]) -> Assignment:
        epochs = self.max_epochs
        if epochs is None and isinstance(self.forecaster, NeuralClassifier):
            epochs = self.forecaster.epochs(len(folds[0].part))
        return Assignment(self.forecaster, folds, epochs, self.random_state)

    def _space_problems(self, space: Space, assignment: Assignment) -> list[str]:
        fold = assignment.folds[-1]
        return space.problems(self.forecaster, int(fold.part.lengths.min()) - fold.settings.get("horizon", 0))

    def _own_horizon(self) -> int:
        return self.horizon or self.forecaster._own_horizon()

    def _problems(self) -> list[str]:
        if not isinstance(self.forecaster, (Forecaster, Classifier)):
            return [f"forecaster must be a forecaster or classifier of tsforecast's: got {self.forecaster!r}"]
        metrics = ("skill", *recognition.METRICS) if _recognises(self) else METRICS
        problems = whole("trials", self.trials, 1) + whole("horizon", self.horizon, 1, [None])
        problems += one_of("searcher", self.searcher, SEARCHERS) + one_of("scheduler", self.scheduler, SCHEDULERS)
        problems += one_of("metric", self.metric, metrics) + whole("max_epochs", self.max_epochs, 1, [None])
        problems += whole("random_state", self.random_state, 0) + share_or_count("validation", self.validation)
        problems += whole("validation_origins", self.validation_origins, 1)
        problems += pair_problems(self.searcher, self.scheduler)
        if self.resume != "auto":
            problems += flag("resume", self.resume)
        if self.time_budget is not None and not (isinstance(self.time_budget, (int, float)) and self.time_budget > 0):
            must = "must be a number of seconds above 0"
            problems.append(Problem(must, f"got {self.time_budget!r}", parameter="time_budget"))
        own = map(Problem.of, self.forecaster._problems())
        return problems + [problem.within(after=" (of the forecaster)") for problem in own]


def _optimism(places: list[Path], folds: Sequence[Fold]) -> float:
    """Return the optimism of the best of all trials of which losses were kept, and naive."""
    losses = [found for place in places if (found := losses_at_best(place, folds)) is not None]
    naive = np.concatenate([fold.naive for fold in folds])
    return optimism(folds, np.stack([naive, *losses])) if losses else float("nan")
