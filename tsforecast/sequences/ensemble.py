"""EnsembleClassifier: several classifiers, or one with several seeds, as one model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from tsforecast.checks import share_or_count
from tsforecast.data.panel import Panel
from tsforecast.errors import Problem
from tsforecast.estimators.base import keyword_settings, setting
from tsforecast.estimators.registry import model_name
from tsforecast.sequences.base import Floats
from tsforecast.sequences.classifier import Classifier, Labels
from tsforecast.sequences.network import validation_mask

ROUNDS = 300  # of the search for weights
LEAST_WEIGHT = 0.05  # a member with less is left out


@keyword_settings
class EnsembleClassifier(Classifier):
    """Weighted mean of the probabilities of several classifiers, or of one with several seeds.

    Unlike a vote of scikit-learn it is saved like any other model, reads recordings of any length, and hands groups
    on to its members.

    Attributes
    ----------
    classes_ : array of shape (K,)
    members_ : list of Classifier
        Those with a weight.
    weights_ : list of float
    resolved_ : dict
        Of learned weights: validation (recordings, or groups), and the weight of every classifier in turn, 0 for one
        that was left out.

    Examples
    --------
    >>> from tsforecast.sequences.baselines import MajorityClassifier, NearestNeighborClassifier
    >>> waves = [np.sin(np.arange(12) * (1 + i % 2)) for i in range(20)]
    >>> model = EnsembleClassifier([NearestNeighborClassifier(), MajorityClassifier()])
    >>> model.fit(waves, ["slow", "fast"] * 10).predict_proba(waves[:1]).tolist()
    [[0.25, 0.75]]
    """

    members_: list[Classifier] = dataclasses.field(init=False)
    weights_: list[float] = dataclasses.field(init=False)
    resolved_: dict[str, Any] = dataclasses.field(init=False)

    classifiers: Classifier | Sequence[Classifier] | None = setting(
        default=None,
        kw_only=False,
        doc="One that is fitted `seeds` times, or several that are fitted once each; a `GRUClassifier`, a "
        "`Conv1DClassifier` and a `RocketClassifier` unless given. They are cloned.",
    )
    seeds: int = setting(
        default=5,
        least=1,
        doc="Number of fits of a single classifier, with the seeds ``random_state, random_state + 1, ...``.",
    )
    weights: Literal["validation"] | None = setting(
        default=None,
        doc="Learn weights (none negative, sum 1), with the smallest cross entropy on the validation part, which "
        "members predict that were fitted without it; then those with a weight are fitted on all recordings. Equal "
        "weights unless given.",
    )
    validation: float | int = setting(
        default=0.25,
        check=share_or_count,
        doc="Share or number of recordings, of each class alike, used to learn the weights; where there are groups, "
        "share or number of whole groups, the last ones.",
    )
    random_state: int = setting(
        default=0,
        least=0,
        doc="First seed; of several classifiers those that have none get ``random_state, random_state + 1, ...``.",
    )

    def _fit(self, panel: Panel, labels: Labels, groups: NDArray[Any] | None) -> None:
        members = self._new_members()
        self.resolved_, weights = {}, np.full(len(members), 1 / len(members))
        if self.weights:
            count, held_out = validation_mask(labels, groups, self.validation, np.random.default_rng(self.random_state))
            for member in members:
                self._fit_member(member, panel, labels, groups, ~held_out)
            each = np.stack([member._answers(panel.select(held_out)) for member in members])  # (M, n, K)
            weights = best_weights(each[:, np.arange(each.shape[1]), labels[held_out]])
            self.resolved_ = {"validation": count, "weights": weights.round(4).tolist()}
        chosen = np.flatnonzero(weights)
        self.weights_ = weights[chosen].tolist()
        self.members_ = [self._new_members()[i] for i in chosen]
        for member in self.members_:
            self._fit_member(member, panel, labels, groups, np.ones(len(panel), dtype=np.bool_))

    def _fit_member(
        self, member: Classifier, panel: Panel, labels: Labels, groups: NDArray[Any] | None, learn: NDArray[np.bool_]
    ) -> None:
        member.fit(panel.select(learn), self.classes_[labels[learn]], None if groups is None else groups[learn])

    def _answers(self, panel: Panel) -> Floats:
        each = (member._answers(panel) for member in self.members_)  # (N, K) each
        # Added up one by one: the sum of a recording does not depend on those beside it.
        return np.asarray(sum(weight * part for weight, part in zip(self.weights_, each, strict=True)))

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        weights = plain["weights_"]
        if not (isinstance(weights, list) and all(isinstance(one, float) and 0 < one <= 1 for one in weights)):
            raise ValueError(f"weights must be a share of each member: got {weights!r}")
        super().set_state(plain, arrays)

    def _new_members(self) -> list[Classifier]:
        given = self._listed()
        single = len(given) == 1 and not isinstance(self.classifiers, (list, tuple))
        members = [clone(member) for member in (given * self.seeds if single else given)]
        for seed, member in enumerate(members, self.random_state):
            parameters = member.get_params()
            if "random_state" in parameters and (single or parameters["random_state"] is None):
                member.set_params(random_state=seed)
        return members

    def _listed(self) -> list[Classifier]:
        """Return the classifiers as a list."""
        if self.classifiers is None:
            from tsforecast.sequences.neural import Conv1DClassifier, GRUClassifier
            from tsforecast.sequences.rocket import RocketClassifier

            return [GRUClassifier(), Conv1DClassifier(), RocketClassifier()]
        return [self.classifiers] if isinstance(self.classifiers, Classifier) else list(self.classifiers)

    def _problems(self) -> list[str]:
        problems, given = super()._problems(), self.classifiers
        several = list(given) if isinstance(given, (list, tuple)) else [given]
        if not several or any(not isinstance(member, Classifier | None) for member in several):
            must = f"classifiers must be a classifier or a list of them: got {given!r}"
            return [*problems, f"{must}; pass those of this package, such as GRUClassifier()"]
        for member in self._listed():
            if member.at_steps:
                problems.append("classifiers of an ensemble must answer for recordings: got one with output='step'")
            own = map(Problem.of, member._problems())
            problems += [problem.within(f"{model_name(member)} of the ensemble: ") for problem in own]
        return problems


def best_weights(likelihoods: Floats) -> Floats:
    """Return the weights of M members, (M,), whose mixture gives the truth the largest probability.

    Expectation maximisation [Dempster, Laird and Rubin 1977, Journal of the Royal Statistical Society B 39, 1-38] on
    `likelihoods`, (M, n): the probability that each member gave the true class of each recording. What is far from
    worth its time gets no weight.
    """
    weights = np.full(len(likelihoods), 1 / len(likelihoods))
    bounded = np.maximum(likelihoods, 1e-12)
    for _ in range(ROUNDS):
        shares = weights[:, None] * bounded
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    weights[weights < min(LEAST_WEIGHT, weights.max())] = 0
    return np.asarray(weights / weights.sum())
