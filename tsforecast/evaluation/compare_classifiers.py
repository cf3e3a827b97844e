"""Comparison of classifiers on sequences of users that they have not seen, always with the majority, and its report."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin, clone

from tsforecast.catalog.card import card, dataset_names
from tsforecast.checks import jobs, whole
from tsforecast.errors import DataWarning, ParameterError, raise_any
from tsforecast.estimators.registry import short_name
from tsforecast.evaluation.class_metrics import PREFIX
from tsforecast.evaluation.classification import REFERENCE, ClassificationResults, copy_notes
from tsforecast.evaluation.folds import LabelledSequences, SequenceFold, both_sides, folds
from tsforecast.evaluation.record import ClassificationRecord, ClassifierFit, as_code, learned
from tsforecast.evaluation.report.interface import ComparisonPlots
from tsforecast.evaluation.runner import by_name, complete, random_states, run_all
from tsforecast.evaluation.steps import LabelledSteps, StepResults, have_steps
from tsforecast.events import clock, observed
from tsforecast.files import write_or_return
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.classifier import Classifier

logger = logging.getLogger("tsforecast")
Models: TypeAlias = ClassifierMixin | Iterable[ClassifierMixin] | Mapping[str, ClassifierMixin]


class ClassifierComparison(ComparisonPlots, ClassificationResults):
    """Classification results with a report; see `ClassificationResults`."""

    def to_html(self, path: str | Path | None = None, title: str | None = None) -> str | None:
        """Write the report to a file, or return it: one page of HTML that needs no network.

        Folders of the path that are missing are made.

        Raises
        ------
        OutputError
        """
        from tsforecast.evaluation.report.classification import html_classification  # loads matplotlib and jinja

        return write_or_return(html_classification(self, title), path)


class StepComparison(ClassifierComparison, StepResults):
    """Results of classifiers of steps with a report; see `tsforecast.evaluation.steps.StepResults`."""


def compare_classifiers(
    classifiers: Models,
    X: Any,
    y: Any,
    groups: Any = None,
    *,
    protocol: str | Sequence[str] = "leave-users-out",
    test: Any = None,
    seeds: int = 1,
    n_jobs: int | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[str, str, int], None] | None = None,
) -> ClassifierComparison:
    """Compare classifiers with the majority, each tested on sequences that it has not learned from.

    Copies among the sequences are reported before anything is trained. A model that fails is listed with its error,
    and the others continue.

    Parameters
    ----------
    classifiers : classifier, list of them, or dict of name to classifier
        Of this package or of scikit-learn, such as a search: a ``GridSearchCV`` with ``cv=LeaveGroupsOut()`` chooses
        inside the users that it learns from. Clones are fitted.
    X, y, groups : as in `Classifier.fit`
        With labels of steps each classifier must have ``output="step"``, or a `predict` that returns a (T,) array for
        each recording. A group is a user: a person, a machine, or another source that new sequences may come from.
    protocol : {"leave-users-out", "random"}, or both in a list
        Leave each user out in turn; or split at random into as many parts, with *users on both sides*. With both, the
        difference is reported: the optimism of the random split, also called leak premium.
    test : bool array of shape (N,), optional
        Which sequences are tested, once, in place of a protocol.
    seeds : int
        Number of fits of each model with a random state, with ``random_state, random_state + 1, ...``.
    n_jobs : int, optional
        Processes to share the fits between; -1 for one on each core. Unless given, those of `tsforecast.compute`, and
        one outside of it. The predictions are those of one process.
    checkpoint : path, optional
        Folder for the rows of each finished fit. An interrupted comparison resumes from them when it is called again;
        fits of other data, folds or settings are not used.
    progress : callable, optional
        Called with model, protocol and fold at the end of each fit.

    Returns
    -------
    ClassifierComparison
        Of labels of steps a `StepComparison`, whose rows are runs of steps with one true and one predicted label, and
        whose table has scores by segment as well; see `tsforecast.evaluation.steps.StepResults`.
        Else its rows hold one prediction each: ``protocol, model, seed, fold, group, recording, true, predicted``;
        ``probability`` of the true label; ``chosen``, the settings that a search chose; ``p_LABEL``, the probability
        of each label (float32); ``fit_seconds`` of the fit and ``predict_seconds`` of the predictions on the fold.
        Where the recordings are a dataset of the catalogue whose card names its classes, tables and figures have these
        names.

    Raises
    ------
    DataError, ParameterError
        With every problem of sequences, labels, users and splits, before anything is trained.
    TsForecastError
        When every model, or the majority, failed.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> waves = [np.sin(np.arange(random.integers(9, 20)) * (1 + i % 2)) for i in range(36)]
    >>> labels, users = np.array(["slow", "fast"] * 18), np.repeat(["ann", "bob", "cem", "dan", "eva", "fay"], 6)
    >>> from tsforecast import NearestNeighborClassifier
    >>> found = compare_classifiers(NearestNeighborClassifier(), waves, labels, users)
    >>> found.table[["model", "accuracy"]].to_dict("records")
    [{'model': 'nearest-neighbor', 'accuracy': 1.0}, {'model': 'majority', 'accuracy': 0.5}]
    >>> found.verdicts["nearest-neighbor"].outcome
    'better'
    """
    raise_any(whole("seeds", seeds, 1) + jobs("n_jobs", n_jobs), ParameterError)
    at_steps = have_steps(X, y)
    models = named(classifiers, at_steps)
    data = LabelledSteps.read(X, y, groups) if at_steps else LabelledSequences.read(X, y, groups)
    experiment = Classification(data, folds(data, [protocol] if isinstance(protocol, str) else list(protocol), test))
    for copies in data.copies:
        if copies.disagree:
            warnings.warn(copies.sentence, DataWarning, stacklevel=2)
        logger.info("%s", copies.sentence)

    with observed(models, data.panel) as activity:

        def ended(fit: ClassifierFit) -> None:
            activity.notify(fit)
            if progress:
                progress(fit.model, fit.protocol, fit.fold)

        outcomes = run_all(models, experiment, seeds, n_jobs, checkpoint, needed=[REFERENCE], on_fit=ended)
        parts = [part for each in complete(outcomes, [REFERENCE]).values() for part in each]
        rows = pd.concat(parts, ignore_index=True)
        notes = (*both_sides(data, experiment.folds), *copy_notes(data.copies, rows))
        kind = StepComparison if at_steps else ClassifierComparison
        found = kind(rows, notes, experiment.record(tuple(outcome.fit for outcome in outcomes)))
        activity.result = found
    return found


@dataclass(frozen=True, eq=False)
class Classification:
    """The sequences and folds that all classifiers of a comparison share; an `evaluation.runner.Experiment`."""

    data: LabelledSequences
    folds: list[SequenceFold]
    record_type = ClassifierFit

    @property
    def identity(self) -> str:
        """Fingerprint of the data."""
        return self.data.fingerprint

    def planned(self, name: str, model: ClassifierMixin, fold: SequenceFold) -> ClassifierFit:
        """Return the record of a fit before it begins."""
        groups, sides = self.data.groups, (fold.test, fold.train)
        tested, trained = (set() if groups is None else set(map(str, groups[side])) for side in sides)
        return ClassifierFit(
            model=name,
            seed=_seed(model),
            series=len(fold.train),
            steps=int(self.data.panel.lengths[fold.train].sum()),
            left_out=tuple(sorted(tested)) if not tested & trained else (),
            settings=as_code(model),
            protocol=fold.protocol,
            fold=fold.number,
        )

    def run(self, name: str, model: ClassifierMixin, fold: SequenceFold) -> tuple[pd.DataFrame, ClassifierFit]:
        """Fit a clone on one side of a fold, and return a row for each sequence of the other, and the record."""
        data, fit = self.data, self.planned(name, model, fold)
        model = clone(model)  # a warm start would carry tested users over from another fold
        began = clock()
        data.fit(model, fold.train)
        fitted = clock()
        if isinstance(data, LabelledSteps):
            predicted = model.predict(data.part(fold.test))
            details: dict[str, Any] = {"fit_seconds": fitted - began, "predict_seconds": clock() - fitted}
            facts = {"protocol": fold.protocol, "model": name, "seed": fit.seed, "fold": fold.number}
            rows = data.runs(fold.test, predicted).assign(**facts, chosen=_chosen(model), **details)
            return rows.astype({"seed": "Int32"}), replace(fit, **learned(model), **details)
        probabilities = np.asarray(model.predict_proba(data.part(fold.test)))
        details = {"fit_seconds": fitted - began, "predict_seconds": clock() - fitted}
        truth, classes = data.labels[fold.test], np.asarray(model.classes_)
        columns = {
            "protocol": fold.protocol,
            "model": name,
            "seed": fit.seed,
            "fold": fold.number,
            "group": data.users(fold.test),
            "recording": data.panel.ids[fold.test],
            "true": truth,
            "predicted": classes[probabilities.argmax(axis=1)],
            "probability": probabilities[np.arange(len(truth)), np.searchsorted(classes, truth)],
            "chosen": _chosen(model),
        }
        shares = dict(zip(map(str, classes), probabilities.T, strict=True))  # a class without recordings has none
        every = np.unique(data.labels)
        columns |= {PREFIX + str(label): np.float32(shares.get(str(label), 0.0)) for label in every}
        rows = pd.DataFrame(columns | details).astype({"seed": "Int32"})
        return rows, replace(fit, **learned(model), **details)

    def record(self, fits: tuple[ClassifierFit, ...]) -> ClassificationRecord:
        """Return the record of a finished comparison."""
        data, sides = self.data, [(fold.protocol, fold.train.tolist(), fold.test.tolist()) for fold in self.folds]
        return ClassificationRecord(
            data=data.described,
            fingerprint=data.fingerprint,
            fits=fits,
            protocols=list(dict.fromkeys(fold.protocol for fold in self.folds)),
            split=hashlib.sha256(repr(sides).encode()).hexdigest(),
            class_names=class_names(data.panel.source.dataset),
        )


def class_names(dataset: str) -> dict[str, str]:
    """Return the names of classes, by label, that the card of a dataset has, if it is in the catalogue."""
    return dict(card(dataset).classes) if dataset in dataset_names() else {}


def named(classifiers: Models, at_steps: bool = False) -> dict[str, ClassifierMixin]:
    """Return classifiers by name, the majority last; those of this package must answer for steps, or for recordings."""
    if isinstance(classifiers, Mapping):
        pairs = list(classifiers.items())
    else:
        several = classifiers if isinstance(classifiers, (list, tuple)) else [classifiers]
        pairs = [(short_name(type(model).__name__), model) for model in several]
    for _, model in pairs:
        if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "predict_proba")):
            raise ParameterError(f"a classifier must have fit and predict_proba: got {model!r}; pass an object")
    models = by_name(pairs)
    output: Literal["step", "recording"] = "step" if at_steps else "recording"
    raise_any(
        [
            f"{name} must have output={output!r}, as y has a label for each {output}: got {_output(model)!r}"
            for name, model in models.items()
            if isinstance(model, Classifier) and _output(model) != output
        ],
        ParameterError,
    )
    return models if REFERENCE in models else models | {REFERENCE: MajorityClassifier(output=output)}


def _output(model: Classifier) -> str:
    return "step" if model.at_steps else "recording"


def _seed(model: ClassifierMixin) -> int | None:
    """Return the outermost random state in a model."""
    states = {name: state for name, state in random_states(model).items() if state is not None}
    return int(states[min(states, key=lambda name: name.count("__"))]) if states else None


def _chosen(model: ClassifierMixin) -> str:
    """Return the settings chosen by a search inside the training users; empty for other models."""
    if not hasattr(model, "best_params_"):
        return ""
    settings = ", ".join(f"{name}={value!r}" for name, value in model.best_params_.items())
    return settings or getattr(model, "reference_", "default")  # no settings of RaySearch: the majority
