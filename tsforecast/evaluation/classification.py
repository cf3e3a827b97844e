"""What was recognised: answers, and all that follows from them; a verdict on each model beside the majority."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tsforecast.data.sequences import Copies
from tsforecast.evaluation.significance import holm
from tsforecast.evaluation.verdict import MIN_TRIALS, SIGNIFICANCE, Verdict

LEVEL = 0.95
FIT = ["protocol", "model", "seed", "fold"]  # what one fit is known by


@dataclass(frozen=True)
class Interval:
    """A mean over users and where that of all users lies.

    Attributes
    ----------
    mean : float
    low, high : float
        The 95 % interval; NaN with fewer than two users.
    users : int
    """

    mean: float
    low: float
    high: float
    users: int


def over_users(values: ArrayLike) -> Interval:
    """Return the mean over users with an interval from Student's t over them.

    Users are what the next recording may come from another one of: however many recordings each has, they count once.

    Parameters
    ----------
    values : array of shape (users,)

    Examples
    --------
    >>> found = over_users([0.9, 1.0, 0.95, 0.95])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3), found.users
    (0.95, 0.885, 1.015, 4)
    """
    from scipy.stats import t

    each = np.asarray(values, dtype=np.float64)
    mean, n = float(each.mean()), len(each)
    if n < 2:
        return Interval(mean, math.nan, math.nan, n)
    reach = float(t.ppf((1 + LEVEL) / 2, n - 1) * each.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


def chance(gains: ArrayLike) -> float:
    """Return how likely gains as high are, one for each user, where there is none: a one-sided t test.

    Examples
    --------
    >>> round(chance([0.1, 0.2, 0.15]), 4), chance([0.5, 0.5]), chance([0.0, 0.0])
    (0.0175, 0.0, 1.0)
    """
    from scipy.stats import t

    each = np.asarray(gains, dtype=np.float64)
    if len(each) < 2:
        return math.nan
    spread = float(each.std(ddof=1))
    if spread == 0:
        return float(each[0] <= 0)
    return float(t.sf(each.mean() / spread * math.sqrt(len(each)), len(each) - 1))


def tallied(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how often each fit said each class of recordings of each user and class; tallies stay as they are.

    Everything below takes rows or their tallies.

    Examples
    --------
    >>> one = dict(zip(FIT, ["random", "gru", 0, 0])) | {"group": "ann", "true": "up", "chosen": "", "fit_seconds": 1.0}
    >>> rows = pd.DataFrame([one | {"predicted": said, "predict_seconds": 0.1} for said in ("up", "up", "down")])
    >>> tallied(rows)[["predicted", "count"]].to_numpy().tolist()
    [['down', 1], ['up', 2]]
    """
    if "count" in rows:
        return rows
    keys = [*FIT, "group", "true", "predicted", "chosen", "fit_seconds", "predict_seconds"]
    return rows.groupby(keys, dropna=False, sort=True).size().rename("count").reset_index()


def accuracy_by(rows: pd.DataFrame, key: Literal["group", "true", "fold", "seed"]) -> pd.DataFrame:
    """Return the share of recordings that each model recognises, a line for each user, class, fold or seed.

    Examples
    --------
    >>> rows = pd.DataFrame({"model": ["gru"] * 3, "group": ["ann", "ann", "bob"], "count": [3, 1, 2]})
    >>> accuracy_by(rows.assign(true="up", predicted=["up", "down", "up"]), "group")["gru"].to_dict()
    {'ann': 0.75, 'bob': 1.0}
    """
    counts = rows["count"] if "count" in rows else pd.Series(1, index=rows.index)
    right = counts.where(rows["true"] == rows["predicted"], 0)
    keys = [rows["model"], rows[key]]
    shares = right.groupby(keys, dropna=False, sort=True).sum() / counts.groupby(keys, dropna=False, sort=True).sum()
    return shares.unstack(level=0)[list(dict.fromkeys(rows["model"]))]


