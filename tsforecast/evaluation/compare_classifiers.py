"""Compare classifiers on recordings of people whom they have never seen; the majority is always among them."""

from __future__ import annotations

import inspect
import logging
import re
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone

from tsforecast.checks import jobs, whole
from tsforecast.classifiers.baselines import MajorityClassifier
from tsforecast.data.splits import Positions
from tsforecast.errors import DataWarning, ParameterError, raise_any
from tsforecast.evaluation.classification import ClassificationResults
from tsforecast.evaluation.folds import Fold, Labelled, both_sides, folds, model_problems
from tsforecast.evaluation.runner import interruptible, seeded_clones

logger = logging.getLogger("tsforecast")
MAJORITY = "majority"
ROW_COLUMNS = (
    "protocol",
    "model",
    "seed",
    "fold",
    "group",
    "recording",
    "true",
    "predicted",
    "probability",
    "chosen",
    "fit_seconds",
    "predict_seconds",
)

Models = Any | Iterable[Any] | Mapping[str, Any]


def compare_classifiers(
    classifiers: Models,
    X: Any,
    y: Any,
    groups: Any = None,
    *,
    protocol: str | Sequence[str] = "leave-users-out",
    test: Any = None,
    seeds: int = 1,
    n_jobs: int | None = 1,
    progress: Callable[[str, str, int], None] | None = None,
) -> ClassificationResults:
    """Compare classifiers with the majority, each tested on recordings that it has not learned from.

    Copies among the recordings are found and reported before anything is trained.

    Parameters
    ----------
    classifiers : classifier, list of them, or dict of name to classifier
        Ours or scikit-learn's, such as a search: what a ``GridSearchCV`` with ``cv=LeaveGroupsOut()`` chooses, it
        chooses inside the users that it learns from. It stays as it is: clones are fitted.
    X, y, groups : as in `Classifier.fit`
        A group is a user: a person, a machine, whatever the next recording may come from another one of.
    protocol : {"leave-users-out", "random"}, or both in a list
        Leave each user out in turn; or, asked for by name, split at random into as many parts, with *users on both
        sides*. With both, the difference is told: the leak premium.
    test : bool array of shape (N,), optional
        Which recordings are tested, once, where that split came with them; then there is no other protocol.
    seeds : int
        How often each model with a random state is fitted, with ``random_state, random_state + 1, ...``.
    n_jobs : int or None
        Processes to share the fits between; -1 for one on each core.
    progress : callable, optional
        Called with model, protocol and fold as each fit ends.

    Returns
    -------
    Recognised
        Its rows hold one answer each (see `ROW_COLUMNS`; ``probability`` is what the true label was given); all else
        is a function of them.

    Raises
    ------
    DataError, ParameterError
        With every problem that can be told before anything is trained: of recordings, labels, users and splits.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> waves = [np.sin(np.arange(random.integers(9, 20)) * (1 + i % 2)) for i in range(36)]
    >>> labels, users = np.array(["slow", "fast"] * 18), np.repeat(["ann", "bob", "cem", "dan", "eva", "fay"], 6)
    >>> from tsforecast import NearestNeighborClassifier
    >>> found = compare_classifiers(NearestNeighborClassifier(), waves, labels, users)
    >>> found.table[["model", "accuracy"]].to_dict("records")
    [{'model': 'nearest-neighbor', 'accuracy': 1.0}, {'model': 'majority', 'accuracy': 0.5}]
    >>> print(found.verdicts["nearest-neighbor"])
    nearest-neighbor beats majority by 50.0 points (50.0 to 50.0): it recognises 100.0%, majority 50.0%
    """
    raise_any(whole("seeds", seeds, 1) + jobs(n_jobs), ParameterError)
    models = named(classifiers)
    data = Labelled.read(X, y, groups)
    every = folds(data, [protocol] if isinstance(protocol, str) else list(protocol), test)
    raise_any(model_problems(models, data))
    _report_copies(data)
    fits = [
        (name, one, fold) for name, model in models.items() for one in seeded_clones(model, seeds) for fold in every
    ]
    answers = Parallel(n_jobs, return_as="generator")(delayed(_answers)(*each, data) for each in fits)
    parts = []
    for (name, _, fold), rows in zip(fits, answers, strict=True):
        parts.append(rows)
        if progress:
            progress(name, fold.protocol, fold.number)
    return ClassificationResults(
        pd.concat(parts, ignore_index=True), tuple(data.copies), tuple(both_sides(data, every))
    )


