"""Labels of steps: their scores by step and by segment, the data of a comparison, and its results."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.data import samples
from tsforecast.data.panel import Panel
from tsforecast.data.samples import find_duplicates
from tsforecast.data.splits import Positions
from tsforecast.errors import DataError, ParameterError, counted, raise_any, shorten
from tsforecast.evaluation.classification import DISPLAY, FIT, ClassificationResults, has_users
from tsforecast.evaluation.folds import LabelledSequences
from tsforecast.sequences.base import groups_of
from tsforecast.sequences.classifier import one_class
from tsforecast.sequences.steps import StepLabels, labels_apart, step_labels

OVERLAPS = (0.1, 0.25, 0.5)  # of a predicted segment and a true one, as in Lea et al. (2017)
SCORES = ("edit", *(f"f1_{100 * overlap:.0f}" for overlap in OVERLAPS))
RUNS = ("begin", "count", "true", "predicted")  # columns of `Runs`
NAMED = 6  # segments in the words for what a recording holds


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of labelled steps with one true and one predicted label, in the order of time."""

    begin: NDArray[np.int64]  # first step of each
    count: NDArray[np.int64]  # its steps
    true: NDArray[Any]
    predicted: NDArray[Any]


def parts_of(truth: StepLabels, offsets: NDArray[np.int64]) -> list[StepLabels]:
    """Return the labels of each recording, (T,), of those of all below each other."""
    return [truth[begin:end] for begin, end in itertools.pairwise(offsets)]


def runs_of(truth: StepLabels, predicted: NDArray[Any]) -> Runs:
    """Return the runs of a recording, (T,) true and (T,) predicted labels; steps without a label are left out."""
    known = np.flatnonzero(~np.ma.getmaskarray(truth))
    true, answers = truth.data[known], np.asarray(predicted)[known]
    new = np.ones(len(known), dtype=np.bool_)
    new[1:] = (np.diff(known) > 1) | (true[1:] != true[:-1]) | (answers[1:] != answers[:-1])
    first = np.flatnonzero(new)
    return Runs(known[first], np.diff(np.append(first, len(known))), true[first], answers[first])