def confusion(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return how many recordings of each class (a line) a model took for each class (a column), of all seeds.

    Examples
    --------
    >>> rows = pd.DataFrame({"model": "gru", "true": ["a", "a", "b"], "predicted": ["a", "b", "b"]})
    >>> confusion(rows, "gru").to_numpy().tolist()
    [[1, 1], [0, 1]]
    """
    own = rows[rows["model"] == model]
    counts = own["count"] if "count" in own else pd.Series(1, index=own.index)
    classes = sorted(set(own["true"]) | set(own["predicted"]))
    table = counts.groupby([own["true"], own["predicted"]]).sum().unstack(fill_value=0)
    return table.reindex(index=classes, columns=classes, fill_value=0).astype(int)


def has_users(rows: pd.DataFrame) -> bool:
    """Tell whether it is known whom recordings are of."""
    return bool(rows["group"].notna().all())


REFERENCE = "majority"
MOST_NOTES = 8  # about copies, those with several labels first; the rest is counted
# Protocol -> what stands beside every number of it.
LABELS = {
    "leave-users-out": "users it has not seen",
    "random": "users on both sides",
    "given": "the split that came with the recordings",
}
SHOWN = {
    "accuracy": ("accuracy", "{:.1%}"),
    "interval": ("95% interval", "{}"),
    "lowest": ("lowest user", "{:.1%}"),
    "seeds": ("seeds", "{}"),
    "fit_seconds": ("fit s", "{:.1f}"),
    "predict_seconds": ("predict s", "{:.2f}"),
}


@dataclass(frozen=True)
class SplitOptimism:
    """What a random split seems to gain, since users are on both sides of it.

    Attributes
    ----------
    model : str
    random, unseen : float
        Accuracy with users on both sides, and of users it has not seen.
    gain : Interval
        Their difference, user by user.
    """

    model: str
    random: float
    unseen: float
    gain: Interval

    def __str__(self) -> str:
        return (
            f"The leak premium of {self.model} is {points(self.gain)}: a random split, with users on both sides, says "
            f"{self.random:.1%}, users it has not seen say {self.unseen:.1%}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class ClassificationResults:
    """Answers of several classifiers; the table, verdicts and views are functions of them.

    Attributes
    ----------
    rows : pandas.DataFrame
        One for each answer, see `tsforecast.evaluation.compare_classifiers.ROW_COLUMNS`; or tallies of them.
    copies : tuple of Copies
        Recordings of which there are several.
    told : tuple of str
        What else was found before anything was trained.

    Examples
    --------
    >>> one = {"protocol": "random", "seed": None, "fold": 0, "group": "ann", "true": "up", "fit_seconds": 1.0}
    >>> rows = [one | {"model": name, "predicted": name, "predict_seconds": 0.1} for name in ("up", "majority")]
    >>> print(ClassificationResults(pd.DataFrame(rows)).table[["model", "accuracy", "users"]].to_string(index=False))
       model  accuracy  users
          up       1.0      1
    majority       0.0      1
    """

    rows: pd.DataFrame
    copies: tuple[Copies, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def protocols(self) -> list[str]:
        """The protocols that were asked for, the one that leaves users out first: it decides."""
        return [name for name in LABELS if (self.rows["protocol"] == name).any()]

    def of(self, protocol: str) -> pd.DataFrame:
        """Return the rows of one protocol."""
        return self.rows[self.rows["protocol"] == protocol]

    @cached_property
    def table(self) -> pd.DataFrame:
        """A line for each model and protocol: accuracy (mean over users), its interval, the lowest user, seconds."""
        parts = [pd.DataFrame(_table(self.of(name), name)) for name in self.protocols]
        ranked = [part.sort_values("accuracy", ascending=False, kind="stable") for part in parts]
        return pd.concat(ranked, ignore_index=True)

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """A verdict on each model beside the majority, by the first protocol."""
        return judge(self.of(self.protocols[0]))

    @cached_property
    def premiums(self) -> list[SplitOptimism]:
        """The leak premium of each model; none where only one of the two protocols was asked for."""
        if not {"leave-users-out", "random"} <= set(self.protocols) or not has_users(self.rows):
            return []
        unseen, random = (accuracy_by(self.of(name), "group") for name in ("leave-users-out", "random"))
        both = [name for name in unseen if name in random and name != REFERENCE]
        return [
            SplitOptimism(
                name, float(random[name].mean()), float(unseen[name].mean()), over_users(random[name] - unseen[name])
            )
            for name in both
        ]

    @property
    def notes(self) -> list[str]:
        """What a reader must know: of users and of copies, and whether they were on both sides of a split."""
        more = len(self.copies) - MOST_NOTES
        found = [f"{copies.sentence}; {self._kept(copies)}" for copies in self.copies[:MOST_NOTES]]
        return [*self.told, *found, *([f"{more} more recordings have copies"] if more > 0 else [])]

    def _kept(self, copies: Copies) -> str:
        which = "both are kept" if len(copies.names) == 2 else "all are kept"
        if "recording" not in self.rows:
            return which
        apart = []
        for protocol in self.protocols:
            rows = self.of(protocol)
            places = rows[rows["recording"].astype(str).isin(copies.names)].groupby("recording")["fold"].first()
            if places.nunique() > 1 or 0 < len(places) < len(copies.names):
                apart.append(protocol)
        where = f"on both sides of a fold of {' and '.join(apart)}" if apart else "on one side of each fold"
        return f"{which}, {where}"

    def by(self, key: Any, protocol: str | None = None) -> pd.DataFrame:
        """Return accuracy by ``"group"``, ``"true"`` (class), ``"fold"`` or ``"seed"``, a column for each model."""
        return accuracy_by(self.of(protocol or self.protocols[0]), key)

    def confusion(self, model: str, protocol: str | None = None) -> pd.DataFrame:
        """Return what a model took each class for; see `tsforecast.evaluation.classification.confusion`."""
        return confusion(self.of(protocol or self.protocols[0]), model)

    def to_html(self, path: str | Path | None = None, title: str | None = None) -> str | None:
        """Write the report, or return it where there is no path."""
        from tsforecast.evaluation.report.classification import html_recognition
        from tsforecast.files import write_or_return

        return write_or_return(html_recognition(self, title), path)

    @property
    def basis(self) -> str:
        """What was tested, in a sentence."""
        rows = self.of(self.protocols[0])
        rows = rows[rows["model"] == REFERENCE]  # fitted once
        count = int(rows["count"].sum()) if "count" in rows else len(rows)
        users = f" of {rows['group'].nunique()} users" if has_users(rows) else ""
        return f"{count} recordings{users}, {rows['true'].nunique()} classes"

    def __str__(self) -> str:
        parts = [f"{self.basis}."]
        for protocol in self.protocols:
            own = self.table[self.table["protocol"] == protocol]
            parts.append(f"\n{protocol}: {LABELS[protocol]}\n{shown(own).to_string(index=False)}")
        parts += ["", *(f"{verdict}." for verdict in self.verdicts.values())]
        parts += [f"{premium}." for premium in self.premiums] + [f"Note: {note}." for note in self.notes]
        return "\n".join(parts)

    __repr__ = __str__


def judge(rows: pd.DataFrame, reference: str = REFERENCE) -> dict[str, Verdict]:
    """Return a verdict on each model beside the reference.

    A model beats it when its higher accuracy would come by chance less often than at 5 % (a one-sided t test over
    users, adjusted by Holm for the number of models) and the 95 % interval of its gain lies above zero.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of one protocol.
    """
    users = accuracy_by(rows, "group")
    best_first = users.mean().sort_values(ascending=False, kind="stable").index
    gains = {name: users[name] - users[reference] for name in best_first if name != reference}
    told = has_users(rows) and len(users) >= MIN_TRIALS
    chances = dict(zip(gains, holm([chance(gain) for gain in gains.values()]), strict=True)) if told else {}
    found = {name: _verdict(name, users, gains[name], chances.get(name), reference) for name in gains}
    best = f"{reference} is the reference: it recognises {users[reference].mean():.1%}"
    return found | {reference: Verdict(reference, "reference", best, 0.0)}


def _verdict(name: str, users: pd.DataFrame, gains: pd.Series, by_chance: float | None, reference: str) -> Verdict:
    gain, room = over_users(gains), 1 - float(users[reference].mean())
    skill, low, high = (bound / room if room else math.nan for bound in (gain.mean, gain.low, gain.high))
    accuracies = f"it recognises {users[name].mean():.1%}, {reference} {users[reference].mean():.1%}"
    if gain.mean <= 0:
        outcome, sentence = "does not beat", f"{name} does not beat {reference}: {accuracies}"
    elif by_chance is None:
        whose = "1 user" if len(users) == 1 else f"{len(users)} users"
        known = (
            f"in {whose}; a verdict needs at least {MIN_TRIALS}" if users.index.notna().all() else "of unknown users"
        )
        outcome = "inconclusive"
        sentence = f"{name} is inconclusive: {accuracies} {known}"
    elif by_chance < SIGNIFICANCE and gain.low > 0:
        outcome, sentence = "beats", f"{name} beats {reference} by {points(gain)}: {accuracies}"
    else:
        outcome = "inconclusive"
        sentence = f"{name} is inconclusive: {points(gain)} more than {reference} in {gain.users} users; {accuracies}"
    return Verdict(name, outcome, sentence, skill, low, high, math.nan if by_chance is None else by_chance)


def points(gain: Interval) -> str:
    """Say a difference of accuracies in points, with its interval where there is one.

    Examples
    --------
    >>> points(Interval(0.025, 0.01, 0.04, 8)), points(Interval(0.025, math.nan, math.nan, 1))
    ('2.5 points (1.0 to 4.0)', '2.5 points')
    """
    span = "" if math.isnan(gain.low) else f" ({100 * gain.low:.1f} to {100 * gain.high:.1f})"
    return f"{100 * gain.mean:.1f} points{span}"


def span(low: float, high: float) -> str:
    """Say an interval of an accuracy, which ends at 0 and 1; a dash where there is none.

    Examples
    --------
    >>> span(0.955, 1.01), span(math.nan, math.nan)
    ('95.5 to 100.0', '-')
    """
    return "-" if math.isnan(low) else f"{100 * max(low, 0.0):.1f} to {100 * min(high, 1.0):.1f}"


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as a reader sees it."""
    told = table.assign(interval=[span(low, high) for low, high in zip(table["low"], table["high"], strict=True)])
    return pd.DataFrame(
        {"model": told["model"]}
        | {
            title: ["-" if value != value else digits.format(value) for value in told[name]]
            for name, (title, digits) in SHOWN.items()
        }
    )


def _table(rows: pd.DataFrame, protocol: str) -> list[dict[str, Any]]:
    users, known = accuracy_by(rows, "group"), has_users(rows)
    fits = rows.drop_duplicates(FIT).groupby("model")
    lines = []
    for name in users:
        found = over_users(users[name]) if known else Interval(float(users[name].mean()), math.nan, math.nan, 0)
        lines.append(
            {
                "protocol": protocol,
                "model": name,
                "accuracy": found.mean,
                "low": found.low,
                "high": found.high,
                "lowest": float(users[name].min()) if known else math.nan,
                "users": found.users,
                "seeds": max(1, int(fits.get_group(name)["seed"].nunique())),
                "fit_seconds": float(fits.get_group(name)["fit_seconds"].median()),
                "predict_seconds": float(fits.get_group(name)["predict_seconds"].median()),
            }
        )
    return lines
