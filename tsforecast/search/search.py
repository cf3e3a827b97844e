"""RaySearch: try many settings on the same validation, with the naive forecast as trial 0."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if

from tsforecast.checks import one_of, share_or_count
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.distributions.base import Distribution
from tsforecast.errors import Argument, ParameterError, Problem, TrainingError, TrainingWarning, raise_any, shorten
from tsforecast.estimators.base import Estimator, keyword_settings, setting
from tsforecast.estimators.network import NetworkEstimator
from tsforecast.evaluation.metrics import METRICS
from tsforecast.events import observed
from tsforecast.forecasters.base import Forecaster
from tsforecast.provenance import machine, versions
from tsforecast.search.interface import SearchViews
from tsforecast.search.objective import (
    CLASSIFICATION_METRICS,
    CRPS,
    ForecastObjective,
    Objective,
    classification_objectives,
    forecast_objectives,
)
from tsforecast.search.results import cv_results, own_settings
from tsforecast.search.space import Range, Space
from tsforecast.search.storage import (
    RunConfig,
    Scheduler,
    Searcher,
    SearchSpec,
    open_search,
    pair_problems,
    search_folder,
    trials_table,
    write_outcome,
)
from tsforecast.search.trial import TrialSetup, clone_with_seed, judge, trains_in_epochs
from tsforecast.sequences.classifier import Classifier

_PLACES = ("storage", "name", "address", "resume")  # parameters that belong to a machine and not to a model
_RULES = ("searcher", "scheduler", "metric", "random_state", "max_epochs", "validation", "validation_origins")


def _classifies(search: Any) -> bool:
    """Return whether a search is one over classifiers."""
    return isinstance(search.forecaster, Classifier)


def _seconds(name: str, value: Any) -> list[str]:
    """Require a time in seconds, or None."""
    fine = value is None or (isinstance(value, (int, float)) and value > 0)
    return [] if fine else [Problem("must be a number of seconds above 0", f"got {value!r}", parameter=name)]


@keyword_settings
class RaySearch(SearchViews, Forecaster):  # type: ignore[misc]  # plot draws trials, not forecasts
    """Search for the settings of a forecaster, or of a classifier, with Ray, and predict with the best.

    All trials are scored on the same targets, whatever their window: forecasts from the cutoffs of the validation
    part, given only the rows before each. The naive forecast is trial 0. Classifiers are scored on the same held-out
    sequences, of groups that do not train where there are groups; their trial 0 is the majority classifier. A network
    is scored at each epoch, and its score is that of its best one. The chosen trial looks better on the targets that
    chose it than it is; `optimism_` estimates by how much.

    Attributes
    ----------
    trials_ : pandas.DataFrame
        A row for each trial, naive first: ``trial, status, error, best_score, best_epoch, last_score, epochs, scores``
        (of every reported epoch), ``seconds``, and ``param_...`` for each setting.
    best_params_ : dict
        Empty where no trial beats the naive forecast.
    best_score_ : float
        Skill on validation.
    optimism_ : float
        Estimate of how much of `best_score_` is due to the choice of trial, epoch and naive reference: the score, minus
        the skill on parts of the validation cases of what the other cases, which share no target with the part, choose
        [h-block cross-validation: Burman, Chow and Nolan 1994, doi 10.1093/biomet/81.2.351]. Where all cutoffs share
        targets, all of the score. Series of a panel are taken to share what happens at a time, unless the validation
        part is shorter than three horizons; recordings to differ by group, where three groups or more validate.
    complete_ : bool
        Whether all trials are over, or the search ended since nothing beats naive; fit again to resume a search that
        was cut short.
    best_estimator_ : Forecaster or Classifier
        Fitted with `best_params_` on all data, as a plain `fit` would; the best naive one where no trial beats it.
    cv_results_ : dict of arrays
        As of scikit-learn's searches.
    reference_ : str
        The best naive forecast on the validation targets, or "majority".
    classes_ : array of shape (K,)
        Labels, of a classifier.
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

    forecaster: Forecaster | Classifier = setting(
        kw_only=False, doc="Cloned; `NeuralForecaster` or `NeuralClassifier` where cells are searched."
    )
    space: Mapping[str, Any] = setting(
        kw_only=False,
        doc="For each setting a list of choices, a range ``(low, high)`` of whole or other numbers, "
        '``log(low, high)``, or ``{"low": 8, "high": 128, "log": True}``, which a file can hold. A window may be given '
        'in seasons: ``"2 seasons"``. Settings that a cell does not have (``kernel_size`` belongs to ``conv1d``) are '
        "left out for it.",
    )
    trials: int = setting(
        default=50,
        least=1,
        doc="Number of settings to try; a smaller grid ends earlier. Trial 1 has the forecaster's own settings where "
        "the space has them. A resumed search may have more trials.",
    )
    searcher: Searcher = setting(
        default="tpe",
        doc='Tree-structured Parzen estimators, "tpe" [Bergstra et al. 2011], or Gaussian processes, "gp", both of '
        'Optuna; "bohb" [Falkner et al. 2018], that is Parzen estimators of all settings together with HyperBand; '
        '"hyperopt", which needs ``pip install \'tsforecast-toolkit[hyperopt]\'``; "random"; "grid".',
    )
    scheduler: Scheduler = setting(
        default="auto",
        doc='Which trials are stopped early: by asynchronous successive halving, "asha" [Li et al. 2020], "hyperband" '
        '[Li et al. 2018], those worse than the "median" of the others, or "none". Population based training, "pbt" '
        '[Jaderberg et al. 2017], varies instead how weights are trained. "auto": ASHA, and HyperBand with BOHB.',
    )
    metric: Literal["skill", "mase", "mae", "rmse", "smape", "rmsse", "crps", "error", "log_loss"] = setting(
        default="skill",
        check=lambda name, value: [],  # the metrics of a forecaster or of a classifier: see `_problems`
        doc='Error whose skill counts; the last two are those of a classifier. "skill" is that of MASE, or, of a '
        'classifier, that of wrong labels. "crps" compares distributions with the best naive one; a network needs a '
        "loss that has one, and in a space of losses a point forecast counts as a distribution without spread.",
    )
    max_epochs: int | None = setting(
        default=None, least=1, doc="Epochs of each trial; the forecaster's own number unless given."
    )
    time_budget: float | None = setting(
        default=None,
        check=_seconds,
        doc="Seconds after which all trials end, in this process once their epoch is over; they start again each time "
        "that a search is resumed.",
    )
    resources_per_trial: Mapping[str, float] | None = setting(
        default=None, doc='Resources of Ray; ``{"cpu": 1}`` unless given.'
    )
    give_up: bool = setting(
        default=True,
        doc="End the search when half of the trials, ten at least, show that nothing beats naive: no epoch of any has "
        "a smaller error, or the best has, with 95 % confidence, a skill below 2 % on other data. A search that ended "
        "so goes on with False.",
    )
    address: str | None = setting(
        default=None,
        doc='Ray cluster: ``"auto"``, or ``"host:port"``; ``"local"`` starts Ray on this machine. Unless given, it is '
        "that of `tsforecast.compute`; else trials run one after the other in this process while they are quick, and "
        "Ray, on this machine, takes over what would take more than 15 seconds; it has all trials where a Ray runs "
        "already, where trials pause, and where they ask for more than processors. Their numbers are the same.",
    )
    storage: str | Path | None = setting(
        default=None,
        doc="Folder for searches, which workers on other machines need not reach, or a URL of fsspec, such as "
        '``"s3://bucket/searches"``, that gets a copy; in the user\'s data unless given.',
    )
    name: str | None = setting(
        default=None,
        doc="Folder in `storage`; derived from data and settings unless given, so that the same search is resumed.",
    )
    resume: bool | Literal["auto"] = setting(
        default="auto",
        doc="Resume a search of this name: if there is one; or raise an error if there is none (True), or one (False).",
    )
    random_state: int = setting(default=0, least=0, doc="Seed of the searcher, and of forecasters without one.")
    validation: float | int = setting(
        default=0.15,
        check=share_or_count,
        doc="Share or number of the last steps of each series, or of whole groups, that validate; of sequences without "
        "groups, of each class alike.",
    )
    validation_origins: int = setting(
        default=1,
        least=1,
        doc="Number of validation parts, one before the other, or each of other groups, whose skill is averaged; each "
        "trains a network of its own.",
    )
    horizon: int | None = setting(  # type: ignore[assignment]
        default=None, least=1, doc="Steps to forecast; the forecaster's own unless given."
    )
    verbose: int = setting(default=0, doc="1 shows progress: a bar at a terminal, else a line for each trial.")

    def fit(self, data: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Search, and fit the best settings on all data.

        Parameters
        ----------
        data, y, sample_weight
            As in the forecaster's, or classifier's, own `fit`.
        groups : array of shape (N,), optional
            Group of each sequence, for a classifier; a panel brings its own. Whole groups validate.

        Raises
        ------
        ParameterError
            When the space cannot work, with all problems, before anything starts; when a cluster cannot be reached, or
            a searcher lacks its package.
        DataError
        TrainingError
            When no trial has a score.
        OutputError
            When `storage` cannot be written to; the search can be resumed when there is room.
        """
        if not _classifies(self):
            if groups is not None:
                raise ParameterError("groups belong to recordings: series name theirs with Panel.from_frame(group=...)")
            return super().fit(data, y, sample_weight)
        if sample_weight is not None:
            raise ParameterError(
                "sample_weight belongs to supervised windows: recordings have class_weight, and groups=..., by name"
            )
        raise_any(self._problems(), ParameterError)
        reader = clone(self.forecaster)
        panel, labels, sides = reader._checked(data, y, groups)
        objectives = classification_objectives(
            panel,
            labels,
            reader.classes_,
            sides,
            self.validation,
            self.validation_origins,
            "error" if self.metric == "skill" else self.metric,
            self.random_state,
        )
        identity = {"labels": joblib.hash((labels, reader.classes_, sides))}
        with observed(self, panel):
            self._search(panel, objectives, identity, lambda model: model.fit(data, y, groups))
            self.panel_ = panel
        return self

    def _fit(self, panel: Panel) -> None:
        self._search(panel, self._objectives(panel), {}, lambda model: model.fit(panel))

    def _training_part(self, panel: Panel) -> Panel:
        return self._objectives(panel)[-1].part

    def _search(
        self, panel: Panel, objectives: Sequence[Objective], identity: dict[str, str], fit: Callable[[Any], Any]
    ) -> None:
        """Run the trials, and fit the best settings with `fit`; `identity` is that of further data."""
        logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)  # no word on widgets in a notebook
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")  # of Ray's tqdm, in a notebook without widgets
            from tsforecast.search.tuner import tune  # loads Ray

        setup, oldest = self._setup(objectives), objectives[-1]
        longest = int(oldest.part.lengths.max()) - oldest.settings.get("horizon", 0)
        space = Space.of(self.space, panel.season_length, self.forecaster, longest)
        config = self._open(panel, space, setup, identity)
        spec = config.spec
        self.folder_, self.reference_ = config.folder, spec.reference
        records, hopeless = tune(setup, space, config, self.verbose)
        self.trials_ = trials_table(records, space, spec.epochs)
        over = int((~self.trials_["status"].iloc[1:].isin(["cut short", "not run"])).sum())
        honest = judge(objectives, (config.trial_folder(record.trial) for record in records))
        self.optimism_ = honest.optimism if honest else float("nan")
        why = spec.hopeless(honest, over) if honest and hopeless else ""
        write_outcome(self.folder_, self.optimism_, why)
        if config.mirror:
            config.mirror.push()
        self._refit(space, objectives[0], fit)
        self.complete_ = hopeless or over >= spec.trials
        if hopeless:
            remedy = ("run it again with ", Argument("give_up", False), " to go on")
            warnings.warn(TrainingWarning(Problem(why, "", remedy)), stacklevel=3)
        elif not self.complete_:
            warnings.warn(
                f"the search was cut short: {over} of {spec.trials} trials are over; fit again to go on",
                TrainingWarning,
                stacklevel=3,
            )

    def _open(self, panel: Panel, space: Space, setup: TrialSetup, identity: dict[str, str]) -> RunConfig:
        """Return the configuration of a run, whose folder holds this search and no other."""
        model, newest = setup.model({}), setup.objectives[0]
        spec = SearchSpec(
            data=repr(panel).removeprefix("Panel: "),
            forecaster=" ".join(repr(self.forecaster).split()),
            space=space.plain(),
            season_length=panel.season_length,
            epochs=int(model.get_params()["max_epochs"]) if trains_in_epochs(model) else 0,
            trials=sum(1 for _ in islice(space.grid(), self.trials)) if self.searcher == "grid" else self.trials,
            horizon=newest.settings.get("horizon", 0),
            metric=newest.metric,
            reference=newest.reference,
            cutoffs=sum(len(objective.weights) for objective in setup.objectives),
            origins=len(setup.objectives),
            searcher=self.searcher,
            scheduler=self.scheduler,
            made=datetime.now().astimezone().isoformat(timespec="seconds"),
            versions=versions() | {name: version(name) for name in ("ray", "optuna")},
            machine=machine(),
            own=own_settings(space, model.get_params()),
        )
        identity = (
            {"data": panel.fingerprint(), "forecaster": spec.forecaster, "space": json.dumps(spec.space)}
            | {name: str(getattr(self, name)) for name in _RULES}
            | ({"seasons": str(panel.seasons)} if panel.season_notes else {})  # no fingerprint has those that are found
            | {name: str(value) for name, value in newest.settings.items()}
            | identity
        )
        name = self.name or f"{type(self.forecaster).__name__}-{joblib.hash(identity)[:12]}"
        folder, mirror = search_folder(self.storage, name)
        open_search(folder, identity, spec, self.resume)
        resources = dict(self.resources_per_trial or {"cpu": 1})
        run = self.random_state, self.time_budget, resources, self.address, self.give_up
        return RunConfig(spec, folder, *run, mirror)

    def _refit(self, space: Space, objective: Objective, fit: Callable[[Any], Any]) -> None:
        """Fit the settings of the best trial on all data."""
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
        model = clone_with_seed(self.forecaster, self.random_state) if self.best_index_ else objective.baseline()
        self.members_ = [fit(model.set_params(**self.best_params_, **objective.settings))]

    @property
    def best_estimator_(self) -> Any:
        """The model with `best_params_`, fitted on all data; the best naive one where nothing beats it."""
        self.check_fitted()
        return self.members_[0]

    def predict(self, context: Any = None, **options: Any) -> Any:
        """Forecast, or classify sequences, with the best settings and the options of the model's own `predict`.

        Raises
        ------
        NotFittedError, ParameterError, DataError
        """
        if not _classifies(self):
            return super().predict(context, **options)
        self.check_fitted()
        if options:
            raise ParameterError(f"{', '.join(options)} must be left out: a classifier takes recordings and no more")
        return self.best_estimator_.predict(context)

    @available_if(_classifies)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class of `classes_`, (N, K); see `Classifier.predict_proba`."""
        return np.asarray(self.best_estimator_.predict_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R2 of forecasts from supervised windows, or the accuracy of predicted labels."""
        if not _classifies(self):
            return super().score(X, y, sample_weight)
        return float(self.best_estimator_.score(X, y, sample_weight))

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of a fitted classifier, sorted."""
        return np.asarray(self.best_estimator_.classes_)

    def __sklearn_tags__(self) -> Any:
        """Return the tags of the classifier, or those of a forecaster."""
        return self.forecaster.__sklearn_tags__() if _classifies(self) else super().__sklearn_tags__()

    def saved_params(self) -> dict[str, Any]:
        """Return the parameters without those that belong to a machine."""
        if _classifies(self):
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
        """Return the fitted state with all trials, but without the folder; see `Estimator.get_state`."""
        plain, numbers = super().get_state()
        plain.pop("folder_", None)  # which a loaded search has none of
        return {**plain, "trials_": plain["trials_"].to_dict("list")}, numbers

    def set_state(self, learned: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        super().set_state({**learned, "trials_": pd.DataFrame(learned["trials_"])}, numbers)
        if len(self.members_) != 1:
            raise ValueError(f"a search must have one best estimator: got {len(self.members_)}")

    def forecast(self, past: Context, horizon: int) -> NDArray[np.float64]:
        """Return the forecasts of the best estimator, (n, H, K); see `Forecaster.forecast`."""
        return np.asarray(self.best_estimator_.forecast(past, horizon))

    def distribution(self, past: Context, horizon: int) -> Distribution:
        """Return the distributions of the best estimator; see `Forecaster.distribution`."""
        found: Distribution = self.best_estimator_.distribution(past, horizon)
        return found

    @property
    def learns_distribution(self) -> bool:
        """Whether the forecaster learns distributions; see `Forecaster.learns_distribution`."""
        return bool(self.forecaster.learns_distribution)

    def is_fallback(self, past: Context) -> NDArray[np.bool_]:
        """Return where the best estimator used its fallback, (n, K); see `Forecaster.is_fallback`."""
        return np.asarray(self.best_estimator_.is_fallback(past))

    def preprocessing_state(self, panel: Panel) -> dict[str, NDArray[Any]]:
        """Return the preprocessing of a trial, and the targets that score it; see `Forecaster.preprocessing_state`."""
        searching = clone(self)
        searching.horizon_ = panel.horizon_or(searching._own_horizon())
        objectives = searching._objectives(panel)
        newest = objectives[0]
        state: dict[str, NDArray[Any]] = searching._setup(objectives).model({}).preprocessing_state(newest.part)
        return state | {"validation targets": newest.truth, "validation scale": newest.scale, "naive": newest.naive}

    @property
    def cv_results_(self) -> dict[str, Any]:
        """Candidates as scikit-learn's searches report them; see `cv_results`."""
        return cv_results(self.trials_)

    def _objectives(self, panel: Panel) -> list[ForecastObjective]:
        metric = "mase" if self.metric == "skill" else self.metric
        return forecast_objectives(panel, self.horizon_, self.validation, self.validation_origins, metric)

    def _setup(self, objectives: Sequence[Objective]) -> TrialSetup:
        epochs = self.max_epochs
        if epochs is None and isinstance(self.forecaster, NetworkEstimator):
            part = objectives[0].part
            epochs = self.forecaster.epochs(len(part if _classifies(self) else part.values))
        return TrialSetup(self.forecaster, objectives, epochs, self.random_state)

    def _own_horizon(self) -> int:
        return self.horizon or self.forecaster._own_horizon()

    def _problems(self) -> list[str]:
        if not isinstance(self.forecaster, (Forecaster, Classifier)):
            return [f"forecaster must be a forecaster or classifier of tsforecast's: got {self.forecaster!r}"]
        metrics = ("skill", *(CLASSIFICATION_METRICS if _classifies(self) else (*METRICS, CRPS)))
        problems = Estimator._problems(self) + one_of("metric", self.metric, metrics)
        points = isinstance(self.forecaster, NetworkEstimator) and not getattr(
            self.forecaster, "learns_distribution", 0
        )
        if self.metric == CRPS and points and "loss" not in self.space:
            must, got = "ranks distributions, which a network of point forecasts does not learn", f"got {CRPS!r}"
            remedy = (Argument("loss", "normal", "train with"), " or that of another distribution")
            problems.append(Problem(must, got, remedy, parameter="metric"))
        problems += pair_problems(self.searcher, self.scheduler)
        own = map(Problem.of, self.forecaster._problems())
        return problems + [problem.within(after=" (of the forecaster)") for problem in own]
