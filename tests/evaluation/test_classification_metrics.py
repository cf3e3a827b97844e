"""Metrics of a comparison of classifiers are those of scikit-learn, and rows without probabilities still have some."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from tests.helpers.movements import USERS, movements
from tsforecast.catalog.card import card, parse_card
from tsforecast.catalog.loaders import load_dataset
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.class_metrics import by_class, metrics, precision_recall, probabilities, reliability, roc
from tsforecast.evaluation.classification import ClassificationResults, tallied
from tsforecast.evaluation.compare_classifiers import ClassifierComparison, compare_classifiers
from tsforecast.evaluation.record import ClassificationRecord
from tsforecast.files import shipped
from tsforecast.sequences.baselines import MajorityClassifier, NearestNeighborClassifier
from tsforecast.sequences.neural import GRUClassifier

ABOUT = {"protocol": "leave-users-out", "seed": pd.NA, "chosen": "", "fit_seconds": 1.0, "predict_seconds": 0.1}


def predictions(classes: tuple[Any, ...], count: int = 400, seed: int = 0, model: str = "gru") -> pd.DataFrame:
    """Return predictions of a model that is often right and too certain; classes are not equally frequent."""
    random = np.random.default_rng(seed)
    frequent = np.arange(1, len(classes) + 1)
    truth = random.choice(len(classes), size=count, p=frequent / frequent.sum())
    logits = 2 * random.normal(size=(count, len(classes))) + 3 * np.eye(len(classes))[truth]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = {
        "model": model,
        "group": [f"u{i % 8}" for i in range(count)],
        "fold": [i % 8 for i in range(count)],
        "recording": np.arange(count),
        "true": np.array(classes)[truth],
        "predicted": np.array(classes)[shares.argmax(axis=1)],
        "probability": shares[np.arange(count), truth],
    }
    every = {f"p_{label}": shares[:, k].astype(np.float32) for k, label in enumerate(classes)}
    return pd.DataFrame(columns | every).assign(**ABOUT)


@pytest.fixture(params=[("a", "b"), ("a", "b", "c", "d"), (1, 2, 10)], ids=str)
def rows(request: pytest.FixtureRequest) -> pd.DataFrame:
    return predictions(request.param)


@pytest.mark.long
def test_metrics_of_classes_are_those_of_scikit_learn(rows: pd.DataFrame) -> None:
    truth, predicted = rows["true"], rows["predicted"]
    for part in (rows, tallied(rows)):
        found = by_class(part)
        expected = sk.precision_recall_fscore_support(truth, predicted, labels=found.index.tolist())
        assert np.allclose(found[["precision", "recall", "f1", "support"]].T, expected, atol=1e-12)
        assert metrics(part)["macro_f1"] == pytest.approx(sk.f1_score(truth, predicted, average="macro"))
        assert metrics(part)["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, predicted))


def test_scores_and_curves_of_probabilities_are_those_of_scikit_learn(rows: pd.DataFrame) -> None:
    classes, shares = probabilities(rows)
    truth, found = rows["true"], metrics(rows)
    assert classes == sorted(truth.unique())
    exact = shares / shares.sum(axis=1, keepdims=True)
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, exact, labels=classes), rel=1e-5)
    brier = sk.brier_score_loss(truth, exact, labels=classes, scale_by_half=False, pos_label=classes[-1])
    assert found["brier"] == pytest.approx(brier, rel=1e-5)
    areas, table = [], by_class(rows)
    for k, label in enumerate(classes):
        one = truth == label
        areas.append(sk.roc_auc_score(one, shares[:, k]))
        assert table.loc[label, "roc_auc"] == pytest.approx(areas[-1])
        assert table.loc[label, "average_precision"] == pytest.approx(sk.average_precision_score(one, shares[:, k]))
        curve = roc(rows, label)
        assert sk.auc(curve["false_positive_rate"], curve["true_positive_rate"]) == pytest.approx(areas[-1])
        points = precision_recall(rows, label)
        area = float((points["precision"] * -points["recall"].diff().shift(-1)).sum())  # average precision
        assert area == pytest.approx(table.loc[label, "average_precision"])
    assert found["roc_auc"] == pytest.approx(np.mean(areas))


def test_reliability_is_the_curve_of_scikit_learn_and_its_error_that_of_a_slow_count(rows: pd.DataFrame) -> None:
    _, shares = probabilities(rows)
    highest, right = shares.max(axis=1), (rows["true"] == rows["predicted"]).to_numpy()
    bins = reliability(rows, bins=10)
    accuracy, confidence = calibration_curve(right, highest, n_bins=10)
    assert np.allclose(bins["accuracy"], accuracy)
    assert np.allclose(bins["confidence"], confidence)
    assert bins["recordings"].sum() == len(rows)
    error = 0.0
    for k in range(15):
        own = (highest > k / 15) & (highest <= (k + 1) / 15)
        error += abs(right[own].mean() - highest[own].mean()) * own.mean() if own.any() else 0.0
    assert metrics(rows)["calibration_error"] == pytest.approx(error)
    sure = rows.assign(true=rows["predicted"], **{f"p_{c}": (rows["predicted"] == c) * 1.0 for c in set(rows["true"])})
    assert reliability(sure).to_dict("list") == {"confidence": [1.0], "accuracy": [1.0], "recordings": [len(rows)]}
    assert f"{metrics(sure.assign(probability=1.0))['log_loss']:.3f}" == "0.000"  # without a sign


def test_a_class_that_is_never_predicted_or_never_tested_has_no_number_of_its_own() -> None:
    rows = predictions(("a", "b", "c"))
    rows["predicted"] = "a"
    found = by_class(rows)
    assert found["precision"].isna().tolist() == [False, True, True]
    assert found["f1"].tolist()[1:] == [0, 0]
    some = predictions(("a", "b", "c"))
    some = some[some["true"] != "c"]
    assert (some["predicted"] == "c").any()
    found = by_class(some)
    assert np.isnan(found.loc["c", ["recall", "roc_auc", "average_precision"]].astype(float)).all()
    assert metrics(some)["balanced_accuracy"] == pytest.approx(found["recall"].iloc[:2].mean())


def test_a_class_held_impossible_costs_much_and_not_infinitely_much() -> None:
    rows = predictions(("a", "b"))
    rows.loc[0, "probability"] = 0.0
    expected = (-np.log(rows["probability"].iloc[1:]).sum() - np.log(np.finfo(float).eps)) / len(rows)
    assert metrics(rows)["log_loss"] == pytest.approx(expected)


def test_rows_without_probabilities_have_metrics_of_classes_and_a_sentence_for_the_rest(tmp_path: Path) -> None:
    new = predictions(("a", "b"))
    old = predictions(("a", "b"), seed=1, model="majority").drop(columns=["p_a", "p_b"])
    ClassificationResults(pd.concat([new, old], ignore_index=True)).to_parquet(tmp_path / "rows.parquet")
    found = ClassificationResults.from_parquet(tmp_path / "rows.parquet")
    table = found.metrics()
    assert table.index.tolist() == found.table["model"].tolist()
    assert np.isfinite(table.loc["gru"]).all()
    lacking = table.loc["majority"]
    assert lacking[lacking.isna()].index.tolist() == ["roc_auc", "brier", "calibration_error"]
    pd.testing.assert_frame_equal(found.classes("gru"), by_class(new))
    pd.testing.assert_frame_equal(found.roc("gru", "a"), roc(new, "a"))
    pd.testing.assert_frame_equal(found.precision_recall("gru", "b"), precision_recall(new, "b"))
    with pytest.raises(DataError, match="rows must hold the probability of each class: they are tallies, or of an old"):
        found.reliability("majority")
    with pytest.raises(DataError, match="rows must hold the probability of each class"):
        ClassificationResults(tallied(new.assign(model="majority"))).roc("majority", "a")
    with pytest.raises(ParameterError, match="label must be one of 'a', 'b': got 'c'"):
        found.roc("gru", "c")


@pytest.fixture(scope="module")
def compared() -> ClassifierComparison:
    recordings, labels, users = movements(USERS[:4])
    small = GRUClassifier(units=4, layers=1, max_epochs=2, random_state=0)
    models = {"near": NearestNeighborClassifier(), "gru": small}
    return compare_classifiers(models, recordings, labels, users)


@pytest.mark.long
def test_rows_of_a_comparison_hold_the_probability_of_every_class_and_survive_parquet(
    compared: ClassifierComparison, tmp_path: Path
) -> None:
    rows = compared.rows[compared.rows["model"] == "gru"]
    classes, shares = probabilities(rows)
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert rows["p_" + classes[0]].dtype == np.float32
    assert [classes[k] for k in shares.argmax(axis=1)] == rows["predicted"].tolist()
    own = [shares[i, classes.index(true)] for i, true in enumerate(rows["true"])]
    assert np.allclose(own, rows["probability"], atol=1e-7)
    compared.to_parquet(tmp_path / "rows.parquet")
    again = ClassifierComparison.from_parquet(tmp_path)
    pd.testing.assert_frame_equal(again.metrics(), compared.metrics(), check_exact=True)
    assert np.isfinite(compared.metrics()).all(axis=None)


def test_a_class_that_is_learned_and_not_tested_has_its_probability_too() -> None:
    recordings, labels, users = movements(USERS[:3])
    labels = np.where((users == "ann") & (np.arange(len(labels)) % 4 == 0), "other", labels)
    found = compare_classifiers(MajorityClassifier(), recordings, labels, users, test=users == "cem")
    assert "other" not in set(found.rows["true"])
    shares = found.rows[["p_fast", "p_other", "p_slow"]]
    assert shares["p_other"].gt(0).all()
    assert np.allclose(shares.sum(axis=1), 1)
    assert np.isfinite(found.metrics()).all(axis=None)


@pytest.mark.usefixtures("data_folder")
def test_classes_have_the_names_of_the_card(tmp_path: Path) -> None:
    panel = load_dataset("gunpoint")
    test = panel.statics["part"] == "test"
    found = compare_classifiers(NearestNeighborClassifier(), panel, "label", test=test)
    assert found.record.class_names == {"1": "gun", "2": "point"}
    assert set(found.rows["true"]) == {"1", "2"}  # rows keep the labels
    table = found.confusion("nearest-neighbor")
    assert (table.index.tolist(), table.columns.tolist()) == (["gun", "point"], ["gun", "point"])
    assert int(table.to_numpy().sum()) == 150
    assert found.classes("nearest-neighbor").index.tolist() == ["gun", "point"]
    assert found.by("true").index.tolist() == ["gun", "point"]
    assert found.roc("nearest-neighbor", "1").equals(found.roc("nearest-neighbor", "gun"))
    assert ">gun<" in found.to_html()
    found.to_parquet(tmp_path / "rows.parquet")
    again = ClassifierComparison.from_parquet(tmp_path)
    assert again.confusion("nearest-neighbor").equals(table)
    stored = found.record.plain()
    del stored["class_names"]  # as older versions wrote it
    assert ClassificationRecord.from_plain(stored).class_names == {}
    assert replace(found, record=None).confusion("nearest-neighbor").index.tolist() == ["1", "2"]


def test_a_card_names_each_class_differently() -> None:
    text = (shipped("datasets") / "gunpoint" / "card.toml").read_text(encoding="utf-8")
    assert card("gunpoint").classes == {"1": "gun", "2": "point"}
    assert card("basic-motions").classes == {}
    with pytest.raises(DataError, match=r"\[classes\] must have another name for each label: got \['gun', 'gun'\]"):
        parse_card("gunpoint", text.replace('"point"', '"gun"'))
