"""Recordings, users and classifiers whose answers are known, for the tests of recognition."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

USERS = ("ann", "bob", "cem", "dan", "eva", "fay")


def movements(users: tuple[str, ...] = USERS, each: int = 4, seed: int = 0) -> tuple[list[np.ndarray], Any, Any]:
    """Return ragged recordings of two movements of each user, their labels, and whose they are."""
    random = np.random.default_rng(seed)
    recordings, labels, groups = [], [], []
    for user in users:
        for i in range(2 * each):
            steps = np.arange(random.integers(9, 16))[:, None]
            recordings.append(
                np.sin(steps * (1 + i % 2) + random.normal()) + 0.05 * random.normal(size=(len(steps), 2))
            )
            labels.append(("slow", "fast")[i % 2])
            groups.append(user)
    return recordings, np.array(labels), np.array(groups)


class Known(ClassifierMixin, BaseEstimator):
    """Knows users by name from what it was fitted on, and is right about them alone; keeps what it was given."""

    seen: list[tuple[set[str], int]] = []  # noqa: RUF012 - of all clones

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        self.classes_ = np.unique(y)
        self.answers_ = {}
        Known.seen.append((set(np.asarray(groups).tolist()), len(X)))
        self.users_ = set(np.asarray(groups).tolist())
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        found = np.zeros((len(X), len(self.classes_)))
        for i, one in enumerate(X):
            user, label = USERS[round(one[0, 0])], round(one[0, 1])
            found[i, label if user in self.users_ else 1 - label] = 1.0
        return found

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def named_movements() -> tuple[list[np.ndarray], Any, Any]:
    """Return recordings whose first step tells `Known` whose they are, and what."""
    recordings, labels, groups = movements()
    for one, label, user in zip(recordings, labels, groups, strict=True):
        one[0] = USERS.index(user), ["fast", "slow"].index(label)
    return recordings, labels, groups
