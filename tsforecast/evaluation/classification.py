"""Classification results: predictions of several classifiers, with the tables and verdicts that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd

from tsforecast.checks import one_of
from tsforecast.data.samples import DuplicateSet
from tsforecast.errors import ParameterError, counted, raise_any
from tsforecast.evaluation import class_metrics
from tsforecast.evaluation.class_metrics import PREFIX, counts
from tsforecast.evaluation.phrasing import TESTED, class_headline
from tsforecast.evaluation.record import ClassificationRecord
from tsforecast.evaluation.significance import Interval, holm, over_users
from tsforecast.evaluation.storage import Results, join
from tsforecast.evaluation.verdict import MIN_UNITS, SIGNIFICANCE, Verdict, chance
from tsforecast.files import write_or_return
from tsforecast.reporting.tables import as_text, json_text, markdown

FIT = ["protocol", "model", "seed", "fold"]  # columns that identify one fit
REFERENCE = "majority"
MAX_COPIES = 8  # notes about copies; further ones are counted
# Protocol -> description beside every number of it.
LABELS = {
    "leave-users-out": "users it has not seen",
    "random": "users on both sides",
    "given": "the split that came with the recordings",
}
# Column of the table -> its title and format where it is displayed.
DISPLAY = {
    "model": ("model", "{}"),
    "accuracy": ("accuracy", "{:.1%}"),
    "interval": ("95% interval", "{}"),
    "lowest": ("lowest user", "{:.1%}"),
    "seeds": ("seeds", "{}"),
    "fit_seconds": ("fit s", "{:.1f}"),
    "predict_seconds": ("predict s", "{:.2f}"),
}


def tallied(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the number of predictions of each fit, user, true and predicted class; tallies stay as they are.

    Every function here takes rows or their tallies.
    """
    if "count" in rows:
        return rows
    keys = [*FIT, "group", "true", "predicted", "chosen", "fit_seconds", "predict_seconds"]
    return rows.groupby(keys, dropna=False, sort=True).size().rename("count").reset_index()


def accuracy_by(rows: pd.DataFrame, key: str, column: str = "model") -> pd.DataFrame:
    """Return accuracy by user, class, fold or seed, in lines, and by model, or another `column`, in columns."""
    every, keys = counts(rows), [rows[column], rows[key]]
    right = every.where(rows["true"] == rows["predicted"], 0)
    shares = right.groupby(keys, dropna=False, sort=True).sum() / every.groupby(keys, dropna=False, sort=True).sum()
    return shares.unstack(level=0)[list(dict.fromkeys(rows[column]))]


def has_users(rows: pd.DataFrame) -> bool:
    """Return whether the user of every sequence is known."""
    return bool(rows["group"].notna().all())


@dataclass(frozen=True)
class SplitOptimism:
    """Optimism of the random split, also called leak premium: accuracy it adds by having users on both sides."""

    model: str
    random: float  # accuracy with users on both sides
    unseen: float  # accuracy on unseen users
    gain: Interval  # their difference, user by user

    def __str__(self) -> str:
        return (
            f"The optimism of the random split (leak premium) is {points(self.gain)} for {self.model}: accuracy "
            f"{self.random:.1%} with users on both sides, {self.unseen:.1%} on users it has not seen"
        )


