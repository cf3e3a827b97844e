"""A recording may have several labels, and classes an order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.metrics import f1_score, log_loss
from torch.nn import functional as F

from tests.helpers.classifiers import QUICK
from tests.sequences.test_classifier_contract import as_panel, refused
from tsforecast.errors import DataError, ParameterError
from tsforecast.estimators.persistence import load
from tsforecast.evaluation.compare_classifiers import compare_classifiers
from tsforecast.networks.sequence import BinaryCrossEntropy, OrdinalCrossEntropy
from tsforecast.sequences.baselines import MajorityClassifier, NearestNeighborClassifier
from tsforecast.sequences.classifier import Classifier
from tsforecast.sequences.neural import Conv1DClassifier, GRUClassifier
from tsforecast.sequences.targets import Ordered, Several

NAMES = ["slow", "middle", "fast"]
LEVELS = ["low", "mid", "high", "top"]


def waves(count: int = 90, seed: int = 0) -> tuple[list[np.ndarray], pd.DataFrame]:
    """Return recordings that are sums of up to three waves, and a table of which ones."""
    random = np.random.default_rng(seed)
    has = random.random((count, 3)) < [0.6, 0.5, 0.3]
    found = []
    for own in has:
        time = np.arange(random.integers(15, 30))[:, None]
        parts = np.sin(time * [0.3, 0.9, 2.0] + 6 * random.random(3)) @ own
        found.append(parts + 0.1 * random.normal(size=len(time)))
    return found, pd.DataFrame(has.astype(int), columns=NAMES)


def grades(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return recordings whose level, with noise, is one of four grades."""
    random = np.random.default_rng(seed)
    grade = random.integers(0, 4, size=count)
    noisy = grade + 0.7 * random.normal(size=count)
    return [level + random.normal(size=random.integers(8, 16)) for level in noisy], np.array(LEVELS)[grade]


def rank_error(model: Classifier, recordings: list[np.ndarray], labels: np.ndarray) -> float:
    ranks = [[LEVELS.index(label) for label in some] for some in (model.predict(recordings), labels)]
    return float(np.abs(np.subtract(*ranks)).mean())


@pytest.mark.long
def test_each_of_several_labels_is_recognised() -> None:
    (recordings, table), (others, truth) = waves(150), waves(60, seed=1)
    model = GRUClassifier(**(QUICK | {"max_epochs": 60})).fit(recordings, table)
    assert model.classes_.tolist() == NAMES
    probabilities, predicted = model.predict_proba(others), model.predict(others)
    assert probabilities.shape == predicted.shape == (60, 3)
    assert np.array_equal(predicted, probabilities > 0.5)
    assert model.score(others, truth) == (predicted == truth.to_numpy()).all(axis=1).mean()
    naive = MajorityClassifier().fit(recordings, table)
    assert model.score(others, truth) > naive.score(others, truth) + 0.3
    assert f1_score(truth, predicted, average="macro") > 0.8
    assert np.array_equal(model.predict_proba(others[:1]), probabilities[:1])  # whatever its batch-mates


@pytest.mark.long
def test_a_table_may_be_an_array_a_list_a_frame_sparse_or_columns_of_a_panel() -> None:
    recordings, table = waves(24)
    assert refused(NearestNeighborClassifier(), recordings, table) == (
        "NearestNeighborClassifier must have one label for each recording: got a table of 3; fit one model for each "
        "label, or use a GRUClassifier"
    )
    pairs = [np.stack([one, one], axis=1) for one in recordings]
    panel = as_panel(pairs, table["slow"].to_numpy(), np.arange(24) % 2)
    panel = panel.__class__(**{**vars(panel), "statics": panel.statics | {n: table[n].to_numpy() for n in NAMES}})
    for model in (GRUClassifier(**(QUICK | {"max_epochs": 2})), MajorityClassifier()):
        users = np.arange(24) % 2
        found = model.fit(pairs, table, users).predict_proba(pairs)
        for y in (table.to_numpy(), table.to_numpy().tolist(), table.to_numpy(bool), csr_matrix(table.to_numpy())):
            assert np.array_equal(model.fit(pairs, y, users).predict_proba(pairs), found)
            assert model.classes_.tolist() == [0, 1, 2]
        assert np.array_equal(model.fit(panel, NAMES).predict_proba(panel), found)
        assert model.classes_.tolist() == NAMES


@pytest.mark.parametrize("cls", [GRUClassifier, Conv1DClassifier])
def test_untrained_it_is_the_majority_of_each_label(cls: type[Classifier]) -> None:
    recordings, table = waves(31)
    model = cls(**(QUICK | {"max_epochs": 0, "validation": None})).fit(recordings, table)
    naive = MajorityClassifier().fit(recordings, table).predict_proba(recordings)
    assert np.allclose(model.predict_proba(recordings), naive, atol=1e-6)
    assert np.allclose(naive, table.to_numpy().mean(axis=0))


