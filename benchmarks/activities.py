"""Label each step of sessions of gestures by people whom no model has seen, beside a random forest on windows.

Sessions are made up from real recordings: each strings the 20 smartwatch gestures of a person together, in an order of
its own, and between them the hand goes from where one ended to where the next begins ("rest"). Real people neither
pause like that nor move between gestures so straight. ``python benchmarks/activities.py`` writes rows to
``results/activities.jsonl``, a quarter of an hour's worth, from the data in TSFORECAST_DATA.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Self

import joblib
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from record import record
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier

from tsforecast import Conv1DClassifier, GRUClassifier, MajorityClassifier, StepComparison, compare_classifiers
from tsforecast.catalog.loaders import load_dataset
from tsforecast.evaluation.steps import SCORES

NAME, SET = "activities", "smartwatch-gestures"
SESSIONS = 6  # of each person, with each gesture once
REST = (3, 12)  # steps between two gestures, 0.3 to 1.3 seconds
REACH = 7  # steps that a window of the forest has on both sides: 15 in all, less than most gestures
# Fixed beforehand, for its time: each step of training reads a quarter of the usual. All else is the default.
SMALL: dict[str, Any] = {"piece": 128, "batch_size": 16, "random_state": 0}

FORESTS: dict[str, RandomForestClassifier] = {}
Sessions = tuple[list[NDArray[Any]], list[NDArray[Any]], NDArray[Any]]


def sessions(count: int = SESSIONS, people: int | None = None) -> Sessions:
    """Return made-up sessions, (T, 3) each, the gesture or "rest" at each step, and whose they are."""
    random, panel = np.random.default_rng(0), load_dataset(SET)
    users, gestures = np.asarray(panel.groups), panel.statics["gesture"]
    recordings, labels, whose = [], [], []
    for user in np.unique(users)[:people]:
        own = [random.permutation(np.flatnonzero((users == user) & (gestures == kind))) for kind in np.unique(gestures)]
        for number in range(count):
            parts: list[NDArray[Any]] = []
            names: list[str] = []
            for kind in random.permutation(len(own)):
                at = own[kind][number]
                gesture = panel.series(at)
                if parts:
                    gap = int(random.integers(REST[0], REST[1] + 1))
                    way = np.linspace(parts[-1][-1], gesture[0], gap + 2)[1:-1]
                    parts.append(way + random.normal(0, 0.3, size=way.shape))
                    names += ["rest"] * gap
                parts.append(gesture)
                names += [str(gestures[at])] * len(gesture)
            recordings.append(np.concatenate(parts))
            labels.append(np.array(names))
            whose.append(user)
    return recordings, labels, np.array(whose)


class WindowForest(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A random forest on a window around each step: its numbers, and their mean, spread and ends by channel."""

    def __init__(self, smooth: bool = False, random_state: int = 0) -> None:
        self.smooth, self.random_state = smooth, random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from sessions and the label of each step."""
        key = joblib.hash((X, y, self.random_state))  # the same forest with and without smoothing
        if key not in FORESTS:
            forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=self.random_state)
            FORESTS[key] = forest.fit(np.concatenate([windows(one) for one in X]), np.concatenate(y).astype(str))
        self.forest_ = FORESTS[key]
        self.classes_ = self.forest_.classes_
        codes = [np.searchsorted(self.classes_, np.asarray(one, dtype=str)) for one in y]
        self.shares_ = np.bincount(np.concatenate(codes), minlength=len(self.classes_)) / sum(map(len, codes))
        counts = np.ones((len(self.classes_), len(self.classes_)))  # one of each: nothing is impossible
        for one in codes:
            np.add.at(counts, (one[:-1], one[1:]), 1)
        self.transitions_ = counts / counts.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, X: Any) -> list[NDArray[Any]]:
        """Return the probabilities of the forest, step by step."""
        return [self.forest_.predict_proba(windows(one)) for one in X]

    def predict(self, X: Any) -> list[NDArray[Any]]:
        """Return the most probable label of each step, or with `smooth` the most probable path of hidden states."""
        found = []
        for shares in self.predict_proba(X):
            path = viterbi(shares / self.shares_, self.transitions_, self.shares_) if self.smooth else shares.argmax(1)
            found.append(self.classes_[path])
        return found


def windows(session: NDArray[Any]) -> NDArray[Any]:
    """Return the features of each step of (T, C)."""
    padded = np.pad(session, ((REACH, REACH), (0, 0)), mode="edge")
    held = sliding_window_view(padded, 2 * REACH + 1, axis=0)  # (T, C, W)
    parts = (held.mean(axis=2), held.std(axis=2), held.min(axis=2), held.max(axis=2))
    return np.concatenate([held.reshape(len(session), -1), *parts], axis=1)


def viterbi(likelihoods: NDArray[Any], transitions: NDArray[Any], start: NDArray[Any]) -> NDArray[np.int64]:
    """Return the most probable path through hidden states [Viterbi 1967], (T,), of their likelihoods, (T, K)."""
    emitted, moves = np.log(likelihoods + 1e-9), np.log(transitions)
    score = np.log(start) + emitted[0]
    came = np.zeros(likelihoods.shape, dtype=np.int64)
    for step in range(1, len(emitted)):
        ways = score[:, None] + moves
        came[step] = ways.argmax(axis=0)
        score = ways.max(axis=0) + emitted[step]
    path = [int(score.argmax())]
    for step in range(len(emitted) - 1, 0, -1):
        path.append(int(came[step, path[-1]]))
    return np.array(path[::-1])


def models(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the models by name, with changed settings of networks."""
    settings = SMALL | changes
    return {
        "forest on windows": WindowForest(),
        "forest, hidden Markov": WindowForest(smooth=True),
        "GRU, causal": GRUClassifier(output="step", bidirectional=False, **settings),
        "Conv1D": Conv1DClassifier(output="step", **settings),
        "GRU": GRUClassifier(output="step", **settings),
        "majority": MajorityClassifier(output="step"),
    }