class Segments(NamedTuple):
    """Segments of one label; a step without a label is between two stretches, and no segment crosses it."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]  # one past the last step
    label: NDArray[Any]
    stretch: NDArray[np.int64]


def segments_of(runs: Runs, labels: NDArray[Any]) -> Segments:
    """Join neighbouring runs with the same of some labels, such as ``runs.true``."""
    end = runs.begin + runs.count
    cut = np.append(True, runs.begin[1:] != end[:-1])
    first = np.flatnonzero(cut | np.append(True, labels[1:] != labels[:-1]))
    last = np.append(first[1:], len(labels)) - 1
    return Segments(runs.begin[first], end[last], labels[first], np.cumsum(cut)[first])


@dataclass(frozen=True)
class SegmentTally:
    """Agreement of the segments of a recording."""

    edit: float  # edit score, in [0, 1]
    hits: tuple[int, ...]  # predicted segments that meet a true one, at each of `OVERLAPS`
    true: int  # segments
    predicted: int


def tally(runs: Runs) -> SegmentTally:
    """Compare predicted with true segments.

    The edit score is 1 minus the Levenshtein distance between the labels of both, stretch by stretch, over the larger
    number of segments. A predicted segment is a hit where it overlaps a true one of its label that no other has hit, by
    the intersection over the union [Lea et al. 2017, arXiv 1611.05267].
    """
    true, predicted = segments_of(runs, runs.true), segments_of(runs, runs.predicted)
    distance = longest = 0
    for stretch in np.unique(true.stretch):
        both = [each.label[each.stretch == stretch] for each in (true, predicted)]
        distance, longest = distance + edit_distance(*both), longest + max(map(len, both))
    hits = tuple(_hits(true, predicted, overlap) for overlap in OVERLAPS)
    return SegmentTally(1 - distance / longest, hits, len(true.label), len(predicted.label))


def edit_distance(one: NDArray[Any], other: NDArray[Any]) -> int:
    """Return the least number of insertions, deletions and replacements between two sequences of labels.

    Examples
    --------
    >>> edit_distance(np.array(["rest", "walk", "rest"]), np.array(["rest", "run", "walk"]))
    2
    """
    steps = np.arange(len(other) + 1)
    row = steps.copy()
    for label in one:
        change = np.minimum(row[1:] + 1, row[:-1] + (other != label))
        best = np.append(row[0] + 1, change)
        row = np.minimum.accumulate(best - steps) + steps  # of insertions, whose cost is the distance
    return int(row[-1])


def _hits(true: Segments, predicted: Segments, overlap: float) -> int:
    """Return the number of predicted segments that hit a true one, each of which is hit once."""
    hit, count = np.zeros(len(true.label), dtype=np.bool_), 0
    for begin, end, label in zip(predicted.begin, predicted.end, predicted.label, strict=True):
        shared = np.minimum(end, true.end) - np.maximum(begin, true.begin)
        union = np.maximum(end, true.end) - np.minimum(begin, true.begin)
        share = np.where(true.label == label, shared / union, 0.0)
        best = int(share.argmax())
        if share[best] >= overlap and not hit[best]:
            hit[best] = True
            count += 1
    return count


def f1_scores(tallies: Iterable[SegmentTally]) -> dict[str, float]:
    """Return the mean edit score of recordings, and the F1 of all their segments at each overlap."""
    held = list(tallies)
    true, predicted = sum(each.true for each in held), sum(each.predicted for each in held)
    found = {"edit": float(np.mean([each.edit for each in held]))}
    for at, name in enumerate(SCORES[1:]):
        found[name] = 2 * sum(each.hits[at] for each in held) / (true + predicted)
    return found


def step_scores(truth: Any, predicted: Any) -> dict[str, float]:
    """Score labels of steps: by step, and by segment.

    Steps without a true label are left out, and cut segments in two.

    Parameters
    ----------
    truth : list of (T,) arrays, or array of shape (N, T)
        True labels of each recording; None, NaN and "" are none.
    predicted : list of (T,) arrays, or array of shape (N, T)
        Labels that were predicted.

    Returns
    -------
    dict of str to float
        ``accuracy``, the share of labelled steps that are right; ``balanced_accuracy``, the mean over true classes of
        the share of their steps; ``macro_f1``, the mean over all classes of F1 by step; ``edit``, the edit score, a
        mean over recordings; ``f1_10``, ``f1_25`` and ``f1_50``, the F1 of segments that overlap by so many percent.
        All are between 0 and 1. The scores by segment are those of Lea et al. (2017, arXiv 1611.05267): many short
        segments that should not be there hardly change the accuracy, and ruin them.

    Raises
    ------
    DataError

    Examples
    --------
    >>> truth, flicker = ["rest"] * 4 + ["walk"] * 4, ["rest", "walk", "rest", "rest"] + ["walk"] * 4
    >>> scores = step_scores([truth], [flicker])
    >>> scores["accuracy"], scores["edit"], round(scores["f1_50"], 3)
    (0.875, 0.5, 0.667)
    """
    parts = [np.asarray(one) for one in predicted]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    if not len(lengths):
        raise DataError("there must be a recording at least to score: got none")
    labels = parts_of(step_labels(truth, lengths), np.append(0, np.cumsum(lengths)))
    found = [runs_of(*pair) for pair in zip(labels, parts, strict=True)]
    found = [runs for runs in found if len(runs.begin)]
    true, answers = (np.concatenate([getattr(runs, name) for runs in found]) for name in ("true", "predicted"))
    weights = np.concatenate([runs.count for runs in found])
    right = weights * (true == answers)
    recalls, scores = [], []
    for label in sorted({*true.tolist(), *answers.tolist()}):
        hits, held, given = right[true == label].sum(), weights[true == label].sum(), weights[answers == label].sum()
        recalls += [hits / held] if held else []
        scores.append(2 * hits / (held + given))
    by_step = {
        "accuracy": right.sum() / weights.sum(),
        "balanced_accuracy": np.mean(recalls),
        "macro_f1": np.mean(scores),
    }
    return {name: float(score) for name, score in by_step.items()} | f1_scores(map(tally, found))


def have_steps(X: Any, y: Any) -> bool:
    """Return whether labels, as in `compare_classifiers`, are those of steps: a column of a panel, or arrays."""
    if isinstance(y, str):
        return isinstance(X, Panel) and y in X.roles.varying and y not in X.statics
    if not hasattr(y, "__len__") or not len(y) or not hasattr(X, "__len__") or not len(X):
        return False
    first = y.iloc[0] if hasattr(y, "iloc") else y[0]
    steps = len(X.series(0)) if isinstance(X, Panel) else len(X[0])
    return hasattr(first, "__len__") and not isinstance(first, str) and len(first) == steps


@dataclass(frozen=True, eq=False)
class LabelledSteps(LabelledSequences):
    """Sequences with a label for each step, and the user of each where that is known; `labels` are the main ones."""

    truth: StepLabels  # (rows,)

    @classmethod
    def read(cls, X: Any, y: Any, groups: Any = None) -> LabelledSteps:
        """Read the arguments of `Classifier.fit`; DataError has every problem."""
        X, y = labels_apart(X, y)
        panel = samples.read(X)
        truth = step_labels(y, panel.lengths)
        users, problems = groups_of(panel, groups)
        raise_any(one_class(truth.compressed(), np.unique(truth.compressed()), "steps") + problems)
        held = [runs_of(part, part.data).true for part in parts_of(truth, panel.offsets)]
        words = np.array([shorten([str(label) for label in labels], NAMED) or "nothing" for labels in held])
        return cls(panel, _main(panel, truth), users, find_duplicates(panel, words, users), truth)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of sequences, labels of steps and users."""
        labels = self.truth.filled().tolist(), np.ma.getmaskarray(self.truth).tobytes()
        return hashlib.sha256(repr((super().fingerprint, labels)).encode()).hexdigest()

    @property
    def described(self) -> str:
        """See `LabelledSequences.described`."""
        return f"{super().described}, {self.truth.count()} labelled steps"

    def truths(self, positions: Positions) -> list[StepLabels]:
        """Return the labels of the steps of some sequences."""
        every = parts_of(self.truth, self.panel.offsets)
        return [every[i] for i in positions]

    def given(self, positions: Positions) -> list[NDArray[Any]]:
        """See `LabelledSequences.given`: an array for each, with None for steps without a label."""
        found = []
        for part in self.truths(positions):
            labels = part.data.astype(object)
            labels[np.ma.getmaskarray(part)] = None
            found.append(labels)
        return found

    def known(self, positions: Positions) -> NDArray[Any]:
        """See `LabelledSequences.known`: of all steps that have one."""
        return np.concatenate([part.compressed() for part in self.truths(positions)])

    def runs(self, positions: Positions, predicted: Any) -> pd.DataFrame:
        """Return a row for each run of one true and one predicted label in some sequences."""
        answers = [np.asarray(one) for one in predicted]
        wanted = self.panel.lengths[positions].tolist()
        if [one.shape for one in answers] != [(length,) for length in wanted]:
            shapes = shorten([str(one.shape) for one in answers])
            raise DataError(f"predict must return a (T,) array for each recording: got shapes {shapes}")
        parts = []
        for at, truth, one in zip(positions, self.truths(positions), answers, strict=True):
            part = pd.DataFrame(vars(runs_of(truth, one)))
            part.insert(0, "recording", self.panel.ids[at])
            part.insert(0, "group", None if self.groups is None else self.groups[at])
            parts.append(part)
        return pd.concat(parts, ignore_index=True)