@dataclass(frozen=True, eq=False, repr=False)
class ClassificationResults(Results):
    """Predictions of several classifiers on the same folds.

    Attributes
    ----------
    rows : pandas.DataFrame
        One for each prediction, see `compare_classifiers`; or tallies of them.
    notes : tuple of str
        Users on both sides of a split, and copies among the sequences.
    record : ClassificationRecord or None
        Data, folds and fits behind the rows; None where only rows were kept.

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
    notes: tuple[str, ...] = ()
    record: ClassificationRecord | None = None

    _record_type = ClassificationRecord
    _columns = (*FIT, "group", "true", "predicted", "fit_seconds", "predict_seconds")
    _compared = ("true", "predicted")
    _shared = ("protocols", "split")
    _words = ("classifier comparison", "classifier comparison", "predictions", "compare_classifiers")
    _display: ClassVar[dict[str, tuple[str, str]]] = DISPLAY
    unit: ClassVar[str] = "recordings"  # that are predicted, in words

    def __getattr__(self, name: str) -> Any:
        """Explain where scores of steps are missing."""
        if name in ("segments", "along_time"):
            raise AttributeError(
                f"{name} must be asked of a comparison of labels of steps: here each recording has one label; compare "
                "classifiers with output='step'"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @classmethod
    def from_parquet(cls, *paths: str | Path) -> Self:
        """Read and merge results that were written to Parquet.

        Parameters
        ----------
        paths : path
            Files, or folders with a ``rows.parquet``.

        Raises
        ------
        DataError
            When a file holds no such rows, or several were not made from the same data and folds.
        ParameterError
        """
        return cls(*join(cls._read(paths)))

    def merge(self, other: ClassificationResults) -> Self:
        """Return the models of both results side by side.

        Raises
        ------
        DataError
            When the two were not made from the same data and folds; the message names each difference.
        """
        if not isinstance(other, ClassificationResults):
            raise ParameterError(f"merge needs another ClassificationResults: got {type(other).__name__}")
        return type(self)(*join([self, other]))

    @property
    def protocols(self) -> list[str]:
        """The protocols of the rows; verdicts follow from the first, leave-users-out where it is among them."""
        return [name for name in LABELS if (self.rows["protocol"] == name).any()]

    def of(self, protocol: str) -> pd.DataFrame:
        """Return the rows of one protocol.

        Raises
        ------
        ParameterError
        """
        raise_any(one_of("protocol", protocol, self.protocols), ParameterError)
        return self.rows[self.rows["protocol"] == protocol]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One line for each protocol and model, the best first: accuracy (mean over users), interval, lowest user.

        `fit_seconds` is the median time of one fit, `predict_seconds` of the predictions on one fold. Numbers of a
        model that failed are NaN.
        """
        parts = [pd.DataFrame(self._lines(name)) for name in self.protocols]
        ranked = [part.sort_values("accuracy", ascending=False, kind="stable") for part in parts]
        return pd.concat(ranked, ignore_index=True)

    def _lines(self, protocol: str) -> list[dict[str, Any]]:
        rows = self.of(protocol)
        users, known = accuracy_by(rows, "group"), has_users(rows)
        fits = rows.drop_duplicates(FIT).groupby("model")
        lines = []
        for name in users:
            own, accuracy = fits.get_group(name), Interval(float(users[name].mean()), math.nan, math.nan, 0)
            if known:
                accuracy = of_shares(rows, users[name])
            lines.append(
                {
                    "protocol": protocol,
                    "model": name,
                    "accuracy": accuracy.mean,
                    "low": accuracy.low,
                    "high": accuracy.high,
                    "lowest": float(users[name].min()) if known else math.nan,
                    "users": accuracy.users,
                    "seeds": max(1, int(own["seed"].nunique())),
                    "fit_seconds": float(own["fit_seconds"].median()),
                    "predict_seconds": float(own["predict_seconds"].median()),
                }
            )
        nothing = dict.fromkeys(lines[0], math.nan) | {"protocol": protocol, "users": 0, "seeds": 0}
        return lines + [nothing | {"model": name} for name in self.failures]

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Verdict on each model compared with the majority, by the first protocol."""
        failed = {name: Verdict(name, "failed", f"{name} failed: {error}") for name, error in self.failures.items()}
        return judge(self.of(self.protocols[0])) | failed

    @cached_property
    def optimism(self) -> list[SplitOptimism]:
        """Optimism of the random split for each model; empty unless users were also left out."""
        if not {"leave-users-out", "random"} <= set(self.protocols) or not has_users(self.rows):
            return []
        unseen, random = (accuracy_by(self.of(name), "group") for name in ("leave-users-out", "random"))
        return [
            SplitOptimism(
                name, float(random[name].mean()), float(unseen[name].mean()), over_users(random[name] - unseen[name])
            )
            for name in unseen
            if name in random and name != REFERENCE
        ]

    def named(self, protocol: str | None = None, model: str | None = None) -> pd.DataFrame:
        """Return the rows of a protocol, or of one model in it, where a class that its card names has that name.

        Raises
        ------
        ParameterError
        """
        rows = self.of(protocol or self.protocols[0])
        if model is not None:
            raise_any(one_of("model", str(model), [str(name) for name in rows["model"].unique()]), ParameterError)
            rows = rows[rows["model"] == model]
        names = self.record.class_names if self.record else {}
        if not names:
            return rows
        columns = {name: [names.get(str(label), label) for label in rows[name]] for name in ("true", "predicted")}
        return rows.assign(**columns).rename(columns={PREFIX + label: PREFIX + name for label, name in names.items()})

    def by(self, key: str, protocol: str | None = None) -> pd.DataFrame:
        """Return accuracy by ``"group"``, ``"true"`` (class), ``"fold"`` or ``"seed"``, a column for each model.

        Raises
        ------
        ParameterError
        """
        raise_any(one_of("key", key, ("group", "true", "fold", "seed")), ParameterError)
        return accuracy_by(self.named(protocol), key)

    def confusion(self, model: str, protocol: str | None = None) -> pd.DataFrame:
        """Return the number of predictions of a model by true class, in lines, and predicted class, over all seeds.

        Raises
        ------
        ParameterError
        """
        return class_metrics.confusion(self.named(protocol, model))

    def metrics(self, protocol: str | None = None) -> pd.DataFrame:
        """Return a line for each model, the best first: accuracy, and scores of classes and of probabilities.

        Each is over all predictions, of all users and seeds; `table` has the accuracy that counts users alike. See
        `tsforecast.evaluation.class_metrics.metrics` for what they are; those of probabilities are NaN where rows hold
        none, such as rows of an older comparison.

        Raises
        ------
        ParameterError
        """
        lines = {}
        for name in self.table.loc[self.table["protocol"] == (protocol or self.protocols[0]), "model"]:
            if name not in self.failures:
                rows = self.named(protocol, name)
                right = counts(rows)[rows["true"] == rows["predicted"]].sum() / counts(rows).sum()
                lines[name] = {"accuracy": float(right)} | class_metrics.metrics(rows)
        return pd.DataFrame.from_dict(lines, orient="index").rename_axis("model")

    def classes(self, model: str, protocol: str | None = None) -> pd.DataFrame:
        """Return precision, recall, F1, support and areas under both curves of each class, by one against the rest.

        Raises
        ------
        ParameterError
        """
        return class_metrics.by_class(self.named(protocol, model))

    def roc(self, model: str, label: Any, protocol: str | None = None) -> pd.DataFrame:
        """Return the receiver operating characteristic of a class; see `tsforecast.evaluation.class_metrics.roc`.

        Raises
        ------
        ParameterError, DataError
        """
        return class_metrics.roc(*self._of_class(model, label, protocol))

    def precision_recall(self, model: str, label: Any, protocol: str | None = None) -> pd.DataFrame:
        """Return precision and recall of a class; see `tsforecast.evaluation.class_metrics.precision_recall`.

        Raises
        ------
        ParameterError, DataError
        """
        return class_metrics.precision_recall(*self._of_class(model, label, protocol))

    def reliability(self, model: str, protocol: str | None = None) -> pd.DataFrame:
        """Return how often a model is right, by how certain it is; see `evaluation.class_metrics.reliability`.

        Raises
        ------
        ParameterError, DataError
        """
        return class_metrics.reliability(self.named(protocol, model))

    def _of_class(self, model: str, label: Any, protocol: str | None) -> tuple[pd.DataFrame, Any]:
        rows, names = self.named(protocol, model), self.record.class_names if self.record else {}
        known = {str(each): each for each in sorted(rows["true"].unique())}
        name = names.get(str(label), str(label))
        raise_any(one_of("label", name, list(known)), ParameterError)
        return rows, known[name]

    @property
    def headline(self) -> str:
        """Models that beat a guess of the most frequent class, and the accuracy of the best, without a full stop."""
        rows, fits = self.of(self.protocols[0]), self.record.fits if self.record else ()
        networks, base = {fit.model for fit in fits if fit.history}, float(reference_accuracy(rows)[1].mean())
        tested = TESTED[self.protocols[0]] if has_users(rows) else TESTED["given"]
        table = self.table[self.table["protocol"] == self.protocols[0]].set_index("model")
        return class_headline(self.verdicts, table, base, f"{self.unit} of {tested}", networks)

    @property
    def summary_line(self) -> str:
        """Number of recordings, users and classes, in words."""
        rows = self.of(self.protocols[0])
        rows = rows[rows["model"] == REFERENCE]  # fitted once
        users = f" of {counted(rows['group'].nunique(), 'user')}" if has_users(rows) else ""
        classes = counted(rows["true"].nunique(), "class", "classes")
        return f"{counted(int(counts(rows).sum()), 'recording')}{users}, {classes}"

    def to_markdown(self) -> str:
        """Return the tables, verdicts, optimism of the random split and notes as Markdown."""
        parts = [f"{self.summary_line}."]
        for protocol in self.protocols:
            parts.append(f"{protocol}: {LABELS[protocol]}")
            parts.append(markdown(self.displayed(protocol)))
        parts.append("\n".join(f"- {each}" for each in (*self.verdicts.values(), *self.optimism)))
        return "\n\n".join([*parts, *(f"Note: {note}." for note in self.notes)]) + "\n"

    def to_json(self, path: str | Path | None = None) -> str | None:
        """Write tables, verdicts and record to a file, or return them; NaN is null.

        Raises
        ------
        OutputError
        """
        protocols = {
            name: {
                "users": self.by("group", name).to_dict() if has_users(self.of(name)) else {},
                "classes": self.by("true", name).to_dict(),
                "metrics": self.metrics(name).to_dict("index"),
                "confusion": {
                    model: self.confusion(model, name).to_dict("index") for model in self.of(name)["model"].unique()
                },
            }
            for name in self.protocols
        }
        content = {
            "headline": self.headline,
            "summary_line": self.summary_line,
            "notes": self.notes,
            "table": self.table.to_dict("records"),
            "verdicts": [asdict(verdict) for verdict in self.verdicts.values()],
            "optimism": [asdict(each) for each in self.optimism],
            "protocols": protocols,
            "record": self.record and self.record.plain(),
        }
        return write_or_return(json_text(content), path)

    def displayed(self, protocol: str) -> pd.DataFrame:
        """Return the table of a protocol as text, with a dash for NaN."""
        table = self.table[self.table["protocol"] == protocol]
        return as_text(table.assign(interval=list(map(span, table["low"], table["high"]))), self._display)


def copy_notes(copies: Sequence[DuplicateSet], rows: pd.DataFrame) -> list[str]:
    """Return a note on each set of copies, and on whether a fold separates them, where the rows are no tallies."""
    more = len(copies) - MAX_COPIES
    found = [f"{each.sentence}; {_separated(each, rows)}" for each in copies[:MAX_COPIES]]
    return found + [f"{more} more recordings have copies"] * (more > 0)


def _separated(copies: DuplicateSet, rows: pd.DataFrame) -> str:
    kept = "both are kept" if len(copies.names) == 2 else "all are kept"
    if "recording" not in rows:
        return kept
    own, separated = rows[rows["recording"].astype(str).isin(copies.names)], []
    for protocol in (name for name in LABELS if (rows["protocol"] == name).any()):
        folds = own[own["protocol"] == protocol].groupby("recording")["fold"].first()
        if folds.nunique() > 1 or 0 < len(folds) < len(copies.names):
            separated.append(protocol)
    where = f"on both sides of a fold of {' and '.join(separated)}" if separated else "on one side of each fold"
    return f"{kept}, {where}"


def of_shares(rows: pd.DataFrame, values: pd.Series, shares: pd.Series | None = None) -> Interval:
    """Return the mean over users, by user, of a model's accuracy (`shares`) or of its gain over something constant."""
    shares = values if shares is None else shares
    own = rows[rows["model"] == rows["model"].iloc[0]]
    seeds = max(1, own["seed"].nunique())  # each predicts the same sequences
    sizes = counts(own).groupby(own["group"]).sum().reindex(values.index) / seeds
    return over_users(values, shares * sizes, sizes)