def named(classifiers: Models) -> dict[str, Any]:
    """Return classifiers by name, the majority last.

    Examples
    --------
    >>> from tsforecast import GRUClassifier
    >>> list(named([GRUClassifier(), GRUClassifier(units=8)]))
    ['gru', 'gru-2', 'majority']
    """
    if isinstance(classifiers, Mapping):
        pairs = list(classifiers.items())
    else:
        several = classifiers if isinstance(classifiers, (list, tuple)) else [classifiers]
        pairs = [(_name(model), model) for model in several]
    models: dict[str, Any] = {}
    for name, model in pairs:
        if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "predict_proba")):
            raise ParameterError(f"a classifier must have fit and predict_proba: got {model!r}; pass an object")
        unique, again = name, 2
        while unique in models:
            unique, again = f"{name}-{again}", again + 1
        models[unique] = model
    return models if MAJORITY in models else models | {MAJORITY: MajorityClassifier()}


def _name(model: Any) -> str:
    """Return a class's name without what all share: GRUClassifier is gru."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(model).__name__.removesuffix("Classifier")).lower()


def _seed(model: Any) -> int | None:
    """Return the first random state in a model."""
    states = [
        state
        for name, state in sorted(model.get_params(deep=True).items(), key=lambda item: item[0].count("__"))
        if re.fullmatch(r"(.*__)?random_state", name) and isinstance(state, (int, np.integer))
    ]
    return int(states[0]) if states else None


def _answers(name: str, model: Any, fold: Fold, data: Labelled) -> pd.DataFrame:
    """Fit one model on one side of a fold and return a row for each recording of the other."""
    model = clone(model)  # one that goes on from its last fit would have seen those who are tested now
    began = time.perf_counter()
    fit(model, data, fold.train)
    fitted = time.perf_counter()
    probabilities = np.asarray(model.predict_proba(data.part(fold.test)))
    asked = time.perf_counter()
    truth, classes = data.labels[fold.test], np.asarray(model.classes_)
    of_truth = probabilities[np.arange(len(truth)), np.searchsorted(classes, truth)]
    users = data.users(fold.test)
    rows = {
        "protocol": fold.protocol,
        "model": name,
        "seed": _seed(model),
        "fold": fold.number,
        "group": None if users is None else users,
        "recording": data.panel.ids[fold.test],
        "true": truth,
        "predicted": classes[probabilities.argmax(axis=1)],
        "probability": of_truth,
        "chosen": _chosen(model),
        "fit_seconds": fitted - began,
        "predict_seconds": asked - fitted,
    }
    found = pd.DataFrame(rows, columns=list(ROW_COLUMNS))
    found["seed"] = found["seed"].astype("Int32")
    return found


def fit(model: Any, data: Labelled, places: Positions) -> None:
    """Fit a model on some recordings; it is told whom they are of if it can make use of that."""
    from sklearn import config_context

    users, takes = data.users(places), inspect.signature(model.fit).parameters.values()
    routes = any(one.name == "groups" or one.kind is one.VAR_KEYWORD for one in takes)
    told = {} if users is None or not routes else {"groups": users}
    with interruptible(), config_context(enable_metadata_routing=True):  # so that a search hands groups on
        model.fit(data.part(places), data.labels[places], **told)


def _chosen(model: Any) -> str:
    """Return what a search inside the training users chose; nothing of a model that chooses nothing."""
    if not hasattr(model, "best_params_"):
        return ""
    settings = ", ".join(f"{name}={value!r}" for name, value in model.best_params_.items())
    return settings or getattr(model, "reference_", "default")  # of ours, no settings are the majority's


def _report_copies(data: Labelled) -> None:
    for copies in data.copies:
        if copies.disagree:
            warnings.warn(copies.sentence, DataWarning, stacklevel=3)
        logger.info("%s", copies.sentence)