@pytest.mark.long
def test_labels_that_none_or_all_have_are_learned_beside_others() -> None:
    recordings, table = waves(24)
    table = table.assign(middle=1, fast=0)
    model = GRUClassifier(**(QUICK | {"class_weight": "balanced"}), calibrate=False).fit(recordings, table)
    found = model.predict_proba(recordings)
    assert np.isfinite(found).all()
    assert (found[:, 1] > 0.9).all()
    assert (found[:, 2] < 0.1).all()


def test_weights_of_several_labels_are_of_those_that_have_them() -> None:
    truth = np.array([[1, 0], [0, 0], [0, 1], [0, 1]])
    balanced = Several(np.array(["a", "b"]), "balanced")
    assert torch.allclose(balanced.prior(truth), torch.zeros(2), atol=1e-6)
    assert torch.allclose(balanced.loss(truth).weights, torch.tensor([[2 / 3, 2.0], [1.0, 1.0]]))
    weighted = Several(np.array(["a", "b"]), {"a": 3.0})
    assert torch.allclose(weighted.loss(truth).weights, torch.tensor([[2 / 3, 2.0], [1.0, 1.0]]))
    plain = BinaryCrossEntropy(torch.ones(2, 2), smoothing=0.2)
    outputs = torch.tensor([[0.3, -1.0]])
    errors, counts = plain.errors(outputs, torch.tensor([[1, 0]]))
    by_hand = -torch.stack([0.9 * F.logsigmoid(outputs[0, 0]) + 0.1 * F.logsigmoid(-outputs[0, 0]),
                            0.1 * F.logsigmoid(outputs[0, 1]) + 0.9 * F.logsigmoid(-outputs[0, 1])])  # fmt: skip
    assert torch.allclose(errors[0], by_hand)
    assert counts.all()


@pytest.mark.long
def test_several_labels_are_saved_and_fine_tuned(tmp_path: Any) -> None:
    recordings, table = waves(24)
    for model in (GRUClassifier(**QUICK), MajorityClassifier()):
        model.fit(recordings, table).save(tmp_path / type(model).__name__)
        again = load(tmp_path / type(model).__name__)
        assert np.array_equal(again.predict_proba(recordings), model.predict_proba(recordings))
        assert again.score(recordings, table) == model.score(recordings, table)
    model = GRUClassifier(**QUICK).fit(recordings, table)
    assert model.fine_tune(recordings[:9], table[:9], max_epochs=1).classes_.tolist() == NAMES
    single = model.fine_tune(recordings, table["slow"], head="new", max_epochs=1)
    assert single.predict(recordings).shape == (24,)
    assert single.predict_proba(recordings).shape == (24, 2)
    with pytest.raises(DataError, match=r"y must be as it was fitted, a table of 3 labels; use head='new'"):
        model.fine_tune(recordings, table["slow"])
    with pytest.raises(DataError, match=r"y must have the columns of labels that were fitted, 'slow', 'middle', 'fa"):
        model.fine_tune(recordings, table[NAMES[::-1]])
    with pytest.raises(DataError, match="y must be a table of the 3 labels"):
        model.score(recordings, table["slow"])


def test_a_table_that_cannot_be_used_is_refused() -> None:
    recordings, table = waves(9)
    model = GRUClassifier(**QUICK)
    assert refused(model, recordings, table.assign(slow=table["slow"].where(table.index != 4))).startswith(
        "y must be 1 for each label that a recording has and 0 for any other: 1 of 27 are neither, the first is nan of "
        "label 'slow' in row 4; for one label of several classes"
    )
    assert "27 are neither, the first is" in refused(model, recordings, table.replace({0: "no", 1: "yes"}))
    assert refused(model, recordings, table[:8]) == (
        "y must have a row of labels for each recording: got 8 for 9 recordings"
    )
    assert refused(model, recordings, table.set_axis(["a", "a", "b"], axis=1)) == (
        "columns of y must have names of their own: got 'a', 'a', 'b'"
    )
    lists = [["slow"], ["slow", "fast"], *[["fast"]] * 7]
    assert refused(model, recordings, lists) == (
        "y must have one label for each recording: the first has 1; give several as a table of 1 and 0, (N, L), which "
        "MultiLabelBinarizer of scikit-learn makes; labels of steps are for networks and the majority, with "
        "output='step'"
    )
    for y in ([[], *lists[1:]], [*map(set, lists)], [*map(tuple, lists)], [["slow", "fast"]] * 9):
        assert "MultiLabelBinarizer of scikit-learn makes" in refused(model, recordings, y)
    with pytest.raises(DataError, match="a comparison must have one label for each recording: got a table of several"):
        compare_classifiers(model, recordings, table)
    assert "ordinal must be False" in refused(GRUClassifier(**QUICK, ordinal=True), recordings, table)


@pytest.mark.slow
def test_the_rank_error_is_lower_where_the_order_is_known() -> None:
    (recordings, labels), (others, truth) = grades(150, 0), grades(400, 1)
    errors = {}
    for ordinal in (False, LEVELS):
        models = [GRUClassifier(**(QUICK | {"random_state": s, "ordinal": ordinal})) for s in range(3)]
        errors[bool(ordinal)] = np.mean([rank_error(m.fit(recordings, labels), others, truth) for m in models])
    naive = rank_error(MajorityClassifier().fit(recordings, labels), others, truth)
    assert errors[True] < errors[False] < naive


