"""Files of models of recordings: probabilities and numbers of recordings of any lengths, without this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

from tsforecast.errors import ParameterError
from tsforecast.export.convolutions import Summaries
from tsforecast.export.recordings import padded
from tsforecast.files import OutputError
from tsforecast.sequences.baselines import MajorityClassifier
from tsforecast.sequences.ensemble import EnsembleClassifier
from tsforecast.sequences.neural import Conv1DClassifier, GRUClassifier, NeuralClassifier
from tsforecast.sequences.regressors import GRURegressor
from tsforecast.sequences.rocket import RocketClassifier, features_of

SMALL: dict[str, Any] = {"units": 8, "max_epochs": 1, "random_state": 0}
NETWORK: dict[str, Any] = {**SMALL, "features": 0, "calibrate": False}
RANDOM = np.random.default_rng(0)
WAVES = [
    5 * np.sin(np.arange(n)[:, None] * (0.3 + 0.3 * (i % 3)) + np.arange(2)) + 3 + RANDOM.normal(size=(n, 2))
    for i, n in enumerate(RANDOM.integers(8, 40, 18))
]
LABELS = ["abc"[i % 3] for i in range(18)]
NEW = [np.concatenate([wave] * 3) if i % 2 else wave[: 1 + i] for i, wave in enumerate(WAVES)]  # 1 to 117 steps


def with_large_heads(model: Any) -> Any:
    """Return a fitted model whose networks answer otherwise for each recording."""
    generator = torch.Generator().manual_seed(1)
    for each in model.members_ or [model]:
        with torch.no_grad():
            for name, weights in each.network_.named_parameters():
                if "head" in name:
                    weights.copy_(torch.randn(weights.shape, generator=generator))
    return model


def require_repeats(model: Any, file: Path) -> dict[str, Any]:
    """Compare a file with the answers of its model, for recordings together and one alone; return its facts."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    lengths = np.array([len(wave) for wave in NEW])
    found = session.run(None, {"recordings": padded(NEW, int(lengths.max())), "lengths": lengths})[0]
    _, truth = model.predicted(NEW)
    scale = getattr(model, "truth_scaling_", model).scale.max() if hasattr(model, "truth_scaling_") else 1.0
    assert truth.std(axis=0).max() > 1e-4 * scale  # no answer is that of the baseline
    alone = session.run(None, {"recordings": NEW[1][None], "lengths": lengths[1:2]})[0]
    if getattr(model, "at_steps", False):
        assert all(np.isnan(row[length:]).all() for row, length in zip(found, lengths, strict=True))
        found = np.concatenate([row[:length] for row, length in zip(found, lengths, strict=True)])
        np.testing.assert_allclose(alone[0], truth[lengths[0] : lengths[:2].sum()], atol=1e-5 * scale)
    else:
        np.testing.assert_allclose(alone, truth[1:2], atol=1e-5 * scale)
    np.testing.assert_allclose(found, truth, atol=1e-5 * scale, rtol=0)
    facts: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map["tsforecast"])
    return facts


@pytest.mark.long
def test_a_graph_repeats_a_classifier_on_recordings_of_any_lengths(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"norm": "batch", "segment": 3, "layers": 2, "differences": True, "residual": True}
    model = with_large_heads(GRUClassifier(pooling="mean-max", **shape, **NETWORK).fit(WAVES, LABELS))
    facts = require_repeats(model, model.export(tmp_path / "waves.onnx"))
    assert (facts["answers"], facts["classes"], facts["steps"]) == ("probabilities", ["a", "b", "c"], None)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["predict.py", "waves.onnx"]


def fitted(kind: str) -> Any:
    """Return a small model of a kind."""
    if kind == "several":
        return GRUClassifier(**NETWORK).fit(WAVES, (np.arange(54).reshape(18, 3) % 5 < 2).astype(int))
    if kind == "ordered":
        return GRUClassifier(ordinal=["b", "a", "c"], **NETWORK).fit(WAVES, LABELS)
    if kind == "two":
        return NeuralClassifier(cell="lstm", pooling="attention", **NETWORK).fit(
            WAVES, [label > "a" for label in LABELS]
        )
    if kind == "steps":
        labels = [np.where(wave[:, 0] > 3, "up", "down") for wave in WAVES]
        return Conv1DClassifier(output="step", **NETWORK).fit(WAVES, labels)
    if kind == "numbers":
        return GRURegressor(loss="normal", **SMALL).fit(WAVES, RANDOM.normal(size=(18, 2)) * 50 + 100)
    if kind == "features":
        return GRUClassifier(**SMALL, features=672, calibrate=False).fit(WAVES, LABELS)
    members = [GRUClassifier(**NETWORK), Conv1DClassifier(**NETWORK)]
    return EnsembleClassifier(members).fit(WAVES, LABELS)