def reference_accuracy(rows: pd.DataFrame) -> tuple[str, pd.Series]:
    """Return the name and the accuracy, by user, of the better of the majority and of one class for all that is tested.

    The majority of other users can score below chance: where labels are balanced over all, it is the class that the
    tested user has least of. Predictions that ignore the sequences have at most the share of the most frequent class
    that is tested, whatever they are.
    """
    majority = accuracy_by(rows, "group")[REFERENCE]
    own = rows[rows["model"] == REFERENCE]
    tally = counts(own).groupby([own["group"], own["true"]], dropna=False).sum().unstack(fill_value=0)
    shares = tally.div(tally.sum(axis=1), axis=0).reindex(majority.index)
    constant = shares[shares.mean().idxmax()]
    if majority.mean() >= constant.mean():
        return REFERENCE, majority
    return "the most frequent class", constant


def judge(rows: pd.DataFrame) -> dict[str, Verdict]:
    """Return a verdict on each model against the better of majority and most frequent class, by rows of one protocol.

    A model is better or worse where the 95 % interval of its gain, over users, does not hold zero and the p-value of
    the same t test, adjusted by Holm for the number of models, is below 5 %.
    """
    users = accuracy_by(rows, "group")
    reference, base = reference_accuracy(rows)
    best_first = users.mean().sort_values(ascending=False, kind="stable").index
    gains = {
        name: of_shares(rows, users[name] - base, users[name]) if has_users(rows) else over_users(users[name] - base)
        for name in best_first
        if name != REFERENCE
    }
    tested = has_users(rows) and len(users) >= MIN_UNITS
    p_values = dict(zip(gains, holm([gain.p_value for gain in gains.values()]), strict=True)) if tested else {}
    found = {
        name: _verdict(
            name, (reference, float(base.mean())), users[name], gain, p_values.get(name, math.nan), len(gains)
        )
        for name, gain in gains.items()
    }
    sentence = f"{REFERENCE} is the reference: accuracy {users[REFERENCE].mean():.1%}"
    if reference != REFERENCE:
        sentence += f"; {reference} that is tested has {base.mean():.1%}, which others must exceed"
    return found | {REFERENCE: Verdict(REFERENCE, "reference", sentence, 0.0)}