def _main(panel: Panel, truth: StepLabels) -> NDArray[Any]:
    """Return the most frequent label of each recording, (N,); of one without labels that of all."""

    def main(labels: NDArray[Any]) -> Any:
        kinds, counts = np.unique(labels, return_counts=True)
        return kinds[counts.argmax()]

    usual = main(truth.compressed())
    held = [part.compressed() for part in parts_of(truth, panel.offsets)]
    return np.array([main(labels) if len(labels) else usual for labels in held])


class StepResults(ClassificationResults):
    """Predictions of the labels of steps by several classifiers on the same folds.

    A row is a run of steps of a recording with one true and one predicted label: from ``begin`` on, ``count`` of them.
    Accuracy is by step, and a user counts once; `segments` has the scores by segment.

    Examples
    --------
    >>> one = {"protocol": "random", "seed": None, "fold": 0, "group": "ann", "recording": "a", "begin": 0, "count": 4}
    >>> one |= {"true": "up", "fit_seconds": 1.0, "predict_seconds": 0.1}
    >>> rows = [one | {"model": name, "predicted": name} for name in ("up", "majority")]
    >>> StepResults(pd.DataFrame(rows)).table[["model", "accuracy", "edit", "f1_50"]].to_dict("records")[0]
    {'model': 'up', 'accuracy': 1.0, 'edit': 1.0, 'f1_50': 1.0}
    """

    unit: ClassVar[str] = "steps"
    _columns = (*ClassificationResults._columns, "recording", "begin", "count")
    _compared = ("true", "predicted", "begin")  # type: ignore[assignment]
    _display: ClassVar[dict[str, tuple[str, str]]] = {
        **{name: DISPLAY[name] for name in ("model", "accuracy", "interval", "lowest")},
        "edit": ("edit score", "{:.1%}"),
        **{f"f1_{share}": (f"F1 at {share}%", "{:.1%}") for share in (10, 25, 50)},
        **DISPLAY,
    }

    def _lines(self, protocol: str) -> list[dict[str, Any]]:
        scores = self.segments(protocol).groupby("model").mean().to_dict("index")
        nothing = dict.fromkeys(SCORES, np.nan)
        return [line | scores.get(line["model"], nothing) for line in super()._lines(protocol)]

    def segments(self, protocol: str | None = None) -> pd.DataFrame:
        """Return the scores by segment of each model and user, a mean over seeds: edit, f1_10, f1_25 and f1_50.

        The edit score is a mean over the user's recordings; F1 counts all their segments.

        Raises
        ------
        ParameterError
        """
        found: dict[tuple[Any, ...], list[SegmentTally]] = {}
        for key, runs in self._recordings(protocol):
            found.setdefault(key[:-1], []).append(tally(runs))
        scores = pd.DataFrame([f1_scores(each) for each in found.values()], columns=SCORES)
        scores["model"], scores["group"] = [key[0] for key in found], [key[-1] for key in found]
        return scores.groupby(["model", "group"], dropna=False, sort=False).mean()

    def along_time(self, recording: Any, model: str, protocol: str | None = None) -> pd.DataFrame:
        """Return the runs of a recording, by a model's first seed: begin, count, true, predicted.

        Raises
        ------
        ParameterError
        """
        rows = self.named(protocol, model)
        own = rows[rows["recording"] == recording]
        if own.empty:
            raise ParameterError(f"a recording must be among the rows: got {recording!r}")
        first = own[own["seed"].fillna(-1) == own["seed"].fillna(-1).iloc[0]]
        return first[list(RUNS)].sort_values("begin").reset_index(drop=True)

    def _recordings(self, protocol: str | None) -> Iterable[tuple[tuple[Any, ...], Runs]]:
        """Yield model, seed, user and recording of each prediction, and its runs."""
        keys = ["model", "seed", "fold", "group", "recording"]
        rows = self.of(protocol or self.protocols[0]).sort_values("begin", kind="stable")
        for (model, seed, _, group, recording), part in rows.groupby(keys, dropna=False, sort=False):
            yield (model, seed, group, recording), Runs(*(part[name].to_numpy() for name in RUNS))

    @property
    def summary_line(self) -> str:
        """Number of recordings, users, labelled steps and classes, in words."""
        rows = self.of(self.protocols[0])
        rows = rows[rows["model"] == rows["model"].iloc[0]].drop_duplicates([*FIT[2:], "recording", "begin"])
        rows = rows[rows["seed"].fillna(-1) == rows["seed"].fillna(-1).iloc[0]]
        users = f" of {counted(rows['group'].nunique(), 'user')}" if has_users(rows) else ""
        steps = f"{int(rows['count'].sum()):,} labelled steps"
        classes = counted(rows["true"].nunique(), "class", "classes")
        return f"{counted(rows['recording'].nunique(), 'recording')}{users}, {steps}, {classes}"
