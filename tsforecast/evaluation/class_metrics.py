"""Metrics of classifiers from rows of predictions: by class, of probabilities, and their curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsforecast.errors import DataError

PREFIX = "p_"  # of the column with the probability of a class
BINS = 15  # of the expected calibration error, as many as in Guo et al. (2017)
NAMES = ["macro_f1", "balanced_accuracy", "roc_auc", "log_loss", "brier", "calibration_error"]

Floats = NDArray[np.float64]


def counts(rows: pd.DataFrame) -> pd.Series:
    """Return the number of predictions in each row: 1, or that of a tally."""
    return rows["count"] if "count" in rows else pd.Series(1, index=rows.index)


def confusion(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the number of predictions by true class, in lines, and predicted class."""
    classes = sorted(set(rows["true"]) | set(rows["predicted"]))
    table = counts(rows).groupby([rows["true"], rows["predicted"]]).sum().unstack(fill_value=0)
    return table.reindex(index=classes, columns=classes, fill_value=0).astype(int)


def probabilities(rows: pd.DataFrame) -> tuple[list[Any], Floats] | None:
    """Return the classes, K, and their probabilities, (rows, K); None where rows lack them, such as tallies."""
    columns = [name for name in rows if str(name).startswith(PREFIX)]
    known = {str(label): label for label in (*rows["true"].unique(), *rows["predicted"].unique())}
    columns = [name for name in columns if name.removeprefix(PREFIX) in known or rows[name].notna().any()]
    found = rows[columns].to_numpy(np.float64)
    classes = [known.get(name.removeprefix(PREFIX), name.removeprefix(PREFIX)) for name in columns]
    if not set(rows["true"]) <= set(classes) or np.isnan(found).any():
        return None
    return classes, found


def by_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Return precision, recall, F1, number of recordings, and areas under both curves, by class.

    Precision of a class that is never predicted, and recall and areas of one that is never tested, are NaN.
    """
    table = confusion(rows)
    right, tested, predicted = np.diag(table).astype(float), table.sum(axis=1), table.sum(axis=0)
    found = pd.DataFrame(
        {
            "precision": right / predicted.where(predicted > 0),
            "recall": right / tested.where(tested > 0),
            "f1": 2 * right / (tested + predicted),
            "support": tested,
        }
    ).rename_axis("class")
    areas = [_areas(rows, label) for label in table.index]
    return found.assign(roc_auc=[one[0] for one in areas], average_precision=[one[1] for one in areas])


def metrics(rows: pd.DataFrame) -> dict[str, float]:
    """Return macro F1, balanced accuracy, and scores of the probabilities, NaN without these; lower is better of these.

    Balanced accuracy is the mean recall of the classes that are tested, ROC AUC the mean area of each of them against
    the rest. The Brier score is the sum over classes (Brier 1950), from 0 to 2; the calibration error that of the
    class that is predicted, in `BINS` bins of equal width [Guo et al. 2017, arXiv 1706.04599].
    """
    table, found = by_class(rows), probabilities(rows)
    scores = dict.fromkeys(NAMES, math.nan)
    scores |= {"macro_f1": float(table["f1"].mean()), "balanced_accuracy": float(table["recall"].mean())}
    scores["roc_auc"] = float(table["roc_auc"].mean())
    if "probability" in rows and rows["probability"].notna().all():
        least = np.finfo(np.float64).eps  # a class that was held impossible costs 36 nats, not infinitely many
        scores["log_loss"] = float(-np.log(rows["probability"].clip(lower=least)).mean()) + 0.0  # no -0
    if found is not None:
        classes, shares = found
        truth = rows["true"].to_numpy()[:, None] == np.array(classes, dtype=object)
        bins = reliability(rows)
        gaps = (bins["accuracy"] - bins["confidence"]).abs()
        scores["brier"] = float(((shares - truth) ** 2).sum(axis=1).mean())
        scores["calibration_error"] = float((gaps * bins["recordings"]).sum() / bins["recordings"].sum())
    return scores


def reliability(rows: pd.DataFrame, bins: int = BINS) -> pd.DataFrame:
    """Return the mean probability of the predicted class, how often it was right, and recordings, by bin of the first.

    Raises
    ------
    DataError
    """
    _, shares = _required(rows)
    highest = shares.max(axis=1)
    number = np.minimum(np.ceil(highest * bins).astype(int), bins)  # a bin holds its upper end
    right = (rows["true"] == rows["predicted"]).to_numpy(np.float64)
    frame = pd.DataFrame({"confidence": highest, "accuracy": right, "recordings": 1})
    each = frame.groupby(number).agg({"confidence": "mean", "accuracy": "mean", "recordings": "sum"})
    return each.reset_index(drop=True)


def roc(rows: pd.DataFrame, label: Any) -> pd.DataFrame:
    """Return false and true positive rate of one class against the rest, by falling threshold of its probability.

    Raises
    ------
    DataError
    """
    from sklearn.metrics import roc_curve

    false, true, threshold = roc_curve(*_one_against_rest(rows, label))
    return pd.DataFrame({"false_positive_rate": false, "true_positive_rate": true, "threshold": threshold})


def precision_recall(rows: pd.DataFrame, label: Any) -> pd.DataFrame:
    """Return precision and recall of one class against the rest, by rising threshold of its probability.

    Raises
    ------
    DataError
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, threshold = precision_recall_curve(*_one_against_rest(rows, label))
    return pd.DataFrame({"precision": precision, "recall": recall, "threshold": np.append(threshold, np.inf)})


def _required(rows: pd.DataFrame) -> tuple[list[Any], Floats]:
    found = probabilities(rows)
    if found is None:
        raise DataError(
            "rows must hold the probability of each class: they are tallies, or of an older comparison; compare the "
            "classifiers again"
        )
    return found


def _one_against_rest(rows: pd.DataFrame, label: Any) -> tuple[NDArray[np.bool_], Floats]:
    classes, shares = _required(rows)
    return (rows["true"] == label).to_numpy(), shares[:, classes.index(label)]


def _areas(rows: pd.DataFrame, label: Any) -> tuple[float, float]:
    """Return the areas under both curves of a class; NaN without probabilities, and where it or the rest is missing."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    is_label = rows["true"] == label
    if probabilities(rows) is None or is_label.all() or not is_label.any():
        return math.nan, math.nan
    truth, share = _one_against_rest(rows, label)
    return float(roc_auc_score(truth, share)), float(average_precision_score(truth, share))