@pytest.mark.long
def test_a_graph_has_the_summaries_of_random_convolutions_to_the_last_bit(tmp_path: Path) -> None:
    rocket = RocketClassifier(features=1344, random_state=0).fit(WAVES, LABELS)
    every = [*NEW, *WAVES]  # thresholds are responses of recordings that trained
    lengths = np.array([len(wave) for wave in every])
    values = np.concatenate([rocket.scaling_.transform(wave, 0) for wave in every]).astype(np.float32)
    truth = features_of(rocket.bank_, values, np.append(0, lengths.cumsum()))
    steps = torch.from_numpy(padded(np.split(values, lengths.cumsum()[:-1]), int(lengths.max()))).float().nan_to_num()
    found = Summaries(rocket.bank_, 2)(steps, torch.from_numpy(lengths)).numpy()
    where = np.arange(found.shape[1]) % 4 != 1  # mean excess is a sum whose terms have another order
    assert (found[:, where] == truth[:, where]).all()
    np.testing.assert_allclose(found, truth, rtol=1e-6)
    require_repeats(rocket, rocket.export(tmp_path / "rocket.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["several", "ordered", "two", "steps", "numbers", "ensemble", "features"])
def test_a_graph_repeats_each_kind_of_answer(kind: str, tmp_path: Path) -> None:
    model = with_large_heads(fitted(kind))
    require_repeats(model, model.export(tmp_path / "model.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "last", "max", "attention"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "conv1d"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_graph_repeats_each_cell_and_pooling(cell: Any, pooling: Any, bidirectional: bool, tmp_path: Path) -> None:
    model = NeuralClassifier(cell=cell, pooling=pooling, bidirectional=bidirectional, norm="layer", **NETWORK)
    model = with_large_heads(model.fit(WAVES, LABELS))
    require_repeats(model, model.export(tmp_path / "model.onnx"))


@pytest.mark.process
@pytest.mark.parametrize("kind", ["ordered"])
def test_the_program_next_to_a_file_predicts_the_recordings_of_a_table(kind: str, tmp_path: Path) -> None:
    model = with_large_heads(fitted(kind))
    file = model.export(tmp_path / "waves.onnx")
    parts = [pd.DataFrame(wave, columns=["channel_0", "channel_1"]).assign(move=f"m{i}") for i, wave in enumerate(NEW)]
    pd.concat(parts).to_csv(tmp_path / "new.csv", index=False)
    command = [sys.executable, tmp_path / "predict.py", file, tmp_path / "new.csv", "move"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split(",") for line in done.stdout.splitlines()]
    assert lines[0] == ["recording", "label", "probability_a", "probability_b", "probability_c"]
    assert [line[1] for line in lines[1:]] == model.predict(NEW).tolist()
    np.testing.assert_allclose([list(map(float, line[2:])) for line in lines[1:]], model.predict_proba(NEW), atol=1e-5)
    (tmp_path / "bad.csv").write_text("move,channel_0\na,1\n")
    refused = subprocess.run([*command[:3], tmp_path / "bad.csv"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "it lacks channel_1" in refused.stderr


def test_a_model_without_a_graph_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="MajorityClassifier must have a graph to be exported"):
        MajorityClassifier().fit(WAVES, LABELS).export(tmp_path / "m.onnx")
    network = GRUClassifier(**NETWORK).fit(WAVES, LABELS)
    with pytest.raises(ParameterError, match=r"file must end in \.onnx: got a recurrent network"):
        network.export(tmp_path / "m.pt2")
    assert not [*tmp_path.iterdir()]
    (tmp_path / "predict.py").write_text("print('mine')\n")
    with pytest.raises(OutputError, match=r"predict\.py' must be absent or of an older export"):
        network.export(tmp_path / "m.onnx")


@pytest.mark.long
def test_recordings_of_one_length_have_a_graph_for_torch(tmp_path: Path) -> None:
    same = np.stack([wave[:8] for wave in WAVES])
    model = with_large_heads(GRUClassifier(**NETWORK).fit(same, LABELS))
    program = torch.export.load(model.export(tmp_path / "m.pt2")).module()
    found = program(torch.from_numpy(same), torch.full((18,), 8))
    np.testing.assert_allclose(found.numpy(), model.predict_proba(same), atol=1e-5)