def _verdict(
    name: str, reference: tuple[str, float], users: pd.Series, gain: Interval, p_value: float, tested: int
) -> Verdict:
    baseline, base = reference
    room = 1 - base
    skill, low, high = (bound / room if room else math.nan for bound in (gain.mean, gain.low, gain.high))
    accuracies = f"accuracy {users.mean():.1%}, {baseline} {base:.1%}"
    about = f"{chance(p_value, tested)}, about further users like these {len(users)}"
    outcome = "inconclusive"
    if math.isnan(p_value):
        few = f"in {counted(len(users), 'user')}; a verdict needs at least {MIN_UNITS}"
        sentence = f"is inconclusive: {accuracies} {few if users.index.notna().all() else 'of unknown users'}"
    elif p_value < SIGNIFICANCE and gain.low > 0:
        outcome, sentence = "better", f"is better than {baseline} by {points(gain)}: {accuracies}, {about}"
    elif p_value < SIGNIFICANCE and gain.high < 0:
        outcome, sentence = "worse", f"is worse than {baseline} by {points(gain)}: {accuracies}, {about}"
    else:
        also = f", but {chance(p_value, tested)}" if gain.p_value < SIGNIFICANCE else ""
        gained = f"{points(gain)} compared with {baseline} in {counted(gain.users, 'user')}"
        sentence = f"is inconclusive: {gained}{also}; {accuracies}"
    return Verdict(name, outcome, f"{name} {sentence}", skill, low, high, p_value)


def points(gain: Interval) -> str:
    """Return a difference of accuracies in points, with its interval where there is one."""
    bounds = "" if math.isnan(gain.low) else f" ({100 * gain.low:.1f} to {100 * gain.high:.1f})"
    return f"{100 * gain.mean:.1f} points{bounds}"


def span(low: float, high: float) -> str:
    """Return an interval of an accuracy, within 0 and 1, in percent; a dash where there is none."""
    return "-" if math.isnan(low) else f"{100 * max(low, 0.0):.1f} to {100 * min(high, 1.0):.1f}"