ABOUT = {
    "GRU": "reads both ways",
    "GRU, causal": "reads the past alone",
    "Conv1D": "reads both ways",
    "forest on windows": f"reads {REACH} steps on both sides",
    "forest, hidden Markov": "then the most probable path through all of a session",
    "majority": "the most frequent label",
}


def rows_of(found: StepComparison) -> list[dict[str, Any]]:
    """Return a row for each model and person."""
    segments, accuracy = found.segments(), found.by("group")
    seconds = found.table.set_index("model")[["fit_seconds", "predict_seconds"]]
    return [
        {"measured": "steps", "set": SET, "model": model, "about": ABOUT[model], "user": user}
        | {"accuracy": float(accuracy.loc[user, model])}
        | {name: float(scores[name]) for name in SCORES}
        | {name: float(seconds.loc[model, name]) for name in seconds}
        for (model, user), scores in segments.iterrows()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(ABOUT), metavar="MODEL", help="all unless named")
    parser.add_argument("--page", metavar="FILE", help="write the report to a file, too")
    parser.add_argument("--quick", action="store_true", help="a minute: 5 people, 2 sessions; no number of it counts")
    options = parser.parse_args()
    X, y, users = sessions(2, 5) if options.quick else sessions()
    every = models({"max_epochs": 3} if options.quick else {})
    picked = {name: every[name] for name in options.models or every}

    def ended(model: str, protocol: str, fold: int) -> None:
        sys.stdout.write(f"  {model} fold {fold}\n")
        sys.stdout.flush()

    found = compare_classifiers(picked, X, y, users, progress=ended)
    assert isinstance(found, StepComparison)
    sys.stdout.write(f"{found}\n")
    if options.page:
        found.to_html(options.page)
    if not options.quick:
        rows = [row for row in rows_of(found) if row["model"] in picked]
        steps = sum(map(len, X))
        data = {"measured": "sessions", "set": SET, "sessions": len(X), "steps": steps, "users": len(set(users))}
        record(NAME, [data], {"measured": "sessions"})
        for name in picked:
            record(NAME, [row for row in rows if row["model"] == name], {"measured": "steps", "model": name})


if __name__ == "__main__":
    main()