@pytest.mark.long
def test_probabilities_of_an_order_are_ranked_and_sum_to_one() -> None:
    recordings, labels = grades(60, 0)
    model = GRUClassifier(**QUICK, ordinal=LEVELS).fit(recordings, labels)
    assert model.classes_.tolist() == sorted(LEVELS)
    found = model.predict_proba(recordings)
    assert (found >= 0).all()
    assert np.allclose(found.sum(axis=1), 1)
    ordered = found[:, [sorted(LEVELS).index(level) for level in LEVELS]]
    middle = [LEVELS[int(np.searchsorted(row.cumsum(), 0.5))] for row in ordered]
    assert model.predict(recordings).tolist() == middle
    assert log_loss(labels, found, labels=model.classes_) < np.log(4)
    # Above each class as well: outputs of any network make a distribution.
    target = Ordered(np.array(["b", "a", "c"]), order=("a", "b", "c"))
    answers = target.answers(torch.tensor([[2.0, -1.0], [-50.0, 50.0]]))
    first, second = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))
    assert np.allclose(answers, [[first * (1 - second), 1 - first, first * second], [0, 1, 0]])


@pytest.mark.parametrize("weight", [None, "balanced"])
def test_an_untrained_order_has_the_shares_of_the_classes(weight: str | None) -> None:
    recordings, labels = grades(61, 0)
    model = GRUClassifier(**QUICK, ordinal=LEVELS, class_weight=weight).set_params(max_epochs=0, validation=None)
    naive = MajorityClassifier().fit(recordings, labels).predict_proba(recordings)
    wanted = naive if weight is None else np.full((61, 4), 0.25)
    assert np.allclose(model.fit(recordings, labels).predict_proba(recordings), wanted, atol=1e-6)


def test_the_loss_of_an_order_is_the_cross_entropy_of_its_probabilities() -> None:
    target, outputs = Ordered(np.arange(4), order=(2, 0, 3, 1)), torch.randn(5, 3)
    truth = np.array([0, 1, 2, 3, -1])
    coded = torch.from_numpy(target.coded(truth))
    assert coded.tolist() == [1, 3, 0, 2, -1]
    logs = torch.log(torch.from_numpy(target.answers(outputs)))
    for smoothing in (0.0, 0.3):
        errors, counts = OrdinalCrossEntropy(torch.ones(4), smoothing).errors(outputs.double(), coded)
        wanted = F.cross_entropy(logs[:4], torch.from_numpy(truth[:4]), reduction="none", label_smoothing=smoothing)
        assert torch.allclose(errors[:4], wanted)
        assert counts.tolist() == 4 * [True] + [False]


@pytest.mark.long
def test_orders_that_cannot_be_used_are_refused(tmp_path: Any) -> None:
    recordings, labels = grades(24, 0)
    assert refused(GRUClassifier(**QUICK, ordinal=["low", "high"]), recordings, labels) == (
        "ordinal must list all labels of y: 'mid', 'top' are missing"
    )
    for order, got in (["low", "low"], "'low' twice"), (["low"], r"\['low'\]"), ("low", "'low'"), (None, "None"):
        must = "ordinal must be True, False, or a list of two labels at least, from low to high"
        with pytest.raises(ParameterError, match=f"^{must}: got {got}$"):
            GRUClassifier(**QUICK, ordinal=order).fit(recordings, labels)
    longer = GRUClassifier(**QUICK, ordinal=["none", *LEVELS]).fit(recordings, labels)  # absent here
    assert longer.predict_proba(recordings).shape == (24, 4)
    longer.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").predict(recordings), longer.predict(recordings))
    two = GRUClassifier(**QUICK, ordinal=True).fit(recordings, labels == "top")
    nominal = GRUClassifier(**QUICK).fit(recordings, labels == "top")
    assert np.allclose(two.predict_proba(recordings), nominal.predict_proba(recordings), atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("several", [False, True])
def test_focus_mixtures_and_temperatures_are_of_orders_and_of_several_labels_too(several: bool) -> None:
    recordings, y = waves(40) if several else grades(40, 0)
    settings = QUICK | {"mixup": 0.5, "focal": 1.0, "calibrate": True, "max_epochs": 60}
    model = GRUClassifier(**settings, ordinal=False if several else LEVELS)
    found = model.fit(recordings, y).predict_proba(recordings)
    assert model.resolved_["temperature"] != 1.0
    plain = model.set_params(calibrate=False, label_smoothing=0.0).fit(recordings, y)
    assert not np.allclose(plain.predict_proba(recordings), found)
    loss, kind = (BinaryCrossEntropy, torch.ones(3, 2)) if several else (OrdinalCrossEntropy, torch.ones(4))
    truth = torch.tensor([[1, 0, 1]]) if several else torch.tensor([2])
    outputs = torch.tensor([[0.5, -1.0, 2.0]])
    errors = [loss(kind, 0.0, focal).errors(outputs, truth)[0] for focal in (0.0, 2.0)]
    assert torch.allclose(errors[1], errors[0] * (1 - torch.exp(-errors[0])) ** 2, atol=1e-6)
